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
            let words = match name.as_str() {
                "disable-kprobe-multi" => {
                    set(&mut options.disable_kprobe_multi, boolean(value), &["true", "false"])
                }
                "disable-uprobe-multi" => {
                    set(&mut options.disable_uprobe_multi, boolean(value), &["true", "false"])
                }
                "match-unreadable" => set(&mut options.match_unreadable, boolean(value), &["true", "false"]),
                "override-method" => {
                    let method = match value.as_str() {
                        "fmod-ret" => Some(OverrideMethod::FmodRet),
                        "override-return" => Some(OverrideMethod::OverrideReturn),
                        _ => None,
                    };
                    set(&mut options.override_method, method.map(Some), &["fmod-ret", "override-return"])
                }
                "attach-method" => {
                    let method = match value.as_str() {
                        "kprobe" => Some(AttachMethod::Kprobe),
                        "fentry" => Some(AttachMethod::Fentry),
                        _ => None,
                    };
                    set(&mut options.attach_method, method.map(Some), &["kprobe", "fentry"])
                }
                "policy-mode" => {
                    let mode = match value.as_str() {
                        "enforce" => Some(Mode::Enforce),
                        "monitor" => Some(Mode::Monitor),
                        _ => None,
                    };
                    set(&mut options.mode, mode.map(Some), &["enforce", "monitor"])
                }
                _ => {
                    if self.is_sound(&path.field("name")) {
                        let diagnostic =
                            Diagnostic::new(path.field("name"), "an option that is not known has no effect");
                        self.warn(diagnostic.value(name).remedy(one_of(name, NAMES)));
                    }
                    Ok(())
                }
            };
            if let Err(words) = words
                && self.is_sound(&path.field("value"))
            {
                let diagnostic =
                    Diagnostic::new(path.field("value"), format!("not a value of {name}")).value(value);
                self.error(diagnostic.remedy(one_of(value, words.iter().copied())));
            }
        }
        options
    }
}

fn set<T>(
    option: &mut T,
    value: Option<T>,
    words: &'static [&'static str],
) -> Result<(), &'static [&'static str]> {
    *option = value.ok_or(words)?;
    Ok(())
}

/// A boolean in the notations of the interface's home.
fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}
