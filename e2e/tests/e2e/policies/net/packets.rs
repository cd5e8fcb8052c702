//! Packets.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use tetragon_api::tetragon::kprobe_argument::Arg;
use tetragon_e2e::kit::Env;
use tetragon_e2e::place::VMS;
use tetragon_e2e::{Test, test};

use super::super::{arg, expect_exactly, kprobes, policy, start};
use super::{Tuple, filters};

pub(super) fn tests() -> Vec<Test> {
    vec![test!(every_operator_on_packets).on(VMS).within(Duration::from_secs(60))]
}

/// What the actor sends, and the packet that comes of it.
struct Case {
    verbs: &'static [&'static str],
    packet: Tuple,
    /// As events name it.
    protocol: &'static str,
    /// Of the first packet, with its headers; of TCP kernels differ in options.
    len: Option<u32>,
}

fn cases() -> [Case; 8] {
    let case = |verbs, (from, to, number), protocol, len| Case {
        verbs,
        packet: Tuple::new(from, to, number),
        protocol,
        len,
    };
    [
        case(
            &["udp", "127.0.0.2:4001", "127.0.0.3:80", "seven77", "plain"],
            ("127.0.0.2:4001", "127.0.0.3:80", 17),
            "IPPROTO_UDP",
            Some(20 + 8 + 7),
        ),
        case(
            &["udp", "127.0.0.3:700", "127.0.0.2:5005", "x", "connected"],
            ("127.0.0.3:700", "127.0.0.2:5005", 17),
            "IPPROTO_UDP",
            Some(20 + 8 + 1),
        ),
        case(
            &["udp", "[fd00::2]:4001", "[fd00::3]:80", "seven77", "plain"],
            ("[fd00::2]:4001", "[fd00::3]:80", 17),
            "IPPROTO_UDP",
            Some(40 + 8 + 7),
        ),
        // The header of options lies between.
        case(
            &["udp", "[fd00::3]:700", "[::1]:5005", "seven77", "optioned"],
            ("[fd00::3]:700", "[::1]:5005", 17),
            "IPPROTO_UDP",
            Some(40 + 8 + 8 + 7),
        ),
        case(
            &["icmp", "127.0.0.2:0", "127.0.0.3:0"],
            ("127.0.0.2:0", "127.0.0.3:0", 1),
            "IPPROTO_ICMP",
            Some(20 + 8),
        ),
        case(&["icmp", "[fd00::2]:0", "[::1]:0"], ("[fd00::2]:0", "[::1]:0", 58), "58", Some(40 + 8)),
        case(
            &["tcp", "127.0.0.2:4002", "127.0.0.3:81", "x"],
            ("127.0.0.2:4002", "127.0.0.3:81", 6),
            "IPPROTO_TCP",
            None,
        ),
        case(
            &["tcp", "[fd00::2]:4002", "[fd00::3]:81", "x"],
            ("[fd00::2]:4002", "[fd00::3]:81", 6),
            "IPPROTO_TCP",
            None,
        ),
    ]
}

/// Packets on their way out, those of both families by one list, as far as they come from who began.
fn hook(filters: &str) -> String {
    format!(
        "lists: [{{name: out, values: [ip_output, ip6_output]}}], \
         kprobes: [{{call: 'list:out', syscall: false, args: [{{index: 2, type: skb}}], \
         selectors: [{{matchArgs: [{{index: 2, operator: SPort, values: ['0', '700', '4001', '4002']}}{filters}]}}]}}]"
    )
}

fn every_operator_on_packets(env: &Env) -> Result<()> {
    let watch = start(env)?;
    let filters = filters();
    watch.agent.add_policies(
        filters.iter().map(|filter| policy(&filter.name, &hook(&format!(", {}", filter.text(2))))),
    )?;
    watch.agent.add_policy(&policy("all", &hook("")))?;
    for case in cases() {
        let (ended, _) = watch.act(case.verbs.iter().copied().chain(["exit", "0"]))?;
        let ended = ended.expect_code(0)?;
        let matching = filters.iter().filter(|filter| case.packet.matches(filter));
        let expected: BTreeSet<String> =
            matching.map(|filter| filter.name.clone()).chain(["all".to_owned()]).collect();
        expect_exactly(&watch, ended.pid, &expected, &case.verbs.join(" "))?;

        let told = kprobes(&watch, "all", ended.pid)?;
        // Of a connection there are several.
        ensure!(told.len() == 1 || case.len.is_none(), "{} packets: {told:#?}", told.len());
        for event in &told {
            let Arg::SkbArg(it) = arg(event, 0)? else { bail!("no packet: {event:?}") };
            let Tuple { family, source, destination, protocol, .. } = &case.packet;
            ensure!(
                it.saddr == source.ip().to_string() && it.daddr == destination.ip().to_string(),
                "{it:?}"
            );
            ensure!(
                it.sport == u32::from(source.port()) && it.dport == u32::from(destination.port()),
                "{it:?}"
            );
            ensure!(it.family == if *family == 2 { "AF_INET" } else { "AF_INET6" }, "{it:?}");
            ensure!(it.proto == u32::from(*protocol) && it.protocol == case.protocol, "{it:?}");
            ensure!((it.sec_path_len, it.sec_path_olen) == (0, 0), "{it:?}");
            ensure!(case.len.is_none_or(|len| it.len == len), "{it:?}");
        }
        // As the actor sets them; the last packets of a connection can come from the kernel.
        let Arg::SkbArg(first) = arg(&told[0], 0)? else { bail!("no packet: {:?}", told[0]) };
        ensure!((first.mark, first.priority) == (77, 5), "{first:?}");
    }
    watch.finish()
}
