//! Flags, and the file beside the binary that gives them other defaults.

mod flags;
mod value;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lexopt::{Arg, Parser};
use serde::Serialize;
use tetragon_hook_policy::Options;

use self::flags::{FLAGS, Flag};
use self::value::Change;
use crate::log::Level;

/// What the command line asks for.
#[derive(Debug)]
pub(crate) enum Command {
    Run(Box<Settings>),
    /// Print this, and that is all.
    Show(String),
}

/// How this call is to work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Settings {
    /// Which stage of the container's life this is.
    pub(crate) hook: String,
    pub(crate) log_fname: PathBuf,
    pub(crate) log_level: Level,
    pub(crate) grpc_address: String,
    #[serde(serialize_with = "value::serialize_duration")]
    pub(crate) grpc_timeout: Duration,
    pub(crate) disable_grpc: bool,
    pub(crate) just_print_config: bool,
    #[serde(rename = "annotations_namespace_key")]
    pub(crate) namespace_keys: Vec<String>,
    pub(crate) fail_cel_expr: String,
    pub(crate) fail_allow_namespaces: Vec<String>,
    pub(crate) fail_allow_namespaces_regex: Vec<String>,
    pub(crate) spool_dir: PathBuf,
    /// What was odd, but no reason to give up; for the log.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) warnings: Vec<String>,
}

/// A command line that cannot be understood.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingsError {
    #[error(transparent)]
    Syntax(#[from] lexopt::Error),
    #[error("there is no flag --{0}")]
    NoSuchFlag(String),
    #[error("{place}: {problem}")]
    Value { place: String, problem: String },
    #[error("name the stage that calls: createRuntime, createContainer, poststop or server-version")]
    NoHook,
}

impl Settings {
    fn new(folder: &Path) -> Self {
        let policy = Options::default();
        Self {
            hook: String::new(),
            log_fname: folder.join("tetragon-oci-hook.log"),
            log_level: Level::Info,
            grpc_address: "unix:///var/run/tetragon/tetragon.sock".to_owned(),
            grpc_timeout: Duration::from_secs(10),
            disable_grpc: false,
            just_print_config: false,
            namespace_keys: policy.namespace_keys,
            fail_cel_expr: String::new(),
            fail_allow_namespaces: policy.allow_namespaces,
            fail_allow_namespaces_regex: policy.allow_namespace_patterns,
            spool_dir: "/var/run/tetragon/containers".into(),
            warnings: Vec::new(),
        }
    }

    /// The failure policy's part.
    pub(crate) fn policy(&self) -> Options {
        Options {
            allow_namespaces: self.fail_allow_namespaces.clone(),
            allow_namespace_patterns: self.fail_allow_namespaces_regex.clone(),
            cel_expression: Some(self.fail_cel_expr.clone()),
            namespace_keys: self.namespace_keys.clone(),
            exempt_static_pods: true,
        }
    }
}

/// The settings of a call: the command line's, else those of the file in the binary's folder, else the defaults.
pub(crate) fn from_command_line(args: impl IntoIterator<Item = OsString>) -> Result<Command, SettingsError> {
    // Symbolic links are resolved by the kernel. Without a folder, a relative name is as good as any.
    let binary = std::env::current_exe().unwrap_or_default();
    resolve(args, binary.parent().unwrap_or(Path::new("")))
}

fn resolve(args: impl IntoIterator<Item = OsString>, folder: &Path) -> Result<Command, SettingsError> {
    let mut parser = Parser::from_iter(args);
    let mut given: Vec<(&Flag, String)> = Vec::new();
    let mut hook = None;
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("help") | Arg::Short('h') => return Ok(Command::Show(flags::help())),
            Arg::Long("version") => {
                return Ok(Command::Show(
                    concat!("tetragon-oci-hook ", env!("CARGO_PKG_VERSION"), "\n").to_owned(),
                ));
            }
            Arg::Long(name) => {
                let flag = flags::named(name).ok_or_else(|| SettingsError::NoSuchFlag(name.to_owned()))?;
                let text = match parser.optional_value() {
                    Some(text) => text,
                    None if flag.is_switch() => "true".into(),
                    None => parser.value()?,
                };
                given.push((flag, lossless(text)?));
            }
            Arg::Value(text) if hook.is_none() => hook = Some(lossless(text)?),
            other => return Err(other.unexpected().into()),
        }
    }

    let mut settings = Settings::new(folder);
    apply_file(&mut settings, &folder.join("tetragon-oci-hook.json"), &given);
    for (index, (flag, text)) in given.iter().enumerate() {
        let earlier = given.iter().take(index).any(|(it, _)| it.name == flag.name);
        let change = if earlier { Change::Add } else { Change::Replace };
        (flag.set)(&mut settings, text, change)
            .map_err(|problem| SettingsError::Value { place: format!("--{}", flag.name), problem })?;
    }
    settings.hook = match hook {
        Some(hook) => hook,
        None if settings.just_print_config => String::new(),
        None => return Err(SettingsError::NoHook),
    };
    if settings.just_print_config {
        let text = serde_json::to_string_pretty(&settings);
        let text = text.map_err(|error| SettingsError::Value {
            place: "--just-print-config".into(),
            problem: error.to_string(),
        })?;
        return Ok(Command::Show(text + "\n"));
    }
    Ok(Command::Run(Box::new(settings)))
}

fn lossless(text: OsString) -> Result<String, SettingsError> {
    text.into_string().map_err(|text| lexopt::Error::NonUnicodeValue(text).into())
}

/// Takes from the file what the command line leaves open. What is wrong there is left out and told in the log: a
/// file that somebody is just editing must not keep a node from starting containers, and without its exemptions the
/// failure policy is only stricter.
fn apply_file(settings: &mut Settings, path: &Path, given: &[(&Flag, String)]) {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return,
        Err(error) => return settings.warnings.push(format!("{} is left out: {error}", path.display())),
    };
    let entries: serde_json::Map<String, serde_json::Value> = match serde_json::from_slice(&text) {
        Ok(entries) => entries,
        Err(error) => return settings.warnings.push(format!("{} is left out: {error}", path.display())),
    };
    for (key, entry) in entries {
        let flag = FLAGS.iter().find(|flag| flag.name.replace('-', "_") == key);
        let result = match flag {
            None => Err("there is no such setting".to_owned()),
            Some(flag) if given.iter().any(|(it, _)| it.name == flag.name) => Ok(()),
            Some(flag) => value::texts(&entry).and_then(|texts| {
                // An empty list is a list, too.
                let mut changed =
                    (flag.set)(settings, texts.first().map_or("", String::as_str), Change::Replace);
                for text in texts.iter().skip(1) {
                    changed = changed.and_then(|()| (flag.set)(settings, text, Change::Add));
                }
                changed
            }),
        };
        if let Err(problem) = result {
            settings.warnings.push(format!("{}: {key} is left out: {problem}", path.display()));
        }
    }
}

#[cfg(test)]
mod tests;
