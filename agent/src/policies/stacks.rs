//! Call stacks: addresses from the kernel, places for people.
//!
//! What is gone a moment later, the mappings of the process, is read when the record comes. The rest, symbols above
//! all, is looked up when an event is encoded, so on the consumer's thread and only if there is one.

mod elf;
mod kernel;
mod lru;
mod user;

use std::path::Path;
use std::sync::Arc;

use tetragon_api::tetragon::StackTraceEntry;

pub use kernel::KernelSymbols;
use user::Frame;
pub use user::UserSymbols;

/// Makes stacks.
#[derive(Debug, Clone)]
pub struct Stacks {
    kernel: Arc<KernelSymbols>,
    user: Arc<UserSymbols>,
    /// Events show addresses.
    addresses: bool,
}

/// The kernel's part of a stack.
#[derive(Debug, Clone, Default)]
pub struct KernelStack(Option<(Vec<u64>, Stacks)>);

/// The program's part of a stack.
#[derive(Debug, Clone, Default)]
pub struct UserStack(Option<(Vec<Frame>, Stacks)>);

impl Stacks {
    /// `procfs` is the host's `/proc`.
    pub fn new(procfs: &Path, addresses: bool) -> Self {
        Self {
            kernel: Arc::new(KernelSymbols::new(procfs)),
            user: Arc::new(UserSymbols::new(procfs)),
            addresses,
        }
    }

    /// A stack as the record has it: addresses of 8 bytes, leaf first.
    pub fn kernel(&self, bytes: &[u8]) -> KernelStack {
        let addresses = addresses(bytes);
        KernelStack((!addresses.is_empty()).then(|| (addresses, self.clone())))
    }

    /// The same of a program; the process must still be there.
    pub fn user(&self, tid: u32, bytes: &[u8]) -> UserStack {
        let addresses = addresses(bytes);
        if addresses.is_empty() {
            return UserStack(None);
        }
        let frames = self.user.locate(tid, &addresses);
        UserStack(Some((frames, self.clone())))
    }
}

fn addresses(bytes: &[u8]) -> Vec<u64> {
    let words = bytes.chunks_exact(8).map(|word| u64::from_ne_bytes(word.try_into().unwrap_or_default()));
    words.filter(|address| *address != 0).collect()
}

impl KernelStack {
    /// As events show it. Without what has no symbol.
    pub fn entries(&self) -> Vec<StackTraceEntry> {
        let Some((addresses, stacks)) = &self.0 else { return Vec::new() };
        let found = stacks.kernel.find(addresses);
        let entry = |(address, found): (&u64, Option<(String, u64)>)| {
            let (symbol, offset) = found?;
            let address = if stacks.addresses { *address } else { 0 };
            Some(StackTraceEntry { address, offset, symbol, module: String::new() })
        };
        addresses.iter().zip(found).filter_map(entry).collect()
    }

    /// How many frames there are.
    pub fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |(addresses, _)| addresses.len())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl UserStack {
    /// As events show it.
    pub fn entries(&self) -> Vec<StackTraceEntry> {
        let Some((frames, stacks)) = &self.0 else { return Vec::new() };
        let symbols = stacks.user.find(frames);
        let entry = |(frame, symbol): (&Frame, Option<Arc<str>>)| StackTraceEntry {
            address: if stacks.addresses { frame.address } else { 0 },
            offset: frame.offset,
            symbol: symbol.as_deref().unwrap_or_default().to_owned(),
            module: frame.module.to_string(),
        };
        frames.iter().zip(symbols).map(entry).collect()
    }

    /// How many frames there are.
    pub fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |(frames, _)| frames.len())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(addresses: &[u64]) -> Vec<u8> {
        addresses.iter().flat_map(|it| it.to_ne_bytes()).collect()
    }

    #[test]
    fn a_program_s_functions_are_found_while_it_runs() {
        let own = a_program_s_functions_are_found_while_it_runs as fn() as usize as u64;
        let other = bytes as fn(&[u64]) -> Vec<u8> as usize as u64;
        let stacks = Stacks::new(Path::new("/proc"), true);
        let stack = stacks.user(std::process::id(), &bytes(&[other, 0, own + 1, 1]));
        let entries = stack.entries();
        assert_eq!((stack.len(), entries.len()), (3, 3), "zeros are no frames");
        assert!(entries[0].symbol.contains("bytes"), "{entries:?}");
        assert_eq!((entries[0].address, entries[1].address), (other, own + 1));
        let exe = std::env::current_exe().unwrap();
        assert_eq!(Path::new(&entries[1].module), exe);
        assert!(entries[1].symbol.contains("functions_are_found"), "{entries:?}");
        assert_eq!((&*entries[2].module, &*entries[2].symbol, entries[2].offset), ("", "", 0));
        // Once more, from the cache, and without addresses.
        let again = Stacks { addresses: false, ..stacks }.user(std::process::id(), &bytes(&[own + 1]));
        let again = again.entries();
        assert_eq!((again[0].address, &again[0].symbol), (0, &entries[1].symbol));
    }

    #[test]
    fn a_program_that_is_gone_leaves_frames_without_a_place() {
        let stacks = Stacks::new(Path::new("/nonexistent"), false);
        let entries = stacks.user(1, &bytes(&[0x1000])).entries();
        assert_eq!(entries, [StackTraceEntry::default()]);
        assert!(stacks.kernel(&bytes(&[0x1000])).entries().is_empty());
        assert!(stacks.kernel(&[]).is_empty() && stacks.user(1, &[]).is_empty());
    }
}
