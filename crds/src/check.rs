//! From what a policy says to what it means, with everything that is wrong on the way.
//!
//! Every check runs, whatever failed before it; a check that depends on a field which is broken is silent, because it
//! would report a follow-up of what is reported already.

mod actions;
mod advice;
mod args;
mod enforcer;
mod hooks;
mod lists;
mod metadata;
mod net;
mod notes;
mod options;
mod predicate;
mod process;
mod scope;
mod selector;
mod values;
mod words;

pub(crate) use metadata::metadata;
pub use predicate::predicate;

use self::lists::Lists;
use crate::origin::Origin;
use crate::policy::{Hook, Policy, PolicyName};
use crate::report::{Diagnostic, Findings, Path};
use crate::schema::Broken;
use crate::spec::TracingPolicySpec;
use crate::syscalls::Arch;

/// Checks a `spec` whose types are right.
pub(crate) fn policy(
    name: PolicyName,
    origin: Origin,
    spec: &TracingPolicySpec,
    broken: &Broken,
    arch: Arch,
    findings: &mut Findings,
) -> Policy {
    let path = Path::root().field("spec");
    let lists = lists::lists(&spec.lists, arch, broken, findings);
    let mut check = Check { broken, arch, lists, has_enforcer: !spec.enforcers.is_empty(), findings };
    check.sections(spec, &path);
    let hooks = check.hooks(spec, &path);
    let options = check.options(&spec.options, &path.field("options"));
    let enforcer = check.enforcer(&spec.enforcers, options, &path.field("enforcers"));
    let scope = check.scope(spec, &path);
    check.unfiltered_sections(spec, &path, name.namespace.is_some() || scope != Default::default());
    check.advise(&hooks, enforcer.as_ref());
    Policy {
        name,
        origin,
        scope,
        hooks,
        loader: spec.loader,
        lists: check.lists.into_all(),
        enforcer,
        options,
        warnings: Vec::new(),
    }
}

/// What checks share.
struct Check<'a> {
    broken: &'a Broken,
    arch: Arch,
    lists: Lists,
    has_enforcer: bool,
    findings: &'a mut Findings,
}

impl Check<'_> {
    fn error(&mut self, diagnostic: Diagnostic) {
        self.findings.error(diagnostic);
    }

    fn warn(&mut self, diagnostic: Diagnostic) {
        self.findings.warn(diagnostic);
    }

    /// Whether a field is what the policy says, and no placeholder.
    fn is_sound(&self, path: &Path) -> bool {
        !self.broken.contains(path)
    }

    /// Reports what exceeds a limit.
    fn at_most(&mut self, count: usize, most: usize, what: &str, path: &Path) {
        if count > most {
            self.error(Diagnostic::new(
                path.clone(),
                format!("supports up to {most} {what}, {count} are given"),
            ));
        }
    }

    /// Kprobes, tracepoints and LSM hooks exclude each other.
    fn sections(&mut self, spec: &TracingPolicySpec, path: &Path) {
        let used = [
            ("kprobes", spec.kprobes.is_empty()),
            ("tracepoints", spec.tracepoints.is_empty()),
            ("lsmhooks", spec.lsmhooks.is_empty()),
        ];
        let mut used = used.into_iter().filter(|(_, empty)| !empty).map(|(name, _)| name);
        let Some(first) = used.next() else { return };
        for other in used {
            let problem = format!("{first} and {other} cannot be combined in one policy");
            self.error(Diagnostic::new(path.field(other), problem).remedy("make it a policy of its own"));
        }
    }

    fn hooks(&mut self, spec: &TracingPolicySpec, path: &Path) -> Vec<Hook> {
        let mut hooks = Vec::new();
        for (index, kprobe) in spec.kprobes.iter().enumerate() {
            hooks.push(self.kprobe(kprobe, &path.field("kprobes").index(index)));
        }
        for (index, tracepoint) in spec.tracepoints.iter().enumerate() {
            hooks.push(self.tracepoint(tracepoint, &path.field("tracepoints").index(index)));
        }
        for (index, hook) in spec.lsmhooks.iter().enumerate() {
            hooks.push(self.lsm_hook(hook, &path.field("lsmhooks").index(index)));
        }
        for (index, uprobe) in spec.uprobes.iter().enumerate() {
            hooks.push(self.uprobe(uprobe, &path.field("uprobes").index(index)));
        }
        hooks
    }

    /// Some sections cannot be limited to pods.
    fn unfiltered_sections(&mut self, spec: &TracingPolicySpec, path: &Path, is_scoped: bool) {
        if !is_scoped {
            return;
        }
        let used = [("uprobes", !spec.uprobes.is_empty()), ("loader", spec.loader)];
        for (section, _) in used.into_iter().filter(|(_, used)| *used) {
            let problem = "cannot be limited to a namespace, pods or containers";
            let remedy = "make it a TracingPolicy without selectors of pods and containers";
            self.error(Diagnostic::new(path.field(section), problem).remedy(remedy));
        }
    }
}
