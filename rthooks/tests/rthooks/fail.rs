//! What becomes of containers while the agent cannot be told of them.

use std::path::Path;
use std::time::{Duration, Instant};

use nri_plugin::api::PodSandbox;
use tetragon_api::tetragon::RuntimeHookStage::Running;
use tonic::Code;

use crate::agent::{Agent, Behaviour};
use crate::node::{Node, Plugin, REQUEST_TIMEOUT, until};
use crate::runtime::{Runtime, pod};

/// What is wrong with the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    /// No socket.
    Absent,
    /// A socket, and nobody behind it: what a killed agent leaves.
    Dead,
    /// It is stopped: the kernel takes connections, the agent answers nothing.
    Stopped,
    /// It answers other calls, and hooks not at all.
    Hanging,
    Failing(Code),
}

impl Trouble {
    const ALL: [Self; 6] = [
        Self::Absent,
        Self::Dead,
        Self::Stopped,
        Self::Hanging,
        Self::Failing(Code::Internal),
        Self::Failing(Code::Unavailable),
    ];

    async fn arise(self, node: &Node, plugin: &Plugin) -> Option<Agent> {
        let with = |behaviour| Some(node.agent(behaviour));
        let agent = match self {
            Self::Absent => None,
            Self::Dead => {
                drop(std::os::unix::net::UnixListener::bind(node.path("agent.sock")).expect("bound"));
                None
            }
            Self::Stopped => with(Behaviour::HangWholly),
            Self::Hanging => with(Behaviour::Hang),
            Self::Failing(code) => with(Behaviour::Fail(code)),
        };
        plugin
            .sees_agent(match self {
                Self::Absent | Self::Dead => "away",
                Self::Stopped => "silent",
                Self::Hanging | Self::Failing(_) => "here",
            })
            .await;
        agent
    }

    /// What an admin is told.
    fn words(self) -> &'static str {
        match self {
            Self::Absent => "No such file or directory",
            Self::Dead => "Connection refused",
            Self::Stopped | Self::Hanging => "did not answer within",
            Self::Failing(_) => "as the test wants",
        }
    }
}

/// A pod, and flags with which it is let through or refused.
fn cases() -> Vec<(&'static str, PodSandbox, &'static [&'static str], bool)> {
    let with = |key: &str, value: &str| {
        let mut pod = pod("prod");
        pod.annotations.insert(key.to_owned(), value.to_owned());
        pod
    };
    let mut ours = pod("security");
    ours.labels.insert("app.kubernetes.io/name".to_owned(), "tetragon".to_owned());
    const SOURCE: &str = "kubernetes.io/config.source";
    const CEL: &str = r#"--fail-cel-expr=annotations["io.kubernetes.cri.sandbox-namespace"] != "prod""#;
    vec![
        ("by default", pod("prod"), &[], false),
        ("kube-system", pod("kube-system"), &[], true),
        ("by namespace", pod("prod"), &["--fail-allow-namespaces=a,prod"], true),
        ("by another namespace", pod("prod"), &["--fail-allow-namespaces=a"], false),
        ("by pattern", pod("prod"), &["--fail-allow-namespaces-regex=^pr"], true),
        ("by expression", pod("prod"), &[CEL], true),
        ("by expression", pod("kube-system"), &[CEL], false),
        ("static", with(SOURCE, "file"), &[], true),
        ("static, and an expression against it", with(SOURCE, "http"), &["--fail-cel-expr=true"], true),
        ("ours", ours.clone(), &["--own-namespace=security", "--fail-cel-expr=true"], true),
        ("as if ours", ours, &["--own-namespace=tetragon"], false),
        ("fail-open", pod("prod"), &["--fail-open"], true),
    ]
}

async fn begin(node: &Node, flags: &[&str]) -> (Plugin, Runtime) {
    let plugin = node.plugin(flags);
    let mut runtime = node.runtime().await;
    runtime.synchronize(Vec::new(), Vec::new()).await;
    (plugin, runtime)
}

#[tokio::test]
async fn at_creation_the_policy_decides_in_every_trouble() {
    for trouble in Trouble::ALL {
        let node = Node::new();
        let (plugin, mut runtime) = begin(&node, &[]).await;
        let _agent = trouble.arise(&node, &plugin).await;
        for (name, passes) in [("kube-system", true), ("prod", false), ("kube-system", true)] {
            let before = Instant::now();
            let answer = runtime.create(&pod(name), "c1").await;
            let taken = before.elapsed();
            assert!(taken < REQUEST_TIMEOUT * 9 / 10, "{trouble:?} {name}: {taken:?}");
            assert_eq!(answer.is_ok(), passes, "{trouble:?} {name}: {answer:?}");
            if let Err(status) = answer {
                for word in
                    ["nginx", "prod/web-1", trouble.words(), "--fail-allow-namespaces", "tetragon pod"]
                {
                    assert!(status.message.contains(word), "{trouble:?}: no {word:?} in {}", status.message);
                }
                assert_eq!(status.code, nri_plugin::Code::UNAVAILABLE);
            }
        }
        until("counted", || plugin.count("announce_failed") == 3).await;
        assert_eq!((plugin.count("allowed"), plugin.count("refused")), (2, 1), "{trouble:?}");
        assert_eq!(node.notes(), ["c1"], "a note for what passed: {trouble:?}");
    }
}

#[tokio::test]
async fn the_policy_is_that_of_the_flags() {
    for (name, pod, flags, passes) in cases() {
        let node = Node::new();
        let (plugin, mut runtime) = begin(&node, flags).await;
        plugin.sees_agent("away").await;
        let answer = runtime.create(&pod, "c1").await;
        assert_eq!(answer.is_ok(), passes, "{name}: {answer:?}");
        let answer = runtime.start(&pod, "unseen").await;
        assert_eq!(answer.is_ok(), passes, "{name}, at start: {answer:?}");
    }
}

#[tokio::test]
async fn at_start_only_what_no_agent_ever_took_is_refused() {
    for trouble in Trouble::ALL {
        let node = Node::new();
        let agent = node.agent(Behaviour::Take);
        let (plugin, mut runtime) = begin(&node, &[]).await;
        plugin.sees_agent("here").await;
        runtime.create(&pod("prod"), "announced").await.expect("taken");
        drop(agent);
        plugin.sees_agent("away").await;
        std::fs::remove_file(node.path("agent.sock")).expect("there");
        let _agent = trouble.arise(&node, &plugin).await;

        runtime.start(&pod("prod"), "announced").await.unwrap_or_else(|error| panic!("{trouble:?}: {error}"));
        let status = runtime.start(&pod("prod"), "unseen").await.expect_err("refused");
        assert!(status.message.contains(trouble.words()), "{trouble:?}: {}", status.message);
        runtime.start(&pod("kube-system"), "unseen").await.expect("let through");
        until("counted", || plugin.count("verify_failed") == 3).await;
        assert_eq!((plugin.count("allowed"), plugin.count("refused_at_start")), (1, 1), "{trouble:?}");
        assert_eq!(node.notes(), ["announced", "unseen"], "{trouble:?}");
    }
}

#[tokio::test]
async fn a_refused_container_recovers_by_being_created_again() {
    let node = Node::new();
    let (plugin, mut runtime) = begin(&node, &[]).await;
    plugin.sees_agent("away").await;
    let pod = pod("prod");
    runtime.run_pod(&pod).await;
    runtime.create(&pod, "first").await.expect_err("refused");
    // The runtime takes back what it had begun.
    runtime.remove(&pod, "first").await;
    let agent = node.agent(Behaviour::Take);
    // Without waiting: whether the agent is there is found out by the call itself.
    runtime.create(&pod, "second").await.expect("taken");
    runtime.start(&pod, "second").await.expect("taken");
    assert!(agent.told(Running, &pod.id).is_some(), "the sandbox that nobody saw");
    until("counted", || plugin.count("announce_ok") == 1 && plugin.count("known") == 2).await;
    until("no note is left", || node.notes().is_empty()).await;
}

#[tokio::test]
async fn an_agent_that_does_not_answer_holds_the_node_up_once_only() {
    for behaviour in [Behaviour::Hang, Behaviour::HangWholly] {
        let node = Node::new();
        let agent = node.agent(Behaviour::Take);
        let (plugin, mut runtime) = begin(&node, &["--fail-open"]).await;
        plugin.sees_agent("here").await;
        agent.behave(behaviour);
        let mut times = Vec::new();
        for number in 0..4 {
            let before = Instant::now();
            runtime.create(&pod("prod"), &format!("c{number}")).await.expect("let through");
            times.push(before.elapsed());
        }
        let most = Duration::from_millis(1000);
        assert!(times[0] < REQUEST_TIMEOUT * 9 / 10, "{behaviour:?}: {times:?}");
        assert!(times[2..].iter().all(|time| *time < most), "{behaviour:?}: {times:?}");
    }
}

#[tokio::test]
async fn what_is_to_be_refused_without_the_agent_gets_the_hook_as_well() {
    let node = Node::new();
    let _agent = node.agent(Behaviour::Take);
    let (plugin, mut runtime) =
        begin(&node, &["--oci-hook-path=/opt/tetragon/tetragon-oci-hook", "--fail-allow-namespaces=free"])
            .await;
    plugin.sees_agent("here").await;
    let answer = runtime.create(&pod("free"), "c1").await.expect("taken");
    assert_eq!(answer.adjust, None);
    let answer = runtime.create(&pod("prod"), "c2").await.expect("taken");
    let hooks = answer.adjust.and_then(|it| it.hooks).expect("a hook");
    let [hook] = &hooks.create_runtime[..] else { panic!("{hooks:?}") };
    assert!(Path::new(&hook.path).is_absolute());
    assert_eq!(hook.args[..2], ["/opt/tetragon/tetragon-oci-hook", "createRuntime"]);
    assert!(hook.args.contains(&"--fail-allow-namespaces=free".to_owned()), "{:?}", hook.args);
    assert!(hook.args.iter().any(|arg| arg.starts_with("--grpc-address=unix:///")), "{:?}", hook.args);
}
