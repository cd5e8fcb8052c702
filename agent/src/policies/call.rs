//! A call that matched a policy, as its event shows it.

use std::sync::Arc;

use tetragon_api::json::{self};
use tetragon_api::tetragon::get_events_response::Event as WirePayload;
use tetragon_api::tetragon::kprobe_argument::Arg;
use tetragon_api::tetragon::{
    EventType, KprobeAction, KprobeArgument, Process, ProcessKprobe, ProcessLsm, ProcessTracepoint,
    ProcessUprobe,
};
use tetragon_policy::Attach;

use super::PlanInfo;
use super::stacks::{KernelStack, UserStack};

/// A matching call, whole.
#[derive(Debug, Clone)]
pub struct Call {
    /// What its record meant.
    pub plan: Arc<PlanInfo>,
    /// The thread that called.
    pub tid: u32,
    /// Arguments in the policy's order.
    pub args: Vec<KprobeArgument>,
    /// What was returned, if the policy asks.
    pub returned: Option<KprobeArgument>,
    /// What was done about it.
    pub action: KprobeAction,
    /// What was done at its return.
    pub return_action: KprobeAction,
    /// Why that failed; 0: it did not.
    pub action_errno: i32,
    /// Leaf first.
    pub kernel_stack: KernelStack,
    /// Leaf first.
    pub user_stack: UserStack,
}

/// The contract's name of an action, by the kernel programs' number.
pub fn action(number: u8) -> KprobeAction {
    KprobeAction::try_from(i32::from(number) + 1).unwrap_or(KprobeAction::Unknown)
}

/// Processes in the wire format.
#[derive(Debug, Default)]
pub struct WireFamily {
    /// Who called.
    pub process: Option<Process>,
    /// Its parent.
    pub parent: Option<Process>,
    /// From the parent's parent upwards.
    pub ancestors: Vec<Process>,
}

impl Call {
    /// The kind of event.
    pub fn event_type(&self) -> EventType {
        match self.plan.hook.attach {
            Attach::Kprobe { .. } => EventType::ProcessKprobe,
            Attach::Tracepoint { .. } => EventType::ProcessTracepoint,
            Attach::Lsm { .. } => EventType::ProcessLsm,
            Attach::Uprobe { .. } => EventType::ProcessUprobe,
        }
    }

    /// The event, with these processes.
    pub fn message(&self, family: WireFamily) -> WirePayload {
        let WireFamily { process, parent, ancestors } = family;
        let plan = &self.plan;
        let policy_name = plan.policy.name.clone();
        let (message, tags, args) = (plan.message.clone(), plan.tags.clone(), self.args.clone());
        let (action, action_errno) = (self.action.into(), self.action_errno);
        match &plan.hook.attach {
            Attach::Kprobe { .. } => WirePayload::ProcessKprobe(ProcessKprobe {
                process,
                parent,
                function_name: plan.function.clone(),
                args,
                r#return: self.returned.clone(),
                action,
                kernel_stack_trace: self.kernel_stack.entries(),
                policy_name,
                return_action: self.return_action.into(),
                message,
                tags,
                user_stack_trace: self.user_stack.entries(),
                ancestors,
                data: Vec::new(),
                action_errno,
            }),
            Attach::Tracepoint { subsystem, event } => WirePayload::ProcessTracepoint(ProcessTracepoint {
                process,
                parent,
                subsys: subsystem.clone(),
                event: event.clone(),
                args,
                policy_name,
                action,
                message,
                tags,
                ancestors,
                action_errno,
            }),
            Attach::Lsm { hook } => WirePayload::ProcessLsm(ProcessLsm {
                process,
                parent,
                function_name: hook.clone(),
                policy_name,
                message,
                args,
                action,
                tags,
                ancestors,
                ima_hash: String::new(),
                action_errno,
            }),
            Attach::Uprobe { path, .. } => WirePayload::ProcessUprobe(ProcessUprobe {
                process,
                parent,
                path: path.clone(),
                symbol: plan.function.clone(),
                policy_name,
                message,
                args,
                tags,
                ancestors,
                action,
                action_errno,
                ..ProcessUprobe::default()
            }),
        }
    }

    /// What the event consists of besides its processes: its name, its JSON object and its bytes. `None` if something of
    /// it belongs behind `ancestors` and there are some.
    pub fn without_processes(&self, ancestors: bool) -> Option<Rest> {
        if ancestors && (self.action_errno != 0 || self.event_type() == EventType::ProcessUprobe) {
            return None;
        }
        Some(Rest(self.message(WireFamily::default())))
    }

    /// Bytes of what can be long.
    pub fn weight(&self) -> usize {
        self.args.iter().chain(&self.returned).map(weight).sum::<usize>()
            + 64 * (self.kernel_stack.len() + self.user_stack.len())
    }
}

/// An event without its processes.
#[derive(Debug)]
pub struct Rest(WirePayload);

impl Rest {
    /// The key of its JSON object in the event.
    pub fn name(&self) -> &'static str {
        match self.0 {
            WirePayload::ProcessTracepoint(_) => "process_tracepoint",
            WirePayload::ProcessLsm(_) => "process_lsm",
            WirePayload::ProcessUprobe(_) => "process_uprobe",
            _ => "process_kprobe",
        }
    }

    /// The number of its field `ancestors`.
    pub fn ancestors_field(&self) -> u32 {
        match self.0 {
            WirePayload::ProcessTracepoint(_) => 11,
            WirePayload::ProcessLsm(_) => 10,
            WirePayload::ProcessUprobe(_) => 9,
            _ => 13,
        }
    }

    /// Its JSON object.
    pub fn json(&self) -> String {
        match &self.0 {
            WirePayload::ProcessKprobe(it) => json::to_string(it),
            WirePayload::ProcessTracepoint(it) => json::to_string(it),
            WirePayload::ProcessLsm(it) => json::to_string(it),
            WirePayload::ProcessUprobe(it) => json::to_string(it),
            _ => String::new(),
        }
    }

    /// Its wire format.
    pub fn proto(&self) -> Vec<u8> {
        use prost::Message as _;
        match &self.0 {
            WirePayload::ProcessKprobe(it) => it.encode_to_vec(),
            WirePayload::ProcessTracepoint(it) => it.encode_to_vec(),
            WirePayload::ProcessLsm(it) => it.encode_to_vec(),
            WirePayload::ProcessUprobe(it) => it.encode_to_vec(),
            _ => Vec::new(),
        }
    }
}

fn weight(argument: &KprobeArgument) -> usize {
    match &argument.arg {
        Some(Arg::StringArg(text)) => text.len(),
        Some(Arg::BytesArg(bytes)) => bytes.len(),
        Some(Arg::TruncatedBytesArg(it)) => it.bytes_arg.len(),
        Some(Arg::FileArg(it)) => it.path.len(),
        Some(Arg::PathArg(it)) => it.path.len(),
        Some(Arg::LinuxBinprmArg(it)) => it.path.len(),
        _ => 64,
    }
}

#[cfg(test)]
mod tests {
    use tetragon_bpf::plan::action_kind;

    use super::*;

    #[test]
    fn actions_have_the_contract_s_names() {
        for (number, name) in [
            (action_kind::POST, "KPROBE_ACTION_POST"),
            (action_kind::SIGKILL, "KPROBE_ACTION_SIGKILL"),
            (action_kind::OVERRIDE, "KPROBE_ACTION_OVERRIDE"),
            (action_kind::NO_POST, "KPROBE_ACTION_NOPOST"),
            (action_kind::SIGNAL, "KPROBE_ACTION_SIGNAL"),
            (action_kind::NOTIFY_ENFORCER, "KPROBE_ACTION_NOTIFYENFORCER"),
            (200, "KPROBE_ACTION_UNKNOWN"),
        ] {
            assert_eq!(action(u8::try_from(number).unwrap()).as_str_name(), name);
        }
    }
}
