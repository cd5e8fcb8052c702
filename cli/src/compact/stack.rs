//! Stack traces below the line of a function hook.

use std::fmt::Write as _;

use tetragon_api::tetragon::{ProcessKprobe, StackTraceEntry};

use super::paint::{Color, Paint, safe};

/// Appends the stacks that the event has, each entry on a line of its own.
pub(super) fn push(line: &mut String, event: &ProcessKprobe, paint: Paint) {
    // Writing into a string cannot fail.
    if !event.kernel_stack_trace.is_empty() {
        line.push_str("\nKernel:");
        for entry in &event.kernel_stack_trace {
            let (address, symbol) = (address(entry, paint), safe(&entry.symbol));
            let offset = paint.apply(Color::Yellow, format!("{:#x}", entry.offset));
            let _ = write!(line, "\n   {address}: {}+{offset}", paint.apply(Color::Blue, symbol));
        }
    }
    if !event.user_stack_trace.is_empty() {
        line.push_str("\nUser:");
        for entry in &event.user_stack_trace {
            let _ = write!(line, "\n   {}:", address(entry, paint));
            if !entry.symbol.is_empty() {
                let _ = write!(line, " {}", paint.apply(Color::Blue, safe(&entry.symbol)));
            }
            let place = format!("{}+{:#x}", safe(&entry.module), entry.offset);
            let _ = write!(line, " ({})", paint.apply(Color::Yellow, place));
        }
    }
}

fn address(entry: &StackTraceEntry, paint: Paint) -> String {
    paint.apply(Color::Green, format!("{:#x}", entry.address)).into_owned()
}
