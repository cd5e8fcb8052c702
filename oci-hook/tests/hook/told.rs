//! What the agent is told of containers of each runtime.

use std::fs;

use serde_json::json;
use tetragon_api::tetragon::{Mount, RuntimeHookStage};

use crate::agent::Agent;
use crate::kit::{ID, Node, containerd, containerd_annotations, end, start};

#[test]
fn a_container_of_containerd() {
    let node = Node::new();
    let agent = node.agent();
    node.has_config(&containerd());
    node.create(&[], &json!({})).allowed();
    let told = agent.creation();
    assert_eq!(
        told.cgroups_path,
        "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice/cri-containerd-5cfea8.scope"
    );
    assert_eq!(
        told.root_dir,
        node.bundle().canonicalize().expect("there").join("rootfs").display().to_string()
    );
    assert_eq!(told.annotations.len(), 7);
    assert_eq!(told.container_name, "web");
    assert_eq!(told.container_id, ID);
    assert_eq!(told.pod_name, "web-1");
    assert_eq!(told.pod_uid, "b1e0d5a3-1f9d-4a5b-9f53-2a40a0a6c0de");
    assert_eq!(told.pod_namespace, "shop");
    assert_eq!(told.container_image, "docker.io/library/nginx:1.29");
    assert_eq!(
        told.mounts,
        [Mount {
            destination: "/data".to_owned(),
            r#type: "bind".to_owned(),
            source: "/srv/data".to_owned(),
            options: vec!["rbind".to_owned(), "ro".to_owned()],
        }]
    );
    assert_eq!(told.pid, std::process::id());
    assert_eq!(told.stage(), RuntimeHookStage::Verify);
    assert_eq!(told.sandbox_id, "aaaa");
    assert!(!told.is_sandbox);
    assert_eq!(told.runtime_name, "containerd");
    assert_eq!(told.source, "oci-hook");
    assert!(node.logged("told the agent"));
    let line = node.log().pop().expect("a line");
    assert_eq!((&line["req-podName"], &line["hook"]), (&json!("web-1"), &json!("createRuntime")));
    assert!(!node.spooled().exists());
}

#[test]
fn a_sandbox_of_crio_beside_its_working_directory() {
    let node = Node::new();
    let agent = node.agent();
    fs::create_dir(node.path("userdata")).expect("folder");
    let config = json!({
        "annotations": {
            "io.container.manager": "cri-o",
            "io.kubernetes.container.name": "POD",
            "io.kubernetes.pod.name": "web-1", "io.kubernetes.pod.namespace": "shop", "io.kubernetes.pod.uid": "u",
            "io.kubernetes.cri-o.ContainerID": ID, "io.kubernetes.cri-o.SandboxID": ID,
            "io.kubernetes.cri-o.ContainerType": "sandbox",
            "io.kubernetes.cri-o.ImageName": "registry.k8s.io/pause:3.10",
            "io.kubernetes.cri-o.Labels": r#"{"app":"web","io.kubernetes.pod.uid":"u"}"#,
            "io.kubernetes.cri-o.Annotations": r#"{"owner":"team"}"#,
        },
        "linux": {"cgroupsPath": "/kubepods/podu/crio-5cfea8"},
    });
    fs::write(node.path("userdata/config.json"), config.to_string()).expect("file");
    // Older versions of CRI-O's monitor give the hook no state.
    node.call(&["createRuntime"], "").allowed();
    let told = agent.creation();
    assert_eq!((told.container_id.as_str(), told.sandbox_id.as_str(), told.is_sandbox), (ID, ID, true));
    assert_eq!((told.pod_name.as_str(), told.pod_namespace.as_str()), ("web-1", "shop"));
    assert_eq!(told.pod_labels, [("app".to_owned(), "web".to_owned())].into());
    assert_eq!(told.pod_annotations, [("owner".to_owned(), "team".to_owned())].into());
    assert_eq!(
        (told.runtime_name.as_str(), told.container_image.as_str()),
        ("cri-o", "registry.k8s.io/pause:3.10")
    );
    assert_eq!((told.cgroups_path.as_str(), told.pid), ("/kubepods/podu/crio-5cfea8", 0));
}

#[test]
fn a_container_of_podman_is_known_by_its_state() {
    let node = Node::new();
    let agent = node.agent();
    let slice = format!("machine.slice:libpod:{ID}");
    node.has_config(&json!({
        "annotations": {"io.container.manager": "libpod", "org.opencontainers.image.ref.name": "localhost/app:1"},
        "linux": {"cgroupsPath": slice},
    }));
    node.create(&[], &json!({})).allowed();
    let told = agent.creation();
    assert_eq!(told.container_id, ID);
    assert_eq!(told.cgroups_path, format!("/machine.slice/libpod-{ID}.scope"));
    assert_eq!((told.runtime_name.as_str(), told.container_image.as_str()), ("podman", "localhost/app:1"));
    assert_eq!((told.pod_name.as_str(), told.pod_namespace.as_str()), ("", ""));
}

#[test]
fn the_first_process_tells_what_the_bundle_does_not() {
    let cgroup = fs::read_to_string("/proc/self/cgroup").expect("cgroups");
    let own = cgroup.lines().filter_map(|line| line.splitn(3, ':').nth(2)).any(|path| path != "/");
    let node = Node::new();
    let agent = node.agent();
    // A bundle that is gone: the state's annotations count.
    let outcome = node.create(&[], &containerd_annotations("shop"));
    if own {
        outcome.allowed();
        let told = agent.creation();
        assert!(cgroup.lines().any(|line| line.ends_with(&format!(":{}", told.cgroups_path))), "{told:?}");
        assert_eq!((told.pod_namespace.as_str(), told.container_name.as_str()), ("shop", "web"));
        assert!(node.logged("no config.json"));
    } else {
        // A process in the root cgroup is in no container.
        outcome.refused(&["where its cgroup is"]);
    }
}

#[test]
fn agents_are_reached_by_tcp_too() {
    let node = Node::new();
    let agent = Agent::on_tcp();
    node.has_config(&containerd());
    node.create(&["--grpc-address", &agent.address], &json!({})).allowed();
    assert_eq!(agent.creation().container_name, "web");
    let by_name = agent.address.replace("127.0.0.1", "localhost");
    node.create(&["--grpc-address", &by_name], &json!({})).allowed();
    assert_eq!(agent.requests().len(), 2);
}

#[test]
fn with_disable_grpc_the_log_alone_is_told() {
    let node = Node::new();
    let agent = node.agent();
    node.has_config(&containerd());
    node.create(&["--disable-grpc", "--log-level=debug"], &json!({})).allowed();
    assert!(agent.requests().is_empty());
    assert_eq!(node.log()[0]["req-annotations"]["io.kubernetes.cri.container-name"], "web");
}

#[test]
fn the_file_beside_the_binary_counts() {
    let node = Node::new();
    let _agent = node.agent();
    node.has_config(&containerd());
    // Through a symbolic link, as installations have it.
    fs::create_dir(node.path("opt")).expect("folder");
    let binary = node.path("opt/tetragon-oci-hook");
    fs::copy(env!("CARGO_BIN_EXE_tetragon-oci-hook"), &binary).expect("copied");
    std::os::unix::fs::symlink(&binary, node.path("link")).expect("linked");
    fs::write(node.path("opt/tetragon-oci-hook.json"), r#"{"disable_grpc": true, "surprise": 1}"#)
        .expect("file");
    let state = node.state(&json!({}));
    let mut command = node.command_of(&node.path("link"), &["createRuntime"]);
    end(start(&mut command), Some(state.as_bytes())).allowed();
    assert!(node.logged("--disable-grpc") && node.logged("surprise"), "{:?}", node.log());
}
