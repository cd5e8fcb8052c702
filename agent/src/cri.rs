//! Asking the container runtime whose a container is, where neither a hook nor the Kubernetes API has told.
//!
//! The protocol is in the crate `tetragon-cri`; here is how the agent uses it without becoming a burden to the
//! runtime, which has containers to start: [`Resolver`] for single containers that appear in events, and
//! [`list_when_possible`] for everything that is there at the start.

mod resolver;
mod retry;
mod startup;
#[cfg(test)]
mod tests;

pub use resolver::{Asked, Callback, Outcome, Resolution, Resolver, Settings};
pub use startup::list_when_possible;
