//! The matcher of policies in the kernel: its maps and programs, loaded with the first policy, and what is attached.

mod attach;
mod sets;
mod trampolines;

use std::collections::{HashMap, VecDeque};
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use aya_obj::generated::{bpf_attach_type, bpf_prog_type};
use tetragon_bpf::plan::{Plan, PlanCounters, RULE_PLANS, Rule, RuleKey};
use zerocopy::{FromZeros as _, IntoBytes as _};

use super::features::Abilities;
use super::object::{Loader, Manner, Maps, ObjectError, Wanted};
use super::sys::maps;
use super::sys::perf::Link;
use crate::policies::rules::{HookId, PlanId, RuleMap};

pub use attach::{AttachError, Attached, Place};
pub use sets::{SetId, SetMaker};

/// Numbers of elements of a map, given out and taken back. 0 is never given out.
#[derive(Debug, Default)]
struct Slots {
    used: u32,
    free: VecDeque<u32>,
    limit: u32,
}

impl Slots {
    fn new(limit: u32) -> Self {
        Self { used: 0, free: VecDeque::new(), limit }
    }

    /// The one that has been free for the longest time.
    fn take(&mut self) -> io::Result<u32> {
        if self.used + 1 < self.limit {
            self.used += 1;
            return Ok(self.used);
        }
        self.free.pop_front().ok_or_else(|| {
            io::Error::new(io::ErrorKind::StorageFull, format!("all {} places are taken", self.limit - 1))
        })
    }

    fn give(&mut self, slot: u32) {
        self.free.push_back(slot);
    }
}

/// Programs of the object, by what they are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Program {
    Kprobe,
    Kretprobe,
    KprobeMulti,
    KretprobeMulti,
    Tracepoint,
    /// Of kernels without cookies: one for each tracepoint.
    NumberedTracepoint(u32),
    FactsExec,
    FactsFork,
    FactsExit,
}

/// Tracepoints that kernels without cookies can serve.
const NUMBERED_TRACEPOINTS: u32 = 8;
const NUMBERED_NAMES: [&str; NUMBERED_TRACEPOINTS as usize] = [
    "policy_tracepoint_0",
    "policy_tracepoint_1",
    "policy_tracepoint_2",
    "policy_tracepoint_3",
    "policy_tracepoint_4",
    "policy_tracepoint_5",
    "policy_tracepoint_6",
    "policy_tracepoint_7",
];

impl Program {
    fn wanted(self, abilities: Abilities) -> Wanted<'static> {
        let kprobe = bpf_prog_type::BPF_PROG_TYPE_KPROBE as u32;
        let tracepoint = bpf_prog_type::BPF_PROG_TYPE_TRACEPOINT as u32;
        let multi = bpf_attach_type::BPF_TRACE_KPROBE_MULTI as u32;
        let cookies = abilities.cookies;
        let (name, kind, attach_type) = match self {
            Self::Kprobe if cookies => ("policy_kprobe", kprobe, 0),
            Self::Kprobe => ("policy_kprobe_by_address", kprobe, 0),
            Self::Kretprobe if cookies => ("policy_kretprobe", kprobe, 0),
            Self::Kretprobe => ("policy_kretprobe_by_stack", kprobe, 0),
            Self::KprobeMulti => ("policy_kprobe", kprobe, multi),
            Self::KretprobeMulti => ("policy_kretprobe", kprobe, multi),
            Self::Tracepoint => ("policy_tracepoint", tracepoint, 0),
            Self::NumberedTracepoint(number) => {
                (NUMBERED_NAMES.get(number as usize).copied().unwrap_or("policy_tracepoint_0"), tracepoint, 0)
            }
            Self::FactsExec => ("facts_exec", tracepoint, 0),
            Self::FactsFork => ("facts_fork", tracepoint, 0),
            Self::FactsExit => ("facts_exit", tracepoint, 0),
        };
        Wanted { name, kind, attach_type, attach_btf_id: 0 }
    }
}

/// What a policy is going to attach, so that its programs are loaded in one go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Needs {
    /// How many functions.
    pub functions: usize,
    /// Also where they return.
    pub returns: bool,
    /// Each function by itself.
    pub one_by_one: bool,
    /// Tracepoints.
    pub tracepoints: bool,
    /// What processes are at their exec.
    pub facts: bool,
}

impl Needs {
    /// The programs that serve it; that of a tracepoint without cookies is loaded when it is attached.
    fn programs(self, abilities: Abilities) -> Vec<Program> {
        let mut all = Vec::new();
        let multi = self.functions > 1 && abilities.kprobe_multi && !self.one_by_one;
        if self.functions > 0 {
            all.push(if multi { Program::KprobeMulti } else { Program::Kprobe });
            if self.returns {
                all.push(if multi { Program::KretprobeMulti } else { Program::Kretprobe });
            }
        }
        if self.tracepoints && abilities.cookies {
            all.push(Program::Tracepoint);
        }
        if self.facts {
            all.extend([Program::FactsExec, Program::FactsFork, Program::FactsExit]);
        }
        all
    }
}

/// Where the kernel's types and tracepoints are described.
#[derive(Debug, Clone)]
pub struct Descriptions {
    /// The file with the types.
    pub btf: PathBuf,
    /// Where tracefs is mounted.
    pub tracefs: PathBuf,
}

/// The matcher.
pub struct PolicyKernel {
    maps: Maps,
    abilities: Abilities,
    descriptions: Descriptions,
    programs: HashMap<Program, OwnedFd>,
    numbered: Slots,
    plans: Slots,
    sets: HashMap<&'static str, Slots>,
    facts: Option<[Link; 3]>,
}

/// The object's numbers of elements that are too many where all are allocated beforehand.
const PREALLOCATED_SIZES: &[(&str, u32)] = &[("rules", 8192), ("facts", 4096), ("hooks_by_address", 1024)];

impl PolicyKernel {
    /// Makes nothing yet. `base` are the maps of the base sensor that programs share.
    pub fn new(base: Maps, descriptions: Descriptions, abilities: Abilities) -> Self {
        Self {
            maps: base,
            abilities,
            descriptions,
            programs: HashMap::new(),
            numbered: Slots::new(NUMBERED_TRACEPOINTS + 1),
            plans: Slots::new(PLANS_MAX),
            sets: sets::all_slots(),
            facts: None,
        }
    }

    /// Makes the maps, if that has not been done, and loads what a policy needs and is not loaded.
    ///
    /// # Errors
    /// The kernel refuses a map or a program.
    pub fn prepare(&mut self, needs: Needs) -> Result<(), ObjectError> {
        let missing = self.missing(&needs.programs(self.abilities));
        if missing.is_empty() && self.maps.contains_key("rules") {
            return Ok(());
        }
        self.load(&missing)
    }

    fn missing(&self, wanted: &[Program]) -> Vec<Program> {
        wanted.iter().copied().filter(|program| !self.programs.contains_key(program)).collect()
    }

    fn load(&mut self, programs: &[Program]) -> Result<(), ObjectError> {
        let loader = self.loader(&self.raw_btf()?)?;
        for program in programs {
            let fd = loader.load(&program.wanted(self.abilities))?;
            self.programs.insert(*program, fd);
        }
        drop(loader);
        super::sys::trim_memory();
        Ok(())
    }

    fn loader(&mut self, raw_btf: &[u8]) -> Result<Loader, ObjectError> {
        let seed = seed();
        let offset = attach::fork_child_offset(&self.descriptions.tracefs).unwrap_or(0);
        let globals: HashMap<&str, (&[u8], bool)> = HashMap::from([
            ("rate_seed", (seed.as_slice(), true)),
            ("fork_child_offset", (offset.as_bytes(), true)),
        ]);
        self.loader_of(tetragon_bpf::POLICY_OBJECT, raw_btf, &globals, &[])
    }

    fn loader_of(
        &mut self,
        object: &[u8],
        raw_btf: &[u8],
        globals: &HashMap<&str, (&[u8], bool)>,
        sizes: &[(&str, u32)],
    ) -> Result<Loader, ObjectError> {
        let types = aya_obj::btf::Btf::parse(raw_btf, aya::Endianness::default())
            .map_err(|error| ObjectError::Object(error.to_string()))?;
        let manner = Manner { preallocate: !self.abilities.unallocated_hashes };
        let smaller = if manner.preallocate { PREALLOCATED_SIZES } else { &[] };
        Loader::new(object, &types, &mut self.maps, manner, globals, &[smaller, sizes].concat())
    }

    fn raw_btf(&self) -> Result<Vec<u8>, ObjectError> {
        let path = &self.descriptions.btf;
        fs::read(path).map_err(|error| ObjectError::Object(format!("{}: {error}", path.display())))
    }

    /// Loads those of the programs that are not there yet.
    fn ensure(&mut self, wanted: &[Program]) -> Result<(), ObjectError> {
        let missing = self.missing(wanted);
        if missing.is_empty() {
            return Ok(());
        }
        self.load(&missing)
    }

    /// Loads every program that this kernel can be given, one by one: name, outcome, time.
    pub fn load_all(&mut self) -> Vec<(&'static str, Result<(), ObjectError>, Duration)> {
        let mut all = vec![Program::Kprobe, Program::Kretprobe];
        if self.abilities.kprobe_multi {
            all.extend([Program::KprobeMulti, Program::KretprobeMulti]);
        }
        all.push(if self.abilities.cookies { Program::Tracepoint } else { Program::NumberedTracepoint(0) });
        all.extend([Program::FactsExec, Program::FactsFork, Program::FactsExit]);
        let mut outcomes = Vec::new();
        for program in all {
            let started = Instant::now();
            let outcome = self.ensure(&[program]);
            outcomes.push((program.wanted(self.abilities).name, outcome, started.elapsed()));
        }
        self.try_trampolines(&mut outcomes);
        outcomes
    }

    fn program(&self, program: Program) -> io::Result<BorrowedFd<'_>> {
        self.programs
            .get(&program)
            .map(AsFd::as_fd)
            .ok_or_else(|| io::Error::other("the program is not loaded"))
    }

    fn map(&self, name: &str) -> io::Result<&OwnedFd> {
        self.maps.get(name).ok_or_else(|| io::Error::other(format!("there is no map {name}")))
    }

    /// A place for a plan.
    ///
    /// # Errors
    /// All are taken.
    pub fn take_plan(&mut self) -> io::Result<PlanId> {
        self.plans.take().map(PlanId)
    }

    /// Puts a plan at its place; from then on, rules may name it. The bytes of kernel memory that it takes.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn write_plan(&self, id: PlanId, plan: &Plan) -> io::Result<u64> {
        let spec = maps::MapSpec {
            kind: aya_obj::generated::bpf_map_type::BPF_MAP_TYPE_ARRAY as u32,
            key_size: 4,
            value_size: u32::try_from(size_of::<Plan>()).map_err(io::Error::other)?,
            max_entries: 1,
            flags: 0,
        };
        let map = maps::create("plan", spec, None)?;
        maps::update(&map, &0u32.to_ne_bytes(), plan.as_bytes())?;
        maps::update(self.map("plans")?, &id.0.to_ne_bytes(), &map.as_raw_fd().to_ne_bytes())?;
        Ok(memory_of(map.as_fd()))
    }

    /// Takes a plan away. No rule may name it any more.
    pub fn remove_plan(&mut self, id: PlanId) {
        if let Ok(map) = self.map("plans") {
            // A plan that stays does nothing without a rule; it is overwritten when its place is used again.
            let _ = maps::delete(map, &id.0.to_ne_bytes());
        }
        self.plans.give(id.0);
    }

    /// What the matcher has counted.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn counters(&self, id: PlanId) -> io::Result<PlanCounters> {
        let mut map_id = [0u8; 4];
        let missing = || io::Error::from(io::ErrorKind::NotFound);
        if !maps::lookup(self.map("plans")?, &id.0.to_ne_bytes(), &mut map_id)? {
            return Err(missing());
        }
        let map = maps::by_id(u32::from_ne_bytes(map_id))?;
        let mut plan = Plan::new_zeroed();
        if !maps::lookup(&map, &0u32.to_ne_bytes(), plan.as_mut_bytes())? {
            return Err(missing());
        }
        Ok(plan.counters)
    }

    /// Rules, as they are written into the kernel.
    ///
    /// # Errors
    /// There is no such map.
    pub fn rule_map(&self) -> io::Result<Box<dyn RuleMap>> {
        Ok(Box::new(KernelRules { map: self.map("rules")?.try_clone()? }))
    }

    /// Makes sets; those of a policy that fails are dropped with it.
    pub fn sets(&mut self) -> SetMaker<'_> {
        SetMaker::new(self)
    }
}

/// Plans in all; the size of the map.
const PLANS_MAX: u32 = 32768;

fn seed() -> [u8; 16] {
    let mut seed = [0u8; 16];
    // Without a secret, rate limits work, and can be fooled.
    let _ = rustix::rand::getrandom(&mut seed, rustix::rand::GetRandomFlags::empty());
    seed
}

/// Bytes of kernel memory that the kernel accounts for a map.
fn memory_of(map: BorrowedFd<'_>) -> u64 {
    fs::read_to_string(format!("/proc/self/fdinfo/{}", map.as_raw_fd()))
        .ok()
        .and_then(|info| {
            let line = info.lines().find_map(|line| line.strip_prefix("memlock:"))?;
            line.trim().parse().ok()
        })
        .unwrap_or(0)
}

struct KernelRules {
    map: OwnedFd,
}

impl RuleMap for KernelRules {
    fn set(&mut self, hook: HookId, class: u32, plans: &[PlanId]) -> io::Result<()> {
        let key = |chunk: usize| {
            let chunk = u32::try_from(chunk).unwrap_or(u32::MAX);
            RuleKey { hook: hook.0, class, chunk, reserved: 0 }
        };
        // From the end: the first element, which makes the others count, comes last.
        let chunks: Vec<&[PlanId]> = plans.chunks(RULE_PLANS).collect();
        for (number, chunk) in chunks.iter().enumerate().rev() {
            let mut rule = Rule::new_zeroed();
            rule.key = key(number);
            rule.count = u32::try_from(chunk.len()).map_err(io::Error::other)?;
            rule.more = u32::from(number + 1 < chunks.len());
            for (to, plan) in rule.plan.iter_mut().zip(*chunk) {
                *to = plan.0;
            }
            maps::update(&self.map, rule.key.as_bytes(), rule.as_bytes())?;
        }
        // What is left of a longer rule.
        for number in chunks.len().. {
            let mut old = Rule::new_zeroed();
            if !maps::lookup(&self.map, key(number).as_bytes(), old.as_mut_bytes())? {
                break;
            }
            maps::delete(&self.map, key(number).as_bytes())?;
            if old.more == 0 {
                break;
            }
        }
        Ok(())
    }
}
