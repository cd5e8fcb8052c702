use std::sync::Arc;

use tetragon_bpf::records::{CgroupRecord, Identity, cgroup_action, identity_flags, transitions};
use tetragon_filters::parse_redaction_filters;
use zerocopy::FromZeros;

use super::*;
use crate::samples::{
    mk_describer, mk_describer_of, mk_exec, mk_fork, mk_found, mk_key, mk_store, mk_strings,
};

const CONTAINER: &str =
    "cri-containerd-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef.scope";

fn mk_record(flags: u32) -> ExecRecord {
    let mut record = mk_exec(mk_key(7, 70, 1), mk_key(1, 1, 1), 700);
    record.flags = flags;
    record
}

fn describe(settings: Settings, flags: u32, strings: ExecStrings<'_>) -> Process {
    mk_describer(settings).exec(&mk_record(flags), strings, None, None, false).wire
}

fn mk_redactor(filter: &str) -> Redactor {
    Redactor::new(&parse_redaction_filters(filter).unwrap()).unwrap()
}

#[test]
fn ids_are_the_base64_of_node_time_and_pid() {
    assert_eq!(exec_id("node1", 1_234_567_890, 42), "bm9kZTE6MTIzNDU2Nzg5MDo0Mg==");
}

#[test]
fn an_exec_shows_what_its_record_says() {
    let strings = ExecStrings { cgroup_name: CONTAINER.as_bytes(), ..mk_strings("./x") };
    let wire = describe(Settings::default(), 0, strings);
    assert_eq!((&*wire.binary, &*wire.cwd, &*wire.arguments), ("/home/x", "/home", "one"));
    assert_eq!(wire.docker, "0123456789abcdef0123456789abcde");
    assert_eq!((wire.pid, wire.tid, wire.uid, wire.auid), (Some(7), Some(7), Some(0), Some(u32::MAX)));
    assert_eq!((wire.flags.as_str(), wire.exec_id.as_str()), ("execve", &*exec_id("node", 700, 7)));
    assert!(wire.argv.is_empty() && wire.cap.is_none() && wire.ns.is_none());
}

#[test]
fn the_directory_decides_about_binary_and_flags() {
    let at = |cwd: &'static [u8], flags| {
        describe(Settings::default(), flags, ExecStrings { cwd, ..mk_strings("x") })
    };
    let shown = |wire: &Process| [wire.cwd.clone(), wire.binary.clone(), wire.flags.clone()];
    assert_eq!(shown(&at(b"", 0)), ["/", "/x", "execve rootcwd"]);
    assert_eq!(shown(&at(b"b\0a\0", exec_flags::CWD_UNLINKED)), ["/a/b (deleted)", "/a/b/x", "execve"]);
    // Only the end of the directory, or nothing of it: no path may look absolute that is not.
    assert_eq!(
        shown(&at(b"b\0a\0", exec_flags::CWD_INCOMPLETE)),
        ["a/b", "a/b/x", "execve errorPathResolutionCwd"]
    );
    assert_eq!(shown(&at(b"", exec_flags::CWD_INCOMPLETE)), ["", "x", "execve errorPathResolutionCwd"]);
    assert_eq!(shown(&at(b"", exec_flags::CWD_UNREADABLE)), ["", "x", "execve errorCWD"]);
}

#[test]
fn what_could_not_be_read_is_flagged_and_never_drops_the_event() {
    let flags = exec_flags::FILENAME_UNREADABLE
        | exec_flags::ARGS_UNREADABLE
        | exec_flags::CWD_UNREADABLE
        | exec_flags::CGROUP_NAME_UNREADABLE;
    let wire = describe(Settings::default(), flags, ExecStrings::default());
    assert_eq!(wire.flags, "execve errorFilename errorArgs errorCWD errorCgroupName");
    assert_eq!((&*wire.binary, &*wire.arguments, &*wire.cwd), ("", "", ""));
    for (flags, cut) in [(exec_flags::ARGS_TRUNCATED, false), (0, true)] {
        let strings = ExecStrings { arguments_cut: cut, ..mk_strings("/x") };
        assert_eq!(describe(Settings::default(), flags, strings).flags, "execve truncArgs");
    }
}

#[test]
fn cgroups_that_are_missing_are_flagged() {
    for (flag, words) in
        [(task_flags::NO_CGROUP, "execve errorCgroups"), (task_flags::NO_CGROUP_ID, "execve errorCgroupID")]
    {
        let mut record = mk_record(0);
        record.task.flags = flag;
        let info = mk_describer(Settings::default()).exec(&record, mk_strings("/x"), None, None, false);
        assert_eq!(info.wire.flags, words);
    }
}

#[test]
fn arguments_that_print_alike_are_listed_exactly() {
    let strings = ExecStrings { arguments: b"sh\0a b\0", ..mk_strings("/x") };
    let wire = describe(Settings::default(), 0, strings);
    assert_eq!(wire.arguments, " \"a b\"");
    assert_eq!(wire.argv, [&b"sh"[..], b"a b"]);
}

#[test]
fn a_redacted_secret_is_nowhere_in_the_process() {
    let mk_settings = || Settings {
        redactor: mk_redactor(r#"{"redact":["--pass[= ](\\S+)"],"binary_regex":["/found$","^/bin/x$"]}"#),
        ..Settings::default()
    };
    let hidden = |wire: &Process| !format!("{wire:?}").contains("secret") && wire.arguments.contains("*****");
    // The second list is ambiguous, so that it would be listed exactly.
    for arguments in [&b"x\0--pass=secret\0"[..], b"x\0--pass=secret\0a b\0"] {
        let wire = describe(mk_settings(), 0, ExecStrings { arguments, ..mk_strings("/bin/x") });
        assert!(hidden(&wire) && wire.argv.is_empty(), "{wire:?}");
    }
    let describer = mk_describer(mk_settings());
    let mut found = mk_found(mk_key(7, 70, 1), mk_key(1, 1, 1));
    found.facts.arguments = Some(b"x\0--pass=secret\0".to_vec());
    for exe in ["/bin/found", "/bin/found (deleted)"] {
        found.facts.exe = Some(exe.into());
        let info = describer.scanned(&found.task, &found.facts, None);
        assert!(hidden(&info.wire), "{info:?}");
        let child = describer.fork(&mk_fork(mk_key(8, 80, 1), info.key), &info, Some(&info));
        assert!(hidden(&child.wire), "{child:?}");
    }
}

#[test]
fn credentials_and_namespaces_are_shown_only_when_asked_for() {
    let mut record = mk_record(0);
    record.task.cred.permitted = 0b11;
    record.task.ns.uts = 5;
    record.transitions = transitions::EUID | transitions::ROOT_UID;
    let describe = |credentials, namespaces| {
        let settings = Settings { credentials, namespaces, ..Settings::default() };
        mk_describer(settings).exec(&record, mk_strings("/x"), None, None, false)
    };
    let bare = describe(false, false);
    assert!(bare.wire.cap.is_none() && bare.wire.ns.is_none() && bare.binary_properties.is_none());
    let full = describe(true, true);
    assert_eq!(full.wire.cap.clone().unwrap().permitted, [0, 1]);
    assert_eq!(full.wire.ns.unwrap().uts.unwrap().inum, 5);
    assert!(full.wire.binary_properties.is_none(), "belongs to the exec event alone");
    assert_eq!(full.wire_in_exec().binary_properties.unwrap().setuid, Some(0));
}

#[test]
fn users_are_named_in_the_namespaces_of_the_host_only() {
    let mut describer = mk_describer(Settings { user_names: true, ..Settings::default() });
    describer.users = HashMap::from([(0, "root".to_owned())]);
    let mut record = mk_record(0);
    (record.task.ns.mnt, record.task.ns.user) = (describer.host.mnt, describer.host.user);
    let user = |record: &ExecRecord| describer.exec(record, mk_strings("/x"), None, None, false).wire.user;
    assert_eq!(user(&record).unwrap().name, "root");
    record.task.cred.euid = 12345;
    assert!(user(&record).is_none());
    record.task.cred.euid = 0;
    record.task.ns.mnt += 1;
    assert!(user(&record).is_none());
}

#[test]
fn a_scanned_process_shows_what_proc_tells() {
    let describer = mk_describer(Settings::default());
    let mut found = mk_found(mk_key(7, 70, 1), mk_key(1, 1, 1));
    let wire = |found: &crate::process::scan::Found| describer.scanned(&found.task, &found.facts, None).wire;
    let shown = wire(&found);
    assert_eq!((&*shown.binary, &*shown.arguments, &*shown.flags), ("/bin/found", "one", "procFS auid"));
    assert_eq!(shown.exec_id, exec_id("node", 70, 7));
    assert_eq!(shown.parent_exec_id, exec_id("node", 1, 1));
    found.facts = ProcFacts { cwd: Some(b"/".to_vec()), ..ProcFacts::default() };
    let shown = wire(&found);
    assert_eq!((&*shown.binary, &*shown.flags), ("comm", "procFS auid errorFilename errorArgs rootcwd"));
    found.task.flags = task_flags::KTHREAD;
    let shown = wire(&found);
    assert_eq!((&*shown.binary, &*shown.flags), ("[comm]", "procFS"));
}

#[test]
fn the_kernel_has_the_id_of_the_contract() {
    let kernel = mk_describer(Settings::default()).kernel();
    assert_eq!(kernel.wire.exec_id, exec_id("node", 1, 0));
    assert_eq!((&*kernel.wire.binary, &*kernel.wire.flags), ("<kernel>", "procFS"));
    assert_eq!(Namespaces::new_zeroed().uts, 0);
}

#[test]
fn long_arguments_are_not_copied_to_every_fork() {
    let describer = mk_describer(Settings::default());
    let mut record = mk_record(0);
    record.task.key = mk_key(7, 70, 1);
    let long = [&b"x\0"[..], "\u{fc}".repeat(5000).as_bytes(), b"\0\0"].concat();
    let parent =
        describer.exec(&record, ExecStrings { arguments: &long, ..mk_strings("/x") }, None, None, false);
    assert!(parent.wire.arguments.len() > 10_000 && !parent.wire.argv.is_empty());
    let child = describer.fork(&mk_fork(mk_key(8, 80, 1), parent.key), &parent, Some(&parent));
    assert_eq!(child.wire.arguments, "\u{fc}".repeat(2048));
    assert_eq!((child.wire.flags.as_str(), child.wire.argv.len()), ("truncArgs clone", 0));
}

#[test]
fn a_process_that_joins_a_container_is_shown_in_it() {
    let store = mk_store();
    let mut made = CgroupRecord::new_zeroed();
    let path =
        format!("/kubepods/pod6f3e2a14-9d1b-4c5e-8a77-0123456789ab/cri-containerd-{}.scope", "ab".repeat(32));
    made.path[..path.len()].copy_from_slice(path.as_bytes());
    (made.cgroup_id, made.parent_id, made.path_len) = (50, 2, u32::try_from(path.len()).unwrap());
    (made.action, made.identity.flags) = (cgroup_action::MADE, identity_flags::PATH);
    store.cgroup(&made);
    let describer = mk_describer_of(Settings::default(), Arc::clone(&store));

    let mut record = mk_record(0);
    record.task.key = mk_key(7, 70, 1);
    let host = describer.exec(&record, mk_strings("/x"), None, None, false);
    assert!(host.belonging.is_none() && host.wire.identity.is_none());
    let seen = |cgroup_id, flags| Sighting {
        cgroup_id,
        identity: Identity { container: 0, flags, class: 0 },
        nspid: 0,
    };
    assert!(describer.moved(&host, seen(1, 0)).is_none(), "it is where it was");
    let joined = describer.moved(&host, seen(50, identity_flags::PATH | identity_flags::SETUP)).unwrap();
    assert_eq!(joined.wire.docker, "ab".repeat(32)[..31]);
    assert!(joined.wire.identity.as_ref().unwrap().setup);
    assert_eq!((&joined.wire.exec_id, joined.key), (&host.wire.exec_id, host.key));
    // The same again changes nothing; the end of the set-up does.
    assert!(describer.moved(&joined, seen(50, identity_flags::PATH | identity_flags::SETUP)).is_none());
    let later = describer.moved(&joined, seen(50, identity_flags::PATH)).unwrap();
    assert!(!later.wire.identity.as_ref().unwrap().setup);
    // It stays in its container wherever it goes.
    assert!(describer.moved(&joined, seen(1, 0)).is_none());
}
