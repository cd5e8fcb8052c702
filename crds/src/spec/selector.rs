//! Selectors: filters, and the actions taken when all of them match.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::hooks::is_false;
use super::names::{ActionName, ArgOperator, BinaryOperator, CapabilitySet, Membership, NamespaceName};

/// Filters that must all match, and what is done then.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct SelectorSpec {
    /// On process ids.
    #[serde(rename = "matchPIDs", default, skip_serializing_if = "Vec::is_empty")]
    pub match_pids: Vec<PidSelector>,
    /// On arguments.
    #[serde(rename = "matchArgs", default, skip_serializing_if = "Vec::is_empty")]
    pub match_args: Vec<ArgSelector>,
    /// What is done when everything matches; nothing given: Post.
    #[serde(rename = "matchActions", default, skip_serializing_if = "Vec::is_empty")]
    pub match_actions: Vec<ActionSpec>,
    /// On the return value.
    #[serde(rename = "matchReturnArgs", default, skip_serializing_if = "Vec::is_empty")]
    pub match_return_args: Vec<ArgSelector>,
    /// What is done when the return value matches.
    #[serde(rename = "matchReturnActions", default, skip_serializing_if = "Vec::is_empty")]
    pub match_return_actions: Vec<ActionSpec>,
    /// On the process's program file.
    #[serde(rename = "matchBinaries", default, skip_serializing_if = "Vec::is_empty")]
    pub match_binaries: Vec<BinarySelector>,
    /// On the process's namespaces.
    #[serde(rename = "matchNamespaces", default, skip_serializing_if = "Vec::is_empty")]
    pub match_namespaces: Vec<NamespaceSelector>,
    /// On namespaces that changed since the process's exec.
    #[serde(rename = "matchNamespaceChanges", default, skip_serializing_if = "Vec::is_empty")]
    pub match_namespace_changes: Vec<NamespaceChangesSelector>,
    /// On the process's capabilities.
    #[serde(rename = "matchCapabilities", default, skip_serializing_if = "Vec::is_empty")]
    pub match_capabilities: Vec<CapabilitiesSelector>,
    /// On capabilities that changed since the process's exec.
    #[serde(rename = "matchCapabilityChanges", default, skip_serializing_if = "Vec::is_empty")]
    pub match_capability_changes: Vec<CapabilitiesSelector>,
}

/// A filter on process ids.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PidSelector {
    /// How the process id relates to the values.
    pub operator: Membership,
    /// The process ids.
    pub values: Vec<u32>,
    /// Whether they are those of the process's own namespace.
    #[serde(rename = "isNamespacePID", default)]
    pub is_namespace_pid: bool,
    /// Whether descendants count, too.
    #[serde(default)]
    pub follow_forks: bool,
}

/// A filter on an argument or a return value.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct ArgSelector {
    /// The index of one of the hook's arguments.
    #[schemars(range(min = 0))]
    pub index: u32,
    /// How the argument relates to the values.
    pub operator: ArgOperator,
    /// What it is compared with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
}

/// A filter on the process's program file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BinarySelector {
    /// How the file's path relates to the values.
    pub operator: BinaryOperator,
    /// Paths.
    pub values: Vec<String>,
    /// Whether descendants count, too; only with In.
    #[serde(default)]
    pub follow_children: bool,
}

/// A filter on one of the process's namespaces.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct NamespaceSelector {
    /// The kind of namespace.
    pub namespace: NamespaceName,
    /// How the process's namespace relates to the values.
    pub operator: Membership,
    /// Inode numbers, or "host_ns" for the namespace of the machine's process 1.
    pub values: Vec<String>,
}

/// A filter on namespaces that changed since the process's exec.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct NamespaceChangesSelector {
    /// Whether the namespaces that are named, or all others, are looked at.
    pub operator: Membership,
    /// Kinds of namespaces.
    pub values: Vec<String>,
}

/// A filter on a process's capabilities, or on their changes since its exec.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CapabilitiesSelector {
    /// Which of the process's sets.
    #[serde(rename = "type", default = "effective")]
    pub set: CapabilitySet,
    /// How the set relates to the values.
    pub operator: Membership,
    /// Whether the process must be outside the host's user namespace.
    #[serde(default)]
    pub is_namespace_capability: bool,
    /// Capabilities, such as "CAP_SYS_ADMIN".
    pub values: Vec<String>,
}

/// Something to do.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ActionSpec {
    /// What to do.
    pub action: ActionName,
    /// For FollowFD, UnfollowFD and CopyFD: the index of the argument that holds the file descriptor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub arg_fd: Option<u32>,
    /// For FollowFD and CopyFD: the index of the argument that holds the file's name, or the other descriptor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub arg_name: Option<u32>,
    /// For GetUrl: what to request.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub arg_url: String,
    /// For DnsLookup: the name to look up.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub arg_fqdn: String,
    /// For Override and NotifyEnforcer: what the function returns, such as -1 for "not permitted".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arg_error: Option<i32>,
    /// For Signal and NotifyEnforcer: the signal's number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub arg_sig: Option<u32>,
    /// For TrackSock and UntrackSock: the index of the argument that holds the socket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub arg_sock: Option<u32>,
    /// For Post: emit an event at most once in this time, such as "30s", "5m" or "1h".
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub rate_limit: String,
    /// For Post with rateLimit: what is limited, "thread" (if absent), "process" or "global".
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub rate_limit_scope: String,
    /// For Post: show how the kernel got to the hook.
    #[serde(default, skip_serializing_if = "is_false")]
    #[schemars(default)]
    pub kernel_stack_trace: bool,
    /// For Post: show how the program got to the hook.
    #[serde(default, skip_serializing_if = "is_false")]
    #[schemars(default)]
    pub user_stack_trace: bool,
}

fn effective() -> CapabilitySet {
    CapabilitySet::Effective
}
