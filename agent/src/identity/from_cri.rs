//! What the container runtime tells when it is asked.

use std::sync::Arc;

use tetragon_cri::{CriClient, CriContainer, Options, State};
use tokio::runtime::Handle;
use tracing::debug;

use super::locate::Located;
use super::store::{Place, Store};
use super::{Facts, Source, cgroupfs};
use crate::config::Config;
use crate::cri::{self, Asked, Outcome, Resolution, Resolver, Settings};

/// Starts to ask the runtime: for everything once it answers, for single containers when [`Resolver::ask`] is called.
/// None unless the settings want it.
pub fn start(config: &Config, runtime: &Handle, store: &Arc<Store>) -> Option<Resolver> {
    if !config.enable_cri {
        return None;
    }
    let client = CriClient::new(Options::for_socket(config.cri_endpoint.as_deref()));
    let listed = Arc::clone(store);
    let lister = client.clone();
    runtime.spawn(async move {
        for container in cri::list_when_possible(&lister).await.containers {
            listed.told_by_cri(container);
        }
    });
    let told = Arc::clone(store);
    let callback = Arc::new(move |resolution: Resolution| match resolution.outcome {
        Outcome::Found(container) => told.told_by_cri(*container),
        Outcome::NotFound => told.give_up(&resolution.asked),
        Outcome::Failed(error) => {
            debug!(container = resolution.asked, error, "the container runtime cannot be asked");
            told.give_up(&resolution.asked);
        }
    });
    Some(Resolver::start(runtime, client, Settings::default(), callback))
}

/// Asks about a container whose events wait. What can't be asked will not be known.
pub fn ask(resolver: &Resolver, store: &Store, id: &str) {
    if resolver.ask(id) == Asked::Dropped {
        store.give_up(id);
    }
}

impl Store {
    /// Takes in what the runtime says of a container that exists.
    pub fn told_by_cri(&self, container: CriContainer) {
        let path = container.cgroups_path.as_deref().and_then(|path| cgroupfs::clean(path).ok());
        let running = container.state == State::Running;
        let located = self.locate(&container.id, path.as_deref(), container.pid, false);
        let pid = located.as_ref().map_or(0, |it| it.pid);
        let place = match located {
            Ok(Located { cgroup, path, .. }) => Place::At { cgroup, path, started: running },
            Err(_) => match path {
                Some(path) if container.state == State::Created => Place::Announced(path),
                _ => Place::Nowhere,
            },
        };
        let facts = Facts {
            name: container.name,
            image: container.image,
            image_id: container.image_id,
            runtime: container.runtime,
            sandbox: container.is_sandbox,
            pod_name: container.pod_name,
            pod_namespace: container.pod_namespace,
            pod_uid: container.pod_uid,
            pod_labels: Some(container.pod_labels),
            pod_annotations: Some(container.pod_annotations),
            start_time: container.started_at.map(Into::into),
            pid,
            probes: None,
            workload: None,
        };
        self.observe(Source::Cri, &container.id, facts, place);
    }
}
