//! JSON forms of the well-known types that are not objects with fields.

use jiff::SignedDuration;
use jiff::civil::DateTime;
use jiff::fmt::temporal::DateTimePrinter;
use prost_reflect::{DynamicMessage, SerializeOptions};
use prost_types::{Any, Duration, FieldMask, Timestamp};

use super::{ToJson, string};

/// 0001-01-01T00:00:00Z and 9999-12-31T23:59:59Z: what RFC 3339 can say.
const TIMESTAMP_SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;
/// Ten thousand years, the limit that the mapping sets.
const DURATION_SECONDS: i64 = 315_576_000_000;

/// RFC 3339 in UTC; what is outside of its range is brought to the nearest end.
impl ToJson for Timestamp {
    fn write_json(&self, out: &mut String) {
        let seconds = self.seconds.clamp(*TIMESTAMP_SECONDS.start(), *TIMESTAMP_SECONDS.end());
        let nanos = self.nanos.clamp(0, 999_999_999);
        // A civil time: unlike an instant it reaches to the very ends of the range.
        let time =
            DateTime::constant(1970, 1, 1, 0, 0, 0, 0).saturating_add(SignedDuration::from_secs(seconds));
        const PRINTER: DateTimePrinter = DateTimePrinter::new().precision(Some(0));
        out.push('"');
        // Writing to a string cannot fail.
        let _ = PRINTER.print_datetime(&time, &mut *out);
        fraction(out, nanos.unsigned_abs());
        out.push_str("Z\"");
    }
}

impl ToJson for Duration {
    fn write_json(&self, out: &mut String) {
        let seconds = self.seconds.clamp(-DURATION_SECONDS, DURATION_SECONDS);
        let nanos = self.nanos.clamp(-999_999_999, 999_999_999);
        out.push('"');
        if seconds < 0 || nanos < 0 {
            out.push('-');
        }
        out.push_str(itoa::Buffer::new().format(seconds.unsigned_abs()));
        fraction(out, nanos.unsigned_abs());
        out.push_str("s\"");
    }
}

/// The fraction of a second with 0, 3, 6 or 9 digits, whichever is the shortest that is exact.
fn fraction(out: &mut String, nanos: u32) {
    let (value, digits) = match nanos {
        0 => return,
        _ if nanos.is_multiple_of(1_000_000) => (nanos / 1_000_000, 3),
        _ if nanos.is_multiple_of(1_000) => (nanos / 1_000, 6),
        _ => (nanos, 9),
    };
    let mut buffer = itoa::Buffer::new();
    let text = buffer.format(value);
    out.push('.');
    (text.len()..digits).for_each(|_| out.push('0'));
    out.push_str(text);
}

/// Paths in lowerCamelCase, separated by commas.
impl ToJson for FieldMask {
    fn write_json(&self, out: &mut String) {
        let mut text = String::new();
        for (index, path) in self.paths.iter().enumerate() {
            if index > 0 {
                text.push(',');
            }
            let mut upper = false;
            for character in path.chars() {
                match character {
                    '_' => upper = true,
                    _ if upper => {
                        text.push(character.to_ascii_uppercase());
                        upper = false;
                    }
                    _ => text.push(character),
                }
            }
        }
        string(out, &text);
    }
}

/// The message inside, beside its `@type`. A type that this build does not know leaves the `@type` alone.
impl ToJson for Any {
    fn write_json(&self, out: &mut String) {
        match any_fields(self) {
            Some(text) => out.push_str(&text),
            None => {
                out.push_str("{\"@type\":");
                string(out, &self.type_url);
                out.push('}');
            }
        }
    }
}

fn any_fields(any: &Any) -> Option<String> {
    let descriptor = crate::descriptor_pool().get_message_by_name("google.protobuf.Any")?;
    let mut message = DynamicMessage::new(descriptor);
    message.transcode_from(any).ok()?;
    let options = SerializeOptions::new().use_proto_field_name(true).skip_default_fields(true);
    let mut bytes = Vec::new();
    message.serialize_with_options(&mut serde_json::Serializer::new(&mut bytes), &options).ok()?;
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::to_string;

    fn time(seconds: i64, nanos: i32) -> String {
        to_string(&Timestamp { seconds, nanos })
    }

    #[test]
    fn a_timestamp_has_the_fewest_digits_that_are_exact() {
        assert_eq!(time(1_704_103_200, 0), "\"2024-01-01T10:00:00Z\"");
        assert_eq!(time(1_704_103_200, 120_000_000), "\"2024-01-01T10:00:00.120Z\"");
        assert_eq!(time(1_704_103_200, 1_000), "\"2024-01-01T10:00:00.000001Z\"");
        assert_eq!(time(1_704_103_200, 123_456_800), "\"2024-01-01T10:00:00.123456800Z\"");
        assert_eq!(time(-1, 5), "\"1969-12-31T23:59:59.000000005Z\"");
    }

    #[test]
    fn a_timestamp_out_of_range_is_brought_to_the_end_of_it() {
        assert_eq!(time(i64::MAX, i32::MAX), "\"9999-12-31T23:59:59.999999999Z\"");
        assert_eq!(time(i64::MIN, -1), "\"0001-01-01T00:00:00Z\"");
    }

    #[test]
    fn a_duration_is_in_seconds() {
        assert_eq!(to_string(&Duration { seconds: 15, nanos: 0 }), "\"15s\"");
        assert_eq!(to_string(&Duration { seconds: 0, nanos: -1_500_000 }), "\"-0.001500s\"");
    }

    #[test]
    fn a_field_mask_is_in_camel_case() {
        let paths = vec!["process.exec_id".to_owned(), "parent".to_owned()];
        assert_eq!(to_string(&FieldMask { paths }), "\"process.execId,parent\"");
    }

    #[test]
    fn a_known_type_in_an_any_shows_its_content() {
        let any = Any::from_msg(&Timestamp { seconds: 1, nanos: 0 }).unwrap();
        assert_eq!(
            to_string(&any),
            r#"{"@type":"type.googleapis.com/google.protobuf.Timestamp","value":"1970-01-01T00:00:01Z"}"#
        );
        let unknown = Any { type_url: "example.com/no.Such".to_owned(), value: vec![1] };
        assert_eq!(to_string(&unknown), r#"{"@type":"example.com/no.Such"}"#);
    }
}
