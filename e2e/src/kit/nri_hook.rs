//! The plugin under test between a containerd and an agent.

use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use serde_json::Value;

use super::Env;
use super::containerd::{Containerd, endpoint};
use super::daemon::Daemon;
use super::process::{self, eventually};

const START_CAP: Duration = Duration::from_secs(20);
/// Its figures are written once a second.
const STATUS_CAP: Duration = Duration::from_secs(20);

/// A running `tetragon-rthooks nri-hook`; killed when dropped.
pub struct NriHook {
    daemon: Daemon,
    command: Command,
    cgroup: PathBuf,
    dir: PathBuf,
}

impl NriHook {
    /// Starts it with further arguments, and waits until the runtime has registered it and the agent is there.
    pub fn start<S: Into<OsString>>(
        env: &Env,
        containerd: &Containerd,
        agent_socket: &Path,
        arguments: impl IntoIterator<Item = S>,
    ) -> Result<Self> {
        let hook = Self::start_before_agent(env, containerd, agent_socket, arguments)?;
        hook.status_where("the agent to be there", |status| status["agent"] == "here")?;
        Ok(hook)
    }

    /// As [`start`](Self::start), on a node where no agent need be.
    pub fn start_before_agent<S: Into<OsString>>(
        env: &Env,
        containerd: &Containerd,
        agent_socket: &Path,
        arguments: impl IntoIterator<Item = S>,
    ) -> Result<Self> {
        let dir = env.file("nri-hook");
        fs::create_dir_all(&dir)?;
        let mut command = Command::new(env.binary("tetragon-rthooks")?);
        command
            .args(["--log-level=debug", "nri-hook"])
            .arg(format!("--nri-socket={}", containerd.nri_socket().display()))
            .arg(format!("--grpc-address={}", endpoint(agent_socket)))
            .arg(format!("--status-file={}", dir.join("status.json").display()))
            .args(arguments.into_iter().map(Into::into));
        let cgroup = containerd.cgroup().unified_child("daemons")?;
        forget_status(&dir)?;
        let daemon = Daemon::start("nri-hook", &command, &cgroup, &dir)?;
        let mut hook = Self { daemon, command, cgroup, dir };
        hook.wait_registered()?;
        Ok(hook)
    }

    fn wait_registered(&mut self) -> Result<()> {
        let status = self.dir.join("status.json");
        self.daemon.wait_ready(START_CAP, || {
            let status = read(&status)?;
            ensure!(status["runtime_connected"] == true, "{status}");
            Ok(())
        })
    }

    /// Its figures, at most a second old.
    pub fn status(&self) -> Result<Value> {
        read(&self.dir.join("status.json"))
    }

    /// Waits until its figures meet a condition.
    pub fn status_where(&self, what: &str, condition: impl Fn(&Value) -> bool) -> Result<Value> {
        let mut last = Value::Null;
        let found = eventually(what, STATUS_CAP, || {
            last = self.status()?;
            Ok(condition(&last).then(|| last.clone()))
        });
        found.with_context(|| format!("its status: {last}\n{}", self.log()))
    }

    /// The end of its log.
    pub fn log(&self) -> String {
        self.daemon.log()
    }

    /// Its process id.
    pub fn pid(&self) -> Result<u32> {
        self.daemon.pid()
    }

    /// Kills it.
    pub fn kill(&mut self) -> Result<()> {
        self.daemon.kill()
    }

    /// Starts it again, and waits until it is registered.
    pub fn resume(&mut self) -> Result<()> {
        forget_status(&self.dir)?;
        self.daemon = Daemon::start("nri-hook", &self.command, &self.cgroup, &self.dir)?;
        self.wait_registered()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        process::signal(self.pid()?, signal)
    }

    /// Ends it in an orderly way.
    pub fn stop(mut self) -> Result<()> {
        self.daemon.stop(STATUS_CAP)
    }
}

/// What an earlier one said last is not what this one says now.
fn forget_status(dir: &Path) -> Result<()> {
    match fs::remove_file(dir.join("status.json")) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error).context("remove an old status"),
        _ => Ok(()),
    }
}

fn read(status: &Path) -> Result<Value> {
    let text = fs::read(status).context("read the plugin's status")?;
    serde_json::from_slice(&text).context("the plugin's status")
}
