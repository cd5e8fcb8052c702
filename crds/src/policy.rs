//! A policy that is right as far as can be told without a kernel: words resolved, values parsed, references followed.

mod action;
mod hook;
mod numbers;
mod predicate;
mod selector;

use std::fmt;

use serde::Serialize;

pub use action::{Action, RateLimit, RateLimitScope};
pub use hook::{Arg, Call, Hook, HookPoint, Return, ReturnAction};
pub use numbers::{NumberKind, Ranges};
pub use predicate::{End, NetTest, NumberTest, Predicate, TextMatch};
pub use selector::{
    ArgFilter, BinaryFilter, CapabilityFilter, NamespaceChangeFilter, NamespaceFilter, NamespaceValue,
    PidFilter, Selector,
};

use crate::origin::Origin;
use crate::report::{Diagnostic, Path};
use crate::spec::LabelSelector;
use crate::syscalls::SyscallRef;

/// A policy, ready to be compiled.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Policy {
    /// What it is called.
    pub name: PolicyName,
    /// Where it comes from.
    pub origin: Origin,
    /// Which pods and containers it applies to, besides its namespace.
    pub scope: Scope,
    /// What it hooks, in the order of the sections kprobes, tracepoints, lsmhooks, uprobes.
    pub hooks: Vec<Hook>,
    /// Whether mapped program files are reported.
    pub loader: bool,
    /// The lists that hooks, filters and the enforcer refer to by position.
    pub lists: Vec<List>,
    /// What carries out [`Action::NotifyEnforcer`].
    pub enforcer: Option<Enforcer>,
    /// Its settings.
    pub options: Options,
    /// What it does not say as clearly as its author may think.
    pub warnings: Vec<Diagnostic>,
}

impl Policy {
    /// Whether it applies to some cgroups only, so that the kernel must tell them apart.
    #[must_use]
    pub fn is_scoped(&self) -> bool {
        self.name.namespace.is_some() || self.scope != Scope::default()
    }
}

/// The name of a policy, unique among all that are loaded.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct PolicyName {
    /// The namespace of a namespaced policy.
    pub namespace: Option<String>,
    /// The name in it, or in the cluster.
    pub name: String,
}

impl fmt::Display for PolicyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{namespace}/{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// Which pods and containers a policy applies to. None of both: to everything, host processes included.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Scope {
    /// Labels of the pod, `k8s:io.kubernetes.pod.namespace` among them.
    pub pods: Option<LabelSelector>,
    /// The label `name` of the container.
    pub containers: Option<LabelSelector>,
}

/// A list of functions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct List {
    /// Its name.
    pub name: String,
    /// Where it is in the policy.
    pub path: Path,
    /// What is in it.
    pub content: ListContent,
}

/// What is in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ListContent {
    /// Functions, hooked as they are.
    Functions(Vec<String>),
    /// System calls.
    Syscalls(Vec<SyscallRef>),
    /// All system calls of the running kernel.
    AllSyscalls,
    /// All traceable functions of the running kernel in whose name the regular expression is found.
    Traceable {
        /// The expression; it compiles.
        pattern: String,
    },
}

impl ListContent {
    /// Whether its functions are system calls.
    #[must_use]
    pub fn is_syscalls(&self) -> bool {
        matches!(self, Self::Syscalls(_) | Self::AllSyscalls)
    }
}

/// Where notified actions are carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Enforcer {
    /// Where it is in the policy.
    pub path: Path,
    /// The functions: system calls, `security_` functions, or lists of them.
    pub calls: Vec<Call>,
}

/// The settings of a policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Options {
    /// Attach kprobes one by one.
    pub disable_kprobe_multi: bool,
    /// Attach uprobes one by one.
    pub disable_uprobe_multi: bool,
    /// How functions of the kernel are hooked; `None`: by kprobes where there are some (ours).
    pub attach_method: Option<AttachMethod>,
    /// How the enforcer overrides return values; `None`: as the kernel allows.
    pub override_method: Option<OverrideMethod>,
    /// Whether the policy may intervene; `None`: not said, so it does.
    pub mode: Option<Mode>,
    /// A filter on an argument that the kernel cannot read matches (ours: for policies that would rather stop a call
    /// too many than miss one).
    pub match_unreadable: bool,
}

/// How functions of the kernel are hooked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AttachMethod {
    /// By kprobes.
    Kprobe,
    /// By fentry and fexit, which cost less, and at which nothing can be enforced.
    Fentry,
}

/// How return values are overridden.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum OverrideMethod {
    /// By a modifying trampoline.
    FmodRet,
    /// By a kprobe that skips the function.
    OverrideReturn,
}

/// Whether a policy may intervene.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// It does what its actions say.
    Enforce,
    /// It only reports.
    Monitor,
}
