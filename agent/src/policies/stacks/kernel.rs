//! Symbols of the kernel and its modules.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::warn;

/// How often it is looked whether modules have come or gone.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How often the list is read again for an address that is not in it: of a BPF program, say.
const READ_AGAIN: Duration = Duration::from_secs(10);
/// No function is longer. An address farther behind a symbol is of something that has none.
const FUNCTION_MAX: u64 = 1 << 20;

/// Functions by address.
#[derive(Debug, Default)]
struct Table {
    /// Address, and where the name begins in `names`. Ascending.
    starts: Vec<(u64, u32)>,
    names: String,
}

impl Table {
    /// Reads the text of `/proc/kallsyms`. Of several names for an address, the first one counts.
    fn parse(text: &str) -> Self {
        let mut found: Vec<(u64, &str)> = Vec::new();
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace();
            let (Some(address), Some(kind), Some(name)) = (words.next(), words.next(), words.next()) else {
                continue;
            };
            if matches!(kind, "t" | "T" | "w" | "W")
                && let Ok(address @ 1..) = u64::from_str_radix(address, 16)
            {
                found.push((address, name));
            }
        }
        found.sort_by_key(|(address, _)| *address);
        found.dedup_by_key(|(address, _)| *address);
        let mut table = Self { starts: Vec::with_capacity(found.len()), names: String::new() };
        for (address, name) in found {
            let Ok(at) = u32::try_from(table.names.len()) else { break };
            table.starts.push((address, at));
            table.names.push_str(name);
        }
        table.names.shrink_to_fit();
        table
    }

    fn find(&self, address: u64) -> Option<(&str, u64)> {
        let after = self.starts.partition_point(|(start, _)| *start <= address);
        let (start, at) = *self.starts.get(after.checked_sub(1)?)?;
        let end = self.starts.get(after).map_or(self.names.len(), |(_, next)| *next as usize);
        let offset = address - start;
        (offset < FUNCTION_MAX).then(|| (&self.names[at as usize..end], offset))
    }
}

#[derive(Debug, Default)]
struct State {
    table: Table,
    modules: String,
    looked: Option<Instant>,
    read: Option<Instant>,
}

/// What `/proc/kallsyms` says, read when it is first needed.
#[derive(Debug)]
pub struct KernelSymbols {
    procfs: PathBuf,
    state: Mutex<State>,
}

impl KernelSymbols {
    pub(super) fn new(procfs: &Path) -> Self {
        Self { procfs: procfs.to_owned(), state: Mutex::default() }
    }

    /// The functions in which these addresses are, and how many bytes from their beginnings.
    pub(super) fn find(&self, addresses: &[u64]) -> Vec<Option<(String, u64)>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let is_old = |since: Option<Instant>, limit| since.is_none_or(|it| it.elapsed() >= limit);
        if is_old(state.looked, LOOK_AGAIN) {
            state.looked = Some(Instant::now());
            let modules = fs::read_to_string(self.procfs.join("modules")).unwrap_or_default();
            let modules = names_and_addresses(&modules);
            if state.read.is_none() || modules != state.modules {
                state.modules = modules;
                self.read(&mut state);
            }
        }
        let missing = addresses.iter().any(|address| state.table.find(*address).is_none());
        if missing && is_old(state.read, READ_AGAIN) {
            self.read(&mut state);
        }
        let own = |(name, offset): (&str, u64)| (name.to_owned(), offset);
        addresses.iter().map(|address| state.table.find(*address).map(own)).collect()
    }

    fn read(&self, state: &mut State) {
        let first = state.read.is_none();
        state.read = Some(Instant::now());
        let path = self.procfs.join("kallsyms");
        match fs::read_to_string(&path) {
            Ok(text) => state.table = Table::parse(&text),
            Err(error) => warn!(path = %path.display(), %error, "kernel stacks stay without symbols"),
        }
        if first && state.table.starts.is_empty() {
            warn!(
                path = %path.display(),
                "kernel stacks are left out: no addresses are shown there (CAP_SYSLOG, or kernel.kptr_restrict below 2)"
            );
        }
    }
}

/// What tells whether the modules are the same; without the counts of their users.
fn names_and_addresses(modules: &str) -> String {
    let mut text = String::with_capacity(modules.len() / 2);
    for line in modules.lines() {
        let mut words = line.split_ascii_whitespace();
        text.extend(words.next());
        text.push(' ');
        text.extend(words.nth(4));
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
ffffffff81000000 T _stext
ffffffff81000000 T _text
ffffffff81000100 t helper
ffffffff81000200 D data
ffffffffc0201000 t in_module\t[module]
ffffffff81000180 W weak
0000000000000000 A absolute
";

    #[test]
    fn addresses_are_found_in_the_function_before_them() {
        let table = Table::parse(TEXT);
        assert_eq!(table.find(0xffff_ffff_8100_0000), Some(("_stext", 0)));
        assert_eq!(table.find(0xffff_ffff_8100_00ff), Some(("_stext", 0xff)));
        assert_eq!(table.find(0xffff_ffff_8100_0104), Some(("helper", 4)));
        assert_eq!(table.find(0xffff_ffff_8100_0208), Some(("weak", 0x88)));
        assert_eq!(table.find(0xffff_ffff_c020_1010), Some(("in_module", 0x10)));
        assert_eq!(table.find(0xffff_ffff_80ff_ffff), None);
        assert_eq!(table.find(0xffff_ffff_9000_0000), None, "too far from any function");
    }

    #[test]
    fn the_list_is_read_again_when_modules_change() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        write("kallsyms", "ffffffff81000000 T before\n");
        write("modules", "a 100 0 - Live 0xffffffffc0000000\n");
        let symbols = KernelSymbols::new(dir.path());
        let name = || symbols.find(&[0xffff_ffff_8100_0004])[0].clone();
        let expected = |name: &str| Some((name.to_owned(), 4));
        let look_again = || symbols.state.lock().unwrap().looked = None;
        assert_eq!(name(), expected("before"));
        write("kallsyms", "ffffffff81000000 T after\n");
        write("modules", "a 100 7 - Live 0xffffffffc0000000\n");
        look_again();
        assert_eq!(name(), expected("before"), "only the count of users has changed");
        write("modules", "b 100 0 - Live 0xffffffffc0000000\n");
        look_again();
        assert_eq!(name(), expected("after"));
    }
}
