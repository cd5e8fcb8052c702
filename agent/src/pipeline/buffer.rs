//! Records outside of their ring.

use zerocopy::IntoBytes;

/// A record outside its ring, aligned as inside.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    words: Vec<u64>,
    len: usize,
}

impl Buffer {
    pub(super) fn copy(&mut self, record: &[u8]) {
        self.words.resize(record.len().div_ceil(8), 0);
        self.words.as_mut_bytes()[..record.len()].copy_from_slice(record);
        self.len = record.len();
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.words.as_bytes()[..self.len]
    }

    /// Bytes of memory.
    pub(super) fn capacity(&self) -> usize {
        self.words.capacity() * 8
    }
}
