//! What is read of arguments, and shown.

use anyhow::{Context, Result, bail, ensure};
use tetragon_api::tetragon::get_events_response::Event as Payload;
use tetragon_api::tetragon::kprobe_argument::Arg;
use tetragon_api::tetragon::{KprobeArgument, ProcessKprobe};
use tetragon_e2e::kit::expect::Expect;
use tetragon_e2e::kit::{Env, EventExt, Watch};
use tetragon_e2e::place::VMS;
use tetragon_e2e::{Test, test};

use super::{At, MARK, PRCTL, policy, start};

pub(super) fn tests() -> Vec<Test> {
    vec![
        test!(a_file_by_its_path).on(VMS),
        test!(a_descriptor_by_its_path).on(VMS),
        test!(bytes_of_a_buffer).on(VMS),
        test!(a_program_before_it_runs).on(VMS),
        test!(what_a_call_returns).on(VMS),
        test!(an_argument_that_is_not_there_yet),
        test!(a_text_inside_a_tracepoints_record),
        test!(a_socket).on(VMS),
        test!(a_list_of_functions).on(VMS),
    ]
}

/// The only event of the policy about the process, a kprobe's.
pub(super) fn only(watch: &Watch<'_>, name: &'static str, pid: u32) -> Result<ProcessKprobe> {
    let of = Expect::any().that(format!("policy = {name}, pid = {pid}"), move |event| {
        event.policy() == Some(name) && event.pid() == pid
    });
    watch.events.expect(&of)?;
    let all = watch.events.matching(&of);
    ensure!(all.len() == 1, "{} events of {name}", all.len());
    match all.into_iter().next().and_then(|event| event.event) {
        Some(Payload::ProcessKprobe(it)) => Ok(it),
        other => bail!("no kprobe event: {other:?}"),
    }
}

pub(super) fn arg(event: &ProcessKprobe, position: usize) -> Result<&Arg> {
    let argument: Option<&KprobeArgument> = event.args.get(position);
    argument.and_then(|it| it.arg.as_ref()).with_context(|| format!("no argument {position}: {event:?}"))
}

fn a_file_by_its_path(env: &Env) -> Result<()> {
    let watch = start(env)?;
    let file = env.file("secret");
    std::fs::write(&file, "x")?;
    let path = file.to_string_lossy().into_owned();
    for (name, operator, value) in [
        ("file-equal", "Equal", path.clone()),
        ("file-prefix", "Prefix", path[..path.len() - 2].to_owned()),
        ("file-postfix", "Postfix", "/secret".to_owned()),
        ("file-other", "Equal", format!("{path}x")),
    ] {
        watch.agent.add_policy(&policy(
            name,
            &format!(
                "kprobes: [{{call: security_file_open, syscall: false, args: [{{index: 0, type: file}}], \
                 selectors: [{{matchArgs: [{{index: 0, operator: {operator}, values: ['{value}']}}]}}]}}]"
            ),
        ))?;
    }
    // open(2), read only
    let (ended, _) = watch.act(["syscall", "2", &format!("s:{path}"), "0", "0", ".", "exit", "0"])?;
    for name in ["file-equal", "file-prefix", "file-postfix"] {
        let event = only(&watch, name, ended.pid)?;
        let Arg::FileArg(told) = arg(&event, 0)? else { bail!("no file: {event:?}") };
        ensure!(told.path == path && told.permission.starts_with("-rw"), "{told:?}");
        ensure!(event.function_name == "security_file_open", "{event:?}");
    }
    ensure!(!super::told(&watch.events.all(), ended.pid).contains("file-other"), "another file matched");
    watch.finish()
}

fn a_descriptor_by_its_path(env: &Env) -> Result<()> {
    let watch = start(env)?;
    watch.agent.add_policy(&policy(
        "descriptor",
        "kprobes: [{call: sys_write, syscall: true, args: [{index: 0, type: fd}, {index: 2, type: size_t}], \
         selectors: [{matchArgs: [{index: 0, operator: Equal, values: [/dev/null]}, \
         {index: 2, operator: Equal, values: ['7']}]}]}]",
    ))?;
    // The standard input of tests is /dev/null; that it cannot be written does not matter.
    let (ended, _) = watch.act(["syscall", "1", "0", "s:seven77", "7", ".", "exit", "0"])?;
    let event = only(&watch, "descriptor", ended.pid)?;
    let Arg::FileArg(told) = arg(&event, 0)? else { bail!("no file: {event:?}") };
    ensure!(told.path == "/dev/null" && told.permission.starts_with('c'), "{told:?}");
    ensure!(arg(&event, 1)? == &Arg::SizeArg(7), "{event:?}");
    watch.finish()
}

fn bytes_of_a_buffer(env: &Env) -> Result<()> {
    let watch = start(env)?;
    watch.agent.add_policy(&policy(
        "buffer",
        "kprobes: [{call: sys_write, syscall: true, args: [{index: 0, type: int}, \
         {index: 1, type: char_buf, sizeArgIndex: 3, label: text}], \
         selectors: [{matchArgs: [{index: 1, operator: Prefix, values: [a buffer]}]}]}]",
    ))?;
    let (ended, _) = watch.act(["syscall", "1", "0", "s:a buffer of bytes", "11", ".", "exit", "0"])?;
    let event = only(&watch, "buffer", ended.pid)?;
    let Arg::BytesArg(bytes) = arg(&event, 1)? else { bail!("no bytes: {event:?}") };
    ensure!(bytes[..] == *b"a buffer of", "{event:?}");
    ensure!(event.args[1].label == "text", "{event:?}");
    watch.finish()
}

fn a_program_before_it_runs(env: &Env) -> Result<()> {
    let watch = start(env)?;
    let actor = env.binary("actor")?.to_string_lossy().into_owned();
    watch.agent.add_policy(&policy(
        "program",
        &format!(
            "kprobes: [{{call: security_bprm_check, syscall: false, args: [{{index: 0, type: linux_binprm}}], \
             selectors: [{{matchArgs: [{{index: 0, operator: Equal, values: ['{actor}']}}]}}]}}]"
        ),
    ))?;
    let (ended, _) = watch.act(["exec", &actor, "actor", "exit", "0"])?;
    let of = Expect::any()
        .that("program", move |event| event.policy() == Some("program") && event.pid() == ended.pid);
    watch.events.expect(&of)?;
    // The test's own start of the actor and that of the actor.
    ensure!(watch.events.matching(&of).len() == 2, "{} events", watch.events.matching(&of).len());
    watch.finish()
}

fn what_a_call_returns(env: &Env) -> Result<()> {
    let watch = start(env)?;
    for (name, value) in [("returns-einval", "-22"), ("returns-zero", "0")] {
        watch.agent.add_policy(&policy(
            name,
            &format!(
                "{}, return: true, returnArg: {{index: 0, type: int}}, \
                 selectors: [{{matchArgs: [{{index: 0, operator: Equal, values: ['{MARK}']}}], \
                 matchReturnArgs: [{{index: 0, operator: Equal, values: ['{value}']}}]}}]}}]",
                At::Kprobe.prctl("uint64")
            ),
        ))?;
    }
    let (ended, _) = watch.act(["syscall", PRCTL, MARK, "77", ".", "exit", "0"])?;
    let event = only(&watch, "returns-einval", ended.pid)?;
    let returned = event.r#return.as_ref().and_then(|it| it.arg.as_ref());
    ensure!(returned == Some(&Arg::IntArg(-22)), "{event:?}");
    ensure!(arg(&event, 1)? == &Arg::SizeArg(77), "{event:?}");
    ensure!(!super::told(&watch.events.all(), ended.pid).contains("returns-zero"), "the other value matched");
    watch.finish()
}

/// A page that is not faulted in cannot be read, and says so; a filter on it does not match unless the policy says so.
fn an_argument_that_is_not_there_yet(env: &Env) -> Result<()> {
    let at = if env.place().is_native() { At::Tracepoint } else { At::Kprobe };
    let watch = start(env)?;
    let (mark, second) = at.indices();
    let filter = |values: &str| {
        format!(
            "{}, selectors: [{{matchArgs: [{{index: {mark}, operator: Equal, values: ['{MARK}']}}{values}]}}]}}]",
            at.prctl("string")
        )
    };
    let on_text = format!(", {{index: {second}, operator: NotEqual, values: [x]}}");
    watch.agent.add_policy(&policy("shown", &filter("")))?;
    watch.agent.add_policy(&policy("filtered", &filter(&on_text)))?;
    watch.agent.add_policy(&policy(
        "suspicious",
        &format!("options: [{{name: match-unreadable, value: 'true'}}], {}", filter(&on_text)),
    ))?;
    let (ended, _) = watch.act(["syscall", PRCTL, MARK, "unmapped", ".", "exit", "0"])?;
    let told = super::told(&watch.events.all(), ended.pid);
    ensure!(told.contains("shown") && told.contains("suspicious"), "{told:?}");
    ensure!(!told.contains("filtered"), "{told:?}");
    let of =
        Expect::any().that("shown", move |event| event.policy() == Some("shown") && event.pid() == ended.pid);
    let args = match watch.events.expect(&of)?.event {
        Some(Payload::ProcessKprobe(it)) => it.args,
        Some(Payload::ProcessTracepoint(it)) => it.args,
        other => bail!("no policy event: {other:?}"),
    };
    ensure!(matches!(args.get(1).and_then(|it| it.arg.as_ref()), Some(Arg::ErrorArg(_))), "{args:?}");
    watch.finish()
}

fn a_text_inside_a_tracepoints_record(env: &Env) -> Result<()> {
    let watch = start(env)?;
    let actor = env.binary("actor")?.to_string_lossy().into_owned();
    for (name, value) in [("executed", actor.as_str()), ("other", "/no/such")] {
        watch.agent.add_policy(&policy(
            name,
            &format!(
                "tracepoints: [{{subsystem: sched, event: sched_process_exec, args: [{{index: 4, type: data_loc}}], \
                 selectors: [{{matchArgs: [{{index: 4, operator: Equal, values: ['{value}']}}]}}]}}]"
            ),
        ))?;
    }
    let (ended, _) = watch.act(["exit", "0"])?;
    let told = super::told(&watch.events.all(), ended.pid);
    ensure!(told == std::collections::BTreeSet::from(["executed".to_owned()]), "{told:?}");
    watch.finish()
}

/// Addresses, ports, family, protocol, state; families apart from each other.
fn a_socket(env: &Env) -> Result<()> {
    let watch = start(env)?;
    let cases = [
        ("to", "DAddr", "127.0.0.0/8", true),
        ("to-other", "DAddr", "'10.0.0.0/8', '192.0.2.1'", false),
        ("not-to", "NotDAddr", "127.0.0.0/8", false),
        ("not-to-other", "NotDAddr", "10.0.0.0/8", true),
        // No value of its family: it is neither in the networks nor out of them.
        ("not-to-v6", "NotDAddr", "'fc00::/7'", false),
        ("port", "DPort", "'8000:9000'", true),
        ("not-port", "NotDPort", "'80', '8765'", false),
        ("privileged", "DPortPriv", "", false),
        ("family", "Family", "AF_INET", true),
        ("other-family", "Family", "AF_INET6", false),
        ("protocol", "Protocol", "IPPROTO_TCP", true),
        ("other-protocol", "Protocol", "IPPROTO_UDP", false),
    ];
    watch.agent.add_policies(cases.iter().map(|(name, operator, values, _)| {
        policy(
            name,
            &format!(
                "kprobes: [{{call: tcp_connect, syscall: false, args: [{{index: 0, type: sock}}], \
                 selectors: [{{matchArgs: [{{index: 0, operator: {operator}, values: [{values}]}}]}}]}}]"
            ),
        )
    }))?;
    let (ended, _) = watch.act(["connect", "127.0.0.1:8765", "exit", "0"])?;
    let expected =
        cases.iter().filter(|(.., matches)| *matches).map(|(name, ..)| (*name).to_owned()).collect();
    super::expect_exactly(&watch, ended.pid, &expected, "a connection")?;
    let event = only(&watch, "to", ended.pid)?;
    let Arg::SockArg(sock) = arg(&event, 0)? else { bail!("no socket: {event:?}") };
    ensure!(
        sock.daddr == "127.0.0.1"
            && sock.dport == 8765
            && sock.family == "AF_INET"
            && sock.protocol == "IPPROTO_TCP",
        "{sock:?}"
    );
    watch.finish()
}

fn a_list_of_functions(env: &Env) -> Result<()> {
    let watch = start(env)?;
    watch.agent.add_policy(&policy(
        "listed",
        "lists: [{name: some, type: syscalls, values: [sys_prctl, sys_umask]}], \
         kprobes: [{call: 'list:some', args: [{index: 0, type: int}], \
         selectors: [{matchArgs: [{index: 0, operator: Equal, values: ['32343']}]}]}]",
    ))?;
    // umask(2) takes the low bits only, and here both get the number that is filtered for.
    let (ended, _) = watch.act(["syscall", PRCTL, MARK, ".", "syscall", "95", MARK, ".", "exit", "0"])?;
    let of = Expect::any()
        .that("listed", move |event| event.policy() == Some("listed") && event.pid() == ended.pid);
    let functions: std::collections::BTreeSet<String> = watch
        .events
        .matching(&of)
        .into_iter()
        .filter_map(|event| match event.event {
            Some(Payload::ProcessKprobe(it)) => Some(it.function_name),
            _ => None,
        })
        .collect();
    let expected = ["__x64_sys_prctl", "__x64_sys_umask"].map(str::to_owned);
    ensure!(functions == expected.into(), "{functions:?}");
    watch.finish()
}
