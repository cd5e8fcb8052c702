//! The plugin: what is done at each event of the runtime.
//!
//! | event | the agent is told | if that fails |
//! | --- | --- | --- |
//! | Synchronize | of all that exists, as running (created ones as announced) | told later |
//! | RunPodSandbox | of the sandbox, as running | told later |
//! | CreateContainer | announce | the verdict: let through and told later, or refused |
//! | StartContainer | verify | let through and told later, if any agent took the announce; else as above |
//! | RemoveContainer, RemovePodSandbox | removed | nothing |
//!
//! A container refused at its creation is created again by the kubelet, and recovers by itself; one refused at its
//! start has failed, for good if its pod is a Job's or is never restarted. So at the start only those are refused
//! that could not be refused before: their creation was not seen by this plugin, or by no agent.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use nri_plugin::api::{
    ConfigureRequest, Container, ContainerState, ContainerUpdate, CreateContainerResponse, Event, PodSandbox,
};
use nri_plugin::{Code, Error, EventMask, Plugin, Result, Runtime, Status};
use tetragon_api::tetragon::{CreateContainer, RuntimeHookStage as Stage};
use tokio::time::timeout;

use crate::agent::{Agent, Failure};
use crate::counters::Counters;
use crate::inject::Injection;
use crate::known::Known;
use crate::replay::Replay;
use crate::request;
use crate::spool::Spool;
use crate::verdict::{Judge, Verdict};

/// What runtimes wait for plugins if they do not say: NRI's own default.
const USUAL_TIMEOUT: Duration = Duration::from_secs(2);

/// The plugin.
pub(crate) struct Hook {
    pub(crate) agent: Arc<Agent>,
    pub(crate) known: Arc<Known>,
    pub(crate) judge: Arc<Judge>,
    pub(crate) replay: Arc<Replay>,
    pub(crate) spool: Spool,
    pub(crate) counters: Arc<Counters>,
    pub(crate) injection: Option<Injection>,
    /// What the agent may take, as configured.
    pub(crate) limit: Duration,
    pub(crate) session: Session,
}

/// What the runtime has said of itself.
#[derive(Debug, Default)]
pub(crate) struct Session {
    /// Scheme of its container ids.
    runtime: Mutex<Arc<str>>,
    /// Milliseconds it waits for us.
    timeout: AtomicU64,
    synchronized_before: AtomicBool,
    connected: AtomicBool,
}

impl Session {
    pub(crate) fn runtime(&self) -> Arc<str> {
        Arc::clone(&self.runtime.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Relaxed)
    }
}

impl Hook {
    /// What the agent may take, so that we are done well before the runtime gives us up.
    fn budget(&self) -> Duration {
        let timeout = match self.session.timeout.load(Ordering::Relaxed) {
            0 => USUAL_TIMEOUT,
            millis => Duration::from_millis(millis),
        };
        self.limit.min(timeout * 3 / 4)
    }

    /// The container passes, though the agent does not know it as it is now.
    async fn let_through(&self, container: CreateContainer, started: bool) {
        let note = request::created(&container, Stage::Running);
        let (spool, id) = (self.spool.clone(), container.container_id.clone());
        self.known.put(container, started, None);
        let written = tokio::task::spawn_blocking(move || spool.write(&id, &note));
        match written.await {
            Ok(Ok(())) => self.counters.spooled.add(),
            Ok(Err(error)) => {
                self.counters.spool_failed.add();
                tracing::warn!(%error, "no note for the agent's next start");
            }
            Err(_) => self.counters.spool_failed.add(),
        }
    }

    /// A container or sandbox is gone. Nobody waits for the agent to hear of it.
    fn gone(&self, id: String) {
        self.known.remove(&id);
        let (agent, spool, counters) =
            (Arc::clone(&self.agent), self.spool.clone(), Arc::clone(&self.counters));
        let budget = self.budget();
        tokio::spawn(async move {
            if let Err(error) = spool.remove(&id) {
                tracing::debug!(%error, "note not removed");
            }
            match agent.mention(request::removed(id), budget).await {
                Ok(_) => counters.removed_ok.add(),
                Err(failure) => {
                    counters.removed_failed.add();
                    tracing::debug!(%failure, "the agent was not told of a removal");
                }
            }
        });
    }

    /// Counts and logs what becomes of a container that the agent does not know; an error refuses it.
    fn apply(&self, verdict: Verdict, name: &Name, failure: &Failure, at_start: bool) -> Result<()> {
        let reason = match verdict {
            Verdict::Exempt(reason) => {
                self.counters.exempted.add();
                reason
            }
            Verdict::Allow(reason) => {
                self.counters.allowed.add();
                reason
            }
            Verdict::Refuse(reason) => {
                if at_start { &self.counters.refused_at_start } else { &self.counters.refused }.add();
                tracing::warn!(container = %name.container, pod = %name.pod, %failure, reason, at_start, "refused");
                let text = format!(
                    "tetragon refuses container {} of pod {}: it would run unobserved, since the tetragon agent of \
                     this node could not be told of it ({failure}), and {reason}. Nothing is lost: it is created \
                     again, and passes once the agent is back; see whether the tetragon pod of this node runs. \
                     Namespaces that may start without the agent are named by --fail-allow-namespaces of \
                     tetragon-rthooks",
                    name.container, name.pod,
                );
                return Err(Status::new(Code::UNAVAILABLE, text));
            }
        };
        tracing::warn!(container = %name.container, pod = %name.pod, %failure, reason, at_start, "let through");
        Ok(())
    }
}

/// Names for people.
struct Name {
    container: String,
    pod: String,
}

impl Name {
    fn of(pod: &PodSandbox, container: &Container) -> Self {
        Self { container: container.name.clone(), pod: format!("{}/{}", pod.namespace, pod.name) }
    }
}

impl Plugin for Hook {
    async fn configure(&self, runtime: ConfigureRequest) -> Result<EventMask> {
        let millis = u64::try_from(runtime.request_timeout).unwrap_or(0);
        self.session.timeout.store(millis, Ordering::Relaxed);
        let name = runtime.runtime_name.to_lowercase();
        *self.session.runtime.lock().unwrap_or_else(PoisonError::into_inner) = name.as_str().into();
        tracing::info!(
            runtime = name,
            version = runtime.runtime_version,
            request_timeout = ?Duration::from_millis(millis),
            budget = ?self.budget(),
            "configured by the runtime"
        );
        Ok(EventMask::of(&[
            Event::RunPodSandbox,
            Event::RemovePodSandbox,
            Event::CreateContainer,
            Event::StartContainer,
            Event::RemoveContainer,
        ]))
    }

    async fn synchronize(
        &self,
        pods: Vec<PodSandbox>,
        containers: Vec<Container>,
    ) -> Result<Vec<ContainerUpdate>> {
        let runtime = self.session.runtime();
        let (pod_count, container_count) = (pods.len(), containers.len());
        let by_id: HashMap<String, PodSandbox> = pods.into_iter().map(|pod| (pod.id.clone(), pod)).collect();
        let mut all = Vec::with_capacity(by_id.len() + container_count);
        for container in containers {
            let started = container.state() != ContainerState::ContainerCreated;
            let pod = by_id.get(&container.pod_sandbox_id).cloned().unwrap_or_default();
            all.push((request::container(pod, container, &runtime), started));
        }
        // Stopped pods are listed, too. Of those the agent says that their cgroup is not there.
        let sandboxes = by_id.into_values().map(|pod| request::sandbox(pod, &runtime));
        let findable = sandboxes.filter(|sandbox| sandbox.pid != 0 || !sandbox.cgroups_path.is_empty());
        all.extend(findable.map(|sandbox| (sandbox, true)));
        let (gone, missed) = self.known.synchronize(all);
        let recovered =
            if self.session.synchronized_before.swap(true, Ordering::Relaxed) { missed } else { 0 };
        self.counters.recovered.add_many(recovered as u64);
        tracing::info!(
            pods = pod_count,
            containers = container_count,
            recovered,
            gone = gone.len(),
            "synchronized with the runtime"
        );
        for id in gone {
            self.gone(id);
        }
        // The rest goes on when the time is over.
        let _ = timeout(self.budget(), self.replay.settled()).await;
        Ok(Vec::new())
    }

    async fn run_pod_sandbox(&self, pod: PodSandbox) -> Result<()> {
        let sandbox = request::sandbox(pod, &self.session.runtime());
        match self.agent.tell(request::created(&sandbox, Stage::Running), self.budget()).await {
            Ok(told) => {
                self.counters.sandbox_ok.add();
                self.known.put(sandbox, true, Some(told.generation));
            }
            // Only the pause program runs in it; what matters is refused at its creation.
            Err(failure) => {
                self.counters.sandbox_failed.add();
                tracing::debug!(sandbox = sandbox.container_id, %failure, "the agent was not told of a sandbox");
                self.let_through(sandbox, true).await;
            }
        }
        Ok(())
    }

    async fn remove_pod_sandbox(&self, pod: PodSandbox) -> Result<()> {
        self.gone(pod.id);
        Ok(())
    }

    async fn create_container(
        &self,
        pod: PodSandbox,
        container: Container,
    ) -> Result<CreateContainerResponse> {
        let name = Name::of(&pod, &container);
        let announced = request::container(pod.clone(), container.clone(), &self.session.runtime());
        // At the same time, because each may take most of what we have.
        let (told, verdict) = tokio::join!(
            self.agent.tell(request::created(&announced, Stage::Announce), self.budget()),
            self.judge.judge(&pod, &container),
        );
        let adjustment = match (&self.injection, &verdict) {
            (Some(injection), Verdict::Refuse(_)) => injection.adjustment().into(),
            _ => CreateContainerResponse::default(),
        };
        match told {
            Ok(told) => {
                self.counters.announce_ok.add();
                tracing::debug!(container = announced.container_id, state = ?told.state, "announced");
                self.known.put(announced, false, Some(told.generation));
            }
            Err(failure) => {
                self.counters.announce_failed.add();
                self.apply(verdict, &name, &failure, false)?;
                self.let_through(announced, false).await;
            }
        }
        Ok(adjustment)
    }

    async fn start_container(&self, pod: PodSandbox, container: Container) -> Result<()> {
        let name = Name::of(&pod, &container);
        let (seen, taken) = (self.known.contains(&container.id), self.known.was_taken(&container.id));
        if !seen {
            self.counters.recovered.add();
        }
        let started = request::container(pod.clone(), container.clone(), &self.session.runtime());
        let (told, verdict) = tokio::join!(
            self.agent.tell(request::created(&started, Stage::Verify), self.budget()),
            self.judge.judge(&pod, &container),
        );
        match told {
            Ok(told) => {
                self.counters.verify_ok.add();
                tracing::debug!(container = started.container_id, state = ?told.state, "verified");
                self.known.put(started, true, Some(told.generation));
            }
            Err(failure) => {
                self.counters.verify_failed.add();
                if taken {
                    tracing::warn!(container = %name.container, pod = %name.pod, %failure, "start not verified");
                } else {
                    self.apply(verdict, &name, &failure, true)?;
                }
                self.let_through(started, true).await;
            }
        }
        Ok(())
    }

    async fn remove_container(&self, _pod: PodSandbox, container: Container) -> Result<()> {
        self.gone(container.id);
        Ok(())
    }

    fn connected(&self, _runtime: Runtime) {
        self.session.connected.store(true, Ordering::Relaxed);
        tracing::info!("connected with the runtime");
    }

    fn disconnected(&self, _reason: Option<&Error>) {
        self.session.connected.store(false, Ordering::Relaxed);
    }
}
