//! Figures as a table for people.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::options::Plan;
use super::policies::HOOKS;

type Figures = BTreeMap<String, f64>;

/// Figure, what people read, decimals.
const ROWS: &[(&str, &str, usize)] = &[
    ("latency_mean_us", "fork + exec + wait, mean, µs", 1),
    ("latency_p50_us", "fork + exec + wait, median, µs", 1),
    ("latency_p99_us", "fork + exec + wait, p99, µs", 1),
    ("added_mean_us", "  added per exec, mean, µs", 1),
    ("added_p50_us", "  added per exec, median, µs", 1),
    ("added_p99_us", "  added per exec, p99, µs", 1),
    ("storm_us_per_exec", "storm, two at a time: wall time per exec, µs", 1),
    ("cpu_us_per_pair", "agent CPU per exec + exit, to a file, µs", 1),
    ("cpu_user_us_per_pair", "  in user mode (steps of 10 ms a storm), µs", 1),
    ("cpu_system_us_per_pair", "  in the kernel (likewise), µs", 1),
    ("cpu_us_per_pair_with_stream", "agent CPU per exec + exit, to a file and a stream, µs", 1),
    ("bpf_us_per_exec", "BPF programs, all runs of one process, µs", 2),
    ("rss_idle_mb", "RSS, idle, MB", 1),
    ("rss_anonymous_idle_mb", "  of it anonymous, MB", 1),
    ("pss_idle_mb", "  proportional (PSS), MB", 1),
    ("rss_after_mb", "RSS, after one storm, MB", 1),
    ("rss_anonymous_after_mb", "  of it anonymous, MB", 1),
    ("pss_after_mb", "  proportional (PSS), MB", 1),
    ("start_first_event_ms", "start to first event, ms", 0),
    ("start_first_live_ms", "start to first event of a new process, ms", 0),
    ("start_listening_ms", "start to \"listening\" in the log, ms", 0),
    ("hook_announce_p50_us", "RuntimeHook, 1,000 containers known, announce, median, µs", 0),
    ("hook_announce_p99_us", "  p99, µs", 0),
    ("hook_verify_p50_us", "RuntimeHook, 1,000 containers known, verify, median, µs", 0),
    ("hook_verify_p99_us", "  p99, µs", 0),
];

/// What calls at each kind of hook cost; `HOOK` stands for it.
const HOOK_ROWS: &[(&str, &str, usize)] = &[
    ("HOOK_call_ns", "prctl without a hook (beside HOOK), ns a call", 0),
    ("HOOK_unmatched_call_ns", "HOOK: one policy, not matching, ns", 0),
    ("HOOK_no_post_call_ns", "  matching, NoPost, ns", 0),
    ("HOOK_post_call_ns", "  matching, Post, ns", 0),
    ("HOOK_of_1_call_ns", "  1 namespaced policy, the caller's, NoPost, ns", 0),
    ("HOOK_of_10_call_ns", "  10 of which one is the caller's, ns", 0),
    ("HOOK_of_100_call_ns", "  100, ns", 0),
    ("HOOK_of_1000_call_ns", "  1,000, ns", 0),
    ("HOOK_of_10000_call_ns", "  10,000, ns", 0),
    ("HOOK_load_ms", "  to load one more of 1,000, ms", 2),
    ("HOOK_load_of_10000_ms", "  of 10,000, ms", 2),
    ("HOOK_memory_bytes", "  kernel memory of a policy, bytes", 0),
];

const LAST_ROWS: &[(&str, &str, usize)] = &[
    ("binary_mb", "binary with its BPF objects, MB", 1),
    ("events_wanted", "events of the storms", 0),
    ("events_missing", "  missing in the export file", 0),
    ("ledger_lost", "  lost before user space, by the ledger", 0),
    ("ledger_dropped", "  dropped or failed at the export, by the ledger", 0),
];

const SUBJECTS: [&str; 3] = ["without", "tetragon", "other"];

pub(super) fn render(place: &str, plan: &Plan, figures: &Figures) -> String {
    let subjects: Vec<&str> = SUBJECTS
        .into_iter()
        .filter(|subject| figures.keys().any(|key| key.starts_with(&format!("{subject}/"))))
        .collect();
    let compares = subjects.contains(&"other");
    let mut text =
        format!("\n{place}: storms of {}, {} rounds of {}\n\n", plan.execs, plan.rounds, plan.round_execs);
    let mut heading = format!("{:<60}", "");
    for subject in &subjects {
        let _ = write!(heading, "{subject:>11}");
    }
    if compares {
        heading.push_str("      ratio");
    }
    text.push_str(heading.trim_end());
    text.push('\n');
    let mut push = |figure: &str, label: &str, decimals| {
        push_row(&mut text, figures, &subjects, figure, label, decimals);
    };
    ROWS.iter().for_each(|(figure, label, decimals)| push(figure, label, *decimals));
    for hook in HOOKS {
        for (figure, label, decimals) in HOOK_ROWS {
            push(&figure.replace("HOOK", hook), &label.replace("HOOK", hook), *decimals);
        }
    }
    LAST_ROWS.iter().for_each(|(figure, label, decimals)| push(figure, label, *decimals));
    text.push_str("\nBPF program: nanoseconds a run (runs for each process)\n");
    for (subject, name) in programs(figures) {
        let value = |what: &str| figures.get(&format!("{subject}/bpf/{name}/{what}")).copied().unwrap_or(0.0);
        let _ = writeln!(
            text,
            "  {subject:<10} {name:<18} {:>10.0}  ({:.2})",
            value("ns_per_run"),
            value("runs_per_exec")
        );
    }
    text
}

fn push_row(
    text: &mut String,
    figures: &Figures,
    subjects: &[&str],
    figure: &str,
    label: &str,
    decimals: usize,
) {
    let value = |subject: &str| figures.get(&format!("{subject}/{figure}")).copied();
    if subjects.iter().all(|subject| value(subject).is_none()) {
        return;
    }
    let mut row = format!("{label:<60}");
    for subject in subjects {
        match value(subject) {
            Some(value) => {
                let _ = write!(row, "{value:>11.decimals$}");
            }
            None => row.push_str("          -"),
        }
    }
    if let (Some(ours), Some(other)) = (value("tetragon"), value("other"))
        && other > 0.0
    {
        let _ = write!(row, "{:>11.2}", ours / other);
    }
    text.push_str(&row);
    text.push('\n');
}

fn programs(figures: &Figures) -> BTreeSet<(&str, &str)> {
    figures
        .keys()
        .filter_map(|key| {
            let (subject, rest) = key.split_once("/bpf/")?;
            Some((subject, rest.rsplit_once('/')?.0))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_agents_stand_side_by_side_with_their_ratio() {
        let plan = Plan { execs: 10, rounds: 1, round_execs: 1, other: None, policies: false };
        let figures: Figures = [
            ("without/latency_mean_us", 100.0),
            ("tetragon/latency_mean_us", 120.0),
            ("tetragon/rss_idle_mb", 8.0),
            ("tetragon/bpf/on_exec/ns_per_run", 2500.0),
            ("tetragon/bpf/on_exec/runs_per_exec", 1.0),
            ("other/latency_mean_us", 240.0),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into();
        let text = render("native", &plan, &figures);
        let line = |label: &str| text.lines().find(|line| line.contains(label)).unwrap_or_default();
        let words: Vec<&str> =
            line("exec + wait, mean").rsplit(' ').filter(|w| !w.is_empty()).take(4).collect();
        assert_eq!(words, ["0.50", "240.0", "120.0", "100.0"], "{text}");
        assert!(line("RSS, idle").ends_with("8.0          -"), "{text}");
        assert!(line("on_exec").contains("2500  (1.00)"), "{text}");
        assert!(line("missing").is_empty(), "{text}");
    }
}
