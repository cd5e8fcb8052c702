//! The few things that were used last.

use std::collections::HashMap;
use std::hash::Hash;

/// A map that forgets what has not been used for the longest time. Making room looks at every entry, so it is for
/// things that are costly to find again.
#[derive(Debug)]
pub(super) struct Lru<K, V> {
    entries: HashMap<K, (V, u64)>,
    capacity: usize,
    uses: u64,
}

impl<K: Eq + Hash + Clone, V: Clone> Lru<K, V> {
    pub(super) fn new(capacity: usize) -> Self {
        Self { entries: HashMap::new(), capacity, uses: 0 }
    }

    pub(super) fn get(&mut self, key: &K) -> Option<V> {
        self.uses += 1;
        let (value, used) = self.entries.get_mut(key)?;
        *used = self.uses;
        Some(value.clone())
    }

    pub(super) fn insert(&mut self, key: K, value: V) {
        self.uses += 1;
        if self.entries.len() >= self.capacity && !self.entries.contains_key(&key) {
            let oldest = self.entries.iter().min_by_key(|(_, (_, used))| *used).map(|(key, _)| key.clone());
            if let Some(oldest) = oldest {
                self.entries.remove(&oldest);
            }
        }
        self.entries.insert(key, (value, self.uses));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_that_was_not_used_gives_way() {
        let mut lru = Lru::new(2);
        lru.insert(1, "a");
        lru.insert(2, "b");
        assert_eq!(lru.get(&1), Some("a"));
        lru.insert(3, "c");
        assert_eq!((lru.get(&1), lru.get(&2), lru.get(&3)), (Some("a"), None, Some("c")));
        lru.insert(1, "d");
        assert_eq!((lru.get(&1), lru.get(&3)), (Some("d"), Some("c")));
    }
}
