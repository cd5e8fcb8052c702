//! What is known of one process image, and its encoded forms.

use std::borrow::Cow;
use std::sync::OnceLock;

use prost::Message;
use tetragon_api::json::ToJson;
use tetragon_api::tetragon::{BinaryProperties, Process};
use tetragon_bpf::records::ProcessKey;

use super::Belonging;

/// One process image. Never changes once made; a new exec makes a new one.
#[derive(Debug)]
pub struct ProcessInfo {
    /// Identity in the kernel.
    pub key: ProcessKey,
    /// As events carry it.
    pub wire: Process,
    /// Only the exec event itself carries these.
    pub binary_properties: Option<BinaryProperties>,
    /// A kernel thread; these have no events of their own.
    pub kernel_thread: bool,
    /// Its container; none for processes of the host.
    pub belonging: Option<Belonging>,
    json: OnceLock<Box<str>>,
    proto: OnceLock<Box<[u8]>>,
}

impl ProcessInfo {
    /// Takes over what was collected.
    pub fn new(
        key: ProcessKey,
        wire: Process,
        binary_properties: Option<BinaryProperties>,
        kernel_thread: bool,
    ) -> Self {
        Self {
            key,
            wire,
            binary_properties,
            kernel_thread,
            belonging: None,
            json: OnceLock::new(),
            proto: OnceLock::new(),
        }
    }

    /// The same process, known to belong to a container.
    #[must_use]
    pub fn belonging_to(mut self, belonging: Option<Belonging>) -> Self {
        self.belonging = belonging;
        self
    }

    /// Bytes of the strings that can be long.
    pub fn weight(&self) -> usize {
        let argv: usize = self.wire.argv.iter().map(bytes::Bytes::len).sum();
        self.wire.arguments.len() + argv + self.wire.binary.len() + self.wire.cwd.len()
    }

    /// The JSON text of [`Self::wire`], made on first use.
    pub fn json(&self) -> &str {
        self.json.get_or_init(|| {
            // Room for names, numbers and ids, so that it seldom grows.
            let mut text = String::with_capacity(512 + self.weight());
            self.wire.write_json(&mut text);
            text.into_boxed_str()
        })
    }

    /// The wire format of [`Self::wire`], made on first use.
    pub fn proto(&self) -> &[u8] {
        self.proto.get_or_init(|| self.wire.encode_to_vec().into_boxed_slice())
    }

    /// The process as an event of one of its threads shows it.
    pub fn wire_of_thread(&self, tid: u32) -> Process {
        Process { tid: Some(tid), ..self.wire.clone() }
    }

    /// The JSON text of [`Self::wire_of_thread`].
    pub fn json_of_thread(&self, tid: u32) -> Cow<'_, str> {
        if self.wire.tid == Some(tid) {
            return Cow::Borrowed(self.json());
        }
        let mut text = String::with_capacity(self.json().len() + 16);
        self.wire_of_thread(tid).write_json(&mut text);
        Cow::Owned(text)
    }

    /// The wire format of [`Self::wire_of_thread`].
    pub fn proto_of_thread(&self, tid: u32) -> Cow<'_, [u8]> {
        if self.wire.tid == Some(tid) {
            return Cow::Borrowed(self.proto());
        }
        Cow::Owned(self.wire_of_thread(tid).encode_to_vec())
    }

    /// The process as the exec event shows it.
    pub fn wire_in_exec(&self) -> Process {
        Process { binary_properties: self.binary_properties.clone(), ..self.wire.clone() }
    }
}
