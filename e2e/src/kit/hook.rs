//! The hook under test, as a runtime is told to call it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;

use super::Env;

/// A hook of one test: the command line of `tetragon-oci-hook`, and its log.
pub struct OciHook {
    line: Vec<String>,
    log: PathBuf,
}

impl OciHook {
    /// The hook that tells the agent behind this socket.
    pub fn new(env: &Env, socket: &Path) -> Result<Self> {
        let log = env.file("hook.log");
        let program = env.binary("tetragon-oci-hook")?;
        let line = vec![
            program.to_string_lossy().into_owned(),
            format!("--grpc-address=unix://{}", socket.display()),
            format!("--log-fname={}", log.display()),
            "createRuntime".to_owned(),
        ];
        Ok(Self { line, log })
    }

    /// Adds an option.
    #[must_use]
    pub fn option(mut self, option: impl Into<String>) -> Self {
        self.line.insert(1, option.into());
        self
    }

    /// Program and arguments.
    pub fn line(&self) -> Vec<&str> {
        self.line.iter().map(String::as_str).collect()
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

/// A second hook, which only keeps what runtimes say about containers: the witness for which process is whose.
pub struct Witness {
    line: Vec<String>,
    file: PathBuf,
}

/// A container as its runtime told hooks of it.
#[derive(Debug, Clone, Deserialize)]
pub struct ToldState {
    /// Whole id.
    pub id: String,
    /// Its first process: the one that executes the container's own program.
    pub pid: u32,
}

impl Witness {
    /// A witness that keeps what it hears in the test's directory.
    pub fn new(env: &Env) -> Result<Self> {
        let file = env.file("states");
        let actor = env.binary("actor")?;
        let words = [&actor.to_string_lossy(), "keep-input", &*file.to_string_lossy()];
        Ok(Self { line: words.map(str::to_owned).to_vec(), file })
    }

    /// Program and arguments.
    pub fn line(&self) -> Vec<&str> {
        self.line.iter().map(String::as_str).collect()
    }

    /// The containers it was called for, in that order.
    pub fn states(&self) -> Result<Vec<ToldState>> {
        let text = fs::read_to_string(&self.file).context("read what the witness kept")?;
        let states = text.lines().filter(|line| !line.is_empty());
        states.map(|line| serde_json::from_str(line).with_context(|| format!("state {line:?}"))).collect()
    }
}
