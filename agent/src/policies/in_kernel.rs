//! The engine: policies compiled, encoded, attached, and ruled over.
//!
//! What is new is made first, apart from what runs: sets, attachments, plans. Then the rules change, which is what makes
//! a policy hold. What is old is removed last, and plans a little later, since calls may be on their way through them.

mod drafts;
mod errors;
mod scope;
mod ways;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tetragon_crds::Diagnostic;
use tetragon_crds::policy::{Mode, Policy};
use tetragon_crds::syscalls::Arch;
use tetragon_policy::{Attach, Kernel, Program, compile};
use tracing::{debug, warn};

use super::catalogue::Catalogue;
use super::encode::{HostNamespaces, Manner, encode};
use super::engine::{Engine, Figures, LoadError, Loaded};
use super::rules::{HookId, PlanId, Rules};
use drafts::{draft, needs_of};
use errors::{diagnostics, error};
use scope::scope_of;
use ways::{Way, way_of};

use crate::identity::{ClassRules, PolicyId, Scope, Store};
use crate::kernel::features::Abilities;
use crate::kernel::object::Maps;
use crate::kernel::policy::{Attached, Descriptions, Place, PolicyKernel, SetId};

/// How long a plan stays after its end: calls may be on their way through it.
const GRACE: Duration = Duration::from_secs(5);

/// A hook with programs attached.
struct Hook {
    id: HookId,
    users: BTreeSet<PolicyId>,
    entry: Option<Attached>,
    returns: Option<Attached>,
}

/// A plan that is in the kernel.
#[derive(Debug, Clone)]
struct LoadedPlan {
    id: PlanId,
    generation: u64,
    place: Place,
    returns: bool,
}

/// What a policy has in the kernel.
struct InKernel {
    plans: Vec<LoadedPlan>,
    sets: Vec<SetId>,
    memory: u64,
    scope: Option<Scope>,
    /// Its lists are attached function by function.
    one_by_one: bool,
    active: bool,
}

/// What is removed after a while.
struct Retired {
    since: Instant,
    plans: Vec<LoadedPlan>,
    sets: Vec<SetId>,
}

/// The engine over the kernel's matcher.
pub struct KernelEngine {
    view: Kernel,
    store: Arc<Store>,
    catalogue: Arc<Catalogue>,
    host: HostNamespaces,
    abilities: Abilities,
    rules: SharedRules,
    kernel: PolicyKernel,
    hooks: HashMap<Place, Hook>,
    policies: BTreeMap<PolicyId, InKernel>,
    retired: Vec<Retired>,
    last_hook: u32,
    last_generation: u64,
}

/// The rules, once there is a kernel part; shared with the store, which defines classes.
#[derive(Clone, Default)]
struct SharedRules(Arc<Mutex<Option<Rules>>>);

impl SharedRules {
    fn lock(&self) -> MutexGuard<'_, Option<Rules>> {
        // A panic while it was held has ended the agent.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClassRules for SharedRules {
    fn define(&mut self, class: u32, policies: &Arc<[PolicyId]>) {
        if let Some(rules) = self.lock().as_mut()
            && let Err(error) = rules.define(class, policies)
        {
            warn!(%error, class, "policies do not hold for some containers");
        }
    }
}

impl KernelEngine {
    /// Loads nothing yet. `base` are the maps of the base sensor that policies share.
    pub fn new(
        base: Maps,
        descriptions: Descriptions,
        store: Arc<Store>,
        catalogue: Arc<Catalogue>,
        host: HostNamespaces,
        abilities: Abilities,
    ) -> Self {
        let rules = SharedRules::default();
        store.connect_rules(Box::new(rules.clone()));
        Self {
            view: Kernel::new(&descriptions.btf, &descriptions.tracefs),
            kernel: PolicyKernel::new(base, descriptions, abilities),
            store,
            catalogue,
            host,
            abilities,
            rules,
            hooks: HashMap::new(),
            policies: BTreeMap::new(),
            retired: Vec::new(),
            last_hook: 0,
            last_generation: 0,
        }
    }

    /// Compiles a policy, and has the kernel take the programs that it needs.
    fn compile(&mut self, policy: &Policy) -> Result<(Program, Way), LoadError> {
        let compiled = compile(policy, &self.view, Arch::current());
        // Some megabytes, so nobody keeps them.
        if let Some(problem) = self.view.forget() {
            return Err(error(problem));
        }
        let program = compiled.map_err(|all| diagnostics(&all))?;
        let way = way_of(policy, &program, self.abilities).map_err(|problem| diagnostics(&[problem]))?;
        self.kernel.prepare(needs_of(&program, policy, way))?;
        let mut rules = self.rules.lock();
        if rules.is_none() {
            *rules = Some(Rules::new(self.kernel.rule_map()?));
        }
        Ok((program, way))
    }

    /// Everything of a policy but that it holds.
    fn prepare(&mut self, id: PolicyId, policy: &Policy) -> Result<(InKernel, Loaded), LoadError> {
        self.collect();
        if policy.loader {
            return Err(error("spec.loader: there is no sensor for loaded files yet"));
        }
        if let Some(enforcer) = &policy.enforcer {
            let diagnostic = Diagnostic::new(enforcer.path.clone(), "there is no enforcer yet");
            return Err(diagnostics(&[diagnostic]));
        }
        let (program, way) = self.compile(policy)?;
        let scope = policy.is_scoped().then(|| scope_of(policy)).transpose()?;
        let manner = Manner {
            monitor: policy.options.mode == Some(Mode::Monitor),
            match_unreadable: policy.options.match_unreadable,
        };
        let needs = needs_of(&program, policy, way);
        let kernel = &mut self.kernel;
        let mut maker = kernel.sets();
        let mut drafts = Vec::new();
        let mut sensors = Vec::new();
        for (number, hook) in program.hooks.iter().enumerate() {
            let plan = encode(hook, manner, &self.host, &mut maker)?;
            draft(policy, hook, plan, way, &mut drafts);
            let kind = match hook.attach {
                Attach::Tracepoint { .. } => "generic_tracepoint",
                Attach::Lsm { .. } => "generic_lsm",
                _ => "generic_kprobe",
            };
            sensors.push(format!("{kind}-{number}"));
        }
        let (sets, mut memory) = maker.keep();

        let mut plans: Vec<LoadedPlan> = Vec::with_capacity(drafts.len());
        let mut result = Ok(());
        if needs.facts {
            result = kernel.note_facts().map_err(LoadError::from);
        }
        for mut draft in drafts {
            if result.is_err() {
                break;
            }
            result = kernel.take_plan().map_err(LoadError::from).and_then(|place| {
                self.last_generation += 1;
                draft.plan.generation = self.last_generation;
                draft.plan.policy = id.0;
                self.catalogue.insert(place.0, self.last_generation, draft.info);
                plans.push(LoadedPlan {
                    id: place,
                    generation: self.last_generation,
                    place: draft.place,
                    returns: draft.returns,
                });
                memory += kernel.write_plan(place, &draft.plan)?;
                Ok(())
            });
        }
        let made = InKernel {
            plans,
            sets,
            memory,
            scope,
            one_by_one: policy.options.disable_kprobe_multi,
            active: false,
        };
        if let Err(problem) = result {
            self.retire(made);
            return Err(problem);
        }
        Ok((made, Loaded { sensors, warnings: program.warnings }))
    }

    /// Attaches what a policy needs and what is not attached yet.
    fn attach(&mut self, id: PolicyId, policy: &InKernel) -> Result<(), LoadError> {
        let kernel = &mut self.kernel;
        let mut entries: BTreeSet<&Place> = BTreeSet::new();
        let mut returns: BTreeSet<&Place> = BTreeSet::new();
        for plan in &policy.plans {
            let hook = self.hooks.entry(plan.place.clone()).or_insert_with(|| {
                self.last_hook += 1;
                Hook { id: HookId(self.last_hook), users: BTreeSet::new(), entry: None, returns: None }
            });
            hook.users.insert(id);
            if hook.entry.is_none() {
                entries.insert(&plan.place);
            }
            if plan.returns && hook.returns.is_none() {
                returns.insert(&plan.place);
            }
        }
        // A call whose beginning is seen must be seen to return.
        let all = [(returns, true), (entries, false)];
        for (places, at_return) in all {
            let mut functions = Vec::new();
            for place in places {
                let Some(hook) = self.hooks.get_mut(place) else { continue };
                match place {
                    Place::Function(name) => functions.push((hook.id, name.clone())),
                    Place::Tracepoint { subsystem, event } => {
                        hook.entry = Some(kernel.attach_tracepoint(hook.id, subsystem, event)?);
                    }
                    Place::Lsm(name) => hook.entry = Some(kernel.attach_lsm(hook.id, name)?),
                    Place::Fentry(name) => {
                        let attached = Some(kernel.attach_fentry(hook.id, name, at_return)?);
                        *(if at_return { &mut hook.returns } else { &mut hook.entry }) = attached;
                    }
                }
            }
            let attached = kernel.attach_functions(&functions, at_return, policy.one_by_one)?;
            for ((_, name), attached) in functions.into_iter().zip(attached) {
                if let Some(hook) = self.hooks.get_mut(&Place::Function(name)) {
                    let side = if at_return { &mut hook.returns } else { &mut hook.entry };
                    *side = Some(attached);
                }
            }
        }
        Ok(())
    }

    /// A policy needs its hooks no more. Those that nobody needs are detached.
    fn release(&mut self, id: PolicyId) {
        let mut unused = Vec::new();
        for (place, hook) in &mut self.hooks {
            if hook.users.remove(&id) && hook.users.is_empty() {
                unused.push(place.clone());
            }
        }
        for place in unused {
            let Some(hook) = self.hooks.remove(&place) else { continue };
            hook.entry.into_iter().chain(hook.returns).for_each(|attached| self.kernel.detach(attached));
        }
    }

    fn rows(&self, policy: &InKernel) -> Vec<(HookId, PlanId)> {
        policy.plans.iter().filter_map(|plan| Some((self.hooks.get(&plan.place)?.id, plan.id))).collect()
    }

    /// From here on, the policy holds.
    fn activate(&mut self, id: PolicyId, policy: &mut InKernel) -> Result<(), LoadError> {
        let attached = self.attach(id, policy).and_then(|()| {
            let rows = self.rows(policy);
            let mut rules = self.rules.lock();
            let rules = rules.as_mut().ok_or_else(|| error("the matcher is not loaded"))?;
            rules.activate(id, policy.scope.is_some(), rows).map_err(LoadError::from)
        });
        if let Err(problem) = attached {
            self.release(id);
            return Err(problem);
        }
        if let Some(scope) = &policy.scope {
            self.store.set_scope(id, scope.clone());
        }
        policy.active = true;
        Ok(())
    }

    fn deactivate(&mut self, id: PolicyId, scoped: bool) -> Result<(), LoadError> {
        let result = match self.rules.lock().as_mut() {
            Some(rules) => rules.deactivate(id),
            None => Ok(()),
        };
        if scoped {
            self.store.remove_scope(id);
        }
        self.release(id);
        result.map_err(LoadError::from)
    }

    /// Removes what does not hold, or not any more; not at once, since calls may be on their way through it.
    fn retire(&mut self, policy: InKernel) {
        for plan in &policy.plans {
            self.catalogue.retire(plan.id.0, plan.generation);
        }
        self.retired.push(Retired { since: Instant::now(), plans: policy.plans, sets: policy.sets });
    }

    /// Removes what ended a while ago.
    fn collect(&mut self) {
        let kernel = &mut self.kernel;
        self.retired.retain_mut(|retired| {
            if retired.since.elapsed() < GRACE {
                return true;
            }
            retired.plans.drain(..).for_each(|plan| kernel.remove_plan(plan.id));
            kernel.remove_sets(&retired.sets);
            false
        });
    }

    /// Both policies' hooks are attached, and all rules change from the one to the other.
    fn exchange(&mut self, old: PolicyId, id: PolicyId, new: &mut InKernel) -> Result<(), LoadError> {
        let old_scoped = self
            .policies
            .get(&old)
            .ok_or_else(|| error("the policy to be replaced is not loaded"))?
            .scope
            .is_some();
        if let Err(problem) = self.attach(id, new) {
            self.release(id);
            return Err(problem);
        }
        let rows = self.rows(new);
        let changed = {
            let mut rules = self.rules.lock();
            let rules = rules.as_mut().ok_or_else(|| error("the matcher is not loaded"))?;
            match &new.scope {
                // Without scopes, the rules alone decide.
                None if !old_scoped => rules.replace(old, id, false, rows),
                scope => rules.activate(id, scope.is_some(), rows),
            }
        };
        if let Err(problem) = changed {
            self.release(id);
            return Err(problem.into());
        }
        match (&new.scope, old_scoped) {
            (Some(scope), true) => self.store.replace_scope(old, id, scope.clone()),
            (Some(scope), false) => self.store.set_scope(id, scope.clone()),
            (None, true) => self.store.remove_scope(old),
            (None, false) => {}
        }
        if (old_scoped || new.scope.is_some())
            && let Some(rules) = self.rules.lock().as_mut()
            && let Err(error) = rules.deactivate(old)
        {
            // The new one holds, so this is no failure; a rule that could not be written names a plan that will be gone.
            warn!(%error, "the rules of a replaced policy cannot all be removed");
        }
        self.release(old);
        new.active = true;
        Ok(())
    }
}

impl Engine for KernelEngine {
    fn load(&mut self, id: PolicyId, policy: &Policy) -> Result<Loaded, LoadError> {
        let (mut made, loaded) = self.prepare(id, policy)?;
        if let Err(problem) = self.activate(id, &mut made) {
            self.retire(made);
            return Err(problem);
        }
        debug!(policy = %policy.name, plans = made.plans.len(), bytes = made.memory, "policy loaded");
        self.policies.insert(id, made);
        Ok(loaded)
    }

    fn replace(&mut self, old: PolicyId, id: PolicyId, policy: &Policy) -> Result<Loaded, LoadError> {
        let (mut made, loaded) = self.prepare(id, policy)?;
        let active = self.policies.get(&old).is_some_and(|old| old.active);
        let result = if active { self.exchange(old, id, &mut made) } else { self.activate(id, &mut made) };
        if let Err(problem) = result {
            self.retire(made);
            return Err(problem);
        }
        self.policies.insert(id, made);
        if let Some(old) = self.policies.remove(&old) {
            self.retire(old);
        }
        Ok(loaded)
    }

    fn disable(&mut self, id: PolicyId) -> Result<(), LoadError> {
        let policy = self.policies.get_mut(&id).ok_or_else(|| error("the policy is not loaded"))?;
        policy.active = false;
        let scoped = policy.scope.is_some();
        self.deactivate(id, scoped)
    }

    fn enable(&mut self, id: PolicyId) -> Result<(), LoadError> {
        let mut policy = self.policies.remove(&id).ok_or_else(|| error("the policy is not loaded"))?;
        let result = if policy.active { Ok(()) } else { self.activate(id, &mut policy) };
        self.policies.insert(id, policy);
        result
    }

    fn unload(&mut self, id: PolicyId) -> Result<(), LoadError> {
        let Some(policy) = self.policies.remove(&id) else { return Ok(()) };
        let result = if policy.active { self.deactivate(id, policy.scope.is_some()) } else { Ok(()) };
        self.retire(policy);
        self.collect();
        result
    }

    fn figures(&self, id: PolicyId) -> Option<Figures> {
        let policy = self.policies.get(&id)?;
        let mut sum = Figures { memory_bytes: policy.memory, ..Figures::default() };
        for plan in &policy.plans {
            let Ok(counters) = self.kernel.counters(plan.id) else { continue };
            sum.matched += counters.matched;
            sum.posted += counters.posted;
            sum.suppressed += counters.suppressed;
            sum.limited += counters.limited;
            sum.lost += counters.lost;
            sum.signals += counters.signals;
            sum.signal_errors += counters.signal_errors;
            sum.returns_missing += counters.pending.saturating_sub(counters.joined);
            sum.returns_lost += counters.pending_lost;
            sum.overridden += counters.overridden;
        }
        let places: BTreeSet<&Place> = policy.plans.iter().map(|plan| &plan.place).collect();
        let hooks = places.into_iter().filter_map(|place| self.hooks.get(place));
        // Of functions that are hooked together, one tells of all.
        let mut links = HashSet::new();
        let attached = hooks.flat_map(|it| it.entry.iter().chain(&it.returns));
        sum.skipped = attached.filter(|it| links.insert(it.link_id())).map(Attached::skipped).sum();
        Some(sum)
    }
}
