//! Types of policies against types of the kernel.

use tetragon_crds::spec::ArgType;

use crate::kernel::ParameterType;

/// The structures whose pointers policies know.
const STRUCTURES: &[(ArgType, &str)] = &[
    (ArgType::Skb, "sk_buff"),
    (ArgType::Sock, "sock"),
    (ArgType::File, "file"),
    (ArgType::Filename, "filename"),
    (ArgType::Path, "path"),
    (ArgType::BpfAttr, "bpf_attr"),
    (ArgType::PerfEvent, "perf_event"),
    (ArgType::BpfMap, "bpf_map"),
    (ArgType::UserNamespace, "user_namespace"),
    (ArgType::Kiocb, "kiocb"),
    (ArgType::IovIter, "iov_iter"),
    (ArgType::Cred, "cred"),
    (ArgType::LoadInfo, "load_info"),
    (ArgType::Module, "module"),
    (ArgType::LinuxBinprm, "linux_binprm"),
    (ArgType::NetDevice, "net_device"),
    (ArgType::CharIovec, "iovec"),
];

/// What the kernel has, if a type cannot be right for it.
pub(super) fn contradiction(ty: ArgType, found: &ParameterType) -> Option<String> {
    let structure = STRUCTURES.iter().find(|(it, _)| *it == ty).map(|(_, name)| *name);
    let fits = match (found, structure) {
        (ParameterType::Structure(found), Some(wanted)) => found == wanted,
        (ParameterType::Structure(_), None) => matches!(
            ty,
            // Addresses are numbers, and capability sets became structures.
            ArgType::Uint64
                | ArgType::KernelCap
                | ArgType::CapInheritable
                | ArgType::CapPermitted
                | ArgType::CapEffective
        ),
        (ParameterType::Integer { size, .. }, None) => match width(ty) {
            Some(width) => width <= *size,
            None => false,
        },
        (ParameterType::Integer { .. }, Some(_)) => false,
        (ParameterType::Text, Some(_)) => false,
        (ParameterType::Text, None) => width(ty).is_none() || ty == ArgType::Uint64,
        (ParameterType::Pointer | ParameterType::Other, _) => true,
    };
    (!fits).then(|| describe(found))
}

/// The type of policies for a type of the kernel.
pub(super) fn suggestion(found: &ParameterType) -> Option<ArgType> {
    match found {
        ParameterType::Structure(name) => {
            STRUCTURES.iter().find(|(_, structure)| structure == name).map(|(ty, _)| *ty)
        }
        ParameterType::Integer { size, signed } => Some(match (size, signed) {
            (1, true) => ArgType::Int8,
            (1, false) => ArgType::Uint8,
            (2, true) => ArgType::Int16,
            (2, false) => ArgType::Uint16,
            (4, true) => ArgType::Int32,
            (4, false) => ArgType::Uint32,
            (8, true) => ArgType::Int64,
            _ => ArgType::Uint64,
        }),
        ParameterType::Text => Some(ArgType::String),
        _ => None,
    }
}

/// Bytes of a type whose values are in registers.
fn width(ty: ArgType) -> Option<u32> {
    Some(match ty {
        ArgType::Int8 | ArgType::Uint8 => 1,
        ArgType::Int16 | ArgType::Uint16 => 2,
        ArgType::Int | ArgType::Int32 | ArgType::Uint32 | ArgType::Fd | ArgType::Capability => 4,
        ArgType::Int64 | ArgType::Uint64 | ArgType::SizeT | ArgType::Syscall64 => 8,
        _ => return None,
    })
}

fn describe(found: &ParameterType) -> String {
    match found {
        ParameterType::Integer { size, signed } => {
            format!("{} of {size} bytes", if *signed { "a signed integer" } else { "an unsigned integer" })
        }
        ParameterType::Structure(name) => format!("a pointer to struct {name}"),
        ParameterType::Text => "a pointer to characters".to_owned(),
        ParameterType::Pointer => "a pointer".to_owned(),
        ParameterType::Other => "something else".to_owned(),
    }
}
