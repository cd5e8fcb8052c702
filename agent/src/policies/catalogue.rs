//! What user space knows of the plans in the kernel: whose they are, and how their records are to be read.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tetragon_crds::policy::PolicyName;
use tetragon_policy::HookProgram;

use super::text::quoted;

/// How long a plan is known after its end: its last records are still on their way.
const KEEP: Duration = Duration::from_secs(10);

/// What the records of a plan mean.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanInfo {
    /// The policy.
    pub policy: PolicyName,
    /// The hook.
    pub hook: Arc<HookProgram>,
    /// The function, of those that the hook names.
    pub function: String,
    /// The policy's message, as events carry it.
    pub message: String,
    /// The policy's tags, as events carry them.
    pub tags: Vec<String>,
    /// Whether calls are events whatever they return. Not if a filter looks at that.
    pub returns_unconditionally: bool,
}

impl PlanInfo {
    /// `function` is the one at which this plan is attached; of no meaning where the hook has no functions.
    pub fn new(policy: PolicyName, hook: Arc<HookProgram>, function: String) -> Self {
        let message = quoted(&hook.message);
        let tags = hook.tags.iter().map(|tag| quoted(tag)).collect();
        let returns_unconditionally = hook.selectors.iter().all(|selector| selector.return_args.is_empty());
        Self { policy, hook, function, message, tags, returns_unconditionally }
    }
}

#[derive(Debug)]
struct Known {
    info: Arc<PlanInfo>,
    retired: Option<Instant>,
}

/// All plans, by place and generation.
#[derive(Debug, Default)]
pub struct Catalogue(RwLock<HashMap<(u32, u64), Known>>);

impl Catalogue {
    /// A plan is about to be put into the kernel.
    pub fn insert(&self, plan: u32, generation: u64, info: PlanInfo) {
        let mut plans = self.0.write().unwrap_or_else(PoisonError::into_inner);
        forget(&mut plans, Instant::now());
        plans.insert((plan, generation), Known { info: Arc::new(info), retired: None });
    }

    /// A plan is not in the kernel any more.
    pub fn retire(&self, plan: u32, generation: u64) {
        self.retire_at(plan, generation, Instant::now());
    }

    fn retire_at(&self, plan: u32, generation: u64, now: Instant) {
        let mut plans = self.0.write().unwrap_or_else(PoisonError::into_inner);
        forget(&mut plans, now);
        if let Some(known) = plans.get_mut(&(plan, generation)) {
            known.retired.get_or_insert(now);
        }
    }

    /// The plan that wrote a record.
    pub fn get(&self, plan: u32, generation: u64) -> Option<Arc<PlanInfo>> {
        let plans = self.0.read().unwrap_or_else(PoisonError::into_inner);
        plans.get(&(plan, generation)).map(|known| Arc::clone(&known.info))
    }

    /// Forgets plans that ended long enough ago.
    pub fn expire(&self) {
        let now = Instant::now();
        let over = |known: &Known| known.retired.is_some_and(|at| now.duration_since(at) >= KEEP);
        let any = self.0.read().unwrap_or_else(PoisonError::into_inner).values().any(over);
        if any {
            forget(&mut self.0.write().unwrap_or_else(PoisonError::into_inner), now);
        }
    }
}

fn forget(plans: &mut HashMap<(u32, u64), Known>, now: Instant) {
    plans.retain(|_, known| known.retired.is_none_or(|at| now.duration_since(at) < KEEP));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::mk_plan;

    #[test]
    fn a_plan_is_found_by_place_and_generation() {
        let catalogue = Catalogue::default();
        catalogue.insert(1, 10, mk_plan("first", vec![]));
        catalogue.insert(1, 11, mk_plan("second", vec![]));
        let name = |plan, generation| Some(catalogue.get(plan, generation)?.policy.name.clone());
        assert_eq!(name(1, 10).as_deref(), Some("first"));
        assert_eq!(name(1, 11).as_deref(), Some("second"));
        assert_eq!((name(1, 12), name(2, 10)), (None, None));
    }

    #[test]
    fn a_plan_that_ended_is_known_for_a_while() {
        let catalogue = Catalogue::default();
        let long_ago = Instant::now().checked_sub(KEEP).unwrap();
        catalogue.insert(1, 10, mk_plan("old", vec![]));
        catalogue.insert(2, 11, mk_plan("new", vec![]));
        catalogue.insert(3, 12, mk_plan("live", vec![]));
        catalogue.retire_at(1, 10, long_ago);
        catalogue.retire(2, 11);
        assert!(catalogue.get(2, 11).is_some());
        catalogue.expire();
        assert!(catalogue.get(1, 10).is_none());
        assert!(catalogue.get(2, 11).is_some() && catalogue.get(3, 12).is_some());
    }
}
