//! Field filters: which parts of an event a reader gets.
//!
//! Paths are resolved to field numbers once. Applying a filter is then a walk over the encoded event that copies what
//! stays: it needs no descriptors, no decoding, and works on the bytes that all readers share.

mod mask;

use std::collections::BTreeMap;

use prost::Message;
use prost_reflect::{Kind, MessageDescriptor};
use tetragon_api::tetragon::{EventType, FieldFilter, FieldFilterAction, GetEventsResponse};

use crate::error::{FieldError, FilterError};
use crate::view::EventView;
use mask::{Mask, Tree};

/// Field filters, compiled. Each applies to what the one before has left.
#[derive(Debug, Default)]
pub struct FieldFilters {
    /// By event type, which is also the number of the payload's field.
    masks: BTreeMap<u32, Vec<Mask>>,
}

/// A path that names no field of any event that its filter is for; it has no effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownField {
    /// Position of the filter, from 1.
    pub index: usize,
    /// The path as it was given.
    pub path: String,
}

impl std::fmt::Display for UnknownField {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { index, path } = self;
        write!(formatter, "field filter {index}: {path:?} is no field of the events it is for")
    }
}

impl FieldFilters {
    /// Compiles the filters, and tells which paths have no effect.
    pub fn new(filters: &[FieldFilter]) -> Result<(Self, Vec<UnknownField>), FilterError> {
        if filters.is_empty() {
            // Without this, every agent would keep the descriptors of the whole protocol in memory for nothing.
            return Ok((Self { masks: BTreeMap::new() }, Vec::new()));
        }
        let payloads = payloads();
        let mut masks = BTreeMap::<u32, Vec<Mask>>::new();
        let mut unknown = Vec::new();
        for (position, filter) in filters.iter().enumerate() {
            let FieldFilter { event_set, fields, action, invert_event_set } = filter;
            let action = FieldFilterAction::try_from(*action).map_err(|_| {
                FieldError::new("action", format!("{action} is neither INCLUDE nor EXCLUDE"))
                    .at("field filter", position)
            })?;
            let paths = fields.as_ref().map(|mask| mask.paths.as_slice()).unwrap_or_default();
            if paths.is_empty() {
                continue;
            }
            let inverted = invert_event_set.unwrap_or_default();
            let mut effective = vec![false; paths.len()];
            for (number, payload) in &payloads {
                let listed = i32::try_from(*number).is_ok_and(|number| event_set.contains(&number));
                if !event_set.is_empty() && listed == inverted {
                    continue;
                }
                let mut tree = Tree::default();
                for (path, effective) in paths.iter().zip(&mut effective) {
                    if let Some(numbers) = resolve(payload, path) {
                        tree.insert(&numbers);
                        *effective = true;
                    }
                }
                masks.entry(*number).or_default().push(match action {
                    FieldFilterAction::Include => Mask::Include(tree),
                    FieldFilterAction::Exclude => Mask::Exclude(tree),
                });
            }
            let without_effect = paths.iter().zip(effective).filter(|(_, effective)| !effective);
            unknown.extend(
                without_effect.map(|(path, _)| UnknownField { index: position + 1, path: path.clone() }),
            );
        }
        Ok((Self { masks }, unknown))
    }

    /// Whether events of this type are changed at all; if not, their bytes can be used as they are.
    pub fn applies_to(&self, event_type: EventType) -> bool {
        self.masks.contains_key(&(event_type as u32))
    }

    /// The wire format of an event without what the filters take away. Bytes that are not an event come back as they
    /// are.
    pub fn apply_encoded(&self, event_type: EventType, encoded: &[u8]) -> Vec<u8> {
        let number = event_type as u32;
        let mut event = encoded.to_vec();
        for mask in self.masks.get(&number).into_iter().flatten() {
            if let Ok(filtered) = mask.apply(number, &event) {
                event = filtered;
            }
        }
        event
    }

    /// The event without what the filters take away.
    pub fn apply(&self, event: GetEventsResponse) -> GetEventsResponse {
        let event_type = event.event_type();
        if !self.applies_to(event_type) {
            return event;
        }
        let filtered = self.apply_encoded(event_type, &event.encode_to_vec());
        GetEventsResponse::decode(&*filtered).unwrap_or(event)
    }
}

/// The payload of every type of event, by number.
fn payloads() -> Vec<(u32, MessageDescriptor)> {
    let event = tetragon_api::descriptor_pool().get_message_by_name("tetragon.GetEventsResponse");
    let fields =
        event.iter().flat_map(|event| event.oneofs()).flat_map(|oneof| oneof.fields().collect::<Vec<_>>());
    fields
        .filter_map(|field| match field.kind() {
            Kind::Message(payload) => Some((field.number(), payload)),
            _ => None,
        })
        .collect()
}

/// The field numbers of a path, whose names may be in snake or in lower camel case.
fn resolve(payload: &MessageDescriptor, path: &str) -> Option<Vec<u32>> {
    let mut message = Some(payload.clone());
    path.split('.')
        .map(|name| {
            let parent = message.take()?;
            let field = parent.get_field_by_name(name).or_else(|| parent.get_field_by_json_name(name))?;
            message = match field.kind() {
                Kind::Message(child) if !field.is_map() => Some(child),
                _ => None,
            };
            Some(field.number())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tetragon_api::json;
    use tetragon_api::tetragon::get_events_response::Event;
    use tetragon_api::tetragon::kprobe_argument::Arg;
    use tetragon_api::tetragon::{KprobeArgument, ProcessExit, ProcessKprobe};

    use super::*;
    use crate::parse_field_filters;
    use crate::samples::{event, exec, in_pod, process};

    fn filters(text: &str) -> FieldFilters {
        let (filters, unknown) = FieldFilters::new(&parse_field_filters(text).unwrap()).unwrap();
        assert_eq!(unknown, []);
        filters
    }

    fn apply(text: &str, event: &GetEventsResponse) -> String {
        json::event_to_string(&filters(text).apply(event.clone()))
    }

    #[test]
    fn include_keeps_what_is_listed_and_the_envelope() {
        let event = exec(in_pod(process(3), "default", "web"), Some(process(2)));
        assert_eq!(
            apply(r#"{"fields":"process.pid,process.pod.name,parent.exec_id"}"#, &event),
            r#"{"process_exec":{"process":{"pid":3,"pod":{"name":"web"}},"parent":{"exec_id":"id-2"}},"node_name":"node1"}"#
        );
        assert_eq!(
            apply(r#"{"fields":"parent.pid,parent,parent.binary"}"#, &event),
            r#"{"process_exec":{"parent":{"exec_id":"id-2","pid":2,"binary":"/bin/x"}},"node_name":"node1"}"#
        );
    }

    #[test]
    fn exclude_removes_what_is_listed() {
        let event = exec(process(3), Some(process(2)));
        assert_eq!(
            apply(r#"{"fields":"parent,process.execId","action":"EXCLUDE"}"#, &event),
            r#"{"process_exec":{"process":{"pid":3,"binary":"/bin/x"}},"node_name":"node1"}"#
        );
    }

    #[test]
    fn nothing_listed_changes_nothing() {
        let event = exec(process(3), None);
        for text in ["", "{}", r#"{"fields":""}"#, r#"{"action":"EXCLUDE"}"#] {
            assert!(!filters(text).applies_to(EventType::ProcessExec));
            assert_eq!(apply(text, &event), json::event_to_string(&event));
        }
    }

    #[test]
    fn the_event_set_chooses_and_can_be_inverted() {
        let only_exec = filters(r#"{"fields":"process.pid","event_set":["PROCESS_EXEC"]}"#);
        assert!(
            only_exec.applies_to(EventType::ProcessExec) && !only_exec.applies_to(EventType::ProcessExit)
        );
        let others =
            filters(r#"{"fields":"process.pid","event_set":["PROCESS_EXEC"],"invert_event_set":true}"#);
        assert!(!others.applies_to(EventType::ProcessExec) && others.applies_to(EventType::ProcessExit));
    }

    #[test]
    fn filters_apply_one_after_the_other() {
        let text = r#"{"fields":"process"} {"fields":"process.exec_id,process.binary","action":"EXCLUDE"}"#;
        let event = exec(process(3), Some(process(2)));
        assert_eq!(apply(text, &event), r#"{"process_exec":{"process":{"pid":3}},"node_name":"node1"}"#);
    }

    #[test]
    fn elements_of_lists_are_filtered_each() {
        let args =
            ["a", "b"].map(|label| KprobeArgument { arg: Some(Arg::IntArg(1)), label: label.to_owned() });
        let event = event(Event::ProcessKprobe(ProcessKprobe { args: args.into(), ..Default::default() }));
        assert_eq!(
            apply(r#"{"fields":"args.int_arg","action":"EXCLUDE"}"#, &event),
            r#"{"process_kprobe":{"args":[{"label":"a"},{"label":"b"}]},"node_name":"node1"}"#
        );
    }

    #[test]
    fn a_path_is_unknown_only_if_no_event_has_it() {
        let text = r#"{"fields":"function_name,nope,process.pid.x,process.pod.pod_labels.app"}"#;
        let (filters, unknown) = FieldFilters::new(&parse_field_filters(text).unwrap()).unwrap();
        let paths: Vec<_> = unknown.iter().map(|it| it.path.as_str()).collect();
        assert_eq!(paths, ["nope", "process.pid.x", "process.pod.pod_labels.app"]);
        assert_eq!(unknown[0].to_string(), "field filter 1: \"nope\" is no field of the events it is for");
        // Nothing that is listed is there, so nothing but the envelope stays.
        let event = filters.apply(exec(process(1), None));
        assert_eq!(json::event_to_string(&event), r#"{"process_exec":{},"node_name":"node1"}"#);
    }

    #[test]
    fn an_action_without_a_name_is_an_error() {
        let filter = FieldFilter { action: 7, ..Default::default() };
        assert_eq!(
            FieldFilters::new(&[filter]).unwrap_err().to_string(),
            "field filter 1: action: 7 is neither INCLUDE nor EXCLUDE"
        );
    }

    #[test]
    fn bytes_that_are_no_event_come_back() {
        let filters = filters(r#"{"fields":"process.pid"}"#);
        for bytes in [&b"\x0a\xff"[..], b"\xff", b"\x0a\x02\x0a\x7f"] {
            assert_eq!(filters.apply_encoded(EventType::ProcessExec, bytes), bytes);
        }
    }

    const NAMES: [&str; 6] = ["process.pid", "process.exec_id", "process", "parent", "signal", "status"];

    proptest! {
        #[test]
        fn include_and_exclude_of_the_same_paths_share_nothing_and_lose_nothing(
            names in proptest::sample::subsequence(&NAMES[..], 1..=NAMES.len()),
            pid in 0u32..5, status in 0u32..3, signal in "[A-Z]{0,3}",
        ) {
            let exit = ProcessExit {
                process: Some(in_pod(process(pid), "n", "p")), parent: Some(process(1)), signal, status,
                ..Default::default()
            };
            let whole = event(Event::ProcessExit(exit.clone()));
            let part = |action: &str| {
                let text = format!(r#"{{"fields":"{}","action":"{action}"}}"#, names.join(","));
                let Some(Event::ProcessExit(exit)) = filters(&text).apply(whole.clone()).event else { unreachable!() };
                exit
            };
            let (kept, left) = (part("INCLUDE"), part("EXCLUDE"));
            // Fields appear once, so decoding one behind the other merges both parts into the whole.
            let mut both = kept.encode_to_vec();
            both.extend(left.encode_to_vec());
            prop_assert_eq!(ProcessExit::decode(&*both).unwrap(), exit);
            prop_assert!(kept.signal.is_empty() || left.signal.is_empty());
            prop_assert!(kept.parent.is_none() || left.parent.is_none());
            let pid = |exit: &ProcessExit| exit.process.as_ref().and_then(|process| process.pid);
            prop_assert!(pid(&kept).is_none() || pid(&left).is_none());
        }
    }
}
