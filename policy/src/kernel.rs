//! What a kernel tells of itself: its type information, and its tracing file system.

mod format;
mod functions;

use std::cell::{Cell, OnceCell};
use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tetragon_bpf::btf::{Btf, Kind, Type};

pub use format::{Field, Format, FormatError};
pub use functions::{Parameter, ParameterType};

/// Searches before an index of all functions is made.
const SEARCHES: u32 = 8;

/// A kernel, for as long as policies are compiled: it keeps where all its types are, gathered when a function is asked for.
#[derive(Debug)]
pub struct Kernel<'a> {
    btf: Btf<'a>,
    /// Where each type begins, by its number less one.
    types: OnceCell<Vec<u32>>,
    functions: OnceCell<HashMap<&'a str, u32>>,
    searched: Cell<u32>,
    tracefs: PathBuf,
}

impl<'a> Kernel<'a> {
    /// A kernel with this type information (of `/sys/kernel/btf/vmlinux`), whose tracing file system is mounted there.
    #[must_use]
    pub fn new(btf: Btf<'a>, tracefs: &Path) -> Self {
        Self {
            btf,
            types: OnceCell::new(),
            functions: OnceCell::new(),
            searched: Cell::new(0),
            tracefs: tracefs.to_owned(),
        }
    }

    /// A type by its number.
    fn get(&self, id: u32) -> Option<Type<'_>> {
        let places = self.types.get_or_init(|| self.btf.located().map(|(place, _)| place).collect());
        let place = places.get(usize::try_from(id).ok()?.checked_sub(1)?)?;
        self.btf.at(*place, id)
    }

    /// The type of a function. The first few are searched for, which costs less than an index.
    fn function(&self, name: &str) -> Option<u32> {
        let searched = self.searched.get();
        if self.functions.get().is_none() && searched < SEARCHES {
            self.searched.set(searched + 1);
            return self.btf.find(Kind::Func, name).map(|it| it.size_or_type);
        }
        self.index().get(name).copied()
    }

    fn index(&self) -> &HashMap<&'a str, u32> {
        self.functions.get_or_init(|| {
            let functions = self.btf.types().filter(|it| it.kind == Kind::Func);
            functions.map(|it| (it.name(), it.size_or_type)).collect()
        })
    }

    /// Whether there is such a function, as far as the type information tells.
    #[must_use]
    pub fn has_function(&self, name: &str) -> bool {
        self.function(name).is_some()
    }

    /// The names of all functions.
    pub fn functions(&self) -> impl Iterator<Item = &'a str> + Clone + '_ {
        self.index().keys().copied()
    }

    /// The format of a tracepoint.
    ///
    /// # Errors
    ///
    /// If there is no such tracepoint, or its format cannot be read.
    pub fn format(&self, subsystem: &str, event: &str) -> Result<Format, FormatError> {
        let file = self.tracefs.join("events").join(subsystem).join(event).join("format");
        match fs::read_to_string(&file) {
            Ok(text) => Format::parse(&text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(FormatError::NotFound),
            Err(error) => Err(FormatError::Unreadable { file, error }),
        }
    }

    /// The names of all tracepoints of a group.
    #[must_use]
    pub fn tracepoints(&self, subsystem: &str) -> Vec<String> {
        let folder = self.tracefs.join("events").join(subsystem);
        let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    }

    /// The functions of the kernel itself, not of modules, that can be traced; sorted, each once.
    ///
    /// # Errors
    ///
    /// If the tracing file system does not tell.
    pub fn traceable(&self) -> io::Result<Vec<String>> {
        let file = self.tracefs.join("available_filter_functions");
        let text = fs::read_to_string(&file)
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", file.display())))?;
        // Modules come last, their functions followed by the module's name.
        let own = text.lines().take_while(|line| !line.contains(char::is_whitespace));
        let mut functions: Vec<String> =
            own.filter(|line| !line.starts_with("__ftrace_invalid_address__")).map(str::to_owned).collect();
        functions.sort_unstable();
        functions.dedup();
        Ok(functions)
    }
}
