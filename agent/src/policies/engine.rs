//! What puts policies into the kernel, as those who manage them see it.

use tetragon_crds::Diagnostic;
use tetragon_crds::policy::Policy;

use crate::identity::PolicyId;

/// What a loaded policy is made of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Names of its sensors, one a hook.
    pub sensors: Vec<String>,
    /// What only this kernel shows.
    pub warnings: Vec<Diagnostic>,
}

/// How a loaded policy fares.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Bytes of kernel memory that are this policy's alone.
    pub memory_bytes: u64,
    /// Calls that matched.
    pub matched: u64,
    /// Events.
    pub posted: u64,
    /// Calls without event because of NoPost.
    pub suppressed: u64,
    /// Calls without event because of a rate limit.
    pub limited: u64,
    /// Events that found no room in the ring.
    pub lost: u64,
    /// Signals sent.
    pub signals: u64,
    /// Signals that could not be sent.
    pub signal_errors: u64,
    /// Calls whose return has not been seen.
    pub returns_missing: u64,
    /// Calls that could not be remembered until they return.
    pub returns_lost: u64,
    /// Calls that were refused, or were to be.
    pub overridden: u64,
    /// Runs of the programs at its hooks that the kernel left out, as far as it counts them.
    pub skipped: u64,
}

/// Why a policy is not loaded.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct LoadError {
    /// For people.
    pub message: String,
    /// What the kernel's verifier said, if it refused a program.
    pub verifier_log: Option<String>,
}

/// Puts policies into the kernel. Every call does all of it or nothing, and what other policies do is not touched.
pub trait Engine: Send {
    /// Loads a policy, which holds when this returns.
    ///
    /// # Errors
    /// What this kernel cannot do, or has no room for.
    fn load(&mut self, id: PolicyId, policy: &Policy) -> Result<Loaded, LoadError>;

    /// Loads a policy in the place of another one, which is gone afterwards. Every call is seen by one of the two, and
    /// by one only; by both for a moment where one of them is for everything and the other is not.
    ///
    /// # Errors
    /// As for [`load`](Self::load); then the old one still holds.
    fn replace(&mut self, old: PolicyId, id: PolicyId, policy: &Policy) -> Result<Loaded, LoadError>;

    /// A policy holds no more, but stays loaded.
    ///
    /// # Errors
    /// The kernel refuses.
    fn disable(&mut self, id: PolicyId) -> Result<(), LoadError>;

    /// A disabled policy holds again.
    ///
    /// # Errors
    /// The kernel refuses.
    fn enable(&mut self, id: PolicyId) -> Result<(), LoadError>;

    /// Takes a policy out of the kernel.
    ///
    /// # Errors
    /// The kernel refuses.
    fn unload(&mut self, id: PolicyId) -> Result<(), LoadError>;

    /// How a policy fares; `None` if it is not loaded.
    fn figures(&self, id: PolicyId) -> Option<Figures>;
}
