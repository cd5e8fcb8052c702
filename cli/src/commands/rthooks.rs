//! `tetra rthooks`: tells the agent of a container, as a hook of the container runtime does.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use tetragon_api::cgroups_path;
use tetragon_api::tetragon::{
    CreateContainer, RemoveContainer, RuntimeHookRequest, RuntimeHookResponse, RuntimeHookStage,
    RuntimeHookState, runtime_hook_request::Event,
};

use crate::cli::Global;
use crate::client::{Client, Explain as _};
use crate::output;

/// As which hook we call.
const SOURCE: &str = "cli";

#[derive(Args, Debug)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Options {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Tell the agent that a container is being created, or runs
    CreateContainer(Box<Create>),
    /// Tell the agent that a container is gone
    RemoveContainer {
        /// Whole id of the container
        #[arg(long, value_name = "ID")]
        container_id: String,
    },
}

#[derive(Args, Debug, Default)]
struct Create {
    /// Id of the container. Without --cgroups-path it is sent as that, as hooks of old do
    #[arg(long, value_name = "ID")]
    container_id: String,

    /// Root directory of the container
    #[arg(long, value_name = "PATH", default_value = "", hide_default_value = true)]
    root_dir: String,

    /// Annotations of the container
    #[arg(long, value_name = "NAME=VALUE,...", value_delimiter = ',', value_parser = pair)]
    annotations: Vec<(String, String)>,

    /// Its cgroup, below the root of the hierarchy; or slice:prefix:name
    #[arg(long, value_name = "PATH", value_parser = cgroups_path)]
    cgroups_path: Option<String>,

    /// Name of the pod
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    pod_name: String,

    /// Kubernetes namespace of the pod
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    pod_namespace: String,

    /// Uid of the pod
    #[arg(long, value_name = "UID", default_value = "", hide_default_value = true)]
    pod_uid: String,

    /// Name of the container in the pod
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    container_name: String,

    /// First process of the container, in the host's pid namespace. 0: not known
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    pid: u32,

    /// In which part of its life the container is [default: verify]
    #[arg(long, value_enum)]
    stage: Option<Stage>,

    /// Labels of the pod
    #[arg(long, value_name = "NAME=VALUE,...", value_delimiter = ',', value_parser = pair)]
    labels: Vec<(String, String)>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Stage {
    /// Its cgroup does not exist yet
    Announce,
    /// Its cgroup and its first process exist, its own program has not been executed
    Verify,
    /// It runs
    Running,
}

impl From<Stage> for RuntimeHookStage {
    fn from(stage: Stage) -> Self {
        match stage {
            Stage::Announce => Self::Announce,
            Stage::Verify => Self::Verify,
            Stage::Running => Self::Running,
        }
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("'{text}' is not of the form name=value")),
    }
}

fn cgroups_path(text: &str) -> Result<String, String> {
    cgroups_path::directory(text).map_err(|error| error.to_string())
}

pub(crate) async fn run(global: &Global, options: &Options) -> Result<()> {
    let event = match &options.action {
        Action::CreateContainer(create) => Event::CreateContainer(request(create)?),
        Action::RemoveContainer { container_id } => Event::RemoveContainer(RemoveContainer {
            container_id: container_id.clone(),
            source: SOURCE.to_owned(),
        }),
    };
    let request = RuntimeHookRequest { event: Some(event) };
    let client = Client::new(global)?;
    let call = async || client.sensors().runtime_hook(request.clone()).await;
    let what = "the agent did not accept the container";
    let response = client.unary(call).await.or_explain(&client, what)?.into_inner();
    Ok(output::print(&text(response))?)
}

fn request(it: &Create) -> Result<CreateContainer> {
    if it.container_id.is_empty() {
        bail!("--container-id is empty: give the id of the container");
    }
    let map = |pairs: &[(String, String)]| pairs.iter().cloned().collect::<BTreeMap<_, _>>();
    let (cgroups_path, container_id) = match &it.cgroups_path {
        Some(path) => (path.clone(), it.container_id.clone()),
        None => (it.container_id.clone(), String::new()),
    };
    Ok(CreateContainer {
        cgroups_path,
        container_id,
        root_dir: it.root_dir.clone(),
        annotations: map(&it.annotations),
        container_name: it.container_name.clone(),
        pod_name: it.pod_name.clone(),
        pod_uid: it.pod_uid.clone(),
        pod_namespace: it.pod_namespace.clone(),
        pod_labels: map(&it.labels),
        pid: it.pid,
        stage: it.stage.map_or(RuntimeHookStage::Unspecified, RuntimeHookStage::from).into(),
        source: SOURCE.to_owned(),
        ..CreateContainer::default()
    })
}

/// What the agent knows now. Agents of old answer without a word, so then nothing is printed.
fn text(response: RuntimeHookResponse) -> String {
    let state = match response.state() {
        RuntimeHookState::Unspecified => return String::new(),
        RuntimeHookState::Announced => "announced: the kernel will recognise its cgroup",
        RuntimeHookState::PoliciesPending => "known to the kernel; policies are still being loaded",
        RuntimeHookState::Known => "known to the kernel, with its policies",
    };
    match response.cgroup_id {
        0 => format!("{state}\n"),
        id => format!("{state}; cgroup {id}\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_alone_goes_into_the_cgroups_path() {
        let it = Create { container_id: "ab".to_owned(), ..Create::default() };
        let it = request(&it).expect("valid");
        assert_eq!((it.cgroups_path.as_str(), it.container_id.as_str(), it.stage), ("ab", "", 0));
        assert!(request(&Create::default()).is_err());
    }

    #[test]
    fn answers_are_told() {
        assert_eq!(text(RuntimeHookResponse::default()), "");
        let known = RuntimeHookResponse { state: RuntimeHookState::Known.into(), cgroup_id: 7 };
        assert_eq!(text(known), "known to the kernel, with its policies; cgroup 7\n");
    }
}
