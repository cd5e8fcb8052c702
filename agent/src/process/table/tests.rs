use super::*;
use crate::process::describe::Settings;
use crate::samples::{mk_describer, mk_key};

const SECOND: u64 = 1_000_000_000;

fn mk_table(capacity: usize) -> Table {
    Table::new(capacity, mk_describer(Settings::default()).kernel())
}

fn mk_entry(tgid: u32, exec_id: u32) -> Entry {
    let key = mk_key(tgid, u64::from(tgid), exec_id);
    let info = mk_describer(Settings::default()).unknown(key, None, &ProcessKey::default(), None);
    Entry {
        info: Arc::new(info),
        parent: None,
        ancestors: Arc::default(),
        stage: Stage::Running,
        missing: false,
    }
}

fn key(tgid: u32) -> ProcessKey {
    mk_key(tgid, u64::from(tgid), 1)
}

#[test]
fn pid_zero_is_the_kernel_in_every_table() {
    let table = mk_table(1);
    assert_eq!(table.image(&ProcessKey::default()).unwrap().wire.binary, "<kernel>");
    assert_eq!(table.parent(&mk_key(0, 99, 7)).unwrap().wire.binary, "<kernel>");
    assert!(table.is_empty());
}

#[test]
fn an_image_is_found_by_all_of_its_key_and_a_process_by_less() {
    let mut table = mk_table(9);
    table.insert(mk_entry(5, 2));
    assert!(table.image(&mk_key(5, 5, 2)).is_some());
    for other in [mk_key(5, 5, 1), mk_key(5, 6, 2), mk_key(6, 5, 2)] {
        assert!(table.image(&other).is_none(), "{other:?}");
    }
    assert!(table.get(&mk_key(5, 5, 1)).is_some() && table.parent(&mk_key(5, 5, 9)).is_some());
    assert!(table.get(&mk_key(5, 6, 2)).is_none() && table.parent(&mk_key(5, 6, 2)).is_none());
}

#[test]
fn an_entry_that_comes_back_is_not_removed_for_its_former_end() {
    let mut table = mk_table(9);
    table.insert(mk_entry(5, 1));
    table.exit(&key(5), SECOND);
    table.insert(mk_entry(5, 2));
    assert_eq!(table.exited(), 0);
    table.expire(100 * SECOND);
    assert_eq!(table.len(), 1);
    table.miss(&key(5), SECOND);
    table.exit(&key(5), 2 * SECOND);
    assert_eq!(table.exited(), 1);
    table.expire(100 * SECOND);
    assert_eq!((table.len(), table.exited()), (0, 0));
}

#[test]
fn only_those_that_go_on_and_are_old_enough_can_be_missing() {
    let mut table = mk_table(9);
    for tgid in 1..=5 {
        table.insert(mk_entry(tgid, 1));
    }
    table.exit(&key(1), SECOND);
    table.miss(&key(2), SECOND);
    let mut old: Vec<u32> = table.living_since_before(5).into_iter().map(|(key, _)| key.tgid).collect();
    old.sort_unstable();
    assert_eq!(old, [3, 4]);
}

#[test]
fn few_of_the_ended_are_kept_however_many_there_are() {
    let mut table = mk_table(usize::MAX);
    for tgid in 1..=5000 {
        table.insert(mk_entry(tgid, 1));
        table.exit(&key(tgid), SECOND);
    }
    assert_eq!((table.len(), table.exited()), (KEEP_EXITED, KEEP_EXITED));
    assert!(table.get(&key(5000)).is_some() && table.get(&key(1)).is_none());
}

#[test]
fn a_full_table_makes_room_for_the_new_only() {
    let mut table = mk_table(3);
    for tgid in 1..=3 {
        table.insert(mk_entry(tgid, 1));
    }
    table.insert(mk_entry(2, 2));
    assert_eq!((table.len(), table.evicted()), (3, 0));
    table.exit(&key(3), SECOND);
    table.insert(mk_entry(4, 1));
    assert!(table.get(&key(3)).is_none() && table.get(&key(1)).is_some());
    table.insert(mk_entry(5, 1));
    assert_eq!((table.len(), table.evicted(), table.capacity()), (3, 2, 3));
}
