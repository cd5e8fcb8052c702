//! The stages of a container's life.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use oci_spec::runtime::State;
use serde_json::Value;
use tetragon_api::tetragon::{CreateContainer, RuntimeHookRequest, RuntimeHookResponse};
use tetragon_hook_policy::{Decision, FailurePolicy};

use crate::agent::Agent;
use crate::bundle::{self, Bundle};
use crate::container::{Container, request};
use crate::failure::{Failure, to_stderr, to_stdout};
use crate::log::{Level, Log};
use crate::settings::Settings;
use crate::supervise::{keep_panics, supervised};
use crate::{spool, stdin};

const PROC: &str = "/proc";
/// Runtimes write the state before they wait; the bundle knows most of it.
const STATE_LIMIT: Duration = Duration::from_secs(2);
/// For everything but the call.
const REST_LIMIT: Duration = Duration::from_secs(5);
/// Between attempts.
const PAUSE: Duration = Duration::from_millis(100);
/// The container is gone; nobody should wait long for that to be told.
const REMOVAL_LIMIT: Duration = Duration::from_secs(2);

/// One call of the hook.
struct Call {
    settings: Settings,
    agent: Agent,
    log: Log,
    /// What is known so far, for the decision when the work fails half-way.
    progress: Mutex<Progress>,
}

#[derive(Default)]
struct Progress {
    container: Container,
    creation: Option<CreateContainer>,
}

/// Does what the stage needs, within bounds of time.
pub(crate) fn run(settings: Settings) -> ExitCode {
    keep_panics();
    let log = Log::new(settings.log_fname.clone(), settings.log_level, &settings.hook);
    for warning in &settings.warnings {
        log.warn(warning, &[]);
    }
    let agent = Agent { address: settings.grpc_address.clone(), limit: settings.grpc_timeout };
    let call = Arc::new(Call { settings, agent, log, progress: Mutex::default() });
    match call.settings.hook.as_str() {
        "createRuntime" => call.create_runtime(),
        "createContainer" => {
            call.log.info("nothing to do: the agent was told at createRuntime", &[]);
            ExitCode::SUCCESS
        }
        "poststop" => call.poststop(),
        "server-version" => call.server_version(),
        other => {
            call.log.warn("unknown stage: nothing is done", &[("stage", other.into())]);
            ExitCode::SUCCESS
        }
    }
}

impl Call {
    fn create_runtime(self: Arc<Self>) -> ExitCode {
        let policy = match FailurePolicy::new(&self.settings.policy()) {
            Ok(policy) => Arc::new(policy),
            Err(error) => return self.refuse_for_its_policy(&error.to_string()),
        };
        let limit = self.settings.grpc_timeout + STATE_LIMIT + REST_LIMIT;
        let (work, its_policy) = (Arc::clone(&self), Arc::clone(&policy));
        match supervised(limit, move || work.tell(&its_policy)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => self.decide(&policy, &failure),
        }
    }

    fn tell(&self, policy: &FailurePolicy) -> Result<(), Failure> {
        let state = self.state();
        self.note(|progress| progress.container = Container::new(state.as_ref(), None));
        let bundle = self.bundle(state.as_ref());
        let container = Container::new(state.as_ref(), bundle.as_ref());
        self.note(|progress| progress.container = container.clone());
        let (creation, doubt) = container.creation(bundle, Path::new(PROC))?;
        if let Some(doubt) = doubt {
            self.log.warn(&doubt, &[]);
        }
        self.note(|progress| progress.creation = Some(creation.clone()));
        if self.settings.disable_grpc {
            self.log.info("the agent is not told: --disable-grpc", &attributes(&self.log, &creation));
            return Ok(());
        }
        let attributes = attributes(&self.log, &creation);
        let is_exempt = || policy.decide(&container.subject()).is_allowed();
        let answer = self.tell_patiently(&request(creation), is_exempt)?;
        self.log.info(
            "told the agent",
            &[attributes, vec![("state", answer.state().as_str_name().into())]].concat(),
        );
        Ok(())
    }

    /// Attempts it until the time is up, since an agent that restarts is back in a moment, and a refusal can be for
    /// good. A container that may start anyway is not held back for that.
    fn tell_patiently(
        &self,
        request: &RuntimeHookRequest,
        is_exempt: impl Fn() -> bool,
    ) -> Result<RuntimeHookResponse, Failure> {
        let deadline = self.agent.deadline();
        let mut attempts = 1;
        loop {
            match self.agent.runtime_hook(request.clone(), deadline) {
                Err(failure) if failure.passing && !is_exempt() => {
                    if deadline.saturating_duration_since(Instant::now()) <= PAUSE {
                        let what = format!(
                            "{} (attempted {attempts} times within {:?})",
                            failure.what, self.agent.limit
                        );
                        return Err(Failure { what, ..failure });
                    }
                }
                answer => return answer,
            }
            attempts += 1;
            thread::sleep(PAUSE);
        }
    }

    /// The runtime's state. Without one the bundle says enough, as it does for hooks that are called without.
    fn state(&self) -> Option<State> {
        match stdin::read_state(std::io::stdin(), STATE_LIMIT) {
            Ok(state) => Some(state),
            Err(error) => {
                self.log.warn(&error.to_string(), &[]);
                None
            }
        }
    }

    /// The bundle. Without one the state says enough, as long as it tells of the first process.
    fn bundle(&self, state: Option<&State>) -> Option<Bundle> {
        let named = state.map(State::bundle).filter(|path| path.is_absolute());
        let cwd = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("."));
        match bundle::read(named.map(PathBuf::as_path), &cwd) {
            Ok(bundle) => {
                for doubt in &bundle.doubts {
                    self.log.warn(doubt, &[]);
                }
                Some(bundle)
            }
            Err(error) => {
                self.log.warn(&error.to_string(), &[]);
                None
            }
        }
    }

    /// Lets the failure policy decide.
    fn decide(&self, policy: &FailurePolicy, failure: &Failure) -> ExitCode {
        let progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        let container = &progress.container;
        let mut attributes =
            progress.creation.as_ref().map(|it| attributes(&self.log, it)).unwrap_or_default();
        attributes.extend([("error", failure.what.as_str().into())]);
        match policy.decide(&container.subject()) {
            Decision::Allow(reason) => {
                attributes.push(("policy", reason.into()));
                if let Some(creation) = &progress.creation {
                    attributes.push(("spooled", self.spool(creation).into()));
                }
                self.log.warn("the agent could not be told; the container may start", &attributes);
                ExitCode::SUCCESS
            }
            Decision::Refuse(reason) => {
                attributes.push(("policy", reason.as_str().into()));
                self.log.error("the agent could not be told; the container is refused", &attributes);
                to_stderr(&format!(
                    "tetragon-oci-hook: failing container: {} is refused, because {failure}, and {reason}. To let it \
                     start: {}; or exempt its namespace with --fail-allow-namespaces. Check logs ({}) for details.",
                    container.described(),
                    failure.remedy,
                    self.log.whereabouts(),
                ));
                ExitCode::FAILURE
            }
        }
    }

    /// What became of the message to the agent that is not there.
    fn spool(&self, creation: &CreateContainer) -> String {
        let directory = &self.settings.spool_dir;
        if directory.as_os_str().is_empty() {
            return "no: --spool-dir is empty".to_owned();
        }
        match spool::keep(directory, creation.clone()) {
            Ok(path) => path.display().to_string(),
            Err(error) => format!("no: {}: {error}", directory.display()),
        }
    }

    fn refuse_for_its_policy(&self, error: &str) -> ExitCode {
        self.log.error(
            "the failure policy is malformed; containers are refused until it is mended",
            &[("error", error.into())],
        );
        to_stderr(&format!(
            "tetragon-oci-hook: failing container: the hook's failure policy is malformed: {error}. Check logs ({}) \
             for details.",
            self.log.whereabouts(),
        ));
        ExitCode::FAILURE
    }

    /// A container that is gone must not be held back by anything.
    fn poststop(self: Arc<Self>) -> ExitCode {
        let limit = REMOVAL_LIMIT.min(self.settings.grpc_timeout);
        let work = Arc::clone(&self);
        let result = supervised(limit + STATE_LIMIT, move || {
            let container = Container::new(work.state().as_ref(), None);
            if container.id.is_empty() {
                return Err(Failure::new("the state names no container", ""));
            }
            spool::forget(&work.settings.spool_dir, &container.id);
            if work.settings.disable_grpc {
                return Ok(());
            }
            let agent = Agent { limit, ..work.agent.clone() };
            agent.runtime_hook(container.removal(), agent.deadline())?;
            work.log.info("told the agent that it is gone", &[("req-containerID", container.id.into())]);
            Ok(())
        });
        if let Err(failure) = result {
            self.log.warn("the agent could not be told that it is gone", &[("error", failure.what.into())]);
        }
        ExitCode::SUCCESS
    }

    fn server_version(self: Arc<Self>) -> ExitCode {
        let work = Arc::clone(&self);
        match supervised(self.settings.grpc_timeout + REST_LIMIT, move || work.agent.version()) {
            Ok(version) => {
                self.log.info("the agent's version", &[("version", version.as_str().into())]);
                to_stdout(&format!("{version}\n"));
                ExitCode::SUCCESS
            }
            Err(failure) => {
                self.log
                    .error("the agent did not tell its version", &[("error", failure.what.as_str().into())]);
                to_stderr(&format!("tetragon-oci-hook: {failure}; {}", failure.remedy));
                ExitCode::FAILURE
            }
        }
    }

    fn note(&self, change: impl FnOnce(&mut Progress)) {
        change(&mut self.progress.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// What is told, as attributes of a line of the log.
fn attributes(log: &Log, creation: &CreateContainer) -> Vec<(&'static str, Value)> {
    let mut attributes: Vec<(&'static str, Value)> = vec![
        ("req-cgroups", creation.cgroups_path.as_str().into()),
        ("req-rootdir", creation.root_dir.as_str().into()),
        ("req-containerName", creation.container_name.as_str().into()),
        ("req-containerID", creation.container_id.as_str().into()),
        ("req-podName", creation.pod_name.as_str().into()),
        ("req-podUID", creation.pod_uid.as_str().into()),
        ("req-podNamespace", creation.pod_namespace.as_str().into()),
        ("req-containerImage", creation.container_image.as_str().into()),
    ];
    if log.has(Level::Debug) {
        let annotations =
            creation.annotations.iter().map(|(key, value)| (key.clone(), value.as_str().into()));
        attributes.push(("req-annotations", Value::Object(annotations.collect())));
    }
    attributes
}
