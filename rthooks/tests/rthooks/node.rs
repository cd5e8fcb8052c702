//! A node: where sockets and files are, and the plugin's process.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::agent::{Agent, Behaviour};
use crate::runtime::{self, Runtime};

const PATIENCE: Duration = Duration::from_secs(20);
/// What runtimes allow unless configured otherwise.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);

/// Paths of one test.
pub(crate) struct Node {
    root: TempDir,
}

impl Node {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().expect("a folder");
        fs::create_dir(root.path().join("run")).expect("a folder");
        Self { root }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Starts the plugin with these flags and those of the node's paths.
    pub(crate) fn plugin(&self, flags: &[&str]) -> Plugin {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tetragon-rthooks"));
        command
            .args(["--log-level=debug", "nri-hook"])
            .arg(format!("--nri-socket={}", self.path("nri.sock").display()))
            .arg(format!("--grpc-address=unix://{}", self.path("agent.sock").display()))
            .arg(format!("--spool-dir={}", self.path("run/containers").display()))
            .arg(format!("--status-file={}", self.path("status.json").display()))
            .args(flags)
            .env_remove("POD_NAMESPACE")
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("starts");
        let log = Arc::<Mutex<String>>::default();
        let stderr = BufReader::new(child.stderr.take().expect("piped"));
        let copy = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let mut log = copy.lock().expect("not poisoned");
                log.push_str(&line);
                log.push('\n');
            }
        });
        Plugin { child, log, status: self.path("status.json") }
    }

    pub(crate) fn agent(&self, behaviour: Behaviour) -> Agent {
        Agent::start(&self.path("agent.sock"), behaviour)
    }

    pub(crate) async fn runtime(&self) -> Runtime {
        runtime::accept(&self.path("nri.sock"), REQUEST_TIMEOUT).await
    }

    /// Names of the notes for the agent's next start.
    pub(crate) fn notes(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.path("run/containers")) else { return Vec::new() };
        let name = |entry: std::io::Result<fs::DirEntry>| entry.expect("readable").file_name();
        let mut names: Vec<String> = entries.map(|it| name(it).into_string().expect("plain")).collect();
        names.sort_unstable();
        names
    }
}

/// The plugin's process; killed when dropped.
pub(crate) struct Plugin {
    child: Child,
    log: Arc<Mutex<String>>,
    status: PathBuf,
}

impl Plugin {
    pub(crate) fn log(&self) -> String {
        self.log.lock().expect("not poisoned").clone()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).expect("a pid");
        kill_process(Pid::from_raw(pid).expect("not 0"), signal).expect("runs");
    }

    pub(crate) fn end(&mut self) -> ExitStatus {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status;
            }
            assert!(Instant::now() < until, "it does not end: {}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// A number of the status file; 0 while there is none.
    pub(crate) fn count(&self, name: &str) -> u64 {
        self.status().get(name).and_then(Value::as_u64).unwrap_or(0)
    }

    pub(crate) fn status(&self) -> Value {
        let text = fs::read_to_string(&self.status).unwrap_or_else(|_| "{}".to_owned());
        serde_json::from_str(&text).expect("whole at any time")
    }

    /// Waits for the plugin to know that the agent is there, away or silent.
    pub(crate) async fn sees_agent(&self, presence: &str) {
        let what = format!("agent {presence}: {}", self.log());
        until(&what, || self.status()["agent"] == presence).await;
    }
}

impl Drop for Plugin {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("log of the plugin:\n{}", self.log());
        }
    }
}

/// Waits for something to become true.
pub(crate) async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < until, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
