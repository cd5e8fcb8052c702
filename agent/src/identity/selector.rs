//! Label selectors, as Kubernetes defines them.

use std::collections::BTreeMap;

/// How a label is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// It is there, with one of the values.
    In,
    /// It is not there, or has another value.
    NotIn,
    /// It is there.
    Exists,
    /// It is not there.
    DoesNotExist,
}

/// One condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// The label.
    pub key: String,
    /// How it is compared.
    pub operator: Operator,
    /// With what; empty for `Exists` and `DoesNotExist`.
    pub values: Vec<String>,
}

/// Conditions that must all hold. Without any, everything matches.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selector {
    requirements: Vec<Requirement>,
}

/// A condition that can't be meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// Values where there must be none, or none where there must be some.
    #[error("label {key:?}: {operator:?} takes {expected}, not {found}")]
    Values {
        /// The label.
        key: String,
        /// The operator.
        operator: Operator,
        /// What it takes.
        expected: &'static str,
        /// How many there are.
        found: usize,
    },
    /// No label named.
    #[error("a condition without a label")]
    NoKey,
}

impl Selector {
    /// All `labels` must have these values, and all `requirements` hold.
    ///
    /// # Errors
    /// A condition that can't be meant.
    pub fn new(
        labels: impl IntoIterator<Item = (String, String)>,
        requirements: impl IntoIterator<Item = Requirement>,
    ) -> Result<Self, SelectorError> {
        let equal = labels.into_iter().map(|(key, value)| Requirement {
            key,
            operator: Operator::In,
            values: vec![value],
        });
        let requirements: Vec<Requirement> = equal.chain(requirements).collect();
        for it in &requirements {
            if it.key.is_empty() {
                return Err(SelectorError::NoKey);
            }
            let wants = matches!(it.operator, Operator::In | Operator::NotIn);
            if wants == it.values.is_empty() {
                return Err(SelectorError::Values {
                    key: it.key.clone(),
                    operator: it.operator,
                    expected: if wants { "at least one value" } else { "no values" },
                    found: it.values.len(),
                });
            }
        }
        Ok(Self { requirements })
    }

    /// Whether all conditions hold.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.matches_by(|key| labels.get(key).map(String::as_str))
    }

    /// The same, of labels that are looked up.
    pub(super) fn matches_by<'a>(&self, value_of: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.requirements.iter().all(|it| {
            let value = value_of(&it.key);
            let listed = || value.is_some_and(|value| it.values.iter().any(|one| one == value));
            match it.operator {
                Operator::In => listed(),
                Operator::NotIn => !listed(),
                Operator::Exists => value.is_some(),
                Operator::DoesNotExist => value.is_none(),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(operator: Operator, values: &[&str]) -> Result<Selector, SelectorError> {
        let values = values.iter().map(|it| (*it).to_owned()).collect();
        Selector::new([], [Requirement { key: "app".to_owned(), operator, values }])
    }

    #[test]
    fn operators_treat_a_missing_label_as_kubernetes_does() {
        let web = BTreeMap::from([("app".to_owned(), "web".to_owned())]);
        let none = BTreeMap::new();
        for (operator, values, on_web, on_none) in [
            (Operator::In, &["web", "db"][..], true, false),
            (Operator::In, &["db"], false, false),
            (Operator::NotIn, &["web"], false, true),
            (Operator::NotIn, &["db"], true, true),
            (Operator::Exists, &[], true, false),
            (Operator::DoesNotExist, &[], false, true),
        ] {
            let selector = one(operator, values).expect("valid");
            assert_eq!(selector.matches(&web), on_web, "{operator:?} {values:?}");
            assert_eq!(selector.matches(&none), on_none, "{operator:?} {values:?}");
        }
        assert!(Selector::default().matches(&none));
    }

    #[test]
    fn conditions_that_cannot_be_meant_are_refused() {
        assert!(one(Operator::In, &[]).is_err());
        assert!(one(Operator::Exists, &["x"]).is_err());
        let error = Selector::new([(String::new(), String::new())], []).expect_err("no key");
        assert_eq!(error, SelectorError::NoKey);
    }
}
