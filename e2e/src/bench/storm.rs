//! Short processes: how long each takes, and many at once.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::kit::Env;

/// Processes at a time in a storm.
const WORKERS: u32 = 2;

/// Where the one segment of the program is loaded.
const BASE: u64 = 0x40_0000;
const HEADERS: u64 = 64 + 56;

/// The smallest program there is: it ends. What remains of an exec's time is the kernel's, and the agent's.
fn tiny_elf() -> Vec<u8> {
    // mov eax, 60 (exit); xor edi, edi; syscall
    const CODE: [u8; 9] = [0xb8, 60, 0, 0, 0, 0x31, 0xff, 0x0f, 0x05];
    let size = HEADERS + CODE.len() as u64;
    let mut elf = Vec::new();
    // 64 bits, little-endian, version 1, System V.
    elf.extend_from_slice(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    // Executable, x86-64, version 1.
    elf.extend_from_slice(&[2, 0, 62, 0, 1, 0, 0, 0]);
    // Entry, program headers, no section headers.
    for field in [BASE + HEADERS, 64, 0] {
        elf.extend_from_slice(&field.to_le_bytes());
    }
    // Flags; sizes and counts of headers.
    elf.extend_from_slice(&0u32.to_le_bytes());
    for field in [64u16, 56, 1, 64, 0, 0] {
        elf.extend_from_slice(&field.to_le_bytes());
    }
    // To load, readable and executable.
    elf.extend_from_slice(&[1, 0, 0, 0, 5, 0, 0, 0]);
    for field in [0, BASE, BASE, size, size, 0x1000] {
        elf.extend_from_slice(&field.to_le_bytes());
    }
    elf.extend_from_slice(&CODE);
    elf
}

/// The program that storms run; its path tells its events apart.
#[derive(Debug, Clone)]
pub(super) struct Program(PathBuf);

impl Program {
    pub(super) fn write(env: &Env) -> Result<Self> {
        let path = env.file("tiny-bench-program");
        fs::write(&path, tiny_elf())?;
        fs::set_permissions(&path, Permissions::from_mode(0o755))?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Runs it once; how long creating, executing and waiting took.
    pub(super) fn run(&self) -> Result<Duration> {
        let mut command = Command::new(&self.0);
        command.args(["--first", "argument", "--second=argument"]).stdin(Stdio::null());
        let begun = Instant::now();
        let status = command.status().context("run the program")?;
        let took = begun.elapsed();
        ensure!(status.success(), "the program ended with {status}");
        Ok(took)
    }

    /// One after the other; the time of each.
    pub(super) fn run_in_turn(&self, count: u32) -> Result<Vec<Duration>> {
        (0..count).map(|_| self.run()).collect()
    }

    /// Some at a time; how long all took.
    pub(super) fn storm(&self, count: u32) -> Result<Duration> {
        let begun = Instant::now();
        thread::scope(|scope| {
            let workers: Vec<_> = (0..WORKERS)
                .map(|worker| {
                    let share = count / WORKERS + u32::from(worker < count % WORKERS);
                    scope.spawn(move || self.run_in_turn(share))
                })
                .collect();
            for worker in workers {
                worker.join().map_err(|_| anyhow::anyhow!("a worker panicked"))??;
            }
            Ok(begun.elapsed())
        })
    }
}

/// Mean of some durations, µs.
pub(super) fn mean_us(times: &[Duration]) -> f64 {
    times.iter().map(|time| time.as_secs_f64() * 1e6).sum::<f64>() / times.len().max(1) as f64
}

/// The value that this share of durations does not exceed, µs.
pub(super) fn quantile_us(times: &[Duration], share: f64) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.clamp(1, sorted.len().max(1)) - 1).map_or(0.0, |time| time.as_secs_f64() * 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn the_tiny_program_runs() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tiny");
        fs::write(&path, tiny_elf()).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        assert!(Program(path).storm(5).unwrap() > Duration::ZERO);
    }

    #[test]
    fn quantiles_are_ranks() {
        let times: Vec<Duration> = (1..=100).rev().map(Duration::from_micros).collect();
        for (share, value) in [(0.5, 50.0), (0.99, 99.0), (1.0, 100.0), (0.0, 1.0)] {
            assert!((quantile_us(&times, share) - value).abs() < 1e-9, "{share}");
        }
        assert!((mean_us(&times) - 50.5).abs() < 1e-9);
        assert!(quantile_us(&[], 0.5).abs() < 1e-9);
    }
}
