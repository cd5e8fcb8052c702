//! Whose a process is: the one place that answers "which container and pod is cgroup N".
//!
//! ```text
//! RuntimeHook ──┐                       ┌──> kernel maps: cgroups, announced, containers
//! journal ──────┤                       │
//! CRI ──────────┼──> Store (facts by ───┼──> pipeline: pod and container of each process
//! cgroup records┤    source and rank)   │
//! pod watcher ──┘                       └──> AgentIdentity, GetStatus
//! ```
//!
//! Sources may come in any order. Each fills what the others lack; where they contradict each other, the one of the
//! higher [rank](Source::rank) wins and the conflict is counted. No source's silence removes anything: a container
//! ends when its runtime says so or its last cgroup is gone.

pub mod cgroupfs;
mod classes;
mod container;
mod counters;
mod facts;
pub mod from_cri;
mod hook;
mod journal;
mod locate;
pub mod maps;
pub mod name;
mod selector;
mod show;
mod source;
mod store;
mod waiting;
mod workload;

pub use cgroupfs::{CgroupFs, Mode};
pub use classes::{ClassRules, PolicyId, Scope};
pub use container::{ContainerNumber, Resolved};
pub use counters::{Counters, Knowledge};
pub use facts::Facts;
pub use hook::HookError;
pub use journal::Journal;
pub use selector::{Operator, Requirement, Selector, SelectorError};
pub use source::Source;
pub use store::{Options, Store, Task};
pub use waiting::Waiting;

/// Id of a cgroup of the v2 hierarchy, as `bpf_get_current_cgroup_id()` has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CgroupId(pub u64);
