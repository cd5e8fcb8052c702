//! Why something cannot be done with a policy.

use tetragon_crds::policy::PolicyName;

use super::State;
use crate::policies::engine::LoadError;

/// Why something cannot be done with a policy.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ManageError {
    /// The name is taken.
    #[error(
        "failed to add tracing policy {0}, a sensor collection with the key already exists; delete it first, or replace it"
    )]
    Exists(PolicyName),
    /// There is no such policy.
    #[error("tracing policy {0} does not exist; the list of policies tells the names and namespaces")]
    Unknown(PolicyName),
    /// It is in another state.
    #[error("tracing policy {name} is not {wanted}, its state is {state}")]
    State {
        /// The policy.
        name: PolicyName,
        /// The state in which this can be done.
        wanted: State,
        /// Its state.
        state: State,
    },
    /// It selects namespaces, pods or containers, which the settings do not allow.
    #[error(
        "failed to add tracing policy {0}: policyfilter is disabled; start the agent with --enable-policy-filter, or \
         leave out namespace, podSelector and containerSelector"
    )]
    FilterDisabled(PolicyName),
    /// The kernel does not take it.
    #[error("failed to add tracing policy {name}: {error}")]
    Load {
        /// The policy.
        name: PolicyName,
        /// Why.
        error: LoadError,
    },
    /// It is loaded, but the kernel refuses to change that.
    #[error("cannot {what} tracing policy {name}: {error}")]
    Change {
        /// The policy.
        name: PolicyName,
        /// What was tried.
        what: &'static str,
        /// Why not.
        error: LoadError,
    },
}

impl ManageError {
    /// What the kernel's verifier said.
    pub fn verifier_log(&self) -> Option<&str> {
        match self {
            Self::Load { error, .. } | Self::Change { error, .. } => error.verifier_log.as_deref(),
            _ => None,
        }
    }
}
