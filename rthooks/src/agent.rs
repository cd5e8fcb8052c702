//! The agent as seen from here: whether it is there, and what it is told.
//!
//! One task keeps one connection. An agent counts as there once it has answered a call, and as gone when the
//! connection ends or a call every half second goes unanswered. Each connection has a number of its own, its
//! *generation*: what an agent of an earlier generation was told, the present one may not know.

mod address;
mod connection;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tetragon_api::tetragon::fine_guidance_sensors_client::FineGuidanceSensorsClient;
use tetragon_api::tetragon::{RuntimeHookRequest, RuntimeHookState};
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tonic::Status;
use tonic::transport::Channel;

use crate::counters::Counters;

pub(crate) use address::Address;

type Client = FineGuidanceSensorsClient<Channel>;

/// How often an agent that is away is looked for.
const LOOK: Duration = Duration::from_millis(50);
/// How often an agent that is there is asked whether it still is.
const PING: Duration = Duration::from_millis(500);
/// How long the answer may take.
const PING_TIMEOUT: Duration = Duration::from_millis(1500);

/// Whether the agent is there.
#[derive(Debug, Clone)]
enum State {
    Away {
        /// Attempts to connect so far.
        attempts: u64,
        failure: Failure,
    },
    Here(Link),
}

/// A connection to an agent that is there.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    pub(crate) generation: u64,
    client: Client,
    address: Arc<str>,
    /// The agent has been told of what was there before it.
    caught_up: bool,
}

/// Why the agent was not told.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Failure {
    /// No agent behind the address.
    #[error("nothing answers at {address}: {why}")]
    Absent { address: Arc<str>, why: Arc<str> },
    /// It does not answer.
    #[error("it did not answer within {0:.1?}")]
    Silent(Duration),
    /// It said no.
    #[error("it answered {:?}: {}", .0.code(), .0.message())]
    Refused(Status),
}

/// What the agent was told, and what it made of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Told {
    pub(crate) generation: u64,
    pub(crate) state: RuntimeHookState,
}

/// The agent.
pub(crate) struct Agent {
    address: Address,
    name: Arc<str>,
    states: watch::Sender<State>,
    look_now: Notify,
    /// It did not answer the last request in time, though it answers pings.
    slow: AtomicBool,
    counters: Arc<Counters>,
}

impl Agent {
    /// An agent that is not looked for yet; [`Self::supervise`] does that.
    pub(crate) fn new(address: Address, counters: Arc<Counters>) -> Self {
        let name: Arc<str> = address.to_string().into();
        let failure = Failure::Absent { address: Arc::clone(&name), why: "not tried yet".into() };
        let states = watch::Sender::new(State::Away { attempts: 0, failure });
        Self { address, name, states, look_now: Notify::new(), slow: AtomicBool::new(false), counters }
    }

    /// Its presence in a word.
    pub(crate) fn presence(&self) -> &'static str {
        match &*self.states.borrow() {
            State::Here(_) => "here",
            State::Away { failure: Failure::Silent(_), .. } => "silent",
            State::Away { .. } => "away",
        }
    }

    /// Keeps the connection, for ever.
    pub(crate) async fn supervise(&self) {
        let (mut generation, mut attempts) = (0, 0);
        let mut told = String::new();
        loop {
            attempts += 1;
            let failure = match self.attempt().await {
                Ok((client, ended)) => {
                    generation += 1;
                    self.slow.store(false, Ordering::Relaxed);
                    tracing::info!(agent = %self.name, generation, "the agent is there");
                    let address = Arc::clone(&self.name);
                    let link = Link { generation, client: client.clone(), address, caught_up: false };
                    self.states.send_replace(State::Here(link));
                    let failure = self.until_gone(client, ended).await;
                    self.counters.agent_lost.add();
                    tracing::warn!(agent = %self.name, %failure, "the agent has gone");
                    told.clear();
                    failure
                }
                Err(failure) => failure,
            };
            let text = failure.to_string();
            self.states.send_replace(State::Away { attempts, failure });
            if told != text {
                tracing::info!(agent = %self.name, failure = text, "waiting for the agent");
                told = text;
            }
            tokio::select! {
                () = sleep(LOOK) => {}
                () = self.look_now.notified() => {}
            }
        }
    }

    /// A connection over which the agent has answered, and what tells its end.
    async fn attempt(&self) -> Result<(Client, oneshot::Receiver<()>), Failure> {
        let connecting = connection::connect(&self.address);
        let (channel, ended) = timeout(PING_TIMEOUT, connecting)
            .await
            .map_err(|_| Failure::Silent(PING_TIMEOUT))?
            .map_err(|error| self.absent(&error))?;
        let client = Client::new(channel);
        self.ping(client.clone()).await?;
        Ok((client, ended))
    }

    async fn until_gone(&self, client: Client, mut ended: oneshot::Receiver<()>) -> Failure {
        loop {
            tokio::select! {
                _ = &mut ended => return self.absent(&"it closed the connection"),
                () = sleep(PING) => {}
            }
            if let Err(failure) = self.ping(client.clone()).await {
                return failure;
            }
        }
    }

    async fn ping(&self, mut client: Client) -> Result<(), Failure> {
        match timeout(PING_TIMEOUT, client.get_version(tetragon_api::tetragon::GetVersionRequest {})).await {
            Err(_) => Err(Failure::Silent(PING_TIMEOUT)),
            Ok(Err(status)) => match transport_error(&status) {
                Some(why) => Err(self.absent(&why)),
                // Whatever it says, it is there.
                None => Ok(()),
            },
            Ok(Ok(_)) => Ok(()),
        }
    }

    fn absent(&self, why: &dyn fmt::Display) -> Failure {
        Failure::Absent { address: Arc::clone(&self.name), why: why.to_string().into() }
    }

    /// Tells the agent something new, within `budget`. What was there before it, it is told first, if that does not
    /// take long.
    ///
    /// An agent known not to answer gets a part of the budget only: the runtime holds the whole node up meanwhile.
    pub(crate) async fn tell(&self, request: RuntimeHookRequest, budget: Duration) -> Result<Told, Failure> {
        let until = Instant::now() + budget;
        let link = self.link(budget).await?;
        let link = self.caught_up(link, budget / 3).await?;
        let slow = self.slow.load(Ordering::Relaxed);
        let left = until.saturating_duration_since(Instant::now());
        let result = link.tell(request, if slow { left / 3 } else { left }).await;
        self.slow.store(matches!(result, Err(Failure::Silent(_))), Ordering::Relaxed);
        result
    }

    /// The connection. If there is none, another attempt is made now.
    async fn link(&self, budget: Duration) -> Result<Link, Failure> {
        let mut states = self.states.subscribe();
        let (seen, failure) = match &*states.borrow_and_update() {
            State::Here(link) => return Ok(link.clone()),
            State::Away { attempts, failure } => (*attempts, failure.clone()),
        };
        self.look_now.notify_one();
        let patience = if matches!(failure, Failure::Silent(_)) { budget / 5 } else { budget };
        let tried = |state: &State| match state {
            State::Here(_) => true,
            State::Away { attempts, .. } => *attempts > seen,
        };
        match timeout(patience, states.wait_for(tried)).await {
            Ok(Ok(state)) => match &*state {
                State::Here(link) => Ok(link.clone()),
                State::Away { failure, .. } => Err(failure.clone()),
            },
            _ => Err(failure),
        }
    }

    /// Waits a while for the agent to be told of what was there before it.
    async fn caught_up(&self, link: Link, patience: Duration) -> Result<Link, Failure> {
        if link.caught_up {
            return Ok(link);
        }
        let until = Instant::now() + patience;
        let mut states = self.states.subscribe();
        let settled = |state: &State| match state {
            State::Here(link) => link.caught_up,
            State::Away { .. } => true,
        };
        match timeout_at(until, states.wait_for(settled)).await {
            Ok(Ok(state)) => match &*state {
                State::Here(link) => Ok(link.clone()),
                State::Away { failure, .. } => Err(failure.clone()),
            },
            _ => Ok(link),
        }
    }

    /// Tells the agent something it can live without, if it is there.
    pub(crate) async fn mention(
        &self,
        request: RuntimeHookRequest,
        budget: Duration,
    ) -> Result<Told, Failure> {
        let link = match &*self.states.borrow() {
            State::Here(link) => link.clone(),
            State::Away { failure, .. } => return Err(failure.clone()),
        };
        link.tell(request, budget).await
    }

    /// The generation of the agent that is there, if one is.
    pub(crate) fn generation(&self) -> Option<u64> {
        match &*self.states.borrow() {
            State::Here(link) => Some(link.generation),
            State::Away { .. } => None,
        }
    }

    /// Waits for an agent of another generation than `past`.
    pub(crate) async fn arrival(&self, past: Option<u64>) -> Link {
        let mut states = self.states.subscribe();
        let arrived = |state: &State| matches!(state, State::Here(link) if Some(link.generation) != past);
        match states.wait_for(arrived).await.as_deref() {
            Ok(State::Here(link)) => link.clone(),
            // The sender lives as long as `self`.
            _ => std::future::pending().await,
        }
    }

    /// The agent of this generation knows what was there before it.
    pub(crate) fn set_caught_up(&self, generation: u64) {
        self.states.send_if_modified(|state| match state {
            State::Here(link) if link.generation == generation && !link.caught_up => {
                link.caught_up = true;
                true
            }
            _ => false,
        });
    }
}

impl Link {
    /// Tells the agent at the other end.
    pub(crate) async fn tell(&self, request: RuntimeHookRequest, budget: Duration) -> Result<Told, Failure> {
        let mut client = self.client.clone();
        match timeout(budget, client.runtime_hook(request)).await {
            Ok(Ok(answer)) => Ok(Told { generation: self.generation, state: answer.into_inner().state() }),
            Ok(Err(status)) => Err(match transport_error(&status) {
                Some(why) => Failure::Absent { address: Arc::clone(&self.address), why: why.into() },
                None => Failure::Refused(status),
            }),
            Err(_) => Err(Failure::Silent(budget)),
        }
    }
}

/// What the transport failed of; `None` when the agent itself answered.
fn transport_error(status: &Status) -> Option<String> {
    let mut cause = std::error::Error::source(status)?;
    while let Some(next) = cause.source() {
        cause = next;
    }
    Some(cause.to_string())
}
