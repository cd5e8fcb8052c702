//! The agent cannot be told: who may start is the policy's decision.

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context, Result, ensure};
use tetragon_e2e::kit::Env;
use tetragon_e2e::kit::container::{PodNames, Said};
use tetragon_e2e::kit::hook::OciHook;
use tetragon_e2e::kit::oci::{Engine, Oci, engines};
use tetragon_e2e::kit::podman::Podman;

/// Options of the hook, the namespace of the pod, whether its containers may start.
const POLICIES: &[(&[&str], &str, bool)] = &[
    (&[], "shop", false),
    (&[], "kube-system", true),
    (&["--fail-allow-namespaces=shop,lab"], "lab", true),
    (&["--fail-allow-namespaces=shop,lab"], "kube-system", false),
    (&[r#"--fail-cel-expr=annotations["io.kubernetes.pod.namespace"] == "shop""#], "shop", false),
    (&[r#"--fail-cel-expr=annotations["io.kubernetes.pod.namespace"] == "shop""#], "lab", true),
    // An expression that cannot be evaluated refuses.
    (&[r#"--fail-cel-expr=annotations["nothing"] == "x""#], "lab", false),
];

fn with_options(hook: OciHook, options: &[&str]) -> OciHook {
    options.iter().fold(hook, |hook, option| hook.option(*option))
}

/// Fails unless a container was let through, or refused with words that help.
fn check(said: &Said, may_start: bool, options: &[&str], namespace: &str) -> Result<()> {
    let case = || format!("{options:?} for a pod of {namespace}: {said:?}");
    if may_start {
        ensure!(said.status.success(), "was refused: {}", case());
        return Ok(());
    }
    ensure!(!said.status.success(), "was let through: {}", case());
    for word in ["tetragon", namespace] {
        ensure!(said.errors.to_lowercase().contains(word), "{word:?} is not said: {}", case());
    }
    Ok(())
}

pub(super) fn podman_refuses_while_the_agent_is_absent(env: &Env) -> Result<()> {
    let podman = Podman::new(env)?;
    let shared = env.file("shared");
    fs::create_dir(&shared)?;
    let report = shared.join("ran").to_string_lossy().into_owned();
    for (number, (options, namespace, may_start)) in POLICIES.iter().enumerate() {
        let hook = with_options(OciHook::new(env, &env.file("nobody.sock"))?, options);
        podman.create_runtime_hook("tetragon", &hook.line())?;
        let pod = PodNames::new(namespace, "till")?;
        let said = podman
            .container(&format!("c{number}"))
            .pod(&pod)
            .sharing(&shared)
            .run(["report", &report, "exit", "0"])?;
        check(&said, *may_start, options, namespace)?;
    }
    let ran = env.reported("shared/ran")?.len();
    let expected = POLICIES.iter().filter(|(_, _, may_start)| *may_start).count();
    ensure!(ran == expected, "{ran} programs of containers ran, not {expected}");
    podman.remove_all()?;
    podman.expect_nothing_left()
}

/// An agent that is absent, hangs, or breaks off.
///
/// The listener, as long as it lives, takes up the connections of the one that hangs.
fn silent_agents(env: &Env) -> Result<(UnixListener, [(&'static str, PathBuf); 3])> {
    let (hanging, closing) = (env.file("hanging.sock"), env.file("closing.sock"));
    let silent = UnixListener::bind(&hanging).context("listen")?;
    let listener = UnixListener::bind(&closing).context("listen")?;
    thread::spawn(move || listener.incoming().for_each(drop));
    Ok((silent, [("absent", env.file("nobody.sock")), ("hanging", hanging), ("closing", closing)]))
}

pub(super) fn a_policy_decides_while_the_agent_is_silent(env: &Env) -> Result<()> {
    let (_silent, agents) = silent_agents(env)?;
    for engine in engines(env) {
        let oci = Oci::new(env, *engine)?;
        for (how, socket) in &agents {
            for (namespace, may_start) in [("shop", false), ("kube-system", true)] {
                let said = start(env, &oci, socket, namespace)?;
                check(&said, may_start, &[*how], namespace)
                    .with_context(|| format!("{engine}, agent {how}"))?;
            }
        }
        oci.expect_nothing_left()?;
    }
    Ok(())
}

fn start(env: &Env, oci: &Oci<'_>, socket: &Path, namespace: &str) -> Result<Said> {
    let hook = OciHook::new(env, socket)?.option("--grpc-timeout=1s");
    let pod = PodNames::new(namespace, "till")?;
    let bundle = oci.bundle(["exit", "0"])?.pod(&pod).create_runtime_hook(&hook.line())?;
    let mut said = oci.run(&bundle)?;
    oci.delete(bundle.id())?;
    if oci.engine() == Engine::Crun {
        // It throws away what hooks say: only the hook's log tells why.
        said.errors.push_str(&hook.log());
    }
    Ok(said)
}
