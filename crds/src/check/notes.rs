//! Messages and tags.

use super::Check;
use crate::limits::{MESSAGE, SHORTEST_NOTE, TAG};
use crate::report::{Diagnostic, Path};

impl Check<'_> {
    pub(super) fn message(&mut self, message: &str, hook: &Path) -> String {
        if message.is_empty() { String::new() } else { self.note(message, MESSAGE, &hook.field("message")) }
    }

    pub(super) fn tags(&mut self, tags: &[String], hook: &Path) -> Vec<String> {
        let path = hook.field("tags");
        let tag = |(index, tag): (usize, &String)| self.note(tag, TAG, &path.index(index));
        tags.iter().enumerate().map(tag).collect()
    }

    fn note(&mut self, text: &str, longest: usize, path: &Path) -> String {
        if text.len() < SHORTEST_NOTE && self.is_sound(path) {
            let diagnostic = Diagnostic::new(path.clone(), "too short").value(text);
            self.error(diagnostic.remedy(format!("at least {SHORTEST_NOTE} bytes")));
        }
        let end = text.floor_char_boundary(longest);
        if end < text.len() {
            let problem = format!("{} bytes, cut to {end}", text.len());
            self.warn(Diagnostic::new(path.clone(), problem).value(text));
        }
        text[..end].to_owned()
    }
}
