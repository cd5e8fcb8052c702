//! A stream of the agent's events, collected in the background.

use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use tetragon_api::tetragon::fine_guidance_sensors_client::FineGuidanceSensorsClient;
use tetragon_api::tetragon::get_events_response::Event as Payload;
use tetragon_api::tetragon::{GetEventsRequest, GetEventsResponse, Process, ProcessExec, ProcessExit};
use tokio::sync::oneshot;
use tonic::Streaming;

use super::expect::{self, Expect};
use super::rpc;
use crate::place::Place;

/// One event as the agent sends it.
pub type Event = GetEventsResponse;

/// Native time that an event may take to arrive.
const ARRIVAL_CAP: Duration = Duration::from_secs(10);

/// Short cuts into an event.
pub trait EventExt {
    /// The exec event in it.
    fn exec(&self) -> Option<&ProcessExec>;
    /// The exit event in it.
    fn exit(&self) -> Option<&ProcessExit>;
    /// The name of the policy that it is of.
    fn policy(&self) -> Option<&str>;
    /// The process it is about.
    fn process(&self) -> Option<&Process>;
    /// The parent of that.
    fn parent(&self) -> Option<&Process>;
    /// The process id it is about, 0 if it is about none.
    fn pid(&self) -> u32;
    /// The event as a line of JSON.
    fn json(&self) -> String;
}

impl EventExt for Event {
    fn exec(&self) -> Option<&ProcessExec> {
        match &self.event {
            Some(Payload::ProcessExec(exec)) => Some(exec),
            _ => None,
        }
    }

    fn exit(&self) -> Option<&ProcessExit> {
        match &self.event {
            Some(Payload::ProcessExit(exit)) => Some(exit),
            _ => None,
        }
    }

    fn policy(&self) -> Option<&str> {
        match self.event.as_ref()? {
            Payload::ProcessKprobe(it) => Some(&it.policy_name),
            Payload::ProcessTracepoint(it) => Some(&it.policy_name),
            Payload::ProcessLsm(it) => Some(&it.policy_name),
            _ => None,
        }
    }

    fn process(&self) -> Option<&Process> {
        match self.event.as_ref()? {
            Payload::ProcessExec(it) => it.process.as_ref(),
            Payload::ProcessExit(it) => it.process.as_ref(),
            Payload::ProcessKprobe(it) => it.process.as_ref(),
            Payload::ProcessTracepoint(it) => it.process.as_ref(),
            Payload::ProcessLsm(it) => it.process.as_ref(),
            _ => None,
        }
    }

    fn parent(&self) -> Option<&Process> {
        self.exec().and_then(|exec| exec.parent.as_ref()).or_else(|| self.exit()?.parent.as_ref())
    }

    fn pid(&self) -> u32 {
        self.process().and_then(|process| process.pid).unwrap_or(0)
    }

    fn json(&self) -> String {
        tetragon_api::json::event_to_string(self)
    }
}

#[derive(Default)]
struct Collected {
    events: Vec<Event>,
    /// Why the stream ended.
    ended: Option<String>,
}

#[derive(Default)]
struct Shared {
    collected: Mutex<Collected>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Collected> {
        self.collected.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A subscription. Dropping it ends the stream.
pub struct Events {
    shared: Arc<Shared>,
    place: Place,
    /// Dropped to tell the background thread to end.
    _stop: oneshot::Sender<()>,
}

impl Events {
    /// Subscribes to the agent behind `socket`; returns once the agent has accepted.
    pub fn subscribe(socket: &Path, place: Place) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let (stop, stopped) = oneshot::channel();
        let (accepted, acceptance) = std::sync::mpsc::channel();
        let (socket, background) = (socket.to_owned(), Arc::clone(&shared));
        thread::spawn(move || {
            let outcome = rpc::block_on(async move {
                let mut stream = match open(socket).await {
                    Ok(stream) => stream,
                    Err(error) => {
                        let _ = accepted.send(Err(error));
                        return Ok(());
                    }
                };
                let _ = accepted.send(Ok(()));
                let ended = tokio::select! {
                    ended = collect(&mut stream, &background) => ended,
                    _ = stopped => "unsubscribed".to_owned(),
                };
                background.lock().ended = Some(ended);
                background.changed.notify_all();
                Ok(())
            });
            if let Err(error) = outcome {
                eprintln!("events: {error:#}");
            }
        });
        acceptance.recv().context("the subscription ended")??;
        Ok(Self { shared, place, _stop: stop })
    }

    /// All events so far.
    pub fn all(&self) -> Vec<Event> {
        self.shared.lock().events.clone()
    }

    /// How many there are so far.
    pub fn count(&self) -> usize {
        self.shared.lock().events.len()
    }

    /// Why the stream ended, if it has.
    pub fn ended(&self) -> Option<String> {
        self.shared.lock().ended.clone()
    }

    /// Waits for an event that meets all expectations; the error shows the nearest misses.
    pub fn expect(&self, expected: &Expect) -> Result<Event> {
        self.expect_within(ARRIVAL_CAP, expected)
    }

    /// As [`expect`](Self::expect), with a (native) time limit of its own.
    pub fn expect_within(&self, native: Duration, expected: &Expect) -> Result<Event> {
        let mut seen = 0;
        let found = self.wait(native, |events| {
            let found = events[seen..].iter().find(|event| expected.is_met_by(event)).cloned();
            seen = events.len();
            found
        })?;
        found.ok_or_else(|| anyhow!(expect::misses(expected, &self.shared.lock().events)))
    }

    /// All events so far that meet the expectations.
    pub fn matching(&self, expected: &Expect) -> Vec<Event> {
        self.shared.lock().events.iter().filter(|event| expected.is_met_by(event)).cloned().collect()
    }

    /// Everything told about one process that has ended: its execs in order, and its only exit.
    pub fn life_of(&self, pid: u32) -> Result<Life> {
        self.expect(&expect::exit().pid(pid))?;
        let exits = self.matching(&expect::exit().pid(pid));
        let [exit] = &exits[..] else {
            bail!(
                "process {pid} exited {} times: {:#?}",
                exits.len(),
                exits.iter().map(EventExt::json).collect::<Vec<_>>()
            )
        };
        let execs = self.matching(&expect::exec().pid(pid));
        ensure!(!execs.is_empty(), "process {pid} exited without an exec: {}", exit.json());
        Ok(Life { execs, exit: exit.clone() })
    }

    /// Waits until `done` has a value for the events so far; `None` when time is up.
    pub fn wait<T>(
        &self,
        native: Duration,
        mut done: impl FnMut(&[Event]) -> Option<T>,
    ) -> Result<Option<T>> {
        let deadline = Instant::now() + native * self.place.slowness();
        let mut collected = self.shared.lock();
        loop {
            if let Some(value) = done(&collected.events) {
                return Ok(Some(value));
            }
            if let Some(reason) = &collected.ended {
                bail!("the stream ended after {} events: {reason}", collected.events.len());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            collected =
                self.shared.changed.wait_timeout(collected, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// What was told about one process.
pub struct Life {
    /// Its exec events, oldest first.
    pub execs: Vec<Event>,
    /// Its exit event.
    pub exit: Event,
}

impl Life {
    /// The process of its only exec; an error if there were more.
    pub fn only(&self) -> Result<&Process> {
        let [exec] = &self.execs[..] else {
            bail!(
                "{} execs: {:#?}",
                self.execs.len(),
                self.execs.iter().map(EventExt::json).collect::<Vec<_>>()
            )
        };
        exec.process().context("an exec without a process")
    }

    /// The process of its last exec, which the exit must be joined to.
    pub fn last(&self) -> Result<&Process> {
        let last = self.execs.last().and_then(EventExt::process).context("no exec")?;
        let exited = self.exit.process().context("an exit without a process")?;
        ensure!(
            last.exec_id == exited.exec_id && !last.exec_id.is_empty(),
            "the exit {} is not joined to the exec {}",
            exited.exec_id,
            last.exec_id
        );
        Ok(last)
    }
}

/// A subscriber that never reads.
pub struct Silent {
    _stream: Streaming<Event>,
    /// Not driven any more, so that not even the connection is read.
    _runtime: tokio::runtime::Runtime,
}

impl Silent {
    /// Subscribes to the agent behind `socket`; returns once the agent has accepted.
    pub fn subscribe(socket: &Path) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let stream = runtime.block_on(open(socket.to_owned()))?;
        Ok(Self { _stream: stream, _runtime: runtime })
    }
}

/// Opens a stream of all events.
async fn open(socket: std::path::PathBuf) -> Result<Streaming<Event>> {
    let mut client =
        FineGuidanceSensorsClient::new(rpc::connect(socket).await?).max_decoding_message_size(64 << 20);
    Ok(client.get_events(GetEventsRequest::default()).await.context("GetEvents")?.into_inner())
}

async fn collect(stream: &mut Streaming<Event>, shared: &Shared) -> String {
    loop {
        match stream.message().await {
            Ok(Some(event)) => {
                shared.lock().events.push(event);
                shared.changed.notify_all();
            }
            Ok(None) => return "the agent closed it".to_owned(),
            Err(status) => return status.to_string(),
        }
    }
}
