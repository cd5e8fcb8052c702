//! An engine without a kernel, for tests of what is above it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard};

use tetragon_crds::{Diagnostic, Origin, Path as Field, Policy, load};

use super::Manager;
use super::engine::{Engine, Figures, LoadError, Loaded};
use super::manager::Settings;
use crate::identity::PolicyId;

/// What is in the engine's kernel, and what it refuses.
#[derive(Default)]
pub(crate) struct Inside {
    /// Names by number, and whether they hold.
    pub(crate) loaded: BTreeMap<u32, (String, bool)>,
    /// Policies of these names are refused.
    pub(crate) refused: BTreeSet<String>,
    /// Changes to what is loaded are refused.
    pub(crate) stuck: AtomicBool,
    /// A load says that it has begun, and waits for a word.
    pub(crate) gate: Option<(Sender<()>, Receiver<()>)>,
}

#[derive(Clone, Default)]
pub(crate) struct TestEngine(pub(crate) Arc<Mutex<Inside>>);

pub(crate) fn refusal(text: &str) -> LoadError {
    LoadError { message: text.to_owned(), verifier_log: Some("R1 invalid".to_owned()) }
}

impl TestEngine {
    pub(crate) fn inside(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().expect("not poisoned")
    }

    pub(crate) fn loaded(&self) -> Vec<(u32, String, bool)> {
        self.inside().loaded.iter().map(|(id, (name, holds))| (*id, name.clone(), *holds)).collect()
    }

    fn set(&self, id: PolicyId, holds: bool) -> Result<(), LoadError> {
        let mut inside = self.inside();
        if inside.stuck.load(SeqCst) {
            return Err(refusal("stuck"));
        }
        inside.loaded.get_mut(&id.0).ok_or_else(|| refusal("not loaded"))?.1 = holds;
        Ok(())
    }
}

impl Engine for TestEngine {
    fn load(&mut self, id: PolicyId, policy: &Policy) -> Result<Loaded, LoadError> {
        let gate = self.inside().gate.take();
        if let Some((begun, go)) = gate {
            begun.send(()).expect("heard");
            go.recv().expect("told");
        }
        let mut inside = self.inside();
        if inside.refused.contains(&policy.name.name) {
            return Err(refusal("no such function"));
        }
        inside.loaded.insert(id.0, (policy.name.to_string(), true));
        let warnings = vec![Diagnostic::new(Field::root().field("spec"), "odd")];
        Ok(Loaded { sensors: vec!["generic_kprobe-0".to_owned()], warnings })
    }

    fn replace(&mut self, old: PolicyId, id: PolicyId, policy: &Policy) -> Result<Loaded, LoadError> {
        let loaded = self.load(id, policy)?;
        assert!(self.inside().loaded.remove(&old.0).is_some(), "{old:?} was loaded");
        Ok(loaded)
    }

    fn disable(&mut self, id: PolicyId) -> Result<(), LoadError> {
        self.set(id, false)
    }

    fn enable(&mut self, id: PolicyId) -> Result<(), LoadError> {
        self.set(id, true)
    }

    fn unload(&mut self, id: PolicyId) -> Result<(), LoadError> {
        let mut inside = self.inside();
        if inside.stuck.load(SeqCst) {
            return Err(refusal("stuck"));
        }
        inside.loaded.remove(&id.0);
        Ok(())
    }

    fn figures(&self, id: PolicyId) -> Option<Figures> {
        let inside = self.inside();
        inside.loaded.get(&id.0).map(|_| Figures { memory_bytes: 4096, ..Figures::default() })
    }
}

pub(crate) fn text(name: &str, namespace: &str) -> String {
    let (kind, namespace) = match namespace {
        "" => ("TracingPolicy", String::new()),
        namespace => ("TracingPolicyNamespaced", format!(", namespace: {namespace}")),
    };
    format!(
        "apiVersion: cilium.io/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}{namespace}}}\nspec:\n  kprobes:\n  - call: f\n    syscall: false\n"
    )
}

pub(crate) fn policy(name: &str, namespace: &str) -> Policy {
    load(&text(name, namespace), &Origin::Grpc).expect("loads")
}

pub(crate) fn manager(filter: bool) -> (TestEngine, Manager) {
    let engine = TestEngine::default();
    let settings = Settings { filter, one_by_one: false };
    (engine.clone(), Manager::new(Box::new(engine), settings))
}
