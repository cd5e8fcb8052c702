//! Frames.

use bytes::{BufMut, Bytes, BytesMut};

use crate::mux;

/// Bytes of a frame's header.
pub const HEADER_LEN: usize = 10;
/// Most data that a frame may carry, in bytes.
pub const MAX_DATA: usize = 4 << 20;
/// Frame type of a request.
pub const REQUEST: u8 = 1;
/// Frame type of a response.
pub const RESPONSE: u8 = 2;

/// What stands before the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Bytes of data.
    pub length: u32,
    /// Number of the call.
    pub stream: u32,
    /// [`REQUEST`], [`RESPONSE`], or a type that NRI does not use.
    pub kind: u8,
    /// Used by streaming calls only, which NRI has none of.
    pub flags: u8,
}

/// A frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// With all its data.
    Whole(Header, Bytes),
    /// With more data than [`MAX_DATA`]. It is passed over; the frame after it can be read.
    Oversize(Header),
}

/// Takes a byte stream apart into frames, however it is cut. Memory grows with the bytes that arrive, not with those
/// announced, and never beyond one frame.
#[derive(Debug, Default)]
pub struct Decoder {
    state: State,
    data: BytesMut,
}

#[derive(Debug)]
enum State {
    Header { bytes: [u8; HEADER_LEN], have: usize },
    Data(Header),
    Skip { left: usize },
}

impl Default for State {
    fn default() -> Self {
        Self::Header { bytes: [0; HEADER_LEN], have: 0 }
    }
}

impl Decoder {
    /// Takes the next frame from the front of `input`; `None` once all of it is used up.
    pub fn next(&mut self, input: &mut &[u8]) -> Option<Message> {
        loop {
            match &mut self.state {
                State::Header { bytes, have } => {
                    let taken = mux::take(input, HEADER_LEN - *have);
                    bytes[*have..*have + taken.len()].copy_from_slice(taken);
                    *have += taken.len();
                    if *have < HEADER_LEN {
                        return None;
                    }
                    let header = Header::from_bytes(*bytes);
                    if header.length as usize > MAX_DATA {
                        self.state = State::Skip { left: header.length as usize };
                        return Some(Message::Oversize(header));
                    }
                    self.state = State::Data(header);
                }
                State::Data(header) => {
                    let (header, length) = (*header, header.length as usize);
                    self.data.extend_from_slice(mux::take(input, length - self.data.len()));
                    if self.data.len() < length {
                        return None;
                    }
                    self.state = State::default();
                    return Some(Message::Whole(header, std::mem::take(&mut self.data).freeze()));
                }
                State::Skip { left } => {
                    *left -= mux::take(input, *left).len();
                    if *left > 0 {
                        return None;
                    }
                    self.state = State::default();
                }
            }
        }
    }

    /// All frames so far have arrived as a whole.
    #[must_use]
    pub fn is_at_boundary(&self) -> bool {
        matches!(self.state, State::Header { have: 0, .. } | State::Skip { left: 0 })
    }
}

impl Header {
    fn from_bytes([l0, l1, l2, l3, s0, s1, s2, s3, kind, flags]: [u8; HEADER_LEN]) -> Self {
        Self {
            length: u32::from_be_bytes([l0, l1, l2, l3]),
            stream: u32::from_be_bytes([s0, s1, s2, s3]),
            kind,
            flags,
        }
    }
}

/// A frame, flags 0; `None` if the data is longer than [`MAX_DATA`].
#[must_use]
pub fn encode(stream: u32, kind: u8, data: &[u8]) -> Option<Bytes> {
    let length = u32::try_from(data.len()).ok().filter(|it| *it as usize <= MAX_DATA)?;
    let mut out = BytesMut::with_capacity(HEADER_LEN + data.len());
    out.put_u32(length);
    out.put_u32(stream);
    out.put_u8(kind);
    out.put_u8(0);
    out.put_slice(data);
    Some(out.freeze())
}

#[cfg(test)]
#[path = "frame/tests.rs"]
mod tests;
