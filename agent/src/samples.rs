//! Records and their makers, for tests.

use std::path::Path;
use std::sync::Arc;

use tetragon_bpf::plan::{PLAN_READERS, PolicyRecord};
use tetragon_bpf::records::kind;
use tetragon_bpf::records::{
    DataRecord, ExecRecord, ExitRecord, ForkRecord, ProcessKey, TaskInfo, task_flags,
};
use tetragon_crds::policy::PolicyName;
use tetragon_policy::{Attach, HookProgram, Reader};
use zerocopy::{FromZeros, IntoBytes};

use crate::clock::Clock;
use crate::identity::{Options, Store};
use crate::policies::PlanInfo;
use crate::process::Describer;
use crate::process::describe::{ExecStrings, Settings};
use crate::process::procfs::ProcFacts;
use crate::process::scan::Found;

pub(crate) fn mk_key(tgid: u32, start_boot_ns: u64, exec_id: u32) -> ProcessKey {
    ProcessKey { start_boot_ns, tgid, exec_id }
}

pub(crate) fn mk_task(key: ProcessKey, parent: ProcessKey) -> TaskInfo {
    let mut task = TaskInfo::new_zeroed();
    (task.key, task.parent, task.tid, task.auid) = (key, parent, key.tgid, u32::MAX);
    task.cgroup_id = 1;
    task.comm[..4].copy_from_slice(b"comm");
    task
}

pub(crate) fn mk_exec(key: ProcessKey, parent: ProcessKey, boot_ns: u64) -> ExecRecord {
    let mut record = ExecRecord::new_zeroed();
    record.header.boot_ns = boot_ns;
    record.task = mk_task(key, parent);
    record.old_tid = key.tgid;
    record
}

/// As if `file` was started with one argument.
pub(crate) fn mk_strings(file: &'static str) -> ExecStrings<'static> {
    ExecStrings {
        filename: file.as_bytes(),
        cwd: b"home\0",
        arguments: b"argv0\0one\0",
        ..Default::default()
    }
}

pub(crate) fn mk_fork(key: ProcessKey, parent: ProcessKey) -> ForkRecord {
    let mut record = ForkRecord::new_zeroed();
    (record.key, record.parent, record.creator) = (key, parent, parent);
    record.header.boot_ns = key.start_boot_ns;
    record.comm[..6].copy_from_slice(b"worker");
    record
}

pub(crate) fn mk_exit(key: ProcessKey, parent: ProcessKey, code: u32, boot_ns: u64) -> ExitRecord {
    let mut record = ExitRecord::new_zeroed();
    (record.key, record.parent, record.tid, record.code) = (key, parent, key.tgid, code);
    record.header.boot_ns = boot_ns;
    record
}

pub(crate) fn mk_data(key: ProcessKey, offset: u32, boot_ns: u64) -> DataRecord {
    let mut record = DataRecord::new_zeroed();
    (record.key, record.offset, record.header.boot_ns) = (key, offset, boot_ns);
    record
}

pub(crate) fn mk_found(key: ProcessKey, parent: ProcessKey) -> Found {
    let facts = ProcFacts {
        exe: Some(b"/bin/found".to_vec()),
        cwd: Some(b"/home".to_vec()),
        arguments: Some(b"argv0\0one\0".to_vec()),
        cgroup: None,
    };
    Found { task: mk_task(key, parent), facts }
}

pub(crate) fn mk_dying(key: ProcessKey, parent: ProcessKey) -> Found {
    let mut found = mk_found(key, parent);
    found.task.flags |= task_flags::DEAD;
    found
}

/// A store without a hierarchy and without a kernel.
pub(crate) fn mk_store() -> Arc<Store> {
    Arc::new(Store::new(None, Options::default()).expect("a descriptor"))
}

pub(crate) fn mk_describer(settings: Settings) -> Describer {
    mk_describer_of(settings, mk_store())
}

pub(crate) fn mk_describer_of(settings: Settings, store: Arc<Store>) -> Describer {
    let settings = Settings { node_name: "node".to_owned(), ..settings };
    Describer::new(settings, Arc::new(Clock::new()), store, Path::new("/proc"))
}

/// A plan of a hook on `function` that reads these.
pub(crate) fn mk_plan(policy: &str, readers: Vec<Reader>) -> PlanInfo {
    let attach = Attach::Kprobe { symbols: vec!["function".to_owned()], syscall: false };
    let name = PolicyName { namespace: None, name: policy.to_owned() };
    PlanInfo::new(name, Arc::new(mk_hook(attach, readers)), "function".to_owned())
}

pub(crate) fn mk_hook(attach: Attach, readers: Vec<Reader>) -> HookProgram {
    HookProgram {
        path: tetragon_crds::Path::default(),
        attach,
        readers,
        returns: None,
        selectors: Vec::new(),
        message: "a \"message\"".to_owned(),
        tags: vec!["observability.process".to_owned()],
        needs: std::collections::BTreeSet::default(),
        value_bytes: 0,
    }
}

/// A call under plan 1 of generation 1.
pub(crate) fn mk_call(key: ProcessKey, boot_ns: u64) -> PolicyRecord {
    let mut record = PolicyRecord::new_zeroed();
    record.header.kind = kind::POLICY;
    (record.header.boot_ns, record.entry_ns) = (boot_ns, boot_ns);
    (record.key, record.tid, record.plan, record.generation) = (key, key.tgid, 1, 1);
    assert_eq!(record.arg.len(), PLAN_READERS + 1);
    record
}

/// The record as it is in the ring.
pub(crate) fn mk_call_bytes(record: &PolicyRecord, data: &[u8]) -> Vec<u64> {
    let len = size_of::<PolicyRecord>() + data.len();
    let mut record = *record;
    record.data_len = u32::try_from(data.len()).expect("a record's data");
    let mut words = vec![0u64; len.div_ceil(8)];
    let bytes = words.as_mut_bytes();
    bytes[..size_of::<PolicyRecord>()].copy_from_slice(record.as_bytes());
    bytes[size_of::<PolicyRecord>()..len].copy_from_slice(data);
    words
}
