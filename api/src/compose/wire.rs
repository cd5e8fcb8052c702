//! Events in the wire format.

use prost::Message;
use prost::encoding::{self, WireType, encode_key, encode_varint, encoded_len_varint, key_len};
use prost_types::Timestamp;

use super::{Envelope, Exit, Family};
use crate::tetragon::EventType;

/// Appends a `GetEventsResponse` with a `process_exec`.
pub fn proto_exec(out: &mut Vec<u8>, family: &Family<'_, [u8]>, envelope: &Envelope<'_>) {
    let length = processes_len(family) + ancestors_len(3, family);
    begin(out, EventType::ProcessExec as u32, length);
    processes(out, family);
    ancestors(out, 3, family);
    end(out, envelope);
}

/// Appends a `GetEventsResponse` with a `process_exit`.
pub fn proto_exit(out: &mut Vec<u8>, family: &Family<'_, [u8]>, exit: &Exit<'_>, envelope: &Envelope<'_>) {
    let mut length = processes_len(family) + ancestors_len(6, family);
    if !exit.signal.is_empty() {
        length += field_len(3, exit.signal.len());
    }
    if exit.status != 0 {
        length += encoding::uint32::encoded_len(4, &exit.status);
    }
    if let Some(time) = &exit.time {
        length += field_len(5, time.encoded_len());
    }
    begin(out, EventType::ProcessExit as u32, length);
    processes(out, family);
    text(out, 3, exit.signal);
    if exit.status != 0 {
        encoding::uint32::encode(4, &exit.status, out);
    }
    timestamp(out, 5, exit.time.as_ref());
    ancestors(out, 6, family);
    end(out, envelope);
}

/// Appends an event of a policy. `rest` is the payload without its processes; nothing in it may belong behind the
/// ancestors, whose field is given.
pub fn proto_call(
    out: &mut Vec<u8>,
    event_type: EventType,
    family: &Family<'_, [u8]>,
    rest: &[u8],
    ancestors_field: u32,
    envelope: &Envelope<'_>,
) {
    let length = processes_len(family) + rest.len() + ancestors_len(ancestors_field, family);
    begin(out, event_type as u32, length);
    processes(out, family);
    out.extend_from_slice(rest);
    ancestors(out, ancestors_field, family);
    end(out, envelope);
}

/// The field of the payload equals its event type.
fn begin(out: &mut Vec<u8>, field: u32, length: usize) {
    out.reserve(length + 64);
    encode_key(field, WireType::LengthDelimited, out);
    encode_varint(length as u64, out);
}

fn end(out: &mut Vec<u8>, envelope: &Envelope<'_>) {
    text(out, 1000, envelope.node_name);
    timestamp(out, 1001, envelope.time.as_ref());
    text(out, 1003, envelope.cluster_name);
    if let Some(labels) = envelope.node_labels {
        encoding::btree_map::encode(
            encoding::string::encode,
            encoding::string::encoded_len,
            encoding::string::encode,
            encoding::string::encoded_len,
            1004,
            labels,
            out,
        );
    }
}

fn processes(out: &mut Vec<u8>, family: &Family<'_, [u8]>) {
    for (field, process) in [(1, family.process), (2, family.parent)] {
        if let Some(process) = process {
            bytes(out, field, process);
        }
    }
}

fn processes_len(family: &Family<'_, [u8]>) -> usize {
    let length = |field, process: Option<&[u8]>| process.map_or(0, |it| field_len(field, it.len()));
    length(1, family.process) + length(2, family.parent)
}

fn ancestors(out: &mut Vec<u8>, field: u32, family: &Family<'_, [u8]>) {
    family.ancestors.iter().for_each(|ancestor| bytes(out, field, ancestor));
}

fn ancestors_len(field: u32, family: &Family<'_, [u8]>) -> usize {
    family.ancestors.iter().map(|ancestor| field_len(field, ancestor.len())).sum()
}

fn timestamp(out: &mut Vec<u8>, field: u32, time: Option<&Timestamp>) {
    if let Some(time) = time {
        encoding::message::encode(field, time, out);
    }
}

fn text(out: &mut Vec<u8>, field: u32, text: &str) {
    if !text.is_empty() {
        bytes(out, field, text.as_bytes());
    }
}

fn bytes(out: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    encode_key(field, WireType::LengthDelimited, out);
    encode_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

fn field_len(field: u32, length: usize) -> usize {
    key_len(field) + encoded_len_varint(length as u64) + length
}
