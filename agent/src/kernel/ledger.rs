//! The kernel's side of the loss ledger: counters that the programs add to, summed over CPUs.

use aya::Pod;
use aya::maps::{MapData, PerCpuArray};
use tetragon_bpf::records::{HookCounters, hook};

use super::KernelError;

/// As the map holds it.
#[derive(Debug, Clone, Copy)]
#[repr(transparent)]
struct Counters(HookCounters);

#[expect(unsafe_code, reason = "promises the map library that the value is plain bytes")]
// SAFETY: four integers without padding; the layout test of the bpf crate holds it to the C structure.
unsafe impl Pod for Counters {}

/// Readers of the counter maps.
pub struct KernelLedger {
    hooks: PerCpuArray<MapData, Counters>,
    lost: PerCpuArray<MapData, u64>,
}

impl KernelLedger {
    pub(super) fn new(ebpf: &mut aya::Ebpf) -> Result<Self, KernelError> {
        Ok(Self { hooks: open(ebpf, "ledger")?, lost: open(ebpf, "lost")? })
    }

    /// One hook (of [`hook`]), summed over CPUs.
    pub fn hook(&self, hook: u32) -> Result<HookCounters, KernelError> {
        let values = self.hooks.get(&hook, 0).map_err(|e| map_error("ledger", &e))?;
        Ok(values.iter().fold(HookCounters::default(), |sum, Counters(one)| HookCounters {
            entered: sum.entered + one.entered,
            suppressed: sum.suppressed + one.suppressed,
            reserve_failed: sum.reserve_failed + one.reserve_failed,
            submitted: sum.submitted + one.submitted,
        }))
    }

    /// All hooks in the order of their numbers.
    pub fn hooks(&self) -> Result<Vec<HookCounters>, KernelError> {
        (0..hook::COUNT).map(|number| self.hook(number)).collect()
    }

    /// Records lost because a ring was full, by CPU.
    pub fn lost_by_cpu(&self) -> Result<Vec<u64>, KernelError> {
        Ok(self.lost.get(&0, 0).map_err(|e| map_error("lost", &e))?.iter().copied().collect())
    }
}

fn open<V: Pod>(ebpf: &mut aya::Ebpf, name: &'static str) -> Result<PerCpuArray<MapData, V>, KernelError> {
    let map = ebpf.take_map(name).ok_or_else(|| KernelError::Map {
        map: name,
        message: "is not in the BPF object; agent and object are of different builds".to_owned(),
    })?;
    PerCpuArray::try_from(map).map_err(|e| map_error(name, &e))
}

fn map_error(map: &'static str, error: &dyn std::error::Error) -> KernelError {
    KernelError::Map { map, message: error.to_string() }
}
