//! Values of flags and of the file.

use std::time::Duration;

use jiff::SignedDuration;
use serde::Serializer;
use serde_json::Value;

/// What a value does to a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// The first value of a source takes the place of what lower sources say.
    Replace,
    Add,
}

impl Change {
    pub(super) fn apply(self, list: &mut Vec<String>, values: Vec<String>) {
        match self {
            Self::Replace => *list = values,
            Self::Add => list.extend(values),
        }
    }
}

/// A duration such as `10s`, `1m30s` or `500ms`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("'{text}' is not a duration above zero, such as 10s, 500ms or 1m30s");
    // The calendar notations of the parser are not meant here.
    if !text.ends_with(['s', 'm', 'h']) || text.contains(char::is_whitespace) || text.starts_with('P') {
        return Err(wrong());
    }
    let duration: SignedDuration = text.parse().map_err(|_| wrong())?;
    // Beyond a day it is no limit but a container that never starts.
    match Duration::try_from(duration) {
        Ok(duration) if !duration.is_zero() => Ok(duration.min(Duration::from_secs(24 * 60 * 60))),
        _ => Err(wrong()),
    }
}

pub(super) fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err(format!("'{text}' is neither true nor false")),
    }
}

/// A value of the file, as texts that flags take.
pub(super) fn texts(value: &Value) -> Result<Vec<String>, String> {
    match value {
        Value::String(text) => Ok(vec![text.clone()]),
        Value::Bool(_) | Value::Number(_) => Ok(vec![value.to_string()]),
        Value::Array(values) if !values.iter().any(Value::is_array) => {
            Ok(values.iter().map(texts).collect::<Result<Vec<_>, _>>()?.concat())
        }
        Value::Null | Value::Array(_) | Value::Object(_) => {
            Err("give a text, a number, a bool or a list of these".to_owned())
        }
    }
}

pub(super) fn serialize_duration<S: Serializer>(
    duration: &Duration,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format!("{duration:?}"))
}
