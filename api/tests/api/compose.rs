//! Composed events equal encoded ones, byte for byte.

use proptest::prelude::*;
use prost::Message;
use tetragon_api::compose::{self, Envelope, Exit, Family};
use tetragon_api::json;
use tetragon_api::tetragon::get_events_response::Event;
use tetragon_api::tetragon::{GetEventsResponse, Process, ProcessExec, ProcessExit};

use crate::random;

struct Fragments<T> {
    process: Option<T>,
    parent: Option<T>,
    ancestors: Vec<T>,
}

impl<T> Fragments<T> {
    fn new(
        encode: impl Fn(&Process) -> T,
        process: Option<&Process>,
        parent: Option<&Process>,
        ancestors: &[Process],
    ) -> Self {
        let ancestors = ancestors.iter().map(&encode).collect();
        Self { process: process.map(&encode), parent: parent.map(&encode), ancestors }
    }

    fn with<U: ?Sized>(&self, check: impl FnOnce(&Family<'_, U>))
    where
        T: AsRef<U>,
    {
        let ancestors: Vec<&U> = self.ancestors.iter().map(AsRef::as_ref).collect();
        check(&Family {
            process: self.process.as_ref().map(AsRef::as_ref),
            parent: self.parent.as_ref().map(AsRef::as_ref),
            ancestors: &ancestors,
        });
    }
}

fn envelope(event: &GetEventsResponse) -> Envelope<'_> {
    Envelope {
        node_name: &event.node_name,
        time: event.time,
        cluster_name: &event.cluster_name,
        node_labels: Some(&event.node_labels),
    }
}

/// Any event whose envelope has nothing but what the composer can add.
fn event<T: Message + prost::Name + Default + std::fmt::Debug>(
    wrap: impl Fn(T) -> Event,
) -> impl Strategy<Value = GetEventsResponse> {
    (random::message::<GetEventsResponse>(), random::message::<T>()).prop_map(move |(mut event, payload)| {
        event.event = Some(wrap(payload));
        event.aggregation_info = None;
        event
    })
}

fn text(process: &Process) -> String {
    json::to_string(process)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn exec_events(event in event(Event::ProcessExec)) {
        let Some(Event::ProcessExec(ProcessExec { process, parent, ancestors })) = &event.event else { unreachable!() };
        let (process, parent) = (process.as_ref(), parent.as_ref());

        Fragments::new(Message::encode_to_vec, process, parent, ancestors).with::<[u8]>(|family| {
            let mut out = b"before".to_vec();
            compose::proto_exec(&mut out, family, &envelope(&event));
            assert_eq!(out.strip_prefix(b"before"), Some(&*event.encode_to_vec()));
        });
        Fragments::new(text, process, parent, ancestors).with::<str>(|family| {
            let mut out = "before".to_owned();
            compose::json_exec(&mut out, family, &envelope(&event));
            assert_eq!(out.strip_prefix("before"), Some(&*json::event_to_string(&event)));
        });
    }

    #[test]
    fn exit_events(event in event(Event::ProcessExit)) {
        let Some(Event::ProcessExit(ProcessExit { process, parent, signal, status, time, ancestors })) = &event.event
        else { unreachable!() };
        let (process, parent) = (process.as_ref(), parent.as_ref());
        let exit = Exit { signal, status: *status, time: *time };

        Fragments::new(Message::encode_to_vec, process, parent, ancestors).with::<[u8]>(|family| {
            let mut out = Vec::new();
            compose::proto_exit(&mut out, family, &exit, &envelope(&event));
            assert_eq!(out, event.encode_to_vec());
        });
        Fragments::new(text, process, parent, ancestors).with::<str>(|family| {
            let mut out = String::new();
            compose::json_exit(&mut out, family, &exit, &envelope(&event));
            assert_eq!(out, json::event_to_string(&event));
        });
    }
}
