//! The list of policies.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use tetragon_crds::policy::{Action, Mode, PolicyName};
use tetragon_crds::{Origin, Policy};

use super::ManageError;
use crate::identity::PolicyId;
use crate::policies::engine::Figures;

/// So much is kept of what the kernel's verifier says; its end says why.
const LOG_BYTES: usize = 64 << 10;

/// What becomes of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// On its way into the kernel.
    Loading,
    /// It holds.
    Enabled,
    /// It is loaded, and does not hold.
    Disabled,
    /// It could not be loaded.
    LoadError,
    /// It could not be disabled or deleted.
    Error,
    /// On its way out.
    Unloading,
}

impl State {
    /// All there are.
    pub const ALL: [Self; 6] =
        [Self::Loading, Self::Enabled, Self::Disabled, Self::LoadError, Self::Error, Self::Unloading];
}

/// The name of the state in the API, without its prefix.
impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Loading => "loading",
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
            Self::LoadError => "load_error",
            Self::Error => "error",
            Self::Unloading => "unloading",
        })
    }
}

/// What is known of a policy.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its number.
    pub id: PolicyId,
    /// Its name.
    pub name: PolicyName,
    /// Where it comes from.
    pub origin: Origin,
    /// What becomes of it.
    pub state: State,
    /// Whether it applies to some cgroups only.
    pub scoped: bool,
    /// Whether it may intervene; `None`: it has nothing to intervene with.
    pub mode: Option<Mode>,
    /// Its sensors, one a hook.
    pub sensors: Vec<String>,
    /// What its author should know.
    pub warnings: Vec<String>,
    /// What went wrong last; empty: nothing.
    pub error: String,
    /// The end of what the kernel's verifier said.
    pub verifier_log: String,
    /// How it fares; `None`: nothing of it is in the kernel.
    pub figures: Option<Figures>,
}

impl Entry {
    pub(super) fn loading(id: PolicyId, policy: &Policy) -> Self {
        let enforces = policy.enforcer.is_some()
            || policy
                .hooks
                .iter()
                .flat_map(|hook| &hook.selectors)
                .flat_map(|selector| selector.actions.iter().chain(&selector.return_actions))
                .any(Action::is_enforcement);
        Self {
            id,
            name: policy.name.clone(),
            origin: policy.origin.clone(),
            state: State::Loading,
            scoped: policy.is_scoped(),
            mode: enforces.then(|| policy.options.mode.unwrap_or(Mode::Enforce)),
            sensors: Vec::new(),
            warnings: policy.warnings.iter().map(ToString::to_string).collect(),
            error: String::new(),
            verifier_log: String::new(),
            figures: None,
        }
    }

    pub(super) fn fail(&mut self, error: &ManageError) {
        self.error = error.to_string();
        let log = error.verifier_log().unwrap_or_default();
        self.verifier_log = log[log.ceil_char_boundary(log.len().saturating_sub(LOG_BYTES))..].to_owned();
    }
}

/// All policies, by name.
#[derive(Debug, Default)]
pub(super) struct Table {
    last_id: u32,
    entries: BTreeMap<PolicyName, Arc<Entry>>,
}

impl Table {
    pub(super) fn next_id(&mut self) -> PolicyId {
        self.last_id += 1;
        PolicyId(self.last_id)
    }

    pub(super) fn get(&self, name: &PolicyName) -> Option<&Arc<Entry>> {
        self.entries.get(name)
    }

    pub(super) fn get_mut(&mut self, name: &PolicyName) -> Option<&mut Entry> {
        self.entries.get_mut(name).map(Arc::make_mut)
    }

    pub(super) fn insert(&mut self, entry: Entry) {
        self.entries.insert(entry.name.clone(), Arc::new(entry));
    }

    pub(super) fn remove(&mut self, name: &PolicyName) {
        self.entries.remove(name);
    }

    /// Something has gone well.
    pub(super) fn settle(&mut self, name: &PolicyName, state: State, figures: Option<Figures>) {
        if let Some(entry) = self.get_mut(name) {
            entry.state = state;
            entry.error.clear();
            entry.verifier_log.clear();
            entry.figures = figures;
        }
    }

    pub(super) fn refresh(&mut self, figures: Vec<(Arc<Entry>, Option<Figures>)>) {
        for (of, figures) in figures {
            if of.figures != figures
                && let Some(entry) = self.get_mut(&of.name)
            {
                entry.figures = figures;
            }
        }
    }

    pub(super) fn list(&self) -> Vec<Arc<Entry>> {
        let mut all: Vec<_> = self.entries.values().map(Arc::clone).collect();
        all.sort_by_key(|entry| entry.id);
        all
    }
}
