//! `tetra tracingpolicy list`: the agent's policies and how they fare.

use anyhow::Result;
use clap::{Args, ValueEnum};
use tetragon_api::json;
use tetragon_api::tetragon::{
    ListTracingPoliciesRequest, TracingPolicyFigures, TracingPolicyMode, TracingPolicyState,
    TracingPolicyStatus,
};

use crate::cli::Global;
use crate::client::{Client, Explain as _};
use crate::output;
use crate::table::Table;

#[derive(Args, Debug)]
pub(super) struct Options {
    /// Form of the output
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    output: Format,

    /// Only policies of this namespace
    #[arg(short, long, value_name = "NAME")]
    namespace: Option<String>,

    /// Also what the kernel's verifier said of policies that it refused
    #[arg(long)]
    verifier_logs: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Text,
    Json,
}

pub(super) async fn run(global: &Global, options: &Options) -> Result<()> {
    let client = Client::new(global)?;
    let request = ListTracingPoliciesRequest { verifier_logs: options.verifier_logs, ..Default::default() };
    let call = async || client.sensors().list_tracing_policies(request.clone()).await;
    let mut answer =
        client.unary(call).await.or_explain(&client, "cannot list tracing policies")?.into_inner();
    if let Some(namespace) = &options.namespace {
        answer.policies.retain(|policy| policy.namespace == *namespace);
    }
    Ok(output::print(&match options.output {
        Format::Text => text(&mut answer.policies),
        Format::Json => json::to_string(&answer) + "\n",
    })?)
}

/// The table, and below it what is wrong with policies.
fn text(policies: &mut [TracingPolicyStatus]) -> String {
    policies.sort_by_key(|policy| policy.id);
    let mut table = Table::new(&[
        "ID",
        "NAME",
        "STATE",
        "FILTERID",
        "NAMESPACE",
        "SENSORS",
        "KERNELMEMORY",
        "MODE",
        "MATCHED",
        "POSTED",
        "LOST",
    ]);
    let mut remarks = String::new();
    for policy in policies.iter() {
        let figure = |value: Option<u64>| value.map_or_else(|| "-".to_owned(), |value| value.to_string());
        let figures = policy.figures.as_ref();
        table.push([
            policy.id.to_string(),
            policy.name.clone(),
            state(policy.state()),
            policy.filter_id.to_string(),
            if policy.namespace.is_empty() { "(global)".to_owned() } else { policy.namespace.clone() },
            if policy.sensors.is_empty() { "-".to_owned() } else { policy.sensors.join(",") },
            size(policy.kernel_memory_bytes),
            mode(policy.mode()).to_owned(),
            figure(figures.map(|it| it.matched)),
            figure(figures.map(|it| it.posted)),
            figure(figures.map(|it| it.lost)),
        ]);
        let warnings = policy.warnings.iter().map(|text| ("warning", text));
        let errors = Some(&policy.error).filter(|text| !text.is_empty()).map(|text| ("error", text));
        let log = Some(&policy.verifier_log).filter(|text| !text.is_empty()).map(|text| ("verifier", text));
        let missing = figures.and_then(missing);
        let missing = missing.iter().map(|text| ("missing", text));
        for (kind, text) in errors.into_iter().chain(log).chain(warnings).chain(missing) {
            remarks.push_str(&format!("{}: {kind}: {}\n", policy.name, text.trim_end()));
        }
    }
    let mut text = table.render();
    if !remarks.is_empty() {
        text.push('\n');
        text.push_str(&remarks);
    }
    text
}

/// What was not done or not seen, besides lost events.
fn missing(figures: &TracingPolicyFigures) -> Option<String> {
    let all = [
        (figures.returns_missing, "calls have not been seen to return"),
        (figures.returns_lost, "calls could not be remembered until they return"),
        (figures.signal_errors, "signals could not be sent"),
        (figures.skipped, "runs at its hooks, of all their policies, were left out by the kernel"),
    ];
    let some: Vec<String> =
        all.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    (!some.is_empty()).then(|| some.join("; "))
}

fn state(state: TracingPolicyState) -> String {
    state.as_str_name().trim_start_matches("TP_STATE_").to_lowercase()
}

fn mode(mode: TracingPolicyMode) -> &'static str {
    match mode {
        TracingPolicyMode::TpModeEnforce => "enforce",
        TracingPolicyMode::TpModeMonitor => "monitor",
        TracingPolicyMode::TpModeMonitorOnly => "monitor_only",
        TracingPolicyMode::TpModeUnknown => "unknown",
    }
}

/// In decimal units, with three digits: `1.05 MB`.
fn size(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let mut value = bytes as f64;
    let mut units = ["B", "kB", "MB", "GB", "TB"].iter().peekable();
    let mut unit = units.next().copied().unwrap_or_default();
    while value >= 999.5
        && let Some(next) = units.next()
    {
        value /= 1000.0;
        unit = next;
    }
    let digits = match value {
        _ if unit == "B" => 0,
        value if value < 9.995 => 2,
        value if value < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.digits$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_three_digits() {
        for (bytes, expected) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.00 kB"),
            (1_048_576, "1.05 MB"),
            (12_345_678, "12.3 MB"),
            (999_600, "1.00 MB"),
            (123_000_000_000, "123 GB"),
        ] {
            assert_eq!(size(bytes), expected);
        }
    }

    #[test]
    fn policies_are_rows_and_their_errors_follow() {
        let good = TracingPolicyStatus {
            id: 2,
            name: "good".to_owned(),
            namespace: "shop".to_owned(),
            filter_id: 2,
            sensors: vec!["generic_kprobe-0".to_owned(), "generic_tracepoint-1".to_owned()],
            state: TracingPolicyState::TpStateEnabled.into(),
            mode: TracingPolicyMode::TpModeMonitorOnly.into(),
            kernel_memory_bytes: 8192,
            figures: Some(TracingPolicyFigures {
                matched: 9,
                posted: 8,
                lost: 1,
                returns_missing: 4,
                skipped: 3,
                ..Default::default()
            }),
            ..Default::default()
        };
        let bad = TracingPolicyStatus {
            id: 1,
            name: "bad".to_owned(),
            state: TracingPolicyState::TpStateLoadError.into(),
            error: "no such function".to_owned(),
            ..Default::default()
        };
        let text = text(&mut [good, bad]);
        let lines: Vec<_> =
            text.lines().map(|it| it.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(
            lines,
            [
                "ID NAME STATE FILTERID NAMESPACE SENSORS KERNELMEMORY MODE MATCHED POSTED LOST",
                "1 bad load_error 0 (global) - 0 B unknown - - -",
                "2 good enabled 2 shop generic_kprobe-0,generic_tracepoint-1 8.19 kB monitor_only 9 8 1",
                "",
                "bad: error: no such function",
                "good: missing: 4 calls have not been seen to return; 3 runs at its hooks, of all their policies, \
                 were left out by the kernel",
            ]
        );
    }
}
