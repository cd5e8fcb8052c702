//! What runtimes write into the annotations of the containers they create.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::bundle::map_in;

/// Annotations of one container.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Annotations<'a>(pub(crate) &'a BTreeMap<String, String>);

impl<'a> Annotations<'a> {
    /// The first of these keys that has a value.
    fn first(self, keys: &[&str]) -> &'a str {
        let values = keys.iter().filter_map(|key| self.0.get(*key));
        values.map(String::as_str).find(|value| !value.is_empty()).unwrap_or_default()
    }

    fn any_starts_with(self, prefix: &str) -> bool {
        self.0.range(prefix.to_owned()..).next().is_some_and(|(key, _)| key.starts_with(prefix))
    }

    pub(crate) fn container_name(self) -> &'a str {
        self.first(&["io.kubernetes.cri.container-name", "io.kubernetes.container.name"])
    }

    pub(crate) fn container_id(self) -> &'a str {
        self.first(&["io.kubernetes.cri-o.ContainerID"])
    }

    pub(crate) fn pod_name(self) -> &'a str {
        self.first(&["io.kubernetes.cri.sandbox-name", "io.kubernetes.pod.name"])
    }

    pub(crate) fn pod_uid(self) -> &'a str {
        self.first(&["io.kubernetes.cri.sandbox-uid", "io.kubernetes.pod.uid"])
    }

    pub(crate) fn pod_namespace(self) -> &'a str {
        self.first(&["io.kubernetes.cri.sandbox-namespace", "io.kubernetes.pod.namespace"])
    }

    pub(crate) fn sandbox_id(self) -> &'a str {
        self.first(&["io.kubernetes.cri.sandbox-id", "io.kubernetes.cri-o.SandboxID"])
    }

    pub(crate) fn is_sandbox(self) -> bool {
        self.first(&["io.kubernetes.cri.container-type", "io.kubernetes.cri-o.ContainerType"]) == "sandbox"
    }

    pub(crate) fn image(self) -> &'a str {
        let image = self.first(&["io.kubernetes.cri.image-name", "io.kubernetes.cri-o.ImageName"]);
        if !image.is_empty() {
            return image;
        }
        // podman hands an image's own annotations on. This one may be a bare tag, which names no image.
        let reference = self.first(&["org.opencontainers.image.ref.name"]);
        if reference.contains(['/', ':']) { reference } else { "" }
    }

    pub(crate) fn image_id(self) -> &'a str {
        self.first(&["io.kubernetes.cri-o.ImageRef"])
    }

    /// CRI-O's copy of the labels it was given. Of a container other than the sandbox these are the kubelet's own,
    /// which say nothing that other annotations do not.
    pub(crate) fn labels(self) -> BTreeMap<String, String> {
        let mut labels = self.map("io.kubernetes.cri-o.Labels");
        labels.retain(|key, _| !key.starts_with("io.kubernetes."));
        labels
    }

    /// CRI-O's copy of the annotations that the sandbox, and so the pod, was given.
    pub(crate) fn pod_annotations(self) -> BTreeMap<String, String> {
        if self.is_sandbox() { self.map("io.kubernetes.cri-o.Annotations") } else { BTreeMap::new() }
    }

    /// The name of the runtime as it stands before container ids; the cgroup's name helps where annotations do not.
    pub(crate) fn runtime(self, cgroup: &str) -> &'static str {
        let manager = self.first(&["io.container.manager"]);
        let leaf = |prefix: &str| cgroup.split('/').any(|part| part.starts_with(prefix));
        if manager == "libpod" || leaf("libpod-") {
            // podman also writes some of CRI-O's annotations.
            "podman"
        } else if manager == "cri-o" || self.any_starts_with("io.kubernetes.cri-o.") || leaf("crio-") {
            "cri-o"
        } else if self.any_starts_with("io.kubernetes.cri.") || leaf("cri-containerd-") {
            "containerd"
        } else if leaf("docker-") || cgroup.starts_with("/docker/") {
            "docker"
        } else {
            ""
        }
    }

    fn map(self, key: &str) -> BTreeMap<String, String> {
        let values: BTreeMap<String, Box<RawValue>> = map_in(self.0.get(key));
        let strings = values
            .into_iter()
            .filter_map(|(key, value)| Some((key, serde_json::from_str(value.get()).ok()?)));
        strings.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn runtimes_are_told_apart() {
        for (pairs, cgroup, expected) in [
            (&[("io.kubernetes.cri.container-type", "container")][..], "", "containerd"),
            (&[("io.kubernetes.cri-o.TTY", "false")], "", "cri-o"),
            (&[("io.kubernetes.cri-o.TTY", "false"), ("io.container.manager", "libpod")], "", "podman"),
            (&[("io.kubernetes.cri.sandbox-name", "x")], "/machine.slice/libpod-1.scope", "podman"),
            (&[], "/system.slice/docker-1.scope", "docker"),
            (&[], "/docker/1", "docker"),
            (&[("io.kubernetes.pod.name", "x")], "/a/b", ""),
        ] {
            assert_eq!(Annotations(&map(pairs)).runtime(cgroup), expected, "{pairs:?} {cgroup}");
        }
    }

    #[test]
    fn labels_in_an_annotation_are_taken_apart() {
        let labels = r#"{"app":"web","io.kubernetes.pod.uid":"1","odd":3}"#;
        let container = map(&[("io.kubernetes.cri-o.Labels", labels)]);
        assert_eq!(Annotations(&container).labels(), map(&[("app", "web")]));
        for broken in ["", "[]", "{", "null", "\u{0}"] {
            assert!(Annotations(&map(&[("io.kubernetes.cri-o.Labels", broken)])).labels().is_empty());
        }
    }

    #[test]
    fn only_a_sandbox_has_the_annotations_of_the_pod() {
        let kind = "io.kubernetes.cri-o.ContainerType";
        let copy = ("io.kubernetes.cri-o.Annotations", r#"{"a":"b"}"#);
        assert_eq!(Annotations(&map(&[(kind, "sandbox"), copy])).pod_annotations(), map(&[("a", "b")]));
        assert!(Annotations(&map(&[(kind, "container"), copy])).pod_annotations().is_empty());
    }

    #[test]
    fn a_bare_tag_is_no_image() {
        let image = |pairs: &[(&str, &str)]| Annotations(&map(pairs)).image().to_owned();
        assert_eq!(image(&[("org.opencontainers.image.ref.name", "latest")]), "");
        assert_eq!(image(&[("org.opencontainers.image.ref.name", "quay.io/a/b:1")]), "quay.io/a/b:1");
        assert_eq!(
            image(&[("io.kubernetes.cri.image-name", ""), ("io.kubernetes.cri-o.ImageName", "x")]),
            "x"
        );
    }
}
