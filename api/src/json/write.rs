//! Primitives that the generated writers call.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;

/// What has a JSON form of its own.
pub trait ToJson {
    /// Appends the JSON form.
    fn write_json(&self, out: &mut String);
}

/// A JSON object being written.
pub(crate) struct Object<'a> {
    out: &'a mut String,
    empty: bool,
}

impl<'a> Object<'a> {
    pub(crate) fn begin(out: &'a mut String) -> Self {
        out.push('{');
        Self { out, empty: true }
    }

    /// Writes a key that needs no escaping, and returns where the value goes.
    pub(crate) fn key(&mut self, key: &str) -> &mut String {
        if !self.empty {
            self.out.push(',');
        }
        self.empty = false;
        self.out.push('"');
        self.out.push_str(key);
        self.out.push_str("\":");
        self.out
    }

    /// Adds the members of another object, given as its JSON text.
    pub(crate) fn members(&mut self, object: &str) {
        let members = object.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or_default();
        if members.is_empty() {
            return;
        }
        if !self.empty {
            self.out.push(',');
        }
        self.empty = false;
        self.out.push_str(members);
    }

    pub(crate) fn end(self) {
        self.out.push('}');
    }
}

pub(super) fn array<T>(out: &mut String, values: &[T], mut write: impl FnMut(&mut String, &T)) {
    out.push('[');
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write(out, value);
    }
    out.push(']');
}

pub(crate) fn map<T: ToJson>(out: &mut String, entries: &BTreeMap<String, T>) {
    out.push('{');
    for (index, (key, value)) in entries.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        string(out, key);
        out.push(':');
        value.write_json(out);
    }
    out.push('}');
}

/// A value without a name, such as a capability newer than this build, prints as its number.
pub(super) fn enumeration(out: &mut String, number: i32, name: impl FnOnce(i32) -> Option<&'static str>) {
    match name(number) {
        Some(name) => {
            out.push('"');
            out.push_str(name);
            out.push('"');
        }
        None => number.write_json(out),
    }
}

/// A JSON string that escapes only what must be escaped.
pub(crate) fn string(out: &mut String, text: &str) {
    out.push('"');
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|byte| byte < 0x20 || byte == b'"' || byte == b'\\') {
        // The byte found is ASCII, so both cuts are character boundaries.
        let (plain, tail) = rest.split_at(at);
        out.push_str(plain);
        escape(out, tail.as_bytes()[0]);
        rest = &tail[1..];
    }
    out.push_str(rest);
    out.push('"');
}

fn escape(out: &mut String, byte: u8) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push('\\');
    match byte {
        b'"' | b'\\' => out.push(byte.into()),
        0x08 => out.push('b'),
        0x0c => out.push('f'),
        b'\n' => out.push('n'),
        b'\r' => out.push('r'),
        b'\t' => out.push('t'),
        _ => {
            out.push_str("u00");
            out.push(HEX[usize::from(byte >> 4)].into());
            out.push(HEX[usize::from(byte & 15)].into());
        }
    }
}

impl ToJson for String {
    fn write_json(&self, out: &mut String) {
        string(out, self);
    }
}

impl ToJson for Bytes {
    fn write_json(&self, out: &mut String) {
        out.push('"');
        BASE64.encode_string(self, out);
        out.push('"');
    }
}

impl ToJson for bool {
    fn write_json(&self, out: &mut String) {
        out.push_str(if *self { "true" } else { "false" });
    }
}

impl ToJson for i32 {
    fn write_json(&self, out: &mut String) {
        out.push_str(itoa::Buffer::new().format(*self));
    }
}

impl ToJson for u32 {
    fn write_json(&self, out: &mut String) {
        out.push_str(itoa::Buffer::new().format(*self));
    }
}

/// 64-bit numbers are strings: not every reader of JSON has them.
impl ToJson for i64 {
    fn write_json(&self, out: &mut String) {
        out.push('"');
        out.push_str(itoa::Buffer::new().format(*self));
        out.push('"');
    }
}

impl ToJson for u64 {
    fn write_json(&self, out: &mut String) {
        out.push('"');
        out.push_str(itoa::Buffer::new().format(*self));
        out.push('"');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quoted(text: &str) -> String {
        let mut out = String::new();
        string(&mut out, text);
        out
    }

    #[test]
    fn only_quotes_backslashes_and_control_characters_are_escaped() {
        assert_eq!(quoted("a\"b\\c"), r#""a\"b\\c""#);
        assert_eq!(quoted("\u{8}\u{c}\n\r\t\0\u{1f}\u{1}"), r#""\b\f\n\r\t\u0000\u001f\u0001""#);
        assert_eq!(quoted("<&>/ é \u{7f} \u{2028} 😀"), "\"<&>/ é \u{7f} \u{2028} 😀\"");
        assert_eq!(quoted(""), "\"\"");
    }

    proptest::proptest! {
        #[test]
        fn every_string_reads_back(text: String) {
            proptest::prop_assert_eq!(serde_json::from_str::<String>(&quoted(&text)).unwrap(), text);
        }
    }
}
