//! Conditions on capability sets.

use std::collections::BTreeSet;

use tetragon_api::tetragon::{CapFilter, CapFilterSet, Capabilities};

use crate::error::FieldError;

/// A `CapFilter`, checked.
#[derive(Debug)]
pub(crate) struct CapabilityCondition {
    permitted: Option<Test>,
    effective: Option<Test>,
    inheritable: Option<Test>,
}

#[derive(Debug)]
enum Test {
    Any(BTreeSet<i32>),
    All(BTreeSet<i32>),
    Exactly(BTreeSet<i32>),
    None(BTreeSet<i32>),
}

impl CapabilityCondition {
    pub(crate) fn new(filter: &CapFilter) -> Result<Self, FieldError> {
        let CapFilter { permitted, effective, inheritable } = filter;
        Ok(Self {
            permitted: Test::new("capabilities.permitted", permitted.as_ref())?,
            effective: Test::new("capabilities.effective", effective.as_ref())?,
            inheritable: Test::new("capabilities.inheritable", inheritable.as_ref())?,
        })
    }

    /// A process whose capabilities are not known matches nothing.
    pub(crate) fn matches(&self, capabilities: Option<&Capabilities>) -> bool {
        let holds = |test: &Option<Test>, found: &[i32]| test.as_ref().is_none_or(|test| test.holds(found));
        capabilities.is_some_and(|found| {
            holds(&self.permitted, &found.permitted)
                && holds(&self.effective, &found.effective)
                && holds(&self.inheritable, &found.inheritable)
        })
    }
}

impl Test {
    fn new(field: &'static str, filter: Option<&CapFilterSet>) -> Result<Option<Self>, FieldError> {
        let Some(CapFilterSet { any, all, exactly, none }) = filter else { return Ok(None) };
        let set = |list: &[i32]| list.iter().copied().collect();
        match (any.is_empty(), all.is_empty(), exactly.is_empty(), none.is_empty()) {
            (false, true, true, true) => Ok(Some(Self::Any(set(any)))),
            (true, false, true, true) => Ok(Some(Self::All(set(all)))),
            (true, true, false, true) => Ok(Some(Self::Exactly(set(exactly)))),
            (true, true, true, false) => Ok(Some(Self::None(set(none)))),
            _ => Err(FieldError::new(field, "exactly one of any, all, exactly and none must be given")),
        }
    }

    fn holds(&self, found: &[i32]) -> bool {
        match self {
            Self::Any(wanted) => found.iter().any(|it| wanted.contains(it)),
            Self::All(wanted) => wanted.iter().all(|it| found.contains(it)),
            Self::Exactly(wanted) => *wanted == found.iter().copied().collect(),
            Self::None(unwanted) => !found.iter().any(|it| unwanted.contains(it)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(set: CapFilterSet, found: &[i32]) -> bool {
        let filter = CapFilter { effective: Some(set), ..Default::default() };
        let found = Capabilities { effective: found.to_vec(), ..Default::default() };
        CapabilityCondition::new(&filter).unwrap().matches(Some(&found))
    }

    #[test]
    fn each_list_has_its_meaning() {
        let any = CapFilterSet { any: vec![1, 2], ..Default::default() };
        assert!(matches(any.clone(), &[2, 3]) && !matches(any, &[3]));
        let all = CapFilterSet { all: vec![1, 2], ..Default::default() };
        assert!(matches(all.clone(), &[3, 2, 1]) && !matches(all, &[1]));
        let exactly = CapFilterSet { exactly: vec![1, 2], ..Default::default() };
        assert!(matches(exactly.clone(), &[2, 1]) && !matches(exactly, &[1, 2, 3]));
        let none = CapFilterSet { none: vec![1, 2], ..Default::default() };
        assert!(matches(none.clone(), &[3]) && matches(none.clone(), &[]) && !matches(none, &[2]));
    }

    #[test]
    fn all_sets_must_hold() {
        let any = |value| Some(CapFilterSet { any: vec![value], ..Default::default() });
        let condition =
            CapabilityCondition::new(&CapFilter { permitted: any(1), inheritable: any(2), effective: None })
                .unwrap();
        let mut found = Capabilities { permitted: vec![1], ..Default::default() };
        assert!(!condition.matches(Some(&found)));
        found.inheritable.push(2);
        assert!(condition.matches(Some(&found)));
        assert!(!condition.matches(None));
    }

    #[test]
    fn no_list_or_two_lists_are_an_error() {
        for set in
            [CapFilterSet::default(), CapFilterSet { any: vec![1], none: vec![2], ..Default::default() }]
        {
            let filter = CapFilter { permitted: Some(set), ..Default::default() };
            assert_eq!(CapabilityCondition::new(&filter).unwrap_err().field, "capabilities.permitted");
        }
    }
}
