//! Settings in `TETRAGON_*` environment variables.

use std::ffi::OsString;

use super::error::{ConfigError, Source};
use super::nearest::nearest;
use super::resolve::{Given, Reports};
use super::table::OPTIONS;

const PREFIX: &str = "TETRAGON_";

/// Reads all variables; empty ones count as not set.
pub(super) fn read(
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    reports: &mut Reports,
) -> Given {
    let mut given = Given::default();
    let mut variables: Vec<_> = variables.into_iter().collect();
    variables.sort();
    for (variable, value) in variables {
        let Some(variable) = variable.to_str() else { continue };
        let Some(key) = variable.strip_prefix(PREFIX) else { continue };
        if value.is_empty() {
            continue;
        }
        let name = key.to_ascii_lowercase().replace('_', "-");
        let known = OPTIONS.iter().find(|spec| spec.name == name && key == key.to_ascii_uppercase());
        match (known, value.into_string()) {
            (Some(spec), Ok(text)) => given.set(spec, Source::Environment(variable.to_owned()), text),
            (Some(_), Err(_)) => {
                let place = format!("environment variable {variable}");
                reports.errors.push(ConfigError::NotText { place });
            }
            // Kubernetes sets variables of its own for a service called tetragon, so only likely slips count.
            (None, _) if is_service(key) => {}
            (None, _) => {
                if let Some(near) = nearest(&name) {
                    let near = near.to_ascii_uppercase().replace('-', "_");
                    reports.warn(format!(
                        "environment variable {variable} is unknown and ignored; did you mean {PREFIX}{near}?"
                    ));
                }
            }
        }
    }
    given
}

fn is_service(key: &str) -> bool {
    key == "PORT"
        || key.starts_with("PORT_")
        || ["SERVICE_HOST", "SERVICE_PORT", "_PORT_"].iter().any(|part| key.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(variables: &[(&str, &str)]) -> (Given, Reports) {
        let mut reports = Reports::default();
        let given = read(variables.iter().map(|(name, value)| (name.into(), value.into())), &mut reports);
        (given, reports)
    }

    #[test]
    fn variables_map_to_options_and_empty_ones_are_ignored() {
        let (given, reports) = parse(&[
            ("TETRAGON_SERVER_ADDRESS", ":1"),
            ("TETRAGON_BTF", ""),
            ("tetragon_debug", "true"),
            ("DEBUG", "true"),
        ]);
        assert_eq!(
            given.get("server-address"),
            Some(&(Source::Environment("TETRAGON_SERVER_ADDRESS".to_owned()), ":1".to_owned()))
        );
        assert!(given.get("btf").is_none() && given.get("debug").is_none());
        assert!(reports.warnings.is_empty());
    }

    #[test]
    fn likely_slips_are_warned_about_and_service_variables_are_not() {
        let (_, reports) = parse(&[
            ("TETRAGON_LOG_LEVL", "debug"),
            ("TETRAGON_SERVICE_HOST", "10.0.0.1"),
            ("TETRAGON_PORT", "tcp://10.0.0.1:2112"),
            ("TETRAGON_PORT_2112_TCP_ADDR", "10.0.0.1"),
            ("TETRAGON_OPERATOR_METRICS_SERVICE_PORT_METRICS", "2113"),
            ("TETRAGON_SOMETHING_ELSE", "1"),
        ]);
        assert_eq!(reports.warnings.len(), 1, "{reports:?}");
        assert!(reports.warnings[0].0.ends_with("did you mean TETRAGON_LOG_LEVEL?"));
    }
}
