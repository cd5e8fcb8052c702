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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{mk_data, mk_key};

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn pieces_are_joined_by_process_and_taken_once() {
        let mut arguments = Arguments::default();
        let [a, b] = [mk_key(1, 1, 1), mk_key(1, 1, 2)];
        arguments.add(&mk_data(a, 0, 1), b"one\0");
        arguments.add(&mk_data(b, 0, 1), b"other\0");
        arguments.add(&mk_data(a, 4, 1), b"two\0");
        assert_eq!((arguments.len(&a), arguments.len(&b)), (8, 6));
        assert_eq!(arguments.take(&a), b"one\0two\0");
        assert_eq!((arguments.len(&a), arguments.take(&a)), (0, Vec::new()));
        assert_eq!(arguments.take(&b), b"other\0");
    }

    #[test]
    fn a_missing_piece_cuts_the_list_and_mixes_nothing() {
        let mut arguments = Arguments::default();
        let key = mk_key(1, 1, 1);
        arguments.add(&mk_data(key, 0, 1), b"one\0");
        arguments.add(&mk_data(key, 8, 1), b"three\0");
        assert_eq!(arguments.take(&key), b"one\0");
    }

    #[test]
    fn what_nobody_claims_is_forgotten() {
        let mut arguments = Arguments::default();
        let [old, new] = [mk_key(1, 1, 1), mk_key(2, 1, 1)];
        arguments.add(&mk_data(old, 0, SECOND), b"x");
        arguments.add(&mk_data(new, 0, 5 * SECOND), b"y");
        arguments.expire(6 * SECOND);
        assert_eq!((arguments.len(&old), arguments.len(&new)), (0, 1));
    }
}
