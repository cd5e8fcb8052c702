//! Telling the agent what it missed: what was there before it, and what was let through without it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tonic::Code;

use crate::agent::{Agent, Failure, Link};
use crate::counters::Counters;
use crate::known::{Known, Untold};
use crate::request;
use crate::spool::Spool;

/// Containers told at a time.
const CONCURRENT: usize = 16;
/// How long the agent may take for one of them.
const BUDGET: Duration = Duration::from_secs(5);
/// How soon after a failure it is tried again.
const RETRY: Duration = Duration::from_millis(200);

/// Tells the agent what it missed.
pub(crate) struct Replay {
    pub(crate) agent: Arc<Agent>,
    pub(crate) known: Arc<Known>,
    pub(crate) spool: Spool,
    pub(crate) counters: Arc<Counters>,
    /// Passes over the table so far.
    pub(crate) passes: watch::Sender<u64>,
}

impl Replay {
    /// Keeps the agent informed, for ever.
    pub(crate) async fn run(self: Arc<Self>) {
        let mut link = self.agent.arrival(None).await;
        loop {
            let complete = self.pass(&link).await;
            if complete {
                self.agent.set_caught_up(link.generation);
            }
            self.passes.send_modify(|passes| *passes += 1);
            tokio::select! {
                next = self.agent.arrival(Some(link.generation)) => link = next,
                () = self.known.changed.notified() => {}
                () = sleep(RETRY), if !complete => {}
            }
        }
    }

    /// Tells what this agent has not been told; true if it has an answer to everything.
    async fn pass(self: &Arc<Self>, link: &Link) -> bool {
        let mut untold = self.known.untold(link.generation).into_iter();
        let count = untold.len();
        let mut calls = JoinSet::new();
        let mut complete = true;
        loop {
            while complete && calls.len() < CONCURRENT {
                let Some(next) = untold.next() else { break };
                let (this, link) = (Arc::clone(self), link.clone());
                calls.spawn(async move { this.tell(&link, &next).await });
            }
            match calls.join_next().await {
                Some(answered) => complete &= answered.unwrap_or(false),
                None => break,
            }
        }
        let generation = link.generation;
        match (count, complete) {
            (0, _) => {}
            (_, true) => {
                tracing::info!(containers = count, generation, "the agent has been told what it missed");
            }
            (_, false) => {
                tracing::debug!(containers = count, generation, "the agent does not take all it missed");
            }
        }
        complete
    }

    /// True if the agent has answered, whatever it was.
    async fn tell(&self, link: &Link, untold: &Untold) -> bool {
        let request = request::created(&untold.container, untold.stage);
        match link.tell(request, BUDGET).await {
            Ok(_) => {
                self.known.told(untold, link.generation, true);
                self.counters.replayed.add();
                // The agent deletes it only when it starts.
                if let Err(error) = self.spool.remove(&untold.id) {
                    tracing::debug!(%error, "note not removed");
                }
                true
            }
            Err(Failure::Refused(status)) if status.code() == Code::NotFound => {
                self.counters.replay_gone.add();
                self.known.ended(untold);
                true
            }
            Err(Failure::Refused(status)) if !is_passing(status.code()) => {
                self.counters.replay_failed.add();
                let (id, message) = (&untold.id, status.message());
                tracing::warn!(container = %id, code = ?status.code(), message, "the agent does not take a container");
                self.known.told(untold, link.generation, false);
                true
            }
            Err(failure) => {
                self.counters.replay_failed.add();
                tracing::debug!(container = %untold.id, %failure, "the agent was not told; later");
                false
            }
        }
    }

    /// Waits until the agent, if one is there, has been told everything.
    pub(crate) async fn settled(&self) {
        let mut passes = self.passes.subscribe();
        while let Some(generation) = self.agent.generation() {
            if self.known.untold_count(Some(generation)) == 0 || passes.changed().await.is_err() {
                return;
            }
        }
    }
}

/// Whether the same request may succeed later.
fn is_passing(code: Code) -> bool {
    matches!(
        code,
        Code::Unavailable
            | Code::ResourceExhausted
            | Code::Aborted
            | Code::Cancelled
            | Code::DeadlineExceeded
    )
}
