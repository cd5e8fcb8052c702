//! What a kernel tells of itself: its type information, and its tracing file system.

mod format;
mod functions;

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tetragon_bpf::btf::{Btf, Kind, Type};

pub use format::{Field, Format, FormatError};
pub use functions::{Parameter, ParameterType};

/// Searches before an index of all functions is made.
const SEARCHES: u32 = 8;

/// A kernel. It reads the type information when a function is asked for that it does not remember, and keeps it until it
/// is to [`forget`](Self::forget) it.
#[derive(Debug)]
pub struct Kernel {
    btf: PathBuf,
    tracefs: PathBuf,
    types: OnceCell<Types>,
    /// What was asked: many policies ask for the same functions.
    parameters: RefCell<HashMap<String, Option<Vec<Parameter>>>>,
    problem: RefCell<Option<String>>,
}

/// Type information: some megabytes.
#[derive(Debug, Default)]
struct Types {
    raw: Vec<u8>,
    /// Where each type begins, by its number less one.
    places: OnceCell<Vec<u32>>,
    /// Numbers of all functions, by their names.
    functions: OnceCell<Vec<u32>>,
    searched: Cell<u32>,
}

impl Types {
    fn btf(&self) -> Option<Btf<'_>> {
        Btf::parse(&self.raw)
    }

    /// A type by its number.
    fn get(&self, id: u32) -> Option<Type<'_>> {
        let btf = self.btf()?;
        let places = self.places.get_or_init(|| btf.located().map(|(place, _)| place).collect());
        btf.at(*places.get(usize::try_from(id).ok()?.checked_sub(1)?)?, id)
    }

    fn name(&self, id: u32) -> &str {
        self.get(id).map_or("", |it| it.name())
    }

    /// A function. The first few are searched for, which costs less than an index.
    fn function(&self, name: &str) -> Option<Type<'_>> {
        let searched = self.searched.get();
        if self.functions.get().is_none() && searched < SEARCHES {
            self.searched.set(searched + 1);
            return self.btf()?.find(Kind::Func, name);
        }
        let functions = self.functions();
        let found = functions.binary_search_by(|id| self.name(*id).cmp(name)).ok()?;
        self.get(*functions.get(found)?)
    }

    fn functions(&self) -> &[u32] {
        self.functions.get_or_init(|| {
            let types = self.btf().into_iter().flat_map(Btf::types);
            let mut functions: Vec<u32> = types.filter(|it| it.kind == Kind::Func).map(|it| it.id).collect();
            functions.sort_by_cached_key(|id| self.name(*id));
            functions.dedup_by_key(|id| self.name(*id));
            functions
        })
    }
}

impl Kernel {
    /// A kernel with this file of type information (`/sys/kernel/btf/vmlinux`), whose tracing file system is mounted
    /// there.
    #[must_use]
    pub fn new(btf: &Path, tracefs: &Path) -> Self {
        Self {
            btf: btf.to_owned(),
            tracefs: tracefs.to_owned(),
            types: OnceCell::new(),
            parameters: RefCell::default(),
            problem: RefCell::default(),
        }
    }

    /// Lets go of the type information; what was asked of it is remembered. Why it could not be read, if it had to be: then
    /// no answer about functions counts.
    pub fn forget(&mut self) -> Option<String> {
        self.types.take();
        self.problem.take()
    }

    fn types(&self) -> &Types {
        self.types.get_or_init(|| {
            let path = self.btf.display();
            let problem = match fs::read(&self.btf) {
                Ok(raw) if Btf::parse(&raw).is_some() => return Types { raw, ..Types::default() },
                Ok(_) => format!("{path} is no type information (BTF) of this machine's byte order"),
                Err(error) => format!("cannot read the kernel's type information, {path}: {error}"),
            };
            self.problem.replace(Some(problem));
            Types::default()
        })
    }

    /// Whether there is such a function, as far as the type information tells.
    #[must_use]
    pub fn has_function(&self, name: &str) -> bool {
        self.parameters(name).is_some()
    }

    /// The names of all functions, sorted.
    pub fn functions(&self) -> impl Iterator<Item = &str> + Clone + '_ {
        let types = self.types();
        types.functions().iter().map(|id| types.name(*id))
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
