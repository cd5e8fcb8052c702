//! `tetra cri`, against a container runtime on a real socket.

use tetragon_cri::testing::{FakeContainer, FakeRuntime, Manner};

use crate::tetra::run;

#[test]
fn version_and_cgroup_are_those_of_the_runtime() {
    let folder = tempfile::tempdir().expect("folder");
    let socket = folder.path().join("cri.sock");
    let url = format!("unix://{}", socket.display());
    let runtime = FakeRuntime::start(&socket).expect("serves");
    let id = "ab".repeat(32);
    let info = format!(r#"{{"runtimeSpec":{{"linux":{{"cgroupsPath":"k-p.slice:cri-containerd:{id}"}}}}}}"#);
    runtime.add(FakeContainer { id: id.clone(), info, ..FakeContainer::default() });
    let silent = "cd".repeat(32);
    runtime.add(FakeContainer { id: silent.clone(), ..FakeContainer::default() });

    let outcome = run(&["cri", "version", "--runtime-endpoint", &url]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(0), "containerd v9.9.9\n"), "{outcome:?}");
    let outcome = run(&["cri", "version", "-r", &url, "-o", "json"]);
    let value: serde_json::Value = serde_json::from_str(&outcome.stdout).expect("JSON");
    assert_eq!(value["runtime_version"], "v9.9.9", "{outcome:?}");

    let path = format!("/k.slice/k-p.slice/cri-containerd-{id}.scope");
    for wanted in [id.as_str(), &id[..31], &format!("containerd://{id}")] {
        let outcome = run(&["cri", "cgroup_path", wanted, "-r", &url]);
        assert_eq!((outcome.code, outcome.stdout), (Some(0), format!("{path}\n")), "{wanted}");
    }
    let outcome = run(&["cri", "cgroup_path", &id, "-r", &url, "-o", "json"]);
    assert_eq!(outcome.stdout, format!("{{\"cgroup_path\":\"{path}\"}}\n"), "{outcome:?}");

    for (id, part) in [
        (silent.as_str(), "does not tell the cgroups"),
        ("eeee", "knows no container or sandbox 'eeee'"),
        ("xyz", "\"xyz\" is no container id"),
    ] {
        let outcome = run(&["cri", "cgroup_path", id, "-r", &url]);
        assert_eq!(outcome.code, Some(1), "{outcome:?}");
        assert!(outcome.stderr.contains(part), "{part} in {outcome:?}");
    }
}

#[test]
fn a_runtime_that_is_absent_or_silent_is_an_error() {
    let folder = tempfile::tempdir().expect("folder");
    let socket = folder.path().join("cri.sock");
    let url = format!("unix://{}", socket.display());
    let outcome = run(&["cri", "version", "-r", &url]);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(
        outcome.stderr.contains("cri.sock: No such file") && outcome.stderr.contains("--runtime-endpoint"),
        "{outcome:?}"
    );
    let runtime = FakeRuntime::start(&socket).expect("serves");
    runtime.behave(Manner::Hang);
    let outcome = run(&["cri", "version", "-r", &url, "--timeout", "300ms"]);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(outcome.stderr.contains("no answer within 300ms"), "{outcome:?}");
    let outcome = run(&["cri", "version", "-r", "tcp://localhost:1"]);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(outcome.stderr.contains("give unix://"), "{outcome:?}");
}
