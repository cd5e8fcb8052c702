//! The inner framing and its envelopes: unary calls over a byte stream.
//!
//! A frame is a 10-byte header (data length, stream id, type, flags; big-endian) and the data. A caller numbers its
//! requests 1, 3, 5 and so on; the response carries the request's number, and may overtake others.

mod frame;
mod status;

pub use frame::{Decoder, HEADER_LEN, Header, MAX_DATA, Message, REQUEST, RESPONSE, encode};
pub use status::{CallError, Code, LinkError, Status};

/// What the frames carry, generated from `proto/ttrpc.proto`.
pub mod envelope {
    include!(concat!(env!("OUT_DIR"), "/ttrpc.rs"));
}
