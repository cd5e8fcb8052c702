//! What a guest's kernel says.

use std::path::Path;

use crate::runner;

/// The end of the console, with the terminal's control sequences of the firmware left out.
pub(crate) fn tail(path: &Path) -> String {
    let text = runner::tail(path, 16 * 1024).unwrap_or_else(|error| format!("(no console: {error:#})"));
    let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|line| !line.contains('\x1b')).collect();
    lines[lines.len().saturating_sub(60)..].join("\n")
}
