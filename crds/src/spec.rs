//! The custom resources as the API server stores them: `TracingPolicy` and `TracingPolicyNamespaced`, schema v1.2.

mod hooks;
mod names;
mod selector;
mod spelled;

pub use hooks::{ArgSpec, KProbeSpec, LsmHookSpec, TracepointSpec, UProbeSpec};
pub use names::{
    ActionName, ArgOperator, ArgType, BinaryOperator, CapabilitySet, LabelOperator, ListType, Membership,
    NamespaceName,
};
pub use selector::{
    ActionSpec, ArgSelector, BinarySelector, CapabilitiesSelector, NamespaceChangesSelector,
    NamespaceSelector, PidSelector, SelectorSpec,
};

use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::hooks::is_false;

/// What to observe, and what to do about it.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[kube(
    group = "cilium.io",
    version = "v1alpha1",
    kind = "TracingPolicy",
    plural = "tracingpolicies",
    singular = "tracingpolicy",
    derive = "PartialEq",
    doc = "A tracing policy for the whole cluster."
)]
#[serde(rename_all = "camelCase")]
pub struct TracingPolicySpec {
    /// Kernel functions to hook.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kprobes: Vec<KProbeSpec>,
    /// Tracepoints to hook.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tracepoints: Vec<TracepointSpec>,
    /// Functions of user-space programs to hook.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uprobes: Vec<UProbeSpec>,
    /// Hooks of the kernel's security modules.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lsmhooks: Vec<LsmHookSpec>,
    /// Report every program file that is mapped with a build id.
    #[serde(default)]
    pub loader: bool,
    /// Which pods the policy applies to. Absent or empty: all.
    #[serde(default, skip_serializing_if = "LabelSelector::is_empty")]
    pub pod_selector: LabelSelector,
    /// Which containers of those pods the policy applies to, by the field "name". Absent or empty: all.
    #[serde(default, skip_serializing_if = "LabelSelector::is_empty")]
    pub container_selector: LabelSelector,
    /// Named lists of functions, referred to as "list:NAME".
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lists: Vec<ListSpec>,
    /// What carries out the action NotifyEnforcer; at most one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub enforcers: Vec<EnforcerSpec>,
    /// Settings of this policy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<OptionSpec>,
}

/// What to observe in the pods of one namespace, and what to do about it.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[kube(
    group = "cilium.io",
    version = "v1alpha1",
    kind = "TracingPolicyNamespaced",
    plural = "tracingpoliciesnamespaced",
    singular = "tracingpolicynamespaced",
    namespaced,
    derive = "PartialEq",
    doc = "A tracing policy for the pods of its namespace."
)]
#[serde(transparent)]
pub struct TracingPolicyNamespacedSpec(pub TracingPolicySpec);

/// A standard label selector; all of its requirements must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LabelSelector {
    /// Labels with exactly these values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub match_labels: BTreeMap<String, LabelValue>,
    /// Requirements on single labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub match_expressions: Vec<LabelRequirement>,
}

impl LabelSelector {
    /// Whether it asks for nothing, and so selects everything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.match_labels.is_empty() && self.match_expressions.is_empty()
    }
}

/// The value of a label.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct LabelValue(
    #[schemars(length(max = 63), regex(pattern = r"^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$"))]
    pub  String,
);

/// A requirement on one label.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct LabelRequirement {
    /// The label's key.
    pub key: String,
    /// How the label's value relates to the values.
    pub operator: LabelOperator,
    /// The values; none for Exists and DoesNotExist.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
}

/// A named list of functions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct ListSpec {
    /// The name that "list:NAME" refers to.
    pub name: String,
    /// What the values are, or how they are generated. Absent: kernel functions.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub list_type: Option<ListType>,
    /// The functions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
    /// For generated_ftrace: a regular expression that the functions' names contain.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub pattern: String,
    /// Not used.
    #[serde(default, skip_serializing_if = "is_false")]
    #[schemars(default)]
    pub validated: bool,
}

/// The functions at which notified actions are carried out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct EnforcerSpec {
    /// System calls, security_ functions, or "list:NAME".
    pub calls: Vec<String>,
}

/// A setting.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct OptionSpec {
    /// Its name.
    pub name: String,
    /// Its value.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub value: String,
}
