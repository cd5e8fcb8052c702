//! Argument lists that come in pieces, until their exec record claims them.

use std::collections::HashMap;

use tetragon_bpf::records::{DataRecord, ProcessKey};

/// Pieces whose exec record has not come after so long never will: it was lost.
const ORPHANED_NS: u64 = 2_000_000_000;

#[derive(Debug, Default)]
struct List {
    bytes: Vec<u8>,
    last_boot_ns: u64,
}

/// Lists being gathered.
#[derive(Debug, Default)]
pub struct Arguments(HashMap<ProcessKey, List>);

impl Arguments {
    /// Adds a piece. One that does not continue what is there is left out, and the list will be found too short.
    pub fn add(&mut self, record: &DataRecord, piece: &[u8]) {
        let list = self.0.entry(record.key).or_default();
        if list.bytes.len() == record.offset as usize {
            list.bytes.extend_from_slice(piece);
        }
        list.last_boot_ns = record.header.boot_ns;
    }

    /// Bytes gathered for this process.
    pub fn len(&self, key: &ProcessKey) -> usize {
        self.0.get(key).map_or(0, |list| list.bytes.len())
    }

    /// Takes the list out.
    pub fn take(&mut self, key: &ProcessKey) -> Vec<u8> {
        self.0.remove(key).map(|list| list.bytes).unwrap_or_default()
    }

    /// Forgets lists that nobody will claim.
    pub fn expire(&mut self, now_boot_ns: u64) {
        self.0.retain(|_, list| list.last_boot_ns.saturating_add(ORPHANED_NS) > now_boot_ns);
    }
}
