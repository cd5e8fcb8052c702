//! Regular expressions as filters have them: the RE2 dialect, brought to what our engine understands.
//!
//! Both engines take nearly the same language. What differs: RE2's `\d`, `\w`, `\s` and `\b` know ASCII only, `\Q...\E`
//! quotes, a brace that is no repetition stands for itself, and classes know neither nesting nor set operators.

use regex::{Regex, RegexSet};

use crate::error::FieldError;

/// One expression; `field` is where it was given.
pub(crate) fn regex(field: &'static str, pattern: &str) -> Result<Regex, FieldError> {
    Regex::new(&translate(pattern)).map_err(|error| explain(field, pattern, &error))
}

/// A list of expressions, of which any may match.
pub(crate) fn regex_set(field: &'static str, patterns: &[String]) -> Result<RegexSet, FieldError> {
    RegexSet::new(patterns.iter().map(|pattern| translate(pattern))).map_err(|error| {
        // The set does not tell which of its members is at fault.
        patterns
            .iter()
            .find_map(|pattern| regex(field, pattern).err())
            .unwrap_or_else(|| FieldError::new(field, format!("cannot combine {patterns:?}: {error}")))
    })
}

fn explain(field: &'static str, pattern: &str, error: &regex::Error) -> FieldError {
    // Syntax errors draw a picture over several lines, and say what is wrong in the last.
    let text = error.to_string();
    let reason = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
    FieldError::new(field, format!("{pattern:?} is not a valid regular expression: {reason}"))
}

fn translate(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut rest = pattern;
    let mut class = Class::Outside;
    while let Some(character) = rest.chars().next() {
        let tail = &rest[character.len_utf8()..];
        rest = match (character, class) {
            ('\\', _) => escape(&mut out, tail, class == Class::Outside),
            ('{', Class::Outside) if !is_repetition(tail) => {
                out.push_str("\\{");
                tail
            }
            ('[', Class::Outside) => {
                class = Class::Start;
                let negated = tail.strip_prefix('^');
                out.push_str(if negated.is_some() { "[^" } else { "[" });
                rest = negated.unwrap_or(tail);
                continue;
            }
            ('[', _) => match posix_class(rest) {
                Some(length) => {
                    out.push_str(&rest[..length]);
                    &rest[length..]
                }
                None => {
                    out.push_str("\\[");
                    tail
                }
            },
            (']', Class::Inside) => {
                class = Class::Outside;
                out.push(']');
                rest = tail;
                continue;
            }
            ('&' | '~', Class::Start | Class::Inside) => {
                out.push('\\');
                out.push(character);
                tail
            }
            _ => {
                out.push(character);
                tail
            }
        };
        if class == Class::Start {
            class = Class::Inside;
        }
    }
    out
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Outside,
    /// Directly behind the opening bracket, where a closing one stands for itself.
    Start,
    Inside,
}

/// Translates what follows a backslash; returns what follows that.
fn escape<'a>(out: &mut String, tail: &'a str, outside: bool) -> &'a str {
    let Some(character) = tail.chars().next() else {
        out.push('\\');
        return tail;
    };
    let rest = &tail[character.len_utf8()..];
    match character {
        'd' => out.push_str("[0-9]"),
        'D' => out.push_str("[^0-9]"),
        'w' => out.push_str("[0-9A-Za-z_]"),
        'W' => out.push_str("[^0-9A-Za-z_]"),
        's' => out.push_str(r"[\t\n\f\r ]"),
        'S' => out.push_str(r"[^\t\n\f\r ]"),
        'b' if outside => out.push_str(r"(?-u:\b)"),
        'Q' if outside => {
            let (quoted, rest) = rest.split_once("\\E").unwrap_or((rest, ""));
            out.push_str(&regex::escape(quoted));
            return rest;
        }
        'p' | 'P' | 'x' if rest.starts_with('{') => {
            let length = rest.find('}').map_or(rest.len(), |at| at + 1);
            out.push('\\');
            out.push(character);
            out.push_str(&rest[..length]);
            return &rest[length..];
        }
        _ => {
            out.push('\\');
            out.push(character);
        }
    }
    rest
}

/// Whether this, which follows an opening brace, makes a repetition of it: `3}`, `3,}`, `3,5}`.
fn is_repetition(tail: &str) -> bool {
    let Some((counts, _)) = tail.split_once('}') else { return false };
    let (least, most) = counts.split_once(',').unwrap_or((counts, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    !least.is_empty() && digits(least) && digits(most)
}

/// Length of a class such as `[:alpha:]` at the beginning of the text.
fn posix_class(text: &str) -> Option<usize> {
    let name = text.strip_prefix("[:")?;
    let end = name.find(":]")?;
    name[..end].bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'^').then_some(end + 4)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        regex("binary_regex", pattern).unwrap().is_match(text)
    }

    #[test]
    fn shorthand_classes_know_ascii_only() {
        assert!(matches(r"^\d\w\s$", "1a "));
        assert!(!matches(r"\d", "٣"));
        assert!(!matches(r"\w", "é"));
        assert!(matches(r"^[\d.]+$", "1.2"));
        assert!(matches(r"^[^\s]+$", "é-x"));
        assert!(matches(r"\bls\b", "éls é"));
    }

    #[test]
    fn braces_that_repeat_nothing_stand_for_themselves() {
        assert!(matches(r"^\${HOME}$", "${HOME}"));
        assert!(matches(r#"^{"a":{1,}}$"#, r#"{"a":::}"#));
        assert!(matches(r"^a{2}$", "aa"));
        assert!(matches(r"^a{,2}$", "a{,2}"));
        assert!(matches(r"^\p{Greek}\x{41}$", "αA"));
    }

    #[test]
    fn quoting_takes_everything_literally() {
        assert!(matches(r"^\Qa.b*\E.$", "a.b*c"));
        assert!(!matches(r"^\Qa.b\E$", "axb"));
        assert!(matches(r"\Q[", "["));
    }

    #[test]
    fn classes_neither_nest_nor_compute() {
        assert!(matches("^[[]$", "["));
        assert!(matches("^[a[b]+$", "a[b"));
        assert!(matches("^[a&&b]+$", "a&b"));
        assert!(matches("^[]a]+$", "]a"));
        assert!(matches("^[^]a]+$", "xyz"));
        assert!(matches("^[[:alpha:]_]+$", "ab_"));
    }

    #[test]
    fn the_expression_at_fault_is_named() {
        let patterns = ["fine".to_owned(), "ba(d".to_owned()];
        let error = regex_set("binary_regex", &patterns).unwrap_err();
        assert_eq!(error.reason, "\"ba(d\" is not a valid regular expression: unclosed group");
    }

    proptest! {
        #[test]
        fn what_both_dialects_share_keeps_its_meaning(
            pattern in r"([a-c.]|\[[a-c]{1,2}\]|\\\.|a\{2\}|\(b\|c\)|[ab][*+?])*",
            text in "[a-c.]{0,6}",
        ) {
            prop_assert_eq!(matches(&pattern, &text), Regex::new(&pattern).unwrap().is_match(&text));
        }

        #[test]
        fn no_pattern_makes_the_translation_panic(pattern: String) {
            translate(&pattern);
        }
    }
}
