//! Hooks, section by section.

use std::fmt;

use super::Check;
use super::enforcer::is_security;
use super::lists::{function, unknown_syscall};
use crate::policy::{Arg, Call, Hook, HookPoint, ListContent, Return};
use crate::report::{Diagnostic, Path};
use crate::spec::{ArgSpec, KProbeSpec, LsmHookSpec, SelectorSpec, TracepointSpec, UProbeSpec};
use crate::syscalls::SyscallRef;

/// A section of hooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    Kprobe,
    Tracepoint,
    Lsm,
    Uprobe,
}

impl Section {
    /// Whether its hooks see return values.
    pub(super) fn may_return(self) -> bool {
        self == Self::Kprobe
    }

    /// Whether its arguments are those of a function, 0 to 4.
    pub(super) fn is_function(self) -> bool {
        self != Self::Tracepoint
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kprobe => "kprobes",
            Self::Tracepoint => "tracepoints",
            Self::Lsm => "lsmhooks",
            Self::Uprobe => "uprobes",
        })
    }
}

/// Where selectors and actions stand.
pub(super) struct Site<'a> {
    pub(super) path: &'a Path,
    pub(super) section: Section,
    pub(super) point: &'a HookPoint,
    pub(super) args: &'a [Arg],
    pub(super) returns: Option<&'a Return>,
}

/// What all hooks have.
struct Common<'a> {
    args: &'a [ArgSpec],
    selectors: &'a [SelectorSpec],
    message: &'a str,
    tags: &'a [String],
}

impl Check<'_> {
    pub(super) fn kprobe(&mut self, spec: &KProbeSpec, path: &Path) -> Hook {
        let (call, syscall) = self.call(spec, &path.field("call"));
        let returns = self.returns(spec, path);
        let KProbeSpec { args, selectors, message, tags, .. } = spec;
        let common = Common { args, selectors, message, tags };
        self.hook(Section::Kprobe, HookPoint::Kprobe { call, syscall }, returns, &common, path)
    }

    pub(super) fn tracepoint(&mut self, spec: &TracepointSpec, path: &Path) -> Hook {
        for (field, name) in [("subsystem", &spec.subsystem), ("event", &spec.event)] {
            self.name(name, &path.field(field), "such as subsystem: syscalls and event: sys_enter_openat");
        }
        let TracepointSpec { subsystem, event, args, selectors, message, tags } = spec;
        let point = HookPoint::Tracepoint { subsystem: subsystem.clone(), event: event.clone() };
        self.hook(Section::Tracepoint, point, None, &Common { args, selectors, message, tags }, path)
    }

    pub(super) fn lsm_hook(&mut self, spec: &LsmHookSpec, path: &Path) -> Hook {
        let hook = path.field("hook");
        self.name(&spec.hook, &hook, "such as file_open");
        for prefix in ["bpf_lsm_", "security_"] {
            if let Some(name) = spec.hook.strip_prefix(prefix) {
                let diagnostic =
                    Diagnostic::new(hook.clone(), "a hook is named without prefix").value(&spec.hook);
                self.error(diagnostic.remedy(format!("write {name}")));
            }
        }
        let LsmHookSpec { hook, args, selectors, message, tags } = spec;
        let point = HookPoint::Lsm { hook: hook.clone() };
        self.hook(Section::Lsm, point, None, &Common { args, selectors, message, tags }, path)
    }

    pub(super) fn uprobe(&mut self, spec: &UProbeSpec, path: &Path) -> Hook {
        let (file, symbols) = (path.field("path"), path.field("symbols"));
        if !spec.path.starts_with('/') && self.is_sound(&file) {
            let diagnostic = Diagnostic::new(file, "not the whole path of a file").value(&spec.path);
            self.error(diagnostic.remedy("begin with \"/\""));
        }
        if spec.symbols.is_empty() && self.is_sound(&symbols) {
            self.error(Diagnostic::new(symbols.clone(), "no symbols").remedy("a uprobe needs one"));
        }
        for (index, symbol) in spec.symbols.iter().enumerate() {
            if symbol.is_empty() && self.is_sound(&symbols.index(index)) {
                self.error(Diagnostic::new(symbols.index(index), "empty").remedy("a symbol was expected"));
            }
        }
        let UProbeSpec { path: file, symbols, args, selectors, message, tags } = spec;
        let point = HookPoint::Uprobe { path: file.clone(), symbols: symbols.clone() };
        self.hook(Section::Uprobe, point, None, &Common { args, selectors, message, tags }, path)
    }

    fn hook(
        &mut self,
        section: Section,
        point: HookPoint,
        returns: Option<Return>,
        common: &Common<'_>,
        path: &Path,
    ) -> Hook {
        let args = self.args(common.args, section, path);
        let site = Site { path, section, point: &point, args: &args, returns: returns.as_ref() };
        let selectors = self.selectors(common.selectors, &site);
        let message = self.message(common.message, path);
        let tags = self.tags(common.tags, path);
        Hook { path: path.clone(), point, args, returns, selectors, message, tags }
    }

    /// The function of a kprobe, and whether its arguments are those of a system call.
    fn call(&mut self, spec: &KProbeSpec, path: &Path) -> (Call, bool) {
        let name = &spec.call;
        if !self.is_sound(path) {
            return (Call::Function(name.clone()), spec.syscall);
        }
        if let Some(call) = self.list_reference(name, path) {
            let is_syscalls = match &call {
                Call::List(list) => self.lists.get(*list).is_some_and(|list| list.content.is_syscalls()),
                _ => false,
            };
            return (call, is_syscalls);
        }
        if let Err(diagnostic) = function(name) {
            self.error(Diagnostic { path: path.clone(), ..diagnostic });
            return (Call::Function(name.clone()), spec.syscall);
        }
        let parsed = SyscallRef::parse(name, self.arch);
        if !spec.syscall {
            if name.starts_with("sys_") && parsed.is_ok() {
                let problem = "with syscall: false the kernel has no function of this name";
                self.warn(Diagnostic::new(path.clone(), problem).value(name).remedy("set syscall: true"));
            }
            return (Call::Function(name.clone()), false);
        }
        match parsed {
            Ok(call) => {
                if call.number().is_none() {
                    self.warn(unknown_syscall(&call, name, path.clone()));
                }
                (Call::Syscall(call), true)
            }
            Err(error @ crate::syscalls::NotSyscall::Foreign { .. }) => {
                let diagnostic = Diagnostic::new(path.clone(), error.to_string()).value(name);
                let bare = name.find("sys_").and_then(|at| name.get(at..)).unwrap_or(name);
                self.error(diagnostic.remedy(format!("write {bare}")));
                (Call::Function(name.clone()), true)
            }
            Err(_) => {
                let problem =
                    "hooked as a system call, which its name does not say it is; arguments will be wrong";
                self.warn(Diagnostic::new(path.clone(), problem).value(name).remedy("set syscall: false"));
                (Call::Function(name.clone()), true)
            }
        }
    }

    /// Whether what is called may be skipped.
    pub(super) fn can_override(&self, call: &Call) -> bool {
        match call {
            Call::Syscall(_) => true,
            Call::Function(name) => is_security(name) || SyscallRef::parse(name, self.arch).is_ok(),
            Call::List(list) => match self.lists.get(*list).map(|list| &list.content) {
                Some(ListContent::Syscalls(_) | ListContent::AllSyscalls) => true,
                Some(ListContent::Functions(functions)) => functions
                    .iter()
                    .all(|name| is_security(name) || SyscallRef::parse(name, self.arch).is_ok()),
                _ => false,
            },
        }
    }

    /// A name that becomes part of a path of the kernel's file systems.
    fn name(&mut self, name: &str, path: &Path, remedy: &str) {
        if !self.is_sound(path) {
            return;
        }
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
        if name.is_empty() {
            self.error(Diagnostic::new(path.clone(), "empty").remedy(remedy));
        } else if !name.bytes().all(is_name) || name.starts_with('.') {
            let diagnostic = Diagnostic::new(path.clone(), "not a name that the kernel could have");
            self.error(diagnostic.value(name).remedy(remedy));
        }
    }
}
