//! An event on its way to the consumers: encoded at most once per format, whoever asks first.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use prost::Message;
use prost_types::Timestamp;
use tetragon_api::compose::{self, Envelope, Family};
use tetragon_api::json;
use tetragon_api::tetragon::get_events_response::Event as WirePayload;
use tetragon_api::tetragon::{
    EventType, GetEventsResponse, Process, ProcessExec, ProcessExit, RateLimitInfo,
};
use tetragon_filters::EventView;

use crate::policies::Call;
use crate::policies::call::WireFamily;
use crate::process::ProcessInfo;

/// The processes that an event is about.
#[derive(Debug, Clone)]
pub struct Kin {
    /// The process itself.
    pub process: Arc<ProcessInfo>,
    /// Its parent.
    pub parent: Option<Arc<ProcessInfo>>,
    /// Grandparents upwards, where the settings ask for them.
    pub ancestors: Arc<[Arc<ProcessInfo>]>,
}

/// What happened.
#[derive(Debug, Clone)]
pub enum Payload {
    /// A program was started, or found running.
    Exec(Kin),
    /// A process ended.
    Exit {
        /// Who.
        kin: Kin,
        /// Name of the signal that ended it, or empty.
        signal: &'static str,
        /// Exit code.
        status: u32,
    },
    /// A call matched a policy.
    Call {
        /// Who called.
        kin: Kin,
        /// What.
        call: Arc<Call>,
    },
    /// So many records or events are missing here.
    Gap {
        /// How many.
        lost: u64,
    },
}

/// What every event of this agent has in its envelope.
#[derive(Debug, Default)]
pub struct Origin {
    /// Name of the node.
    pub node_name: String,
    /// Name of the cluster, or empty.
    pub cluster_name: String,
}

/// One event.
#[derive(Debug)]
pub struct Event {
    payload: Payload,
    time: Timestamp,
    origin: Arc<Origin>,
    weight: usize,
    json: OnceLock<Bytes>,
    proto: OnceLock<Bytes>,
}

impl Event {
    /// An event that has been encoded for nobody yet.
    pub fn new(payload: Payload, time: Timestamp, origin: Arc<Origin>) -> Self {
        let processes: usize = payload.kin().map_or(0, |kin| kin.members().map(|info| info.weight()).sum());
        let weight = processes + payload.own_weight();
        Self { payload, time, origin, weight, json: OnceLock::new(), proto: OnceLock::new() }
    }

    /// Bytes of the strings of its processes and of its arguments, about.
    pub fn weight(&self) -> usize {
        self.weight
    }

    /// One line of JSON, newline included.
    pub fn json(&self) -> &Bytes {
        self.json.get_or_init(|| {
            let mut line = match &self.payload {
                Payload::Exec(kin) if kin.process.binary_properties.is_none() => {
                    let mut line = String::with_capacity(256 + kin.json_len());
                    kin.with_json(|family| compose::json_exec(&mut line, family, &self.envelope()));
                    line
                }
                Payload::Exit { kin, signal, status } => {
                    let mut line = String::with_capacity(256 + kin.json_len());
                    let exit = compose::Exit { signal, status: *status, time: Some(self.time) };
                    kin.with_json(|family| compose::json_exit(&mut line, family, &exit, &self.envelope()));
                    line
                }
                Payload::Call { kin, call } => match call.without_processes(!kin.ancestors.is_empty()) {
                    Some(rest) => {
                        let text = rest.json();
                        let mut line = String::with_capacity(256 + kin.json_len() + text.len());
                        let (name, envelope) = (rest.name(), self.envelope());
                        kin.with_json_of_thread(call.tid, |family| {
                            compose::json_call(&mut line, name, family, &text, &envelope);
                        });
                        line
                    }
                    None => json::event_to_string(&self.message()),
                },
                Payload::Exec(_) | Payload::Gap { .. } => json::event_to_string(&self.message()),
            };
            line.push('\n');
            line.into()
        })
    }

    /// The wire format of [`GetEventsResponse`].
    pub fn proto(&self) -> &Bytes {
        self.proto.get_or_init(|| match &self.payload {
            Payload::Exec(kin) if kin.process.binary_properties.is_none() => {
                let mut out = Vec::with_capacity(128 + kin.proto_len());
                kin.with_proto(|family| compose::proto_exec(&mut out, family, &self.envelope()));
                out.into()
            }
            Payload::Exit { kin, signal, status } => {
                let mut out = Vec::with_capacity(128 + kin.proto_len());
                let exit = compose::Exit { signal, status: *status, time: Some(self.time) };
                kin.with_proto(|family| compose::proto_exit(&mut out, family, &exit, &self.envelope()));
                out.into()
            }
            Payload::Call { kin, call } => match call.without_processes(!kin.ancestors.is_empty()) {
                Some(rest) => {
                    let bytes = rest.proto();
                    let mut out = Vec::with_capacity(128 + kin.proto_len() + bytes.len());
                    let (field, envelope) = (rest.ancestors_field(), self.envelope());
                    kin.with_proto_of_thread(call.tid, |family| {
                        compose::proto_call(&mut out, call.event_type(), family, &bytes, field, &envelope);
                    });
                    out.into()
                }
                None => self.message().encode_to_vec().into(),
            },
            Payload::Exec(_) | Payload::Gap { .. } => self.message().encode_to_vec().into(),
        })
    }

    /// The whole message, for consumers that change it.
    pub fn message(&self) -> GetEventsResponse {
        let wire = |info: &Arc<ProcessInfo>| info.wire.clone();
        let event = match &self.payload {
            Payload::Exec(kin) => WirePayload::ProcessExec(ProcessExec {
                process: Some(kin.process.wire_in_exec()),
                parent: kin.parent.as_ref().map(wire),
                ancestors: kin.ancestors.iter().map(wire).collect(),
            }),
            Payload::Exit { kin, signal, status } => WirePayload::ProcessExit(ProcessExit {
                process: Some(wire(&kin.process)),
                parent: kin.parent.as_ref().map(wire),
                signal: (*signal).to_owned(),
                status: *status,
                time: Some(self.time),
                ancestors: kin.ancestors.iter().map(wire).collect(),
            }),
            Payload::Call { kin, call } => call.message(WireFamily {
                process: Some(kin.process.wire_of_thread(call.tid)),
                parent: kin.parent.as_ref().map(wire),
                ancestors: kin.ancestors.iter().map(wire).collect(),
            }),
            Payload::Gap { lost } => {
                WirePayload::RateLimitInfo(RateLimitInfo { number_of_dropped_process_events: *lost })
            }
        };
        GetEventsResponse {
            event: Some(event),
            node_name: self.origin.node_name.clone(),
            time: Some(self.time),
            cluster_name: self.origin.cluster_name.clone(),
            ..GetEventsResponse::default()
        }
    }

    /// Whether it tells of missing events; no filter holds such an event back.
    pub fn is_gap(&self) -> bool {
        matches!(self.payload, Payload::Gap { .. })
    }

    /// What happened.
    pub fn payload(&self) -> &Payload {
        &self.payload
    }

    fn envelope(&self) -> Envelope<'_> {
        Envelope {
            node_name: &self.origin.node_name,
            time: Some(self.time),
            cluster_name: &self.origin.cluster_name,
            node_labels: None,
        }
    }
}

impl Payload {
    fn kin(&self) -> Option<&Kin> {
        match self {
            Payload::Exec(kin) | Payload::Exit { kin, .. } | Payload::Call { kin, .. } => Some(kin),
            Payload::Gap { .. } => None,
        }
    }

    /// Bytes that it does not share with other events, about.
    pub fn own_weight(&self) -> usize {
        if let Payload::Call { call, .. } = self { call.weight() } else { 0 }
    }

    /// The process it is about.
    pub fn process(&self) -> Option<&Arc<ProcessInfo>> {
        Some(&self.kin()?.process)
    }
}

impl EventView for Event {
    fn event_type(&self) -> EventType {
        match self.payload {
            Payload::Exec(_) => EventType::ProcessExec,
            Payload::Exit { .. } => EventType::ProcessExit,
            Payload::Call { ref call, .. } => call.event_type(),
            Payload::Gap { .. } => EventType::RateLimitInfo,
        }
    }

    fn process(&self) -> Option<&Process> {
        Some(&self.payload.kin()?.process.wire)
    }

    fn parent(&self) -> Option<&Process> {
        Some(&self.payload.kin()?.parent.as_ref()?.wire)
    }

    fn any_ancestor(&self, test: &mut dyn FnMut(&Process) -> bool) -> bool {
        self.payload.kin().is_some_and(|kin| kin.ancestors.iter().any(|info| test(&info.wire)))
    }

    fn policy_name(&self) -> Option<&str> {
        match &self.payload {
            Payload::Call { call, .. } => Some(&call.plan.policy.name),
            _ => None,
        }
    }
}

impl Kin {
    fn members(&self) -> impl Iterator<Item = &Arc<ProcessInfo>> {
        std::iter::once(&self.process).chain(&self.parent).chain(&*self.ancestors)
    }

    fn json_len(&self) -> usize {
        self.members().map(|info| info.json().len()).sum()
    }

    fn proto_len(&self) -> usize {
        self.members().map(|info| info.proto().len() + 8).sum()
    }

    fn with_json(&self, write: impl FnOnce(&Family<'_, str>)) {
        self.with_json_of_thread(self.process.key.tgid, write);
    }

    fn with_json_of_thread(&self, tid: u32, write: impl FnOnce(&Family<'_, str>)) {
        let ancestors: Vec<&str> = self.ancestors.iter().map(|info| info.json()).collect();
        write(&Family {
            process: Some(&self.process.json_of_thread(tid)),
            parent: self.parent.as_ref().map(|info| info.json()),
            ancestors: &ancestors,
        });
    }

    fn with_proto(&self, write: impl FnOnce(&Family<'_, [u8]>)) {
        self.with_proto_of_thread(self.process.key.tgid, write);
    }

    fn with_proto_of_thread(&self, tid: u32, write: impl FnOnce(&Family<'_, [u8]>)) {
        let ancestors: Vec<&[u8]> = self.ancestors.iter().map(|info| info.proto()).collect();
        write(&Family {
            process: Some(&self.process.proto_of_thread(tid)),
            parent: self.parent.as_ref().map(|info| info.proto()),
            ancestors: &ancestors,
        });
    }
}

/// The name of a signal as events show it; empty for none and for real-time signals.
pub fn signal_name(number: u32) -> &'static str {
    const NAMES: [&str; 32] = [
        "",
        "SIGHUP",
        "SIGINT",
        "SIGQUIT",
        "SIGILL",
        "SIGTRAP",
        "SIGABRT",
        "SIGBUS",
        "SIGFPE",
        "SIGKILL",
        "SIGUSR1",
        "SIGSEGV",
        "SIGUSR2",
        "SIGPIPE",
        "SIGALRM",
        "SIGTERM",
        "SIGSTKFLT",
        "SIGCHLD",
        "SIGCONT",
        "SIGSTOP",
        "SIGTSTP",
        "SIGTTIN",
        "SIGTTOU",
        "SIGURG",
        "SIGXCPU",
        "SIGXFSZ",
        "SIGVTALRM",
        "SIGPROF",
        "SIGWINCH",
        "SIGIO",
        "SIGPWR",
        "SIGSYS",
    ];
    NAMES.get(number as usize).copied().unwrap_or("")
}

#[cfg(test)]
mod tests;
