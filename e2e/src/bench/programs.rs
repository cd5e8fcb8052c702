//! What the BPF programs themselves cost, as the kernel counts it.

use std::collections::{BTreeMap, HashSet};
use std::fs;

use anyhow::{Context, Result};
use aya::programs::loaded_programs;

const SWITCH: &str = "/proc/sys/kernel/bpf_stats_enabled";

/// Runs of one program.
#[derive(Debug, Clone, Default)]
pub(super) struct Runs {
    pub(super) name: String,
    pub(super) count: u64,
    pub(super) nanoseconds: u64,
}

/// All programs in the kernel, by id.
#[derive(Debug, Default)]
pub(super) struct Programs(BTreeMap<u32, Runs>);

impl Programs {
    pub(super) fn read() -> Result<Self> {
        let mut programs = BTreeMap::new();
        for program in loaded_programs() {
            // One may be unloaded while the list is read.
            let Ok(program) = program else { continue };
            let name = program.name_as_str().unwrap_or("?").to_owned();
            let nanoseconds = u64::try_from(program.run_time().as_nanos()).unwrap_or(u64::MAX);
            programs.insert(program.id(), Runs { name, count: program.run_count(), nanoseconds });
        }
        Ok(Self(programs))
    }

    pub(super) fn ids(&self) -> HashSet<u32> {
        self.0.keys().copied().collect()
    }

    /// What ran since `earlier`, of the programs that are not in `foreign`.
    pub(super) fn since(&self, earlier: &Self, foreign: &HashSet<u32>) -> Vec<Runs> {
        let own = self.0.iter().filter(|(id, _)| !foreign.contains(id));
        let runs = own.map(|(id, now)| {
            let before = earlier.0.get(id).cloned().unwrap_or_default();
            Runs {
                name: now.name.clone(),
                count: now.count.saturating_sub(before.count),
                nanoseconds: now.nanoseconds.saturating_sub(before.nanoseconds),
            }
        });
        runs.filter(|runs| runs.count > 0).collect()
    }
}

/// Makes the kernel measure every run while it lives; costs each run two readings of the clock.
pub(super) struct Measuring {
    before: String,
}

impl Measuring {
    pub(super) fn start() -> Result<Self> {
        let before = fs::read_to_string(SWITCH).context("read kernel.bpf_stats_enabled")?;
        fs::write(SWITCH, "1").context("set kernel.bpf_stats_enabled")?;
        Ok(Self { before })
    }
}

impl Drop for Measuring {
    fn drop(&mut self) {
        if let Err(error) = fs::write(SWITCH, self.before.trim()) {
            eprintln!("kernel.bpf_stats_enabled stays on: {error}");
        }
    }
}
