//! Records as the kernel programs write them.

use std::mem::offset_of;

use tetragon_bpf::records::{
    Credentials, ExecRecord, ExitRecord, ForkRecord, Namespaces, ProcessKey, RecordHeader, TaskInfo, kind,
};
use zerocopy::IntoBytes;

/// The bytes of one record, aligned as in a ring.
pub(crate) struct Bytes {
    words: Vec<u64>,
    len: usize,
}

impl Bytes {
    fn new(kind: u32, fixed: usize, strings: &[&[u8]]) -> Self {
        let len = fixed + strings.iter().map(|string| string.len()).sum::<usize>();
        let mut record = Self { words: vec![0; len.div_ceil(8)], len };
        let mut at = fixed;
        for string in strings {
            record.words.as_mut_bytes()[at..at + string.len()].copy_from_slice(string);
            at += string.len();
        }
        record.put(offset_of!(RecordHeader, size), u32::try_from(len).unwrap_or(u32::MAX).to_ne_bytes());
        record.put(offset_of!(RecordHeader, kind), kind.to_ne_bytes());
        record
    }

    fn put<const N: usize>(&mut self, offset: usize, value: [u8; N]) {
        self.words.as_mut_bytes()[offset..offset + N].copy_from_slice(&value);
    }

    fn put_key(&mut self, offset: usize, key: ProcessKey) {
        self.put(offset + offset_of!(ProcessKey, start_boot_ns), key.start_boot_ns.to_ne_bytes());
        self.put(offset + offset_of!(ProcessKey, tgid), key.tgid.to_ne_bytes());
        self.put(offset + offset_of!(ProcessKey, exec_id), key.exec_id.to_ne_bytes());
    }

    fn put_time(&mut self, boot_ns: u64) {
        self.put(offset_of!(RecordHeader, boot_ns), boot_ns.to_ne_bytes());
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.words.as_bytes()[..self.len]
    }
}

/// The records of a process that is born, executes a program and ends.
pub(crate) struct Life {
    pub(crate) fork: Bytes,
    pub(crate) exec: Bytes,
    pub(crate) exit: Bytes,
}

const FILENAME: &[u8] = b"/usr/bin/grep";
const CGROUP: &[u8] = b"session-1.scope";
/// Four directories, from the innermost; as a path, 20 bytes.
const CWD: &[u8] = b"proj\0work\0team\0data\0";
/// 40 bytes.
const ARGUMENTS: &[u8] = b"grep\0-rn\0--color=auto\0needle\0src/lib.rs\0";
const ALL_CAPABILITIES: u64 = (1 << 41) - 1;
const SUCCESS: u32 = 0;

impl Life {
    /// A child of `parent`.
    pub(crate) fn below(parent: ProcessKey) -> Self {
        let mut exec = Bytes::new(kind::EXEC, size_of::<ExecRecord>(), &[FILENAME, CGROUP, CWD, ARGUMENTS]);
        for (offset, string) in [
            (offset_of!(ExecRecord, filename_len), FILENAME),
            (offset_of!(ExecRecord, cgroup_name_len), CGROUP),
            (offset_of!(ExecRecord, cwd_len), CWD),
            (offset_of!(ExecRecord, args_inline_len), ARGUMENTS),
            (offset_of!(ExecRecord, args_total_len), ARGUMENTS),
        ] {
            exec.put(offset, u32::try_from(string.len()).unwrap_or(u32::MAX).to_ne_bytes());
        }
        let task = offset_of!(ExecRecord, task);
        exec.put_key(task + offset_of!(TaskInfo, parent), parent);
        exec.put(task + offset_of!(TaskInfo, auid), 1000u32.to_ne_bytes());
        exec.put(task + offset_of!(TaskInfo, exe_links), 1u32.to_ne_bytes());
        exec.put(task + offset_of!(TaskInfo, exe_inode), 77u64.to_ne_bytes());
        let cred = task + offset_of!(TaskInfo, cred);
        for set in [offset_of!(Credentials, permitted), offset_of!(Credentials, effective)] {
            exec.put(cred + set, ALL_CAPABILITIES.to_ne_bytes());
        }
        let ns = task + offset_of!(TaskInfo, ns);
        for member in 0..size_of::<Namespaces>() / size_of::<u32>() {
            exec.put(ns + member * size_of::<u32>(), 4_026_531_835u32.to_ne_bytes());
        }

        let mut fork = Bytes::new(kind::FORK, size_of::<ForkRecord>(), &[]);
        fork.put_key(offset_of!(ForkRecord, parent), parent);
        fork.put_key(offset_of!(ForkRecord, creator), parent);
        let mut exit = Bytes::new(kind::EXIT, size_of::<ExitRecord>(), &[]);
        exit.put_key(offset_of!(ExitRecord, parent), parent);
        exit.put(offset_of!(ExitRecord, code), SUCCESS.to_ne_bytes());
        Self { fork, exec, exit }
    }

    /// Makes it the life of another process, born at this moment.
    pub(crate) fn of(&mut self, tgid: u32, start_boot_ns: u64) {
        let born = ProcessKey { start_boot_ns, tgid, exec_id: 1 };
        let image = ProcessKey { exec_id: 2, ..born };
        self.fork.put_key(offset_of!(ForkRecord, key), born);
        self.fork.put_time(start_boot_ns);
        self.exec.put_key(offset_of!(ExecRecord, task) + offset_of!(TaskInfo, key), image);
        self.exec.put_time(start_boot_ns + 50_000);
        self.exit.put_key(offset_of!(ExitRecord, key), image);
        self.exit.put_time(start_boot_ns + 900_000);
    }
}
