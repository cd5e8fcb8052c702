use std::fs;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::mpsc::channel;
use std::thread;

use super::*;
use crate::policies::test_engine::{manager, policy, text};

fn key(name: &str) -> PolicyName {
    PolicyName { namespace: None, name: name.to_owned() }
}

fn states(manager: &Manager) -> Vec<(u32, String, State)> {
    manager.list().iter().map(|it| (it.id.0, it.name.to_string(), it.state)).collect()
}

#[test]
fn a_policy_goes_through_its_life() {
    let (engine, manager) = manager(false);
    assert_eq!(manager.add(policy("a", ""), false).expect("added"), PolicyId(1));
    let entry = manager.get(&key("a")).expect("listed");
    assert_eq!(entry.state, State::Enabled);
    assert_eq!(entry.sensors, ["generic_kprobe-0"]);
    assert!(entry.warnings.iter().any(|text| text == "spec: odd"), "{:?}", entry.warnings);
    assert_eq!(entry.figures.map(|it| it.memory_bytes), Some(4096));

    manager.disable(&key("a")).expect("disabled");
    assert_eq!(states(&manager), [(1, "a".to_owned(), State::Disabled)]);
    assert_eq!(engine.loaded(), [(1, "a".to_owned(), false)]);
    manager.enable(&key("a")).expect("enabled");
    assert_eq!(engine.loaded(), [(1, "a".to_owned(), true)]);
    manager.delete(&key("a")).expect("deleted");
    assert!(engine.loaded().is_empty() && manager.list().is_empty());
    assert_eq!(manager.add(policy("a", ""), false).expect("added again"), PolicyId(2));
}

#[test]
fn what_does_not_fit_the_state_is_refused_and_changes_nothing() {
    let (engine, manager) = manager(false);
    for result in [manager.delete(&key("a")), manager.enable(&key("a")), manager.disable(&key("a"))] {
        let error = result.expect_err("unknown");
        assert!(matches!(error, ManageError::Unknown(_)), "{error}");
        assert!(error.to_string().contains("a does not exist"), "{error}");
    }
    manager.add(policy("a", ""), false).expect("added");
    let error = manager.enable(&key("a")).expect_err("enabled already").to_string();
    assert!(error.contains("is not disabled"), "{error}");
    manager.disable(&key("a")).expect("disabled");
    let error = manager.disable(&key("a")).expect_err("disabled already").to_string();
    assert!(error.contains("is not enabled"), "{error}");
    let error = manager.add(policy("a", ""), false).expect_err("taken").to_string();
    let expected = "failed to add tracing policy a, a sensor collection with the key already exists";
    assert!(error.starts_with(expected), "{error}");
    assert_eq!(engine.loaded(), [(1, "a".to_owned(), false)]);
    assert_eq!(states(&manager), [(1, "a".to_owned(), State::Disabled)]);
}

#[test]
fn a_policy_that_cannot_be_loaded_is_listed_until_it_can_or_is_deleted() {
    let (engine, manager) = manager(false);
    engine.inside().refused.insert("a".to_owned());
    for id in 1..=2 {
        let error = manager.add(policy("a", ""), false).expect_err("refused").to_string();
        let entry = manager.get(&key("a")).expect("listed");
        assert_eq!((entry.id, entry.state), (PolicyId(id), State::LoadError));
        assert_eq!((entry.error.as_str(), entry.verifier_log.as_str()), (error.as_str(), "R1 invalid"));
        assert!(error.contains("no such function"), "{error}");
        assert!(manager.enable(&key("a")).is_err());
    }
    engine.inside().refused.clear();
    assert_eq!(manager.add(policy("a", ""), false).expect("added"), PolicyId(3));
    assert_eq!(manager.get(&key("a")).expect("listed").error, "");

    engine.inside().refused.insert("b".to_owned());
    manager.add(policy("b", ""), false).expect_err("refused");
    manager.delete(&key("b")).expect("deleted");
    assert_eq!(states(&manager), [(3, "a".to_owned(), State::Enabled)]);
}

#[test]
fn a_replacement_takes_the_place_or_leaves_the_old_one() {
    let (engine, manager) = manager(false);
    manager.add(policy("a", ""), true).expect("nothing to replace");
    manager.add(policy("a", ""), true).expect("replaced");
    assert_eq!(engine.loaded(), [(2, "a".to_owned(), true)]);
    engine.inside().refused.insert("a".to_owned());
    manager.add(policy("a", ""), true).expect_err("refused");
    assert_eq!(engine.loaded(), [(2, "a".to_owned(), true)]);
    assert_eq!(states(&manager), [(2, "a".to_owned(), State::Enabled)]);
    let entry = manager.get(&key("a")).expect("listed");
    assert!(entry.error.contains("no such function"), "{}", entry.error);
    assert_eq!(entry.verifier_log, "R1 invalid");
    engine.inside().refused.clear();
    manager.add(policy("a", ""), true).expect("replaced");
    assert_eq!(manager.get(&key("a")).expect("listed").error, "");
}

#[test]
fn policies_with_a_scope_need_the_setting() {
    let (engine, disabled) = manager(false);
    let error = disabled.add(policy("a", "shop"), false).expect_err("refused").to_string();
    assert!(error.contains("policyfilter is disabled"), "{error}");
    assert_eq!(states(&disabled), [(1, "shop/a".to_owned(), State::LoadError)]);
    assert!(engine.loaded().is_empty());

    let (_, enabled) = manager(true);
    for namespace in ["", "shop", "bank"] {
        enabled.add(policy("a", namespace), false).expect("one name, three namespaces");
    }
    assert_eq!(enabled.list().iter().map(|it| it.scoped).collect::<Vec<_>>(), [false, true, true]);
}

#[test]
fn what_the_kernel_does_not_let_go_stays_listed() {
    let (engine, manager) = manager(false);
    manager.add(policy("a", ""), false).expect("added");
    manager.disable(&key("a")).expect("disabled");
    engine.inside().stuck.store(true, SeqCst);
    manager.enable(&key("a")).expect_err("stuck");
    assert_eq!(manager.get(&key("a")).expect("listed").state, State::Disabled);
    manager.delete(&key("a")).expect_err("stuck");
    let entry = manager.get(&key("a")).expect("listed");
    assert_eq!(entry.state, State::Error);
    assert!(entry.error.contains("stuck"), "{}", entry.error);
    engine.inside().stuck.store(false, SeqCst);
    manager.delete(&key("a")).expect("deleted");
    assert!(manager.list().is_empty() && engine.loaded().is_empty());
}

#[test]
fn lists_do_not_wait_for_a_load_and_show_it() {
    let (engine, manager) = manager(false);
    manager.add(policy("a", ""), false).expect("added");
    let ((begun, has_begun), (go, may_go)) = (channel(), channel());
    engine.inside().gate = Some((begun, may_go));
    thread::scope(|scope| {
        let adding = scope.spawn(|| manager.add(policy("b", ""), false));
        has_begun.recv().expect("begun");
        let seen = [(1, "a".to_owned(), State::Enabled), (2, "b".to_owned(), State::Loading)];
        assert_eq!(states(&manager), seen);
        assert_eq!(manager.list()[0].figures.map(|it| it.memory_bytes), Some(4096));
        go.send(()).expect("waits");
        assert_eq!(adding.join().expect("ends").expect("added"), PolicyId(2));
    });
    assert_eq!(manager.get(&key("b")).expect("listed").state, State::Enabled);
}

#[test]
fn files_are_loaded_at_start_or_the_start_fails() {
    let folder = tempfile::tempdir().expect("folder");
    let directory = folder.path().join("tp.d");
    let (_, empty) = manager(false);
    empty.load_files(&directory, true, None).expect("may be absent");
    let error = empty.load_files(&directory, false, None).expect_err("must be there").to_string();
    assert!(error.contains("tp.d"), "{error}");

    fs::create_dir(&directory).expect("made");
    let file = folder.path().join("single.yaml");
    fs::write(directory.join("one.yaml"), text("one", "")).expect("written");
    fs::write(&file, text("single", "")).expect("written");
    let (_, loaded) = manager(false);
    loaded.load_files(&directory, false, Some(&file)).expect("loaded");
    let names: Vec<_> = loaded.list().iter().map(|it| it.name.name.clone()).collect();
    assert_eq!(names, ["one", "single"]);

    // Of one name in both places, the second is refused, and its file named.
    fs::write(&file, text("one", "")).expect("written");
    let (_, twice) = manager(false);
    let error = twice.load_files(&directory, false, Some(&file)).expect_err("twice").to_string();
    assert!(error.contains("single.yaml: failed to add tracing policy one"), "{error}");

    fs::write(directory.join("two.yaml"), text("Two", "")).expect("written");
    let (engine, wrong) = manager(false);
    let error = wrong.load_files(&directory, false, None).expect_err("wrong").to_string();
    assert!(error.contains("two.yaml") && error.contains("metadata.name"), "{error}");
    assert!(engine.loaded().is_empty(), "nothing of a wrong directory is loaded");
}

#[test]
fn an_agent_that_ends_takes_everything_out_and_nothing_in() {
    let (engine, manager) = manager(false);
    manager.add(policy("a", ""), false).expect("added");
    assert_eq!(Arc::strong_count(&engine.0), 2);
    manager.close();
    assert_eq!(Arc::strong_count(&engine.0), 1, "the engine is gone");
    let error = manager.add(policy("b", ""), false).expect_err("closed").to_string();
    assert!(error.contains("the agent is ending"), "{error}");
    assert_eq!(manager.known().len(), 2);
}
