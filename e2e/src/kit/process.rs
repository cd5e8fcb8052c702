//! Runs programs, and knows about them what the kernel knows, without the agent's help.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, WaitId, WaitIdOptions};

use super::Env;

/// How the actor says that it could not do what it was told.
const BROKEN: i32 = libc::SIGUSR2;

/// A process that has ended.
#[derive(Debug, Clone)]
pub struct Ended {
    /// Its process id.
    pub pid: u32,
    /// When it began, in clock ticks (1/100 s) since the boot.
    pub start_ticks: u64,
    /// How it ended.
    pub status: ExitStatus,
}

impl Ended {
    /// Fails unless it exited with this status.
    pub fn expect_code(self, code: i32) -> Result<Self> {
        ensure!(self.status.code() == Some(code), "expected exit status {code}, got {}", self.status);
        Ok(self)
    }

    /// Fails unless this signal ended it.
    pub fn expect_signal(self, signal: i32) -> Result<Self> {
        ensure!(
            self.status.signal() == Some(signal),
            "expected death by signal {signal}, got {}",
            self.status
        );
        Ok(self)
    }
}

/// A process as it described itself with the actor's verb `report`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reported {
    /// Its process id.
    pub pid: u32,
    /// Its parent at that moment.
    pub parent: u32,
    /// When it began, in clock ticks (1/100 s) since the boot.
    pub start_ticks: u64,
    /// Its process id in its own pid namespace.
    pub inner_pid: u32,
}

impl Env {
    /// A command that makes the actor perform `verbs`.
    pub fn actor<S: AsRef<OsStr>>(&self, verbs: impl IntoIterator<Item = S>) -> Result<Command> {
        let mut command = Command::new(self.binary("actor")?);
        command.args(verbs).stdin(Stdio::null()).current_dir(self.dir());
        Ok(command)
    }

    /// Runs the actor and waits for its end.
    pub fn act<S: AsRef<OsStr>>(&self, verbs: impl IntoIterator<Item = S>) -> Result<Ended> {
        run(&mut self.actor(verbs)?)
    }

    /// A copy of the actor under another name, so that its processes are told apart from all others.
    pub fn actor_copy(&self, name: impl AsRef<Path>) -> Result<PathBuf> {
        let path = self.file(name);
        fs::copy(self.binary("actor")?, &path)
            .with_context(|| format!("copy the actor to {}", path.display()))?;
        Ok(path)
    }

    /// What processes reported into this file, in order.
    pub fn reported(&self, file: impl AsRef<Path>) -> Result<Vec<Reported>> {
        let path = self.file(file);
        let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        text.lines().map(|line| parse_report(line).with_context(|| format!("report {line:?}"))).collect()
    }

    /// Polls until `condition` gives a value; `what` says what was waited for.
    pub fn eventually<T>(
        &self,
        what: &str,
        native: Duration,
        condition: impl FnMut() -> Result<Option<T>>,
    ) -> Result<T> {
        eventually(what, self.patience(native), condition)
    }
}

/// As [`Env::eventually`], with the time as it is.
pub(super) fn eventually<T>(
    what: &str,
    cap: Duration,
    condition: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    eventually_every(Duration::from_millis(5), what, cap, condition)
}

/// As [`eventually`], for conditions that cost something to look at.
pub(super) fn eventually_every<T>(
    pause: Duration,
    what: &str,
    cap: Duration,
    mut condition: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let begun = Instant::now();
    loop {
        if let Some(value) = condition()? {
            return Ok(value);
        }
        if begun.elapsed() > cap {
            bail!("waited {cap:?} in vain for {what}");
        }
        std::thread::sleep(pause);
    }
}

fn parse_report(line: &str) -> Result<Reported> {
    let mut fields = line.split(' ');
    let mut next = || fields.next().context("too short");
    let (pid, parent) = (next()?.parse()?, next()?.parse()?);
    Ok(Reported { pid, parent, start_ticks: next()?.parse()?, inner_pid: next()?.parse()? })
}

/// Runs a command that must succeed, and returns what it printed; the error shows what it complained of.
pub fn checked(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("start {}", command.get_program().display()))?;
    if !output.status.success() {
        bail!("{command:?} ({}): {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    String::from_utf8(output.stdout).with_context(|| format!("output of {command:?}"))
}

/// Runs a command and waits for its end.
pub fn run(command: &mut Command) -> Result<Ended> {
    let child = command.spawn().with_context(|| format!("start {}", command.get_program().display()))?;
    wait(child)
}

/// Waits for the end of a process, and learns its start time before it is gone.
pub fn wait(mut child: Child) -> Result<Ended> {
    let pid = child.id();
    // A zombie still has its entry in /proc.
    rustix::process::waitid(
        WaitId::Pid(Pid::from_child(&child)),
        WaitIdOptions::EXITED | WaitIdOptions::NOWAIT,
    )
    .context("wait for a process")?;
    let start_ticks = start_ticks(pid)?;
    let status = child.wait()?;
    ensure!(status.signal() != Some(BROKEN), "the actor could not do what it was told; see the log");
    Ok(Ended { pid, start_ticks, status })
}

/// When a process began, in clock ticks since the boot.
pub fn start_ticks(pid: u32) -> Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).with_context(|| format!("process {pid}"))?;
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    after_name.split_whitespace().nth(19).context("short stat")?.parse().context("start time")
}

/// A process for people: its command line, state and parent, and where in the kernel it waits.
pub fn described(pid: u32) -> String {
    let read = |file: &str| fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).replace('\0', " ").trim().to_owned();
    let status = text(read("status"));
    let facts: Vec<_> =
        status.lines().filter(|line| line.starts_with("State:") || line.starts_with("PPid:")).collect();
    format!("{pid}: {} ({}; {})", text(read("cmdline")), facts.join(", "), text(read("wchan")))
}

/// Sends a signal.
pub fn signal(pid: u32, signal: rustix::process::Signal) -> Result<()> {
    let pid = Pid::from_raw(pid.try_into()?).context("no such process id")?;
    rustix::process::kill_process(pid, signal).context("signal a process")
}
