//! What became of the records of policies.

use tetragon_api::tetragon::GetStatusResponse;

/// What is missing because of them, with what it is. Records of unknown policies are among the malformed ones.
pub(super) fn losses(agent: &GetStatusResponse) -> Vec<(u64, String)> {
    let Some(it) = &agent.policy_events else { return Vec::new() };
    vec![(it.entries_missing, "returns of calls: the record of the call is missing".to_owned())]
}

/// What events lack.
pub(super) fn incomplete(agent: &GetStatusResponse) -> Option<String> {
    let it = agent.policy_events.as_ref()?;
    let parts: Vec<String> = [
        (it.returns_missing, "calls whose process ended before they returned"),
        (it.evicted, "calls that waited too long for their return"),
        (it.unreadable_arguments, "arguments that the kernel could not read"),
        (it.unknown_process, "events of policies whose process was not in the table"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, what)| format!("{count} {what}"))
    .collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// Lines; none where there are no policies and none has reported anything.
pub(super) fn text(agent: &GetStatusResponse) -> String {
    states(agent) + &events(agent)
}

fn states(agent: &GetStatusResponse) -> String {
    let states: Vec<_> = agent.policies.iter().map(|it| format!("{} {}", it.count, it.state)).collect();
    if states.is_empty() { String::new() } else { format!("Policies: {}\n", states.join(", ")) }
}

fn events(agent: &GetStatusResponse) -> String {
    let Some(it) = &agent.policy_events else { return String::new() };
    let seen = [it.joined, it.returns_awaited, it.waiting, it.unknown_policy];
    if seen.iter().all(|count| *count == 0) {
        return String::new();
    }
    format!(
        "Policy events: {} calls joined with their return, {} await it; {} records wait for their process, {} of \
         unknown policies\n",
        it.joined, it.returns_awaited, it.waiting, it.unknown_policy
    )
}

#[cfg(test)]
mod tests {
    use tetragon_api::tetragon::{PolicyCount, PolicyEventStatus};

    use super::*;

    fn agent(status: PolicyEventStatus) -> GetStatusResponse {
        GetStatusResponse { policy_events: Some(status), ..GetStatusResponse::default() }
    }

    #[test]
    fn an_agent_without_policies_has_nothing_to_say() {
        for agent in [GetStatusResponse::default(), agent(PolicyEventStatus::default())] {
            assert_eq!((text(&agent), incomplete(&agent)), (String::new(), None));
            assert!(losses(&agent).iter().all(|(count, _)| *count == 0));
        }
    }

    #[test]
    fn policies_are_counted_by_state() {
        let count = |state: &str, count| PolicyCount { state: state.to_owned(), count };
        let policies = vec![count("enabled", 3), count("load_error", 1)];
        let agent = GetStatusResponse { policies, ..GetStatusResponse::default() };
        assert_eq!(text(&agent), "Policies: 3 enabled, 1 load_error\n");
    }

    #[test]
    fn what_is_missing_is_told() {
        let agent = agent(PolicyEventStatus {
            returns_awaited: 1,
            joined: 2,
            returns_missing: 3,
            evicted: 4,
            entries_missing: 5,
            unknown_policy: 6,
            unknown_process: 7,
            unreadable_arguments: 8,
            waiting: 9,
        });
        let said = incomplete(&agent).unwrap();
        for part in
            ["3 calls whose process ended", "4 calls that waited", "8 arguments", "7 events of policies"]
        {
            assert!(said.contains(part), "{said}");
        }
        assert_eq!(losses(&agent)[0].0, 5);
        let line = text(&agent);
        for part in ["2 calls joined", "1 await it", "9 records wait", "6 of unknown policies"] {
            assert!(line.contains(part), "{line}");
        }
    }
}
