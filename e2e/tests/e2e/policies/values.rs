//! What is read of arguments, and shown.

use anyhow::{Result, bail, ensure};
use tetragon_api::tetragon::get_events_response::Event as Payload;
use tetragon_api::tetragon::kprobe_argument::Arg;
use tetragon_e2e::kit::expect::Expect;
use tetragon_e2e::kit::{Env, EventExt};
use tetragon_e2e::place::VMS;
use tetragon_e2e::{Test, test};

use super::{At, MARK, PRCTL, arg, only, policy, start};

pub(super) fn tests() -> Vec<Test> {
    vec![
        test!(bytes_of_a_buffer).on(VMS),
        test!(a_program_before_it_runs).on(VMS),
        test!(what_a_call_returns).on(VMS),
        test!(an_argument_that_is_not_there_yet),
        test!(a_text_inside_a_tracepoints_record),
        test!(a_list_of_functions).on(VMS),
    ]
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
