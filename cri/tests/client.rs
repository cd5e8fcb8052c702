//! The client against a real server of the interface.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use tempfile::TempDir;
use tetragon_cri::api::ContainerState;
use tetragon_cri::testing::{FakeContainer, FakeRuntime, Manner, Sandbox};
use tetragon_cri::{CriClient, CriError, Options, State};
use tonic::Code;

const POD: &str = "aaaa567890abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const APP: &str = "bbbb567890abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const OLD: &str = "cccc567890abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const NEW: &str = "dddd567890abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn options(sockets: &[&Path]) -> Options {
    Options {
        sockets: sockets.iter().map(PathBuf::from).collect(),
        probe_timeout: Duration::from_millis(500),
        call_timeout: Duration::from_millis(500),
        first_pause: Duration::from_millis(300),
        ..Options::default()
    }
}

fn text_map(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
    entries.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// One pod with a running, a created and an ended container.
fn populate(runtime: &FakeRuntime) {
    runtime.add_sandbox(Sandbox {
        id: POD.to_owned(),
        name: "web-1".to_owned(),
        namespace: "shop".to_owned(),
        uid: "uid-1".to_owned(),
        labels: text_map(&[("app", "web")]),
        annotations: text_map(&[("note", "x")]),
        info:
            r#"{"pid":100,"image":"pause:3","runtimeSpec":{"linux":{"cgroupsPath":"/kubepods/pod1/aaaa"}}}"#
                .to_owned(),
        ended: false,
    });
    let container = |id: &str, state, info: &str| FakeContainer {
        id: id.to_owned(),
        sandbox_id: POD.to_owned(),
        name: "app".to_owned(),
        state,
        info: info.to_owned(),
        ..FakeContainer::default()
    };
    let info = format!(
        r#"{{"sandboxID":"{POD}","pid":200,
            "runtimeSpec":{{"linux":{{"cgroupsPath":"kubepods-pod1.slice:cri-containerd:{APP}"}}}}}}"#
    );
    runtime.add(container(APP, ContainerState::ContainerRunning, &info));
    runtime.add(container(OLD, ContainerState::ContainerExited, ""));
    runtime.add(container(NEW, ContainerState::ContainerCreated, ""));
}

struct Bench {
    folder: TempDir,
    runtime: FakeRuntime,
    client: CriClient,
}

fn bench() -> Bench {
    let folder = tempfile::tempdir().expect("folder");
    let socket = folder.path().join("cri.sock");
    let runtime = FakeRuntime::start(&socket).expect("serves");
    populate(&runtime);
    Bench { folder, runtime, client: CriClient::new(options(&[&socket])) }
}

#[tokio::test]
async fn everything_that_exists_is_listed_with_its_pod() {
    let Bench { folder: _folder, runtime: _runtime, client } = bench();
    let listing = client.list().await.unwrap();
    assert_eq!(listing.incomplete, None);
    let mut containers = listing.containers;
    containers.sort_by(|a, b| a.id.cmp(&b.id));
    let ids: Vec<_> = containers.iter().map(|it| it.id.as_str()).collect();
    assert_eq!(ids, [POD, APP, NEW], "what has ended is left out");
    for it in &containers {
        assert_eq!((it.pod_namespace.as_str(), it.pod_name.as_str()), ("shop", "web-1"));
        assert_eq!((it.pod_uid.as_str(), it.sandbox_id.as_str()), ("uid-1", POD));
        assert_eq!(it.pod_labels, text_map(&[("app", "web")]));
        assert_eq!(it.pod_annotations, text_map(&[("note", "x")]));
        assert_eq!(it.runtime, "containerd");
    }

    let [sandbox, app, new] = &containers[..] else { panic!("three") };
    assert!(sandbox.is_sandbox && sandbox.name.is_empty() && sandbox.state == State::Running);
    assert_eq!((sandbox.pid, sandbox.cgroups_path.as_deref()), (100, Some("/kubepods/pod1/aaaa")));
    assert_eq!(sandbox.image, "pause:3");

    let cgroup = format!("/kubepods.slice/kubepods-pod1.slice/cri-containerd-{APP}.scope");
    assert!(!app.is_sandbox && app.name == "app" && app.state == State::Running);
    assert_eq!((app.pid, app.cgroups_path.as_deref()), (200, Some(cgroup.as_str())));
    assert_eq!(app.image, "registry.test/app:1");
    assert_eq!(app.image_id, "registry.test/app@sha256:1234");
    assert_eq!(app.created_at, Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1)));
    assert_eq!(app.started_at, Some(SystemTime::UNIX_EPOCH + Duration::from_secs(2)));

    assert_eq!((new.state, new.started_at), (State::Created, None));
    assert_eq!((new.pid, new.cgroups_path.as_deref()), (0, None), "the runtime does not tell");
}

#[tokio::test]
async fn one_container_is_found_by_its_whole_id_and_by_a_prefix() {
    let Bench { folder: _folder, runtime: _runtime, client } = bench();
    let listing = client.list().await.unwrap();
    let app = listing.containers.into_iter().find(|it| it.id == APP);
    for id in [APP, &APP[..31]] {
        assert_eq!(client.container(id).await.unwrap(), app, "{id}");
    }
    let sandbox = client.container(&POD[..31]).await.unwrap().unwrap();
    assert!(sandbox.is_sandbox && sandbox.pod_name == "web-1" && sandbox.pid == 100);
    // An ended container is still somebody's.
    let old = client.container(OLD).await.unwrap().unwrap();
    assert_eq!((old.state, old.pod_name.as_str()), (State::Exited, "web-1"));
    assert_eq!(client.container(&"e".repeat(31)).await.unwrap(), None);
}

#[tokio::test]
async fn the_pod_is_told_by_labels_where_its_sandbox_is_gone() {
    let Bench { folder: _folder, runtime, client } = bench();
    runtime.add(FakeContainer {
        id: "f".repeat(64),
        labels: text_map(&[
            ("io.kubernetes.pod.name", "p"),
            ("io.kubernetes.pod.namespace", "n"),
            ("io.kubernetes.pod.uid", "u"),
            ("io.kubernetes.container.name", "c"),
        ]),
        ..FakeContainer::default()
    });
    let it = client.container(&"f".repeat(31)).await.unwrap().unwrap();
    let names = [it.pod_name, it.pod_namespace, it.pod_uid, it.name];
    assert_eq!(names, ["p", "n", "u", "c"]);
}

#[tokio::test]
async fn what_is_no_id_is_not_asked_for() {
    let Bench { folder: _folder, runtime, client } = bench();
    for id in ["", "abc", "../../../etc", &format!("{APP}0"), "nothexadecimal"] {
        assert_eq!(client.container(id).await, Err(CriError::Id(id.to_owned())));
    }
    assert_eq!(runtime.calls(), []);
}

#[tokio::test]
async fn a_runtime_that_does_not_translate_not_found_is_understood() {
    let Bench { folder: _folder, runtime, client } = bench();
    for method in ["ContainerStatus", "PodSandboxStatus"] {
        runtime.behave_in(method, Manner::Fail(Code::Unknown, "Error: No such container: x".to_owned()));
    }
    assert_eq!(client.container(&"e".repeat(64)).await, Ok(None));
    runtime.behave_in("ContainerStatus", Manner::Fail(Code::Unknown, "not initialized yet".to_owned()));
    let error = client.container(APP).await.unwrap_err();
    assert!(matches!(error, CriError::Refused { code: Code::Unknown, .. }) && !error.is_outage(), "{error}");
    assert!(error.to_string().contains("cri.sock: ContainerStatus: not initialized yet"), "{error}");
}

#[tokio::test]
async fn a_call_that_hangs_ends_at_its_limit_and_the_next_may_succeed() {
    let Bench { folder: _folder, runtime, client } = bench();
    client.runtime().await.unwrap();
    runtime.behave_in("ContainerStatus", Manner::Hang);
    let start = Instant::now();
    let error = client.container(APP).await.unwrap_err();
    assert!(matches!(error, CriError::TimedOut { method: "ContainerStatus", .. }), "{error}");
    assert!(error.is_outage() && client.connected().is_none());
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    runtime.behave(Manner::Slow(Duration::from_millis(50)));
    assert!(client.container(APP).await.unwrap().is_some());
}

#[tokio::test]
async fn a_list_whose_details_hang_comes_without_them_and_soon() {
    let Bench { folder: _folder, runtime, client } = bench();
    for n in 0..100 {
        runtime.add(FakeContainer { id: format!("{n:064x}"), ..FakeContainer::default() });
    }
    for method in ["ContainerStatus", "PodSandboxStatus"] {
        runtime.behave_in(method, Manner::Hang);
    }
    let start = Instant::now();
    let listing = client.list().await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    assert_eq!(listing.containers.len(), 103);
    assert!(listing.incomplete.is_some_and(|error| error.is_outage()));
    let app = listing.containers.iter().find(|it| it.id == APP).unwrap();
    assert_eq!((app.pod_name.as_str(), app.name.as_str(), app.pid), ("web-1", "app", 0));
}

#[tokio::test]
async fn details_that_are_refused_for_one_are_there_for_the_others() {
    let Bench { folder: _folder, runtime, client } = bench();
    runtime.behave_in("PodSandboxStatus", Manner::Fail(Code::Internal, "broken".to_owned()));
    let listing = client.list().await.unwrap();
    let error = listing.incomplete.unwrap().to_string();
    assert!(error.contains("PodSandboxStatus: broken"), "{error}");
    let pid = |id: &str| listing.containers.iter().find(|it| it.id == id).map(|it| it.pid);
    assert_eq!((pid(POD), pid(APP)), (Some(0), Some(200)));
}

#[tokio::test]
async fn a_list_that_is_refused_is_an_error() {
    let Bench { folder: _folder, runtime, client } = bench();
    runtime.behave_in("ListPodSandbox", Manner::Fail(Code::PermissionDenied, "no".to_owned()));
    let error = client.list().await.unwrap_err();
    assert!(matches!(error, CriError::Refused { method: "ListPodSandbox", .. }), "{error}");
}

#[tokio::test]
async fn the_most_wanted_socket_that_answers_is_used() {
    let folder = tempfile::tempdir().unwrap();
    let [absent, hung, other, good, late] =
        ["absent", "hung", "other", "good", "late"].map(|name| folder.path().join(name));
    let hanging = FakeRuntime::start(&hung).unwrap();
    hanging.behave(Manner::Hang);
    // As containerd answers with its CRI plugin switched off.
    let without = FakeRuntime::start(&other).unwrap();
    without.behave(Manner::Fail(Code::Unimplemented, "unknown service runtime.v1.RuntimeService".to_owned()));
    let _good = FakeRuntime::start(&good).unwrap();
    let _late = FakeRuntime::start(&late).unwrap();
    let sockets = [&*absent, &*hung, &*other, &*good, &*late];

    let start = Instant::now();
    let client = CriClient::new(options(&sockets));
    let runtime = client.runtime().await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    assert_eq!((&runtime.socket, runtime.name.as_str()), (&good, "containerd"));
    assert_eq!((runtime.version.as_str(), runtime.api_version.as_str()), ("v9.9.9", "v1"));

    let error = CriClient::new(options(&sockets[..3])).runtime().await.unwrap_err();
    let text = error.to_string();
    for part in ["absent: No such file", "hung: no answer within 500ms", "other: unknown service"] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[tokio::test]
async fn a_runtime_that_is_absent_is_sought_again_after_a_pause() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("cri.sock");
    let client = CriClient::new(options(&[&socket]));
    let first = client.runtime().await.unwrap_err();
    let runtime = FakeRuntime::start(&socket).unwrap();
    // In the pause nobody is asked.
    assert_eq!(client.container(APP).await, Err(first));
    assert_eq!(runtime.calls(), []);
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(client.container(APP).await, Ok(None));
    assert_eq!(client.connected().map(|it| it.socket), Some(socket));
}

#[tokio::test]
async fn a_runtime_that_restarts_is_found_again() {
    let Bench { folder: _folder, mut runtime, client } = bench();
    assert!(client.container(APP).await.unwrap().is_some());
    runtime.stop();
    let error = client.container(APP).await.unwrap_err();
    assert!(error.is_outage(), "{error}");
    runtime.restart().unwrap();
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert!(client.container(APP).await.unwrap().is_some());
}

#[tokio::test]
async fn many_calls_at_a_time_are_held_to_the_limit_and_all_answered() {
    let Bench { folder: _folder, runtime, client } = bench();
    runtime.behave(Manner::Slow(Duration::from_millis(20)));
    let calls: Vec<_> = (0..64)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.container(APP).await })
        })
        .collect();
    for call in calls {
        assert!(call.await.unwrap().unwrap().is_some());
    }
    assert_eq!(runtime.calls().iter().filter(|(method, _)| *method == "Version").count(), 1);
}
