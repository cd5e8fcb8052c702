//! Sockets.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use tetragon_api::tetragon::kprobe_argument::Arg;
use tetragon_e2e::kit::{Env, EventExt, Watch};
use tetragon_e2e::place::VMS;
use tetragon_e2e::{Test, test};

use super::super::{arg, kprobes, policy, start};
use super::{Filter, Tuple, filters};

pub(super) fn tests() -> Vec<Test> {
    vec![
        test!(every_operator_on_sockets).on(VMS).within(Duration::from_secs(60)),
        test!(a_socket_without_addresses).on(VMS),
    ]
}

const ESTABLISHED: (u16, &str) = (1, "TCP_ESTABLISHED");
const SYN_SENT: (u16, &str) = (2, "TCP_SYN_SENT");
const CLOSE: (u16, &str) = (7, "TCP_CLOSE");
const CLOSE_WAIT: (u16, &str) = (8, "TCP_CLOSE_WAIT");
const LISTEN: (u16, &str) = (10, "TCP_LISTEN");

/// A call with a socket: function, source, destination, state.
type Call = (&'static str, &'static str, &'static str, (u16, &'static str));

/// What the actor does, and the calls that come of it.
fn cases() -> [(&'static [&'static str], Vec<Call>); 7] {
    let connection = |from, to, nowhere| {
        vec![
            ("tcp_connect", from, to, SYN_SENT),
            ("tcp_close", from, to, ESTABLISHED),
            ("tcp_close", to, from, CLOSE_WAIT),
            ("tcp_close", to, nowhere, LISTEN),
        ]
    };
    [
        (
            &["tcp", "127.0.0.2:4001", "127.0.0.3:80", "x"],
            connection("127.0.0.2:4001", "127.0.0.3:80", "0.0.0.0:0"),
        ),
        (
            &["tcp", "[fd00::2]:700", "[fd00::3]:5005", "x"],
            connection("[fd00::2]:700", "[fd00::3]:5005", "[::]:0"),
        ),
        // An IPv6 socket with mapped addresses: compared and shown as what they are.
        (
            &["tcp", "[::ffff:127.0.0.2]:4002", "127.0.0.3:81", "x"],
            vec![
                ("tcp_connect", "[::ffff:127.0.0.2]:4002", "[::ffff:127.0.0.3]:81", SYN_SENT),
                ("tcp_close", "[::ffff:127.0.0.2]:4002", "[::ffff:127.0.0.3]:81", ESTABLISHED),
                ("tcp_close", "127.0.0.3:81", "127.0.0.2:4002", CLOSE_WAIT),
                ("tcp_close", "127.0.0.3:81", "0.0.0.0:0", LISTEN),
            ],
        ),
        // A socket that is not connected knows no destination.
        (
            &["udp", "127.0.0.3:700", "127.0.0.2:5005", "x", "plain"],
            vec![("udp_sendmsg", "127.0.0.3:700", "0.0.0.0:0", CLOSE)],
        ),
        (
            &["udp", "127.0.0.2:4001", "127.0.0.3:80", "x", "connected"],
            vec![("udp_sendmsg", "127.0.0.2:4001", "127.0.0.3:80", ESTABLISHED)],
        ),
        (
            &["udp", "[fd00::3]:4002", "[::1]:81", "x", "plain"],
            vec![("udpv6_sendmsg", "[fd00::3]:4002", "[::]:0", CLOSE)],
        ),
        (
            &["udp", "[::1]:700", "[fd00::2]:5005", "x", "connected"],
            vec![("udpv6_sendmsg", "[::1]:700", "[fd00::2]:5005", ESTABLISHED)],
        ),
    ]
}

fn tuple((function, from, to, state): Call) -> Tuple {
    let protocol = if function.starts_with("tcp") { 6 } else { 17 };
    Tuple { state: Some(state.0), ..Tuple::new(from, to, protocol) }
}

fn hook(functions: &str, index: u32, filters: &str) -> String {
    format!(
        "lists: [{{name: calls, values: [{functions}]}}], \
         kprobes: [{{call: 'list:calls', syscall: false, args: [{{index: {index}, type: sock}}]{filters}}}]"
    )
}

fn load(watch: &Watch<'_>, filters: &[Filter], functions: &str, index: u32) -> Result<()> {
    watch.agent.add_policies(filters.iter().map(|filter| {
        let filters = format!(", selectors: [{{matchArgs: [{}]}}]", filter.text(index));
        policy(&filter.name, &hook(functions, index, &filters))
    }))?;
    watch.agent.add_policy(&policy("all", &hook(functions, index, "")))
}

/// How many events each policy has about the process.
fn counts(watch: &Watch<'_>, pid: u32) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for event in watch.events.all().iter().filter(|event| event.pid() == pid) {
        if let Some(policy) = event.policy() {
            *counts.entry(policy.to_owned()).or_default() += 1;
        }
    }
    counts
}

fn every_operator_on_sockets(env: &Env) -> Result<()> {
    let watch = start(env)?;
    let filters = filters();
    load(&watch, &filters, "tcp_connect, tcp_close, udp_sendmsg, udpv6_sendmsg", 0)?;
    for (verbs, calls) in cases() {
        let (ended, _) = watch.act(verbs.iter().copied().chain(["exit", "0"]))?;
        let ended = ended.expect_code(0)?;
        let mut expected = BTreeMap::from([("all".to_owned(), calls.len())]);
        for filter in &filters {
            let matching = calls.iter().filter(|call| tuple(**call).matches(filter)).count();
            if matching > 0 {
                expected.insert(filter.name.clone(), matching);
            }
        }
        let told = counts(&watch, ended.pid);
        let wrong: Vec<&String> = expected
            .keys()
            .chain(told.keys())
            .filter(|name| expected.get(*name) != told.get(*name))
            .collect();
        ensure!(wrong.is_empty(), "{verbs:?}: {wrong:?} of {told:?}, not {expected:?}");
        for (event, call) in kprobes(&watch, "all", ended.pid)?.iter().zip(calls) {
            let Arg::SockArg(it) = arg(event, 0)? else { bail!("no socket: {event:?}") };
            let Tuple { family, source, destination, protocol, .. } = tuple(call);
            let (function, .., (_, state)) = call;
            ensure!(event.function_name == function && it.state == state, "{function}, {state}: {event:?}");
            let (from, to) = (source.ip().to_canonical(), destination.ip().to_canonical());
            ensure!(it.saddr == from.to_string() && it.daddr == to.to_string(), "{it:?}");
            ensure!(
                it.sport == u32::from(source.port()) && it.dport == u32::from(destination.port()),
                "{it:?}"
            );
            ensure!(it.family == if family == 2 { "AF_INET" } else { "AF_INET6" }, "{it:?}");
            let (kind, name) =
                if protocol == 6 { ("SOCK_STREAM", "IPPROTO_TCP") } else { ("SOCK_DGRAM", "IPPROTO_UDP") };
            ensure!(it.r#type == kind && it.protocol == name && it.cookie != 0, "{it:?}");
            // As the actor sets them; an accepted socket takes after who listens, or after the packet.
            ensure!(state == CLOSE_WAIT.1 || (it.mark, it.priority) == (77, 5), "{it:?}");
        }
    }
    watch.finish()
}

/// One of another family has no address: it is neither in networks nor outside of them.
fn a_socket_without_addresses(env: &Env) -> Result<()> {
    let watch = start(env)?;
    let filters: Vec<Filter> = filters().into_iter().filter(|it| it.operator.contains("A")).collect();
    ensure!(filters.len() == 32);
    load(&watch, &filters, "sock_init_data", 1)?;
    for (name, family) in [("unix", "AF_UNIX"), ("inet", "AF_INET")] {
        let filter =
            format!(", selectors: [{{matchArgs: [{{index: 1, operator: Family, values: [{family}]}}]}}]");
        watch.agent.add_policy(&policy(name, &hook("sock_init_data", 1, &filter)))?;
    }
    // socket(2): AF_UNIX, SOCK_STREAM
    let (ended, _) = watch.act(["syscall", "41", "1", "1", "0", ".", "exit", "0"])?;
    let expected = BTreeMap::from([("all".to_owned(), 1), ("unix".to_owned(), 1)]);
    ensure!(counts(&watch, ended.pid) == expected, "{:?}", counts(&watch, ended.pid));
    let event = &kprobes(&watch, "unix", ended.pid)?[0];
    let Arg::SockArg(it) = arg(event, 0)? else { bail!("no socket: {event:?}") };
    ensure!(it.family == "AF_UNIX" && (it.saddr.as_str(), it.daddr.as_str()) == ("", ""), "{it:?}");
    ensure!((it.sport, it.dport) == (0, 0), "{it:?}");
    watch.finish()
}
