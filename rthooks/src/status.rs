//! What the plugin has done so far, for people and for tests.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::time::sleep;

use crate::agent::Agent;
use crate::counters::{Counters, Snapshot};
use crate::known::Known;
use crate::plugin::Hook;

/// How often the file is brought up to date.
const EVERY: Duration = Duration::from_secs(1);

/// Where the numbers come from.
pub(crate) struct Status {
    pub(crate) hook: Arc<Hook>,
    pub(crate) agent: Arc<Agent>,
    pub(crate) known: Arc<Known>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) nri: Arc<nri_plugin::Counters>,
}

/// All numbers at one moment.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Report {
    /// "here", "silent" or "away".
    agent: &'static str,
    agent_generation: Option<u64>,
    runtime: String,
    runtime_connected: bool,
    /// Containers and sandboxes that exist.
    known: usize,
    /// Those of them that the agent has not been told of as they are now.
    untold: usize,
    #[serde(flatten)]
    counts: Snapshot,
    nri_registrations: u64,
    nri_requests: u64,
    nri_failed_requests: u64,
    nri_dropped_messages: u64,
}

impl Status {
    pub(crate) fn report(&self) -> Report {
        let (agent_generation, nri) = (self.agent.generation(), self.nri.snapshot());
        Report {
            agent: self.agent.presence(),
            agent_generation,
            runtime: self.hook.session.runtime().to_string(),
            runtime_connected: self.hook.session.is_connected(),
            known: self.known.len(),
            untold: self.known.untold_count(agent_generation),
            counts: self.counters.snapshot(),
            nri_registrations: nri.registrations,
            nri_requests: nri.requests,
            nri_failed_requests: nri.failed_requests,
            nri_dropped_messages: nri.unknown_connection_frames
                + nri.unexpected_messages
                + nri.late_answers
                + nri.oversize_messages,
        }
    }

    /// Logs the numbers.
    pub(crate) fn log(&self) {
        match serde_json::to_string(&self.report()) {
            Ok(report) => tracing::info!(report, "so far"),
            Err(error) => tracing::warn!(%error, "no report"),
        }
    }

    /// Keeps a file up to date, for ever.
    pub(crate) async fn keep(&self, path: &Path) {
        let mut written = None;
        let mut failed = false;
        loop {
            let report = self.report();
            if written.as_ref() != Some(&report) {
                match write(path, &report) {
                    Ok(()) => failed = false,
                    Err(error) if !failed => {
                        failed = true;
                        tracing::warn!(path = %path.display(), %error, "status file not written");
                    }
                    Err(_) => {}
                }
                written = Some(report);
            }
            sleep(EVERY).await;
        }
    }
}

/// Writes the report under another name and renames it, so that readers see all of it.
pub(crate) fn write(path: &Path, report: &Report) -> io::Result<()> {
    let mut temporary = PathBuf::from(path);
    temporary.as_mut_os_string().push(".new");
    let mut file = std::fs::File::create(&temporary)?;
    serde_json::to_writer_pretty(&mut file, report)?;
    file.write_all(b"\n")?;
    std::fs::rename(&temporary, path)
}
