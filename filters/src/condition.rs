//! One filter: conditions that must all hold.

use regex::RegexSet;
use tetragon_api::tetragon::{Container, Filter, Pod, Process};

use crate::capabilities::CapabilityCondition;
use crate::dialect::regex_set;
use crate::error::FieldError;
use crate::labels::Selector;
use crate::pid_set::PidSet;
use crate::set::Options;
use crate::view::EventView;

/// A `Filter`, checked and compiled.
#[derive(Debug)]
pub(crate) struct Conditions {
    all: Vec<Condition>,
    /// Apart from the others, since it must see every event.
    pid_set: Option<PidSet>,
}

/// A field of the filter that is set; any of its values may match.
#[derive(Debug)]
enum Condition {
    EventSet(Vec<i32>),
    Pid(Vec<u32>),
    HealthCheck(bool),
    InInitTree(bool),
    PolicyNames(Vec<String>),
    Namespace(Vec<String>),
    Capabilities(CapabilityCondition),
    Labels(Vec<Selector>),
    Binary(RegexSet),
    ParentBinary(RegexSet),
    AncestorBinary(RegexSet),
    Arguments(RegexSet),
    ParentArguments(RegexSet),
    Pod(RegexSet),
    NamespaceRegex(RegexSet),
    ContainerId(RegexSet),
    ContainerName(RegexSet),
}

impl Conditions {
    pub(crate) fn new(filter: &Filter, options: Options) -> Result<Self, FieldError> {
        // Named one by one, so that a new field cannot be forgotten. The order is that of cost.
        let Filter {
            event_set,
            pid,
            pid_set,
            health_check,
            in_init_tree,
            policy_names,
            namespace,
            capabilities,
            labels,
            binary_regex,
            parent_binary_regex,
            ancestor_binary_regex,
            arguments_regex,
            parent_arguments_regex,
            pod_regex,
            namespace_regex,
            container_id,
            container_name_regex,
            cel_expression,
        } = filter;
        if !cel_expression.is_empty() {
            return Err(FieldError::new(
                "cel_expression",
                format!("{:?}: expressions are not supported; use the other fields", cel_expression[0]),
            ));
        }
        if !pid_set.is_empty() && !options.pid_set {
            return Err(FieldError::new(
                "pid_set",
                "not allowed here; set enable-pid-set-filter to allow it",
            ));
        }
        if capabilities.is_some() && !options.process_credentials {
            return Err(FieldError::new(
                "capabilities",
                "needs process credentials; set enable-process-cred",
            ));
        }

        let mut all = Vec::new();
        let mut add = |is_set: bool, condition: Condition| {
            if is_set {
                all.push(condition);
            }
        };
        add(!event_set.is_empty(), Condition::EventSet(event_set.clone()));
        add(!pid.is_empty(), Condition::Pid(pid.clone()));
        add(health_check.is_some(), Condition::HealthCheck(health_check.unwrap_or_default()));
        add(in_init_tree.is_some(), Condition::InInitTree(in_init_tree.unwrap_or_default()));
        add(!policy_names.is_empty(), Condition::PolicyNames(policy_names.clone()));
        add(!namespace.is_empty(), Condition::Namespace(namespace.clone()));
        if let Some(filter) = capabilities {
            add(true, Condition::Capabilities(CapabilityCondition::new(filter)?));
        }
        let selectors = labels.iter().map(|text| {
            Selector::parse(text).map_err(|reason| FieldError::new("labels", format!("{text:?}: {reason}")))
        });
        add(!labels.is_empty(), Condition::Labels(selectors.collect::<Result<_, _>>()?));
        type Make = fn(RegexSet) -> Condition;
        let expressions: [(&'static str, &Vec<String>, Make); 9] = [
            ("binary_regex", binary_regex, Condition::Binary),
            ("parent_binary_regex", parent_binary_regex, Condition::ParentBinary),
            ("pod_regex", pod_regex, Condition::Pod),
            ("namespace_regex", namespace_regex, Condition::NamespaceRegex),
            ("container_id", container_id, Condition::ContainerId),
            ("container_name_regex", container_name_regex, Condition::ContainerName),
            ("arguments_regex", arguments_regex, Condition::Arguments),
            ("parent_arguments_regex", parent_arguments_regex, Condition::ParentArguments),
            ("ancestor_binary_regex", ancestor_binary_regex, Condition::AncestorBinary),
        ];
        for (field, patterns, make) in expressions {
            add(!patterns.is_empty(), make(regex_set(field, patterns)?));
        }
        Ok(Self { all, pid_set: (!pid_set.is_empty()).then(|| PidSet::new(pid_set)) })
    }

    /// Whether it must see every event, even those that it does not decide about.
    pub(crate) fn learns(&self) -> bool {
        self.pid_set.is_some()
    }

    pub(crate) fn observe(&self, event: &dyn EventView) {
        if let Some(pid_set) = &self.pid_set {
            pid_set.observe(event);
        }
    }

    pub(crate) fn match_event(&self, event: &dyn EventView) -> bool {
        self.all.iter().all(|condition| condition.holds(event))
            && self
                .pid_set
                .as_ref()
                .is_none_or(|set| event.process().is_some_and(|process| set.contains(process)))
    }
}

impl Condition {
    fn holds(&self, event: &dyn EventView) -> bool {
        let process = || event.process();
        let parent = || event.parent();
        match self {
            Self::EventSet(types) => types.contains(&(event.event_type() as i32)),
            Self::Pid(pids) => process().and_then(|it| it.pid).is_some_and(|pid| pids.contains(&pid)),
            Self::HealthCheck(wanted) => {
                *wanted == [process(), parent()].into_iter().flatten().any(is_exec_probe)
            }
            Self::InInitTree(wanted) => {
                process().is_some_and(|it| it.in_init_tree.unwrap_or_default() == *wanted)
            }
            Self::PolicyNames(names) => {
                event.policy_name().is_some_and(|it| names.iter().any(|name| name == it))
            }
            Self::Namespace(names) => process().is_some_and(|it| {
                let namespace = it.pod.as_ref().map_or("", |pod| &pod.namespace);
                names.iter().any(|name| name == namespace)
            }),
            Self::Capabilities(condition) => process().is_some_and(|it| condition.matches(it.cap.as_ref())),
            Self::Labels(selectors) => process()
                .and_then(pod)
                .is_some_and(|pod| selectors.iter().any(|selector| selector.matches(&pod.pod_labels))),
            Self::Binary(regex) => process().is_some_and(|it| regex.is_match(&it.binary)),
            Self::ParentBinary(regex) => parent().is_some_and(|it| regex.is_match(&it.binary)),
            Self::AncestorBinary(regex) => event.any_ancestor(&mut |it| regex.is_match(&it.binary)),
            Self::Arguments(regex) => process().is_some_and(|it| regex.is_match(&it.arguments)),
            Self::ParentArguments(regex) => parent().is_some_and(|it| regex.is_match(&it.arguments)),
            Self::Pod(regex) => process().and_then(pod).is_some_and(|it| regex.is_match(&it.name)),
            Self::NamespaceRegex(regex) => {
                process().and_then(pod).is_some_and(|it| regex.is_match(&it.namespace))
            }
            Self::ContainerId(regex) => process().is_some_and(|it| regex.is_match(&it.docker)),
            Self::ContainerName(regex) => {
                process().and_then(container).is_some_and(|it| regex.is_match(&it.name))
            }
        }
    }
}

fn pod(process: &Process) -> Option<&Pod> {
    process.pod.as_ref()
}

fn container(process: &Process) -> Option<&Container> {
    process.pod.as_ref()?.container.as_ref()
}

fn is_exec_probe(process: &Process) -> bool {
    container(process).is_some_and(|it| it.maybe_exec_probe)
}
