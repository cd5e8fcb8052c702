//! Where a policy applies.

use tetragon_crds::policy::Policy;
use tetragon_crds::spec::{LabelOperator, LabelSelector};

use super::errors::error;
use crate::identity::{Operator, Requirement, Scope, Selector};
use crate::policies::engine::LoadError;

/// Where the policy applies, as the store decides it.
pub(super) fn scope_of(policy: &Policy) -> Result<Scope, LoadError> {
    let selector = |labels: &Option<LabelSelector>| labels.as_ref().map(selector_of).transpose();
    Ok(Scope {
        namespace: policy.name.namespace.clone(),
        pods: selector(&policy.scope.pods)?,
        containers: selector(&policy.scope.containers)?,
    })
}

fn selector_of(labels: &LabelSelector) -> Result<Selector, LoadError> {
    let equal = labels.match_labels.iter().map(|(key, value)| (key.clone(), value.0.clone()));
    let requirements = labels.match_expressions.iter().map(|it| Requirement {
        key: it.key.clone(),
        operator: match it.operator {
            LabelOperator::In => Operator::In,
            LabelOperator::NotIn => Operator::NotIn,
            LabelOperator::Exists => Operator::Exists,
            LabelOperator::DoesNotExist => Operator::DoesNotExist,
        },
        values: it.values.clone(),
    });
    Selector::new(equal, requirements).map_err(|problem| error(problem.to_string()))
}
