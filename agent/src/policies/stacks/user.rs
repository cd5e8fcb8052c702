//! Places in programs and libraries.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::elf;
use super::lru::Lru;

/// Symbols that are remembered.
const SYMBOLS_MAX: usize = 1024;
/// Files that are kept open, to read symbols from.
const FILES_MAX: usize = 64;
/// Whoever made such a file decides how long reading it takes.
const FUSE: i64 = 0x6573_5546;

/// A mapped file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct FileId {
    device: u64,
    inode: u64,
}

/// A function's name; none if the file has no symbol for the place.
type Symbol = Option<Arc<str>>;

/// A place in a program.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    pub(super) address: u64,
    /// The mapped file; empty if not known.
    pub(super) module: Arc<str>,
    /// In that file.
    pub(super) offset: u64,
    file: Option<(FileId, Weak<File>)>,
}

/// Finds mapped files, and their symbols.
#[derive(Debug)]
pub struct UserSymbols {
    procfs: PathBuf,
    files: Mutex<Lru<FileId, Arc<File>>>,
    symbols: Mutex<Lru<(FileId, u64), Symbol>>,
}

impl UserSymbols {
    pub(super) fn new(procfs: &Path) -> Self {
        Self {
            procfs: procfs.to_owned(),
            files: Mutex::new(Lru::new(FILES_MAX)),
            symbols: Mutex::new(Lru::new(SYMBOLS_MAX)),
        }
    }

    /// Where these addresses are in the files that the process has mapped.
    pub(super) fn locate(&self, tid: u32, addresses: &[u64]) -> Vec<Frame> {
        let dir = self.procfs.join(tid.to_string());
        let maps = fs::read(dir.join("maps")).unwrap_or_default();
        let maps = String::from_utf8_lossy(&maps);
        let nowhere = Arc::<str>::from("");
        let mut frames: Vec<Frame> = addresses
            .iter()
            .map(|address| Frame { address: *address, module: Arc::clone(&nowhere), offset: 0, file: None })
            .collect();
        for mapping in maps.lines().filter_map(Mapping::parse) {
            let mut place = None;
            for frame in frames.iter_mut().filter(|it| mapping.contains(it.address)) {
                let (module, file) =
                    place.get_or_insert_with(|| (Arc::<str>::from(mapping.path), self.open(&dir, &mapping)));
                frame.offset = (frame.address - mapping.start).wrapping_add(mapping.offset);
                frame.module = Arc::clone(module);
                frame.file.clone_from(file);
            }
        }
        frames
    }

    /// The functions in which these places are.
    pub(super) fn find(&self, frames: &[Frame]) -> Vec<Symbol> {
        let mut symbols = self.symbols.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found: Vec<Symbol> = vec![None; frames.len()];
        let mut missing: Vec<usize> = Vec::new();
        for (index, frame) in frames.iter().enumerate() {
            let Some((id, _)) = &frame.file else { continue };
            match symbols.get(&(id.clone(), frame.offset)) {
                Some(symbol) => found[index] = symbol,
                None => missing.push(index),
            }
        }
        while let Some(first) = missing.first() {
            // All of one file at once.
            let Some((id, file)) = &frames[*first].file else { break };
            let of_file = |index: &usize| frames[*index].file.as_ref().is_some_and(|(other, _)| other == id);
            let (these, others): (Vec<usize>, Vec<usize>) = missing.iter().partition(|index| of_file(index));
            missing = others;
            let Some(file) = file.upgrade() else { continue };
            let offsets: Vec<u64> = these.iter().map(|index| frames[*index].offset).collect();
            for (index, name) in these.into_iter().zip(elf::functions_at(&file, &offsets)) {
                let symbol = name.map(Arc::from);
                symbols.insert((id.clone(), frames[index].offset), symbol.clone());
                found[index] = symbol;
            }
        }
        found
    }

    fn open(&self, dir: &Path, mapping: &Mapping<'_>) -> Option<(FileId, Weak<File>)> {
        if mapping.inode == 0 {
            return None;
        }
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        // The first is the very file, whatever its path means by now; it takes privileges.
        let very = dir.join("map_files").join(mapping.range);
        let named = dir.join("root").join(mapping.path.trim_start_matches('/'));
        let file = [very, named].iter().find_map(|path| open_regular(path, mapping.inode))?;
        let metadata = file.metadata().ok()?;
        let id = FileId { device: metadata.dev(), inode: metadata.ino() };
        let file = match files.get(&id) {
            Some(file) => file,
            None => {
                let file = Arc::new(file);
                files.insert(id.clone(), Arc::clone(&file));
                file
            }
        };
        Some((id, Arc::downgrade(&file)))
    }
}

fn open_regular(path: &Path, inode: u64) -> Option<File> {
    let file =
        OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC).open(path).ok()?;
    let metadata = file.metadata().ok()?;
    let kind = rustix::fs::fstatfs(&file).ok()?.f_type;
    (metadata.is_file() && metadata.ino() == inode && kind != FUSE).then_some(file)
}

/// A line of `/proc/<pid>/maps`.
#[derive(Debug, PartialEq, Eq)]
struct Mapping<'a> {
    range: &'a str,
    start: u64,
    end: u64,
    offset: u64,
    inode: u64,
    path: &'a str,
}

impl<'a> Mapping<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut rest = line;
        let mut word = || {
            let (word, tail) = rest.split_once(' ').unwrap_or((rest, ""));
            rest = tail;
            word
        };
        let range = word();
        let (_permissions, offset, _device, inode) = (word(), word(), word(), word());
        let (start, end) = range.split_once('-')?;
        let hex = |text| u64::from_str_radix(text, 16).ok();
        Some(Self {
            range,
            start: hex(start)?,
            end: hex(end)?,
            offset: hex(offset)?,
            inode: inode.parse().ok()?,
            path: rest.trim_start_matches(' '),
        })
    }

    fn contains(&self, address: u64) -> bool {
        (self.start..self.end).contains(&address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_with_blanks_in_their_paths() {
        let line = "7f00-7f20 r-xp 00001000 fd:01 1234                       /lib/with blank.so (deleted)";
        let expected = Mapping {
            range: "7f00-7f20",
            start: 0x7f00,
            end: 0x7f20,
            offset: 0x1000,
            inode: 1234,
            path: "/lib/with blank.so (deleted)",
        };
        assert_eq!(Mapping::parse(line), Some(expected));
        let anonymous = Mapping::parse("7f00-7f20 rw-p 00000000 00:00 0 ").unwrap();
        assert_eq!((anonymous.inode, anonymous.path), (0, ""));
        let vdso = Mapping::parse("7f00-7f20 r-xp 00000000 00:00 0          [vdso]").unwrap();
        assert_eq!((vdso.path, vdso.contains(0x7f1f), vdso.contains(0x7f20)), ("[vdso]", true, false));
        assert_eq!(Mapping::parse("nonsense"), None);
    }
}
