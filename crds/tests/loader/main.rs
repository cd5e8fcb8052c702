//! The loader as its callers use it: what must be refused, what must load, and that nothing else happens.

mod accept;
mod crd;
mod files;
mod meaning;
mod properties;
mod refuse;
mod samples;
mod warn;

use tetragon_crds::{Errors, Origin, Policy, load_for, syscalls::Arch};

/// Loads a policy for x86.
fn load(yaml: &str) -> Result<Policy, Errors> {
    load_for(Arch::X86_64, yaml, &Origin::Grpc)
}

/// A policy with this `spec`, given as YAML that is indented by two spaces or in flow style.
fn with_spec(spec: &str) -> String {
    let head = "apiVersion: cilium.io/v1alpha1\nkind: TracingPolicy\nmetadata:\n  name: test\nspec:";
    if spec.starts_with('{') { format!("{head} {spec}\n") } else { format!("{head}\n{spec}\n") }
}

/// A policy with one kprobe, of these fields.
fn with_kprobe(fields: &str) -> String {
    with_spec(&format!("{{kprobes: [{{{fields}}}]}}"))
}

/// A policy with a kprobe on a function whose arguments 0 to 3 are an int, a string, a sock and a packet, and this
/// selector.
fn with_selector(selector: &str) -> String {
    let args = "args: [{index: 0, type: int}, {index: 1, type: string}, {index: 2, type: sock}, {index: 3, type: skb}]";
    with_kprobe(&format!("call: fd_install, syscall: false, {args}, selectors: [{{{selector}}}]"))
}
