//! Which pods and containers.

use super::Check;
use crate::policy::Scope;
use crate::report::{Diagnostic, Path};
use crate::spec::{LabelOperator, LabelSelector, TracingPolicySpec};

/// The only label that a container has.
const CONTAINER_NAME: &str = "name";

impl Check<'_> {
    pub(super) fn scope(&mut self, spec: &TracingPolicySpec, path: &Path) -> Scope {
        let containers = path.field("containerSelector");
        self.labels(&spec.pod_selector, &path.field("podSelector"));
        self.labels(&spec.container_selector, &containers);
        self.container_labels(&spec.container_selector, &containers);
        let given = |selector: &LabelSelector| (!selector.is_empty()).then(|| selector.clone());
        Scope { pods: given(&spec.pod_selector), containers: given(&spec.container_selector) }
    }

    fn labels(&mut self, selector: &LabelSelector, path: &Path) {
        if selector.match_labels.contains_key("") {
            self.error(Diagnostic::new(path.field("matchLabels"), "a label without a name"));
        }
        let path = path.field("matchExpressions");
        for (index, requirement) in selector.match_expressions.iter().enumerate() {
            let path = path.index(index);
            let (key, values) = (path.field("key"), path.field("values"));
            if requirement.key.is_empty() && self.is_sound(&key) {
                self.error(Diagnostic::new(key, "empty").remedy("the name of a label was expected"));
            }
            if !self.is_sound(&path.field("operator")) || !self.is_sound(&values) {
                continue;
            }
            match (requirement.operator, requirement.values.is_empty()) {
                (LabelOperator::In | LabelOperator::NotIn, true) => {
                    let remedy = format!("{} needs one", requirement.operator);
                    self.error(Diagnostic::new(values, "no values").remedy(remedy));
                }
                (LabelOperator::Exists | LabelOperator::DoesNotExist, false) => {
                    let problem = format!("{} takes no values", requirement.operator);
                    self.error(Diagnostic::new(values, problem).remedy("leave them out, or use In or NotIn"));
                }
                _ => {}
            }
        }
    }

    fn container_labels(&mut self, selector: &LabelSelector, path: &Path) {
        let labels =
            selector.match_labels.keys().map(|key| (path.field("matchLabels").field(key.clone()), key));
        let expressions = selector.match_expressions.iter().enumerate().map(|(index, requirement)| {
            (path.field("matchExpressions").index(index).field("key"), &requirement.key)
        });
        for (path, key) in labels.chain(expressions) {
            if key != CONTAINER_NAME && !key.is_empty() {
                let diagnostic = Diagnostic::new(path, "containers have no such label").value(key);
                self.findings.warn(diagnostic.remedy("the container's name has the label \"name\""));
            }
        }
    }
}
