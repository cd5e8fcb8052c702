//! `--help` and `--generate-docs`, both written from the table.

use std::fmt::Write as _;

use super::spec::{Effect, Spec};
use super::table::OPTIONS;

/// The text of `--help`: visible options, sorted by name.
pub(super) fn help() -> String {
    let mut text =
        String::from("Watches the processes of a node with eBPF.\n\nUsage:\n  tetragon [flags]\n\nFlags:\n");
    let visible = || OPTIONS.iter().filter(|spec| !spec.hidden);
    let width = visible().map(|spec| left(spec).len()).max().unwrap_or_default();
    for spec in visible() {
        let _ = write!(text, "{:width$}   {}", left(spec), spec.help);
        let plain = spec.default.is_empty() || spec.default == "false";
        match (plain, spec.word == "string") {
            (true, _) => {}
            (false, true) => {
                let _ = write!(text, " (default {:?})", spec.default);
            }
            (false, false) => {
                let _ = write!(text, " (default {})", spec.default);
            }
        }
        if let Effect::None(reason) = spec.effect {
            let _ = write!(text, " [no effect: {reason}]");
        }
        text.push('\n');
    }
    text.push_str(
        "\nEach flag is also an environment variable (--log-level: TETRAGON_LOG_LEVEL), a file of that name in\n\
         /etc/tetragon/tetragon.conf.d/ and a key of /etc/tetragon/tetragon.yaml.\n",
    );
    text
}

fn left(spec: &Spec) -> String {
    let short = spec.short.map_or("    ".to_owned(), |letter| format!("-{letter}, "));
    let space = if spec.word.is_empty() { "" } else { " " };
    format!("  {short}--{}{space}{}", spec.name, spec.word)
}

/// The text of `--generate-docs`: every option as YAML.
pub(super) fn docs() -> String {
    let mut text = String::from(
        "name: tetragon\nsynopsis: Watches the processes of a node with eBPF\nusage: tetragon [flags]\noptions:\n",
    );
    for spec in OPTIONS {
        let _ = writeln!(text, "    - name: {}", spec.name);
        if let Some(letter) = spec.short {
            let _ = writeln!(text, "      shorthand: {letter}");
        }
        // A JSON string is a YAML string, whatever it contains.
        let default = if spec.list { format!("[{}]", spec.default) } else { spec.default.to_owned() };
        if !spec.default.is_empty() {
            let _ = writeln!(text, "      default_value: {default:?}");
        }
        let _ = writeln!(text, "      usage: {:?}", spec.help);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_docs_are_yaml_with_every_option() {
        let docs: serde_norway::Value = serde_norway::from_str(&docs()).unwrap();
        let options = docs["options"].as_sequence().unwrap();
        assert_eq!(options.len(), OPTIONS.len());
        let debug = options.iter().find(|option| option["name"] == "debug").unwrap();
        assert_eq!(debug["shorthand"], "d");
        assert_eq!(debug["default_value"], "false");
        let perm = options.iter().find(|option| option["name"] == "export-file-perm").unwrap();
        assert_eq!(perm["default_value"], "600");
        assert!(options.iter().all(|option| option["usage"].is_string()));
    }

    #[test]
    fn help_shows_the_visible_options_only() {
        let help = help();
        assert!(help.contains("-d, --debug "));
        assert!(help.contains("--server-address string"));
        assert!(!help.contains("memprofile"));
    }
}
