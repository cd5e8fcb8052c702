//! Events to print.

use tetragon_api::tetragon::get_events_response::Event;
use tetragon_api::tetragon::kprobe_argument::Arg;
use tetragon_api::tetragon::{
    GetEventsResponse, KprobeArgument, KprobeFile, KprobePath, KprobeSock, Pod, Process, ProcessKprobe,
};

use crate::compact::{Style, render};

pub(super) const PLAIN: Style = Style { color: false, timestamps: false, stack_traces: true };

pub(super) fn line(event: Event) -> String {
    render(&envelope(event), PLAIN)
}

pub(super) fn envelope(event: Event) -> GetEventsResponse {
    GetEventsResponse { event: Some(event), node_name: "my-node".to_owned(), ..Default::default() }
}

/// `/usr/bin/curl` of no pod.
pub(super) fn curl(arguments: &str) -> Process {
    Process { binary: "/usr/bin/curl".to_owned(), arguments: arguments.to_owned(), ..Default::default() }
}

/// `/usr/bin/curl` of the pod `kube-system/tetragon`.
pub(super) fn pod_curl(arguments: &str) -> Process {
    let pod = Pod { namespace: "kube-system".to_owned(), name: "tetragon".to_owned(), ..Default::default() };
    Process { pod: Some(pod), ..curl(arguments) }
}

pub(super) fn kprobe(function: &str, args: Vec<Arg>) -> ProcessKprobe {
    ProcessKprobe {
        process: Some(pod_curl("")),
        function_name: function.to_owned(),
        args: arguments(args),
        ..Default::default()
    }
}

pub(super) fn arguments(args: Vec<Arg>) -> Vec<KprobeArgument> {
    args.into_iter().map(|arg| KprobeArgument { arg: Some(arg), ..Default::default() }).collect()
}

pub(super) fn file(path: &str) -> Arg {
    Arg::FileArg(KprobeFile { path: path.to_owned(), ..Default::default() })
}

pub(super) fn path(path: &str) -> Arg {
    Arg::PathArg(KprobePath { path: path.to_owned(), ..Default::default() })
}

pub(super) fn string(text: &str) -> Arg {
    Arg::StringArg(text.to_owned())
}

pub(super) fn sock() -> Arg {
    Arg::SockArg(KprobeSock {
        saddr: "198.51.100.1".to_owned(),
        sport: 40000,
        daddr: "203.0.113.5".to_owned(),
        dport: 443,
        ..Default::default()
    })
}
