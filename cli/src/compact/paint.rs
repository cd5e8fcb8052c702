//! Terminal colours, and text that cannot play tricks with a terminal.

use std::borrow::Cow;
use std::fmt::Write as _;

/// The foreground colours of compact output; the values are the SGR parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Color {
    Red = 31,
    Green = 32,
    Yellow = 33,
    Blue = 34,
    Magenta = 35,
    Cyan = 36,
}

/// Wraps text into colour sequences, or leaves it as it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paint {
    /// Whether colours are written at all.
    pub(crate) enabled: bool,
}

impl Paint {
    /// `text` in `color`. Empty text stays empty.
    pub(crate) fn apply<'a>(self, color: Color, text: impl Into<Cow<'a, str>>) -> Cow<'a, str> {
        let text = text.into();
        if !self.enabled || text.is_empty() {
            return text;
        }
        Cow::Owned(format!("\x1b[{}m{text}\x1b[0m", color as u8))
    }
}

/// Text of a watched process, made safe to print: as it is when every character prints, otherwise in double quotes
/// with escapes. Blanks alone do not need quotes.
pub(crate) fn safe(text: &str) -> Cow<'_, str> {
    if !text.chars().any(unprintable) {
        return Cow::Borrowed(text);
    }
    let mut quoted = String::with_capacity(text.len() + 16);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if !unprintable(c) => quoted.push(c),
            c => push_escape(&mut quoted, u32::from(c)),
        }
    }
    quoted.push('"');
    Cow::Owned(quoted)
}

fn push_escape(text: &mut String, code: u32) {
    // Writing into a string cannot fail.
    let _ = match code {
        0..=0x7f => write!(text, "\\x{code:02x}"),
        0x80..=0xffff => write!(text, "\\u{code:04x}"),
        _ => write!(text, "\\U{code:08x}"),
    };
}

/// Control characters, and those that move or reorder what is printed around them.
fn unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printable_text_is_left_alone() {
        for text in ["", "cilium.io -v", "\"quoted\" \\ text", "grüße 🚀 日本"] {
            assert_eq!(safe(text), text);
        }
    }

    #[test]
    fn text_that_moves_the_cursor_is_quoted() {
        assert_eq!(safe("a\x1b[2Jb"), r#""a\x1b[2Jb""#);
        assert_eq!(safe("say \"x\\y\"\n\r\t"), r#""say \"x\\y\"\n\r\t""#);
        assert_eq!(safe("c1 \u{9b}31m"), r#""c1 \u009b31m""#);
        assert_eq!(safe("\u{202e}gpj.exe"), r#""\u202egpj.exe""#);
        assert_eq!(safe("\u{e0041}"), r#""\U000e0041""#);
    }

    #[test]
    fn color_wraps_text_and_never_nothing() {
        let paint = Paint { enabled: true };
        assert_eq!(paint.apply(Color::Red, "x"), "\x1b[31mx\x1b[0m");
        assert_eq!(paint.apply(Color::Red, ""), "");
        assert_eq!(Paint { enabled: false }.apply(Color::Red, "x"), "x");
    }
}
