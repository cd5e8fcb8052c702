//! What the agent is told, and when.

use std::time::{Duration, Instant};

use nri_plugin::api::Container;
use nri_plugin::api::ContainerState;
use tetragon_api::tetragon::RuntimeHookStage::{Announce, Running, Verify};

use crate::agent::Behaviour;
use crate::node::{Node, until};
use crate::runtime::{self, container, pod};

#[tokio::test]
async fn the_agent_knows_each_step_before_the_runtime_goes_on() {
    for old in [false, true] {
        let node = Node::new();
        let agent = node.agent(Behaviour::Take);
        let plugin = node.plugin(&[]);
        let mut runtime = node.runtime().await;
        runtime.old = old;
        runtime.synchronize(Vec::new(), Vec::new()).await;
        plugin.sees_agent("here").await;
        let pod = pod("prod");

        runtime.run_pod(&pod).await;
        let sandbox = agent.told(Running, &pod.id).expect("told");
        assert!(sandbox.is_sandbox);
        let directory = "/kubepods.slice/kubepods-pod1.slice/cri-containerd-";
        assert_eq!((sandbox.pid, sandbox.cgroups_path), (40, format!("{directory}{}.scope", pod.id)));

        let answer = runtime.create(&pod, "c1").await.expect("taken");
        assert_eq!(answer, Default::default(), "an observer changes nothing");
        let announced = agent.told(Announce, "c1").expect("told");
        assert_eq!((announced.pid, announced.cgroups_path), (0, format!("{directory}c1.scope")));
        assert_eq!(
            (announced.container_name.as_str(), announced.container_image.as_str()),
            ("nginx", "nginx:1")
        );
        assert_eq!((announced.pod_name.as_str(), announced.pod_namespace.as_str()), ("web-1", "prod"));
        assert_eq!((announced.pod_uid, announced.sandbox_id), (pod.uid.clone(), pod.id.clone()));
        assert_eq!(
            (announced.pod_labels, announced.pod_annotations),
            (pod.labels.clone(), pod.annotations.clone())
        );
        assert_eq!((announced.runtime_name.as_str(), announced.source.as_str()), ("containerd", "nri"));

        runtime.start(&pod, "c1").await.expect("taken");
        assert_eq!(agent.told(Verify, "c1").expect("told").pid, 42);

        runtime.remove(&pod, "c1").await;
        runtime.remove_pod(&pod).await;
        until("both removals told", || agent.removed().len() == 2).await;
        assert!(agent.removed().contains(&"c1".to_owned()) && agent.removed().contains(&pod.id));
        until("counted", || plugin.count("removed_ok") == 2).await;
        for (name, count) in
            [("announce_ok", 1), ("verify_ok", 1), ("sandbox_ok", 1), ("known", 0), ("replayed", 0)]
        {
            assert_eq!(plugin.count(name), count, "{name}");
        }
        assert!(node.notes().is_empty());
    }
}

#[tokio::test]
async fn what_runs_already_is_told_when_the_plugin_comes() {
    let node = Node::new();
    let agent = node.agent(Behaviour::Take);
    let plugin = node.plugin(&[]);
    plugin.sees_agent("here").await;
    let mut runtime = node.runtime().await;
    let pod = pod("prod");
    let created =
        Container { pid: 0, state: ContainerState::ContainerCreated.into(), ..container(&pod, "created") };
    let mut containers = vec![created];
    containers.extend((0..1000).map(|number| container(&pod, &format!("c{number}"))));
    let before = Instant::now();
    runtime.synchronize(vec![pod.clone()], containers).await;
    println!("1002 containers told in {:?}", before.elapsed());
    until("all are told", || agent.taken().len() == 1002).await;
    assert!(agent.told(Running, &pod.id).is_some_and(|sandbox| sandbox.is_sandbox));
    assert!(agent.told(Announce, "created").is_some());
    assert_eq!(agent.taken().iter().filter(|(stage, _)| *stage == Running).count(), 1001);
    until("counted", || plugin.count("replayed") == 1002 && plugin.count("untold") == 0).await;
    assert_eq!(plugin.count("recovered"), 0, "nothing was missed: it is the first synchronization");
}

#[tokio::test]
async fn a_synchronization_is_answered_in_time_even_if_the_agent_is_not() {
    let node = Node::new();
    let agent = node.agent(Behaviour::Hang);
    let plugin = node.plugin(&[]);
    plugin.sees_agent("here").await;
    let mut runtime = node.runtime().await;
    let pod = pod("prod");
    let containers = (0..100).map(|number| container(&pod, &format!("c{number}"))).collect();
    let before = Instant::now();
    runtime.synchronize(vec![pod], containers).await;
    let taken = before.elapsed();
    assert!(taken < Duration::from_millis(1900), "{taken:?}");
    agent.behave(Behaviour::Take);
    until("the rest is told later", || plugin.count("known") == 101 && plugin.count("untold") == 0).await;
}

#[tokio::test]
async fn the_runtimes_own_time_limit_counts() {
    let node = Node::new();
    let _agent = node.agent(Behaviour::Hang);
    let plugin = node.plugin(&["--grpc-timeout=10s"]);
    plugin.sees_agent("here").await;
    let mut runtime = runtime::accept(&node.path("nri.sock"), Duration::from_secs(1)).await;
    runtime.synchronize(Vec::new(), Vec::new()).await;
    let before = Instant::now();
    runtime.create(&pod("prod"), "c1").await.expect_err("refused");
    let taken = before.elapsed();
    assert!((Duration::from_millis(700)..Duration::from_secs(1)).contains(&taken), "{taken:?}");
}
