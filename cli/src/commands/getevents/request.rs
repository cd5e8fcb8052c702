//! Which events, and which of their fields: flags turned into a request.

use clap::{ArgAction, Args};
use tetragon_api::tetragon::{EventType, FieldFilter, FieldFilterAction, Filter, GetEventsRequest};

use crate::go;

/// Flags that select. All lists take commas and repetition; values of one list are alternatives, lists add up.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Selection {
    /// Print only these fields, as in process.binary,parent.pid
    #[arg(short = 'f', long, value_name = "FIELDS", value_delimiter = ',')]
    include_fields: Vec<String>,

    /// Print all but these fields
    #[arg(short = 'F', long, value_name = "FIELDS", value_delimiter = ',')]
    exclude_fields: Vec<String>,

    /// Events of these types, as in PROCESS_EXEC,PROCESS_EXIT
    #[arg(short, long, value_name = "TYPES", value_delimiter = ',', value_parser = event_type)]
    event_types: Vec<EventType>,

    /// Events of pods in these Kubernetes namespaces
    #[arg(short, long, alias = "namespaces", value_name = "NAMES", value_delimiter = ',')]
    namespace: Vec<String>,

    /// Events of pods in namespaces that match these regular expressions
    #[arg(long, value_name = "REGEX", value_delimiter = ',')]
    namespace_regex: Vec<String>,

    /// Events of processes that are in no pod; adds to --namespace
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false")]
    #[arg(value_parser = go::boolean, action = ArgAction::Set, hide_possible_values = true, hide_default_value = true, value_name = "BOOL")]
    host: bool,

    /// Events of pods whose name matches these regular expressions
    #[arg(long, alias = "pods", value_name = "REGEX", value_delimiter = ',')]
    pod: Vec<String>,

    /// Events of containers whose name matches these regular expressions
    #[arg(long, value_name = "REGEX", value_delimiter = ',')]
    containers: Vec<String>,

    /// Events of processes whose binary matches these regular expressions
    #[arg(long, alias = "processes", value_name = "REGEX", value_delimiter = ',')]
    process: Vec<String>,

    /// Events of these tracing policies
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    policy_names: Vec<String>,
}

impl Selection {
    /// The request: always one allow-list filter, and a field filter for each list of fields that is given.
    pub(crate) fn request(&self) -> GetEventsRequest {
        let mut namespace = self.namespace.clone();
        if self.host {
            namespace.push(String::new());
        }
        let filter = Filter {
            event_set: self.event_types.iter().map(|it| i32::from(*it)).collect(),
            namespace,
            namespace_regex: self.namespace_regex.clone(),
            pod_regex: self.pod.clone(),
            container_name_regex: self.containers.clone(),
            binary_regex: self.process.clone(),
            policy_names: self.policy_names.clone(),
            ..Default::default()
        };
        let field_filters = [
            (FieldFilterAction::Include, &self.include_fields),
            (FieldFilterAction::Exclude, &self.exclude_fields),
        ];
        GetEventsRequest {
            allow_list: vec![filter],
            field_filters: field_filters
                .into_iter()
                .filter(|(_, fields)| !fields.is_empty())
                .map(|(action, fields)| FieldFilter {
                    fields: Some(prost_types::FieldMask { paths: fields.clone() }),
                    action: action.into(),
                    ..Default::default()
                })
                .collect(),
            ..Default::default()
        }
    }
}

fn event_type(text: &str) -> Result<EventType, String> {
    EventType::from_str_name(&text.to_uppercase()).filter(|it| *it != EventType::Undef).ok_or_else(|| {
        format!("there are {}", event_types().map(|it| it.as_str_name()).collect::<Vec<_>>().join(", "))
    })
}

fn event_types() -> impl Iterator<Item = EventType> {
    use EventType::{
        ProcessExec, ProcessExit, ProcessKprobe, ProcessLoader, ProcessLsm, ProcessThrottle,
        ProcessTracepoint, ProcessUprobe, ProcessUsdt, RateLimitInfo, Test,
    };
    [
        ProcessExec,
        ProcessExit,
        ProcessKprobe,
        ProcessTracepoint,
        ProcessLoader,
        ProcessUprobe,
        ProcessThrottle,
        ProcessLsm,
        ProcessUsdt,
        Test,
        RateLimitInfo,
    ]
    .into_iter()
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use tetragon_api::descriptor_pool;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        selection: Selection,
    }

    fn request(args: &[&str]) -> GetEventsRequest {
        let cli = Cli::try_parse_from([&["tetra"], args].concat()).expect("parses");
        cli.selection.request()
    }

    fn only(filter: Filter) -> GetEventsRequest {
        GetEventsRequest { allow_list: vec![filter], ..Default::default() }
    }

    fn texts(list: &[&str]) -> Vec<String> {
        list.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn without_flags_there_is_one_empty_filter() {
        assert_eq!(request(&[]), only(Filter::default()));
    }

    #[test]
    fn lists_take_commas_and_repetition() {
        let expected = only(Filter { namespace: texts(&["a", "b", "c"]), ..Default::default() });
        assert_eq!(request(&["--namespace", "a,b", "-n", "c"]), expected);
        assert_eq!(request(&["--namespaces", "a,b,c"]), expected);
    }

    #[test]
    fn host_is_the_empty_namespace() {
        let expected = only(Filter { namespace: texts(&["a", ""]), ..Default::default() });
        assert_eq!(request(&["--host", "-n", "a"]), expected);
        assert_eq!(request(&["--host=false"]), only(Filter::default()));
    }

    #[test]
    fn each_flag_sets_its_field() {
        let filter = Filter {
            event_set: vec![1, 5],
            binary_regex: texts(&["curl"]),
            pod_regex: texts(&["web-.*"]),
            policy_names: texts(&["p"]),
            namespace_regex: texts(&["^kube-"]),
            container_name_regex: texts(&["app"]),
            ..Default::default()
        };
        let args = [
            "-e",
            "PROCESS_EXEC,process_exit",
            "--process",
            "curl",
            "--pod",
            "web-.*",
            "--policy-names",
            "p",
            "--namespace-regex",
            "^kube-",
            "--containers",
            "app",
        ];
        assert_eq!(request(&args), only(filter.clone()));
        let old = [
            "-e",
            "PROCESS_EXEC",
            "-e",
            "PROCESS_EXIT",
            "--processes",
            "curl",
            "--pods",
            "web-.*",
            "--policy-names",
            "p",
            "--namespace-regex",
            "^kube-",
            "--containers",
            "app",
        ];
        assert_eq!(request(&old), only(filter));
    }

    #[test]
    fn field_lists_are_one_filter_each() {
        let field_filter = |fields: &[&str], action: FieldFilterAction| FieldFilter {
            fields: Some(prost_types::FieldMask { paths: texts(fields) }),
            action: action.into(),
            ..Default::default()
        };
        let request = request(&["-F", "process.pid", "-f", "process.binary,parent", "-f", "process.pod"]);
        assert_eq!(
            request.field_filters,
            [
                field_filter(&["process.binary", "parent", "process.pod"], FieldFilterAction::Include),
                field_filter(&["process.pid"], FieldFilterAction::Exclude),
            ]
        );
    }

    #[test]
    fn an_unknown_event_type_is_refused_with_the_list() {
        let error = Cli::try_parse_from(["tetra", "-e", "PROCESS_EXCE"]).err().expect("refused").to_string();
        assert!(error.contains("PROCESS_EXCE") && error.contains("PROCESS_THROTTLE"), "{error}");
        assert!(Cli::try_parse_from(["tetra", "-e", "UNDEF"]).is_err());
    }

    #[test]
    fn every_event_type_can_be_asked_for() {
        let wire = descriptor_pool().get_enum_by_name("tetragon.EventType").expect("exists");
        let wire: Vec<i32> = wire.values().map(|it| it.number()).filter(|number| *number != 0).collect();
        let mut ours: Vec<i32> = event_types().map(i32::from).collect();
        ours.sort_unstable();
        assert_eq!(ours, wire);
    }
}
