//! The known name that someone most likely meant.

use super::table::OPTIONS;

/// The name of the option nearest to `name`, if any is near enough to be worth a question.
pub(super) fn nearest(name: &str) -> Option<&'static str> {
    let name: String =
        name.chars().take(64).map(|c| if c == '_' { '-' } else { c.to_ascii_lowercase() }).collect();
    let limit = (name.chars().count() / 4).max(1);
    OPTIONS
        .iter()
        .map(|spec| (strsim::osa_distance(&name, spec.name), spec.name))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found_and_far_ones_are_not() {
        assert_eq!(nearest("sever-address"), Some("server-address"));
        assert_eq!(nearest("RB_SIZE_TOTAL"), Some("rb-size-total"));
        assert_eq!(nearest("tcp-stats-sample-segs"), None);
        assert_eq!(nearest("x"), None);
        assert_eq!(nearest(""), None);
    }
}
