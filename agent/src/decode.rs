//! Bytes from a ring, read as records. Borrows; copies nothing.

use tetragon_bpf::plan::{PolicyRecord, captured_flags};
use tetragon_bpf::records::{
    CgroupRecord, DataRecord, ExecRecord, ExitRecord, ForkRecord, RecordHeader, kind,
};
use thiserror::Error;
use zerocopy::FromBytes;

use crate::process::describe::ExecStrings;

/// A record with what follows it.
#[derive(Debug, Clone, Copy)]
pub enum Record<'a> {
    /// A successful exec.
    Exec(&'a ExecRecord, ExecStrings<'a>),
    /// A new process.
    Fork(&'a ForkRecord),
    /// The end of a process.
    Exit(&'a ExitRecord),
    /// A cgroup appears or disappears.
    Cgroup(&'a CgroupRecord),
    /// A piece of an argument list.
    Data(&'a DataRecord, &'a [u8]),
    /// A call that matched a policy. All offsets in the record lie within the data.
    Policy(&'a PolicyRecord, &'a [u8]),
}

/// A record that is not what its header says. Cannot happen while agent and object are of one build.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Malformed {
    /// Too short for its kind.
    #[error("record of kind {kind} has only {len} bytes")]
    Short {
        /// As in the header; 0 if there is none.
        kind: u32,
        /// What there is.
        len: usize,
    },
    /// Nobody knows what it is.
    #[error("record of unknown kind {0}")]
    Kind(u32),
}

/// The header alone.
pub fn header(bytes: &[u8]) -> Option<&RecordHeader> {
    RecordHeader::ref_from_prefix(bytes).ok().map(|(header, _)| header)
}

/// Reads one record.
pub fn decode(bytes: &[u8]) -> Result<Record<'_>, Malformed> {
    let kind = header(bytes).ok_or(Malformed::Short { kind: 0, len: bytes.len() })?.kind;
    let short = Malformed::Short { kind, len: bytes.len() };
    match kind {
        kind::EXEC => {
            let (record, rest) = ExecRecord::ref_from_prefix(bytes).map_err(|_| short)?;
            let strings = exec_strings(record, rest).ok_or(Malformed::Short { kind, len: bytes.len() })?;
            Ok(Record::Exec(record, strings))
        }
        kind::FORK => Ok(Record::Fork(ForkRecord::ref_from_prefix(bytes).map_err(|_| short)?.0)),
        kind::EXIT => Ok(Record::Exit(ExitRecord::ref_from_prefix(bytes).map_err(|_| short)?.0)),
        kind::CGROUP => Ok(Record::Cgroup(CgroupRecord::ref_from_prefix(bytes).map_err(|_| short)?.0)),
        kind::DATA => {
            let record = DataRecord::ref_from_prefix(bytes).map_err(|_| short)?.0;
            let piece =
                record.bytes.get(..record.len as usize).ok_or(Malformed::Short { kind, len: bytes.len() })?;
            Ok(Record::Data(record, piece))
        }
        kind::POLICY => {
            let (record, rest) = PolicyRecord::ref_from_prefix(bytes).map_err(|_| short)?;
            let data = policy_data(record, rest).ok_or(Malformed::Short { kind, len: bytes.len() })?;
            Ok(Record::Policy(record, data))
        }
        other => Err(Malformed::Kind(other)),
    }
}

fn exec_strings<'a>(record: &ExecRecord, rest: &'a [u8]) -> Option<ExecStrings<'a>> {
    let (filename, rest) = rest.split_at_checked(record.filename_len as usize)?;
    let (cgroup_name, rest) = rest.split_at_checked(record.cgroup_name_len as usize)?;
    let (cwd, rest) = rest.split_at_checked(record.cwd_len as usize)?;
    let arguments = rest.get(..record.args_inline_len as usize)?;
    Some(ExecStrings { filename, cgroup_name, cwd, arguments, arguments_cut: false })
}

fn policy_data<'a>(record: &PolicyRecord, rest: &'a [u8]) -> Option<&'a [u8]> {
    let data = rest.get(..record.data_len as usize)?;
    let within = |at: u32, len: u32| {
        let at = at as usize;
        at.checked_add(len as usize).is_some_and(|end| end <= data.len())
    };
    let elsewhere = |flags: u16| u32::from(flags) & captured_flags::IN_PIECES != 0;
    let all = record.arg.iter().all(|arg| elsewhere(arg.flags) || within(arg.offset, arg.len))
        && within(record.kernel_stack_at, record.kernel_stack_len)
        && within(record.user_stack_at, record.user_stack_len);
    all.then_some(data)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn short_and_unknown_records_are_errors() {
        assert_eq!(decode(&[0; 3]).unwrap_err(), Malformed::Short { kind: 0, len: 3 });
        let mut bytes = [0u64; 8];
        bytes[0] = u64::from(kind::EXEC) << 32;
        let bytes = zerocopy::IntoBytes::as_bytes(&bytes);
        assert_eq!(decode(bytes).unwrap_err(), Malformed::Short { kind: kind::EXEC, len: 64 });
    }

    #[test]
    fn what_points_out_of_a_policy_record_is_an_error() {
        let mut record = crate::samples::mk_call(crate::samples::mk_key(1, 1, 1), 1);
        record.arg[2].offset = 4;
        record.arg[2].len = 4;
        let good = crate::samples::mk_call_bytes(&record, b"12345678");
        let bytes = zerocopy::IntoBytes::as_bytes(good.as_slice());
        assert!(matches!(decode(bytes), Ok(Record::Policy(_, b"12345678"))));
        let wrong: [fn(&mut PolicyRecord); 5] = [
            |it| it.arg[2].len = 5,
            |it| it.arg[2].offset = u32::MAX,
            |it| it.kernel_stack_len = 16,
            |it| (it.user_stack_at, it.user_stack_len) = (8, 8),
            |it| it.data_len = 4096,
        ];
        for change in wrong {
            let mut bad = good.clone();
            let (record, _) =
                PolicyRecord::mut_from_prefix(zerocopy::IntoBytes::as_mut_bytes(bad.as_mut_slice())).unwrap();
            change(record);
            assert!(matches!(
                decode(zerocopy::IntoBytes::as_bytes(bad.as_slice())),
                Err(Malformed::Short { kind: kind::POLICY, .. })
            ));
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(
            kind in 0u32..8,
            words in proptest::collection::vec(any::<u64>(), 0..400),
        ) {
            let mut words = words;
            if let Some(first) = words.first_mut() {
                *first = u64::from(kind) << 32 | *first & 0xffff_ffff;
            }
            let _ = decode(zerocopy::IntoBytes::as_bytes(words.as_slice()));
        }
    }
}
