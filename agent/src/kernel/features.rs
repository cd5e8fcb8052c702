//! What this kernel can do for us, found out by asking or trying, never by its version.

use std::path::{Path, PathBuf};
use std::{fs, io};

use aya::programs::ProgramType;
use tetragon_bpf::btf::{Btf, Kind};
use tracing::debug;

use super::{KernelError, release, sys};

/// Where the running kernel describes its types.
pub const KERNEL_BTF: &str = "/sys/kernel/btf/vmlinux";

/// One thing the kernel can or cannot do.
#[derive(Debug, Clone)]
pub struct Feature {
    /// Short name, as `tetra probe` prints it.
    pub name: &'static str,
    /// Whether it works.
    pub enabled: bool,
    /// What it is used for, or what is missing.
    pub detail: String,
}

/// What programs of kprobes and classic tracepoints, which policies use, can do.
#[derive(Debug, Clone, Copy, Default)]
pub struct Abilities {
    /// A program can ask which attachment it runs for (5.15).
    pub cookies: bool,
    /// One attachment for many functions.
    pub kprobe_multi: bool,
    /// Hashes need not be allocated beforehand (6.1).
    pub unallocated_hashes: bool,
    /// There are kprobes.
    pub kprobes: bool,
    /// Programs can be attached to functions without kprobes (5.5).
    pub fentry: bool,
    /// BPF is among the enabled security modules.
    pub lsm: bool,
    /// Programs that can be preempted keep what they work with: the kernel is not preemptible, or has what they need.
    pub trampolines: bool,
}

/// All that the loading of sensors depends on.
#[derive(Debug, Clone)]
pub struct Features {
    /// Whether programs on tracepoints run with preemption off. `None` if that could not be found out.
    pub tracepoints_non_preemptible: Option<bool>,
    /// Whether kprobes exist.
    pub kprobe: bool,
    /// Whether the `sched_prepare_exec` tracepoint exists (6.10+).
    pub sched_prepare_exec: bool,
    /// Whether `sched_process_exit` says that the whole group is dead (6.17+).
    pub exit_group_dead: bool,
    /// Whether skipped runs of classic tracepoint programs are counted (6.7+).
    pub classic_misses_counted: bool,
    /// What programs of policies can use.
    pub abilities: Abilities,
    /// The same and more, for people.
    pub list: Vec<Feature>,
}

/// The raw BTF of the file that the settings name, else the kernel's own, else what lies below `library`.
pub fn read_btf(named: Option<&Path>, library: &Path) -> Result<(PathBuf, Vec<u8>), KernelError> {
    let Some(path) = named else {
        return first_readable(&[
            PathBuf::from(KERNEL_BTF),
            library.join("metadata").join(format!("vmlinux-{}", release())),
            library.join("btf"),
        ]);
    };
    let raw = fs::read(path).map_err(|source| KernelError::Btf { path: path.to_owned(), source })?;
    Ok((path.to_owned(), raw))
}

fn first_readable(places: &[PathBuf]) -> Result<(PathBuf, Vec<u8>), KernelError> {
    let mut tried = Vec::new();
    for path in places {
        match fs::read(path) {
            Ok(raw) => return Ok((path.clone(), raw)),
            Err(error) => tried.push(format!("{}: {error}", path.display())),
        }
    }
    Err(KernelError::NoBtf { tried: tried.join("; ") })
}

impl Features {
    /// Looks at the kernel's types and tries what cannot be read from them. Takes some milliseconds.
    pub fn probe(btf: Btf<'_>) -> Self {
        let found = Scan::of(btf);
        let preempt = found
            .preempt_counter
            .ok_or_else(|| io::Error::new(io::ErrorKind::Unsupported, "no per-CPU preemption counter in BTF"))
            .and_then(|(variable, offset)| sys::preemption_is_off_in_tracepoints(variable, offset));
        let preempt_detail = match &preempt {
            Ok(true) => "programs on BTF tracepoints are never skipped".to_owned(),
            Ok(false) => "classic tracepoints are used for exec and exit, which preemption hardly ever skips"
                .to_owned(),
            Err(error) => format!(
                "not found out ({error}; kernels without CONFIG_KALLSYMS_ALL hide the counter); classic tracepoints \
                 are used for exec and exit"
            ),
        };
        let kprobe = Path::new("/sys/bus/event_source/devices/kprobe/type").exists();
        let mut list = Vec::new();
        let mut add = |name, enabled, detail: &str| {
            list.push(Feature { name, enabled, detail: detail.to_owned() });
        };
        let tracing = aya::sys::is_program_supported(ProgramType::Tracing).unwrap_or_else(|error| {
            debug!(%error, "feature probe failed");
            false
        });
        add("btf", true, "type information, for relocation");
        add("tracepoints_non_preemptible", *preempt.as_ref().unwrap_or(&false), &preempt_detail);
        add("tp_btf", found.has_exec, "exec, fork and exit through BTF tracepoints");
        add("iter_task", found.has_task_iter, "the scan of running processes");
        add("kprobe", kprobe, "policies on kernel functions; privilege changes by exec");
        add("sched_prepare_exec", found.sched_prepare_exec, "privilege changes by exec, without kprobes");
        add("exit_group_dead", found.exit_group_dead, "the exit tracepoint names the last thread");
        add("missed_stats", found.misses_counted, "the kernel counts all skipped program runs");
        let lsm = fs::read_to_string("/sys/kernel/security/lsm")
            .is_ok_and(|names| names.trim().split(',').any(|name| name == "bpf"));
        let abilities = Abilities {
            kprobe_multi: found.abilities.kprobe_multi && kprobe,
            kprobes: kprobe,
            fentry: tracing,
            lsm,
            trampolines: found.abilities.cookies || !is_preemptible(),
            ..found.abilities
        };
        add("kprobe_multi", abilities.kprobe_multi, "one attachment for many functions");
        add("lsm", lsm, "policies on LSM hooks; needs bpf in the kernel's lsm= list");
        add("fentry", tracing, "policies on functions without kprobes");
        add("ringbuf", true, "events from the kernel");
        Self {
            tracepoints_non_preemptible: preempt.ok(),
            kprobe,
            sched_prepare_exec: found.sched_prepare_exec,
            exit_group_dead: found.exit_group_dead,
            classic_misses_counted: found.misses_counted,
            abilities,
            list,
        }
    }
}

/// Whether the kernel was built to be preempted anywhere; what newer ones are told at boot is not seen here.
fn is_preemptible() -> bool {
    let version = rustix::system::uname();
    version.version().to_string_lossy().split(' ').any(|word| word == "PREEMPT" || word == "PREEMPT_RT")
}

/// What one pass over the kernel's types finds.
#[derive(Debug, Default)]
struct Scan {
    preempt_counter: Option<(u32, i16)>,
    sched_prepare_exec: bool,
    has_exec: bool,
    has_task_iter: bool,
    exit_group_dead: bool,
    misses_counted: bool,
    abilities: Abilities,
}

impl Scan {
    fn of(btf: Btf<'_>) -> Self {
        let mut found = Self::default();
        let mut hot_counter = None;
        let kinds = [Kind::Typedef, Kind::Struct, Kind::Var, Kind::Enum];
        for t in btf.types().filter(|t| kinds.contains(&t.kind)) {
            match (t.kind, t.name()) {
                (Kind::Typedef, "btf_trace_sched_prepare_exec") => found.sched_prepare_exec = true,
                (Kind::Typedef, "btf_trace_sched_process_exec") => found.has_exec = true,
                (Kind::Struct, "bpf_iter__task") => found.has_task_iter = true,
                (Kind::Struct, "trace_event_raw_sched_process_exit") => {
                    found.exit_group_dead = btf.members(t).any(|(name, ..)| name == "group_dead");
                }
                (Kind::Var, "__preempt_count") => found.preempt_counter = Some((t.id, 0)),
                (Kind::Var, "pcpu_hot") => hot_counter = Some(t.id),
                // bpf_link_info.kprobe_multi got "missed" together with the counting of all misses.
                (Kind::Struct, "") => {
                    let mut members = btf.members(t).map(|(name, ..)| name);
                    if members.next() == Some("addrs") && members.any(|name| name == "missed") {
                        found.misses_counted = true;
                    }
                }
                (Kind::Struct, "bpf_kprobe_multi_link") => found.abilities.kprobe_multi = true,
                // Came with the change that allowed it.
                (Kind::Struct, "bpf_mem_alloc") => found.abilities.unallocated_hashes = true,
                (Kind::Enum, "bpf_func_id") => {
                    found.abilities.cookies =
                        btf.enumerators(t).any(|(name, _)| name == "BPF_FUNC_get_attach_cookie");
                }
                _ => {}
            }
        }
        // 6.2 to 6.14 keep the counter on x86 in one structure with other hot variables.
        if let (None, Some(variable)) = (found.preempt_counter, hot_counter) {
            found.preempt_counter = btf
                .types()
                .filter(|t| t.kind == Kind::Struct)
                .find_map(|t| {
                    btf.members(t).find(|(name, ..)| *name == "preempt_count" && t.name().is_empty())
                })
                .and_then(|(_, bits, _)| i16::try_from(bits / 8).ok())
                .map(|offset| (variable, offset));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn type_information_is_searched_where_the_contract_says() {
        let dir = tempfile::tempdir().unwrap();
        let places = [dir.path().join("first"), dir.path().join("second")];
        let error = first_readable(&places).unwrap_err().to_string();
        assert!(error.contains("first") && error.contains("second") && error.contains("--btf"), "{error}");
        fs::write(&places[1], "2").unwrap();
        assert_eq!(first_readable(&places).unwrap(), (places[1].clone(), b"2".to_vec()));
        fs::write(&places[0], "1").unwrap();
        assert_eq!(first_readable(&places).unwrap().1, b"1");
    }

    #[test]
    fn a_named_file_is_not_replaced_by_another() {
        let error = read_btf(Some(Path::new("/no/such/file")), Path::new("/")).unwrap_err().to_string();
        assert!(error.contains("/no/such/file") && error.contains("--btf"), "{error}");
    }
}
