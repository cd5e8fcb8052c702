//! Numbers, sizes, spans of time and truth values as option text writes them.

use std::time::Duration;

/// Reads a truth value: `1 t T TRUE true True` or `0 f F FALSE false False`.
pub(super) fn parse_bool(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err("not a truth value; write true or false".to_owned()),
    }
}

/// Reads an integer with an optional sign and base: `0x1f`, `0o17`, `0b1`, and a leading `0` for octal.
pub(super) fn parse_integer(text: &str) -> Result<i64, String> {
    let malformed = || "not an integer".to_owned();
    let (sign, body) = match text.strip_prefix('-') {
        Some(body) => ("-", body),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = body.to_ascii_lowercase();
    let (radix, digits) = if let Some(digits) = lower.strip_prefix("0x") {
        (16, digits)
    } else if let Some(digits) = lower.strip_prefix("0o") {
        (8, digits)
    } else if let Some(digits) = lower.strip_prefix("0b") {
        (2, digits)
    } else if lower.len() > 1 && lower.starts_with('0') {
        (8, &lower[1..])
    } else {
        (10, lower.as_str())
    };
    // Digits only: the standard reader would accept another sign here.
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(radix)) {
        return Err(malformed());
    }
    i64::from_str_radix(&format!("{sign}{digits}"), radix)
        .map_err(|_| "the integer does not fit into 64 bits".to_owned())
}

/// Reads a decimal number with an optional final `K`, `M` or `G` (powers of 1024).
pub fn parse_size(text: &str) -> Result<u64, String> {
    let (digits, shift) = match text.as_bytes().last() {
        Some(b'K') => (&text[..text.len() - 1], 10),
        Some(b'M') => (&text[..text.len() - 1], 20),
        Some(b'G') => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("not a size; write a decimal number with an optional K, M or G".to_owned());
    }
    digits
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(1 << shift))
        .ok_or_else(|| "the size does not fit into 64 bits".to_owned())
}

const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000), // micro sign
    ("μs", 1_000), // Greek mu
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Reads a span of time: numbers with units such as `1h30m`, `1.5s` or `0`. Negative spans and spans without a
/// unit are refused.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    const FORM: &str =
        "not a duration; write a number with a unit (ns, us, ms, s, m, h), for example 30s or 1h30m";
    let body = text.strip_prefix('+').unwrap_or(text);
    if body == "0" {
        return Ok(Duration::ZERO);
    }
    if body.starts_with('-') {
        return Err("a duration cannot be negative".to_owned());
    }
    if body.is_empty() {
        return Err(FORM.to_owned());
    }
    let mut rest = body;
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at(number_end);
        let unit_end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        if unit.is_empty() {
            return Err(format!("the unit is missing after {number:?}; write for example {number}s"));
        }
        let Some((_, scale)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            return Err(FORM.to_owned());
        };
        let nanos = decimal(number, *scale).ok_or_else(|| FORM.to_owned())?;
        total = total
            .checked_add(nanos)
            .filter(|total| i64::try_from(*total).is_ok())
            .ok_or_else(|| "the duration is too long".to_owned())?;
        rest = after;
    }
    Ok(Duration::from_nanos(total))
}

/// `number` (digits with at most one point) times `scale`, cut to whole units.
fn decimal(number: &str, scale: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    let whole = if whole.is_empty() { 0 } else { whole.parse::<u64>().ok()? };
    let mut total = whole.checked_mul(scale)?;
    let mut unit = u128::from(scale) * 1_000_000_000;
    let mut part: u128 = 0;
    for digit in fraction.bytes() {
        unit /= 10;
        part += unit * u128::from(digit - b'0');
    }
    total = total.checked_add(u64::try_from(part / 1_000_000_000).ok()?)?;
    Some(total)
}

/// Prints a span of time as [`parse_duration`] reads it, for example `1h30m0s`.
pub fn show_duration(span: Duration) -> String {
    let nanos = span.subsec_nanos();
    let seconds = span.as_secs();
    if seconds == 0 {
        let (scale, unit) = match nanos {
            0 => return "0s".to_owned(),
            1..1_000 => (1, "ns"),
            1_000..1_000_000 => (1_000, "µs"),
            _ => (1_000_000, "ms"),
        };
        return format!("{}{unit}", fractional(u64::from(nanos), scale));
    }
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    let last = fractional(seconds % 60 * 1_000_000_000 + u64::from(nanos), 1_000_000_000);
    match (hours, minutes) {
        (0, 0) => format!("{last}s"),
        (0, _) => format!("{minutes}m{last}s"),
        _ => format!("{hours}h{minutes}m{last}s"),
    }
}

fn fractional(number: u64, scale: u64) -> String {
    let (whole, part) = (number / scale, number % scale);
    if part == 0 {
        return whole.to_string();
    }
    let width = scale.ilog10() as usize;
    format!("{whole}.{}", format!("{part:0width$}").trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn integers_take_a_sign_and_a_base() {
        for (text, value) in [
            ("0", 0),
            ("-1", -1),
            ("+7", 7),
            ("0x1F", 31),
            ("010", 8),
            ("0o10", 8),
            ("0b11", 3),
            ("-0x10", -16),
        ] {
            assert_eq!(parse_integer(text), Ok(value), "{text}");
        }
        for text in
            ["", "-", "0x", "x", "1.5", "1 ", "--1", "+-1", "0x-1", "08", "9223372036854775808", "10K"]
        {
            assert!(parse_integer(text).is_err(), "{text}");
        }
        assert_eq!(parse_integer("-9223372036854775808"), Ok(i64::MIN));
    }

    #[test]
    fn sizes_take_one_upper_case_suffix() {
        for (text, value) in [("0", 0), ("65535", 65535), ("1K", 1024), ("2M", 2 << 20), ("3G", 3 << 30)] {
            assert_eq!(parse_size(text), Ok(value), "{text}");
        }
        for text in ["", "K", "1k", "1.5M", "1KB", "-1", "+1", " 1", "1 K", "99999999999G", "1Kµ"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_are_sums_of_numbers_with_units() {
        for (text, nanos) in [
            ("0", 0),
            ("0s", 0),
            ("15s", 15_000_000_000),
            ("1h30m", 5_400_000_000_000),
            ("1.5s", 1_500_000_000),
            (".5ms", 500_000),
            ("1.s", 1_000_000_000),
            ("3us4ns", 3_004),
            ("2µs", 2_000),
            ("+1m", 60_000_000_000),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_nanos(nanos)), "{text}");
        }
        for text in ["", "60", "-1s", "s", ".s", "1x", "1..5s", "1.2.3s", "1s2", "10000000h", "1 s"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
        assert!(parse_duration("60").unwrap_err().contains("60s"));
    }

    #[test]
    fn durations_print_in_their_largest_units() {
        for (nanos, text) in [
            (0, "0s"),
            (15_000_000_000, "15s"),
            (5_400_000_000_000, "1h30m0s"),
            (1_500_000_000, "1.5s"),
            (500_000, "500µs"),
            (1_500_000, "1.5ms"),
            (7, "7ns"),
            (60_000_000_001, "1m0.000000001s"),
        ] {
            assert_eq!(show_duration(Duration::from_nanos(nanos)), text);
        }
    }

    proptest! {
        #[test]
        fn every_duration_reads_back(nanos in 0..=i64::MAX.unsigned_abs()) {
            let span = Duration::from_nanos(nanos);
            prop_assert_eq!(parse_duration(&show_duration(span)), Ok(span));
        }

        #[test]
        fn every_integer_reads_back(value: i64) {
            prop_assert_eq!(parse_integer(&value.to_string()), Ok(value));
        }

        #[test]
        fn no_text_makes_a_reader_panic(text in "\\PC*") {
            let _ = (parse_integer(&text), parse_size(&text), parse_duration(&text), parse_bool(&text));
        }
    }
}
