use proptest::prelude::*;
use tetragon_bpf::records::{ProcessKey, transitions};

use super::*;
use crate::process::describe::Settings;
use crate::samples::{mk_describer, mk_exec, mk_key, mk_strings};

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
