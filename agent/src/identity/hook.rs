//! `RuntimeHook`: what container runtimes tell while they create containers. The answer comes once the store and the
//! kernel maps know.

use std::io;
use std::sync::atomic::Ordering::Relaxed;

use tetragon_api::cgroups_path::{self, CgroupsPathError};
use tetragon_api::tetragon::{
    CreateContainer, RemoveContainer, RuntimeHookRequest, RuntimeHookResponse, RuntimeHookStage,
    RuntimeHookState, runtime_hook_request,
};
use tracing::debug;

use super::cgroupfs::{self, PathError};
use super::locate::Located;
use super::store::{Place, Store};
use super::{Facts, Source, name};

/// Why a hook is refused. The text names the field and what would be right.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    /// Nothing is asked.
    #[error("event: is not set; this agent understands createContainer and removeContainer")]
    NoEvent,
    /// A stage of the future.
    #[error("stage: {0} is not known to this agent")]
    Stage(i32),
    /// Not an OCI cgroups path.
    #[error("cgroupsPath: {0}")]
    OciPath(#[from] CgroupsPathError),
    /// Not a cgroup of a container.
    #[error("cgroupsPath: {0}")]
    Path(#[from] PathError),
    /// Neither an id nor a path that has one.
    #[error("containerID: is empty, and the last part of cgroupsPath {0:?} is not a container id")]
    NoContainerId(String),
    /// Neither a path nor a process.
    #[error("cgroupsPath: is empty, and there is no pid whose cgroup could be looked up")]
    NoPlace,
    /// It should be there by now.
    #[error("cgroupsPath: there is no cgroup {path:?} in the v2 hierarchy ({source})")]
    NoCgroup {
        /// Where it was looked for.
        path: String,
        /// What the kernel said.
        source: io::Error,
    },
}

impl HookError {
    /// The same in a few words, for counting.
    fn kind(&self) -> &'static str {
        match self {
            Self::NoEvent => "invalid_argument: event",
            Self::Stage(_) => "invalid_argument: stage",
            Self::OciPath(_) | Self::Path(_) | Self::NoPlace => "invalid_argument: cgroupsPath",
            Self::NoContainerId(_) => "invalid_argument: containerID",
            Self::NoCgroup { .. } => "not_found: cgroup",
        }
    }
}

impl Store {
    /// Takes in what a hook tells.
    ///
    /// # Errors
    /// The request is not understood, or names a cgroup that is not there. Nothing has changed then.
    pub fn hook(&self, request: RuntimeHookRequest) -> Result<RuntimeHookResponse, HookError> {
        let (stage, result) = match request.event {
            Some(runtime_hook_request::Event::CreateContainer(container)) => match stage_of(&container) {
                Ok((name, stage)) => (name, self.container_hook(stage, container)),
                Err(error) => ("unknown", Err(error)),
            },
            Some(runtime_hook_request::Event::RemoveContainer(gone)) => ("remove", self.remove_hook(&gone)),
            None => ("unknown", Err(HookError::NoEvent)),
        };
        let error = result.as_ref().err().map_or("", HookError::kind).to_owned();
        self.counters.hook_call(stage, error);
        result
    }

    fn container_hook(
        &self,
        stage: RuntimeHookStage,
        container: CreateContainer,
    ) -> Result<RuntimeHookResponse, HookError> {
        let source = match stage {
            RuntimeHookStage::Announce => Source::Announce,
            RuntimeHookStage::Running => Source::Running,
            RuntimeHookStage::Verify | RuntimeHookStage::Unspecified => Source::Verify,
        };
        self.container_hook_by(stage, source, container)
    }

    /// The same in the name of some source.
    pub(super) fn container_hook_by(
        &self,
        stage: RuntimeHookStage,
        source: Source,
        mut container: CreateContainer,
    ) -> Result<RuntimeHookResponse, HookError> {
        let given = match container.cgroups_path.as_str() {
            "" if container.pid == 0 => return Err(HookError::NoPlace),
            "" => None,
            path => Some(cgroupfs::clean(&cgroups_path::directory(path)?)?),
        };
        let announces = stage == RuntimeHookStage::Announce;
        // What is written down may be long gone.
        let must_exist = !announces && source != Source::Journal;
        let place = match &self.fs {
            None => Place::Nowhere,
            Some(_) => {
                match self.locate(&container.container_id, given.as_deref(), container.pid, must_exist) {
                    Ok(Located { cgroup, path, pid }) if !announces => {
                        container.pid = pid;
                        // A sandbox runs before its hook is called.
                        let started = stage == RuntimeHookStage::Running || container.is_sandbox;
                        Place::At { cgroup, path, started }
                    }
                    Ok(Located { path, .. }) => Place::Announced(path),
                    // Created and not started, as some runtimes do it: its cgroup will come.
                    Err(error) => match (&given, stage) {
                        (Some(path), RuntimeHookStage::Announce | RuntimeHookStage::Running) => {
                            Place::Announced(path.clone())
                        }
                        _ => return Err(error),
                    },
                }
            }
        };
        let id = container_id(&container, &place, given.as_deref())?;
        let (state, cgroup_id) = match &place {
            Place::At { cgroup, .. } => (self.known(), cgroup.0),
            Place::Nowhere => (self.known(), 0),
            Place::Announced(_) => (RuntimeHookState::Announced, 0),
        };
        debug!(id, stage = source.name(), source = container.source, cgroup_id, "runtime hook");
        self.observe(source, &id, facts(container), place);
        Ok(RuntimeHookResponse { state: state.into(), cgroup_id })
    }

    fn remove_hook(&self, gone: &RemoveContainer) -> Result<RuntimeHookResponse, HookError> {
        if gone.container_id.is_empty() {
            return Err(HookError::NoContainerId(String::new()));
        }
        self.forget(&gone.container_id);
        Ok(RuntimeHookResponse::default())
    }

    fn known(&self) -> RuntimeHookState {
        if self.policies_loaded.load(Relaxed) {
            RuntimeHookState::Known
        } else {
            RuntimeHookState::PoliciesPending
        }
    }
}

fn stage_of(container: &CreateContainer) -> Result<(&'static str, RuntimeHookStage), HookError> {
    match RuntimeHookStage::try_from(container.stage) {
        Ok(stage @ RuntimeHookStage::Announce) => Ok(("announce", stage)),
        Ok(stage @ (RuntimeHookStage::Verify | RuntimeHookStage::Unspecified)) => Ok(("verify", stage)),
        Ok(stage @ RuntimeHookStage::Running) => Ok(("running", stage)),
        Err(_) => Err(HookError::Stage(container.stage)),
    }
}

fn container_id(
    container: &CreateContainer,
    place: &Place,
    given: Option<&str>,
) -> Result<String, HookError> {
    if !container.container_id.is_empty() {
        return Ok(container.container_id.clone());
    }
    let path = match place {
        Place::At { path, .. } | Place::Announced(path) => path,
        Place::Nowhere => given.unwrap_or_default(),
    };
    // The reference's hook on containerd gives none: the cgroup is named by it.
    name::container_id_of_path(path)
        .or_else(|| given.and_then(name::container_id_of_path))
        .map(str::to_owned)
        .ok_or_else(|| HookError::NoContainerId(path.to_owned()))
}

fn facts(container: CreateContainer) -> Facts {
    let annotation = |key: &str| container.annotations.get(key).cloned().unwrap_or_default();
    let image = match container.container_image {
        image if !image.is_empty() => image,
        _ => Some(annotation("io.kubernetes.cri.image-name"))
            .filter(|image| !image.is_empty())
            .unwrap_or_else(|| annotation("io.kubernetes.cri-o.ImageName")),
    };
    let some = |map: std::collections::BTreeMap<String, String>| (!map.is_empty()).then_some(map);
    Facts {
        name: container.container_name,
        image,
        image_id: container.container_image_id,
        runtime: container.runtime_name,
        sandbox: container.is_sandbox,
        pod_name: container.pod_name,
        pod_namespace: container.pod_namespace,
        pod_uid: container.pod_uid,
        pod_labels: some(container.pod_labels),
        pod_annotations: some(container.pod_annotations).or_else(|| some(container.annotations)),
        start_time: container.start_time,
        pid: container.pid,
        probes: None,
        workload: None,
    }
}
