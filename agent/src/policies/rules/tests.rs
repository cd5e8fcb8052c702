use std::collections::BTreeMap;
use std::sync::Mutex;

use super::*;

type Written = Arc<Mutex<BTreeMap<(HookId, u32), Vec<PlanId>>>>;

struct Recorder(Written);

impl RuleMap for Recorder {
    fn set(&mut self, hook: HookId, class: u32, plans: &[PlanId]) -> io::Result<()> {
        let mut written = self.0.lock().unwrap();
        if plans.is_empty() {
            written.remove(&(hook, class));
        } else {
            written.insert((hook, class), plans.to_vec());
        }
        Ok(())
    }
}

/// What the kernel's dispatcher would find.
fn found(written: &Written, hook: u32, class: u32) -> Vec<u32> {
    let written = written.lock().unwrap();
    let rule = written.get(&(HookId(hook), class)).or_else(|| written.get(&(HookId(hook), CLASS_OTHERS)));
    rule.into_iter().flatten().map(|plan| plan.0).collect()
}

fn rules() -> (Rules, Written) {
    let written = Written::default();
    (Rules::new(Box::new(Recorder(Arc::clone(&written)))), written)
}

fn set(policies: &[u32]) -> Arc<[PolicyId]> {
    policies.iter().map(|id| PolicyId(*id)).collect()
}

fn at(hook: u32, plan: u32) -> Vec<(HookId, PlanId)> {
    vec![(HookId(hook), PlanId(plan))]
}

#[test]
fn a_policy_for_everything_holds_in_every_class() {
    let (mut rules, written) = rules();
    rules.activate(PolicyId(1), false, at(1, 10)).unwrap();
    assert_eq!(found(&written, 1, 0), [10]);
    assert_eq!(found(&written, 1, 77), [10]);
    assert!(found(&written, 2, 0).is_empty(), "another hook");
    rules.deactivate(PolicyId(1)).unwrap();
    assert!(written.lock().unwrap().is_empty());
}

#[test]
fn a_scoped_policy_holds_in_its_classes_beside_those_for_everything() {
    let (mut rules, written) = rules();
    rules.activate(PolicyId(2), true, at(1, 20)).unwrap();
    rules.define(5, &set(&[2])).unwrap();
    assert_eq!((found(&written, 1, 5), found(&written, 1, 0)), (vec![20], vec![]));
    rules.activate(PolicyId(1), false, at(1, 10)).unwrap();
    assert_eq!((found(&written, 1, 5), found(&written, 1, 0)), (vec![10, 20], vec![10]));
    // The number of a class is used again.
    rules.define(5, &set(&[3])).unwrap();
    assert_eq!(found(&written, 1, 5), [10]);
    rules.activate(PolicyId(3), true, at(1, 30)).unwrap();
    assert_eq!(found(&written, 1, 5), [10, 30]);
    rules.deactivate(PolicyId(1)).unwrap();
    assert_eq!((found(&written, 1, 5), found(&written, 1, 0)), (vec![30], vec![]));
}

#[test]
fn one_policy_takes_the_place_of_another() {
    let (mut rules, written) = rules();
    rules.activate(PolicyId(1), false, vec![(HookId(1), PlanId(10)), (HookId(2), PlanId(11))]).unwrap();
    rules.replace(PolicyId(1), PolicyId(2), false, at(1, 20)).unwrap();
    assert_eq!((found(&written, 1, 0), found(&written, 2, 0)), (vec![20], vec![]));
}

#[test]
fn too_many_at_one_hook_are_refused_and_change_nothing() {
    let (mut rules, written) = rules();
    let all = u32::try_from(PLANS_MAX).unwrap();
    for id in 0..all {
        rules.activate(PolicyId(id), false, at(1, id)).unwrap();
    }
    let error = rules.activate(PolicyId(all), false, at(1, all)).unwrap_err().to_string();
    assert!(error.contains("there is room for 224"), "{error}");
    assert_eq!(found(&written, 1, 0).len(), PLANS_MAX);
    assert!(!found(&written, 1, 0).contains(&all));
}

#[test]
fn a_thousand_teams_have_a_rule_each() {
    let (mut rules, written) = rules();
    for team in 0..1000 {
        rules.activate(PolicyId(team), true, at(1, team + 1)).unwrap();
    }
    assert!(written.lock().unwrap().is_empty(), "no container, no rule");
    rules.define(2, &set(&[7])).unwrap();
    rules.define(3, &set(&[8, 9])).unwrap();
    assert_eq!((found(&written, 1, 2), found(&written, 1, 3)), (vec![8], vec![9, 10]));
    rules.deactivate(PolicyId(8)).unwrap();
    assert_eq!(found(&written, 1, 3), [10]);
}
