//! The protobuf JSON mapping with the options of the export format: proto field names, enum names, nothing that is
//! unset, fields in the order of their declaration.
//!
//! Writing is generated code, since it is done for every event. Reading goes through descriptors: it is done for
//! configuration and by the client.

mod read;
mod well_known;
mod write;

pub use read::{Error, from_str, from_str_lenient};
pub use write::ToJson;
pub(crate) use write::{Object, map, string};
use write::{array, enumeration};

include!(concat!(env!("OUT_DIR"), "/json.rs"));

/// One message as compact JSON on a single line.
pub fn to_string<T: ToJson>(message: &T) -> String {
    let mut out = String::new();
    message.write_json(&mut out);
    out
}

/// One event as a line of the export file, without the line feed.
pub fn event_to_string(event: &crate::tetragon::GetEventsResponse) -> String {
    to_string(event)
}
