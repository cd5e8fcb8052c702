//! How arguments are read.

use tetragon_crds::Diagnostic;
use tetragon_crds::policy::{Arg, Return};
use tetragon_crds::spec::ArgType;

use crate::kernel::{Field, Format};
use crate::program::{Capture, Reader, Source};

/// The readers of a function's arguments.
pub(super) fn of_function(args: &[Arg], syscall: bool) -> Vec<Reader> {
    let source = |index| if syscall { Source::SyscallArgument(index) } else { Source::Argument(index) };
    let reader = |arg: &Arg| {
        let size = arg.size_from.map(source);
        new(arg, source(arg.index), Capture::Typed(arg.ty), size)
    };
    args.iter().map(reader).collect()
}

/// The reader of a return value.
pub(super) fn of_return(returns: &Return) -> Reader {
    let reader = new(&returns.arg, Source::Return, Capture::Typed(returns.arg.ty), None);
    Reader { at_return: true, ..reader }
}

/// The reader of a field.
pub(super) fn of_field(arg: &Arg, format: &Format) -> Result<Reader, Diagnostic> {
    let find = |index: u32| format.fields.get(usize::try_from(index).ok()?);
    let missing = |name: &'static str, value: u32| {
        let problem = format!("the tracepoint has {} fields", format.fields.len());
        let remedy = format!("from 0 to {}, common fields included", format.fields.len().saturating_sub(1));
        Diagnostic::new(arg.path.field(name), problem).value(value).remedy(remedy)
    };
    let field = find(arg.index).ok_or_else(|| missing("index", arg.index))?;
    let size = match arg.size_from {
        None => None,
        Some(index) => {
            let field = find(index).ok_or_else(|| missing("sizeArgIndex", index + 1))?;
            Some(source(field))
        }
    };
    let capture = match arg.ty {
        ArgType::Auto => capture_of(field).ok_or_else(|| {
            let problem = format!("the type of {} ({}) has no equivalent", field.name, field.ty);
            Diagnostic::new(arg.path.field("type"), problem).remedy("give the type")
        })?,
        ty => Capture::Typed(ty),
    };
    if arg.ty == ArgType::Auto && capture == Capture::Typed(ArgType::CharBuf) && size.is_none() {
        let problem = format!("{} is a pointer to bytes, and nothing tells how many", field.name);
        let remedy = "set sizeArgIndex, or type: string if they end with a zero byte";
        return Err(Diagnostic::new(arg.path.clone(), problem).remedy(remedy));
    }
    Ok(new(arg, source(field), capture, size))
}

/// What a field is read as if the policy does not say.
fn capture_of(field: &Field) -> Option<Capture> {
    if field.ty.starts_with("__data_loc char[]") {
        return Some(Capture::Typed(ArgType::DataLoc));
    }
    if let Some(length) = field.length {
        // Of an unknown length, it is one element.
        return Some(Capture::Array { size: field.size, element: field.size / length.max(1) });
    }
    let ty = match (field.ty.as_str(), field.size, field.signed) {
        ("char *" | "const char *", 8, _) => ArgType::CharBuf,
        ("size_t", 8, _) => ArgType::SizeT,
        (ty, _, _)
            if ty.contains(['*', '[']) || ty.starts_with("struct ") || ty.starts_with("__data_loc") =>
        {
            return None;
        }
        (_, 4, true) => ArgType::Int32,
        (_, 4, false) => ArgType::Uint32,
        (_, 8, true) => ArgType::Int64,
        (_, 8, false) => ArgType::Uint64,
        _ => return None,
    };
    Some(Capture::Typed(ty))
}

fn source(field: &Field) -> Source {
    Source::Field { offset: field.offset, size: field.size }
}

fn new(arg: &Arg, source: Source, capture: Capture, size: Option<Source>) -> Reader {
    Reader {
        source,
        capture,
        size,
        at_return: arg.return_copy,
        max_data: arg.max_data,
        label: arg.label.clone(),
    }
}
