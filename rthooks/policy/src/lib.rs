//! Whether a container may start that the agent could not be told of.
//!
//! The OCI hook and the NRI plugin tell the agent of every container before its own program runs. When the agent does
//! not take the message, somebody has to choose between a workload that does not start and one that starts unseen.
//! [`FailurePolicy`] chooses, in both places alike, by this order:
//!
//! 1. A static pod (one that the kubelet reads from its own disk) is allowed: without it the node, and so the agent,
//!    might never come up. [`Options::exempt_static_pods`] turns that off.
//! 2. With a CEL expression ([`Options::cel_expression`]), it alone decides: `true`, an error, or anything that is
//!    not a bool refuses the container.
//! 3. Else a container is allowed whose namespace is in [`Options::allow_namespaces`], or matched anywhere by one of
//!    [`Options::allow_namespace_patterns`]. Without a namespace it is refused.
//!
//! # Where the namespace comes from
//! From [`Subject::namespace`] if the caller knows it from the runtime itself; else from the annotations that
//! [`Options::namespace_keys`] name. Annotations can be a pod author's: where two of the keys are there, *both*
//! must name an allowed namespace, so that nobody exempts a pod by adding the other runtime's key.
//!
//! # Variables of an expression
//! | name | type | value |
//! | --- | --- | --- |
//! | `annotations` | map of strings | all of the container |
//! | `annotations_namespace_keys` | list of strings | [`Options::namespace_keys`] |
//! | `annotations_namespace_key` | string | the first of these that is an annotation here; if none is, the first |
//! | `pod_namespace` | string | as above; empty if there is none, or if annotations contradict each other (`namespace` is a reserved word of CEL) |
//! | `allow_namespaces`, `allow_namespace_patterns` | lists of strings | as in the options |
//! | `static_pod` | bool | [`Subject::static_pod`] |
//!
//! An expression is compiled and evaluated on a thread of its own, within bounds of stack and time: nothing that it
//! does ends the caller, as long as panics unwind.

mod error;
mod expression;
mod list;
mod options;
mod policy;

pub use error::{PolicyError, Position};
pub use list::{names, patterns};
pub use options::{Options, STATIC_POD_SOURCES, Subject, is_static_pod};
pub use policy::{Decision, FailurePolicy};
