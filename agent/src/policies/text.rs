//! Texts of policies as events carry them.

use std::fmt::Write as _;

/// The text as it stands between double quotes in a program: quotes, backslashes and what cannot be printed are
/// escaped. The reference stores messages and tags like this.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        // Writing to a string cannot fail.
        let _ = match c {
            '"' => out.write_str("\\\""),
            '\\' => out.write_str("\\\\"),
            '\u{7}' => out.write_str("\\a"),
            '\u{8}' => out.write_str("\\b"),
            '\u{c}' => out.write_str("\\f"),
            '\n' => out.write_str("\\n"),
            '\r' => out.write_str("\\r"),
            '\t' => out.write_str("\\t"),
            '\u{b}' => out.write_str("\\v"),
            '\0'..' ' | '\u{7f}' => write!(out, "\\x{:02x}", u32::from(c)),
            ' '..='~' => out.write_char(c),
            c if is_shown(c) => out.write_char(c),
            '\u{80}'..='\u{ffff}' => write!(out, "\\u{:04x}", u32::from(c)),
            _ => write!(out, "\\U{:08x}", u32::from(c)),
        };
    }
    out
}

/// Whether a character is seen on paper, or drawn over the one before it.
fn is_shown(c: char) -> bool {
    // The standard library knows, but escapes such marks at the beginning of a text.
    format!("a{c}").escape_debug().nth(1) == Some(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_would_escape_is_escaped() {
        assert_eq!(quoted("plain 'text' <&>"), "plain 'text' <&>");
        assert_eq!(quoted("a\"b\\c"), r#"a\"b\\c"#);
        assert_eq!(quoted("\u{7}\u{8}\u{c}\n\r\t\u{b}\0\u{1f}\u{7f}"), r"\a\b\f\n\r\t\v\x00\x1f\x7f");
        assert_eq!(quoted("grün 漢 😀 e\u{301}"), "grün 漢 😀 e\u{301}");
        assert_eq!(quoted("\u{200b}\u{feff}\u{e000}\u{10ffff}\u{a0}"), r"\u200b\ufeff\ue000\U0010ffff\u00a0");
    }
}
