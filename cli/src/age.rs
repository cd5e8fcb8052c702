//! How long ago something was, for people.

use jiff::Timestamp;

/// The age in its largest unit: `7s`, `3m`, `2h`, `4d`; `-` if the time is not known. What lies ahead was just now:
/// clocks differ a little.
pub(crate) fn text(time: Option<&prost_types::Timestamp>, now: Timestamp) -> String {
    let Some(time) = time.and_then(|it| Timestamp::new(it.seconds, it.nanos).ok()) else {
        return "-".to_owned();
    };
    match now.duration_since(time).as_secs().max(0) {
        seconds @ 0..60 => format!("{seconds}s"),
        seconds @ 60..3600 => format!("{}m", seconds / 60),
        seconds @ 3600..86_400 => format!("{}h", seconds / 3600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_has_one_unit() {
        let now = Timestamp::new(1_000_000, 0).expect("valid");
        for (age, expected) in [
            (-5, "0s"),
            (0, "0s"),
            (59, "59s"),
            (60, "1m"),
            (3599, "59m"),
            (7200, "2h"),
            (86_399, "23h"),
            (900_000, "10d"),
        ] {
            let time = prost_types::Timestamp { seconds: 1_000_000 - age, nanos: 0 };
            assert_eq!(text(Some(&time), now), expected);
        }
        assert_eq!(text(None, now), "-");
        assert_eq!(text(Some(&prost_types::Timestamp { seconds: i64::MAX, nanos: 0 }), now), "-");
    }
}
