//! What a policy is made of, and what it is asked about.

use std::collections::BTreeMap;

/// What a policy is made of. The default allows `kube-system` and static pods alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Namespaces whose containers may start.
    pub allow_namespaces: Vec<String>,
    /// Regular expressions in RE2's syntax (but for Unicode classes), without anchors of their own: one that matches anywhere in the
    /// namespace allows it.
    pub allow_namespace_patterns: Vec<String>,
    /// Decides instead of the two lists above: `true` refuses. Empty counts as none.
    pub cel_expression: Option<String>,
    /// The annotations that hold the namespace, in the order in which they are looked at.
    pub namespace_keys: Vec<String>,
    /// Static pods may start whatever else is said here.
    pub exempt_static_pods: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            allow_namespaces: vec!["kube-system".to_owned()],
            allow_namespace_patterns: Vec::new(),
            cel_expression: None,
            namespace_keys: vec![
                "io.kubernetes.pod.namespace".to_owned(),
                "io.kubernetes.cri.sandbox-namespace".to_owned(),
            ],
            exempt_static_pods: true,
        }
    }
}

/// The container that the agent could not be told of.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Of the container; may be written by the pod's author.
    pub annotations: &'a BTreeMap<String, String>,
    /// The pod's namespace as the runtime itself knows it; annotations are not asked then.
    pub namespace: Option<&'a str>,
    /// The pod comes from the node's own disk; see [`is_static_pod`].
    pub static_pod: bool,
}

/// The sources of static pods, as the kubelet writes them over whatever a pod's author wrote in the annotation
/// `kubernetes.io/config.source`.
pub const STATIC_POD_SOURCES: [&str; 2] = ["file", "http"];

/// Whether a *pod's* annotations, as the kubelet gave them to the runtime, are those of a static pod.
#[must_use]
pub fn is_static_pod(annotations: &BTreeMap<String, String>) -> bool {
    annotations
        .get("kubernetes.io/config.source")
        .is_some_and(|source| STATIC_POD_SOURCES.contains(&source.as_str()))
}
