//! All flags.

use super::value::{self, Change};
use super::{Level, Settings};
use tetragon_hook_policy as policy;

/// One flag, and the entry of the file with the same name.
pub(super) struct Flag {
    pub(super) name: &'static str,
    /// Of its value; empty if it needs none.
    metavar: &'static str,
    help: &'static str,
    pub(super) set: fn(&mut Settings, &str, Change) -> Result<(), String>,
}

impl Flag {
    pub(super) fn is_switch(&self) -> bool {
        self.metavar.is_empty()
    }
}

pub(super) fn named(name: &str) -> Option<&'static Flag> {
    FLAGS.iter().find(|flag| flag.name == name)
}

pub(super) const FLAGS: [Flag; 11] = [
    Flag {
        name: "log-fname",
        metavar: "FILE",
        help: "log file [tetragon-oci-hook.log in the binary's folder]",
        set: |settings, text, _| {
            settings.log_fname = not_empty(text)?.into();
            Ok(())
        },
    },
    Flag {
        name: "log-level",
        metavar: "LEVEL",
        help: "debug, info, warn or error [info]",
        set: |settings, text, _| {
            settings.log_level = Level::named(text).unwrap_or_else(|| {
                settings
                    .warnings
                    .push(format!("--log-level {text:?} is none of debug, info, warn, error: info it is"));
                Level::Info
            });
            Ok(())
        },
    },
    Flag {
        name: "grpc-address",
        metavar: "ADDRESS",
        help: "the agent's: unix:///path or host:port [unix:///var/run/tetragon/tetragon.sock]",
        set: |settings, text, _| {
            settings.grpc_address = not_empty(text)?;
            Ok(())
        },
    },
    Flag {
        name: "grpc-timeout",
        metavar: "DURATION",
        help: "for connection and call together [10s]",
        set: |settings, text, _| {
            settings.grpc_timeout = value::duration(text)?;
            Ok(())
        },
    },
    Flag {
        name: "disable-grpc",
        metavar: "",
        help: "only log what the agent would be told",
        set: |settings, text, _| {
            settings.disable_grpc = value::boolean(text)?;
            Ok(())
        },
    },
    Flag {
        name: "just-print-config",
        metavar: "",
        help: "print the settings in effect and exit",
        set: |settings, text, _| {
            settings.just_print_config = value::boolean(text)?;
            Ok(())
        },
    },
    Flag {
        name: "annotations-namespace-key",
        metavar: "KEYS",
        help: "annotations that hold the namespace [io.kubernetes.pod.namespace,io.kubernetes.cri.sandbox-namespace]",
        set: |settings, text, change| {
            change.apply(&mut settings.namespace_keys, policy::names(text));
            Ok(())
        },
    },
    Flag {
        name: "fail-cel-expr",
        metavar: "CEL",
        help: "if the agent cannot be told, this decides alone: true refuses the container",
        set: |settings, text, _| {
            text.clone_into(&mut settings.fail_cel_expr);
            Ok(())
        },
    },
    Flag {
        name: "fail-allow-namespaces",
        metavar: "NAMES",
        help: "namespaces whose containers may start though the agent cannot be told [kube-system]",
        set: |settings, text, change| {
            change.apply(&mut settings.fail_allow_namespaces, policy::names(text));
            Ok(())
        },
    },
    Flag {
        name: "fail-allow-namespaces-regex",
        metavar: "PATTERNS",
        help: "the same, by regular expressions that match anywhere in the name",
        set: |settings, text, change| {
            change.apply(&mut settings.fail_allow_namespaces_regex, policy::patterns(text));
            Ok(())
        },
    },
    Flag {
        name: "spool-dir",
        metavar: "FOLDER",
        help: "where the agent finds what it could not be told; empty keeps nothing [/var/run/tetragon/containers]",
        set: |settings, text, _| {
            settings.spool_dir = text.into();
            Ok(())
        },
    },
];

fn not_empty(text: &str) -> Result<String, String> {
    if text.is_empty() { Err("the value is empty".to_owned()) } else { Ok(text.to_owned()) }
}

pub(super) fn help() -> String {
    let mut text = "\
Tells the agent of a container that a runtime is creating. Called by runtimes, not by people.

Usage: tetragon-oci-hook [flags] <createRuntime|createContainer|poststop|server-version>

"
    .to_owned();
    for flag in &FLAGS {
        let left = format!("--{} {}", flag.name, flag.metavar);
        text += &format!("  {left:<40} {}\n", flag.help);
    }
    text += "
Lists are separated by commas, or the flag is repeated. A JSON object in tetragon-oci-hook.json in the binary's folder
gives other defaults: the same names, with _ for -.

Exit codes: 0 the container may go on; 1 it must not (or the command line is wrong), and standard error says why.
";
    text
}
