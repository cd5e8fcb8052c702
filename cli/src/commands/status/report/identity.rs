//! What the agent knows about containers, and how it came to know.

use std::fmt::Write as _;

use tetragon_api::tetragon::{CriStatus, GetStatusResponse, HookCallCount, IdentityStatus};

use super::{balance, row};
use crate::table::Table;

/// The section; empty where the agent does not tell.
pub(super) fn text(agent: &GetStatusResponse) -> String {
    let Some(it) = &agent.identity else { return String::new() };
    let mut text = String::from("\n");
    // Writing into a string cannot fail.
    let _ = writeln!(
        text,
        "Containers: {} in {} pods, {} announced; {} cgroups{}",
        it.containers,
        it.pods,
        it.announced,
        it.cgroups,
        if it.cgroup_mode.is_empty() { String::new() } else { format!(" (hierarchy: {})", it.cgroup_mode) }
    );
    if it.conflicts > 0 || it.migrated > 0 {
        let _ = writeln!(
            text,
            "Contradictions: {} between sources; {} processes left their container's cgroup",
            it.conflicts, it.migrated
        );
    }
    if let Some(cri) = &it.cri {
        let _ = writeln!(text, "Runtime: {}", runtime(cri));
    }
    for table in [events(it), calls(&it.hook_calls)] {
        text.push('\n');
        text.push_str(&table.render());
    }
    text
}

/// What was lost of it, in words.
pub(super) fn losses(agent: &GetStatusResponse) -> Vec<(u64, String)> {
    let Some(it) = &agent.identity else { return Vec::new() };
    let dropped = it.cri.as_ref().map_or(0, |cri| cri.dropped);
    vec![
        (it.map_failures, "updates of kernel maps about containers: failed (see the agent's log)".to_owned()),
        (dropped, "questions to the container runtime: too many at a time".to_owned()),
    ]
}

/// What an event of a container did not get, in words.
pub(super) fn incomplete(agent: &GetStatusResponse) -> Option<String> {
    let unknown = agent.identity.as_ref()?.events_unknown;
    (unknown > 0).then(|| format!("{unknown} events of containers without the name of a container or pod"))
}

fn events(it: &IdentityStatus) -> Table {
    let mut table = Table::new(&[
        "EVENTS OF",
        "ALL",
        "INKERNEL",
        "EARLY",
        "LATE",
        "UNKNOWN",
        "SETUP",
        "WAITING",
        "BALANCED",
    ]);
    let parts = [it.events_in_kernel, it.events_early, it.events_late, it.events_unknown];
    let mut numbers = vec![it.events];
    numbers.extend(parts);
    numbers.extend([it.events_setup, it.waiting]);
    table.push(row(&["containers"], &numbers, [balance(it.events, &parts)]));
    table
}

fn calls(calls: &[HookCallCount]) -> Table {
    let mut table = Table::new(&["HOOK CALL", "COUNT", "OUTCOME"]);
    for HookCallCount { stage, error, count } in calls {
        let outcome = if error.is_empty() { "ok" } else { error };
        table.push(row(&[stage], &[*count], [outcome.to_owned()]));
    }
    table
}

fn runtime(it: &CriStatus) -> String {
    let mut text = match (it.endpoint.as_str(), it.runtime.as_str()) {
        ("", _) => "not asked".to_owned(),
        (endpoint, "") => endpoint.to_owned(),
        (endpoint, runtime) => format!("{runtime} at {endpoint}"),
    };
    let CriStatus { resolved, not_found, failed, dropped, .. } = it;
    let _ = write!(
        text,
        "; {resolved} containers found, {not_found} not found, {failed} failed, {dropped} dropped"
    );
    if !it.last_error.is_empty() {
        let _ = write!(text, "; last error: {}", it.last_error);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent() -> GetStatusResponse {
        let call = |stage: &str, error: &str, count| HookCallCount {
            stage: stage.to_owned(),
            error: error.to_owned(),
            count,
        };
        let identity = IdentityStatus {
            containers: 12,
            pods: 5,
            cgroups: 40,
            announced: 1,
            events: 10,
            events_in_kernel: 6,
            events_early: 3,
            events_late: 1,
            events_setup: 2,
            hook_calls: vec![call("announce", "", 7), call("verify", "invalid_argument: cgroupsPath", 2)],
            cgroup_mode: "unified".to_owned(),
            cri: Some(CriStatus {
                endpoint: "unix:///run/x.sock".to_owned(),
                runtime: "containerd v2".to_owned(),
                resolved: 4,
                ..Default::default()
            }),
            ..Default::default()
        };
        GetStatusResponse { identity: Some(identity), ..Default::default() }
    }

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(|it| it.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
    }

    #[test]
    fn all_figures_are_shown() {
        let agent = agent();
        assert_eq!(
            lines(&text(&agent)),
            [
                "",
                "Containers: 12 in 5 pods, 1 announced; 40 cgroups (hierarchy: unified)",
                "Runtime: containerd v2 at unix:///run/x.sock; 4 containers found, 0 not found, 0 failed, 0 dropped",
                "",
                "EVENTS OF ALL INKERNEL EARLY LATE UNKNOWN SETUP WAITING BALANCED",
                "containers 10 6 3 1 0 2 0 yes",
                "",
                "HOOK CALL COUNT OUTCOME",
                "announce 7 ok",
                "verify 2 invalid_argument: cgroupsPath",
            ]
        );
        assert!(losses(&agent).iter().all(|(count, _)| *count == 0));
        assert_eq!(incomplete(&agent), None);
        assert_eq!(text(&GetStatusResponse::default()), "");
    }

    #[test]
    fn what_is_wrong_is_told() {
        let mut agent = agent();
        if let Some(it) = &mut agent.identity {
            it.events = 12;
            it.events_unknown = 1;
            it.conflicts = 3;
            it.map_failures = 4;
            if let Some(cri) = &mut it.cri {
                cri.endpoint.clear();
                cri.dropped = 5;
                cri.last_error = "broken".to_owned();
            }
        }
        let text = text(&agent);
        for part in
            ["off by +1", "Contradictions: 3 between sources", "Runtime: not asked;", "last error: broken"]
        {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert_eq!(losses(&agent).iter().map(|(count, _)| *count).collect::<Vec<_>>(), [4, 5]);
        assert!(incomplete(&agent).is_some_and(|text| text.starts_with("1 events")));
    }
}
