//! Texts and bytes.

use bytes::Bytes;
use tetragon_api::tetragon::KprobeTruncatedBytes;
use tetragon_api::tetragon::kprobe_argument::Arg;
use tetragon_bpf::plan::captured_flags;

use super::Value;
use crate::process::text::{to_text, until_nul};

/// A text that ends with a zero byte.
pub(super) fn string(value: &Value<'_>) -> Arg {
    Arg::StringArg(to_text(until_nul(value.bytes)))
}

/// Bytes, and how many there were if that is more. Tracepoint events have no place for that.
pub(super) fn bytes(value: &Value<'_>) -> Arg {
    let bytes_arg = Bytes::copy_from_slice(value.bytes);
    let orig_size = value.captured.value.max(value.bytes.len() as u64);
    let whole = orig_size == value.bytes.len() as u64 && !value.has(captured_flags::TRUNCATED);
    if value.tracepoint || whole {
        Arg::BytesArg(bytes_arg)
    } else {
        Arg::TruncatedBytesArg(KprobeTruncatedBytes { bytes_arg, orig_size })
    }
}
