//! What the agent knows about containers, and telling it of one.

use std::process::Command;

use tetragon_api::tetragon::runtime_hook_request::Event;
use tetragon_api::tetragon::{
    CreateContainer, GetStatusResponse, IdentityStatus, KnownCgroup, KnownContainer, ListContainersRequest,
    RemoveContainer, RuntimeHookRequest, RuntimeHookResponse, RuntimeHookStage, RuntimeHookState,
};
use tonic::Status;

use crate::agent::Agent;
use crate::tetra::{Outcome, run};

fn ask(agent: &Agent, args: &[&str]) -> Outcome {
    run(&[args, &["--server-address", &agent.address]].concat())
}

fn container(number: u64, id: &str, name: &str) -> KnownContainer {
    KnownContainer {
        number,
        id: id.to_owned(),
        name: name.to_owned(),
        pod_name: "web-1".to_owned(),
        pod_namespace: "shop".to_owned(),
        state: "running".to_owned(),
        cgroups: vec![KnownCgroup { id: number * 10, path: format!("/a/{id}"), ..Default::default() }],
        policy_ids: vec![3],
        ..Default::default()
    }
}

fn agent_with_two() -> Agent {
    let agent = Agent::on_tcp();
    agent.knows(vec![container(1, "aa11", "app"), container(2, "aa22", "sidecar")]);
    agent
}

#[test]
fn containers_are_listed_as_text_and_json() {
    let agent = agent_with_two();
    for command in ["containers", "cgidmap"] {
        let outcome = ask(&agent, &[command]);
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        let lines: Vec<_> = outcome.stdout.lines().collect();
        assert!(lines[0].starts_with("ID     NAMESPACE   POD     CONTAINER   STATE"), "{outcome:?}");
        assert!(lines[1].starts_with("aa11   shop        web-1   app"), "{outcome:?}");
        assert_eq!(lines.len(), 3);
    }
    let outcome = ask(&agent, &["containers", "-o", "json"]);
    let value: serde_json::Value = serde_json::from_str(&outcome.stdout).expect("JSON");
    assert_eq!(value["containers"][1]["name"], "sidecar", "{outcome:?}");
}

#[test]
fn filters_reach_the_agent() {
    let agent = agent_with_two();
    ask(&agent, &["containers", "--container", "containerd://aa1", "-n", "shop", "--cgroup", "id:42"]);
    let expected = ListContainersRequest {
        container_id: "aa1".to_owned(),
        cgroup_id: 42,
        pod_namespace: "shop".to_owned(),
    };
    assert_eq!(agent.lists(), [expected]);
    let outcome = ask(&agent, &["containers", "--cgroup", "/nonexistent"]);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(outcome.stderr.contains("cgroup /nonexistent: No such file"), "{outcome:?}");
}

#[test]
fn one_container_is_shown_if_it_is_one() {
    let agent = agent_with_two();
    let outcome = ask(&agent, &["containers", "show", "aa2"]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(outcome.stdout.contains("Name:           sidecar\n"), "{outcome:?}");
    assert!(outcome.stdout.contains("Cgroup:         20 /a/aa22\n"), "{outcome:?}");
    let outcome = ask(&agent, &["containers", "show", "aa2", "-o", "json"]);
    let value: serde_json::Value = serde_json::from_str(&outcome.stdout).expect("JSON");
    assert_eq!(value["id"], "aa22", "{outcome:?}");

    let outcome = ask(&agent, &["containers", "show", "aa"]);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(outcome.stderr.contains("2 ids") && outcome.stderr.contains("aa11, aa22"), "{outcome:?}");
    let outcome = ask(&agent, &["containers", "show", "ff"]);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(outcome.stderr.contains("knows no container 'ff'"), "{outcome:?}");
}

#[test]
fn policies_and_cgroups_are_dumped() {
    let agent = agent_with_two();
    for command in
        [&["policyfilter", "dump"][..], &["dump", "policyfilter"], &["debug", "dump", "policyfilter"]]
    {
        assert_eq!(ask(&agent, command).stdout, "3: 10,20\n", "{command:?}");
    }
    assert_eq!(ask(&agent, &["policyfilter", "dumpcgrp"]).stdout, "cgroupId: stableId\n10: 1\n20: 2\n");
    agent.knows(Vec::new());
    assert_eq!(ask(&agent, &["dump", "policyfilter"]).stdout, "(empty)\n");
}

#[test]
fn the_number_of_a_cgroup_is_that_of_its_file_handle() {
    // util-linux, coreutils and such do not show file handles; a watch on the directory does.
    let root = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]
        .into_iter()
        .find(|root| std::path::Path::new(root).join("cgroup.procs").exists());
    let Some(root) = root else { panic!("this machine has no cgroup v2 hierarchy") };
    let script = "import ctypes,sys\n\
        class H(ctypes.Structure): _fields_=[('n',ctypes.c_uint),('t',ctypes.c_int),('b',ctypes.c_ubyte*128)]\n\
        h=H(128,0); m=ctypes.c_int()\n\
        assert ctypes.CDLL(None).name_to_handle_at(-100,sys.argv[1].encode(),ctypes.byref(h),ctypes.byref(m),0)==0\n\
        print(int.from_bytes(bytes(h.b[:8]),'little'))";
    let witness = Command::new("python3").args(["-c", script, root]).output().expect("python3");
    assert!(witness.status.success(), "{witness:?}");
    let outcome = run(&["policyfilter", "cgroupid", root]);
    assert_eq!(outcome.stdout.as_bytes(), witness.stdout, "{outcome:?}");
    let outcome = run(&["policyfilter", "cgroupid", "id:7"]);
    assert_eq!(outcome.stdout, "7\n", "{outcome:?}");
    let outcome = run(&["policyfilter", "cgroupid", "/proc"]);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(outcome.stderr.contains("/proc is no cgroup"), "{outcome:?}");
}

#[test]
fn a_hook_of_old_is_sent_as_it_was() {
    let agent = Agent::on_tcp();
    let outcome = ask(
        &agent,
        &[
            "rthooks",
            "create-container",
            "--container-id",
            "x",
            "--root-dir",
            "/r",
            "--annotations",
            "a=1,b=2",
        ],
    );
    assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(0), ""), "{outcome:?}");
    let expected = CreateContainer {
        cgroups_path: "x".to_owned(),
        root_dir: "/r".to_owned(),
        annotations: [("a".to_owned(), "1".to_owned()), ("b".to_owned(), "2".to_owned())].into(),
        source: "cli".to_owned(),
        ..Default::default()
    };
    assert_eq!(agent.hooks(), [RuntimeHookRequest { event: Some(Event::CreateContainer(expected)) }]);
}

#[test]
fn a_hook_with_everything_is_sent_and_its_answer_told() {
    let agent = Agent::on_tcp();
    agent
        .answers_hooks_with(Ok(RuntimeHookResponse { state: RuntimeHookState::Known.into(), cgroup_id: 77 }));
    let outcome = ask(
        &agent,
        &[
            "rthooks",
            "create-container",
            "--container-id",
            "ab",
            "--cgroups-path",
            "k-p.slice:cri:ab",
            "--pod-name",
            "p",
            "--pod-namespace",
            "n",
            "--pod-uid",
            "u",
            "--container-name",
            "c",
            "--pid",
            "9",
            "--stage",
            "running",
            "--labels",
            "app=web",
        ],
    );
    assert_eq!(outcome.stdout, "known to the kernel, with its policies; cgroup 77\n", "{outcome:?}");
    let expected = CreateContainer {
        cgroups_path: "/k.slice/k-p.slice/cri-ab.scope".to_owned(),
        container_id: "ab".to_owned(),
        container_name: "c".to_owned(),
        pod_name: "p".to_owned(),
        pod_namespace: "n".to_owned(),
        pod_uid: "u".to_owned(),
        pod_labels: [("app".to_owned(), "web".to_owned())].into(),
        pid: 9,
        stage: RuntimeHookStage::Running.into(),
        source: "cli".to_owned(),
        ..Default::default()
    };
    assert_eq!(agent.hooks(), [RuntimeHookRequest { event: Some(Event::CreateContainer(expected)) }]);

    let outcome = ask(&agent, &["rthooks", "remove-container", "--container-id", "ab"]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let gone = RemoveContainer { container_id: "ab".to_owned(), source: "cli".to_owned() };
    assert_eq!(agent.hooks()[1], RuntimeHookRequest { event: Some(Event::RemoveContainer(gone)) });
}

#[test]
fn a_hook_that_is_refused_or_malformed_is_an_error() {
    let agent = Agent::on_tcp();
    agent.answers_hooks_with(Err(Status::not_found("cgroup /x does not exist")));
    let outcome = ask(&agent, &["rthooks", "create-container", "--container-id", "x"]);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(outcome.stderr.contains("cgroup /x does not exist (NotFound)"), "{outcome:?}");
    for (args, part) in [
        (&["--container-id", ""][..], "--container-id is empty"),
        (&["--container-id", "x", "--annotations", "novalue"], "name=value"),
        (&["--container-id", "x", "--cgroups-path", "a:b"], "slice:prefix:name"),
        (&["--container-id", "x", "--stage", "later"], "announce"),
        (&[], "--container-id"),
    ] {
        let outcome = ask(&agent, &[&["rthooks", "create-container"], args].concat());
        assert_eq!(outcome.code, Some(1), "{outcome:?}");
        assert!(outcome.stderr.contains(part), "{part} in {outcome:?}");
    }
    assert_eq!(agent.hooks().len(), 1);
}

#[test]
fn the_status_has_a_section_about_containers() {
    let agent = Agent::on_tcp();
    let identity = IdentityStatus { containers: 12, pods: 5, ..Default::default() };
    agent.has_status(GetStatusResponse { identity: Some(identity), ..Default::default() });
    let outcome = ask(&agent, &["status"]);
    assert!(outcome.stdout.contains("\nContainers: 12 in 5 pods"), "{outcome:?}");
}
