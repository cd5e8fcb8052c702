//! Hides secrets in command lines.

use std::borrow::Cow;

use regex::{Regex, RegexSet};
use tetragon_api::tetragon::RedactionFilter;

use crate::dialect::{regex, regex_set};
use crate::error::{FieldError, FilterError};

/// What stands in the place of a secret.
const REDACTED: &str = "*****";

/// Redaction filters, compiled. They apply in their order, each to what the one before has left.
#[derive(Debug, Default)]
pub struct Redactor {
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    /// For every program if there is none.
    binary: Option<RegexSet>,
    redact: Vec<Regex>,
}

impl Redactor {
    /// Compiles the filters; their deprecated `match` is ignored.
    pub fn new(filters: &[RedactionFilter]) -> Result<Self, FilterError> {
        let rules = filters.iter().enumerate().map(|(position, filter)| {
            Rule::new(filter).map_err(|error| error.at("redaction filter", position))
        });
        Ok(Self { rules: rules.collect::<Result<_, _>>()? })
    }

    /// Replaces what the groups of the expressions capture in the arguments of a program, given by absolute path.
    pub fn apply<'a>(&self, binary: &str, text: &'a str) -> Cow<'a, str> {
        let mut text = Cow::Borrowed(text);
        for rule in &self.rules {
            if rule.binary.as_ref().is_some_and(|regex| !regex.is_match(binary)) {
                continue;
            }
            for regex in &rule.redact {
                if let Some(redacted) = redact(regex, &text) {
                    text = Cow::Owned(redacted);
                }
            }
        }
        text
    }
}

impl Rule {
    fn new(filter: &RedactionFilter) -> Result<Self, FieldError> {
        let RedactionFilter { r#match: _, redact, binary_regex } = filter;
        Ok(Self {
            binary: (!binary_regex.is_empty())
                .then(|| regex_set("binary_regex", binary_regex))
                .transpose()?,
            redact: redact.iter().map(|pattern| regex("redact", pattern)).collect::<Result<_, _>>()?,
        })
    }
}

/// The text with all outermost captures replaced, or nothing if there are none.
fn redact(regex: &Regex, text: &str) -> Option<String> {
    let mut out = String::new();
    let mut done = 0;
    let mut found = false;
    for captures in regex.captures_iter(text) {
        let mut groups: Vec<_> = captures.iter().skip(1).flatten().map(|group| group.range()).collect();
        // Outer groups before the inner ones that they cover.
        groups.sort_by_key(|range| (range.start, std::cmp::Reverse(range.end)));
        let mut covered = None;
        for range in groups {
            if covered.is_some_and(|end| range.start < end || range.is_empty() && range.start == end) {
                continue;
            }
            covered = Some(range.end);
            found = true;
            out.push_str(&text[done..range.start]);
            out.push_str(REDACTED);
            done = range.end;
        }
    }
    found.then(|| out + &text[done..])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::parse_redaction_filters;

    fn apply(filters: &str, binary: &str, text: &str) -> String {
        Redactor::new(&parse_redaction_filters(filters).unwrap()).unwrap().apply(binary, text).into_owned()
    }

    #[test]
    fn every_capture_of_every_match_is_hidden() {
        let filter = r#"{"redact":["--(?:user|pass)(?:=|\\s+)(\\S+)"]}"#;
        assert_eq!(apply(filter, "/x", "--user=a --pass b c"), "--user=***** --pass ***** c");
        assert_eq!(apply(filter, "/x", "nothing here"), "nothing here");
        assert_eq!(apply(filter, "/x", "--pass=é"), "--pass=*****");
    }

    #[test]
    fn groups_inside_of_groups_are_covered() {
        assert_eq!(apply(r#"{"redact":["(a(b)c)-(d)"]}"#, "/x", "abc-d"), "*****-*****");
        assert_eq!(apply(r#"{"redact":["(a(b*))(c)"]}"#, "/x", "ac"), "**********");
    }

    #[test]
    fn without_groups_nothing_is_hidden() {
        assert_eq!(apply(r#"{"redact":["secret","(?:x)"]}"#, "/x", "secret x"), "secret x");
        assert_eq!(apply(r#"{"redact":["(a)|(b)"]}"#, "/x", "b a c"), "***** ***** c");
    }

    #[test]
    fn binaries_choose_the_rules_and_rules_apply_in_order() {
        let filters = r#"{"redact":["(one)"],"binary_regex":["curl$"]} {"redact":["\\*(\\*{4})","(two)"]}"#;
        assert_eq!(apply(filters, "/bin/wget", "one two"), "one *****");
        assert_eq!(apply(filters, "/bin/curl", "one"), "******");
    }

    #[test]
    fn mistakes_name_their_place() {
        let filters = parse_redaction_filters(r#"{"redact":["(a)"]} {"redact":["(a"]}"#).unwrap();
        assert_eq!(
            Redactor::new(&filters).unwrap_err().to_string(),
            "redaction filter 2: redact: \"(a\" is not a valid regular expression: unclosed group"
        );
    }

    proptest! {
        #[test]
        fn no_captured_secret_survives(before in "[a-z ]*", secret in "[A-Z]{6}", after in "[a-z ]*") {
            let text = format!("{before}--token={secret}{after}");
            let expected = format!("{before}--token=*****{after}");
            prop_assert_eq!(apply(r#"{"redact":["--token=([A-Z]+)"]}"#, "/x", &text), expected);
        }
    }
}
