//! The command line, read as existing installations write it: `--name=value`, `--name value`, switches alone or
//! with `=value`, one-letter flags in groups.
//!
//! Not clap: all errors are to be reported at once, those of files and environment among them.

use std::ffi::OsString;

use super::error::{ConfigError, Source};
use super::nearest::nearest;
use super::resolve::{Given, Reports};
use super::spec::Spec;
use super::table::OPTIONS;

/// Reads all arguments (without the program's name).
pub(super) fn read(args: impl IntoIterator<Item = OsString>, reports: &mut Reports) -> Given {
    let mut given = Given::default();
    let mut args = args.into_iter().enumerate();
    while let Some((at, arg)) = args.next() {
        let Ok(arg) = arg.into_string() else {
            reports.errors.push(ConfigError::NotText { place: format!("argument {}", at + 1) });
            continue;
        };
        if arg == "--" {
            for (_, rest) in args.by_ref() {
                ignored(&rest.to_string_lossy(), reports);
            }
        } else if let Some(long) = arg.strip_prefix("--") {
            let (name, value) = match long.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (long, None),
            };
            let Some(spec) = OPTIONS.iter().find(|spec| spec.name == name) else {
                let suggestion = nearest(name);
                reports.errors.push(ConfigError::UnknownFlag { flag: format!("--{name}"), suggestion });
                continue;
            };
            take(spec, value, &mut args, &mut given, reports);
        } else if let Some(group) = arg.strip_prefix('-').filter(|group| !group.is_empty()) {
            letters(group, &mut args, &mut given, reports);
        } else {
            ignored(&arg, reports);
        }
    }
    given
}

type Args<'a> = &'a mut dyn Iterator<Item = (usize, OsString)>;

fn letters(group: &str, args: Args<'_>, given: &mut Given, reports: &mut Reports) {
    let mut rest = group;
    while let Some(letter) = rest.chars().next() {
        rest = &rest[letter.len_utf8()..];
        let Some(spec) = OPTIONS.iter().find(|spec| spec.short == Some(letter)) else {
            // "-debug" is more likely one long name than five letters.
            let name = group.split('=').next().unwrap_or(group);
            let suggestion = if name.chars().count() > 1 { nearest(name) } else { None };
            reports.errors.push(ConfigError::UnknownFlag { flag: format!("-{group}"), suggestion });
            return;
        };
        if let Some(value) = rest.strip_prefix('=') {
            take(spec, Some(value.to_owned()), args, given, reports);
            return;
        }
        if spec.is_switch() {
            take(spec, None, args, given, reports);
        } else {
            let value = (!rest.is_empty()).then(|| rest.to_owned());
            take(spec, value, args, given, reports);
            return;
        }
    }
}

fn take(
    spec: &'static Spec,
    value: Option<String>,
    args: Args<'_>,
    given: &mut Given,
    reports: &mut Reports,
) {
    let value = match value {
        Some(value) => value,
        None if spec.is_switch() => "true".to_owned(),
        None => match args.next().map(|(_, value)| value.into_string()) {
            Some(Ok(value)) => value,
            Some(Err(_)) => {
                let place = format!("value of --{}", spec.name);
                reports.errors.push(ConfigError::NotText { place });
                return;
            }
            None => {
                reports.errors.push(ConfigError::NoValue { name: spec.name, word: spec.word });
                return;
            }
        },
    };
    given.add(spec, Source::Flag, value);
}

fn ignored(word: &str, reports: &mut Reports) {
    let hint = match word {
        "true" | "false" => "; a switch takes its value as --name=false",
        _ => "",
    };
    reports.warn(format!("command line: the word {word:?} belongs to no flag and is ignored{hint}"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(args: &[&str]) -> (Given, Reports) {
        let mut reports = Reports::default();
        let given = read(args.iter().map(OsString::from), &mut reports);
        (given, reports)
    }

    fn text<'a>(given: &'a Given, name: &str) -> Option<&'a str> {
        given.get(name).map(|(_, text)| text.as_str())
    }

    #[test]
    fn values_follow_an_equals_sign_or_the_flag() {
        let (given, reports) =
            parse(&["--log-level=debug", "--procfs", "/procRoot", "--btf=", "--kernel", "--debug"]);
        assert!(reports.errors.is_empty() && reports.warnings.is_empty());
        assert_eq!(text(&given, "log-level"), Some("debug"));
        assert_eq!(text(&given, "procfs"), Some("/procRoot"));
        assert_eq!(text(&given, "btf"), Some(""));
        assert_eq!(text(&given, "kernel"), Some("--debug"));
        assert_eq!(text(&given, "debug"), None);
    }

    #[test]
    fn a_switch_stands_alone_and_does_not_take_the_next_word() {
        let (given, reports) = parse(&["--debug", "false", "--enable-cri=false"]);
        assert_eq!(text(&given, "debug"), Some("true"));
        assert_eq!(text(&given, "enable-cri"), Some("false"));
        assert_eq!(reports.warnings.len(), 1);
        assert!(reports.warnings[0].0.contains("--name=false"));
    }

    #[test]
    fn letters_may_stand_in_groups() {
        let (given, _) = parse(&["-dh"]);
        assert_eq!((text(&given, "debug"), text(&given, "help")), (Some("true"), Some("true")));
        assert_eq!(text(&parse(&["-d=false"]).0, "debug"), Some("false"));
    }

    #[test]
    fn every_unknown_flag_is_named_with_the_nearest_known_one() {
        let (_, reports) = parse(&["--log-levl=x", "--export_filename", "-debug", "-x", "--zzzzzzzzzzzz"]);
        let texts: Vec<_> = reports.errors.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "unknown flag --log-levl; did you mean --log-level?",
                "unknown flag --export_filename; did you mean --export-filename?",
                "unknown flag -debug; did you mean --debug?",
                "unknown flag -x; --help lists all flags",
                "unknown flag --zzzzzzzzzzzz; --help lists all flags",
            ]
        );
    }

    #[test]
    fn the_last_of_a_repeated_flag_wins_and_lists_add_up() {
        let (given, _) =
            parse(&["--btf=a", "--btf=b", "--enable-ancestors=base", "--enable-ancestors=lsm,usdt"]);
        assert_eq!(text(&given, "btf"), Some("b"));
        assert_eq!(text(&given, "enable-ancestors"), Some("base,lsm,usdt"));
    }

    #[test]
    fn a_missing_value_is_an_error() {
        let (_, reports) = parse(&["--rb-size"]);
        assert_eq!(reports.errors[0].to_string(), "flag --rb-size needs a value; write --rb-size=<string>");
    }

    #[test]
    fn words_after_the_terminator_are_reported() {
        let (given, reports) = parse(&["--", "--debug"]);
        assert_eq!((text(&given, "debug"), reports.warnings.len()), (None, 1));
    }

    proptest! {
        #[test]
        fn no_command_line_makes_the_reader_panic(
            args in prop::collection::vec(prop_oneof!["\\PC*", "-[-=dhµx]*", "--(debug|btf|help)(=\\PC*)?"], 0..8)
        ) {
            let mut reports = Reports::default();
            let _ = read(args.into_iter().map(OsString::from), &mut reports);
        }
    }
}
