//! What is particular to one event: its symbol and word, and what follows the binary.

use std::borrow::Cow;

use super::paint::{Color, Paint, safe};

/// The parts of a line that depend on the kind of event.
#[derive(Debug)]
pub(crate) struct Body {
    symbol: &'static str,
    word: Cow<'static, str>,
    extras: Vec<(Color, String)>,
}

impl Body {
    pub(crate) fn new(symbol: &'static str, word: impl Into<Cow<'static, str>>) -> Self {
        Self { symbol, word: word.into(), extras: Vec::new() }
    }

    /// Adds text that a watched process or a policy chose. Empty text keeps its place: the blank before it is printed.
    pub(crate) fn text(self, text: &str) -> Self {
        self.colored(Color::Cyan, &safe(text))
    }

    /// Adds text of our own making, in a colour.
    pub(crate) fn colored(mut self, color: Color, text: &str) -> Self {
        self.extras.push((color, text.to_owned()));
        self
    }

    /// Symbol and word, the word filled to seven columns.
    pub(crate) fn head(&self, paint: Paint) -> Cow<'_, str> {
        paint.apply(Color::Blue, format!("{} {:<7}", self.symbol, self.word))
    }

    /// Appends what follows the binary, each part after one blank.
    pub(crate) fn push_extras(&self, line: &mut String, paint: Paint) {
        for (color, text) in &self.extras {
            line.push(' ');
            line.push_str(&paint.apply(*color, text.as_str()));
        }
    }
}
