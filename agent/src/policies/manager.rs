//! Which policies there are: added, enabled, disabled, deleted, one at a time, and listed at any time.
//!
//! Whoever changes something holds the engine. The table has a lock of its own, which is never held while the kernel
//! works, so that lists show what is going on.

mod error;
mod startup;
mod table;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use tetragon_crds::Policy;
use tetragon_crds::policy::PolicyName;
use tracing::{info, warn};

pub use error::ManageError;
pub use startup::StartError;
pub use table::{Entry, State};

use super::engine::{Engine, Figures, LoadError, Loaded};
use crate::identity::PolicyId;
use table::Table;

/// What the agent's settings say of all policies.
#[derive(Debug, Clone, Copy, Default)]
pub struct Settings {
    /// Policies may select namespaces, pods and containers.
    pub filter: bool,
    /// Functions are attached one by one.
    pub one_by_one: bool,
}

/// All policies of the agent.
pub struct Manager {
    /// Held by who changes something, from beginning to end.
    engine: Mutex<Box<dyn Engine>>,
    table: Mutex<Table>,
    settings: Settings,
}

impl Manager {
    /// No policies yet.
    pub fn new(engine: Box<dyn Engine>, settings: Settings) -> Self {
        Self { engine: Mutex::new(engine), table: Mutex::new(Table::default()), settings }
    }

    fn engine(&self) -> MutexGuard<'_, Box<dyn Engine>> {
        // After a panic the table shows where it happened, and the engine answers for the other policies.
        self.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Loads a policy; it holds when this returns. With `replace`, one of the same name is replaced without a moment in
    /// which neither holds, and stays if the new one cannot be loaded.
    ///
    /// # Errors
    /// The name is taken, or the policy cannot be loaded; then it is listed with what is wrong.
    pub fn add(&self, mut policy: Policy, replace: bool) -> Result<PolicyId, ManageError> {
        policy.options.disable_kprobe_multi |= self.settings.one_by_one;
        let mut engine = self.engine();
        let name = policy.name.clone();
        let (id, old) = {
            let mut table = self.table();
            // Failed ones have numbers, too.
            let id = table.next_id();
            let old = match table.get(&name) {
                Some(old) if old.state == State::LoadError => None,
                Some(old) if replace => Some(old.id),
                Some(_) => return Err(ManageError::Exists(name)),
                None => None,
            };
            if old.is_none() {
                table.insert(Entry::loading(id, &policy));
            }
            (id, old)
        };
        let loaded = if policy.is_scoped() && !self.settings.filter {
            Err(ManageError::FilterDisabled(name.clone()))
        } else {
            let loaded = match old {
                Some(old) => engine.replace(old, id, &policy),
                None => engine.load(id, &policy),
            };
            loaded.map_err(|error| ManageError::Load { name: name.clone(), error })
        };
        match loaded {
            Ok(loaded) => {
                let mut entry = Entry::loading(id, &policy);
                entry.state = State::Enabled;
                entry.figures = engine.figures(id);
                entry.sensors = loaded.sensors;
                entry.warnings.extend(loaded.warnings.iter().map(ToString::to_string));
                for warning in &entry.warnings {
                    warn!(policy = %name, origin = %entry.origin, "{warning}");
                }
                self.table().insert(entry);
                info!(policy = %name, origin = %policy.origin, "Added TracingPolicy with success");
                Ok(id)
            }
            Err(error) => {
                warn!(policy = %name, origin = %policy.origin, %error, "a policy cannot be loaded");
                let mut table = self.table();
                if old.is_none() {
                    let mut entry = Entry::loading(id, &policy);
                    entry.state = State::LoadError;
                    entry.fail(&error);
                    table.insert(entry);
                } else if let Some(entry) = table.get_mut(&name) {
                    // It holds as before; that it is not what was wanted must be seen.
                    entry.fail(&error);
                }
                Err(error)
            }
        }
    }

    /// Takes a policy out of the kernel and off the list.
    ///
    /// # Errors
    /// There is none of this name, or the kernel refuses; then it stays on the list.
    pub fn delete(&self, name: &PolicyName) -> Result<(), ManageError> {
        let mut engine = self.engine();
        let id = {
            let mut table = self.table();
            let entry = table.get_mut(name).ok_or_else(|| ManageError::Unknown(name.clone()))?;
            if entry.state == State::LoadError {
                table.remove(name);
                return Ok(());
            }
            entry.state = State::Unloading;
            entry.id
        };
        let result = engine.unload(id);
        let mut table = self.table();
        match result {
            Ok(()) => {
                table.remove(name);
                info!(policy = %name, "policy deleted");
                Ok(())
            }
            Err(error) => Err(failed(&mut table, name, State::Error, "delete", error)),
        }
    }

    /// A policy holds no more, but stays loaded.
    ///
    /// # Errors
    /// There is none of this name, it is not enabled, or the kernel refuses.
    pub fn disable(&self, name: &PolicyName) -> Result<(), ManageError> {
        let mut engine = self.engine();
        let id = self.begin(name, State::Enabled, State::Unloading)?;
        let result = engine.disable(id);
        let figures = engine.figures(id);
        let mut table = self.table();
        match result {
            Ok(()) => {
                table.settle(name, State::Disabled, figures);
                info!(policy = %name, "policy disabled");
                Ok(())
            }
            // What of it is left is not known.
            Err(error) => Err(failed(&mut table, name, State::Error, "disable", error)),
        }
    }

    /// A disabled policy holds again.
    ///
    /// # Errors
    /// There is none of this name, it is not disabled, or the kernel refuses; then it stays disabled.
    pub fn enable(&self, name: &PolicyName) -> Result<(), ManageError> {
        let mut engine = self.engine();
        let id = self.begin(name, State::Disabled, State::Loading)?;
        let result = engine.enable(id);
        let figures = engine.figures(id);
        let mut table = self.table();
        match result {
            Ok(()) => {
                table.settle(name, State::Enabled, figures);
                info!(policy = %name, "policy enabled");
                Ok(())
            }
            Err(error) => Err(failed(&mut table, name, State::Disabled, "enable", error)),
        }
    }

    /// From one state to a transient one. The number of the policy.
    fn begin(&self, name: &PolicyName, from: State, to: State) -> Result<PolicyId, ManageError> {
        let mut table = self.table();
        let entry = table.get_mut(name).ok_or_else(|| ManageError::Unknown(name.clone()))?;
        if entry.state != from {
            return Err(ManageError::State { name: name.clone(), wanted: from, state: entry.state });
        }
        entry.state = to;
        Ok(entry.id)
    }

    /// All policies, by their numbers. Waits for nobody: while something is being changed, figures are those of before.
    pub fn list(&self) -> Vec<Arc<Entry>> {
        let engine = match self.engine.try_lock() {
            Ok(engine) => Some(engine),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        };
        if let Some(engine) = engine {
            let figures: Vec<_> =
                self.known().iter().map(|entry| (Arc::clone(entry), engine.figures(entry.id))).collect();
            self.table().refresh(figures);
        }
        self.known()
    }

    /// The same without asking for figures: those of the last time.
    pub fn known(&self) -> Vec<Arc<Entry>> {
        self.table().list()
    }

    /// Takes everything out of the kernel, for good. Waits for what is being changed.
    pub fn close(&self) {
        *self.engine() = Box::new(Closed);
    }

    /// One policy.
    pub fn get(&self, name: &PolicyName) -> Option<Arc<Entry>> {
        self.table().get(name).map(Arc::clone)
    }
}

/// The engine of an agent that is about to end.
struct Closed;

impl Closed {
    fn refuse<T>() -> Result<T, LoadError> {
        let message = "the agent is ending; try again when it has started again".to_owned();
        Err(LoadError { message, verifier_log: None })
    }
}

impl Engine for Closed {
    fn load(&mut self, _: PolicyId, _: &Policy) -> Result<Loaded, LoadError> {
        Self::refuse()
    }

    fn replace(&mut self, _: PolicyId, _: PolicyId, _: &Policy) -> Result<Loaded, LoadError> {
        Self::refuse()
    }

    fn disable(&mut self, _: PolicyId) -> Result<(), LoadError> {
        Self::refuse()
    }

    fn enable(&mut self, _: PolicyId) -> Result<(), LoadError> {
        Self::refuse()
    }

    fn unload(&mut self, _: PolicyId) -> Result<(), LoadError> {
        Self::refuse()
    }

    fn figures(&self, _: PolicyId) -> Option<Figures> {
        None
    }
}

fn failed(
    table: &mut Table,
    name: &PolicyName,
    state: State,
    what: &'static str,
    error: LoadError,
) -> ManageError {
    warn!(policy = %name, %error, "cannot {what} a policy");
    let error = ManageError::Change { name: name.clone(), what, error };
    if let Some(entry) = table.get_mut(name) {
        entry.state = state;
        entry.fail(&error);
    }
    error
}

#[cfg(test)]
mod tests;
