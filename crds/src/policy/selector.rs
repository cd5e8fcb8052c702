//! When something is done.

use std::collections::BTreeSet;

use serde::Serialize;

use super::action::Action;
use super::predicate::{Predicate, TextMatch};
use crate::report::Path;
use crate::spec::{ArgOperator, CapabilitySet, NamespaceName};

/// Filters that must all match, and what is done then.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Selector {
    /// Where it is in the policy.
    pub path: Path,
    /// On the process id.
    pub pids: Vec<PidFilter>,
    /// On the program.
    pub binaries: Option<BinaryFilter>,
    /// On namespaces.
    pub namespaces: Vec<NamespaceFilter>,
    /// On namespaces that changed since the exec.
    pub namespace_changes: Option<NamespaceChangeFilter>,
    /// On capabilities.
    pub capabilities: Vec<CapabilityFilter>,
    /// On capabilities that changed since the exec.
    pub capability_changes: Vec<CapabilityFilter>,
    /// On arguments.
    pub args: Vec<ArgFilter>,
    /// On the return value.
    pub return_args: Vec<ArgFilter>,
    /// What is done; never empty, if only because nothing given means Post.
    pub actions: Vec<Action>,
    /// What is done when the return value matches; empty: the event is emitted.
    pub return_actions: Vec<Action>,
}

/// A filter on the process id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PidFilter {
    /// Whether it must be none of them.
    pub negated: bool,
    /// The ids; at least one.
    pub pids: BTreeSet<u32>,
    /// Whether they are those of the process's own namespace.
    pub in_namespace: bool,
    /// Whether descendants count, too.
    pub follow_forks: bool,
}

/// A filter on the path of the process's program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BinaryFilter {
    /// Which part is compared.
    pub how: TextMatch,
    /// Whether it must be none of them.
    pub negated: bool,
    /// The values; at least one, none empty.
    pub paths: BTreeSet<String>,
    /// Whether descendants count, too.
    pub follow_children: bool,
}

/// A filter on one of the process's namespaces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NamespaceFilter {
    /// Which.
    pub namespace: NamespaceName,
    /// Whether it must be none of them.
    pub negated: bool,
    /// The values; at least one.
    pub values: BTreeSet<NamespaceValue>,
}

/// A namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NamespaceValue {
    /// That of the machine's process 1.
    Host,
    /// That with this inode number.
    Inode(u32),
}

/// A filter on namespaces that changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NamespaceChangeFilter {
    /// The namespaces of which at least one must have changed.
    pub namespaces: BTreeSet<NamespaceName>,
}

/// A filter on capabilities, or on their changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CapabilityFilter {
    /// Which set.
    pub set: CapabilitySet,
    /// Whether none of them must be set; of changes: whether only others must have changed.
    pub negated: bool,
    /// Whether the process must be outside the user namespace of the machine's process 1.
    pub outside_host: bool,
    /// The capabilities, bit by number; at least one.
    pub capabilities: u64,
}

/// A filter on an argument, or on the return value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ArgFilter {
    /// Where it is in the policy.
    pub path: Path,
    /// The argument's position in [`Hook::args`](super::Hook::args); of a return value 0.
    pub arg: usize,
    /// As the policy puts it.
    pub operator: ArgOperator,
    /// What it means.
    pub predicate: Predicate,
}
