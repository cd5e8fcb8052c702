//! From what the runtime tells to what the agent is told.

use nri_plugin::api::{Container, Image, PodSandbox};
use prost_types::Timestamp;
use tetragon_api::tetragon::runtime_hook_request::Event;
use tetragon_api::tetragon::{
    CreateContainer, Mount, RemoveContainer, RuntimeHookRequest, RuntimeHookStage as Stage,
};

use crate::cgroup;

/// Who calls.
const SOURCE: &str = "nri";
/// Where runtimes without `Container.image` write the image's name: containerd, CRI-O.
const IMAGE_ANNOTATIONS: [&str; 2] = ["io.kubernetes.cri.image-name", "io.kubernetes.cri-o.ImageName"];

/// A container of a pod. `runtime` is the scheme of its container ids.
pub(crate) fn container(pod: PodSandbox, container: Container, runtime: &str) -> CreateContainer {
    let oci = container.linux.as_ref().map(|linux| linux.cgroups_path.clone()).unwrap_or_default();
    let parent = pod.linux.as_ref().map_or("", |linux| linux.cgroup_parent.as_str());
    let cgroups_path = cgroup_directory(oci, parent, &container.id, runtime);
    let (image, image_id) = image(container.image.as_ref(), &container);
    CreateContainer {
        cgroups_path,
        container_image: image,
        container_image_id: image_id,
        annotations: container.annotations,
        container_name: container.name,
        container_id: container.id,
        mounts: container.mounts.into_iter().map(mount).collect(),
        pid: container.pid,
        start_time: timestamp(container.started_at),
        ..of_pod(pod, runtime)
    }
}

/// A pod's sandbox, as a container of its own.
pub(crate) fn sandbox(pod: PodSandbox, runtime: &str) -> CreateContainer {
    let linux = pod.linux.as_ref();
    let oci = linux.map(|linux| linux.cgroups_path.clone()).unwrap_or_default();
    let parent = linux.map_or("", |linux| linux.cgroup_parent.as_str());
    CreateContainer {
        cgroups_path: cgroup_directory(oci, parent, &pod.id, runtime),
        container_id: pod.id.clone(),
        pid: pod.pid,
        is_sandbox: true,
        ..of_pod(pod, runtime)
    }
}

fn of_pod(pod: PodSandbox, runtime: &str) -> CreateContainer {
    CreateContainer {
        pod_name: pod.name,
        pod_uid: pod.uid,
        pod_namespace: pod.namespace,
        pod_labels: pod.labels,
        pod_annotations: pod.annotations,
        sandbox_id: pod.id,
        runtime_name: runtime.to_owned(),
        source: SOURCE.to_owned(),
        ..CreateContainer::default()
    }
}

/// The request about a container at one stage of its life.
pub(crate) fn created(container: &CreateContainer, stage: Stage) -> RuntimeHookRequest {
    let container = CreateContainer { stage: stage.into(), ..container.clone() };
    RuntimeHookRequest { event: Some(Event::CreateContainer(container)) }
}

/// The request about a container that is gone.
pub(crate) fn removed(id: String) -> RuntimeHookRequest {
    let removed = RemoveContainer { container_id: id, source: SOURCE.to_owned() };
    RuntimeHookRequest { event: Some(Event::RemoveContainer(removed)) }
}

fn cgroup_directory(oci: String, parent: &str, id: &str, runtime: &str) -> String {
    let directory = match (oci.is_empty(), parent.is_empty()) {
        (false, _) => cgroup::directory(&oci),
        (true, false) => cgroup::below_pod(parent, id, runtime == "cri-o"),
        // Nothing to go by: the agent has the pid, from the start on.
        (true, true) => return oci,
    };
    directory.unwrap_or_else(|error| {
        // The agent says what it makes of it.
        tracing::warn!(container = id, %error, "cgroup not understood");
        oci
    })
}

/// Name and id of the image; the id in the form of a pod's status, `repository@digest`.
fn image(image: Option<&Image>, container: &Container) -> (String, String) {
    let annotated = || IMAGE_ANNOTATIONS.iter().find_map(|key| container.annotations.get(*key)).cloned();
    let Some(image) = image.filter(|image| !image.name.is_empty()) else {
        return (annotated().unwrap_or_default(), String::new());
    };
    let id = match image.digest.as_str() {
        "" => String::new(),
        digest if digest.contains('@') => digest.to_owned(),
        digest => format!("{}@{digest}", repository(&image.name)),
    };
    (image.name.clone(), id)
}

/// An image's name without tag and digest. A colon before the last slash is that of a registry's port.
fn repository(name: &str) -> &str {
    let name = name.split('@').next().unwrap_or(name);
    let last = name.rfind('/').map_or(0, |slash| slash + 1);
    name[last..].find(':').map_or(name, |colon| &name[..last + colon])
}

fn mount(mount: nri_plugin::api::Mount) -> Mount {
    let nri_plugin::api::Mount { destination, r#type, source, options } = mount;
    Mount { destination, r#type, source, options }
}

/// `None` for a container that has not been started.
fn timestamp(nanoseconds: i64) -> Option<Timestamp> {
    const BILLION: i64 = 1_000_000_000;
    let nanos = i32::try_from(nanoseconds.rem_euclid(BILLION)).ok()?;
    (nanoseconds > 0).then(|| Timestamp { seconds: nanoseconds.div_euclid(BILLION), nanos })
}

#[cfg(test)]
mod tests {
    use nri_plugin::api::{LinuxContainer, LinuxPodSandbox};

    use super::*;

    fn pod() -> PodSandbox {
        PodSandbox {
            id: "sandbox".to_owned(),
            name: "web-1".to_owned(),
            uid: "uid-1".to_owned(),
            namespace: "prod".to_owned(),
            labels: [("app".to_owned(), "web".to_owned())].into(),
            annotations: [("owner".to_owned(), "team".to_owned())].into(),
            linux: Some(LinuxPodSandbox {
                cgroup_parent: "/kubepods/poduid-1".to_owned(),
                cgroups_path: "/kubepods/poduid-1/sandbox".to_owned(),
                ..LinuxPodSandbox::default()
            }),
            pid: 41,
            ..PodSandbox::default()
        }
    }

    fn with_cgroup(path: &str) -> Container {
        Container {
            id: "c1".to_owned(),
            name: "nginx".to_owned(),
            linux: Some(LinuxContainer { cgroups_path: path.to_owned(), ..LinuxContainer::default() }),
            annotations: [(IMAGE_ANNOTATIONS[0].to_owned(), "nginx:1".to_owned())].into(),
            pid: 42,
            started_at: 1_500_000_000,
            ..Container::default()
        }
    }

    #[test]
    fn a_container_is_told_with_all_that_is_known_of_it() {
        let told = container(pod(), with_cgroup("a-b.slice:cri-containerd:c1"), "containerd");
        assert_eq!(told.cgroups_path, "/a.slice/a-b.slice/cri-containerd-c1.scope");
        assert_eq!((told.container_id.as_str(), told.container_name.as_str()), ("c1", "nginx"));
        assert_eq!((told.pod_name.as_str(), told.pod_uid.as_str()), ("web-1", "uid-1"));
        assert_eq!((told.pod_namespace.as_str(), told.sandbox_id.as_str()), ("prod", "sandbox"));
        assert_eq!(
            (told.pod_labels["app"].as_str(), told.pod_annotations["owner"].as_str()),
            ("web", "team")
        );
        assert_eq!((told.container_image.as_str(), told.runtime_name.as_str()), ("nginx:1", "containerd"));
        assert_eq!((told.pid, told.is_sandbox, told.source.as_str()), (42, false, "nri"));
        assert_eq!(told.start_time, Some(Timestamp { seconds: 1, nanos: 500_000_000 }));
    }

    #[test]
    fn a_cgroup_that_is_not_told_is_derived_from_the_pods() {
        assert_eq!(container(pod(), with_cgroup(""), "containerd").cgroups_path, "/kubepods/poduid-1/c1");
        assert_eq!(container(pod(), with_cgroup(""), "cri-o").cgroups_path, "/kubepods/poduid-1/crio-c1");
        let bare = PodSandbox { linux: None, ..pod() };
        assert_eq!(container(bare, with_cgroup(""), "containerd").cgroups_path, "");
        assert_eq!(container(pod(), with_cgroup("odd"), "containerd").cgroups_path, "odd");
    }

    #[test]
    fn a_sandbox_is_a_container_with_its_own_id() {
        let told = sandbox(pod(), "containerd");
        assert_eq!((told.container_id.as_str(), told.sandbox_id.as_str()), ("sandbox", "sandbox"));
        assert_eq!((told.cgroups_path.as_str(), told.pid), ("/kubepods/poduid-1/sandbox", 41));
        assert!(told.is_sandbox && told.container_name.is_empty());
    }

    #[test]
    fn an_images_id_is_that_of_a_pods_status() {
        let cases = [
            ("nginx:1", "sha256:d", "nginx@sha256:d"),
            ("registry:5000/a/b", "sha256:d", "registry:5000/a/b@sha256:d"),
            ("registry:5000/a/b:tag@sha256:x", "sha256:d", "registry:5000/a/b@sha256:d"),
            ("nginx", "docker.io/nginx@sha256:d", "docker.io/nginx@sha256:d"),
            ("nginx", "", ""),
        ];
        for (name, digest, id) in cases {
            let image = Image { name: name.to_owned(), digest: digest.to_owned(), ..Image::default() };
            let container = Container { image: Some(image), ..with_cgroup("") };
            let told = super::container(pod(), container, "containerd");
            assert_eq!((told.container_image.as_str(), told.container_image_id.as_str()), (name, id));
        }
    }
}
