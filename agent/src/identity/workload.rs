//! The workload that a pod belongs to, guessed from its labels and its name.
//!
//! Owner references, which tell for certain, are known to the API alone. Controllers put labels on their pods and
//! name them by fixed rules, and a runtime tells both: where label and name agree, that is as good as told.

use std::collections::BTreeMap;

/// Length of the random suffix of generated names.
const SUFFIX: usize = 5;

/// Name and kind. A pod that no controller can be shown to have made is its own workload.
pub(super) fn of(pod_name: &str, labels: &BTreeMap<String, String>) -> (String, &'static str) {
    let label = |key: &str| labels.get(key).map(String::as_str).filter(|value| !value.is_empty());
    let generated = generated_from(pod_name);
    if let Some(hash) = label("pod-template-hash")
        && let Some(set) = generated
        && let Some(name) = set.strip_suffix(hash).and_then(|name| name.strip_suffix('-'))
    {
        return (name.to_owned(), "Deployment");
    }
    if let Some(config) = label("deploymentconfig") {
        return (config.to_owned(), "DeploymentConfig");
    }
    if label("statefulset.kubernetes.io/pod-name") == Some(pod_name)
        && let Some((name, ordinal)) = pod_name.rsplit_once('-')
        && ordinal.bytes().all(|b| b.is_ascii_digit())
    {
        return (name.to_owned(), "StatefulSet");
    }
    if let Some(job) = label("batch.kubernetes.io/job-name").or_else(|| label("job-name"))
        && pod_name.strip_prefix(job).is_some_and(|rest| rest.starts_with('-'))
    {
        return match job.rsplit_once('-') {
            // A cron job's jobs are named by their minute since 1970, or by their second in older releases.
            Some((name, time))
                if (8..=10).contains(&time.len()) && time.bytes().all(|b| b.is_ascii_digit()) =>
            {
                (name.to_owned(), "CronJob")
            }
            _ => (job.to_owned(), "Job"),
        };
    }
    if label("controller-revision-hash").is_some()
        && label("pod-template-generation").is_some()
        && let Some(name) = generated
    {
        return (name.to_owned(), "DaemonSet");
    }
    (pod_name.to_owned(), "Pod")
}

/// `web-7c9d` of `web-7c9d-x2x4z`.
fn generated_from(pod_name: &str) -> Option<&str> {
    let (name, suffix) = pod_name.rsplit_once('-')?;
    let random =
        suffix.len() == SUFFIX && suffix.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    random.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guess(pod: &str, labels: &[(&str, &str)]) -> (String, &'static str) {
        of(pod, &labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
    }

    #[test]
    fn controllers_are_recognised_by_label_and_name() {
        for (pod, labels, name, kind) in [
            ("web-7c9d8f-x2x4z", &[("pod-template-hash", "7c9d8f")][..], "web", "Deployment"),
            ("db-0", &[("statefulset.kubernetes.io/pod-name", "db-0")], "db", "StatefulSet"),
            (
                "log-abcde",
                &[("controller-revision-hash", "5d"), ("pod-template-generation", "1")],
                "log",
                "DaemonSet",
            ),
            ("pi-abcde", &[("batch.kubernetes.io/job-name", "pi")], "pi", "Job"),
            ("backup-28901234-abcde", &[("job-name", "backup-28901234")], "backup", "CronJob"),
        ] {
            assert_eq!(guess(pod, labels), (name.to_owned(), kind), "{pod}");
        }
    }

    #[test]
    fn labels_that_contradict_the_name_prove_nothing() {
        for (pod, labels) in [
            ("web", &[("pod-template-hash", "7c9d8f")][..]),
            ("web-111111-x2x4z", &[("pod-template-hash", "7c9d8f")]),
            ("db-0", &[("statefulset.kubernetes.io/pod-name", "db-1")]),
            ("other-abcde", &[("job-name", "pi")]),
            ("by-hand", &[]),
        ] {
            assert_eq!(guess(pod, labels), (pod.to_owned(), "Pod"), "{pod}");
        }
    }
}
