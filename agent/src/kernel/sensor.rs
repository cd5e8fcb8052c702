//! Loads and attaches the base sensor: exec, fork, exit, and the scan of what already runs.
//!
//! Each observation has alternatives, best first; the choice follows the probed [`Features`], and what was chosen is
//! part of the status.

use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use aya::maps::Map;
use aya::programs::{BtfTracePoint, Iter, KProbe, ProgramError, TracePoint};
use aya::{Ebpf, EbpfError, EbpfLoader};
use rustix::mount::MountFlags;
use tetragon_bpf::btf;
use tetragon_bpf::records::{ScanRecord, hook};
use tracing::{debug, info, warn};
use zerocopy::FromBytes;

use super::features::{self, Features};
use super::identity::KernelIdentity;
use super::ledger::KernelLedger;
use super::object::Maps;
use super::rings::Ring;
use super::{KernelError, release, sys};
use crate::config::RingSizes;

/// How a program is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attach {
    BtfTracepoint(&'static str),
    Tracepoint(&'static str, &'static str),
    Kprobe(&'static str),
}

/// One program of the object and its place.
#[derive(Debug, Clone, Copy)]
struct Choice {
    program: &'static str,
    attach: Attach,
    label: &'static str,
}

const EXEC_BTF: Choice = Choice {
    program: "exec_btf",
    attach: Attach::BtfTracepoint("sched_process_exec"),
    label: "tp_btf/sched_process_exec",
};
const EXEC_CLASSIC: Choice = Choice {
    program: "exec_classic",
    attach: Attach::Tracepoint("sched", "sched_process_exec"),
    label: "tracepoint/sched/sched_process_exec",
};
const EXIT_BTF: Choice = Choice {
    program: "exit_btf",
    attach: Attach::BtfTracepoint("sched_process_exit"),
    label: "tp_btf/sched_process_exit",
};
const EXIT_CLASSIC: Choice = Choice {
    program: "exit_classic",
    attach: Attach::Tracepoint("sched", "sched_process_exit"),
    label: "tracepoint/sched/sched_process_exit",
};
const FORK: Choice = Choice {
    program: "fork_btf",
    attach: Attach::BtfTracepoint("sched_wakeup_new"),
    label: "tp_btf/sched_wakeup_new",
};
const CGROUP_MKDIR: Choice = Choice {
    program: "cgroup_mkdir",
    attach: Attach::BtfTracepoint("cgroup_mkdir"),
    label: "tp_btf/cgroup_mkdir",
};
const CGROUP_RMDIR: Choice = Choice {
    program: "cgroup_rmdir",
    attach: Attach::BtfTracepoint("cgroup_rmdir"),
    label: "tp_btf/cgroup_rmdir",
};
const CREDS_KPROBE: Choice = Choice {
    program: "creds_kprobe",
    attach: Attach::Kprobe("security_bprm_committing_creds"),
    label: "kprobe/security_bprm_committing_creds",
};
const CREDS_BTF: Choice = Choice {
    program: "creds_btf",
    attach: Attach::BtfTracepoint("sched_prepare_exec"),
    label: "tp_btf/sched_prepare_exec",
};

/// A program that runs.
#[derive(Debug)]
pub struct Attached {
    /// Its row in the ledger.
    pub hook: u32,
    /// Type and place, as in an ELF section name.
    pub label: &'static str,
    fd: OwnedFd,
    misses_counted: bool,
}

impl Attached {
    /// How often the kernel did not run the program; `None` where it does not count that.
    pub fn skipped(&self) -> Option<u64> {
        if self.misses_counted { sys::recursion_misses(self.fd.as_fd()).ok().flatten() } else { None }
    }
}

/// The base sensor, attached. Detaches when dropped.
#[derive(Debug)]
pub struct BaseSensor {
    /// `None` once detached.
    ebpf: Option<Ebpf>,
    /// What the kernel can do.
    pub features: Features,
}

/// The parts of the base sensor that different owners need.
pub struct Parts {
    /// Keeps the programs attached; runs the scan.
    pub sensor: BaseSensor,
    /// Exec, fork and exit records.
    pub lifecycle: Ring,
    /// Data records.
    pub events: Ring,
    /// Counters.
    pub ledger: KernelLedger,
    /// Whose cgroups are.
    pub identity: KernelIdentity,
    /// The programs, for their own statistics.
    pub attached: Vec<Attached>,
    /// Whether privilege changes by exec are observed.
    pub sees_transitions: bool,
    /// Maps that programs of policies share, by name.
    pub shared: Maps,
    /// The file of the kernel's type information.
    pub btf: PathBuf,
}

impl BaseSensor {
    /// Loads the object and attaches everything; events flow into the rings from here on.
    ///
    /// `btf_file` is the kernel's type information, if it is not to be searched, also below `library`.
    pub fn start(btf_file: Option<&Path>, library: &Path, rings: RingSizes) -> Result<Parts, KernelError> {
        // Before 5.11 the kernel counts BPF memory against this limit. Where it does not, failure means nothing.
        let unlimited = rustix::process::Rlimit { current: None, maximum: None };
        if let Err(error) = rustix::process::setrlimit(rustix::process::Resource::Memlock, unlimited) {
            debug!(%error, "the limit of locked memory stays as it is");
        }
        let (path, raw) = features::read_btf(btf_file, library)?;
        let bad_btf = |message: String| KernelError::BtfFormat { path: path.display().to_string(), message };
        let view = btf::Btf::parse(&raw).ok_or_else(|| bad_btf("bad header".to_owned()))?;
        let features = Features::probe(view);
        let types = aya::Btf::parse(&raw, aya::Endianness::default()).map_err(|e| bad_btf(e.to_string()))?;
        drop(raw);

        let mut ebpf = EbpfLoader::new()
            .btf(Some(&types))
            .map_max_entries("events", rings.events_bytes)
            .map_max_entries("lifecycle", rings.lifecycle_bytes)
            .load(if features.abilities.unallocated_hashes {
                tetragon_bpf::OBJECT
            } else {
                tetragon_bpf::PREALLOCATE_OBJECT
            })
            .map_err(object_error)?;

        // Where BTF programs can be preempted, they would be skipped, and share their scratch: never there.
        let (exec, exit): (&[Choice], &[Choice]) = match features.tracepoints_non_preemptible {
            Some(true) => (&[EXEC_BTF, EXEC_CLASSIC], &[EXIT_BTF, EXIT_CLASSIC]),
            Some(false) => (&[EXEC_CLASSIC], &[EXIT_CLASSIC]),
            None => (&[EXEC_CLASSIC, EXEC_BTF], &[EXIT_CLASSIC, EXIT_BTF]),
        };
        if features.tracepoints_non_preemptible != Some(true) {
            mount_tracefs();
        }
        let mut creds = Vec::new();
        if features.kprobe {
            creds.push(CREDS_KPROBE);
        }
        if features.sched_prepare_exec {
            creds.push(CREDS_BTF);
        }
        // Deaths first, births last: whatever is seen to begin will be seen to end.
        let mut loader = Attacher { ebpf: &mut ebpf, btf: &types, features: &features, attached: Vec::new() };
        loader.attach_first(hook::EXIT, "reports the end of processes", exit)?;
        let sees_transitions = match loader.attach_first(hook::CREDS, "sees privilege changes", &creds) {
            Ok(()) => true,
            Err(error) => {
                warn!(%error, "privilege changes by set-id and capability binaries will not be reported");
                false
            }
        };
        loader.attach_first(hook::CGROUP_RMDIR, "sees cgroups end", &[CGROUP_RMDIR])?;
        loader.attach_first(hook::CGROUP_MKDIR, "recognises the cgroups of containers", &[CGROUP_MKDIR])?;
        loader.attach_first(hook::EXEC, "reports execs", exec)?;
        loader.attach_first(hook::FORK, "follows new processes", &[FORK])?;
        let attached = loader.attached;
        load_scan(&mut ebpf, &types)?;

        let shared = share(&ebpf)?;
        let lifecycle = Ring::new(&mut ebpf, "lifecycle", rings.lifecycle_bytes)?;
        let events = Ring::new(&mut ebpf, "events", rings.events_bytes)?;
        let ledger = KernelLedger::new(&mut ebpf)?;
        let identity = KernelIdentity::new(&mut ebpf)?;
        drop(types);
        sys::trim_memory();
        for program in &attached {
            info!(hook = program.hook, attach = program.label, "attached");
        }
        Ok(Parts {
            sensor: Self { ebpf: Some(ebpf), features },
            lifecycle,
            events,
            ledger,
            identity,
            attached,
            sees_transitions,
            shared,
            btf: path,
        })
    }

    /// Takes the programs out of the kernel. What they have written stays in the rings.
    pub fn detach(&mut self) {
        self.ebpf = None;
    }

    /// Every process that exists now.
    pub fn scan(&mut self) -> Result<Vec<ScanRecord>, KernelError> {
        let failed =
            |action: &str, source: io::Error| KernelError::System { action: action.to_owned(), source };
        let ebpf = self.ebpf.as_mut().ok_or_else(|| failed("scan", io::Error::other("detached")))?;
        let program: &mut Iter = program(ebpf, "scan_task")?;
        let attach = |e: ProgramError| failed("attach the task iterator", io::Error::other(e));
        let id = program.attach().map_err(attach)?;
        let link = program.take_link(id).map_err(attach)?;
        let mut file = link.into_file().map_err(|e| failed("open the task iterator", io::Error::other(e)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(|e| failed("read the task iterator", e))?;
        // read_from_bytes cannot fail on a chunk of exactly that size.
        Ok(bytes
            .chunks_exact(size_of::<ScanRecord>())
            .filter_map(|chunk| ScanRecord::read_from_bytes(chunk).ok())
            .collect())
    }
}

/// Maps that other objects declare, too.
const SHARED: [&str; 7] = ["events", "lifecycle", "ledger", "lost", "cgroups", "announced", "containers"];

fn share(ebpf: &Ebpf) -> Result<Maps, KernelError> {
    let mut shared = Maps::new();
    for name in SHARED {
        let error = |message: String| KernelError::Map { map: name, message };
        let data = match ebpf.map(name) {
            Some(Map::RingBuf(data) | Map::PerCpuArray(data) | Map::HashMap(data)) => data,
            _ => return Err(error("is not in the BPF object".to_owned())),
        };
        let fd = data.fd().as_fd().try_clone_to_owned().map_err(|e| error(e.to_string()))?;
        shared.insert(name.to_owned(), fd);
    }
    Ok(shared)
}

/// Classic tracepoints are named there. A failure shows when one is attached.
fn mount_tracefs() {
    let path = Path::new("/sys/kernel/tracing");
    if path.join("events").exists() || Path::new("/sys/kernel/debug/tracing/events").exists() {
        return;
    }
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    match rustix::mount::mount("tracefs", path, "tracefs", flags, None) {
        Ok(()) => info!(path = %path.display(), "mounted tracefs"),
        Err(error) => warn!(%error, path = %path.display(), "tracefs is not mounted and cannot be"),
    }
}

fn program<'a, P>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut P, KernelError>
where
    &'a mut P: TryFrom<&'a mut aya::programs::Program, Error = ProgramError>,
{
    let missing = |message: String| KernelError::Program {
        release: release(),
        program: name,
        attach: "",
        purpose: "belongs to the base sensor",
        message,
    };
    ebpf.program_mut(name)
        .ok_or_else(|| missing("it is not in the object".to_owned()))?
        .try_into()
        .map_err(|e: ProgramError| missing(e.to_string()))
}

fn load_scan(ebpf: &mut Ebpf, types: &aya::Btf) -> Result<(), KernelError> {
    let iter: &mut Iter = program(ebpf, "scan_task")?;
    iter.load("task", types).map_err(|error| KernelError::Program {
        release: release(),
        program: "scan_task",
        attach: "iter/task",
        purpose: "finds the processes that run already",
        message: explain(&error),
    })
}

struct Attacher<'a> {
    ebpf: &'a mut Ebpf,
    btf: &'a aya::Btf,
    features: &'a Features,
    attached: Vec<Attached>,
}

impl Attacher<'_> {
    /// The first choice that works.
    fn attach_first(
        &mut self,
        hook: u32,
        purpose: &'static str,
        choices: &[Choice],
    ) -> Result<(), KernelError> {
        let mut tried = Vec::new();
        for choice in choices {
            match self.attach(choice) {
                Ok(fd) => {
                    let classic = !matches!(choice.attach, Attach::BtfTracepoint(_));
                    let misses_counted = !classic || self.features.classic_misses_counted;
                    self.attached.push(Attached { hook, label: choice.label, fd, misses_counted });
                    return Ok(());
                }
                Err(error) if is_permission(&error) => {
                    return Err(KernelError::Privilege { action: format!("loading {}", choice.label) });
                }
                Err(error) => tried.push(format!("{}: {}", choice.label, explain(&error))),
            }
        }
        let tried = if tried.is_empty() { "nothing to try".to_owned() } else { tried.join("; ") };
        Err(KernelError::NoHook { release: release(), purpose, tried })
    }

    fn attach(&mut self, choice: &Choice) -> Result<OwnedFd, ProgramError> {
        let program = self.ebpf.program_mut(choice.program).ok_or(ProgramError::NotLoaded)?;
        match choice.attach {
            Attach::BtfTracepoint(name) => {
                let program: &mut BtfTracePoint = program.try_into()?;
                program.load(name, self.btf)?;
                program.attach()?;
            }
            Attach::Tracepoint(category, name) => {
                let program: &mut TracePoint = program.try_into()?;
                program.load()?;
                program.attach(category, name)?;
            }
            Attach::Kprobe(function) => {
                let program: &mut KProbe = program.try_into()?;
                program.load()?;
                program.attach(function, 0)?;
            }
        }
        let fd = program.fd()?.as_fd().try_clone_to_owned();
        fd.map_err(|_| ProgramError::NotLoaded)
    }
}

fn is_permission(error: &ProgramError) -> bool {
    matches!(error, ProgramError::LoadError { io_error, .. } if io_error.raw_os_error() == Some(libc::EPERM))
}

/// The error with its sources, and of a verifier's log the end, where the reason stands.
fn explain(error: &ProgramError) -> String {
    if let ProgramError::LoadError { io_error, verifier_log } = error {
        let log = verifier_log.to_string();
        let lines: Vec<&str> = log.lines().filter(|line| !line.trim().is_empty()).collect();
        let tail = lines[lines.len().saturating_sub(8)..].join(" | ");
        return format!("{io_error}; verifier: {tail}");
    }
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        source = inner.source();
    }
    text
}

fn object_error(error: EbpfError) -> KernelError {
    let mut source: Option<&dyn std::error::Error> = Some(&error);
    while let Some(inner) = source {
        if inner
            .downcast_ref::<io::Error>()
            .is_some_and(|e| matches!(e.raw_os_error(), Some(libc::EPERM | libc::EACCES)))
        {
            return KernelError::Privilege { action: "creating BPF maps".to_owned() };
        }
        source = inner.source();
    }
    KernelError::Object { release: release(), source: Box::new(error) }
}
