//! A hook of a policy, as the kernel's matcher reads it.

mod filters;

use std::io;

use ipnet::IpNet;
use tetragon_bpf::plan::{
    PLAN_ACTIONS, PLAN_OPS, PLAN_READERS, PLAN_SELECTORS, Plan, PlanAction, PlanReader, PlanSelector,
    PlanSource, TEXT_CLASSES, action_flags, action_kind, capture, plan_flags, rate_scope, reader_flags,
    source,
};
use tetragon_crds::policy::{Action, Ranges, RateLimitScope, Selector};
use tetragon_crds::spec::ArgType;
use tetragon_crds::{Diagnostic, Path};
use tetragon_policy::{Attach, Capture, HookProgram, Reader, Source};
use zerocopy::FromZeros as _;

pub use filters::HostNamespaces;

/// Where values go that are too many, or too long, to be part of a plan. What is made stays until the whole is dropped.
pub trait Sets {
    /// A set of ranges, as the matcher compares numbers. Its number.
    ///
    /// # Errors
    /// The kernel has no room; so of all of them.
    fn numbers(&mut self, ranges: &[(u64, u64)]) -> io::Result<u32>;
    /// Sets of texts, by their length classes. 0: no text of that class.
    fn texts(&mut self, texts: &[&[u8]]) -> io::Result<[u16; TEXT_CLASSES]>;
    /// A set of beginnings.
    fn prefixes(&mut self, texts: &[&[u8]]) -> io::Result<u32>;
    /// A set of ends.
    fn postfixes(&mut self, texts: &[&[u8]]) -> io::Result<u32>;
    /// The networks of both families; 0: none of that family.
    fn networks(&mut self, networks: &[IpNet]) -> io::Result<(u32, u32)>;
    /// Has the descendants of these programs followed. The number of the follower, from 0.
    fn follow(&mut self, slots: [u16; TEXT_CLASSES]) -> io::Result<u8>;
}

/// Why a hook cannot be encoded.
#[derive(Debug)]
pub enum EncodeError {
    /// The policy wants what this matcher does not do.
    Policy(Diagnostic),
    /// The kernel did not take a set.
    Kernel(io::Error),
}

impl From<io::Error> for EncodeError {
    fn from(error: io::Error) -> Self {
        Self::Kernel(error)
    }
}

impl EncodeError {
    /// Names the place in the policy whose values the kernel did not take.
    fn at(self, place: &Path) -> Self {
        match self {
            Self::Kernel(error) => {
                refuse(place.clone(), format!("the kernel does not take the values: {error}"))
            }
            policy @ Self::Policy(_) => policy,
        }
    }
}

fn refuse(path: Path, problem: impl Into<String>) -> EncodeError {
    EncodeError::Policy(Diagnostic::new(path, problem))
}

/// Settings of the policy that all its hooks share.
#[derive(Debug, Clone, Copy, Default)]
pub struct Manner {
    /// Signals are not sent.
    pub monitor: bool,
    /// A filter on an argument that cannot be read matches.
    pub match_unreadable: bool,
}

/// Encodes a hook. Ids, generation and hook are the caller's to fill in.
///
/// # Errors
/// The policy wants what the matcher does not do, or more than a plan holds; or the kernel has no room.
pub fn encode(
    hook: &HookProgram,
    manner: Manner,
    host: &HostNamespaces,
    sets: &mut dyn Sets,
) -> Result<Plan, EncodeError> {
    match &hook.attach {
        Attach::Kprobe { .. } | Attach::Tracepoint { .. } | Attach::Lsm { .. } => {}
        Attach::Uprobe { .. } => return Err(refuse(hook.path.clone(), "there is no sensor for uprobes yet")),
    }
    let mut plan = Plan::new_zeroed();
    plan.readers = count(hook.readers.len(), PLAN_READERS, "arguments", &hook.path)?;
    for (to, reader) in plan.reader.iter_mut().zip(&hook.readers) {
        *to = encode_reader(reader);
    }
    let at_return = hook.readers.iter().any(|reader| reader.at_return);
    if let Some(returns) = &hook.returns {
        plan.reader[PLAN_READERS] = encode_reader(returns);
    }
    if at_return || hook.returns.is_some() {
        plan.flags |= flag(plan_flags::RETURNS);
    }
    if manner.monitor {
        plan.flags |= flag(plan_flags::MONITOR);
    }
    if manner.match_unreadable {
        plan.flags |= flag(plan_flags::MATCH_UNREADABLE);
    }
    if hook.selectors.is_empty() {
        plan.selectors = 1;
        plan.selector[0].actions = 1;
        return Ok(plan);
    }
    plan.selectors = count(hook.selectors.len(), PLAN_SELECTORS, "selectors", &hook.path)?;
    let mut ops = filters::Ops::new(host, sets);
    for (to, selector) in plan.selector.iter_mut().zip(&hook.selectors) {
        *to = encode_selector(selector, matches!(hook.attach, Attach::Lsm { .. }), &mut ops)?;
    }
    let ops = ops.finish();
    if ops.len() > PLAN_OPS {
        let problem =
            format!("the filters need {} comparisons, and a hook has room for {PLAN_OPS}", ops.len());
        return Err(EncodeError::Policy(
            Diagnostic::new(hook.path.field("selectors"), problem)
                .remedy("use InMap for many values, or several policies"),
        ));
    }
    plan.op[..ops.len()].copy_from_slice(&ops);
    Ok(plan)
}

fn flag(bit: u32) -> u16 {
    u16::try_from(bit).unwrap_or(0)
}

fn small(number: u32) -> u8 {
    u8::try_from(number).unwrap_or(u8::MAX)
}

fn count(number: usize, limit: usize, what: &str, path: &Path) -> Result<u8, EncodeError> {
    if number > limit {
        return Err(refuse(path.clone(), format!("{number} {what}, and a hook has room for {limit}")));
    }
    Ok(u8::try_from(number).unwrap_or(u8::MAX))
}

fn encode_source(from: Source) -> PlanSource {
    let of = |kind: u32, index: u32, offset: u32| PlanSource {
        kind: small(kind),
        index: small(index),
        offset: u16::try_from(offset).unwrap_or(u16::MAX),
    };
    match from {
        Source::Argument(index) => of(source::ARGUMENT, index, 0),
        Source::SyscallArgument(index) => of(source::SYSCALL, index, 0),
        Source::Field { offset, size } => of(source::FIELD, size, offset),
        Source::Return => of(source::RETURN, 0, 0),
    }
}

fn encode_reader(reader: &Reader) -> PlanReader {
    let (kind, array_size) = match reader.capture {
        Capture::Typed(ty) => (capture_of(ty), 0),
        Capture::Array { size, .. } => (capture::CONST_BUF, size),
    };
    let mut flags = 0;
    if reader.at_return {
        flags |= flag(reader_flags::AT_RETURN);
    }
    if reader.max_data {
        flags |= flag(reader_flags::MAX_DATA);
    }
    PlanReader {
        value: encode_source(reader.source),
        size: reader.size.map(encode_source).unwrap_or_else(PlanSource::new_zeroed),
        capture: flag(kind),
        flags,
        array_size,
    }
}

fn capture_of(ty: ArgType) -> u32 {
    match ty {
        // Compiled programs have no argument of that type.
        ArgType::Auto | ArgType::Nop => capture::NONE,
        ArgType::Int => capture::INT,
        ArgType::Int8 => capture::S8,
        ArgType::Uint8 => capture::U8,
        ArgType::Int16 => capture::S16,
        ArgType::Uint16 => capture::U16,
        ArgType::Uint32 => capture::U32,
        ArgType::Int32 => capture::S32,
        ArgType::Uint64 => capture::U64,
        ArgType::Int64 => capture::S64,
        ArgType::CharBuf => capture::CHAR_BUF,
        ArgType::CharIovec => capture::CHAR_IOVEC,
        ArgType::SizeT => capture::SIZE,
        ArgType::Skb => capture::SKB,
        ArgType::Sock => capture::SOCK,
        ArgType::String => capture::STRING,
        ArgType::Fd => capture::FD,
        ArgType::File => capture::FILE,
        ArgType::Filename => capture::FILENAME,
        ArgType::Path => capture::PATH,
        ArgType::BpfAttr => capture::BPF_ATTR,
        ArgType::PerfEvent => capture::PERF_EVENT,
        ArgType::BpfMap => capture::BPF_MAP,
        ArgType::UserNamespace => capture::USER_NAMESPACE,
        ArgType::Capability => capture::CAPABILITY,
        ArgType::Kiocb => capture::KIOCB,
        ArgType::IovIter => capture::IOV_ITER,
        ArgType::Cred => capture::CRED,
        ArgType::LoadInfo => capture::LOAD_INFO,
        ArgType::Module => capture::MODULE,
        ArgType::Syscall64 => capture::SYSCALL64,
        ArgType::KernelCap => capture::KERNEL_CAP,
        ArgType::CapInheritable => capture::CAP_INHERITABLE,
        ArgType::CapPermitted => capture::CAP_PERMITTED,
        ArgType::CapEffective => capture::CAP_EFFECTIVE,
        ArgType::LinuxBinprm => capture::LINUX_BINPRM,
        ArgType::DataLoc => capture::DATA_LOC,
        ArgType::NetDevice => capture::NET_DEVICE,
    }
}

/// `decides`: the hook returns what a policy says.
fn encode_selector(
    selector: &Selector,
    decides: bool,
    ops: &mut filters::Ops<'_>,
) -> Result<PlanSelector, EncodeError> {
    let mut out = PlanSelector::new_zeroed();
    let first = ops.len();
    ops.process(selector)?;
    ops.arguments(&selector.args, None)?;
    out.first_op = index(first);
    out.ops = index(ops.len() - first);
    let first = ops.len();
    ops.arguments(&selector.return_args, Some(PLAN_READERS))?;
    out.first_return_op = index(first);
    out.return_ops = index(ops.len() - first);
    let actions = selector.path.field("matchActions");
    out.actions = encode_actions(&selector.actions, decides, &mut out.action, &actions)?;
    let actions = selector.path.field("matchReturnActions");
    out.return_actions = encode_actions(&selector.return_actions, false, &mut out.return_action, &actions)?;
    Ok(out)
}

/// Positions beyond what a plan holds are refused once all are known.
fn index(number: usize) -> u16 {
    u16::try_from(number).unwrap_or(u16::MAX)
}

fn encode_actions(
    actions: &[Action],
    decides: bool,
    out: &mut [PlanAction; PLAN_ACTIONS],
    path: &Path,
) -> Result<u8, EncodeError> {
    let number = count(actions.len(), PLAN_ACTIONS, "actions", path)?;
    for (position, (to, action)) in out.iter_mut().zip(actions).enumerate() {
        let unsupported = |name: &str| {
            let path = path.index(position).field("action");
            EncodeError::Policy(Diagnostic::new(path, "this action is not there yet").value(name))
        };
        match action {
            Action::Post { rate_limit, kernel_stack_trace, user_stack_trace } => {
                to.kind = small(action_kind::POST);
                if *kernel_stack_trace {
                    to.flags |= small(action_flags::KERNEL_STACK);
                }
                if *user_stack_trace {
                    to.flags |= small(action_flags::USER_STACK);
                }
                if let Some(limit) = rate_limit {
                    to.value = limit.milliseconds;
                    to.scope = small(match limit.scope {
                        RateLimitScope::Thread => rate_scope::THREAD,
                        RateLimitScope::Process => rate_scope::PROCESS,
                        RateLimitScope::Global => rate_scope::GLOBAL,
                    });
                }
            }
            Action::NoPost => to.kind = small(action_kind::NO_POST),
            Action::Sigkill => to.kind = small(action_kind::SIGKILL),
            Action::Signal { signal } => {
                to.kind = small(action_kind::SIGNAL);
                to.signal = *signal;
            }
            // Descriptors are resolved where they are used, so there is nothing to remember or to forget.
            Action::FollowFd { .. } => to.kind = small(action_kind::FOLLOW_FD),
            Action::UnfollowFd { .. } => to.kind = small(action_kind::UNFOLLOW_FD),
            Action::CopyFd { .. } => to.kind = small(action_kind::COPY_FD),
            Action::Override { error } if decides => {
                to.kind = small(action_kind::OVERRIDE);
                to.value = (*error).clamp(-4095, 0).unsigned_abs();
            }
            Action::Override { .. } => return Err(unsupported("Override")),
            Action::NotifyEnforcer { .. } => return Err(unsupported("NotifyEnforcer")),
            Action::GetUrl { .. } => return Err(unsupported("GetUrl")),
            Action::DnsLookup { .. } => return Err(unsupported("DnsLookup")),
            Action::TrackSock { .. } => return Err(unsupported("TrackSock")),
            Action::UntrackSock { .. } => return Err(unsupported("UntrackSock")),
        }
    }
    Ok(number)
}

/// The ranges of a set, as the matcher compares numbers: signed ones with the sign bit turned round.
fn biased(ranges: &Ranges, signed: bool) -> Vec<(u64, u64)> {
    ranges.iter().map(|(low, high)| (bias(low, signed), bias(high, signed))).collect()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the loader keeps values in 64 bits"
)]
fn bias(number: i128, signed: bool) -> u64 {
    if signed { (number as i64 as u64) ^ 1 << 63 } else { number as u64 }
}

#[cfg(test)]
mod tests;
