//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use jiff::SignedDuration;
use tetragon_hook_policy::{FailurePolicy, PolicyError};
use tracing::level_filters::LevelFilter;

use crate::agent::Address;
use crate::logging::Format;
use crate::{containerd_conf, install, nri_hook};

/// Connects container runtimes with the tetragon agent.
///
/// Exit codes: 0 done, or ended on request; 1 it cannot be done, standard error says why; 2 the command line makes no
/// sense.
#[derive(Debug, Parser)]
#[command(name = "tetragon-rthooks", version)]
pub(crate) struct Cli {
    /// Least severity to log: off, error, warn, info, debug, trace
    #[arg(long, global = true, value_name = "LEVEL", default_value = "info")]
    pub(crate) log_level: LevelFilter,

    /// Form of the log
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text")]
    pub(crate) log_format: Format,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run as NRI plugin of containerd or CRI-O: tell the agent of every container before its program runs
    NriHook(Box<nri_hook::Options>),
    /// Install tetragon-oci-hook, and make the runtime call it
    Install(Box<install::Install>),
    /// Make the runtime forget tetragon-oci-hook
    Uninstall(install::Uninstall),
    /// Print the file for a runtime's hooks directory
    PrintConfig(install::PrintConfig),
    /// Change containerd's configuration
    #[command(subcommand)]
    PatchContainerdConf(containerd_conf::Patch),
}

/// How the agent is reached, and what becomes of containers when it is not: named as the flags of tetragon-oci-hook.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Agent and failure policy")]
pub(crate) struct HookFlags {
    /// Address of the agent, unix:///path or host:port
    #[arg(long, value_name = "ADDRESS", default_value = "unix:///var/run/tetragon/tetragon.sock")]
    pub(crate) grpc_address: Address,

    /// How long the agent may take to answer; never more than 3/4 of what the runtime allows
    #[arg(long, value_name = "DURATION", default_value = "1500ms", value_parser = duration)]
    pub(crate) grpc_timeout: Duration,

    /// Namespaces whose containers may start without the agent, separated by commas
    #[arg(long, value_name = "NAMESPACES", default_value = "kube-system")]
    pub(crate) fail_allow_namespaces: Vec<String>,

    /// Regular expressions of such namespaces (RE2, matching anywhere)
    #[arg(long, value_name = "REGEX")]
    pub(crate) fail_allow_namespaces_regex: Vec<String>,

    /// CEL expression that decides instead of the namespaces: true refuses
    #[arg(long, value_name = "CEL", default_value = "", hide_default_value = true)]
    pub(crate) fail_cel_expr: String,

    /// Annotations that hold the namespace where the runtime does not tell it, separated by commas
    #[arg(long, value_name = "KEYS")]
    #[arg(default_value = "io.kubernetes.pod.namespace,io.kubernetes.cri.sandbox-namespace")]
    pub(crate) annotations_namespace_key: Vec<String>,

    /// Directory for notes to the agent's next start, about containers that it could not be told of
    #[arg(long, value_name = "PATH", default_value = "/var/run/tetragon/containers")]
    pub(crate) spool_dir: PathBuf,
}

impl HookFlags {
    /// The failure policy that the flags describe.
    ///
    /// # Errors
    /// An expression or a pattern is malformed.
    pub(crate) fn policy(&self) -> Result<FailurePolicy, PolicyError> {
        let names =
            |values: &[String]| values.iter().flat_map(|it| tetragon_hook_policy::names(it)).collect();
        let patterns = self.fail_allow_namespaces_regex.iter();
        FailurePolicy::new(&tetragon_hook_policy::Options {
            allow_namespaces: names(&self.fail_allow_namespaces),
            allow_namespace_patterns: patterns.flat_map(|it| tetragon_hook_policy::patterns(it)).collect(),
            cel_expression: Some(self.fail_cel_expr.clone()),
            namespace_keys: names(&self.annotations_namespace_key),
            exempt_static_pods: true,
        })
    }

    /// The same flags for tetragon-oci-hook, which has a time of its own.
    pub(crate) fn for_hook(&self) -> Vec<String> {
        let mut args = vec![format!("--grpc-address={}", self.grpc_address)];
        let mut add = |flag: &str, values: &[String]| {
            args.extend(values.iter().map(|value| format!("--{flag}={value}")));
        };
        add("fail-allow-namespaces", &self.fail_allow_namespaces);
        add("fail-allow-namespaces-regex", &self.fail_allow_namespaces_regex);
        if !self.fail_cel_expr.is_empty() {
            add("fail-cel-expr", std::slice::from_ref(&self.fail_cel_expr));
        }
        add("annotations-namespace-key", &self.annotations_namespace_key);
        add("spool-dir", &[self.spool_dir.display().to_string()]);
        args
    }
}

/// A duration such as `10s`, `1h30m` or `500ms`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("'{text}' is not a duration such as 10s, 500ms or 1h30m");
    // The calendar notations of the parser are not meant here.
    if !text.ends_with(['s', 'm', 'h']) || text.contains(char::is_whitespace) || text.starts_with('P') {
        return Err(wrong());
    }
    let duration: SignedDuration = text.parse().map_err(|_| wrong())?;
    match Duration::try_from(duration) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err(format!("'{text}' is no time to wait: give more than 0")),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[derive(Debug, Parser)]
    struct Flags {
        #[command(flatten)]
        flags: HookFlags,
    }

    fn flags(args: &[&str]) -> HookFlags {
        Flags::try_parse_from([&["x"], args].concat()).expect("valid").flags
    }

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn durations_are_longer_than_nothing() {
        for (text, millis) in [("10s", 10_000), ("1h30m", 5_400_000), ("500ms", 500), ("1.5s", 1500)] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "10", "0s", "-1s", "ten", "1d", "1 s", "PT1S"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_hook_decides_as_the_plugin_does() {
        let given = flags(&[
            "--grpc-address=unix:///a.sock",
            "--fail-allow-namespaces=a,b",
            "--fail-allow-namespaces-regex=^c{1,2}$",
            "--fail-cel-expr=true",
        ]);
        let passed = given.for_hook();
        assert_eq!(
            passed,
            [
                "--grpc-address=unix:///a.sock",
                "--fail-allow-namespaces=a,b",
                "--fail-allow-namespaces-regex=^c{1,2}$",
                "--fail-cel-expr=true",
                "--annotations-namespace-key=io.kubernetes.pod.namespace,io.kubernetes.cri.sandbox-namespace",
                "--spool-dir=/var/run/tetragon/containers",
            ]
        );
        let passed: Vec<&str> = passed.iter().map(String::as_str).collect();
        assert_eq!(flags(&passed).for_hook(), given.for_hook());
    }

    #[test]
    fn a_malformed_policy_is_told_by_its_flag() {
        let error = flags(&["--fail-cel-expr=annotations["]).policy().expect_err("malformed");
        assert!(error.to_string().contains("--fail-cel-expr"), "{error}");
        let error = flags(&["--fail-allow-namespaces-regex=("]).policy().expect_err("malformed");
        assert!(error.to_string().contains("--fail-allow-namespaces-regex"), "{error}");
    }
}
