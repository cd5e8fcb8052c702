//! `tetra containers`: what the agent knows about containers, and from whom.

mod show;

use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;
use tetragon_api::json;
use tetragon_api::tetragon::{IdentitySource, KnownContainer, ListContainersRequest, ListContainersResponse};

use crate::cgroup::Cgroup;
use crate::cli::Global;
use crate::client::{Client, Explain as _};
use crate::table::Table;
use crate::{age, output};

/// How much of an id is shown in the table.
const SHORT_ID: usize = 12;

#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Options {
    #[command(subcommand)]
    action: Option<Action>,

    /// Form of the output
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    output: Format,

    /// Only the container that this cgroup belongs to: a path, or id:<number>
    #[arg(long, value_name = "CGROUP", value_parser = Cgroup::parse)]
    cgroup: Option<Cgroup>,

    /// Only containers whose id begins so
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    container: String,

    /// Only containers of pods in this Kubernetes namespace
    #[arg(short, long, value_name = "NAME", default_value = "", hide_default_value = true)]
    namespace: String,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show everything about one container
    Show(show::Options),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

pub(crate) async fn run(global: &Global, options: &Options) -> Result<()> {
    if let Some(Action::Show(options)) = &options.action {
        return show::run(global, options).await;
    }
    let request = ListContainersRequest {
        container_id: without_scheme(&options.container).to_owned(),
        cgroup_id: options.cgroup.as_ref().map(Cgroup::id).transpose()?.unwrap_or_default(),
        pod_namespace: options.namespace.clone(),
    };
    let mut answer = list(&Client::new(global)?, request).await?;
    Ok(output::print(&match options.output {
        Format::Text => text(&mut answer.containers, Timestamp::now()),
        Format::Json => json::to_string(&answer) + "\n",
    })?)
}

/// Asks the agent.
pub(super) async fn list(client: &Client, request: ListContainersRequest) -> Result<ListContainersResponse> {
    let call = async || client.identity().list_containers(request.clone()).await;
    Ok(client.unary(call).await.or_explain(client, "cannot list containers")?.into_inner())
}

/// The id in `containerd://<id>`, the form of the Kubernetes API.
pub(super) fn without_scheme(id: &str) -> &str {
    id.split_once("://").map_or(id, |(_, id)| id)
}

fn text(containers: &mut [KnownContainer], now: Timestamp) -> String {
    containers.sort_by(|a, b| {
        let key =
            |it: &KnownContainer| (it.pod_namespace.clone(), it.pod_name.clone(), !it.sandbox, it.number);
        key(a).cmp(&key(b))
    });
    let mut table =
        Table::new(&["ID", "NAMESPACE", "POD", "CONTAINER", "STATE", "PID", "CGROUP ID", "SOURCES"]);
    for it in containers {
        table.push([
            it.id.chars().take(SHORT_ID).collect(),
            or_dash(&it.pod_namespace),
            or_dash(&it.pod_name),
            if it.sandbox { "(sandbox)".to_owned() } else { or_dash(&it.name) },
            or_dash(&it.state),
            number_or_dash(it.pid.into()),
            number_or_dash(own_cgroup(it)),
            sources(&it.sources, now),
        ]);
    }
    table.render()
}

fn or_dash(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { text.to_owned() }
}

fn number_or_dash(number: u64) -> String {
    if number == 0 { "-".to_owned() } else { number.to_string() }
}

/// The cgroup that the runtime made for the container; 0 if there is none.
fn own_cgroup(container: &KnownContainer) -> u64 {
    container.cgroups.iter().find(|it| !it.nested).map_or(0, |it| it.id)
}

/// Each source with the age of its last word: `announce 3m, cri 1m`.
fn sources(sources: &[IdentitySource], now: Timestamp) -> String {
    let sources: Vec<_> =
        sources.iter().map(|it| format!("{} {}", it.name, age::text(it.last.as_ref(), now))).collect();
    if sources.is_empty() { "-".to_owned() } else { sources.join(", ") }
}

#[cfg(test)]
mod tests {
    use tetragon_api::tetragon::KnownCgroup;

    use super::*;

    #[test]
    fn a_container_is_one_line() {
        let now = Timestamp::new(1000, 0).expect("valid");
        let source = |name: &str, seconds| IdentitySource {
            name: name.to_owned(),
            first: None,
            last: Some(prost_types::Timestamp { seconds, nanos: 0 }),
        };
        let app = KnownContainer {
            number: 2,
            id: "0123456789abcdef".to_owned(),
            name: "app".to_owned(),
            pod_name: "web-1".to_owned(),
            pod_namespace: "shop".to_owned(),
            state: "running".to_owned(),
            pid: 77,
            cgroups: vec![
                KnownCgroup { id: 9, nested: true, ..Default::default() },
                KnownCgroup { id: 8, ..Default::default() },
            ],
            sources: vec![source("announce", 820), source("cri", 990)],
            ..Default::default()
        };
        let sandbox = KnownContainer {
            number: 3,
            id: "ff".to_owned(),
            name: String::new(),
            sandbox: true,
            pid: 0,
            cgroups: Vec::new(),
            sources: Vec::new(),
            ..app.clone()
        };
        let alone = KnownContainer { id: "aa".to_owned(), ..Default::default() };
        let text = text(&mut [app, sandbox, alone], now);
        let lines: Vec<_> =
            text.lines().map(|it| it.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(
            lines,
            [
                "ID NAMESPACE POD CONTAINER STATE PID CGROUP ID SOURCES",
                "aa - - - - - - -",
                "ff shop web-1 (sandbox) running - - -",
                "0123456789ab shop web-1 app running 77 8 announce 3m, cri 10s",
            ]
        );
    }

    #[test]
    fn ids_of_the_kubernetes_api_are_understood() {
        assert_eq!(without_scheme("containerd://ab"), "ab");
        assert_eq!(without_scheme("ab"), "ab");
    }
}
