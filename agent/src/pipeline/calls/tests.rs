use std::path::Path;

use tetragon_api::tetragon::KprobeArgument;
use tetragon_bpf::plan::{Captured, PLAN_READERS, capture, captured_flags};
use tetragon_bpf::records::ProcessKey;
use tetragon_crds::Path as TracePath;
use tetragon_crds::policy::{Action, ArgFilter, Predicate, Selector};
use tetragon_crds::spec::{ArgOperator, ArgType};
use tetragon_policy::{Capture, HookProgram, Reader, Source};

use super::*;
use crate::process::describe::Settings;
use crate::samples::{mk_call, mk_describer, mk_exec, mk_exit, mk_key, mk_plan, mk_strings};
use crate::tracker::Verdict;

struct Setup {
    calls: Calls,
    tracker: Tracker,
    out: Vec<Outgoing>,
}

fn mk_reader(ty: ArgType, at_return: bool) -> Reader {
    Reader {
        source: Source::Argument(0),
        capture: Capture::Typed(ty),
        size: None,
        at_return,
        max_data: false,
        label: String::new(),
    }
}

/// Plan 1 of generation 1 reads a number, and one at return; so does plan 2, whose calls are events by their return.
fn mk_setup() -> Setup {
    let catalogue = Arc::new(Catalogue::default());
    let mut plan = mk_plan("policy", vec![mk_reader(ArgType::Int, false), mk_reader(ArgType::Int, true)]);
    let returns = Some(mk_reader(ArgType::Int, true));
    plan.hook = Arc::new(HookProgram { returns, ..(*plan.hook).clone() });
    catalogue.insert(1, 1, plan.clone());
    plan.returns_unconditionally = false;
    catalogue.insert(2, 1, plan);
    let stacks = Stacks::new(Path::new("/nonexistent"), false);
    let tracker = Tracker::new(mk_describer(Settings::default()), 100, false);
    Setup { calls: Calls::new(catalogue, stacks, Ancestors::default()), tracker, out: Vec::new() }
}

fn mk_number(value: u64) -> Captured {
    Captured {
        capture: capture::INT.try_into().unwrap(),
        flags: captured_flags::READ.try_into().unwrap(),
        offset: 0,
        len: 0,
        mode: 0,
        value,
    }
}

fn mk_entry(key: ProcessKey, at: u64) -> PolicyRecord {
    let mut record = mk_call(key, at);
    (record.phase, record.readers, record.action) = (1, 2, 2);
    record.arg[0] = mk_number(7);
    record
}

fn mk_return(entry: &PolicyRecord, at: u64) -> PolicyRecord {
    let mut record = *entry;
    (record.phase, record.action, record.header.boot_ns) = (2, 0, at);
    record.arg = [mk_number(0); PLAN_READERS + 1];
    record.arg[1] = mk_number(8);
    record.arg[PLAN_READERS] = mk_number(9);
    record
}

impl Setup {
    fn exec(&mut self, key: ProcessKey) {
        let record = mk_exec(key, ProcessKey::default(), key.start_boot_ns + u64::from(key.exec_id));
        let verdict = self.tracker.exec(&record, mk_strings("/bin/x"));
        assert!(matches!(verdict, Verdict::Event(_)));
    }

    fn handle(&mut self, record: &PolicyRecord, anyway: bool) -> Handled {
        self.calls.handle(&mut self.tracker, (record, b""), anyway, &mut self.out)
    }

    fn event(&mut self, record: &PolicyRecord) -> (Kin, Arc<Call>, u64) {
        match self.handle(record, false) {
            Handled::Event((Payload::Call { kin, call }, at)) => (kin, call, at),
            other => panic!("{other:?}"),
        }
    }

    fn fate(&mut self, record: &PolicyRecord) -> Fate {
        match self.handle(record, false) {
            Handled::Done(fate) => fate,
            other => panic!("{other:?}"),
        }
    }

    fn alone(&mut self) -> Vec<Arc<Call>> {
        let call = |(payload, _)| match payload {
            Payload::Call { call, .. } => call,
            other => panic!("{other:?}"),
        };
        self.out.drain(..).map(call).collect()
    }
}

fn numbers(args: &[KprobeArgument]) -> Vec<Arg> {
    args.iter().map(|it| it.arg.clone().unwrap()).collect()
}

#[test]
fn a_call_shows_its_process_its_thread_and_what_was_done() {
    let mut setup = mk_setup();
    let key = mk_key(10, 100, 1);
    setup.exec(key);
    let mut record = mk_entry(key, 500);
    (record.phase, record.tid, record.action_error) = (0, 11, -3);
    let (kin, call, at) = setup.event(&record);
    assert_eq!((kin.process.key, &*kin.process.wire.binary, at), (key, "/bin/x", 500));
    assert_eq!((call.tid, call.action, call.action_errno), (11, KprobeAction::Sigkill, 3));
    assert_eq!(call.return_action, KprobeAction::Post);
    assert_eq!(numbers(&call.args)[0], Arg::IntArg(7));
}

#[test]
fn entry_and_return_are_one_event_at_the_time_of_the_entry() {
    let mut setup = mk_setup();
    let key = mk_key(10, 100, 1);
    setup.exec(key);
    let entry = mk_entry(key, 500);
    assert_eq!(setup.fate(&entry), Fate::Absorbed);
    assert_eq!(setup.calls.status(3).returns_awaited, 1);
    // Meanwhile it has started another program: the event is about the one that called.
    setup.exec(mk_key(10, 100, 2));
    let mut back = mk_return(&entry, 600);
    back.key.exec_id = 2;
    back.action = 9;
    let (kin, call, at) = setup.event(&back);
    assert_eq!((kin.process.key, at), (key, 500));
    assert_eq!(numbers(&call.args), [Arg::IntArg(7), Arg::IntArg(8)]);
    assert_eq!(call.returned.as_ref().unwrap().arg, Some(Arg::IntArg(9)));
    assert_eq!((call.action, call.return_action), (KprobeAction::Sigkill, KprobeAction::Signal));
    // A second one is of no call.
    assert_eq!(setup.fate(&back), Fate::Absorbed);
    let status = setup.calls.status(3);
    assert_eq!((status.joined, status.entries_missing, status.returns_awaited, status.waiting), (1, 1, 0, 3));
}

#[test]
fn a_call_whose_process_ends_is_reported_without_return() {
    let mut setup = mk_setup();
    let key = mk_key(10, 100, 1);
    setup.exec(key);
    setup.fate(&mk_entry(key, 500));
    let filtered = PolicyRecord { plan: 2, ..mk_entry(key, 501) };
    setup.fate(&filtered);
    setup.calls.end(10, &mut setup.out);
    let alone = setup.alone();
    assert_eq!(alone.len(), 1, "the other one's return would have told whether it is an event");
    assert!(alone[0].returned.is_none());
    assert_eq!(numbers(&alone[0].args), [Arg::IntArg(7), Arg::BytesArg(Vec::new().into())]);
    assert_eq!(setup.calls.status(0).returns_missing, 1);
    assert_eq!(setup.fate(&mk_return(&filtered, 600)), Fate::Absorbed);
}

#[test]
fn a_return_that_matches_no_filter_takes_the_call_with_it() {
    let mut setup = mk_setup();
    let key = mk_key(10, 100, 1);
    setup.exec(key);
    for plan in [1, 2] {
        let entry = PolicyRecord { plan, ..mk_entry(key, 500) };
        setup.fate(&entry);
        let back = PolicyRecord { phase: 3, ..mk_return(&entry, 600) };
        assert_eq!(setup.fate(&back), Fate::Absorbed);
    }
    let status = setup.calls.status(0);
    assert_eq!((status.returns_awaited, status.joined, status.entries_missing), (0, 0, 0));
}

#[test]
fn a_call_whose_policy_is_gone_does_not_wait_for_ever() {
    let mut setup = mk_setup();
    let key = mk_key(10, 100, 1);
    setup.exec(key);
    setup.fate(&mk_entry(key, 500));
    setup.calls.expire(&mut setup.out);
    assert!(setup.alone().is_empty());
    setup.calls.catalogue = Arc::default();
    setup.calls.expire(&mut setup.out);
    assert_eq!(setup.alone().len(), 1);
    assert_eq!(setup.calls.status(0).returns_awaited, 0);
}

#[test]
fn the_image_that_called_is_shown_and_no_other() {
    let mut setup = mk_setup();
    let [first, second, third] = [1, 2, 3].map(|exec| mk_key(10, 100, exec));
    setup.exec(first);
    setup.exec(second);
    let call = |key| PolicyRecord { phase: 0, ..mk_entry(key, 500) };
    assert_eq!(setup.event(&call(first)).0.process.key, first);
    let (kin, ..) = setup.event(&call(second));
    assert_eq!((kin.process.key, kin.parent.unwrap().key), (second, first));
    // Its exec may still come.
    assert!(matches!(setup.handle(&call(third), false), Handled::Stranger));
    let Handled::Event((Payload::Call { kin, .. }, _)) = setup.handle(&call(third), true) else { panic!() };
    assert_eq!((kin.process.key, kin.parent.unwrap().key), (third, second));
    assert_eq!(kin.process.wire.flags, "unknown");
    assert_eq!(setup.calls.status(0).unknown_process, 1);
    // When it comes, it is an event.
    setup.exec(third);
    assert_eq!(setup.event(&call(third)).0.process.wire.binary, "/bin/x");
}

#[test]
fn a_process_that_has_just_ended_is_still_shown() {
    let mut setup = mk_setup();
    let key = mk_key(10, 100, 1);
    setup.exec(key);
    setup.tracker.exit(&mk_exit(key, ProcessKey::default(), 0, 400));
    let record = PolicyRecord { phase: 0, ..mk_entry(key, 500) };
    assert_eq!(setup.event(&record).0.process.wire.binary, "/bin/x");
}

#[test]
fn what_no_plan_explains_is_malformed_and_counted() {
    let mut setup = mk_setup();
    let key = mk_key(10, 100, 1);
    setup.exec(key);
    let unknown = PolicyRecord { generation: 9, ..mk_entry(key, 500) };
    assert_eq!(setup.fate(&unknown), Fate::Malformed);
    assert_eq!(setup.calls.status(0).unknown_policy, 1);
    let mut strange = mk_entry(key, 500);
    strange.arg[0].capture = 99;
    assert_eq!(setup.fate(&strange), Fate::Malformed);
    let mut unreadable = PolicyRecord { phase: 0, ..mk_entry(key, 500) };
    unreadable.arg[0].flags |= u16::try_from(captured_flags::UNREADABLE).unwrap();
    let (_, call, _) = setup.event(&unreadable);
    assert!(
        matches!(&numbers(&call.args)[0], Arg::ErrorArg(it) if it.message == "Bad address for basic type")
    );
    assert_eq!(setup.calls.status(0).unreadable_arguments, 1);
}

#[test]
fn only_a_filter_on_the_return_value_makes_calls_wait_for_it() {
    let plan = mk_plan("policy", vec![]);
    assert!(plan.returns_unconditionally);
    let with = |return_args: Vec<ArgFilter>| {
        let selector = Selector {
            path: TracePath::default(),
            pids: vec![],
            binaries: None,
            namespaces: vec![],
            namespace_changes: None,
            capabilities: vec![],
            capability_changes: vec![],
            args: vec![],
            return_args,
            actions: vec![Action::NoPost],
            return_actions: vec![],
        };
        let hook = HookProgram { selectors: vec![selector], ..(*plan.hook).clone() };
        PlanInfo::new(plan.policy.clone(), Arc::new(hook), String::new()).returns_unconditionally
    };
    let filter = ArgFilter {
        path: TracePath::default(),
        arg: 0,
        operator: ArgOperator::Equal,
        predicate: Predicate::Untyped { values: vec![] },
    };
    assert!(with(vec![]) && !with(vec![filter]));
}
