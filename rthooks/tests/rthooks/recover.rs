//! The agent or the runtime goes and comes back.

use tetragon_api::tetragon::RuntimeHookStage::{self, Announce, Running};

use crate::agent::{Agent, Behaviour};
use crate::node::{Node, Plugin, until};
use crate::runtime::{Runtime, container, pod};

async fn begin(node: &Node, behaviour: Behaviour) -> (Agent, Plugin, Runtime) {
    let agent = node.agent(behaviour);
    let plugin = node.plugin(&["--fail-allow-namespaces=free"]);
    let mut runtime = node.runtime().await;
    runtime.synchronize(Vec::new(), Vec::new()).await;
    plugin.sees_agent("here").await;
    (agent, plugin, runtime)
}

fn ids(taken: &[(RuntimeHookStage, String)]) -> Vec<(RuntimeHookStage, &str)> {
    let mut ids: Vec<_> = taken.iter().map(|(stage, id)| (*stage, id.as_str())).collect();
    ids.sort_unstable_by_key(|(_, id)| *id);
    ids
}

#[tokio::test]
async fn a_new_agent_is_told_all_that_exists_before_what_is_new() {
    let node = Node::new();
    let (agent, plugin, mut runtime) = begin(&node, Behaviour::Take).await;
    let pod = pod("free");
    runtime.run_pod(&pod).await;
    for id in ["created", "gone", "running"] {
        runtime.create(&pod, id).await.expect("taken");
    }
    for id in ["gone", "running"] {
        runtime.start(&pod, id).await.expect("taken");
    }
    drop(agent);
    plugin.sees_agent("away").await;
    runtime.remove(&pod, "gone").await;
    runtime.create(&pod, "unseen").await.expect("let through");
    runtime.start(&pod, "unseen").await.expect("let through");
    assert_eq!(node.notes(), ["unseen"]);

    let agent = node.agent(Behaviour::Take);
    runtime.create(&pod, "new").await.expect("taken");
    let taken = agent.taken();
    assert_eq!(taken.last().expect("some").1, "new");
    let all = [
        (Announce, "created"),
        (Announce, "new"),
        (Running, "running"),
        (Running, pod.id.as_str()),
        (Running, "unseen"),
    ];
    assert_eq!(ids(&taken), all);
    until("counted", || plugin.count("replayed") == 4 && plugin.count("untold") == 0).await;
    assert_eq!((plugin.count("agent_lost"), plugin.count("agent_generation")), (1, 2));
    until("no note is left", || node.notes().is_empty()).await;
}

#[tokio::test]
async fn an_agent_that_was_away_for_a_moment_is_told_again() {
    let node = Node::new();
    let (agent, plugin, mut runtime) = begin(&node, Behaviour::Take).await;
    runtime.create(&pod("prod"), "c1").await.expect("taken");
    runtime.start(&pod("prod"), "c1").await.expect("taken");
    drop(agent);
    let agent = node.agent(Behaviour::Take);
    until("told", || ids(&agent.taken()) == [(Running, "c1")]).await;
    until("seen", || plugin.count("agent_generation") >= 2).await;
}

#[tokio::test]
async fn an_agent_that_goes_on_after_a_stop_is_told_what_it_missed() {
    for trouble in [Behaviour::Hang, Behaviour::HangWholly, Behaviour::Fail(tonic::Code::Unavailable)] {
        let node = Node::new();
        let (agent, plugin, mut runtime) = begin(&node, Behaviour::Take).await;
        agent.behave(trouble);
        runtime.create(&pod("free"), "c1").await.expect("let through");
        runtime.start(&pod("free"), "c1").await.expect("let through");
        until("noted", || node.notes() == ["c1"]).await;
        agent.behave(Behaviour::Take);
        until("told", || agent.told(Running, "c1").is_some()).await;
        until("counted", || plugin.count("replayed") >= 1 && plugin.count("untold") == 0).await;
        until("no note is left", || node.notes().is_empty()).await;
    }
}

#[tokio::test]
async fn a_container_that_has_ended_meanwhile_is_forgotten() {
    let node = Node::new();
    let (agent, plugin, mut runtime) = begin(&node, Behaviour::Take).await;
    runtime.create(&pod("prod"), "c1").await.expect("taken");
    runtime.start(&pod("prod"), "c1").await.expect("taken");
    drop(agent);
    let _agent = node.agent(Behaviour::Fail(tonic::Code::NotFound));
    until("forgotten", || plugin.count("replay_gone") == 1 && plugin.count("known") == 0).await;
}

#[tokio::test]
async fn an_agent_that_does_not_take_a_container_is_not_asked_for_ever() {
    let node = Node::new();
    let (agent, plugin, mut runtime) = begin(&node, Behaviour::Take).await;
    runtime.create(&pod("prod"), "c1").await.expect("taken");
    drop(agent);
    let agent = node.agent(Behaviour::Fail(tonic::Code::InvalidArgument));
    until("refused", || plugin.count("replay_failed") == 1).await;
    agent.behave(Behaviour::Take);
    runtime.create(&pod("prod"), "c2").await.expect("taken");
    assert_eq!(ids(&agent.taken()), [(Announce, "c2")]);
    assert_eq!(plugin.count("replay_failed"), 1);
}

#[tokio::test]
async fn what_started_while_the_runtime_was_lost_is_recovered_and_counted() {
    let node = Node::new();
    let (agent, plugin, mut runtime) = begin(&node, Behaviour::Take).await;
    let pod = pod("prod");
    runtime.run_pod(&pod).await;
    for id in ["stays", "starts", "goes"] {
        runtime.create(&pod, id).await.expect("taken");
    }
    runtime.start(&pod, "stays").await.expect("taken");
    drop(runtime);
    let mut runtime = node.runtime().await;
    let containers = ["stays", "starts", "new"].map(|id| container(&pod, id)).into();
    runtime.synchronize(vec![pod.clone()], containers).await;
    for id in ["starts", "new"] {
        assert!(agent.told(Running, id).is_some(), "{id}");
    }
    assert!(agent.told(Running, "stays").is_none(), "the agent knows it");
    until("told of its end", || agent.removed() == ["goes"]).await;
    until("counted", || plugin.count("recovered") == 2 && plugin.count("nri_registrations") == 2).await;
    assert_eq!((plugin.count("known"), plugin.count("replayed")), (4, 2));
}

#[tokio::test]
async fn the_plugin_may_come_before_agent_and_runtime() {
    let node = Node::new();
    let plugin = node.plugin(&["--fail-allow-namespaces=free"]);
    plugin.sees_agent("away").await;
    let mut runtime = node.runtime().await;
    let pod = pod("free");
    runtime.synchronize(vec![pod.clone()], vec![container(&pod, "old")]).await;
    runtime.create(&pod, "new").await.expect("let through");
    assert_eq!(node.notes(), ["new"]);
    let agent = node.agent(Behaviour::Take);
    until("told", || agent.taken().len() == 3).await;
    assert_eq!(ids(&agent.taken()), [(Announce, "new"), (Running, "old"), (Running, pod.id.as_str())]);
    until("counted", || plugin.count("untold") == 0 && plugin.count("spooled") == 1).await;
}
