//! Values of filters: numbers, ranges, texts.

use std::collections::BTreeSet;

use super::words::{CAPABILITIES, capability};
use crate::limits;
use crate::policy::{NumberKind, TextMatch};
use crate::report::{Diagnostic, Findings, Path, nearest};
use crate::source::integer;

/// A number in any notation, for the operators that compare it.
pub(super) fn number(value: &str, kind: NumberKind) -> Result<i128, Diagnostic> {
    let number = integer(value).filter(|_| kind.signed || !value.starts_with('+'));
    let wrong = |problem: String| Diagnostic::new(Path::root(), problem).value(value);
    let Some(number) = number else {
        return Err(wrong("not a number".to_owned()).remedy("such as 12, 0x0c or 014"));
    };
    fits(number, kind).map_err(|range| wrong("does not fit the argument's type".to_owned()).remedy(range))
}

/// A decimal number, or a range `min:max`, for the operators that look it up.
pub(super) fn range(value: &str, kind: NumberKind) -> Result<(i128, i128), Diagnostic> {
    let (low, high) = value.split_once(':').unwrap_or((value, value));
    let wrong = |problem: &str| Diagnostic::new(Path::root(), problem).value(value);
    let (Some(low), Some(high)) = (decimal(low), decimal(high)) else {
        let diagnostic = wrong("not a decimal number or range");
        return Err(match integer(value) {
            Some(number) => diagnostic.remedy(format!("write {number}")),
            None => diagnostic.remedy("such as 12 or 10:20"),
        });
    };
    for end in [low, high] {
        fits(end, kind).map_err(|range| wrong("does not fit the argument's type").remedy(range))?;
    }
    Ok((low.min(high), low.max(high)))
}

/// A set of capabilities: their mask as a number, or their names with commas in between.
pub(super) fn capability_mask(value: &str) -> Result<i128, Diagnostic> {
    if let Some(number) = integer(value).filter(|number| u64::try_from(*number).is_ok()) {
        return Ok(number);
    }
    let mut mask = 0;
    for name in value.split(',').map(str::trim) {
        let Some(bit) = capability(name) else {
            let diagnostic = Diagnostic::new(Path::root(), "neither a number nor capabilities").value(value);
            let remedy = nearest(name, CAPABILITIES)
                .unwrap_or_else(|| "such as 0x200000 or CAP_SYS_ADMIN,CAP_BPF".to_owned());
            return Err(diagnostic.remedy(remedy));
        };
        mask |= bit;
    }
    Ok(i128::from(mask))
}

fn decimal(text: &str) -> Option<i128> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_decimal = (1..=30).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_decimal { text.parse().ok() } else { None }
}

fn fits(number: i128, kind: NumberKind) -> Result<i128, String> {
    let (least, most) = (kind.least(), kind.most());
    if (least..=most).contains(&number) { Ok(number) } else { Err(format!("from {least} to {most}")) }
}

/// Texts to compare with.
pub(super) fn texts(
    values: &[String],
    how: TextMatch,
    longest: usize,
    trim: bool,
    path: &Path,
    findings: &mut Findings,
) -> BTreeSet<String> {
    let mut texts = BTreeSet::new();
    for (index, value) in values.iter().enumerate() {
        let text = if trim { value.trim_end_matches('\0') } else { value };
        let wrong = |problem: String| Diagnostic::new(path.index(index), problem).value(value);
        if text.is_empty() {
            findings.error(wrong("empty".to_owned()).remedy("a text was expected"));
        } else if text.len() > longest {
            let problem = format!("{} bytes, {} no more than {longest}", text.len(), what(how));
            findings.error(wrong(problem));
        } else {
            texts.insert(text.to_owned());
        }
    }
    texts
}

/// How long values may be.
pub(super) fn longest(how: TextMatch) -> usize {
    match how {
        TextMatch::Whole => limits::WHOLE_VALUE,
        TextMatch::Prefix => limits::PREFIX_VALUE,
        TextMatch::Postfix => limits::POSTFIX_VALUE,
    }
}

fn what(how: TextMatch) -> &'static str {
    match how {
        TextMatch::Whole => "a value that is compared as a whole may have",
        TextMatch::Prefix => "a beginning may have",
        TextMatch::Postfix => "an end may have",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INT: NumberKind = NumberKind { bits: 32, signed: true };
    const U8: NumberKind = NumberKind { bits: 8, signed: false };
    const U64: NumberKind = NumberKind { bits: 64, signed: false };

    #[test]
    fn numbers_must_fit_their_type() {
        for (value, kind, expected) in [
            ("-1", INT, Some(-1)),
            ("2147483647", INT, Some(2_147_483_647)),
            ("2147483648", INT, None),
            ("0xffffffff", INT, None),
            ("0", INT, Some(0)),
            ("010", U8, Some(8)),
            ("256", U8, None),
            ("-1", U8, None),
            ("+1", U8, None),
            ("+1", INT, Some(1)),
            ("0xffffffffffffffff", U64, Some(i128::from(u64::MAX))),
            ("18446744073709551616", U64, None),
            ("1.5", INT, None),
            ("", INT, None),
            (" 1", INT, None),
        ] {
            assert_eq!(number(value, kind).ok(), expected, "{value}");
        }
    }

    #[test]
    fn ranges_are_decimal_and_may_be_reversed() {
        for (value, kind, expected) in [
            ("5", INT, Some((5, 5))),
            ("10:1", INT, Some((1, 10))),
            ("-5:-1", INT, Some((-5, -1))),
            ("007", INT, Some((7, 7))),
            ("0x10", INT, None),
            ("1:", INT, None),
            (":", INT, None),
            ("1:2:3", INT, None),
            ("1:300", U8, None),
            ("+1", INT, None),
        ] {
            assert_eq!(range(value, kind).ok(), expected, "{value}");
        }
        assert_eq!(range("0x10", INT).expect_err("hex").remedy.as_deref(), Some("write 16"));
    }

    #[test]
    fn capability_masks_have_two_notations() {
        assert_eq!(capability_mask("0x3").ok(), Some(3));
        assert_eq!(capability_mask("CAP_CHOWN, cap_dac_override").ok(), Some(3));
        let error = capability_mask("CAP_CHOWN,CAP_SYS_ADMINN").expect_err("mistyped");
        assert_eq!(error.remedy.as_deref(), Some("did you mean \"CAP_SYS_ADMIN\"?"));
        assert!(capability_mask("").is_err() && capability_mask("-1").is_err());
    }
}
