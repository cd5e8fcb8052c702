//! The agent's ledger as tables for people: each row is a sum that must come out, and says whether it does.

mod identity;
mod policies;

use std::fmt::Write as _;

use jiff::Timestamp;
use tetragon_api::tetragon::{GetStatusResponse, HookLedger, RecordLedger, RingStatus, SinkLedger};

use crate::table::Table;

pub(super) fn text(agent: &GetStatusResponse) -> String {
    let mut text = String::new();
    // Writing into a string cannot fail.
    let _ =
        writeln!(text, "Agent: {}, kernel {}", or_unknown(&agent.version), or_unknown(&agent.kernel_release));
    if let Some(started) = agent.started.as_ref().and_then(|it| Timestamp::new(it.seconds, it.nanos).ok()) {
        let _ = writeln!(text, "Started: {}", started.strftime("%Y-%m-%dT%H:%M:%SZ"));
    }
    let _ = writeln!(text, "Events: {}", agent.events_emitted);
    let losses = losses(agent);
    if losses.is_empty() {
        text.push_str("Lost: nothing\n");
    } else {
        text.push_str("Lost:\n");
        for loss in losses {
            let _ = writeln!(text, "  {loss}");
        }
    }
    let unknown = agent.process_table.as_ref().map_or(0, |table| table.unknown_process);
    if unknown > 0 {
        let _ = writeln!(text, "Incomplete: {unknown} events whose process was not in the table");
    }
    if let Some(incomplete) = identity::incomplete(agent) {
        let _ = writeln!(text, "Incomplete: {incomplete}");
    }
    if let Some(incomplete) = policies::incomplete(agent) {
        let _ = writeln!(text, "Incomplete: {incomplete}");
    }
    for table in [hooks(agent), rings(agent), records(agent), sinks(agent)] {
        text.push('\n');
        text.push_str(&table.render());
    }
    text.push('\n');
    if let Some(it) = &agent.process_table {
        let _ = writeln!(
            text,
            "Process table: {} of {} entries, {} of them ended; {} evicted, {} exits missed",
            it.entries, it.capacity, it.exited, it.evicted, it.exit_missed
        );
    }
    if let Some(it) = &agent.scan {
        let _ = writeln!(
            text,
            "Scans: {}, last because of '{}': {} processes found, {} reported",
            it.scans, it.last_cause, it.processes_found, it.processes_reported
        );
    }
    text.push_str(&policies::text(agent));
    text.push_str(&identity::text(agent));
    text
}

fn or_unknown(text: &str) -> &str {
    if text.is_empty() { "unknown" } else { text }
}

/// Everything that was lost, by place. In the order in which an event passes these places.
fn losses(agent: &GetStatusResponse) -> Vec<String> {
    let mut losses = Vec::new();
    let mut add = |count: u64, what: String| {
        if count > 0 {
            losses.push(format!("{count} {what}"));
        }
    };
    for hook in &agent.hooks {
        add(hook.skipped.unwrap_or_default(), format!("times the kernel did not run hook {}", hook.hook));
        add(
            hook.reserve_failed,
            format!("records of hook {}: ring buffer full (a larger --rb-size helps)", hook.hook),
        );
    }
    for record in &agent.records {
        add(record.malformed, format!("records of kind {}: malformed", record.kind));
    }
    if let Some(table) = &agent.process_table {
        add(table.exit_missed, "exits: found by a re-scan only".to_owned());
    }
    for (count, what) in identity::losses(agent).into_iter().chain(policies::losses(agent)) {
        add(count, what);
    }
    for sink in &agent.sinks {
        add(sink.dropped, format!("events for {}: queue full or rate limit (--event-queue-size)", sink.name));
        add(sink.failed, format!("events for {}: could not be encoded or written", sink.name));
    }
    losses
}

/// Compares a total with the sum of its parts.
fn balance(total: u64, parts: &[u64]) -> String {
    let difference = i128::from(total) - parts.iter().map(|part| i128::from(*part)).sum::<i128>();
    match difference {
        0 => "yes".to_owned(),
        _ => format!("off by {difference:+}"),
    }
}

fn row(names: &[&str], numbers: &[u64], last: impl IntoIterator<Item = String>) -> Vec<String> {
    let names = names.iter().map(|name| (*name).to_owned());
    names.chain(numbers.iter().map(u64::to_string)).chain(last).collect()
}

fn hooks(agent: &GetStatusResponse) -> Table {
    let mut table = Table::new(&[
        "HOOK",
        "ATTACHED",
        "ENTERED",
        "SUBMITTED",
        "SUPPRESSED",
        "NOPOLICY",
        "NOMATCH",
        "PENDING",
        "RINGFULL",
        "SKIPPED",
        "BALANCED",
    ]);
    for it in &agent.hooks {
        let HookLedger { hook, attach, entered, .. } = it;
        let parts =
            [it.submitted, it.suppressed, it.no_policy, it.not_matched, it.pending, it.reserve_failed];
        let skipped = it.skipped.map_or_else(|| "-".to_owned(), |count| count.to_string());
        let mut numbers = vec![*entered];
        numbers.extend(parts);
        table.push(row(&[hook, attach], &numbers, [skipped, balance(*entered, &parts)]));
    }
    table
}

fn rings(agent: &GetStatusResponse) -> Table {
    let mut table =
        Table::new(&["RING", "BYTES", "USED", "SUBMITTED", "CONSUMED", "INRING", "LOST", "BALANCED"]);
    for it in &agent.rings {
        let RingStatus { name, size_bytes, used_bytes, submitted, consumed, in_ring, lost } = it;
        let numbers = [*size_bytes, *used_bytes, *submitted, *consumed, *in_ring, *lost];
        table.push(row(&[name], &numbers, [balance(*submitted, &[*consumed, *in_ring])]));
    }
    table
}

fn records(agent: &GetStatusResponse) -> Table {
    let mut table =
        Table::new(&["RECORD", "CONSUMED", "EMITTED", "ABSORBED", "DUPLICATE", "MALFORMED", "BALANCED"]);
    for it in &agent.records {
        let RecordLedger { kind, consumed, emitted, absorbed, duplicate, malformed } = it;
        let parts = [*emitted, *absorbed, *duplicate, *malformed];
        let mut numbers = vec![*consumed];
        numbers.extend(parts);
        table.push(row(&[kind], &numbers, [balance(*consumed, &parts)]));
    }
    table
}

fn sinks(agent: &GetStatusResponse) -> Table {
    let mut table = Table::new(&[
        "SINK",
        "OFFERED",
        "DELIVERED",
        "FILTERED",
        "DROPPED",
        "FAILED",
        "QUEUED",
        "STATE",
        "BALANCED",
    ]);
    for it in &agent.sinks {
        let SinkLedger { name, offered, delivered, filtered, dropped, failed, queued, active } = it;
        let parts = [*delivered, *filtered, *dropped, *failed, *queued];
        let mut numbers = vec![*offered];
        numbers.extend(parts);
        let state = if *active { "active" } else { "ended" };
        table.push(row(&[name], &numbers, [state.to_owned(), balance(*offered, &parts)]));
    }
    table
}

#[cfg(test)]
mod tests {
    use tetragon_api::tetragon::{ProcessTableStatus, ScanStatus};

    use super::*;

    fn agent() -> GetStatusResponse {
        GetStatusResponse {
            version: "v1.0.0".to_owned(),
            kernel_release: "6.12.1".to_owned(),
            hooks: vec![HookLedger {
                hook: "exec".to_owned(),
                attach: "tp_btf/sched_process_exec".to_owned(),
                entered: 10,
                submitted: 9,
                suppressed: 1,
                skipped: Some(0),
                ..Default::default()
            }],
            sinks: vec![SinkLedger {
                name: "grpc:1".to_owned(),
                offered: 9,
                delivered: 9,
                active: true,
                ..Default::default()
            }],
            process_table: Some(ProcessTableStatus { entries: 3, capacity: 64, ..Default::default() }),
            scan: Some(ScanStatus { scans: 1, last_cause: "start".to_owned(), ..Default::default() }),
            events_emitted: 9,
            ..Default::default()
        }
    }

    /// The row of a table that starts with these words, its cells separated by single blanks.
    fn line(text: &str, start: &str) -> String {
        let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
        lines.clone().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("no {start} in {text}"))
    }

    #[test]
    fn an_agent_without_losses_says_so() {
        let text = text(&agent());
        assert!(text.contains("Lost: nothing\n"), "{text}");
        assert_eq!(line(&text, "exec"), "exec tp_btf/sched_process_exec 10 9 1 0 0 0 0 0 yes");
        assert_eq!(line(&text, "grpc:1"), "grpc:1 9 9 0 0 0 0 active yes");
        assert!(text.contains("Process table: 3 of 64 entries"), "{text}");
        assert!(text.contains("last because of 'start'"), "{text}");
    }

    #[test]
    fn losses_are_named_by_place() {
        let mut agent = agent();
        agent.hooks[0].reserve_failed = 4;
        agent.hooks[0].skipped = Some(2);
        agent.sinks[0].dropped = 7;
        agent.process_table =
            Some(ProcessTableStatus { unknown_process: 5, exit_missed: 6, ..Default::default() });
        let text = text(&agent);
        for loss in [
            "4 records of hook exec: ring",
            "2 times the kernel did not run hook exec",
            "7 events for grpc:1",
            "6 exits",
            "Incomplete: 5 events",
        ] {
            assert!(text.contains(loss), "{loss} in {text}");
        }
    }

    #[test]
    fn a_sum_that_does_not_come_out_is_shown() {
        let mut agent = agent();
        agent.hooks[0].entered = 13;
        agent.sinks[0].delivered = 10;
        agent.hooks[0].skipped = None;
        let text = text(&agent);
        assert!(line(&text, "exec").ends_with("- off by +3"), "{text}");
        assert!(line(&text, "grpc:1").ends_with("off by -1"), "{text}");
    }
}
