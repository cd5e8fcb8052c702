//! Plans before they have their places.

use std::collections::BTreeSet;
use std::sync::Arc;

use tetragon_bpf::plan::{PLAN_READERS, Plan, plan_flags, source};
use tetragon_crds::policy::Policy;
use tetragon_policy::{Attach, HookProgram, Program};

use super::ways::Way;
use crate::kernel::policy::{Needs, Place};
use crate::policies::catalogue::PlanInfo;

/// A plan before it has its place.
pub(super) struct Draft {
    pub(super) plan: Plan,
    pub(super) info: PlanInfo,
    pub(super) place: Place,
    pub(super) returns: bool,
}

/// What a policy is going to attach.
pub(super) fn needs_of(program: &Program, policy: &Policy, way: Way) -> Needs {
    let mut functions = BTreeSet::new();
    let mut needs = Needs { one_by_one: policy.options.disable_kprobe_multi, ..Needs::default() };
    for hook in &program.hooks {
        match &hook.attach {
            // Others are loaded when they are attached.
            Attach::Kprobe { symbols, .. } if way == Way::Kprobe => {
                functions.extend(symbols);
                needs.returns |= hook.returns.is_some() || hook.readers.iter().any(|reader| reader.at_return);
            }
            Attach::Tracepoint { .. } => needs.tracepoints = true,
            Attach::Kprobe { .. } | Attach::Lsm { .. } | Attach::Uprobe { .. } => {}
        }
        needs.facts |= hook.selectors.iter().any(|selector| {
            selector.binaries.is_some()
                || selector.namespace_changes.is_some()
                || !selector.capability_changes.is_empty()
        });
    }
    needs.functions = functions.len();
    needs
}

/// One plan for each function of a hook.
pub(super) fn draft(policy: &Policy, hook: &HookProgram, plan: Plan, way: Way, drafts: &mut Vec<Draft>) {
    let shared = Arc::new(hook.clone());
    let returns = u32::from(plan.flags) & plan_flags::RETURNS != 0;
    let mut add = |plan: Plan, place: Place, function: String| {
        let info = PlanInfo::new(policy.name.clone(), Arc::clone(&shared), function);
        drafts.push(Draft { plan, info, place, returns });
    };
    match &hook.attach {
        Attach::Kprobe { symbols, .. } => {
            for symbol in symbols {
                let mut plan = plan;
                if is_compat(symbol) {
                    use_compat_registers(&mut plan);
                }
                let place = match way {
                    Way::Kprobe => Place::Function(symbol.clone()),
                    Way::Fentry => Place::Fentry(symbol.clone()),
                };
                add(plan, place, symbol.clone());
            }
        }
        Attach::Tracepoint { subsystem, event } => {
            let place = Place::Tracepoint { subsystem: subsystem.clone(), event: event.clone() };
            add(plan, place, String::new());
        }
        Attach::Lsm { hook } => add(plan, Place::Lsm(hook.clone()), hook.clone()),
        Attach::Uprobe { .. } => {}
    }
}

/// Whether a function is a system call of 32-bit programs, whose arguments are in other registers.
fn is_compat(symbol: &str) -> bool {
    cfg!(target_arch = "x86_64") && symbol.starts_with("__ia32_")
}

fn use_compat_registers(plan: &mut Plan) {
    for reader in &mut plan.reader[..=PLAN_READERS] {
        for from in [&mut reader.value, &mut reader.size] {
            if u32::from(from.kind) == source::SYSCALL {
                from.offset = 1;
            }
        }
    }
}
