//! The two forms of a line.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::Zoned;
use serde_json::Value;

use super::fields::Fields;
use super::{Format, Level};

/// One message as one line with its newline, at the current time.
pub(super) fn format(format: Format, level: Level, message: &str, fields: &Fields) -> Vec<u8> {
    format_at(&now(), format, level, message, fields)
}

/// RFC 3339 in local time.
fn now() -> String {
    let text = Zoned::now().strftime("%Y-%m-%dT%H:%M:%S%:z").to_string();
    text.strip_suffix("+00:00").map(|utc| format!("{utc}Z")).unwrap_or(text)
}

fn format_at(time: &str, format: Format, level: Level, message: &str, fields: &Fields) -> Vec<u8> {
    let mut line = match format {
        Format::Text => text(time, level, message, fields),
        Format::Json => json(time, level, message, fields),
    };
    line.push('\n');
    line.into_bytes()
}

/// A field may not take the name of a part that every line has.
fn key(name: &str) -> String {
    match name {
        "time" | "level" | "msg" => format!("fields.{name}"),
        _ => name.to_owned(),
    }
}

fn text(time: &str, level: Level, message: &str, fields: &Fields) -> String {
    let mut line = format!("time=\"{time}\" level={level} msg=");
    push_quoted(&mut line, message);
    for (name, value) in fields.iter() {
        line.push(' ');
        line.push_str(&key(name));
        line.push('=');
        match value {
            Value::String(text) => push_quoted(&mut line, text),
            other => push_quoted(&mut line, &other.to_string()),
        }
    }
    line
}

fn json(time: &str, level: Level, message: &str, fields: &Fields) -> String {
    let mut object: BTreeMap<String, Value> =
        fields.iter().map(|(name, value)| (key(name), value.clone())).collect();
    for (name, value) in [("time", time), ("level", level.name()), ("msg", message)] {
        object.insert(name.to_owned(), Value::from(value));
    }
    // Texts and numbers under text keys: there is nothing in it that JSON could not hold.
    serde_json::to_string(&object).unwrap_or_default()
}

/// Appends `text`, in quotes unless it is made of letters, digits and `-._/@^+` only.
fn push_quoted(line: &mut String, text: &str) {
    if text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._/@^+".contains(&byte)) {
        line.push_str(text);
        return;
    }
    line.push('"');
    for c in text.chars() {
        match c {
            '"' => line.push_str("\\\""),
            '\\' => line.push_str("\\\\"),
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            '\t' => line.push_str("\\t"),
            '\u{7}' => line.push_str("\\a"),
            '\u{8}' => line.push_str("\\b"),
            '\u{b}' => line.push_str("\\v"),
            '\u{c}' => line.push_str("\\f"),
            c if c.is_ascii_control() => push_code(line, 'x', 2, c),
            // Controls, marks that change the direction of writing, line separators: nothing that moves text.
            c if c.is_control()
                || ('\u{200b}'..='\u{200f}').contains(&c)
                || ('\u{2028}'..='\u{202e}').contains(&c) =>
            {
                push_code(line, 'u', 4, c);
            }
            c => line.push(c),
        }
    }
    line.push('"');
}

fn push_code(line: &mut String, letter: char, width: usize, c: char) {
    let _ = write!(line, "\\{letter}{:0width$x}", u32::from(c));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TIME: &str = "2024-01-31T23:59:59+01:00";

    fn line(format: Format, message: &str, fields: &[(&'static str, &str)]) -> String {
        let mut all = Fields::default();
        for (name, text) in fields {
            all.text(name, (*text).to_owned());
        }
        String::from_utf8(format_at(TIME, format, Level::Warning, message, &all)).unwrap()
    }

    #[test]
    fn text_lines_sort_their_fields_and_quote_only_what_needs_it() {
        assert_eq!(
            line(
                Format::Text,
                "a b",
                &[("z", "plain-1._/@^+"), ("error", "x: \"y\""), ("empty", ""), ("level", "1")]
            ),
            "time=\"2024-01-31T23:59:59+01:00\" level=warning msg=\"a b\" empty= error=\"x: \\\"y\\\"\" \
             fields.level=1 z=plain-1._/@^+\n"
        );
        assert_eq!(line(Format::Text, "one", &[]), format!("time=\"{TIME}\" level=warning msg=one\n"));
        assert_eq!(
            line(Format::Text, "é\n\u{1b}[31m\u{202e}\u{85}", &[]),
            format!("time=\"{TIME}\" level=warning msg=\"é\\n\\x1b[31m\\u202e\\u0085\"\n")
        );
    }

    #[test]
    fn json_lines_are_objects_with_sorted_keys() {
        assert_eq!(
            line(Format::Json, "a \"b\"", &[("z", "1"), ("error", "e"), ("msg", "m")]),
            format!(
                "{{\"error\":\"e\",\"fields.msg\":\"m\",\"level\":\"warning\",\"msg\":\"a \\\"b\\\"\",\"time\":\"{TIME}\",\"z\":\"1\"}}\n"
            )
        );
    }

    #[test]
    fn the_time_is_rfc_3339() {
        let now = now();
        assert!(now.parse::<jiff::Timestamp>().is_ok(), "{now}");
    }

    proptest! {
        #[test]
        fn whatever_is_logged_stays_on_one_line(message in "\\PC*|[\\x00-\\x1f\\\\\"]*", value: String) {
            for format in [Format::Text, Format::Json] {
                let line = line(format, &message, &[("key", &value)]);
                prop_assert_eq!(line.matches('\n').count(), 1);
                let controls = line.bytes().filter(|byte| *byte < b' ').count();
                prop_assert_eq!(controls, 1, "only the newline");
            }
            let json: Value = serde_json::from_str(&line(Format::Json, &message, &[("key", &value)])).unwrap();
            prop_assert_eq!(&json["key"], &Value::from(value));
        }
    }
}
