//! `tetra cri`: asks the container runtime itself, without the agent.

use anyhow::{Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;
use tetragon_cri::{CriClient, Runtime, socket_of_url};

use super::containers::without_scheme;
use crate::cli::Global;
use crate::output;

#[derive(Args, Debug)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Options {
    #[command(subcommand)]
    action: Action,

    /// Form of the output
    #[arg(short, long, global = true, value_enum, default_value_t = Format::Raw)]
    output: Format,

    /// Socket of the runtime, unix:///path [default: containerd's, CRI-O's or cri-dockerd's, whichever answers]
    #[arg(short, long, global = true, value_name = "URL", default_value = "", hide_default_value = true)]
    runtime_endpoint: String,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show name and version of the container runtime
    Version,
    /// Show the cgroup of a container, below the root of the hierarchy
    #[command(name = "cgroup_path", alias = "cgroup-path")]
    CgroupPath {
        /// Id of the container or sandbox, or its beginning
        id: String,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Raw,
    Json,
}

pub(crate) async fn run(global: &Global, options: &Options) -> Result<()> {
    let socket = match options.runtime_endpoint.as_str() {
        "" => None,
        url => Some(socket_of_url(url)?),
    };
    let client = CriClient::new(tetragon_cri::Options {
        probe_timeout: global.timeout,
        call_timeout: global.timeout,
        ..tetragon_cri::Options::for_socket(socket.as_deref())
    });
    match tokio::time::timeout(global.timeout, answer(global, &client, options)).await {
        Ok(text) => Ok(output::print(&text.map_err(remedy)?)?),
        Err(_) => bail!("no answer within {:?} (--timeout allows more)", global.timeout),
    }
}

async fn answer(global: &Global, client: &CriClient, options: &Options) -> Result<String> {
    let runtime = client.runtime().await?;
    global.debug(|| format!("{} at unix://{}", runtime.name, runtime.socket.display()));
    match &options.action {
        Action::Version => Ok(version(&runtime, options.output)),
        Action::CgroupPath { id } => {
            let path = cgroup_path(client, without_scheme(id)).await?;
            Ok(match options.output {
                Format::Raw => format!("{path}\n"),
                Format::Json => format!("{}\n", json!({ "cgroup_path": path })),
            })
        }
    }
}

/// Adds what can be done about it.
fn remedy(error: anyhow::Error) -> anyhow::Error {
    match error.downcast_ref() {
        Some(tetragon_cri::CriError::Unreachable(_)) => {
            anyhow::anyhow!("{error} (--runtime-endpoint names another socket)")
        }
        _ => error,
    }
}

fn version(runtime: &Runtime, format: Format) -> String {
    let Runtime { socket, name, version, api_version } = runtime;
    match format {
        Format::Raw => format!("{name} {version}\n"),
        Format::Json => {
            let value = json!({
                "runtime_name": name,
                "runtime_version": version,
                "runtime_api_version": api_version,
                "runtime_endpoint": format!("unix://{}", socket.display()),
            });
            format!("{value}\n")
        }
    }
}

async fn cgroup_path(client: &CriClient, id: &str) -> Result<String> {
    let Some(container) = client.container(id).await? else {
        bail!("the container runtime knows no container or sandbox '{id}'");
    };
    match container.cgroups_path {
        Some(path) => Ok(path),
        None => {
            bail!("the container runtime {} does not tell the cgroups of its containers", container.runtime)
        }
    }
}
