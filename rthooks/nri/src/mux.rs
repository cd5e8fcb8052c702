//! The outer framing: several byte streams ("connections") share one socket.
//!
//! A frame is an 8-byte header (connection id and payload length, both big-endian u32) and the payload. Frame
//! boundaries mean nothing to the streams inside: a message may be spread over frames, and frames may be empty.

use bytes::{BufMut, Bytes, BytesMut};

/// Connection on which the plugin serves and the runtime calls.
pub const PLUGIN_SERVICE: u32 = 1;
/// Connection on which the runtime serves and the plugin calls.
pub const RUNTIME_SERVICE: u32 = 2;
/// Bytes of a frame's header.
pub const HEADER_LEN: usize = 8;
/// Longest payload taken, in bytes. No runtime sends more (old ones refuse to, newer ones split at 4 MiB and 10
/// bytes), so a greater length means that the stream is out of step.
pub const MAX_PAYLOAD: u32 = 1 << 24;
/// Payload of the first frame of a longer message. Runtimes read a message's beginning, and with it the whole first
/// frame, into a buffer of this size, and give up the connection if the frame does not fit.
pub const FIRST_PAYLOAD: usize = 4096;

/// A frame longer than [`MAX_PAYLOAD`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "mux frame of {length} bytes for connection {id} is longer than {MAX_PAYLOAD}: the stream is out of step"
)]
pub struct FrameTooLong {
    /// Connection id of the frame.
    pub id: u32,
    /// Its length, in bytes.
    pub length: u32,
}

/// A part of one frame's payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece<'a> {
    /// The connection it belongs to.
    pub id: u32,
    /// This is the frame's beginning.
    pub first: bool,
    /// The bytes; empty only for an empty frame.
    pub bytes: &'a [u8],
}

/// Takes a stream of frames apart, however it is cut. Keeps at most one header, never a payload.
#[derive(Debug, Default)]
pub struct Demux {
    state: State,
}

#[derive(Debug)]
enum State {
    Header { bytes: [u8; HEADER_LEN], have: usize },
    Payload { id: u32, left: usize },
    Failed(FrameTooLong),
}

impl Default for State {
    fn default() -> Self {
        Self::Header { bytes: [0; HEADER_LEN], have: 0 }
    }
}

impl Demux {
    /// Takes the next piece from the front of `input`; `None` once all of it is used up.
    ///
    /// # Errors
    /// A frame that is too long. There is no way on from there: every later call says the same.
    pub fn next<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Piece<'a>>, FrameTooLong> {
        let mut first = false;
        if let State::Header { bytes, have } = &mut self.state {
            let taken = take(input, HEADER_LEN - *have);
            bytes[*have..*have + taken.len()].copy_from_slice(taken);
            *have += taken.len();
            if *have < HEADER_LEN {
                return Ok(None);
            }
            let [i0, i1, i2, i3, l0, l1, l2, l3] = *bytes;
            let (id, length) = (u32::from_be_bytes([i0, i1, i2, i3]), u32::from_be_bytes([l0, l1, l2, l3]));
            self.state = match length {
                0..=MAX_PAYLOAD => State::Payload { id, left: length as usize },
                _ => State::Failed(FrameTooLong { id, length }),
            };
            first = true;
        }
        match &mut self.state {
            State::Payload { id, left } => {
                let (id, bytes) = (*id, take(input, *left));
                *left -= bytes.len();
                let (done, empty) = (*left == 0, bytes.is_empty());
                if done {
                    self.state = State::default();
                }
                // A header at the very end of the input: the frame's beginning is told now, its bytes follow.
                Ok((first || done || !empty).then_some(Piece { id, first, bytes }))
            }
            State::Failed(error) => Err(*error),
            State::Header { .. } => Ok(None),
        }
    }

    /// All frames so far have arrived as a whole.
    #[must_use]
    pub fn is_at_boundary(&self) -> bool {
        matches!(self.state, State::Header { have: 0, .. })
    }
}

/// Up to `limit` bytes from the front.
pub(crate) fn take<'a>(input: &mut &'a [u8], limit: usize) -> &'a [u8] {
    let (taken, rest) = input.split_at(limit.min(input.len()));
    *input = rest;
    taken
}

/// Frames one message for connection `id`, in the one way that every runtime can read: short ones in one frame,
/// longer ones with a first frame of exactly [`FIRST_PAYLOAD`] bytes and the rest in a second.
///
/// The message must fit a frame, as those of [`crate::ttrpc`] do.
#[must_use]
pub fn encode(id: u32, message: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(2 * HEADER_LEN + message.len());
    let (first, rest) = message.split_at(message.len().min(FIRST_PAYLOAD));
    put_frame(&mut out, id, first);
    if !rest.is_empty() {
        put_frame(&mut out, id, rest);
    }
    out.freeze()
}

fn put_frame(out: &mut BytesMut, id: u32, payload: &[u8]) {
    debug_assert!(payload.len() <= MAX_PAYLOAD as usize, "callers keep messages below the limit");
    out.put_u32(id);
    out.put_u32(u32::try_from(payload.len()).unwrap_or(u32::MAX));
    out.put_slice(payload);
}

#[cfg(test)]
#[path = "mux/tests.rs"]
mod tests;
