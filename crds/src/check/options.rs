//! Settings of a policy.

use super::Check;
use crate::policy::{AttachMethod, Mode, Options, OverrideMethod};
use crate::report::{Diagnostic, Path, one_of};
use crate::spec::OptionSpec;

const NAMES: [&str; 6] = [
    "disable-kprobe-multi",
    "disable-uprobe-multi",
    "override-method",
    "policy-mode",
    "match-unreadable",
    "attach-method",
];

const BOOLEANS: [(&str, bool); 2] = [("true", true), ("false", false)];
const OVERRIDE_METHODS: [(&str, Option<OverrideMethod>); 2] =
    [("fmod-ret", Some(OverrideMethod::FmodRet)), ("override-return", Some(OverrideMethod::OverrideReturn))];
const ATTACH_METHODS: [(&str, Option<AttachMethod>); 2] =
    [("kprobe", Some(AttachMethod::Kprobe)), ("fentry", Some(AttachMethod::Fentry))];
const MODES: [(&str, Option<Mode>); 2] = [("enforce", Some(Mode::Enforce)), ("monitor", Some(Mode::Monitor))];

impl Check<'_> {
    pub(super) fn options(&mut self, specs: &[OptionSpec], path: &Path) -> Options {
        let mut options = Options::default();
        for (index, OptionSpec { name, value }) in specs.iter().enumerate() {
            let path = path.index(index);
            if specs[..index].iter().any(|earlier| earlier.name == *name) {
                let diagnostic =
                    Diagnostic::new(path.field("name"), "given more than once, the last one counts");
                self.warn(diagnostic.value(name));
            }
            let chosen = match name.as_str() {
                "disable-kprobe-multi" => choose(&mut options.disable_kprobe_multi, value, &BOOLEANS),
                "disable-uprobe-multi" => choose(&mut options.disable_uprobe_multi, value, &BOOLEANS),
                "match-unreadable" => choose(&mut options.match_unreadable, value, &BOOLEANS),
                "override-method" => choose(&mut options.override_method, value, &OVERRIDE_METHODS),
                "attach-method" => choose(&mut options.attach_method, value, &ATTACH_METHODS),
                "policy-mode" => choose(&mut options.mode, value, &MODES),
                _ => {
                    if self.is_sound(&path.field("name")) {
                        let diagnostic =
                            Diagnostic::new(path.field("name"), "an option that is not known has no effect");
                        self.warn(diagnostic.value(name).remedy(one_of(name, NAMES)));
                    }
                    Ok(())
                }
            };
            if let Err(words) = chosen
                && self.is_sound(&path.field("value"))
            {
                let diagnostic =
                    Diagnostic::new(path.field("value"), format!("not a value of {name}")).value(value);
                self.error(diagnostic.remedy(one_of(value, words)));
            }
        }
        options
    }
}

/// Sets an option to what a word says; the error is the words to choose from.
fn choose<T: Copy>(
    option: &mut T,
    word: &str,
    choices: &[(&'static str, T)],
) -> Result<(), Vec<&'static str>> {
    let found = choices.iter().find(|(name, _)| *name == notation(word));
    let (_, value) = found.ok_or_else(|| choices.iter().map(|(name, _)| *name).collect::<Vec<_>>())?;
    *option = *value;
    Ok(())
}

/// The word for a boolean in one of the notations of the interface's home; other words as they are.
fn notation(word: &str) -> &str {
    match word {
        "1" | "t" | "T" | "TRUE" | "True" => "true",
        "0" | "f" | "F" | "FALSE" | "False" => "false",
        _ => word,
    }
}
