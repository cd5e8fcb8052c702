//! What is wrong with a policy, where, and what would be right.

mod nearest;
mod path;

use std::fmt;

pub use nearest::nearest;
pub(crate) use nearest::one_of;
pub use path::{Path, Segment};
use serde::Serialize;

use crate::origin::Origin;

/// A place in a policy's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Position {
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
}

/// One thing that is wrong, or deserves a warning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// The field, such as `spec.kprobes[0].call`; empty: the whole text.
    pub path: Path,
    /// Where the field is in the text, if it came as text; of a missing field, what should contain it.
    pub position: Option<Position>,
    /// The offending value, cut to what fits a line.
    pub value: Option<String>,
    /// What is wrong.
    pub problem: String,
    /// What would be right.
    pub remedy: Option<String>,
}

impl Diagnostic {
    /// A finding about a field.
    #[must_use]
    pub fn new(path: Path, problem: impl Into<String>) -> Self {
        Self { path, position: None, value: None, problem: problem.into(), remedy: None }
    }

    /// With the value that is wrong.
    #[must_use]
    pub fn value(mut self, value: impl fmt::Display) -> Self {
        self.value = Some(shorten(&value.to_string()));
        self
    }

    /// With what would be right.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, position, value, problem, remedy } = self;
        if let Some(Position { line, column }) = position {
            write!(f, "{line}:{column}: ")?;
        }
        match (path.is_root(), value) {
            (true, None) => {}
            (true, Some(value)) => write!(f, "{value:?}: ")?,
            (false, None) => write!(f, "{path}: ")?,
            (false, Some(value)) => write!(f, "{path}: {value:?}: ")?,
        }
        f.write_str(problem)?;
        match remedy {
            Some(remedy) => write!(f, "; {remedy}"),
            None => Ok(()),
        }
    }
}

/// What was found so far.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) errors: Vec<Diagnostic>,
    pub(crate) warnings: Vec<Diagnostic>,
}

impl Findings {
    pub(crate) fn error(&mut self, diagnostic: Diagnostic) {
        self.errors.push(diagnostic);
    }

    pub(crate) fn warn(&mut self, diagnostic: Diagnostic) {
        self.warnings.push(diagnostic);
    }
}

/// Why a policy was refused: everything that is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Errors {
    /// Where the policy came from.
    pub origin: Origin,
    /// What is wrong, in the order of the text; at least one.
    pub errors: Vec<Diagnostic>,
    /// What deserves a warning besides.
    pub warnings: Vec<Diagnostic>,
}

impl Errors {
    /// The text, with no more than so many errors told and the others counted.
    #[must_use]
    pub fn brief(&self, limit: usize) -> String {
        let mut text = format!("validation failed for {}:", self.origin);
        for error in self.errors.iter().take(limit) {
            text.push_str("\n  ");
            text.push_str(&error.to_string());
        }
        if let Some(more) = self.errors.len().checked_sub(limit).filter(|more| *more > 0) {
            text.push_str(&format!("\n  and {more} more"));
        }
        text
    }
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.brief(usize::MAX))
    }
}

impl std::error::Error for Errors {}

fn shorten(value: &str) -> String {
    const LONGEST: usize = 80;
    match value.char_indices().nth(LONGEST) {
        None => value.to_owned(),
        Some((end, _)) => format!("{}… ({} bytes)", &value[..end], value.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diagnostic_names_place_value_problem_and_remedy() {
        let path = Path::root().field("spec").field("kprobes").index(0).field("call");
        let mut diagnostic =
            Diagnostic::new(path, "no such list").value("list:a").remedy("did you mean \"list:b\"?");
        assert_eq!(
            diagnostic.to_string(),
            "spec.kprobes[0].call: \"list:a\": no such list; did you mean \"list:b\"?"
        );
        diagnostic.position = Some(Position { line: 3, column: 9 });
        assert!(diagnostic.to_string().starts_with("3:9: spec.kprobes[0].call: "));
    }

    #[test]
    fn long_values_are_cut_between_characters() {
        let diagnostic = Diagnostic::new(Path::root(), "too long").value("é".repeat(600));
        assert_eq!(diagnostic.to_string(), format!("\"{}… (1200 bytes)\": too long", "é".repeat(80)));
    }

    #[test]
    fn a_brief_text_counts_what_it_leaves_out() {
        let errors = (0..5).map(|i| Diagnostic::new(Path::root().index(i), "wrong")).collect();
        let errors = Errors { origin: Origin::Grpc, errors, warnings: Vec::new() };
        let text = errors.brief(2);
        assert_eq!(text.lines().count(), 4, "{text}");
        assert!(text.ends_with("and 3 more"), "{text}");
        assert_eq!(errors.to_string().lines().count(), 6);
    }
}
