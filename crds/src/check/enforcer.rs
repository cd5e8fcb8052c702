//! What carries out notified actions.

use super::Check;
use crate::limits;
use crate::policy::{Call, Enforcer, ListContent, Options, OverrideMethod};
use crate::report::{Diagnostic, Path};
use crate::spec::EnforcerSpec;
use crate::syscalls::SyscallRef;

impl Check<'_> {
    pub(super) fn enforcer(
        &mut self,
        specs: &[EnforcerSpec],
        options: Options,
        path: &Path,
    ) -> Option<Enforcer> {
        self.at_most(specs.len(), limits::ENFORCERS, "enforcer", path);
        let mut enforcers = Vec::new();
        for (index, spec) in specs.iter().enumerate() {
            let path = path.index(index);
            let calls = self.enforced_calls(&spec.calls, options, &path.field("calls"));
            enforcers.push(Enforcer { path, calls });
        }
        enforcers.into_iter().next()
    }

    fn enforced_calls(&mut self, calls: &[String], options: Options, path: &Path) -> Vec<Call> {
        if calls.is_empty() && self.is_sound(path) {
            self.error(Diagnostic::new(path.clone(), "no calls").remedy("an enforcer needs one"));
        }
        let mut checked = Vec::with_capacity(calls.len());
        for (index, call) in calls.iter().enumerate() {
            let path = path.index(index);
            if !self.is_sound(&path) {
                continue;
            }
            let call = match self.list_reference(call, &path) {
                Some(Call::List(list)) => {
                    self.enforced_list(list, call, &path);
                    Call::List(list)
                }
                Some(other) => other,
                None if is_security(call) => Call::Function(call.clone()),
                None => match SyscallRef::parse(call, self.arch) {
                    Ok(syscall) => {
                        if syscall.number().is_none() {
                            self.warn(super::lists::unknown_syscall(&syscall, call, path.clone()));
                        }
                        Call::Syscall(syscall)
                    }
                    Err(error) => {
                        let diagnostic = Diagnostic::new(path.clone(), error.to_string()).value(call);
                        let remedy = "system calls (sys_…) and security_ functions can be enforced";
                        self.error(diagnostic.remedy(remedy));
                        continue;
                    }
                },
            };
            if self.has_security(&call) && options.override_method == Some(OverrideMethod::OverrideReturn) {
                let problem = "a security_ function cannot be overridden by override-return";
                let remedy = "set the option override-method to fmod-ret, or leave it out";
                self.error(Diagnostic::new(path, problem).remedy(remedy));
            }
            checked.push(call);
        }
        checked
    }

    /// Every function of the list must be one that can be enforced.
    fn enforced_list(&mut self, list: usize, call: &str, path: &Path) {
        let Some(list) = self.lists.get(list) else { return };
        let wrong = match &list.content {
            ListContent::Syscalls(_) | ListContent::AllSyscalls => None,
            ListContent::Functions(functions) => {
                let is_wrong =
                    |name: &&String| !is_security(name) && SyscallRef::parse(name, self.arch).is_err();
                functions.iter().find(is_wrong).map(|name| format!("{name} is neither"))
            }
            ListContent::Traceable { .. } => Some("a generated_ftrace list may hold others".to_owned()),
        };
        if let Some(wrong) = wrong {
            let problem = format!("system calls and security_ functions can be enforced, {wrong}");
            self.error(Diagnostic::new(path.clone(), problem).value(call));
        }
    }

    fn has_security(&self, call: &Call) -> bool {
        match call {
            Call::Function(name) => is_security(name),
            Call::Syscall(_) => false,
            Call::List(list) => match self.lists.get(*list).map(|list| &list.content) {
                Some(ListContent::Functions(functions)) => functions.iter().any(|name| is_security(name)),
                _ => false,
            },
        }
    }
}

/// Whether a kernel function is one of those that ask the security modules.
pub(super) fn is_security(function: &str) -> bool {
    function.strip_prefix("security_").is_some_and(|name| super::lists::function(name).is_ok())
}
