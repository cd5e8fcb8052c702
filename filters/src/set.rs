//! Allow and deny lists.

use tetragon_api::tetragon::Filter;

use crate::condition::Conditions;
use crate::error::FilterError;
use crate::view::EventView;

/// What filters may ask for, which depends on how the agent runs and where they come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Events carry process credentials, so there can be filters on capabilities.
    pub process_credentials: bool,
    /// `pid_set` is allowed. It is meant for streams; configuration has to ask for it.
    pub pid_set: bool,
}

/// Allow and deny lists, compiled. Shared by reference among threads.
#[derive(Debug)]
pub struct FilterSet {
    allow: Vec<Conditions>,
    deny: Vec<Conditions>,
    learns: bool,
}

impl FilterSet {
    /// Compiles both lists; the first mistake found is returned.
    pub fn new(allow: &[Filter], deny: &[Filter], options: Options) -> Result<Self, FilterError> {
        let compile = |list: &'static str, filters: &[Filter]| {
            filters
                .iter()
                .enumerate()
                .map(|(index, filter)| {
                    Conditions::new(filter, options).map_err(|error| error.at(list, index))
                })
                .collect::<Result<Vec<_>, _>>()
        };
        let (allow, deny) = (compile("allow filter", allow)?, compile("deny filter", deny)?);
        let learns = allow.iter().chain(&deny).any(Conditions::learns);
        Ok(Self { allow, deny, learns })
    }

    /// Whether every event passes, so that there is no need to ask.
    pub fn passes_everything(&self) -> bool {
        self.allow.is_empty() && self.deny.is_empty()
    }

    /// Whether an event passes: allowed by one filter, if there are any that allow, and denied by none.
    pub fn matches(&self, event: &dyn EventView) -> bool {
        if self.learns {
            self.allow.iter().chain(&self.deny).for_each(|filter| filter.observe(event));
        }
        let any = |filters: &[Conditions]| filters.iter().any(|filter| filter.match_event(event));
        (self.allow.is_empty() || any(&self.allow)) && !any(&self.deny)
    }
}

#[cfg(test)]
mod tests {
    use tetragon_api::tetragon::get_events_response::Event;
    use tetragon_api::tetragon::*;

    use super::*;
    use crate::parse_filters;
    use crate::samples::{event, exec, in_pod, process};

    const EVERYTHING: Options = Options { process_credentials: true, pid_set: true };

    fn allows(filters: &str, event: &GetEventsResponse) -> bool {
        FilterSet::new(&parse_filters(filters).unwrap(), &[], EVERYTHING).unwrap().matches(event)
    }

    fn denies(filters: &str, event: &GetEventsResponse) -> bool {
        !FilterSet::new(&[], &parse_filters(filters).unwrap(), EVERYTHING).unwrap().matches(event)
    }

    fn error(filters: &str, options: Options) -> String {
        FilterSet::new(&parse_filters(filters).unwrap(), &[], options).unwrap_err().to_string()
    }

    /// A pod's process with a parent and a grandparent, each with a name and arguments of its own.
    fn sample() -> GetEventsResponse {
        let mut child = in_pod(process(3), "default", "web-1");
        child.binary = "/usr/bin/curl".to_owned();
        child.arguments = "-s example.com".to_owned();
        child.docker = "0123abcd".to_owned();
        let mut parent = process(2);
        parent.binary = "/bin/bash".to_owned();
        parent.arguments = "-c run".to_owned();
        let mut grandparent = process(1);
        grandparent.binary = "/sbin/init".to_owned();
        event(Event::ProcessExec(ProcessExec {
            process: Some(child),
            parent: Some(parent),
            ancestors: vec![grandparent],
        }))
    }

    #[test]
    fn each_field_selects_by_its_own_value() {
        let event = sample();
        for (matching, other) in [
            (r#"{"binary_regex":["bash","curl$"]}"#, r#"{"binary_regex":["bash"]}"#),
            (r#"{"parent_binary_regex":["bash"]}"#, r#"{"parent_binary_regex":["curl"]}"#),
            (r#"{"ancestor_binary_regex":["init"]}"#, r#"{"ancestor_binary_regex":["bash"]}"#),
            (r#"{"arguments_regex":["^-s "]}"#, r#"{"arguments_regex":["run"]}"#),
            (r#"{"parent_arguments_regex":["run"]}"#, r#"{"parent_arguments_regex":["-s"]}"#),
            (r#"{"namespace":["kube-system","default"]}"#, r#"{"namespace":["def",""]}"#),
            (r#"{"namespace_regex":["^def"]}"#, r#"{"namespace_regex":["kube"]}"#),
            (r#"{"pod_regex":["^web"]}"#, r#"{"pod_regex":["^db"]}"#),
            (r#"{"container_name_regex":["^main$"]}"#, r#"{"container_name_regex":["side"]}"#),
            (r#"{"container_id":["^0123"]}"#, r#"{"container_id":["ff"]}"#),
            (r#"{"labels":["app=db","app in (web)"]}"#, r#"{"labels":["app!=web"]}"#),
            (r#"{"pid":[7,3]}"#, r#"{"pid":[2]}"#),
            (r#"{"pid_set":[1]}"#, r#"{"pid_set":[4]}"#),
            (r#"{"event_set":["PROCESS_EXIT","PROCESS_EXEC"]}"#, r#"{"event_set":["PROCESS_EXIT"]}"#),
            (r#"{"health_check":false}"#, r#"{"health_check":true}"#),
            (r#"{"in_init_tree":false}"#, r#"{"in_init_tree":true}"#),
        ] {
            assert!(allows(matching, &event) && denies(matching, &event), "{matching}");
            assert!(!allows(other, &event) && !denies(other, &event), "{other}");
        }
    }

    #[test]
    fn fields_of_one_filter_are_anded_and_filters_are_ored() {
        let event = sample();
        assert!(!allows(r#"{"binary_regex":["curl"],"pid":[9]}"#, &event));
        assert!(allows(r#"{"binary_regex":["curl"],"pid":[3]}"#, &event));
        assert!(allows(r#"{"pid":[9]} {"pid":[3]}"#, &event));
        assert!(!denies(r#"{"pid":[9]}"#, &event));
        assert!(denies("{\"pid\":[9]}\n{\"pid\":[3]}", &event));
    }

    #[test]
    fn deny_wins_over_allow() {
        let filters = parse_filters(r#"{"pid":[3]}"#).unwrap();
        assert!(!FilterSet::new(&filters, &filters, EVERYTHING).unwrap().matches(&sample()));
    }

    #[test]
    fn no_filters_pass_everything_and_an_empty_filter_matches_everything() {
        let none = FilterSet::new(&[], &[], EVERYTHING).unwrap();
        assert!(none.passes_everything() && none.matches(&sample()));
        assert!(allows("{}", &sample()) && denies("{}", &sample()));
        assert!(allows("{}", &GetEventsResponse::default()));
    }

    #[test]
    fn an_event_without_process_matches_only_what_needs_none() {
        let event = event(Event::ProcessThrottle(ProcessThrottle::default()));
        for filter in [
            r#"{"binary_regex":[""]}"#,
            r#"{"parent_binary_regex":[""]}"#,
            r#"{"namespace":[""]}"#,
            r#"{"pid":[0]}"#,
            r#"{"pid_set":[0]}"#,
            r#"{"container_id":[""]}"#,
            r#"{"policy_names":[""]}"#,
            r#"{"labels":[""]}"#,
            r#"{"health_check":true}"#,
            r#"{"capabilities":{}}"#,
        ] {
            assert!(!allows(filter, &event), "{filter}");
        }
        assert!(allows(r#"{"health_check":false,"event_set":["PROCESS_THROTTLE"]}"#, &event));
    }

    #[test]
    fn an_empty_namespace_selects_processes_outside_of_pods() {
        let host = exec(process(3), None);
        assert!(allows(r#"{"namespace":[""]}"#, &host));
        assert!(!allows(r#"{"namespace":[""]}"#, &sample()));
        for filter in [r#"{"pod_regex":[""]}"#, r#"{"namespace_regex":[""]}"#, r#"{"labels":["!app"]}"#] {
            assert!(!allows(filter, &host), "{filter}");
        }
    }

    #[test]
    fn a_probe_of_the_parent_counts_too() {
        let mut probe = in_pod(process(2), "default", "web-1");
        probe.pod.as_mut().unwrap().container.as_mut().unwrap().maybe_exec_probe = true;
        for event in [exec(probe.clone(), None), exec(process(3), Some(probe))] {
            assert!(allows(r#"{"health_check":true}"#, &event));
            assert!(!allows(r#"{"health_check":false}"#, &event));
        }
    }

    #[test]
    fn policy_names_select_every_kind_of_policy_event() {
        let policy_name = "p1".to_owned();
        for payload in [
            Event::ProcessKprobe(ProcessKprobe { policy_name: policy_name.clone(), ..Default::default() }),
            Event::ProcessTracepoint(ProcessTracepoint {
                policy_name: policy_name.clone(),
                ..Default::default()
            }),
            Event::ProcessUprobe(ProcessUprobe { policy_name: policy_name.clone(), ..Default::default() }),
            Event::ProcessLsm(ProcessLsm { policy_name: policy_name.clone(), ..Default::default() }),
        ] {
            let event = event(payload);
            assert!(allows(r#"{"policy_names":["p0","p1"]}"#, &event));
            assert!(!allows(r#"{"policy_names":["p"]}"#, &event));
        }
        assert!(!allows(r#"{"policy_names":["p1"]}"#, &sample()));
    }

    #[test]
    fn a_pid_set_learns_from_events_that_other_fields_reject() {
        let filter = parse_filters(r#"{"event_set":["PROCESS_EXIT"],"pid_set":[1]}"#).unwrap();
        let set = FilterSet::new(&filter, &[], EVERYTHING).unwrap();
        assert!(!set.matches(&exec(process(2), Some(process(1)))));
        assert!(!set.matches(&exec(process(3), Some(process(2)))));
        let exit = ProcessExit { process: Some(process(3)), ..Default::default() };
        assert!(set.matches(&event(Event::ProcessExit(exit))));
    }

    #[test]
    fn mistakes_name_their_place() {
        let none = Options { process_credentials: false, pid_set: false };
        for (filters, expected) in [
            (
                r#"{} {"binary_regex":["a","("]}"#,
                "allow filter 2: binary_regex: \"(\" is not a valid regular expression: unclosed group",
            ),
            (
                r#"{"labels":["a="," b"]} {"labels":["x y"]}"#,
                "allow filter 2: labels: \"x y\": \"y\" behind key \"x\" is not an operator",
            ),
            (
                r#"{"pid_set":[1]}"#,
                "allow filter 1: pid_set: not allowed here; set enable-pid-set-filter to allow it",
            ),
            (
                r#"{"capabilities":{}}"#,
                "allow filter 1: capabilities: needs process credentials; set enable-process-cred",
            ),
            (
                r#"{"cel_expression":["1 == 1"]}"#,
                "allow filter 1: cel_expression: \"1 == 1\": expressions are not supported; use the other fields",
            ),
        ] {
            assert_eq!(error(filters, none), expected);
        }
        let filters = parse_filters(r#"{"capabilities":{"effective":{}}}"#).unwrap();
        assert_eq!(
            FilterSet::new(&[], &filters, EVERYTHING).unwrap_err().to_string(),
            "deny filter 1: capabilities.effective: exactly one of any, all, exactly and none must be given"
        );
    }
}
