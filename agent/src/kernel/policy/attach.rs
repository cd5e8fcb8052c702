//! Attaching the matcher's programs.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use tetragon_policy::Format;
use thiserror::Error;

use super::{PolicyKernel, Program};
use crate::kernel::object::ObjectError;
use crate::kernel::sys::perf::{self, Link};
use crate::kernel::sys::{self, maps};
use crate::policies::rules::HookId;

/// Where the kernel tells the number of kprobe events.
const KPROBE_TYPE: &str = "/sys/bus/event_source/devices/kprobe/type";

/// What is hooked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// A function of the kernel, by kprobe.
    Function(String),
    /// A function of the kernel, by fentry and fexit.
    Fentry(String),
    /// A hook of the security modules.
    Lsm(String),
    /// A tracepoint.
    Tracepoint {
        /// Its group.
        subsystem: String,
        /// Its name.
        event: String,
    },
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Function(name) => write!(f, "kprobe {name}"),
            Self::Fentry(name) => write!(f, "fentry {name}"),
            Self::Lsm(name) => write!(f, "LSM hook {name}"),
            Self::Tracepoint { subsystem, event } => write!(f, "tracepoint {subsystem}/{event}"),
        }
    }
}

/// Why nothing is attached.
#[derive(Debug, Error)]
pub enum AttachError {
    /// The program cannot be loaded.
    #[error(transparent)]
    Program(#[from] ObjectError),
    /// It cannot be attached.
    #[error("cannot attach to {place}: {source}{hint}")]
    Place {
        /// Where.
        place: String,
        /// What the kernel said.
        source: io::Error,
        /// What that may mean.
        hint: &'static str,
    },
}

impl AttachError {
    pub(super) fn at(place: &dyn ToString, source: io::Error, hint: &'static str) -> Self {
        Self::Place { place: place.to_string(), source, hint }
    }
}

/// An attached hook. Detached with the last copy.
#[derive(Debug, Clone)]
pub struct Attached {
    link: Arc<Link>,
    /// A program that is this hook's alone.
    program: Option<Arc<OwnedFd>>,
    /// Number of a program for tracepoints that is this hook's alone.
    pub(super) numbered: Option<u32>,
    /// Under which it is among the hooks by address.
    address: Option<u64>,
}

impl Attached {
    pub(super) fn new(link: Link) -> Self {
        Self { link: Arc::new(link), program: None, numbered: None, address: None }
    }

    pub(super) fn with_program(link: Link, program: OwnedFd) -> Self {
        Self { program: Some(Arc::new(program)), ..Self::new(link) }
    }

    /// The same for all that were attached as one, as long as they are attached.
    pub fn link_id(&self) -> usize {
        Arc::as_ptr(&self.link).addr()
    }

    /// How often the kernel left out the program here, as far as it counts that; of functions that are hooked together,
    /// the sum.
    pub fn skipped(&self) -> u64 {
        let own = self.program.as_ref().and_then(|it| sys::recursion_misses(it.as_fd()).ok().flatten());
        own.unwrap_or_else(|| self.link.skipped())
    }
}

/// The number of kprobe events, where the kernel has kprobes.
fn kprobe_type() -> io::Result<u32> {
    let text = fs::read_to_string(KPROBE_TYPE).map_err(|error| {
        if error.kind() == io::ErrorKind::NotFound {
            io::Error::new(io::ErrorKind::Unsupported, "this kernel has no kprobes (CONFIG_KPROBES)")
        } else {
            error
        }
    })?;
    text.trim().parse().map_err(io::Error::other)
}

/// The addresses of functions. The kernel takes long to list its symbols, so they are read once for all.
fn addresses_of<'a>(functions: impl Iterator<Item = &'a str>) -> io::Result<HashMap<&'a str, u64>> {
    let wanted: HashSet<&str> = functions.collect();
    let symbols = fs::read_to_string("/proc/kallsyms")?;
    let mut found = HashMap::with_capacity(wanted.len());
    for line in symbols.lines() {
        let mut words = line.split_whitespace();
        let (Some(address), Some(kind), Some(name)) = (words.next(), words.next(), words.next()) else {
            continue;
        };
        let Some(function) = wanted.get(name).filter(|_| kind.eq_ignore_ascii_case("t")) else { continue };
        match u64::from_str_radix(address, 16) {
            // Who may not see addresses gets zeros.
            Ok(0) | Err(_) => {}
            Ok(address) => _ = found.entry(*function).or_insert(address),
        }
    }
    Ok(found)
}

fn tracepoint_id(tracefs: &Path, subsystem: &str, event: &str) -> io::Result<u64> {
    let path = tracefs.join("events").join(subsystem).join(event).join("id");
    fs::read_to_string(path)?.trim().parse().map_err(io::Error::other)
}

/// Where the record of a fork has the id of the child, bytes.
pub(super) fn fork_child_offset(tracefs: &Path) -> Option<u32> {
    let format = fs::read_to_string(tracefs.join("events/sched/sched_process_fork/format")).ok()?;
    let format = Format::parse(&format).ok()?;
    format.fields.iter().find(|field| field.name == "child_pid").map(|field| field.offset)
}

impl PolicyKernel {
    /// Attaches to functions: where the kernel can, to all of them at once.
    ///
    /// # Errors
    /// To one of them the kernel refuses to attach; then nothing is.
    pub fn attach_functions(
        &mut self,
        functions: &[(HookId, String)],
        returns: bool,
        one_by_one: bool,
    ) -> Result<Vec<Attached>, AttachError> {
        if functions.len() > 1 && self.abilities.kprobe_multi && !one_by_one {
            return self.attach_multi(functions, returns);
        }
        let addresses = if self.abilities.cookies || returns || functions.is_empty() {
            HashMap::new()
        } else {
            addresses_of(functions.iter().map(|(_, name)| name.as_str()))
                .map_err(|error| AttachError::at(&"/proc/kallsyms", error, ""))?
        };
        let attach = |(hook, name): &(HookId, String)| {
            self.attach_function(*hook, name, returns, addresses.get(name.as_str()).copied())
        };
        functions.iter().map(attach).collect()
    }

    fn attach_multi(
        &mut self,
        functions: &[(HookId, String)],
        returns: bool,
    ) -> Result<Vec<Attached>, AttachError> {
        let program = if returns { Program::KretprobeMulti } else { Program::KprobeMulti };
        self.ensure(&[program])?;
        let names: Vec<&str> = functions.iter().map(|(_, name)| name.as_str()).collect();
        let cookies: Vec<u64> = functions.iter().map(|(hook, _)| u64::from(hook.0)).collect();
        let place = || format!("{} functions ({} ...)", names.len(), names[0]);
        let link = self
            .program(program)
            .and_then(|fd| perf::attach_multi(fd, &names, &cookies, returns))
            .map_err(|error| {
                AttachError::at(
                    &place(),
                    error,
                    "; one of them may not be traceable: see available_filter_functions of tracefs",
                )
            })?;
        Ok(vec![Attached::new(link); functions.len()])
    }

    fn attach_function(
        &mut self,
        hook: HookId,
        name: &str,
        returns: bool,
        address: Option<u64>,
    ) -> Result<Attached, AttachError> {
        let place = Place::Function(name.to_owned());
        let failed = |error: io::Error| {
            let hint = match error.raw_os_error() {
                Some(libc::ENOENT) => "; the function may be inlined, or part of a module that is not loaded",
                Some(libc::EINVAL) => "; the kernel does not allow kprobes there",
                _ => "",
            };
            AttachError::at(&place, error, hint)
        };
        let kind = kprobe_type().map_err(failed)?;
        let program = if returns { Program::Kretprobe } else { Program::Kprobe };
        self.ensure(&[program])?;
        let mut at = None;
        if !self.abilities.cookies && !returns {
            let unknown = || failed(io::Error::other("/proc/kallsyms does not tell its address"));
            let address = address.ok_or_else(unknown)?;
            at = Some(address);
            self.map("hooks_by_address")
                .and_then(|map| maps::update(map, &address.to_ne_bytes(), &hook.0.to_ne_bytes()))
                .map_err(failed)?;
        }
        let event = perf::kprobe(kind, name, returns).map_err(failed)?;
        let attached = self.run(event, program, hook).map_err(failed)?;
        Ok(Attached { address: at, ..attached })
    }

    /// Attaches to a tracepoint.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn attach_tracepoint(
        &mut self,
        hook: HookId,
        subsystem: &str,
        event: &str,
    ) -> Result<Attached, AttachError> {
        let place = Place::Tracepoint { subsystem: subsystem.to_owned(), event: event.to_owned() };
        let failed = |error: io::Error| AttachError::at(&place, error, "");
        let id = tracepoint_id(&self.descriptions.tracefs, subsystem, event).map_err(failed)?;
        let perf_event = perf::tracepoint(id).map_err(failed)?;
        if self.abilities.cookies {
            self.ensure(&[Program::Tracepoint])?;
            return self.run(perf_event, Program::Tracepoint, hook).map_err(failed);
        }
        let number = self.numbered.take().map_err(|error| {
            AttachError::at(&place, error, "; kernels before 5.15 can serve no more tracepoints at a time")
        })?;
        let program = Program::NumberedTracepoint(number - 1);
        let attached = self.ensure(&[program]).map_err(AttachError::from).and_then(|()| {
            self.map("hooks_by_program")
                .and_then(|map| maps::update(map, &(number - 1).to_ne_bytes(), &hook.0.to_ne_bytes()))
                .and_then(|()| self.run(perf_event, program, hook))
                .map_err(failed)
        });
        match attached {
            Ok(attached) => Ok(Attached { numbered: Some(number), ..attached }),
            Err(error) => {
                self.numbered.give(number);
                Err(error)
            }
        }
    }

    fn run(&self, event: OwnedFd, program: Program, hook: HookId) -> io::Result<Attached> {
        let fd = self.program(program)?;
        let link = if self.abilities.cookies {
            perf::attach_with_cookie(event, fd, u64::from(hook.0))?
        } else {
            perf::attach(event, fd)?
        };
        Ok(Attached::new(link))
    }

    /// A hook is detached.
    pub fn detach(&mut self, attached: Attached) {
        let Attached { numbered, address, .. } = &attached;
        if let Some(number) = numbered {
            self.numbered.give(*number);
        }
        let address = *address;
        drop(attached);
        if let (Some(address), Ok(map)) = (address, self.map("hooks_by_address")) {
            // A number that stays is of no hook.
            let _ = maps::delete(map, &address.to_ne_bytes());
        }
    }

    /// Has what processes are at their exec noted from now on, for filters that ask for it.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn note_facts(&mut self) -> Result<(), AttachError> {
        if self.facts.is_some() {
            return Ok(());
        }
        self.ensure(&[Program::FactsExec, Program::FactsFork, Program::FactsExit])?;
        let attach = |event: &str, program| {
            let failed = |error| AttachError::at(&format!("tracepoint sched/{event}"), error, "");
            let id = tracepoint_id(&self.descriptions.tracefs, "sched", event).map_err(failed)?;
            let fd = self.program(program).map_err(failed)?;
            perf::tracepoint(id).and_then(|event| perf::attach(event, fd)).map_err(failed)
        };
        self.facts = Some([
            attach("sched_process_exec", Program::FactsExec)?,
            attach("sched_process_fork", Program::FactsFork)?,
            attach("sched_process_exit", Program::FactsExit)?,
        ]);
        Ok(())
    }
}
