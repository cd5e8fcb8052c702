//! `tetra containers show`: one container, with everything.

use std::fmt::Write as _;

use anyhow::{Result, bail};
use clap::Args;
use jiff::Timestamp;
use tetragon_api::json;
use tetragon_api::tetragon::{KnownContainer, ListContainersRequest};

use super::{Format, list, sources, without_scheme};
use crate::cli::Global;
use crate::client::Client;
use crate::output;

#[derive(Args, Debug)]
pub(super) struct Options {
    /// Id of the container, or its beginning
    id: String,

    /// Form of the output
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    output: Format,
}

pub(super) async fn run(global: &Global, options: &Options) -> Result<()> {
    let id = without_scheme(&options.id);
    if id.is_empty() {
        bail!("give the beginning of a container id; 'tetra containers' lists them");
    }
    let request = ListContainersRequest { container_id: id.to_owned(), ..Default::default() };
    let containers = list(&Client::new(global)?, request).await?.containers;
    let container = match &containers[..] {
        [container] => container,
        [] => bail!("the agent knows no container '{id}'; 'tetra containers' lists those that it knows"),
        // A whole id can be the beginning of another only in theory.
        many => match many.iter().find(|it| it.id == id) {
            Some(container) => container,
            None => {
                let ids: Vec<_> = many.iter().map(|it| it.id.as_str()).collect();
                bail!("'{id}' is the beginning of {} ids; give more of it: {}", ids.len(), ids.join(", "))
            }
        },
    };
    Ok(output::print(&match options.output {
        Format::Text => text(container, Timestamp::now()),
        Format::Json => json::to_string(container) + "\n",
    })?)
}

fn text(it: &KnownContainer, now: Timestamp) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        if !value.is_empty() {
            // Writing into a string cannot fail.
            let _ = writeln!(text, "{:<16}{value}", format!("{name}:"));
        }
    };
    let number = |number: u64| if number == 0 { String::new() } else { number.to_string() };
    line("ID", &it.id);
    line("Name", if it.sandbox { "(sandbox)" } else { &it.name });
    line("State", &it.state);
    line("PID", &number(it.pid.into()));
    line("Image", &it.image);
    line("Image ID", &it.image_id);
    line("Runtime", &it.runtime);
    line("Namespace", &it.pod_namespace);
    line("Pod", &it.pod_name);
    line("Pod UID", &it.pod_uid);
    let kind = it.workload_kind.as_str();
    line("Workload", &if kind.is_empty() { it.workload.clone() } else { format!("{kind} {}", it.workload) });
    for (name, value) in &it.pod_labels {
        line("Label", &format!("{name}={value}"));
    }
    line("Sources", &sources(&it.sources, now));
    for cgroup in &it.cgroups {
        let mut words = vec![cgroup.id.to_string()];
        words.extend(Some(cgroup.path.clone()).filter(|path| !path.is_empty()));
        words.extend(cgroup.nested.then(|| "(made inside the container)".to_owned()));
        words.extend(cgroup.bound_in_kernel.then(|| "(tied to it by the kernel)".to_owned()));
        line("Cgroup", &words.join(" "));
    }
    line("Kernel number", &number(it.number));
    line("Policy class", &it.policy_class.to_string());
    let policies: Vec<_> = it.policy_ids.iter().map(u32::to_string).collect();
    line("Policies", if policies.is_empty() { "none" } else { "" });
    line("Policies", &policies.join(", "));
    text
}

#[cfg(test)]
mod tests {
    use tetragon_api::tetragon::KnownCgroup;

    use super::*;

    #[test]
    fn everything_that_is_known_has_its_line() {
        let container = KnownContainer {
            number: 5,
            id: "0123".to_owned(),
            name: "app".to_owned(),
            image: "registry.test/app:1".to_owned(),
            pod_labels: [("app".to_owned(), "web".to_owned())].into(),
            workload: "web".to_owned(),
            workload_kind: "Deployment".to_owned(),
            cgroups: vec![
                KnownCgroup { id: 8, path: "/a/b".to_owned(), bound_in_kernel: true, ..Default::default() },
                KnownCgroup { id: 9, nested: true, ..Default::default() },
            ],
            policy_class: 3,
            policy_ids: vec![2, 7],
            ..Default::default()
        };
        let text = text(&container, Timestamp::UNIX_EPOCH);
        assert_eq!(
            text.lines().collect::<Vec<_>>(),
            [
                "ID:             0123",
                "Name:           app",
                "Image:          registry.test/app:1",
                "Workload:       Deployment web",
                "Label:          app=web",
                "Sources:        -",
                "Cgroup:         8 /a/b (tied to it by the kernel)",
                "Cgroup:         9 (made inside the container)",
                "Kernel number:  5",
                "Policy class:   3",
                "Policies:       2, 7",
            ]
        );
    }
}
