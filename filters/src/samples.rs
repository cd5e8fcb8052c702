//! Events for tests.

use tetragon_api::tetragon::get_events_response::Event;
use tetragon_api::tetragon::{Container, GetEventsResponse, Pod, Process, ProcessExec};

pub(crate) fn process(pid: u32) -> Process {
    Process {
        exec_id: format!("id-{pid}"),
        pid: Some(pid),
        binary: "/bin/x".to_owned(),
        ..Default::default()
    }
}

pub(crate) fn in_pod(mut process: Process, namespace: &str, name: &str) -> Process {
    process.pod = Some(Pod {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        container: Some(Container { name: "main".to_owned(), ..Default::default() }),
        pod_labels: [("app".to_owned(), "web".to_owned())].into(),
        ..Default::default()
    });
    process
}

pub(crate) fn event(payload: Event) -> GetEventsResponse {
    GetEventsResponse { event: Some(payload), node_name: "node1".to_owned(), ..Default::default() }
}

pub(crate) fn exec(process: Process, parent: Option<Process>) -> GetEventsResponse {
    event(Event::ProcessExec(ProcessExec { process: Some(process), parent, ..Default::default() }))
}
