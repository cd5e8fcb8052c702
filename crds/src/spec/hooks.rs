//! Hooks and their arguments.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::names::ArgType;
use super::selector::SelectorSpec;

/// A kernel function to hook.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KProbeSpec {
    /// The function, or "list:NAME".
    pub call: String,
    /// Whether the function is a system call: the architecture's prefix is added to its name, and its arguments are
    /// those of the call.
    #[serde(default = "yes")]
    pub syscall: bool,
    /// Whether the return value is of interest, too.
    #[serde(rename = "return", default)]
    pub has_return: bool,
    /// What the function returns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub return_arg: Option<ArgSpec>,
    /// What is done with the return value: TrackSock or UntrackSock.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub return_arg_action: String,
    /// The arguments to read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<ArgSpec>,
    /// When to do what; the first selector that matches counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub selectors: Vec<SelectorSpec>,
    /// What the event says, 2 to 256 bytes.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// What the event is tagged with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub tags: Vec<String>,
}

/// A tracepoint to hook.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct TracepointSpec {
    /// The tracepoint's group, such as "syscalls".
    pub subsystem: String,
    /// The tracepoint's name.
    pub event: String,
    /// The fields to read; an index is the field's number in the tracepoint's format, from 0.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<ArgSpec>,
    /// When to do what; the first selector that matches counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub selectors: Vec<SelectorSpec>,
    /// What the event says, 2 to 256 bytes.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// What the event is tagged with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub tags: Vec<String>,
}

/// Functions of a user-space program or library to hook.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct UProbeSpec {
    /// The program or library file.
    pub path: String,
    /// Its functions.
    pub symbols: Vec<String>,
    /// The arguments to read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<ArgSpec>,
    /// When to do what; the first selector that matches counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub selectors: Vec<SelectorSpec>,
    /// What the event says, 2 to 256 bytes.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// What the event is tagged with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub tags: Vec<String>,
}

/// A hook of the kernel's security modules.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct LsmHookSpec {
    /// The hook's name without prefix, such as "file_open".
    pub hook: String,
    /// The arguments to read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<ArgSpec>,
    /// When to do what; the first selector that matches counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub selectors: Vec<SelectorSpec>,
    /// What the event says, 2 to 256 bytes.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// What the event is tagged with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub tags: Vec<String>,
}

/// An argument or a return value.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ArgSpec {
    /// The argument's position, from 0.
    #[schemars(range(min = 0))]
    pub index: u32,
    /// How it is read and compared.
    #[serde(rename = "type", default = "auto")]
    pub arg_type: ArgType,
    /// The position, from 1, of the argument that holds the number of bytes; 0: none.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub size_arg_index: u32,
    /// Read it when the function returns.
    #[serde(default)]
    pub return_copy: bool,
    /// Read up to 327360 bytes.
    #[serde(default)]
    pub max_data: bool,
    /// What the event calls it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub label: String,
}

pub(super) fn is_false(value: &bool) -> bool {
    !value
}

fn yes() -> bool {
    true
}

fn auto() -> ArgType {
    ArgType::Auto
}
