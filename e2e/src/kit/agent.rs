//! The agent under test: started with directories of its own, watched, stopped.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::Signal;

use super::events::Events;
use super::ledger::Ledger;
use super::{Env, process, rpc};
use crate::place::Place;
use crate::runner;

/// The line of its log after which the agent sees everything.
const READY: &str = "Listening for events...";
/// Native time to get there.
const START_CAP: Duration = Duration::from_secs(30);
/// Native time to end after SIGTERM.
const STOP_CAP: Duration = Duration::from_secs(20);
/// Native time until nothing is on its way any more.
const LEDGER_CAP: Duration = Duration::from_secs(10);
/// Name of the node in events.
pub const NODE: &str = "e2e-node";

/// An agent to be started: `Launch::new(env)?.arg("--enable-process-ns").start()?`.
pub struct Launch<'env> {
    env: &'env Env,
    program: PathBuf,
    arguments: Vec<OsString>,
    prefix: Vec<OsString>,
    dir: PathBuf,
    socket: PathBuf,
}

impl<'env> Launch<'env> {
    /// The agent with nothing of the machine's configuration: export file, socket, pins and directories of its own.
    pub fn new(env: &'env Env) -> Result<Self> {
        let number = fs::read_dir(env.dir())?.count();
        Self::in_directory(env, env.file(format!("agent-{number}")))
    }

    /// As [`new`](Self::new), living in `dir`.
    pub(super) fn in_directory(env: &'env Env, dir: PathBuf) -> Result<Self> {
        for directory in ["config", "policies"] {
            fs::create_dir_all(dir.join(directory))?;
        }
        let at =
            |option: &str, path: &str| OsString::from(format!("--{option}={}", dir.join(path).display()));
        let arguments = vec![
            at("config-dir", "config"),
            at("tracing-policy-dir", "policies"),
            at("bpf-lib", "lib"),
            at("export-filename", "events.json"),
            format!("--bpf-dir=e2e-{}", std::process::id()).into(),
            "--health-server-address=".into(),
            // One file holds all of a test.
            "--export-file-max-size-mb=4096".into(),
        ];
        let (program, socket) = (env.binary("tetragon")?, dir.join("socket"));
        Ok(Self { env, program, arguments, prefix: Vec::new(), dir, socket })
    }

    /// Starts this program instead of the agent under test.
    #[must_use]
    pub fn program(mut self, path: impl Into<PathBuf>) -> Self {
        self.program = path.into();
        self
    }

    /// Serves this socket instead of one in its directory.
    #[must_use]
    pub fn serving(mut self, socket: impl Into<PathBuf>) -> Self {
        self.socket = socket.into();
        self
    }

    /// Adds an argument; the last one given wins.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// Switches on what it can show about processes beyond the default.
    #[must_use]
    pub fn showing_all(self) -> Self {
        self.arg("--enable-process-cred").arg("--enable-process-ns")
    }

    /// Runs it by way of another program, which gets the agent's command line as its last arguments.
    #[must_use]
    pub fn through<S: AsRef<OsStr>>(mut self, prefix: impl IntoIterator<Item = S>) -> Self {
        self.prefix = prefix.into_iter().map(|word| word.as_ref().to_owned()).collect();
        self
    }

    /// A directory of this agent: `config` is its configuration directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn spawn(&self) -> Result<Child> {
        let address = OsString::from(format!("--server-address=unix://{}", self.socket.display()));
        let words: Vec<&OsStr> = self
            .prefix
            .iter()
            .map(OsString::as_os_str)
            .chain([self.program.as_os_str(), &address])
            .chain(self.arguments.iter().map(OsString::as_os_str))
            .collect();
        let log = File::create(self.dir.join("log"))?;
        let mut command = Command::new(words[0]);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("TETRAGON_") {
                command.env_remove(name);
            }
        }
        command
            .args(&words[1..])
            .env("NODE_NAME", NODE)
            .env_remove("HUBBLE_NODE_NAME")
            .current_dir(&self.dir)
            .stdin(Stdio::null())
            .stdout(File::create(self.dir.join("stdout"))?)
            .stderr(log)
            .spawn()
            .context("start the agent")
    }

    /// Starts it without waiting for anything.
    pub fn start_unready(&self) -> Result<Agent> {
        let child = self.spawn()?;
        let (place, dir, socket) = (self.env.place(), self.dir.clone(), self.socket.clone());
        Ok(Agent { place, dir, socket, pid: child.id(), child: Mutex::new(Some(child)) })
    }

    /// Starts it and waits until it sees everything.
    pub fn start(&self) -> Result<Agent> {
        let agent = self.start_unready()?;
        agent.wait_ready()?;
        Ok(agent)
    }

    /// Starts an agent that must end by itself; returns how, and its log.
    pub fn start_in_vain(&self) -> Result<(ExitStatus, String)> {
        let agent = self.start_unready()?;
        let status = agent.wait_end(START_CAP).context("an agent that must not start")?;
        Ok((status, agent.log()))
    }
}

/// A started agent; killed when dropped.
pub struct Agent {
    place: Place,
    dir: PathBuf,
    socket: PathBuf,
    pid: u32,
    /// Absent once it has been stopped.
    child: Mutex<Option<Child>>,
}

impl Agent {
    /// Waits for the line that tells that the agent sees everything.
    pub fn wait_ready(&self) -> Result<()> {
        let cap = START_CAP * self.place.slowness();
        let begun = Instant::now();
        while !self.log().contains(READY) {
            if let Some(status) = self.ended()? {
                bail!("the agent ended ({status}) before it was ready:\n{}", self.log());
            }
            ensure!(begun.elapsed() < cap, "the agent was not ready within {cap:?}:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// How it ended, if it has.
    fn ended(&self) -> Result<Option<ExitStatus>> {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        child.as_mut().context("the agent has been stopped")?.try_wait().context("look after the agent")
    }

    fn wait_end(&self, native: Duration) -> Result<ExitStatus> {
        let cap = native * self.place.slowness();
        let begun = Instant::now();
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            ensure!(begun.elapsed() < cap, "the agent did not end within {cap:?}:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether it still runs.
    pub fn is_running(&self) -> Result<bool> {
        Ok(self.ended()?.is_none())
    }

    /// All it has logged so far.
    pub fn log(&self) -> String {
        runner::tail(&self.dir.join("log"), 256 * 1024).unwrap_or_default()
    }

    /// A file of this agent: `events.json`, `log`, `stdout`.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The socket it serves.
    pub fn socket(&self) -> PathBuf {
        self.socket.clone()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        process::signal(self.pid(), signal)
    }

    /// Kills it, and waits until it is gone for others too.
    pub fn kill(&self) -> Result<()> {
        self.signal(Signal::KILL)?;
        self.wait_end(STOP_CAP).map(drop)
    }

    /// Subscribes to its events; all that happens from now on will be seen.
    pub fn events(&self) -> Result<Events> {
        Events::subscribe(&self.socket(), self.place)
    }

    /// Its ledger at this moment, which may be in motion.
    pub fn ledger(&self) -> Result<Ledger> {
        rpc::status(&self.socket()).map(Ledger)
    }

    /// Its ledger once it adds up and nothing is on its way any more.
    pub fn settled_ledger(&self) -> Result<Ledger> {
        let mut last = String::new();
        let cap = LEDGER_CAP * self.place.slowness();
        let settled = process::eventually("a ledger that adds up", cap, || {
            let ledger = self.ledger()?;
            // This machine has other processes too, which never rest.
            match ledger.check_settled(self.place.is_native()) {
                Ok(()) => Ok(Some(ledger)),
                Err(error) => {
                    last = format!("{error:#}\n{:#?}", ledger.0);
                    Ok(None)
                }
            }
        });
        settled.with_context(|| last)
    }

    /// Ends it in an orderly way.
    pub fn stop(&self) -> Result<()> {
        self.signal(Signal::TERM)?;
        let status = self.wait_end(STOP_CAP)?;
        ensure!(status.success(), "the agent ended with {status}:\n{}", self.log());
        *self.child.lock().unwrap_or_else(PoisonError::into_inner) = None;
        Ok(())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("---- log of the agent ----\n{}", self.log());
        }
    }
}

/// Reads an export file.
pub fn exported(path: &Path) -> Result<Vec<super::Event>> {
    let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    text.lines()
        .map(|line| tetragon_api::json::from_str(line).with_context(|| format!("exported line {line}")))
        .collect()
}
