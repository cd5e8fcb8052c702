//! Reading the arguments of a hook event by position and type.

use tetragon_api::tetragon::kprobe_argument::Arg;
use tetragon_api::tetragon::{KprobeArgument, KprobeBpfAttr, KprobeBpfMap, KprobePerfEvent, KprobeSock};

/// The arguments of one event. Each reader answers `None` when the argument is absent or of another type.
#[derive(Clone, Copy)]
pub(crate) struct Args<'a>(pub(crate) &'a [KprobeArgument]);

impl<'a> Args<'a> {
    fn get(self, index: usize) -> Option<&'a Arg> {
        self.0.get(index)?.arg.as_ref()
    }

    pub(crate) fn string(self, index: usize) -> Option<&'a str> {
        match self.get(index)? {
            Arg::StringArg(text) => Some(text),
            _ => None,
        }
    }

    /// The path of a file or path argument.
    pub(crate) fn path(self, index: usize) -> Option<&'a str> {
        match self.get(index)? {
            Arg::FileArg(file) => Some(&file.path),
            Arg::PathArg(path) => Some(&path.path),
            _ => None,
        }
    }

    /// Any integer argument.
    pub(crate) fn number(self, index: usize) -> Option<i128> {
        Some(match self.get(index)? {
            Arg::IntArg(n) => i128::from(*n),
            Arg::UintArg(n) => i128::from(*n),
            Arg::LongArg(n) => i128::from(*n),
            Arg::SizeArg(n) => i128::from(*n),
            _ => return None,
        })
    }

    /// The bytes of a buffer, whole or cut.
    pub(crate) fn bytes(self, index: usize) -> Option<&'a [u8]> {
        match self.get(index)? {
            Arg::BytesArg(bytes) => Some(bytes),
            Arg::TruncatedBytesArg(cut) => Some(&cut.bytes_arg),
            _ => None,
        }
    }

    pub(crate) fn sock(self, index: usize) -> Option<&'a KprobeSock> {
        match self.get(index)? {
            Arg::SockArg(sock) => Some(sock),
            _ => None,
        }
    }

    pub(crate) fn bpf_attr(self, index: usize) -> Option<&'a KprobeBpfAttr> {
        match self.get(index)? {
            Arg::BpfAttrArg(attr) => Some(attr),
            _ => None,
        }
    }

    pub(crate) fn perf_event(self, index: usize) -> Option<&'a KprobePerfEvent> {
        match self.get(index)? {
            Arg::PerfEventArg(event) => Some(event),
            _ => None,
        }
    }

    pub(crate) fn bpf_map(self, index: usize) -> Option<&'a KprobeBpfMap> {
        match self.get(index)? {
            Arg::BpfMapArg(map) => Some(map),
            _ => None,
        }
    }

    /// Number of a system call and the ABI it was called by, if that is told.
    pub(crate) fn syscall(self, index: usize) -> Option<(u64, Option<&'a str>)> {
        match self.get(index)? {
            Arg::SyscallId(id) => Some((u64::from(id.id), Some(&id.abi))),
            _ => u64::try_from(self.number(index)?).ok().map(|number| (number, None)),
        }
    }
}
