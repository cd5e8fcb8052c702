//! A container as the runtime describes it.

use std::collections::BTreeMap;
use std::path::Path;

use oci_spec::runtime::State;
use tetragon_api::tetragon::runtime_hook_request::Event;
use tetragon_api::tetragon::{CreateContainer, RemoveContainer, RuntimeHookRequest, RuntimeHookStage};
use tetragon_hook_policy::{Subject, is_static_pod};

use crate::annotations::Annotations;
use crate::bundle::Bundle;
use crate::cgroup;
use crate::failure::Failure;

/// How the agent tells our calls from those of others.
const SOURCE: &str = "oci-hook";

/// What the failure policy and messages need, known before anything that can fail.
#[derive(Debug, Clone, Default)]
pub(crate) struct Container {
    /// Whole id, empty if neither state nor annotations tell it.
    pub(crate) id: String,
    /// In the host's pid namespace; 0 if not known.
    pub(crate) pid: u32,
    pub(crate) annotations: BTreeMap<String, String>,
}

impl Container {
    /// What state and bundle say; either may be missing. Where both have an annotation, the bundle's counts: the
    /// runtime acts by it.
    pub(crate) fn new(state: Option<&State>, bundle: Option<&Bundle>) -> Self {
        let of_state = state.and_then(|state| state.annotations().as_ref()).into_iter().flatten();
        let mut annotations: BTreeMap<_, _> =
            of_state.map(|(key, value)| (key.clone(), value.clone())).collect();
        annotations.extend(bundle.iter().flat_map(|bundle| bundle.annotations.clone()));
        let id = match state.map(|state| state.id().as_str()) {
            Some(id) if !id.is_empty() => id.to_owned(),
            _ => Annotations(&annotations).container_id().to_owned(),
        };
        let pid = state.and_then(|state| *state.pid()).and_then(|pid| u32::try_from(pid).ok()).unwrap_or(0);
        Self { id, pid, annotations }
    }

    pub(crate) fn known(&self) -> Annotations<'_> {
        Annotations(&self.annotations)
    }

    /// What the failure policy looks at.
    pub(crate) fn subject(&self) -> Subject<'_> {
        let static_pod = is_static_pod(&self.annotations) || is_static_pod(&self.known().pod_annotations());
        Subject { annotations: &self.annotations, namespace: None, static_pod }
    }

    /// For messages.
    pub(crate) fn described(&self) -> String {
        let known = self.known();
        let name = if known.is_sandbox() { "sandbox" } else { known.container_name() };
        let mut text = match name {
            "" => "a container".to_owned(),
            "sandbox" => "the sandbox container".to_owned(),
            name => format!("container {name:?}"),
        };
        match (known.pod_namespace(), known.pod_name()) {
            ("", "") => {}
            ("", pod) => text += &format!(" of pod {pod:?}"),
            (namespace, pod) => text += &format!(" of pod {pod:?} in namespace {namespace:?}"),
        }
        match self.id.get(..12).unwrap_or(&self.id) {
            "" => {}
            id => text += &format!(" (id {id})"),
        }
        text
    }

    /// The message to the agent, and what was odd about the specification.
    ///
    /// # Errors
    /// The agent could not make anything of it: there is no cgroup.
    pub(crate) fn creation(
        &self,
        bundle: Option<Bundle>,
        proc: &Path,
    ) -> Result<(CreateContainer, Option<String>), Failure> {
        let bundle = bundle.unwrap_or_default();
        let (cgroup, doubt) = cgroup::path(bundle.cgroups_path.as_deref(), self.pid, proc);
        let Some(cgroup) = cgroup else {
            return Err(Failure::new(
                "neither the bundle's config.json nor the runtime's state tell where its cgroup is",
                "check that the runtime calls the hook as an OCI hook: with the state on standard input, or in the \
                 bundle's folder",
            ));
        };
        let known = self.known();
        let creation = CreateContainer {
            root_dir: bundle.root_dir.to_string_lossy().into_owned(),
            container_name: known.container_name().to_owned(),
            container_id: self.id.clone(),
            pod_name: known.pod_name().to_owned(),
            pod_uid: known.pod_uid().to_owned(),
            pod_namespace: known.pod_namespace().to_owned(),
            container_image: known.image().to_owned(),
            container_image_id: known.image_id().to_owned(),
            mounts: bundle.mounts,
            pod_labels: known.labels(),
            pod_annotations: known.pod_annotations(),
            pid: self.pid,
            stage: RuntimeHookStage::Verify.into(),
            sandbox_id: known.sandbox_id().to_owned(),
            is_sandbox: known.is_sandbox(),
            runtime_name: known.runtime(&cgroup).to_owned(),
            source: SOURCE.to_owned(),
            annotations: self.annotations.clone(),
            cgroups_path: cgroup,
            start_time: None,
        };
        Ok((creation, doubt))
    }

    /// That it is gone.
    pub(crate) fn removal(&self) -> RuntimeHookRequest {
        let event = RemoveContainer { container_id: self.id.clone(), source: SOURCE.to_owned() };
        RuntimeHookRequest { event: Some(Event::RemoveContainer(event)) }
    }
}

/// The request that carries a message.
pub(crate) fn request(creation: CreateContainer) -> RuntimeHookRequest {
    RuntimeHookRequest { event: Some(Event::CreateContainer(creation)) }
}
