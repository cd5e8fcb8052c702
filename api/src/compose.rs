//! Puts events together from parts that are already encoded.
//!
//! A process appears in every event about it and about its children. Encoding it once per format and copying the
//! result is much cheaper than building and encoding the messages again. What comes out equals, byte for byte, what
//! [`prost::Message::encode`] and [`json::to_string`](crate::json::to_string) make of the whole message.

use std::collections::BTreeMap;

use prost_types::Timestamp;

mod text;
mod wire;

pub use text::{json_call, json_exec, json_exit};
pub use wire::{proto_call, proto_exec, proto_exit};

/// The processes of an event, each an encoded [`Process`](crate::tetragon::Process): bytes of its wire format, or its
/// JSON text.
#[derive(Clone, Copy, Debug)]
pub struct Family<'a, T: ?Sized> {
    /// The process the event is about.
    pub process: Option<&'a T>,
    /// Its parent.
    pub parent: Option<&'a T>,
    /// From the parent's parent upwards.
    pub ancestors: &'a [&'a T],
}

/// What only an exit event has.
#[derive(Clone, Copy, Debug, Default)]
pub struct Exit<'a> {
    /// Name of the signal that ended the process, or empty.
    pub signal: &'a str,
    /// Exit code.
    pub status: u32,
    /// When it ended.
    pub time: Option<Timestamp>,
}

/// What surrounds the payload of every event.
#[derive(Clone, Copy, Debug, Default)]
pub struct Envelope<'a> {
    /// Name of this node.
    pub node_name: &'a str,
    /// When the kernel recorded the event.
    pub time: Option<Timestamp>,
    /// Name of the cluster, or empty.
    pub cluster_name: &'a str,
    /// Labels of the node.
    pub node_labels: Option<&'a BTreeMap<String, String>>,
}
