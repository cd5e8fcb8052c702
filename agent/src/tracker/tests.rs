use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::process::describe::{Settings, exec_id};
use crate::samples::*;

const SECOND: u64 = 1_000_000_000;

fn mk_tracker(capacity: usize) -> Tracker {
    Tracker::new(mk_describer(Settings::default()), capacity, true)
}

fn id_of(boot_ns: u64, pid: u32) -> String {
    exec_id("node", boot_ns, pid)
}

fn init() -> ProcessKey {
    mk_key(1, 1, 0)
}

/// A tracker that has found pid 1 running.
fn mk_running(capacity: usize) -> Tracker {
    let mut tracker = mk_tracker(capacity);
    tracker.adopt(&mk_found(init(), ProcessKey::default())).unwrap();
    tracker
}

fn exec(tracker: &mut Tracker, key: ProcessKey, parent: ProcessKey, boot_ns: u64) -> Verdict {
    tracker.exec(&mk_exec(key, parent, boot_ns), mk_strings("/bin/x"))
}

fn exit(tracker: &mut Tracker, key: ProcessKey, boot_ns: u64) -> Verdict {
    tracker.exit(&mk_exit(key, init(), 0, boot_ns))
}

fn kin(verdict: Verdict) -> Kin {
    match verdict {
        Verdict::Event(Payload::Exec(kin) | Payload::Exit { kin, .. }) => kin,
        other => panic!("no event: {other:?}"),
    }
}

fn id(info: &ProcessInfo) -> &str {
    &info.wire.exec_id
}

fn parent_id(kin: &Kin) -> &str {
    let parent = kin.parent.as_ref().map(|parent| id(parent));
    assert!(parent.is_none_or(|parent| parent == kin.process.wire.parent_exec_id));
    &kin.process.wire.parent_exec_id
}

#[test]
fn an_exec_after_a_clone_has_the_process_parent_and_says_clone() {
    let mut tracker = mk_running(100);
    let (child, image) = (mk_key(10, 100, 0), mk_key(10, 100, 1));
    tracker.fork(&mk_fork(child, init()));
    let kin = kin(exec(&mut tracker, image, init(), 200));
    assert_eq!(id(&kin.process), id_of(200, 10));
    assert_eq!(parent_id(&kin), id_of(1, 1));
    assert_eq!(kin.process.wire.flags, "execve clone");
    assert_eq!(kin.process.wire.binary, "/bin/x");
}

#[test]
fn an_exec_in_the_same_process_has_the_previous_image_as_parent() {
    let mut tracker = mk_running(100);
    tracker.fork(&mk_fork(mk_key(10, 100, 0), init()));
    exec(&mut tracker, mk_key(10, 100, 1), init(), 200);
    let kin = kin(exec(&mut tracker, mk_key(10, 100, 2), init(), 300));
    assert_eq!((id(&kin.process), parent_id(&kin)), (&*id_of(300, 10), &*id_of(200, 10)));
    assert_eq!(kin.process.wire.flags, "execve");
}

#[test]
fn an_exec_that_is_known_already_is_a_duplicate() {
    let mut tracker = mk_running(100);
    tracker.adopt(&mk_found(mk_key(10, 100, 1), init())).unwrap();
    assert!(matches!(exec(&mut tracker, mk_key(10, 100, 1), init(), 200), Verdict::Known));
    assert!(matches!(exec(&mut tracker, mk_key(10, 100, 0), init(), 200), Verdict::Known));
}

#[test]
fn a_process_that_lost_its_parent_gets_the_one_it_has_at_its_exec() {
    let mut tracker = mk_running(100);
    let (middle, child) = (mk_key(10, 100, 0), mk_key(11, 110, 0));
    tracker.fork(&mk_fork(middle, init()));
    tracker.fork(&mk_fork(child, middle));
    let first = kin(exit(&mut tracker, middle, 120));
    assert_eq!(parent_id(&first), id_of(1, 1));
    let kin = kin(exec(&mut tracker, mk_key(11, 110, 1), init(), 200));
    assert_eq!(parent_id(&kin), id_of(1, 1));
}

#[test]
fn an_unknown_parent_is_named_but_not_shown() {
    let mut tracker = mk_running(100);
    let kin = kin(exec(&mut tracker, mk_key(10, 100, 1), mk_key(77, 70, 3), 200));
    assert!(kin.parent.is_none());
    assert_eq!(kin.process.wire.parent_exec_id, id_of(70, 77));
    assert_eq!(kin.process.wire.flags, "execve");
    let mut status = ProcessTableStatus::default();
    tracker.show(&mut status);
    assert_eq!(status.unknown_process, 1);
}

#[test]
fn a_clone_shows_the_program_of_its_creator_and_the_parent_of_the_tree() {
    let mut tracker = mk_running(100);
    let creator = mk_key(10, 100, 1);
    exec(&mut tracker, creator, init(), 200);
    // As CLONE_PARENT has it.
    let record = ForkRecord { creator, ..mk_fork(mk_key(11, 210, 1), init()) };
    tracker.fork(&record);
    let kin = kin(exit(&mut tracker, record.key, 300));
    assert_eq!((id(&kin.process), parent_id(&kin)), (&*id_of(210, 11), &*id_of(1, 1)));
    assert_eq!(kin.process.wire.binary, "/bin/x");
    assert_eq!(kin.process.wire.pid, Some(11));
    assert_eq!(kin.process.wire.flags, "clone");
}

#[test]
fn an_exit_shows_the_last_image_its_code_and_its_signal() {
    let mut tracker = mk_running(100);
    exec(&mut tracker, mk_key(10, 100, 1), init(), 200);
    let record = mk_exit(mk_key(10, 100, 1), init(), 7 << 8, 300);
    let Verdict::Event(Payload::Exit { kin, signal, status }) = tracker.exit(&record) else { panic!() };
    assert_eq!((id(&kin.process), signal, status), (&*id_of(200, 10), "", 7));

    exec(&mut tracker, mk_key(11, 100, 1), init(), 200);
    let record = mk_exit(mk_key(11, 100, 1), init(), 0x80 | 11, 300);
    let Verdict::Event(Payload::Exit { signal, status, .. }) = tracker.exit(&record) else { panic!() };
    assert_eq!((signal, status), ("SIGSEGV", 0));
}

#[test]
fn the_second_exit_of_a_process_is_a_duplicate() {
    let mut tracker = mk_running(100);
    let key = mk_key(10, 100, 1);
    exec(&mut tracker, key, init(), 200);
    kin(exit(&mut tracker, key, 300));
    assert!(matches!(exit(&mut tracker, key, 300), Verdict::Known));
}

#[test]
fn the_exit_of_an_image_whose_exec_was_lost_is_not_taken_for_the_image_before() {
    let mut tracker = mk_running(100);
    for (pid, found) in [(10, false), (11, true)] {
        let before = mk_key(pid, 100, 1);
        let old = if found {
            match tracker.adopt(&mk_found(before, init())) {
                Some(Payload::Exec(kin)) => kin,
                other => panic!("{other:?}"),
            }
        } else {
            kin(exec(&mut tracker, before, init(), 200))
        };
        let kin = kin(exit(&mut tracker, mk_key(pid, 100, 2), 300));
        assert_ne!(id(&kin.process), id(&old.process));
        assert_eq!(parent_id(&kin), id(&old.process));
        assert_eq!(kin.process.wire.flags, "unknown");
        assert!(matches!(exit(&mut tracker, mk_key(pid, 100, 2), 300), Verdict::Known));
    }
}

#[test]
fn the_exit_of_a_clone_whose_exec_was_lost_keeps_the_parent_of_the_tree() {
    let mut tracker = mk_running(100);
    tracker.fork(&mk_fork(mk_key(10, 100, 0), init()));
    let kin = kin(exit(&mut tracker, mk_key(10, 100, 1), 300));
    assert_eq!((id(&kin.process), parent_id(&kin)), (&*id_of(100, 10), &*id_of(1, 1)));
    assert_eq!(kin.process.wire.flags, "unknown");
}

#[test]
fn a_scan_after_a_lost_exec_gives_the_image_an_id_of_its_own() {
    let mut tracker = mk_running(100);
    tracker.adopt(&mk_found(mk_key(10, 100, 1), init())).unwrap();
    let mut seen = vec![id_of(100, 10)];
    for exec_id in [2, 3, 9] {
        let found = tracker.adopt(&mk_found(mk_key(10, 100, exec_id), init()));
        let Some(Payload::Exec(kin)) = found else { panic!() };
        assert_eq!(Some(parent_id(&kin)), seen.last().map(String::as_str));
        seen.push(id(&kin.process).to_owned());
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 4);
}

#[test]
fn the_exit_of_somebody_unknown_is_an_event_of_its_own() {
    let mut tracker = mk_running(100);
    assert!(!tracker.has(&mk_key(10, 100, 1)));
    let kin = kin(exit(&mut tracker, mk_key(10, 100, 1), 300));
    assert_eq!((id(&kin.process), parent_id(&kin)), (&*id_of(100, 10), &*id_of(1, 1)));
    assert_eq!(kin.process.wire.flags, "unknown");
    assert!(tracker.has(&mk_key(10, 100, 1)));
}

#[test]
fn kernel_threads_are_silent_but_known() {
    let mut tracker = mk_running(100);
    let mut found = mk_found(mk_key(2, 2, 0), ProcessKey::default());
    found.task.flags |= task_flags::KTHREAD;
    assert!(tracker.adopt(&found).is_none());
    let thread = mk_key(30, 100, 0);
    tracker.fork(&ForkRecord { flags: task_flags::KTHREAD, ..mk_fork(thread, found.task.key) });
    let exit = ExitRecord { flags: task_flags::KTHREAD, ..mk_exit(thread, found.task.key, 0, 200) };
    assert!(matches!(tracker.exit(&exit), Verdict::Silent));
    assert!(matches!(tracker.exit(&exit), Verdict::Known));
    let stranger = ExitRecord { key: mk_key(31, 100, 0), ..exit };
    assert!(matches!(tracker.exit(&stranger), Verdict::Silent));

    // A helper that the kernel starts: first a kernel thread, then a program.
    let helper = mk_key(32, 100, 0);
    tracker.fork(&ForkRecord { flags: task_flags::KTHREAD, ..mk_fork(helper, found.task.key) });
    let kin = kin(exec(&mut tracker, mk_key(32, 100, 1), found.task.key, 200));
    assert_eq!(kin.parent.unwrap().wire.binary, "[comm]");
    assert!(matches!(tracker.exit(&mk_exit(mk_key(32, 100, 1), init(), 0, 300)), Verdict::Event(_)));
}

#[test]
fn a_dying_process_is_shown_only_if_its_end_is_seen() {
    let mut tracker = mk_running(100);
    let key = mk_key(10, 100, 1);
    assert!(tracker.adopt(&mk_dying(key, init())).is_none());
    let Verdict::Late(Payload::Exec(first), Payload::Exit { kin, .. }) = exit(&mut tracker, key, 200) else {
        panic!()
    };
    assert_eq!(id(&first.process), id(&kin.process));
    assert_eq!(parent_id(&kin), id_of(1, 1));
    assert!(matches!(exit(&mut tracker, key, 200), Verdict::Known));
}

#[test]
fn processes_that_a_scan_misses_are_buried_but_their_exit_still_counts() {
    let mut tracker = mk_running(100);
    let [gone, ending, there, later] = [10, 11, 12, 13].map(|pid| mk_key(pid, u64::from(pid) * 10, 1));
    for key in [gone, ending, there, later] {
        exec(&mut tracker, key, init(), key.start_boot_ns + 1);
    }
    assert!(tracker.adopt(&mk_dying(mk_key(14, 50, 1), init())).is_none());
    let set = |keys: &[ProcessKey]| keys.iter().map(|key| (key.tgid, key.start_boot_ns)).collect();
    let buried = tracker.bury_missing(&set(&[init(), there]), &set(&[ending]), later.start_boot_ns);
    assert_eq!(buried, 1);
    let missed = |tracker: &Tracker| {
        let mut status = ProcessTableStatus::default();
        tracker.show(&mut status);
        status.exit_missed
    };
    assert_eq!(missed(&tracker), 1);
    assert_eq!(tracker.bury_missing(&set(&[init(), there]), &set(&[ending]), later.start_boot_ns), 0);
    let kin = kin(exit(&mut tracker, gone, 300));
    assert_eq!(id(&kin.process), id_of(101, 10));
    assert_eq!(missed(&tracker), 0);
    for key in [ending, there, later] {
        assert!(matches!(exit(&mut tracker, key, 300), Verdict::Event(_)));
    }
}

#[test]
fn a_process_that_was_buried_alive_goes_on() {
    let mut tracker = mk_running(100);
    exec(&mut tracker, mk_key(10, 100, 1), init(), 200);
    tracker.bury_missing(&HashSet::from([(1, 1)]), &HashSet::new(), 300);
    let next = kin(exec(&mut tracker, mk_key(10, 100, 2), init(), 400));
    assert_eq!(parent_id(&next), id_of(200, 10));
    tracker.expire(100 * SECOND);
    let last = kin(exit(&mut tracker, mk_key(10, 100, 2), 500));
    assert_eq!(id(&last.process), id(&next.process));
}

#[test]
fn a_reused_pid_is_another_process() {
    let mut tracker = mk_running(100);
    let (old, new) = (mk_key(10, 100, 1), mk_key(10, 900, 1));
    exec(&mut tracker, old, init(), 200);
    let second = kin(exec(&mut tracker, new, init(), 1000));
    assert_eq!(parent_id(&second), id_of(1, 1));
    assert_eq!(id(&kin(exit(&mut tracker, old, 1100)).process), id_of(200, 10));
    assert_eq!(id(&kin(exit(&mut tracker, new, 1200)).process), id_of(1000, 10));
}

#[test]
fn ancestors_begin_above_the_parent_and_end_before_the_kernel() {
    let mut tracker = mk_running(100);
    let names = |kin: &Kin| -> Vec<String> { kin.ancestors.iter().map(|info| id(info).to_owned()).collect() };
    let [a, b, c] = [10, 11, 12].map(|pid| mk_key(pid, u64::from(pid), 1));
    assert_eq!(names(&kin(exec(&mut tracker, a, init(), 100))), Vec::<String>::new());
    assert_eq!(names(&kin(exec(&mut tracker, b, a, 200))), [id_of(1, 1)]);
    assert_eq!(names(&kin(exec(&mut tracker, c, b, 300))), [id_of(100, 10), id_of(1, 1)]);
    // Another program in the same process: its first image is the parent now, in the exec as in the exit.
    let again = ProcessKey { exec_id: 2, ..b };
    assert_eq!(names(&kin(exec(&mut tracker, again, a, 400))), [id_of(100, 10), id_of(1, 1)]);
    let end = kin(exit(&mut tracker, again, 500));
    assert_eq!((id(&end.process), parent_id(&end)), (&*id_of(400, 11), &*id_of(200, 11)));
    assert_eq!(names(&end), [id_of(100, 10), id_of(1, 1)]);
    // And what began under the first image still has the line of that one.
    assert_eq!(names(&kin(exit(&mut tracker, c, 600))), [id_of(100, 10), id_of(1, 1)]);
}

#[test]
fn the_table_stays_within_its_capacity_and_drops_the_ended_first() {
    let mut tracker = mk_running(4);
    let keys: Vec<_> = (10..13).map(|pid| mk_key(pid, 100, 1)).collect();
    for key in &keys {
        exec(&mut tracker, *key, init(), 200);
    }
    exit(&mut tracker, keys[1], 300);
    exec(&mut tracker, mk_key(20, 400, 1), init(), 400);
    assert!(!tracker.has(&keys[1]));
    assert!(tracker.has(&keys[0]) && tracker.has(&keys[2]) && tracker.has(&init()));
    // A new image needs no new place.
    exec(&mut tracker, mk_key(20, 400, 2), init(), 500);
    let mut status = ProcessTableStatus::default();
    tracker.show(&mut status);
    assert_eq!((status.entries, status.evicted, status.capacity), (4, 1, 4));
    exec(&mut tracker, mk_key(21, 500, 1), init(), 600);
    tracker.show(&mut status);
    assert_eq!((status.entries, status.evicted), (4, 2));
}

#[test]
fn ended_processes_are_forgotten_after_a_while() {
    let mut tracker = mk_running(100);
    let key = mk_key(10, 100, 1);
    exec(&mut tracker, key, init(), 200);
    exit(&mut tracker, key, SECOND);
    tracker.expire(3 * SECOND);
    assert!(tracker.has(&key));
    tracker.expire(7 * SECOND);
    assert!(!tracker.has(&key));
    assert!(tracker.has(&init()));
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Fork(usize),
    Exec(usize),
    Exit(usize),
    Adopt(usize),
    Expire,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0usize..64).prop_map(Step::Fork),
        3 => (0usize..64).prop_map(Step::Exec),
        2 => (0usize..64).prop_map(Step::Exit),
        1 => (0usize..64).prop_map(Step::Adopt),
        1 => Just(Step::Expire),
    ];
    proptest::collection::vec(step, 0..200)
}

fn process(key: ProcessKey) -> (u32, u64) {
    (key.tgid, key.start_boot_ns)
}

#[derive(Debug)]
struct Model {
    now: u64,
    /// With their parents.
    living: Vec<(ProcessKey, ProcessKey)>,
    /// By process, all that were its parent once: re-parenting has no record of its own.
    parents: HashMap<(u32, u64), HashSet<(u32, u64)>>,
    /// By process, its last exec event.
    last_exec: HashMap<(u32, u64), String>,
}

impl Model {
    fn check(&mut self, payload: &Payload) -> Result<(), TestCaseError> {
        let (kin, is_exec) = match payload {
            Payload::Exec(kin) => (kin, true),
            Payload::Exit { kin, .. } => (kin, false),
            Payload::Call { .. } | Payload::Gap { .. } => return Err(TestCaseError::fail("out of nowhere")),
        };
        let key = kin.process.key;
        let id = process(key);
        if let Some(shown) = &kin.parent {
            let parent = process(shown.key);
            prop_assert!(parent == id || self.parents[&id].contains(&parent), "{parent:?} for {id:?}");
            prop_assert_eq!(&shown.wire.exec_id, &kin.process.wire.parent_exec_id);
            prop_assert_ne!(&shown.wire.exec_id, &kin.process.wire.exec_id);
        }
        if is_exec {
            let before = self.last_exec.insert(id, kin.process.wire.exec_id.clone());
            prop_assert_ne!(before.as_deref(), Some(&*kin.process.wire.exec_id));
        } else if let Some(last) = self.last_exec.get(&id) {
            prop_assert_eq!(last, &kin.process.wire.exec_id);
        }
        Ok(())
    }

    fn take(&mut self, verdict: Verdict) -> Result<(), TestCaseError> {
        match verdict {
            Verdict::Event(payload) => self.check(&payload),
            Verdict::Late(first, second) => self.check(&first).and_then(|()| self.check(&second)),
            Verdict::Known | Verdict::Silent => Ok(()),
        }
    }
}

proptest! {
    /// Pids come from a small range, so that they are used again; forks out of nowhere are processes whose birth
    /// was before our time.
    #[test]
    fn any_sequence_keeps_identity_parents_and_bounds(steps in steps(), roomy in any::<bool>()) {
        let capacity = if roomy { 1000 } else { 8 };
        let mut tracker = mk_running(capacity);
        let mut model = Model {
            now: 10,
            living: vec![(init(), ProcessKey::default())],
            parents: HashMap::from([((1, 1), HashSet::from([(0, 0)]))]),
            last_exec: HashMap::from([((1, 1), id_of(1, 1))]),
        };
        for step in steps {
            model.now += 1;
            let now = model.now;
            let count = model.living.len();
            match step {
                Step::Fork(at) => {
                    let parent = model.living[at % count].0;
                    let Some(pid) = (2..20).find(|pid| model.living.iter().all(|(key, _)| key.tgid != *pid)) else {
                        continue;
                    };
                    let child = mk_key(pid, now, parent.exec_id);
                    model.living.push((child, parent));
                    model.parents.insert(process(child), HashSet::from([process(parent)]));
                    tracker.fork(&mk_fork(child, parent));
                }
                Step::Exec(at) => {
                    model.living[at % count].0.exec_id += 1;
                    let (key, parent) = model.living[at % count];
                    let verdict = exec(&mut tracker, key, parent, now);
                    // A table that had to drop the process still may not take it for another.
                    model.take(verdict)?;
                }
                Step::Exit(at) if at % count != 0 => {
                    let (key, parent) = model.living[at % count];
                    let verdict = tracker.exit(&mk_exit(key, parent, 0, now));
                    if roomy {
                        model.take(verdict)?;
                        let again = tracker.exit(&mk_exit(key, parent, 0, now));
                        prop_assert!(matches!(again, Verdict::Known));
                    }
                    model.living.swap_remove(at % count);
                    for (child, parent) in &mut model.living {
                        if process(*parent) == process(key) {
                            *parent = init();
                            model.parents.entry(process(*child)).or_default().insert((1, 1));
                        }
                    }
                }
                Step::Adopt(at) => {
                    let (key, parent) = model.living[at % count];
                    let payload = tracker.adopt(&mk_found(key, parent));
                    if let (Some(payload), true) = (payload, roomy) {
                        model.check(&payload)?;
                    }
                }
                Step::Expire => tracker.expire(now * SECOND),
                Step::Exit(_) => {}
            }
            let mut status = ProcessTableStatus::default();
            tracker.show(&mut status);
            prop_assert!(status.entries <= capacity as u64);
            prop_assert!(status.exited <= status.entries);
        }
    }
}
