//! Which plans apply to which class of cgroups at which hook: what the kernel's dispatcher looks up.
//!
//! A class is a set of scoped policies. A class that has none of them at a hook needs no rule there: the hook's rule for
//! all others holds, in which the policies for everything are.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use tetragon_bpf::plan::{CLASS_OTHERS, RULE_CHUNKS_MAX, RULE_PLANS};

use crate::identity::PolicyId;

/// Number of a hook, as programs know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HookId(pub u32);

/// Number of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlanId(pub u32);

/// Most plans that can apply to one class at one hook.
pub const PLANS_MAX: usize = RULE_PLANS * RULE_CHUNKS_MAX;

/// Where rules are written. Each call takes effect at once, as a whole.
pub trait RuleMap: Send {
    /// These plans apply to the class at the hook, in this order; none: only what holds for all others.
    ///
    /// # Errors
    /// The kernel has no room.
    fn set(&mut self, hook: HookId, class: u32, plans: &[PlanId]) -> io::Result<()>;
}

/// The plans of a policy.
#[derive(Debug, Clone, Default)]
struct Active {
    scoped: bool,
    plans: Vec<(HookId, PlanId)>,
}

/// The rules, and the map that follows them.
pub struct Rules {
    map: Box<dyn RuleMap>,
    policies: BTreeMap<PolicyId, Active>,
    at: BTreeMap<HookId, BTreeSet<PolicyId>>,
    classes: BTreeMap<u32, Arc<[PolicyId]>>,
    /// By policy, the classes that it is in.
    members: BTreeMap<PolicyId, BTreeSet<u32>>,
    /// Rules that could not be written.
    failures: u64,
}

impl std::fmt::Debug for Rules {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rules")
            .field("policies", &self.policies)
            .field("classes", &self.classes)
            .finish_non_exhaustive()
    }
}

impl Rules {
    /// No policy, no class.
    pub fn new(map: Box<dyn RuleMap>) -> Self {
        Self {
            map,
            policies: BTreeMap::new(),
            at: BTreeMap::new(),
            classes: BTreeMap::new(),
            members: BTreeMap::new(),
            failures: 0,
        }
    }

    /// Rules that could not be written: policies that do not hold somewhere where they should.
    pub fn failures(&self) -> u64 {
        self.failures
    }

    /// A class stands for these policies from now on.
    ///
    /// # Errors
    /// A rule could not be written; the others are.
    pub fn define(&mut self, class: u32, policies: &Arc<[PolicyId]>) -> io::Result<()> {
        let before = self.classes.insert(class, Arc::clone(policies));
        for policy in before.iter().flat_map(|policies| policies.iter()) {
            if let Some(classes) = self.members.get_mut(policy) {
                classes.remove(&class);
                if classes.is_empty() {
                    self.members.remove(policy);
                }
            }
        }
        for policy in policies.iter() {
            self.members.entry(*policy).or_default().insert(class);
        }
        let hooks: BTreeSet<HookId> = before
            .iter()
            .flat_map(|policies| policies.iter())
            .chain(policies.iter())
            .filter_map(|policy| self.policies.get(policy))
            .flat_map(|active| active.plans.iter().map(|(hook, _)| *hook))
            .collect();
        self.write(hooks.into_iter().map(|hook| (hook, class)).collect())
    }

    /// A policy holds from now on.
    ///
    /// # Errors
    /// A rule could not be written, or would be too long; then none is changed.
    pub fn activate(
        &mut self,
        policy: PolicyId,
        scoped: bool,
        plans: Vec<(HookId, PlanId)>,
    ) -> io::Result<()> {
        self.exchange(None, Some((policy, Active { scoped, plans })))
    }

    /// A policy holds no more.
    ///
    /// # Errors
    /// A rule could not be written.
    pub fn deactivate(&mut self, policy: PolicyId) -> io::Result<()> {
        self.exchange(Some(policy), None)
    }

    /// A policy takes the place of another one: at each hook in one step.
    ///
    /// # Errors
    /// As for [`activate`](Self::activate).
    pub fn replace(
        &mut self,
        old: PolicyId,
        policy: PolicyId,
        scoped: bool,
        plans: Vec<(HookId, PlanId)>,
    ) -> io::Result<()> {
        self.exchange(Some(old), Some((policy, Active { scoped, plans })))
    }

    /// The same place at the same hook where both have one.
    fn exchange(&mut self, old: Option<PolicyId>, new: Option<(PolicyId, Active)>) -> io::Result<()> {
        let new_id = new.as_ref().map(|(policy, _)| *policy);
        let removed = old.and_then(|old| self.remove(old).map(|active| (old, active)));
        if let Some((policy, active)) = new {
            for (hook, _) in &active.plans {
                self.at.entry(*hook).or_default().insert(policy);
            }
            self.policies.insert(policy, active);
        }
        let mut places = BTreeSet::new();
        if let Some((policy, active)) = &removed {
            self.places(*policy, active, &mut places);
        }
        if let Some(policy) = new_id {
            let active = self.policies.get(&policy).cloned().unwrap_or_default();
            self.places(policy, &active, &mut places);
        }
        let result = self.write(places.iter().copied().collect());
        if result.is_err()
            && let Some(policy) = new_id
        {
            self.remove(policy);
            if let Some((policy, active)) = removed {
                for (hook, _) in &active.plans {
                    self.at.entry(*hook).or_default().insert(policy);
                }
                self.policies.insert(policy, active);
            }
            // As it was. What fails now is counted.
            let _ = self.write(places.into_iter().collect());
        }
        result
    }

    fn remove(&mut self, policy: PolicyId) -> Option<Active> {
        let active = self.policies.remove(&policy)?;
        for (hook, _) in &active.plans {
            if let Some(policies) = self.at.get_mut(hook) {
                policies.remove(&policy);
                if policies.is_empty() {
                    self.at.remove(hook);
                }
            }
        }
        Some(active)
    }

    /// Where rules change with a policy: of one for everything, in all classes that have rules of their own there.
    fn places(&self, policy: PolicyId, active: &Active, places: &mut BTreeSet<(HookId, u32)>) {
        let hooks: BTreeSet<HookId> = active.plans.iter().map(|(hook, _)| *hook).collect();
        for hook in hooks {
            if !active.scoped {
                places.insert((hook, CLASS_OTHERS));
                let here = self.at.get(&hook).into_iter().flatten();
                let scoped = here.filter(|it| self.policies.get(it).is_some_and(|it| it.scoped));
                let classes = scoped.filter_map(|it| self.members.get(it)).flatten();
                places.extend(classes.map(|class| (hook, *class)));
            }
            let classes = self.members.get(&policy).into_iter().flatten();
            places.extend(classes.map(|class| (hook, *class)));
        }
    }

    fn write(&mut self, places: Vec<(HookId, u32)>) -> io::Result<()> {
        let mut result = Ok(());
        for (hook, class) in places {
            let plans = self.plans(hook, class);
            let written = if plans.len() > PLANS_MAX {
                let problem = format!(
                    "{} policies apply to the same processes at one hook, and there is room for {PLANS_MAX}",
                    plans.len()
                );
                Err(io::Error::other(problem))
            } else {
                self.map.set(hook, class, &plans)
            };
            if let Err(error) = written {
                self.failures += 1;
                result = Err(error);
            }
        }
        result
    }

    /// What applies to a class at a hook, in the order of the policies; nothing, where the rule for all others does.
    fn plans(&self, hook: HookId, class: u32) -> Vec<PlanId> {
        let set: &[PolicyId] = self.classes.get(&class).map_or(&[], |policies| policies);
        let here = self.at.get(&hook).into_iter().flatten();
        let mut special = class == CLASS_OTHERS;
        let mut plans = Vec::new();
        for policy in here {
            let Some(active) = self.policies.get(policy) else { continue };
            if active.scoped {
                if set.binary_search(policy).is_err() {
                    continue;
                }
                special = true;
            }
            plans.extend(active.plans.iter().filter(|(at, _)| *at == hook).map(|(_, plan)| *plan));
        }
        if special { plans } else { Vec::new() }
    }
}

#[cfg(test)]
mod tests;
