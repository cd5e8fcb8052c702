//! Which tests the command line selects; a machine must know before it boots.

use libtest_mimic::Arguments;

/// Whether the test of this name will be run.
pub(crate) fn is_selected(arguments: &Arguments, name: &str) -> bool {
    let matches =
        |pattern: &String| if arguments.exact { name == pattern } else { name.contains(pattern.as_str()) };
    arguments.filter.as_ref().is_none_or(matches) && !arguments.skip.iter().any(matches)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selected(line: &[&str], name: &str) -> bool {
        is_selected(&Arguments::from_iter([&["e2e"], line].concat()), name)
    }

    #[test]
    fn everything_is_selected_without_arguments() {
        assert!(selected(&[], "native::cases::setuid"));
    }

    #[test]
    fn a_filter_selects_by_part_of_the_name() {
        assert!(selected(&["vm-6.1::"], "vm-6.1::cases::setuid"));
        assert!(!selected(&["vm-6.1::"], "vm-6.12::cases::setuid"));
    }

    #[test]
    fn an_exact_filter_selects_one() {
        assert!(!selected(&["--exact", "native::a"], "native::ab"));
        assert!(selected(&["--exact", "native::a"], "native::a"));
    }

    #[test]
    fn skipped_tests_are_not_selected() {
        assert!(!selected(&["--skip", "storm"], "native::storm::full"));
    }
}
