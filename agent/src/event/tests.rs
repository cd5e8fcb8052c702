use proptest::prelude::*;
use tetragon_api::tetragon::KprobeArgument;
use tetragon_api::tetragon::kprobe_argument::Arg;
use tetragon_bpf::records::{ProcessKey, transitions};

use super::*;
use crate::policies::call;
use crate::policies::stacks::Stacks;
use crate::process::describe::Settings;
use crate::samples::{mk_describer, mk_exec, mk_hook, mk_key, mk_plan, mk_strings};

fn mk_info(pid: u32, changed: u32, arguments: &[u8]) -> Arc<ProcessInfo> {
    let settings = Settings { credentials: true, namespaces: true, ..Settings::default() };
    let mut record = mk_exec(mk_key(pid, 5, 1), ProcessKey::default(), 1_234_567);
    record.transitions = changed;
    let strings = crate::process::describe::ExecStrings { arguments, ..mk_strings("/bin/x") };
    Arc::new(mk_describer(settings).exec(&record, strings, None, None, false))
}

fn mk_origin() -> Arc<Origin> {
    Arc::new(Origin { node_name: "node \"1\"".to_owned(), cluster_name: "cluster".to_owned() })
}

fn mk_event(payload: Payload) -> Event {
    Event::new(payload, Timestamp { seconds: 1_700_000_000, nanos: 120_000_000 }, mk_origin())
}

fn mk_kin(process: Arc<ProcessInfo>, parent: bool, ancestors: u32) -> Kin {
    let others = (0..ancestors).map(|pid| mk_info(pid, 0, b"a\0"));
    Kin {
        process,
        parent: parent.then(|| mk_info(2, transitions::EUID, b"p\0q\0")),
        ancestors: others.collect(),
    }
}

/// Both encodings must be those of the message, whichever way they are made.
fn check(event: &Event) {
    assert_eq!(event.proto(), &event.message().encode_to_vec());
    let line = json::event_to_string(&event.message()) + "\n";
    assert_eq!(std::str::from_utf8(event.json()).unwrap(), line);
    assert_eq!(line.matches('\n').count(), 1);
}

#[test]
fn a_binary_with_properties_shows_them_in_its_exec_event_alone() {
    let process = mk_info(7, transitions::EUID | transitions::ROOT_UID, b"x\0");
    let exec = mk_event(Payload::Exec(mk_kin(Arc::clone(&process), true, 1)));
    check(&exec);
    let text = |event: &Event| std::str::from_utf8(event.json()).unwrap().to_owned();
    assert_eq!(text(&exec).matches("binary_properties").count(), 1);
    let exit = mk_event(Payload::Exit { kin: mk_kin(process, true, 1), signal: "", status: 1 });
    check(&exit);
    assert!(!text(&exit).contains("binary_properties"));
}

fn mk_call(attach: tetragon_policy::Attach, tid: u32, action_errno: i32) -> Arc<Call> {
    let mut plan = mk_plan("policy \"x\"", vec![]);
    plan.hook = Arc::new(mk_hook(attach, vec![]));
    let argument = |arg| KprobeArgument { label: "label".to_owned(), arg: Some(arg) };
    // Reads its symbols once, and then has them.
    let procfs = tempfile::tempdir().unwrap();
    std::fs::write(procfs.path().join("kallsyms"), "1000 T symbol\n").unwrap();
    let stacks = Stacks::new(procfs.path(), true);
    let kernel_stack = stacks.kernel(&0x1007u64.to_ne_bytes());
    assert_eq!(kernel_stack.entries().len(), 1);
    Arc::new(Call {
        plan: Arc::new(plan),
        tid,
        args: vec![argument(Arg::StringArg("a\"b".to_owned())), argument(Arg::SizeArg(1))],
        returned: Some(argument(Arg::IntArg(-2))),
        action: call::action(2),
        return_action: call::action(0),
        action_errno,
        kernel_stack,
        user_stack: stacks.user(1, &0x2000u64.to_ne_bytes()),
    })
}

#[test]
fn calls_are_composed_as_their_message_is_encoded() {
    use tetragon_policy::Attach;
    let symbols = vec!["function".to_owned()];
    let kinds = [
        (Attach::Kprobe { symbols: symbols.clone(), syscall: false }, EventType::ProcessKprobe),
        (
            Attach::Tracepoint { subsystem: "raw".to_owned(), event: "enter".to_owned() },
            EventType::ProcessTracepoint,
        ),
        (Attach::Lsm { hook: "file_open".to_owned() }, EventType::ProcessLsm),
        (Attach::Uprobe { path: "/bin/x".to_owned(), symbols }, EventType::ProcessUprobe),
    ];
    for (attach, event_type) in kinds {
        for (tid, ancestors, errno) in [(7, 0, 0), (8, 0, 3), (7, 2, 0), (8, 2, 3)] {
            let call = mk_call(attach.clone(), tid, errno);
            let event = mk_event(Payload::Call { kin: mk_kin(mk_info(7, 0, b"x\0"), true, ancestors), call });
            check(&event);
            assert_eq!((event.event_type(), event.policy_name()), (event_type, Some("policy \"x\"")));
            let text = std::str::from_utf8(event.json()).unwrap();
            assert!(text.contains(&format!("\"tid\":{tid}")) && text.contains("\"tid\":2"), "{text}");
            assert_eq!(text.contains("\"action_errno\":3"), errno == 3);
        }
    }
}

#[test]
fn the_event_of_a_call_has_the_format_of_the_contract() {
    let attach = tetragon_policy::Attach::Kprobe { symbols: vec!["function".to_owned()], syscall: false };
    let call = mk_call(attach, 7, 0);
    let event = mk_event(Payload::Call { kin: mk_kin(mk_info(7, 0, b"x\0"), false, 0), call });
    let text = std::str::from_utf8(event.json()).unwrap();
    let expected = concat!(
        r#","function_name":"function","args":[{"string_arg":"a\"b","label":"label"},"#,
        r#"{"size_arg":"1","label":"label"}],"return":{"int_arg":-2,"label":"label"},"#,
        r#""action":"KPROBE_ACTION_SIGKILL","kernel_stack_trace":[{"address":"4103","offset":"7","symbol":"symbol"}],"#,
        r#""policy_name":"policy \"x\"","return_action":"KPROBE_ACTION_POST","#,
        r#""message":"a \\\"message\\\"","tags":["observability.process"],"#,
        r#""user_stack_trace":[{"address":"8192"}]},"node_name""#,
    );
    assert!(text.starts_with(r#"{"process_kprobe":{"process":{"exec_id""#), "{text}");
    assert!(text.contains(expected), "{text}");
}

#[test]
fn a_gap_tells_how_much_is_missing() {
    let gap = mk_event(Payload::Gap { lost: 5 });
    check(&gap);
    assert!(gap.is_gap() && gap.process().is_none() && gap.weight() == 0);
    let line = std::str::from_utf8(gap.json()).unwrap();
    assert!(line.starts_with(r#"{"rate_limit_info":{"number_of_dropped_process_events":"5"}"#), "{line}");
}

#[test]
fn filters_see_what_readers_see() {
    let event = mk_event(Payload::Exec(mk_kin(mk_info(7, 0, b"x\0"), true, 2)));
    let message = event.message();
    assert_eq!(event.event_type(), message.event_type());
    assert_eq!(EventView::process(&event), message.process());
    assert_eq!(event.parent(), message.parent());
    for pid in [0, 1, 9] {
        let mut test = |process: &Process| process.pid == Some(pid);
        assert_eq!(event.any_ancestor(&mut test), message.any_ancestor(&mut test));
    }
}

#[test]
fn signals_have_the_names_of_the_kernel() {
    for (number, name) in
        [(0, ""), (1, "SIGHUP"), (9, "SIGKILL"), (15, "SIGTERM"), (31, "SIGSYS"), (34, ""), (127, "")]
    {
        assert_eq!(signal_name(number), name);
    }
}

proptest! {
    #[test]
    fn composed_events_equal_their_messages(
        arguments in proptest::collection::vec(any::<u8>(), 0..300),
        parent in any::<bool>(),
        ancestors in 0u32..4,
        status in any::<u8>(),
        signal in 0u32..40,
    ) {
        let kin = mk_kin(mk_info(7, 0, &arguments), parent, ancestors);
        check(&mk_event(Payload::Exec(kin.clone())));
        check(&mk_event(Payload::Exit { kin, signal: signal_name(signal), status: status.into() }));
    }
}
