//! Flag values in the notations that the interface was born with.

use std::time::Duration;

use jiff::SignedDuration;

/// A duration such as `10s`, `1h30m` or `500ms`. `0` needs no unit.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let wrong = || format!("'{text}' is not a duration such as 10s, 500ms or 1h30m");
    // The calendar notations of the parser are not meant here.
    if !text.ends_with(['s', 'm', 'h']) || text.contains(char::is_whitespace) || text.starts_with('P') {
        return Err(wrong());
    }
    let duration: SignedDuration = text.parse().map_err(|_| wrong())?;
    Duration::try_from(duration).map_err(|_| format!("'{text}' is negative"))
}

/// A boolean as in `--flag=false`.
pub(crate) fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err("give true or false".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units_or_are_zero() {
        for (text, millis) in
            [("10s", 10_000), ("1h30m", 5_400_000), ("500ms", 500), ("0", 0), ("1.5s", 1500)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "10", "-1s", "ten", "1d", "1 s", "PT1S", "1y"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn booleans_are_those_of_flags() {
        assert_eq!(boolean("T"), Ok(true));
        assert_eq!(boolean("False"), Ok(false));
        assert!(boolean("yes").is_err());
    }
}
