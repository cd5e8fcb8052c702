//! What becomes of a container that the agent does not know.

use std::sync::Arc;

use nri_plugin::api::{Container, PodSandbox};
use tetragon_hook_policy::{Decision, FailurePolicy, Subject, is_static_pod};

/// The names under which our charts install our pods, in this label.
const NAME_LABEL: &str = "app.kubernetes.io/name";
const OUR_NAMES: [&str; 3] = ["tetragon", "tetragon-operator", "tetragon-rthooks"];

/// What becomes of a container that the agent does not know, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It passes whatever the policy says, or a node could not boot.
    Exempt(String),
    /// The policy lets it pass.
    Allow(String),
    /// It does not pass.
    Refuse(String),
}

impl From<Decision> for Verdict {
    fn from(decision: Decision) -> Self {
        match decision {
            Decision::Allow(reason) => Self::Allow(reason),
            Decision::Refuse(reason) => Self::Refuse(reason),
        }
    }
}

/// Who decides.
#[derive(Debug)]
pub(crate) struct Judge {
    /// `None` lets everything pass.
    pub(crate) policy: Option<FailurePolicy>,
    /// Where our own pods are.
    pub(crate) own_namespace: Option<String>,
}

impl Judge {
    /// Decides about a container. The policy may think for a moment, so it does on a thread of its own.
    pub(crate) async fn judge(self: &Arc<Self>, pod: &PodSandbox, container: &Container) -> Verdict {
        if is_static_pod(&pod.annotations) {
            return Verdict::Exempt("static pods are exempt, so that a node can always boot".to_owned());
        }
        if self.is_ours(pod) {
            return Verdict::Exempt("our own pods are exempt: the agent could never start".to_owned());
        }
        if self.policy.is_none() {
            return Verdict::Allow("--fail-open lets everything pass".to_owned());
        }
        let (this, namespace) = (Arc::clone(self), pod.namespace.clone());
        let annotations = container.annotations.clone();
        let decided = tokio::task::spawn_blocking(move || {
            let subject = Subject {
                annotations: &annotations,
                namespace: (!namespace.is_empty()).then_some(&namespace),
                static_pod: false,
            };
            this.policy.as_ref().map(|policy| policy.decide(&subject).into())
        });
        match decided.await {
            Ok(Some(verdict)) => verdict,
            Ok(None) => Verdict::Allow("there is no policy".to_owned()),
            Err(error) => Verdict::Refuse(format!("the failure policy has failed: {error}")),
        }
    }

    /// Labels are anybody's to write, so they count in our namespace only.
    fn is_ours(&self, pod: &PodSandbox) -> bool {
        let name = pod.labels.get(NAME_LABEL);
        self.own_namespace.as_deref().is_some_and(|own| !own.is_empty() && own == pod.namespace)
            && name.is_some_and(|name| OUR_NAMES.contains(&name.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use tetragon_hook_policy::Options;

    use super::*;

    fn pod(namespace: &str, annotations: &[(&str, &str)], labels: &[(&str, &str)]) -> PodSandbox {
        let map = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        PodSandbox {
            namespace: namespace.to_owned(),
            annotations: map(annotations),
            labels: map(labels),
            ..PodSandbox::default()
        }
    }

    async fn verdict(pod: &PodSandbox) -> Verdict {
        let policy = FailurePolicy::new(&Options::default()).expect("valid");
        let judge = Arc::new(Judge { policy: Some(policy), own_namespace: Some("security".to_owned()) });
        judge.judge(pod, &Container::default()).await
    }

    #[tokio::test]
    async fn static_pods_are_those_that_the_kubelet_says_are() {
        const SOURCE: &str = "kubernetes.io/config.source";
        for source in ["file", "http"] {
            assert!(matches!(verdict(&pod("prod", &[(SOURCE, source)], &[])).await, Verdict::Exempt(_)));
        }
        // The kubelet overwrites that one; this one is anybody's.
        let forged = pod("prod", &[(SOURCE, "api"), ("kubernetes.io/config.hash", "x")], &[]);
        assert!(matches!(verdict(&forged).await, Verdict::Refuse(_)));
    }

    #[tokio::test]
    async fn our_pods_are_ours_in_our_namespace_only() {
        let ours = [(NAME_LABEL, "tetragon")];
        assert!(matches!(verdict(&pod("security", &[], &ours)).await, Verdict::Exempt(_)));
        assert!(matches!(verdict(&pod("prod", &[], &ours)).await, Verdict::Refuse(_)));
        assert!(matches!(verdict(&pod("security", &[], &[])).await, Verdict::Refuse(_)));
    }

    #[tokio::test]
    async fn the_policy_decides_about_the_rest() {
        assert!(matches!(verdict(&pod("kube-system", &[], &[])).await, Verdict::Allow(_)));
        assert!(matches!(verdict(&pod("prod", &[], &[])).await, Verdict::Refuse(_)));
        let open = Arc::new(Judge { policy: None, own_namespace: None });
        let passes = open.judge(&pod("prod", &[], &[]), &Container::default()).await;
        assert!(matches!(passes, Verdict::Allow(_)));
    }
}
