//! What the kernel says a process has used.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

/// Processor time.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Cpu {
    /// Of all threads, to the nanosecond.
    pub(super) total: Duration,
    /// In user mode, in steps of 10 ms.
    pub(super) user: Duration,
    /// In the kernel, in steps of 10 ms.
    pub(super) system: Duration,
}

impl Cpu {
    pub(super) fn of(pid: u32) -> Result<Self> {
        let mut total = Duration::ZERO;
        for thread in fs::read_dir(format!("/proc/{pid}/task")).with_context(|| format!("process {pid}"))? {
            // A thread that has just ended takes its few microseconds with it.
            let text = fs::read_to_string(thread?.path().join("schedstat")).unwrap_or_default();
            total += Duration::from_nanos(first_number(&text).unwrap_or(0));
        }
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let mut fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11);
        let mut ticks = || -> Result<Duration> {
            let ticks: u32 = fields.next().context("short stat")?.parse().context("ticks")?;
            Ok(ticks * Duration::from_millis(10))
        };
        Ok(Self { total, user: ticks()?, system: ticks()? })
    }

    pub(super) fn since(self, earlier: Self) -> Self {
        Self {
            total: self.total.saturating_sub(earlier.total),
            user: self.user.saturating_sub(earlier.user),
            system: self.system.saturating_sub(earlier.system),
        }
    }
}

/// Memory, KiB.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Memory {
    /// Resident set.
    pub(super) rss: u64,
    /// The part of it that is not backed by files.
    pub(super) anonymous: u64,
    /// Resident set, shared pages divided by their users; absent where the kernel does not tell.
    pub(super) proportional: Option<u64>,
}

impl Memory {
    pub(super) fn of(pid: u32) -> Result<Self> {
        let status =
            fs::read_to_string(format!("/proc/{pid}/status")).with_context(|| format!("process {pid}"))?;
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        Ok(Self {
            rss: field(&status, "VmRSS:").context("no VmRSS")?,
            anonymous: field(&status, "RssAnon:").context("no RssAnon")?,
            proportional: field(&rollup, "Pss:"),
        })
    }
}

fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| first_number(line.strip_prefix(name)?))
}

fn first_number(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_memory_and_time() {
        let pid = std::process::id();
        let memory = Memory::of(pid).unwrap();
        assert!(memory.rss > 100 && memory.anonymous > 0 && memory.rss >= memory.anonymous, "{memory:?}");
        let before = Cpu::of(pid).unwrap();
        let begun = std::time::Instant::now();
        while begun.elapsed() < Duration::from_millis(60) {
            std::hint::black_box(0);
        }
        let used = Cpu::of(pid).unwrap().since(before);
        assert!(used.total > Duration::from_millis(10), "{used:?}");
    }
}
