//! How a policy's hooks are attached, and what that way cannot promise.

use tetragon_crds::Diagnostic;
use tetragon_crds::policy::{Action, AttachMethod, Mode, Policy};
use tetragon_policy::{Attach, HookProgram, Program};

use crate::kernel::features::Abilities;

/// How functions of the kernel are hooked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Kprobe,
    Fentry,
}

/// The way that the policy asks for, else kprobes, else what there is.
pub(super) fn way_of(policy: &Policy, program: &Program, abilities: Abilities) -> Result<Way, Diagnostic> {
    let mut way = Way::Kprobe;
    for hook in &program.hooks {
        match hook.attach {
            Attach::Lsm { .. } => lsm(hook, abilities)?,
            Attach::Kprobe { .. } => {
                let asked = policy.options.attach_method;
                way = match asked {
                    None if !abilities.kprobes && abilities.fentry => Way::Fentry,
                    None | Some(AttachMethod::Kprobe) => Way::Kprobe,
                    Some(AttachMethod::Fentry) => Way::Fentry,
                };
                if way == Way::Fentry {
                    fentry(policy, hook, abilities)?;
                }
            }
            _ => {}
        }
    }
    Ok(way)
}

fn lsm(hook: &HookProgram, abilities: Abilities) -> Result<(), Diagnostic> {
    if !abilities.lsm {
        let problem = "BPF is not among this kernel's enabled security modules";
        let remedy = "start it with bpf in its lsm= list (CONFIG_BPF_LSM=y; see /sys/kernel/security/lsm)";
        return Err(Diagnostic::new(hook.path.clone(), problem).remedy(remedy));
    }
    preemption(hook, abilities)
}

fn fentry(policy: &Policy, hook: &HookProgram, abilities: Abilities) -> Result<(), Diagnostic> {
    if !abilities.fentry {
        let problem = "this kernel has no fentry";
        return Err(Diagnostic::new(hook.path.clone(), problem).remedy("use kprobes or tracepoints"));
    }
    let interferes = |action: &Action| matches!(action, Action::Sigkill | Action::Signal { .. });
    let mut actions = hook.selectors.iter().flat_map(|it| it.actions.iter().chain(&it.return_actions));
    if policy.options.mode != Some(Mode::Monitor) && actions.any(interferes) {
        let problem = "cannot be enforced by fentry: the kernel skips the program while another task is preempted in it";
        return Err(Diagnostic::new(hook.path.clone(), problem).remedy("use an LSM hook or a kprobe"));
    }
    preemption(hook, abilities)
}

fn preemption(hook: &HookProgram, abilities: Abilities) -> Result<(), Diagnostic> {
    if abilities.trampolines {
        return Ok(());
    }
    let problem = "this kernel can be preempted here, and lacks what the program needs then (5.15)";
    Err(Diagnostic::new(hook.path.clone(), problem).remedy("use kprobes or tracepoints"))
}
