//! What the kernel itself says happened: its own tracepoints, read as text, independent of any BPF program.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

const EVENTS: [&str; 3] = ["sched_process_exec", "sched_process_exit", "sched_process_fork"];

/// One line of the kernel's trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// A process has a new image.
    Exec {
        /// Its process id.
        pid: u32,
        /// The path handed to the kernel.
        filename: String,
    },
    /// A thread has ended.
    Exit {
        /// Its thread id.
        tid: u32,
    },
    /// A thread has been made.
    Fork {
        /// The maker's thread id.
        parent: u32,
        /// The new thread's id.
        child: u32,
    },
}

/// A recording in progress, in a trace buffer of its own.
pub struct Truth {
    instance: PathBuf,
}

impl Truth {
    /// Starts to record; `kilobytes` per processor must hold all that will happen.
    pub fn record(kilobytes: u32) -> Result<Self> {
        let instance = Path::new("/sys/kernel/tracing/instances").join(format!("e2e-{}", std::process::id()));
        fs::create_dir(&instance).with_context(|| format!("make trace instance {}", instance.display()))?;
        let truth = Self { instance };
        // The default clock is not comparable between processors.
        truth.set("trace_clock", "mono")?;
        truth.set("buffer_size_kb", &kilobytes.to_string())?;
        for event in EVENTS {
            truth.set(&format!("events/sched/{event}/enable"), "1")?;
        }
        Ok(truth)
    }

    fn set(&self, file: &str, value: &str) -> Result<()> {
        fs::write(self.instance.join(file), value).with_context(|| format!("write {value} to {file}"))
    }

    /// Stops, and returns all that happened. Fails if the kernel had to drop any of it.
    pub fn finish(self) -> Result<Vec<Fact>> {
        self.set("tracing_on", "0")?;
        let overruns = self.overruns()?;
        ensure!(overruns == 0, "the kernel's trace lost {overruns} events: record with a larger buffer");
        let trace = File::open(self.instance.join("trace")).context("open the trace")?;
        let mut facts = Vec::new();
        for line in BufReader::new(trace).lines() {
            facts.extend(parse(&line?));
        }
        Ok(facts)
    }

    fn overruns(&self) -> Result<u64> {
        let mut overruns = 0;
        for cpu in fs::read_dir(self.instance.join("per_cpu"))? {
            let stats = fs::read_to_string(cpu?.path().join("stats"))?;
            for line in stats.lines() {
                if let Some(("overrun" | "commit overrun" | "dropped events", count)) = line.split_once(": ")
                {
                    overruns += count.trim().parse::<u64>()?;
                }
            }
        }
        Ok(overruns)
    }
}

impl Drop for Truth {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.instance);
    }
}

fn parse(line: &str) -> Option<Fact> {
    let event = EVENTS.iter().find(|event| line.contains(&format!(" {event}: ")))?;
    let fields = line.split_once(&format!(" {event}: "))?.1;
    // Names may hold spaces, numbers come after them.
    let last = |key: &str| fields.rsplit_once(key).and_then(|(_, rest)| rest.split(' ').next()?.parse().ok());
    match *event {
        "sched_process_exec" => {
            let filename = fields.strip_prefix("filename=")?.rsplit_once(" pid=")?.0.to_owned();
            Some(Fact::Exec { pid: last(" pid=")?, filename })
        }
        "sched_process_exit" => Some(Fact::Exit { tid: last(" pid=")? }),
        _ => {
            let (maker, made) = fields.rsplit_once(" child_comm=")?;
            let parent = maker.rsplit_once(" pid=")?.1.parse().ok()?;
            Some(Fact::Fork { parent, child: made.rsplit_once(" child_pid=")?.1.trim().parse().ok()? })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_every_kernel_are_understood() {
        let prefix = "            sh-42  [001] .....   7.000001:";
        let exec = format!("{prefix} sched_process_exec: filename=/tmp/a b pid=7 pid=42 old_pid=42");
        assert_eq!(parse(&exec), Some(Fact::Exec { pid: 42, filename: "/tmp/a b pid=7".into() }));
        let exit = format!("{prefix} sched_process_exit: comm=sh pid=42 prio=120 group_dead=true");
        assert_eq!(parse(&exit), Some(Fact::Exit { tid: 42 }));
        let fork = format!("{prefix} sched_process_fork: comm=sh pid=42 child_comm=sh child_pid=43");
        assert_eq!(parse(&fork), Some(Fact::Fork { parent: 42, child: 43 }));
    }

    #[test]
    fn other_lines_are_no_facts() {
        assert_eq!(parse("# tracer: nop"), None);
    }
}
