//! Arguments of a call as events show them.

mod bpf;
mod credentials;
mod files;
mod names;
mod net;
mod text;

use tetragon_api::tetragon::kprobe_argument::Arg;
use tetragon_api::tetragon::{KprobeArgument, KprobeError};
use tetragon_bpf::plan::{Captured, PLAN_READERS, PolicyRecord, capture, captured_flags};
use tetragon_crds::spec::ArgType;
use tetragon_policy::{Attach, Capture, HookProgram, Reader};
use zerocopy::FromBytes;

/// What an argument says that lies in memory which cannot be read, or is not in memory now.
const UNREADABLE: &str = "Bad address for basic type";
/// What an argument says for which the record had no room.
const NOT_READ: &str = "Not read: no room in the record";
/// What a file descriptor says that is not open.
const NOT_OPEN: &str = "Bad file descriptor";

/// A record whose arguments are not what its plan says. Cannot happen while agent and object are of one build.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Misread {
    /// Too few bytes, or an unknown type.
    #[error("argument {position}: {len} bytes are no argument of type {capture}")]
    Argument {
        /// Of the reader.
        position: usize,
        /// As the record has it.
        capture: u16,
        /// Bytes of it.
        len: usize,
    },
    /// More arguments than the plan reads.
    #[error("{record} arguments in the record of a plan that reads {plan}")]
    Number {
        /// In the record.
        record: usize,
        /// In the plan.
        plan: usize,
    },
}

/// Arguments with their positions in the policy's list, ascending. An array is several with one position.
pub type Positioned = Vec<(usize, KprobeArgument)>;

/// What one reader read.
#[derive(Debug, Clone, Copy)]
struct Value<'a> {
    captured: &'a Captured,
    bytes: &'a [u8],
    /// At a tracepoint, where some types are shown in another way.
    tracepoint: bool,
}

impl<'a> Value<'a> {
    fn new(captured: &'a Captured, data: &'a [u8], tracepoint: bool) -> Self {
        let (from, len) = (captured.offset as usize, captured.len as usize);
        let bytes = data.get(from..).and_then(|rest| rest.get(..len)).unwrap_or_default();
        Self { captured, bytes, tracepoint }
    }

    fn has(&self, flag: u32) -> bool {
        u32::from(self.captured.flags) & flag != 0
    }

    fn structure<T: FromBytes>(&self) -> Option<T> {
        Some(T::read_from_prefix(self.bytes).ok()?.0)
    }
}

/// The arguments that were read at entry, and places for those that are read at return.
///
/// # Errors
/// The record does not fit the hook.
pub fn at_entry(record: &PolicyRecord, data: &[u8], hook: &HookProgram) -> Result<Positioned, Misread> {
    let plan = hook.readers.len();
    if usize::from(record.readers) > plan.min(PLAN_READERS) {
        return Err(Misread::Number { record: record.readers.into(), plan });
    }
    let tracepoint = matches!(hook.attach, Attach::Tracepoint { .. });
    let mut out = Vec::with_capacity(plan);
    for (position, reader) in hook.readers.iter().enumerate().take(record.readers.into()) {
        if reader.at_return {
            out.push((position, labelled(reader, tracepoint, Arg::BytesArg(Vec::new().into()))));
        } else {
            read(record, data, (position, reader), tracepoint, &mut out)?;
        }
    }
    Ok(out)
}

/// Puts the arguments that were read at return into their places, and gives the return value.
///
/// # Errors
/// The record does not fit the hook; then nothing is changed.
pub fn at_return(
    record: &PolicyRecord,
    data: &[u8],
    hook: &HookProgram,
    args: &mut Positioned,
) -> Result<Option<KprobeArgument>, Misread> {
    let mut late = Vec::new();
    for (position, reader) in hook.readers.iter().enumerate().take(PLAN_READERS) {
        if reader.at_return {
            read(record, data, (position, reader), false, &mut late)?;
        }
    }
    let mut returned = Vec::new();
    if let Some(reader) = &hook.returns {
        read(record, data, (PLAN_READERS, reader), false, &mut returned)?;
    }
    for (position, argument) in late {
        match args.iter_mut().find(|(other, _)| *other == position) {
            Some((_, place)) => *place = argument,
            None => args.push((position, argument)),
        }
    }
    Ok(returned.pop().map(|(_, argument)| KprobeArgument { label: String::new(), ..argument }))
}

fn read(
    record: &PolicyRecord,
    data: &[u8],
    (position, reader): (usize, &Reader),
    tracepoint: bool,
    out: &mut Positioned,
) -> Result<(), Misread> {
    if reader.capture == Capture::Typed(ArgType::Nop) {
        return Ok(());
    }
    let captured = &record.arg[position];
    let value = Value::new(captured, data, tracepoint);
    let mut push = |arg| out.push((position, labelled(reader, tracepoint, arg)));
    if let Some(problem) = problem(&value) {
        push(error(problem));
    } else if let Capture::Array { element: 8, .. } = reader.capture {
        for element in value.bytes.chunks_exact(8) {
            push(Arg::SizeArg(u64::from_ne_bytes(element.try_into().unwrap_or_default())));
        }
    } else {
        let misread = Misread::Argument { position, capture: captured.capture, len: captured.len as usize };
        push(show(&value).ok_or(misread)?);
    }
    Ok(())
}

/// Why there is nothing to show.
fn problem(value: &Value<'_>) -> Option<&'static str> {
    let Captured { len, value: number, .. } = value.captured;
    let no_room = value.has(captured_flags::TRUNCATED) && (*len, *number) == (0, 0);
    if !value.has(captured_flags::READ) || no_room {
        Some(NOT_READ)
    } else if !value.has(captured_flags::UNREADABLE) {
        None
    } else if u32::from(value.captured.capture) == capture::FD {
        Some(NOT_OPEN)
    } else {
        Some(UNREADABLE)
    }
}

fn error(message: &str) -> Arg {
    Arg::ErrorArg(KprobeError { message: message.to_owned() })
}

/// Labels are not part of tracepoint events.
fn labelled(reader: &Reader, tracepoint: bool, arg: Arg) -> KprobeArgument {
    let label = if tracepoint { String::new() } else { reader.label.clone() };
    KprobeArgument { label, arg: Some(arg) }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "numbers come sign-extended")]
fn show(value: &Value<'_>) -> Option<Arg> {
    let number = value.captured.value;
    Some(match u32::from(value.captured.capture) {
        capture::INT | capture::S32 | capture::S16 | capture::S8 => Arg::IntArg(number as i32),
        capture::U32 | capture::U16 | capture::U8 => Arg::UintArg(number as u32),
        capture::S64 => Arg::LongArg(number as i64),
        capture::U64 | capture::SIZE | capture::SYSCALL64 => Arg::SizeArg(number),
        capture::STRING | capture::FILENAME | capture::NET_DEVICE | capture::DATA_LOC => text::string(value),
        capture::CHAR_BUF | capture::CHAR_IOVEC | capture::IOV_ITER | capture::CONST_BUF => {
            text::bytes(value)
        }
        capture::FILE | capture::KIOCB | capture::FD => files::file(value),
        capture::PATH => files::path(value),
        capture::LINUX_BINPRM => files::program(value),
        capture::SOCK => net::sock(&value.structure()?),
        capture::SKB => net::packet(&value.structure()?),
        capture::CRED => credentials::cred(&value.structure()?),
        capture::USER_NAMESPACE => Arg::UserNsArg(credentials::user_namespace(&value.structure()?)),
        capture::CAPABILITY => credentials::capability(number as i32),
        capture::KERNEL_CAP => Arg::KernelCapTArg(credentials::mask(number)),
        capture::CAP_INHERITABLE => Arg::CapInheritableArg(credentials::mask(number)),
        capture::CAP_PERMITTED => Arg::CapPermittedArg(credentials::mask(number)),
        capture::CAP_EFFECTIVE => Arg::CapEffectiveArg(credentials::mask(number)),
        capture::BPF_ATTR => bpf::attr(&value.structure()?),
        capture::BPF_MAP => bpf::map(&value.structure()?),
        capture::PERF_EVENT => bpf::perf_event(&value.structure()?),
        capture::LOAD_INFO => bpf::module(&value.structure()?, true),
        capture::MODULE => bpf::module(&value.structure()?, false),
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
