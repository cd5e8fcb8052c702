//! A containerd, an agent and the plugin between them, any of which may be taken away.

use std::cell::Cell;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use tetragon_e2e::kit::container::{Owner, PodNames};
use tetragon_e2e::kit::containerd::{ACTOR, Containerd, Options, Version};
use tetragon_e2e::kit::cri::{ContainerSpec, Cri, Pod, PodSpec};
use tetragon_e2e::kit::{Agent, Env, Fact, Launch, NriHook, Truth, exec};

use super::trouble::{Substitute, Trouble};
use crate::runtimes::nothing_is_left;

/// A namespace whose containers may not start without the agent.
pub(super) const SHOP: &str = "shop";
/// One whose containers may: the first with what [`BY_NAMESPACE`] says.
pub(super) const OPEN: &str = "open";
pub(super) const BY_NAMESPACE: &str = "--fail-allow-namespaces=open";

const PROGRAM: &str = "/actor";
/// For a program that ends at once.
const CALL_CAP: Duration = Duration::from_secs(30);
/// Kilobytes per processor for the kernel's own trace.
const TRACE: u32 = 8 * 1024;
/// The hook's own time is meant for slower agents than it meets here.
const HOOK_SETTINGS: &str = r#"{ "grpc_timeout": "2s" }"#;

/// A pod with one container.
pub(super) struct Web {
    pod: Pod,
    names: PodNames,
    /// How often it has been created.
    attempts: Cell<u32>,
}

impl Web {
    /// Namespace and name, as messages have them.
    pub(super) fn shown(&self) -> String {
        format!("{}/{}", self.names.namespace, self.names.pod)
    }
}

/// A time in which the agent cannot be told.
pub(super) struct Outage {
    trouble: Trouble,
    substitute: Option<Substitute>,
}

pub(super) struct Node<'env> {
    env: &'env Env,
    pub(super) containerd: Containerd,
    cri: Cri,
    launch: Launch<'env>,
    socket: PathBuf,
    agent: Option<Agent>,
    hook: Option<NriHook>,
    truth: Truth,
    /// Programs that must have run in containers by now.
    runs: Cell<usize>,
}

impl<'env> Node<'env> {
    /// A node with nothing but a containerd.
    pub(super) fn bare(env: &'env Env, version: Version, options: &Options) -> Result<Self> {
        let containerd = Containerd::start(env, "node", version, options)?;
        let cri = containerd.cri()?;
        let socket = env.file("agent.sock");
        let launch = Launch::new(env)?.serving(&socket);
        let truth = Truth::record(TRACE)?;
        let (agent, hook, runs) = (None, None, Cell::new(0));
        Ok(Self { env, containerd, cri, launch, socket, agent, hook, truth, runs })
    }

    /// One with an agent, too.
    pub(super) fn start(env: &'env Env, version: Version, options: &Options) -> Result<Self> {
        let mut node = Self::bare(env, version, options)?;
        node.start_agent()?;
        Ok(node)
    }

    /// A copy of the OCI hook, which keeps settings and log beside itself; as the plugin's argument.
    pub(super) fn with_oci_hook(&self) -> Result<String> {
        let path = self.env.file("tetragon-oci-hook");
        fs::copy(self.env.binary("tetragon-oci-hook")?, &path).context("copy the hook")?;
        fs::write(self.env.file("tetragon-oci-hook.json"), HOOK_SETTINGS)?;
        Ok(format!("--oci-hook-path={}", path.display()))
    }

    pub(super) fn start_agent(&mut self) -> Result<()> {
        self.agent = Some(self.launch.start()?);
        Ok(())
    }

    pub(super) fn kill_agent(&mut self) -> Result<()> {
        self.agent.take().context("no agent runs")?.kill()?;
        fs::remove_file(&self.socket).context("remove the killed agent's socket")
    }

    /// Starts the plugin, where an agent runs or not.
    pub(super) fn start_hook<'a>(&mut self, arguments: impl IntoIterator<Item = &'a str>) -> Result<()> {
        let hook = NriHook::start_before_agent(self.env, &self.containerd, &self.socket, arguments)?;
        self.hook = Some(hook);
        if self.agent.is_some() { self.all_is_told() } else { Ok(()) }
    }

    pub(super) fn hook(&self) -> Result<&NriHook> {
        self.hook.as_ref().context("no plugin runs")
    }

    pub(super) fn kill_hook(&mut self) -> Result<()> {
        self.hook.take().context("no plugin runs")?.kill()
    }

    /// Waits until the agent knows everything that exists.
    pub(super) fn all_is_told(&self) -> Result<()> {
        let told = |status: &serde_json::Value| {
            status["runtime_connected"] == true && status["agent"] == "here" && status["untold"] == 0
        };
        self.hook()?.status_where("everything to be told to the agent", told).map(drop)
    }

    /// Lets a trouble arise.
    pub(super) fn arise(&mut self, trouble: Trouble) -> Result<Outage> {
        let before = self.hook()?.status()?["agent_generation"].as_u64();
        if trouble == Trouble::Stopped {
            self.agent.as_ref().context("no agent runs")?.signal(Signal::STOP)?;
        } else {
            self.kill_agent()?;
        }
        let substitute = Substitute::begin(trouble, &self.socket)?;
        // Of what is really gone or stopped the plugin finds out by itself, at the worst moment.
        match trouble {
            Trouble::Absent | Trouble::Stopped => {}
            Trouble::Hanging => {
                self.hook()?.status_where("the silence to be noticed", |it| it["agent"] == "silent")?;
            }
            Trouble::HangingInHooks | Trouble::Answering(_) => {
                self.hook()?.status_where("the new agent to be found", |it| {
                    it["agent"] == "here" && it["agent_generation"].as_u64() > before
                })?;
            }
        }
        Ok(Outage { trouble, substitute })
    }

    /// Ends the trouble, and waits until the agent knows what it missed.
    pub(super) fn mend(&mut self, outage: Outage) -> Result<()> {
        let Outage { trouble, substitute } = outage;
        if trouble == Trouble::Stopped {
            self.agent.as_ref().context("no agent runs")?.signal(Signal::CONT)?;
        } else {
            if substitute.is_some() {
                drop(substitute);
                fs::remove_file(&self.socket).context("remove the substitute's socket")?;
            }
            self.start_agent()?;
        }
        self.all_is_told()
    }

    /// Runs a pod whose container is still to be created.
    pub(super) fn pod(&self, namespace: &str, name: &str) -> Result<Web> {
        self.pod_with(PodSpec::new(namespace, name))
    }

    pub(super) fn pod_with(&self, spec: PodSpec) -> Result<Web> {
        let names = PodNames::new(&spec.namespace, &spec.name)?;
        let pod = self.cri.run_pod(&PodSpec { uid: names.uid.clone(), ..spec })?;
        Ok(Web { pod, names, attempts: Cell::new(0) })
    }

    /// Creates a pod's container, once more if need be.
    pub(super) fn create(&self, web: &Web) -> Result<Owner> {
        let attempt = web.attempts.get();
        web.attempts.set(attempt + 1);
        let command = ["/actor", "until-terminated"];
        let spec = ContainerSpec { attempt, ..ContainerSpec::new(&web.names.container, ACTOR, command) };
        let id = self.cri.create(&web.pod, &spec)?;
        Ok(Owner { id, pod: Some(web.names.clone()) })
    }

    pub(super) fn start_container(&self, owner: &Owner) -> Result<()> {
        self.cri.start(&owner.id)?;
        self.runs.set(self.runs.get() + 1);
        Ok(())
    }

    /// Creates a pod's container and lets it run.
    pub(super) fn run(&self, web: &Web) -> Result<Owner> {
        let owner = self.create(web)?;
        self.start_container(&owner)?;
        Ok(owner)
    }

    /// Fails unless a program that is executed in the container now is told as the container's, by the kernel.
    pub(super) fn is_known(&self, owner: &Owner) -> Result<()> {
        let events = self.agent.as_ref().context("no agent runs")?.events()?;
        let tag = format!("visit-{}", self.runs.get());
        let answer = self.cri.exec(&owner.id, [PROGRAM, "exit", "0", &tag], CALL_CAP)?;
        ensure!(answer.exit_code == 0, "{answer:?}");
        self.runs.set(self.runs.get() + 1);
        let event = events.expect(&exec().binary(PROGRAM).arguments(format!("exit 0 {tag}")))?;
        owner.check_in_kernel(&event).with_context(|| format!("{owner:?}"))
    }

    pub(super) fn record(&self, name: impl Into<String>, time: Duration) {
        self.env.record(name, time.as_secs_f64());
    }

    /// Ends all parts. Fails if another number of programs ran in containers than were let through.
    pub(super) fn finish(self) -> Result<()> {
        let facts = self.truth.finish()?;
        let program = |fact: &&Fact| matches!(fact, Fact::Exec { filename, .. } if filename == PROGRAM);
        let (ran, allowed) = (facts.iter().filter(program).count(), self.runs.get());
        ensure!(ran == allowed, "{ran} programs ran in containers, {allowed} were let through");
        self.env.record("programs of containers", ran as f64);
        if let Some(hook) = self.hook {
            hook.stop()?;
        }
        self.containerd.stop()?;
        if let Some(agent) = self.agent {
            agent.stop()?;
        }
        nothing_is_left(self.env)
    }
}

/// Fails unless something was refused with all these words.
pub(super) fn refused<T>(outcome: Result<T>, words: &[&str]) -> Result<()> {
    let error = outcome.err().context("it was let through")?;
    let text = format!("{error:#}");
    for word in words {
        ensure!(text.contains(word), "a refusal that does not say {word:?}: {text}");
    }
    Ok(())
}
