//! Sets of values: one map each, as large as the set.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use aya_obj::generated::bpf_map_type;
use ipnet::IpNet;
use tetragon_bpf::plan::{POSTFIX_BYTES, PREFIX_BYTES, TEXT_CLASSES, TEXT_KEYS};

use super::{PolicyKernel, Slots, memory_of};
use crate::kernel::sys::maps::{self, MapSpec};
use crate::policies::encode::Sets;

/// `BPF_F_NO_PREALLOC`.
const NO_PREALLOC: u32 = 1;
/// `BPF_F_INNER_MAP`.
const INNER_MAP: u32 = 1 << 12;
/// Sets of a kind; the size of the maps.
const SETS_MAX: u32 = 16384;
/// Followers; the size of their map.
const FOLLOWERS_MAX: u32 = 64;

/// Maps of texts by class.
const TEXTS: [&str; TEXT_CLASSES] =
    ["texts_32", "texts_64", "texts_128", "texts_256", "texts_512", "texts_1024", "texts_2048", "texts_4100"];
const NUMBERS: &str = "numbers";
const PREFIXES: &str = "prefixes";
const POSTFIXES: &str = "postfixes";
const NETWORKS4: &str = "networks4";
const NETWORKS6: &str = "networks6";
const FOLLOWERS: &str = "followers";

pub(super) fn all_slots() -> HashMap<&'static str, Slots> {
    let mut all: HashMap<&'static str, Slots> = [NUMBERS, PREFIXES, POSTFIXES, NETWORKS4, NETWORKS6]
        .into_iter()
        .chain(TEXTS)
        .map(|name| (name, Slots::new(SETS_MAX)))
        .collect();
    all.insert(FOLLOWERS, Slots::new(FOLLOWERS_MAX + 1));
    all
}

/// A set in the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SetId {
    map: &'static str,
    slot: u32,
}

/// Makes the sets of one policy. Unless they are kept, they are removed again.
pub struct SetMaker<'a> {
    kernel: &'a mut PolicyKernel,
    made: Vec<SetId>,
    memory: u64,
    kept: bool,
}

impl<'a> SetMaker<'a> {
    pub(super) fn new(kernel: &'a mut PolicyKernel) -> Self {
        Self { kernel, made: Vec::new(), memory: 0, kept: false }
    }

    /// The sets stay. What they are, and the bytes of kernel memory that they take.
    pub fn keep(mut self) -> (Vec<SetId>, u64) {
        self.kept = true;
        (std::mem::take(&mut self.made), self.memory)
    }

    fn put(&mut self, name: &'static str, set: &OwnedFd) -> io::Result<u32> {
        let slot = self
            .kernel
            .sets
            .get_mut(name)
            .ok_or_else(|| io::Error::other(format!("there are no sets {name}")))?
            .take()
            .map_err(|error| {
                io::Error::new(error.kind(), format!("no place for another set of values: {error}"))
            })?;
        if let Err(error) =
            maps::update(self.kernel.map(name)?, &slot.to_ne_bytes(), &set.as_raw_fd().to_ne_bytes())
        {
            if let Some(slots) = self.kernel.sets.get_mut(name) {
                slots.give(slot);
            }
            return Err(error);
        }
        self.made.push(SetId { map: name, slot });
        self.memory += memory_of(set.as_fd());
        Ok(slot)
    }

    fn trie(&mut self, name: &'static str, bytes: usize, keys: &[(u32, Vec<u8>)]) -> io::Result<u32> {
        let spec = MapSpec {
            kind: bpf_map_type::BPF_MAP_TYPE_LPM_TRIE as u32,
            key_size: size(4 + bytes)?,
            value_size: 4,
            max_entries: size(keys.len())?.max(1),
            flags: NO_PREALLOC,
        };
        let set = maps::create(name, spec, None)?;
        for (bits, data) in keys {
            let mut key = bits.to_ne_bytes().to_vec();
            key.extend_from_slice(data);
            key.resize(4 + bytes, 0);
            maps::update(&set, &key, &1u32.to_ne_bytes())?;
        }
        self.put(name, &set)
    }
}

fn size(bytes: usize) -> io::Result<u32> {
    u32::try_from(bytes).map_err(io::Error::other)
}

fn bits(bytes: usize) -> u32 {
    u32::try_from(bytes * 8).unwrap_or(u32::MAX)
}

/// The class of a text: the first whose key has room for it behind its length.
fn class_of(text: &[u8]) -> Option<usize> {
    TEXT_KEYS.iter().position(|key| text.len() + 4 <= *key)
}

impl Sets for SetMaker<'_> {
    fn numbers(&mut self, ranges: &[(u64, u64)]) -> io::Result<u32> {
        let spec = MapSpec {
            kind: bpf_map_type::BPF_MAP_TYPE_ARRAY as u32,
            key_size: 4,
            value_size: 16,
            max_entries: size(ranges.len() + 1)?,
            flags: INNER_MAP,
        };
        let set = maps::create(NUMBERS, spec, None)?;
        let count = (ranges.len() as u64, 0);
        for (index, (low, high)) in std::iter::once(&count).chain(ranges).enumerate() {
            let mut value = low.to_ne_bytes().to_vec();
            value.extend_from_slice(&high.to_ne_bytes());
            maps::update(&set, &size(index)?.to_ne_bytes(), &value)?;
        }
        self.put(NUMBERS, &set)
    }

    fn texts(&mut self, texts: &[&[u8]]) -> io::Result<[u16; TEXT_CLASSES]> {
        let mut classes: [Vec<&[u8]>; TEXT_CLASSES] = Default::default();
        for text in texts {
            let class = class_of(text)
                .ok_or_else(|| io::Error::other(format!("a text of {} bytes is too long", text.len())))?;
            classes[class].push(text);
        }
        let mut slots = [0; TEXT_CLASSES];
        for (class, texts) in classes.iter().enumerate().filter(|(_, texts)| !texts.is_empty()) {
            let (name, key_size) = (TEXTS[class], TEXT_KEYS[class]);
            let spec = MapSpec {
                kind: bpf_map_type::BPF_MAP_TYPE_HASH as u32,
                key_size: size(key_size)?,
                value_size: 4,
                max_entries: size(texts.len())?,
                flags: if self.kernel.abilities.unallocated_hashes { NO_PREALLOC } else { 0 },
            };
            let set = maps::create(name, spec, None).map_err(|error| match error.raw_os_error() {
                Some(libc::E2BIG) => io::Error::new(
                    io::ErrorKind::Unsupported,
                    "a value of more than 508 bytes, which kernels before 5.11 cannot look up",
                ),
                _ => error,
            })?;
            for text in texts {
                let mut key = size(text.len())?.to_ne_bytes().to_vec();
                key.extend_from_slice(text);
                key.resize(key_size, 0);
                maps::update(&set, &key, &1u32.to_ne_bytes())?;
            }
            slots[class] = u16::try_from(self.put(name, &set)?).map_err(io::Error::other)?;
        }
        Ok(slots)
    }

    fn prefixes(&mut self, texts: &[&[u8]]) -> io::Result<u32> {
        let keys: Vec<_> = texts.iter().map(|text| (bits(text.len()), text.to_vec())).collect();
        self.trie(PREFIXES, PREFIX_BYTES, &keys)
    }

    fn postfixes(&mut self, texts: &[&[u8]]) -> io::Result<u32> {
        let keys: Vec<_> =
            texts.iter().map(|text| (bits(text.len()), text.iter().rev().copied().collect())).collect();
        self.trie(POSTFIXES, POSTFIX_BYTES, &keys)
    }

    fn networks(&mut self, networks: &[IpNet]) -> io::Result<(u32, u32)> {
        let mut v4 = Vec::new();
        let mut v6 = Vec::new();
        for network in networks {
            match network {
                IpNet::V4(net) => v4.push((u32::from(net.prefix_len()), net.network().octets().to_vec())),
                IpNet::V6(net) => v6.push((u32::from(net.prefix_len()), net.network().octets().to_vec())),
            }
        }
        let slot4 = if v4.is_empty() { 0 } else { self.trie(NETWORKS4, 4, &v4)? };
        let slot6 = if v6.is_empty() { 0 } else { self.trie(NETWORKS6, 16, &v6)? };
        Ok((slot4, slot6))
    }

    fn follow(&mut self, slots: [u16; TEXT_CLASSES]) -> io::Result<u8> {
        let number = self
            .kernel
            .sets
            .get_mut(FOLLOWERS)
            .ok_or_else(|| io::Error::other("there are no followers"))?
            .take()
            .map_err(|error| io::Error::new(error.kind(), format!("followChildren: {error}")))?;
        self.made.push(SetId { map: FOLLOWERS, slot: number });
        self.kernel.write_follower(number - 1, Some(slots))?;
        u8::try_from(number - 1).map_err(io::Error::other)
    }
}

impl Drop for SetMaker<'_> {
    fn drop(&mut self) {
        if !self.kept {
            let made = std::mem::take(&mut self.made);
            self.kernel.remove_sets(&made);
        }
    }
}

impl PolicyKernel {
    /// Takes sets away that no plan names any more.
    pub fn remove_sets(&mut self, sets: &[SetId]) {
        for SetId { map, slot } in sets {
            if *map == FOLLOWERS {
                // What is followed in vain does no harm.
                let _ = self.write_follower(slot - 1, None);
            } else if let Ok(fd) = self.map(map) {
                // A set that stays takes memory, until its place is used again.
                let _ = maps::delete(fd, &slot.to_ne_bytes());
            }
            if let Some(slots) = self.sets.get_mut(map) {
                slots.give(*slot);
            }
        }
    }

    fn write_follower(&self, number: u32, slots: Option<[u16; TEXT_CLASSES]>) -> io::Result<()> {
        let mut value: Vec<u8> =
            slots.unwrap_or_default().iter().flat_map(|slot| slot.to_ne_bytes()).collect();
        value.extend_from_slice(&u32::from(slots.is_some()).to_ne_bytes());
        value.extend_from_slice(&[0; 4]);
        maps::update(self.map(FOLLOWERS)?, &number.to_ne_bytes(), &value)
    }
}
