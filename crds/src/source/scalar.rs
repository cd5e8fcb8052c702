//! Scalars: the text, and what it means where a text is not wanted.

/// A scalar as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scalar {
    pub(crate) text: String,
    /// Quoted, a block, or tagged as text: never anything but text.
    pub(crate) quoted: bool,
}

impl Scalar {
    pub(crate) fn is_null(&self) -> bool {
        !self.quoted && matches!(self.text.as_str(), "" | "~" | "null" | "Null" | "NULL")
    }

    /// The booleans of YAML 1.1, which the reference understands, too.
    pub(crate) fn boolean(&self) -> Option<bool> {
        if self.quoted {
            return None;
        }
        match self.text.as_str() {
            "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Some(true),
            "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Some(false),
            _ => None,
        }
    }

    /// A whole number in any notation of YAML 1.1 or 1.2.
    pub(crate) fn integer(&self) -> Option<i128> {
        if self.quoted { None } else { integer(&self.text) }
    }

    pub(crate) fn kind(&self) -> &'static str {
        if self.quoted {
            "a text"
        } else if self.is_null() {
            "nothing"
        } else if self.boolean().is_some() {
            "a boolean"
        } else if self.integer().is_some() || self.text.parse::<f64>().is_ok() {
            "a number"
        } else {
            "a text"
        }
    }
}

/// A whole number: decimal, `0x`, `0o` or a leading `0` (octal), `0b`, with a sign, with underscores between digits.
pub(crate) fn integer(text: &str) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
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
    let digits = if digits.contains('_') {
        // Between digits only.
        if digits.ends_with('_') || digits.contains("__") || (radix == 10 && digits.starts_with('_')) {
            return None;
        }
        digits.replace('_', "")
    } else {
        digits.to_owned()
    };
    // The standard library would take a second sign, and 30 digits are more than any field holds.
    if digits.is_empty() || digits.len() > 70 || !digits.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    let magnitude = i128::from_str_radix(&digits, radix).ok()?;
    Some(if negative { -magnitude } else { magnitude })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> Scalar {
        Scalar { text: text.to_owned(), quoted: false }
    }

    #[test]
    fn numbers_in_every_notation() {
        for (text, value) in [
            ("0", 0),
            ("-12", -12),
            ("+7", 7),
            ("0x1F", 31),
            ("-0x10", -16),
            ("0755", 0o755),
            ("0o17", 15),
            ("0b101", 5),
            ("1_000", 1000),
            ("0x_ff", 255),
        ] {
            assert_eq!(integer(text), Some(value), "{text}");
        }
        for text in ["", "-", "0x", "08", "1.0", "1e3", "--1", "+-1", "1__0", "1_", "_1", "٣", "0x-1"] {
            assert_eq!(integer(text), None, "{text}");
        }
        assert_eq!(integer(&"9".repeat(100)), None);
    }

    #[test]
    fn quoted_scalars_are_texts() {
        let scalar = Scalar { text: "true".to_owned(), quoted: true };
        assert_eq!((scalar.boolean(), scalar.kind()), (None, "a text"));
        assert_eq!((plain("yes").boolean(), plain("OFF").boolean()), (Some(true), Some(false)));
        assert!(plain("").is_null() && plain("~").is_null());
        assert!(!Scalar { text: String::new(), quoted: true }.is_null());
        assert_eq!(plain("1.5").kind(), "a number");
    }
}
