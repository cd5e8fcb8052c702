//! What can be wrong with the settings, each with its place and its remedy.

use std::fmt;
use std::path::PathBuf;

use thiserror::Error;

/// Where a value came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Source {
    /// The built-in default.
    #[default]
    Default,
    /// A command-line flag.
    Flag,
    /// An environment variable of this name.
    Environment(String),
    /// A file of its own.
    File(PathBuf),
    /// A key of a YAML file.
    Yaml(PathBuf),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => write!(f, "default"),
            Self::Flag => write!(f, "command line"),
            Self::Environment(name) => write!(f, "environment variable {name}"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Yaml(path) => write!(f, "{}", path.display()),
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// No such flag.
    #[error("unknown flag {flag}{}", suggest(suggestion, "--"))]
    UnknownFlag {
        /// As written, with hyphens.
        flag: String,
        /// The known name nearest to it.
        suggestion: Option<&'static str>,
    },
    /// A flag that takes a value ends the command line.
    #[error("flag --{name} needs a value; write --{name}=<{word}>")]
    NoValue {
        /// The option.
        name: &'static str,
        /// What the value is.
        word: &'static str,
    },
    /// A flag or file that is not text.
    #[error("{place}: not UTF-8 text")]
    NotText {
        /// The argument, variable or file.
        place: String,
    },
    /// A value that cannot be read.
    #[error("{name} from {source_place}: invalid value {text:?}: {reason}")]
    Value {
        /// The option.
        name: &'static str,
        /// Where the value stands.
        source_place: Source,
        /// The value.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Two values that exclude each other.
    #[error(
        "{first} (from {first_place}) and {second} (from {second_place}) exclude each other; set only one"
    )]
    Conflict {
        /// One option.
        first: &'static str,
        /// Where it is set.
        first_place: Source,
        /// The other option.
        second: &'static str,
        /// Where that is set.
        second_place: Source,
    },
    /// A configuration directory that cannot be read.
    #[error("configuration directory {} (from {from}): {reason}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What named it.
        from: Source,
        /// Why it cannot be read.
        reason: String,
    },
    /// A configuration file that cannot be read or understood.
    #[error("configuration file {}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong, with line and column where known.
        reason: String,
    },
}

fn suggest(name: &Option<&'static str>, prefix: &str) -> String {
    match name {
        Some(name) => format!("; did you mean {prefix}{name}?"),
        None => "; --help lists all flags".to_owned(),
    }
}

/// Everything that is wrong with the settings.
#[derive(Debug)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [only] => write!(f, "{only}"),
            all => {
                write!(f, "{} settings are wrong:", all.len())?;
                all.iter().try_for_each(|error| write!(f, "\n  {error}"))
            }
        }
    }
}

impl std::error::Error for ConfigErrors {}

/// Something that does not stop the agent but that its operator should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning(pub String);

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
