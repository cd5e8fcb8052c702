//! Programs that run beside a test: in its control group, with a log, ended with it.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::Signal;

use super::process;
use crate::runner;

/// Moves itself into the control group in `$0`, and becomes the rest of the line: the process stays the same.
const ENTER: &str = r#"echo $$ >"$0/cgroup.procs" && exec "$@""#;

/// A started program; killed when dropped.
pub struct Daemon {
    name: String,
    log: PathBuf,
    child: Option<Child>,
}

impl Daemon {
    /// Starts `command` in the control group with this directory; its output goes to `<name>.log` in `logs`.
    pub fn start(name: &str, command: &Command, cgroup: &Path, logs: &Path) -> Result<Self> {
        let path = logs.join(format!("{name}.log"));
        let log = File::options()
            .create(true)
            .append(true)
            .open(&path)
            .with_context(|| format!("open {}", path.display()))?;
        let mut entered = Command::new("/bin/sh");
        entered.args(["-c", ENTER]).arg(cgroup).arg(command.get_program()).args(command.get_args());
        for (variable, value) in command.get_envs() {
            match value {
                Some(value) => entered.env(variable, value),
                None => entered.env_remove(variable),
            };
        }
        let child = entered
            .current_dir(logs)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("start {name}"))?;
        Ok(Self { name: name.into(), log: path, child: Some(child) })
    }

    /// Its process id; an error once it has been ended.
    pub fn pid(&self) -> Result<u32> {
        Ok(self.child.as_ref().with_context(|| format!("{} has been ended", self.name))?.id())
    }

    /// The end of its log.
    pub fn log(&self) -> String {
        runner::tail(&self.log, 16 * 1024).unwrap_or_default()
    }

    /// Polls until it is ready; an error with its log if it ends before.
    pub fn wait_ready(&mut self, cap: Duration, mut ready: impl FnMut() -> Result<()>) -> Result<()> {
        let begun = Instant::now();
        loop {
            let Err(reason) = ready() else { return Ok(()) };
            if let Some(status) = self.ended()? {
                bail!("{} ended ({status}):\n{}", self.name, self.log());
            }
            if begun.elapsed() > cap {
                bail!("{} is not ready after {cap:?}: {reason:#}\n{}", self.name, self.log());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        let child = self.child.as_mut().with_context(|| format!("{} has been ended", self.name))?;
        child.try_wait().with_context(|| format!("look after {}", self.name))
    }

    /// Ends it in an orderly way, within `cap`.
    pub fn stop(&mut self, cap: Duration) -> Result<()> {
        process::signal(self.pid()?, Signal::TERM)?;
        let begun = Instant::now();
        while self.ended()?.is_none() {
            ensure!(begun.elapsed() < cap, "{} did not end within {cap:?}:\n{}", self.name, self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
        self.child = None;
        Ok(())
    }

    /// Kills it.
    pub fn kill(&mut self) -> Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        child.kill().with_context(|| format!("kill {}", self.name))?;
        child.wait().map(drop).with_context(|| format!("wait for {}", self.name))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Err(error) = self.kill() {
            eprintln!("{error:#}");
        }
    }
}

/// `PATH` with this directory in front.
pub(super) fn path_with(directory: &Path) -> Result<std::ffi::OsString> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let all = std::iter::once(directory.to_owned()).chain(std::env::split_paths(&path));
    std::env::join_paths(all).context("PATH")
}

/// The text of a path, for configuration files.
pub(super) fn text(path: &(impl AsRef<OsStr> + ?Sized)) -> Result<&str> {
    path.as_ref().to_str().context("a path that is not text")
}
