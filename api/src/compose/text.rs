//! JSON events.

use super::{Envelope, Exit, Family};
use crate::json::{Object, ToJson, map, string};

/// Appends a `process_exec` event.
pub fn json_exec(out: &mut String, family: &Family<'_, str>, envelope: &Envelope<'_>) {
    event(out, "process_exec", envelope, |exec| {
        processes(exec, family);
        ancestors(exec, family);
    });
}

/// Appends a `process_exit` event.
pub fn json_exit(out: &mut String, family: &Family<'_, str>, exit: &Exit<'_>, envelope: &Envelope<'_>) {
    event(out, "process_exit", envelope, |object| {
        processes(object, family);
        if !exit.signal.is_empty() {
            string(object.key("signal"), exit.signal);
        }
        if exit.status != 0 {
            exit.status.write_json(object.key("status"));
        }
        if let Some(time) = &exit.time {
            time.write_json(object.key("time"));
        }
        ancestors(object, family);
    });
}

/// Appends an event of a policy. `rest` is the JSON object of the payload without its processes; nothing in it may
/// belong behind the ancestors.
pub fn json_call(
    out: &mut String,
    name: &str,
    family: &Family<'_, str>,
    rest: &str,
    envelope: &Envelope<'_>,
) {
    event(out, name, envelope, |object| {
        processes(object, family);
        object.members(rest);
        ancestors(object, family);
    });
}

fn event(out: &mut String, name: &str, envelope: &Envelope<'_>, payload: impl FnOnce(&mut Object<'_>)) {
    let mut event = Object::begin(out);
    let mut inner = Object::begin(event.key(name));
    payload(&mut inner);
    inner.end();
    if !envelope.node_name.is_empty() {
        string(event.key("node_name"), envelope.node_name);
    }
    if let Some(time) = &envelope.time {
        time.write_json(event.key("time"));
    }
    if !envelope.cluster_name.is_empty() {
        string(event.key("cluster_name"), envelope.cluster_name);
    }
    if let Some(labels) = envelope.node_labels.filter(|labels| !labels.is_empty()) {
        map(event.key("node_labels"), labels);
    }
    event.end();
}

fn processes(object: &mut Object<'_>, family: &Family<'_, str>) {
    for (key, process) in [("process", family.process), ("parent", family.parent)] {
        if let Some(process) = process {
            object.key(key).push_str(process);
        }
    }
}

fn ancestors(object: &mut Object<'_>, family: &Family<'_, str>) {
    let Some((first, others)) = family.ancestors.split_first() else { return };
    let out = object.key("ancestors");
    out.push('[');
    out.push_str(first);
    for ancestor in others {
        out.push(',');
        out.push_str(ancestor);
    }
    out.push(']');
}
