//! Containers made by a low-level runtime, runc or crun, straight from a bundle: what a container engine does, without
//! one.

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use oci_spec::runtime::{Hook, LinuxNamespaceType, MountBuilder, Spec};
use serde::Deserialize;

use super::container::{self, ACTOR, PodNames, Said};
use super::{Env, cgroups};

/// Which low-level runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// runc, in Go: executes itself a second time inside the container's cgroup.
    Runc,
    /// crun, in C: refuses hybrid cgroups, so it is for virtual machines.
    Crun,
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Runc => "runc",
            Self::Crun => "crun",
        })
    }
}

/// The runtimes that work at this place.
pub fn engines(env: &Env) -> &'static [Engine] {
    if env.place().is_native() { &[Engine::Runc] } else { &[Engine::Runc, Engine::Crun] }
}

/// A runtime with its state in the test's directory.
pub struct Oci<'env> {
    env: &'env Env,
    engine: Engine,
    program: PathBuf,
    state: PathBuf,
    rootfs: PathBuf,
}

/// What the runtime tells about a container.
#[derive(Debug, Clone, Deserialize)]
pub struct State {
    /// Its first process, 0 once that has ended.
    #[serde(default)]
    pub pid: u32,
    /// `created`, `running`, `stopped`.
    pub status: String,
}

impl<'env> Oci<'env> {
    /// Gets the runtime ready.
    pub fn new(env: &'env Env, engine: Engine) -> Result<Self> {
        let state = env.file(format!("{engine}-state"));
        fs::create_dir_all(&state)?;
        Ok(Self {
            env,
            engine,
            program: container::program(env, &engine.to_string())?,
            state,
            rootfs: container::rootfs(env)?,
        })
    }

    /// Which runtime it is.
    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// A bundle with a new id; its container performs these verbs of the actor.
    pub fn bundle<S: AsRef<str>>(&self, verbs: impl IntoIterator<Item = S>) -> Result<Bundle> {
        let id = container::new_id()?;
        let verbs = verbs.into_iter().map(|verb| verb.as_ref().to_owned());
        let args = [ACTOR.to_owned()].into_iter().chain(verbs).collect();
        let mut spec = Spec::default();
        let root = spec.root_mut().as_mut().context("a specification without root")?;
        root.set_path(self.rootfs.clone()).set_readonly(Some(false));
        let process = spec.process_mut().as_mut().context("a specification without process")?;
        process.set_args(Some(args));
        let cgroup = format!("{}/{id}", self.env.cgroup()?);
        Bundle { dir: self.env.file(format!("bundle-{id}")), id, spec }.cgroup(&cgroup)
    }

    fn command<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--root").arg(&self.state).args(words);
        command.stdin(Stdio::null()).current_dir(self.env.dir());
        command
    }

    fn with_bundle(&self, verb: &str, bundle: &Bundle) -> Result<Command> {
        bundle.write()?;
        let mut command = self.command([verb, "--bundle"]);
        command.arg(&bundle.dir);
        if !self.env.place().is_native() {
            // The root of an initramfs cannot be pivoted.
            command.arg("--no-pivot");
        }
        command.arg(&bundle.id);
        Ok(command)
    }

    /// Runs a container from beginning to end; the status is the container's.
    pub fn run(&self, bundle: &Bundle) -> Result<Said> {
        Said::by(&mut self.with_bundle("run", bundle)?)
    }

    /// Makes a container up to its own program. A refusal is no error here.
    pub fn try_create(&self, bundle: &Bundle) -> Result<Said> {
        // The container keeps the descriptors of whoever makes it: a pipe would not end before the container does.
        let [output, errors] =
            ["output", "errors"].map(|name| self.env.file(format!("{}.{name}", bundle.id)));
        let mut command = self.with_bundle("create", bundle)?;
        command.stdout(fs::File::create(&output)?).stderr(fs::File::create(&errors)?);
        let status = command.status().with_context(|| format!("start {}", self.engine))?;
        Ok(Said { status, output: fs::read_to_string(output)?, errors: fs::read_to_string(errors)? })
    }

    /// Makes a container up to its own program.
    pub fn create(&self, bundle: &Bundle) -> Result<State> {
        self.try_create(bundle)?.expect_code(0)?;
        self.state(&bundle.id)
    }

    /// Lets the program of a created container begin.
    pub fn start(&self, id: &str) -> Result<()> {
        Said::by(&mut self.command(["start", id]))?.expect_code(0).map(drop)
    }

    /// Runs the actor in a running container, and waits for its end.
    pub fn exec<S: AsRef<OsStr>>(&self, id: &str, verbs: impl IntoIterator<Item = S>) -> Result<Said> {
        Said::by(self.command(["exec", id, ACTOR]).args(verbs))
    }

    /// What the runtime knows about a container.
    pub fn state(&self, id: &str) -> Result<State> {
        let said = Said::by(&mut self.command(["state", id]))?.expect_code(0)?;
        serde_json::from_str(&said.output).with_context(|| format!("state of {id}: {}", said.output))
    }

    /// Waits until the container's program has ended.
    pub fn wait_stopped(&self, id: &str) -> Result<()> {
        self.env.eventually("the end of a container", std::time::Duration::from_secs(20), || {
            Ok((self.state(id)?.status == "stopped").then_some(()))
        })
    }

    /// Kills a container, if it still runs, and removes it.
    pub fn delete(&self, id: &str) -> Result<()> {
        Said::by(&mut self.command(["delete", "--force", id]))?.expect_code(0).map(drop)
    }

    /// The ids of the containers that the runtime knows.
    pub fn list(&self) -> Result<Vec<String>> {
        let entries = fs::read_dir(&self.state)?;
        entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }

    /// Fails if a container, or a cgroup of one, is left.
    pub fn expect_nothing_left(&self) -> Result<()> {
        let containers = self.list()?;
        ensure!(containers.is_empty(), "{} still knows {containers:?}", self.engine);
        let parent = self.env.cgroup()?;
        let left = cgroups::existing(&parent)?;
        let left: Vec<&PathBuf> =
            left.iter().filter(|directory| !directory.ends_with(&parent[1..])).collect();
        ensure!(left.is_empty(), "cgroups are left: {left:?}");
        Ok(())
    }
}

/// A container to be: its id, and the `config.json` that describes it.
#[derive(Debug, Clone)]
pub struct Bundle {
    id: String,
    dir: PathBuf,
    spec: Spec,
}

impl Bundle {
    /// The container's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The directory of `config.json`, written when the container is made.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// All that `config.json` will say, for what has no method here.
    pub fn spec_mut(&mut self) -> &mut Spec {
        &mut self.spec
    }

    /// Puts the container into this cgroup, below the root of each hierarchy (the form of the cgroupfs driver; the
    /// path may be one that the systemd driver would make, `/kubepods.slice/…/crio-<id>.scope`).
    pub fn cgroup(mut self, path: &str) -> Result<Self> {
        let linux = self.spec.linux_mut().as_mut().context("a specification without Linux")?;
        linux.set_cgroups_path(Some(path.into()));
        Ok(self)
    }

    /// The path given with [`cgroup`](Self::cgroup).
    pub fn cgroups_path(&self) -> Result<&str> {
        let path = self.spec.linux().as_ref().and_then(|linux| linux.cgroups_path().as_ref());
        path.and_then(|path| path.to_str()).context("no cgroups path")
    }

    /// Adds an annotation.
    #[must_use]
    pub fn annotation(mut self, key: &str, value: &str) -> Self {
        self.spec.annotations_mut().get_or_insert_default().insert(key.to_owned(), value.to_owned());
        self
    }

    /// Adds the annotations of a container of this pod.
    #[must_use]
    pub fn pod(self, pod: &PodNames) -> Self {
        pod.annotations().into_iter().fold(self, |bundle, (key, value)| bundle.annotation(key, value))
    }

    /// Adds a hook that runs when the container's cgroup and first process exist, before its own program: `line` is
    /// the program and its arguments.
    pub fn create_runtime_hook(mut self, line: &[&str]) -> Result<Self> {
        let mut hook = Hook::default();
        hook.set_path(line.first().context("a hook without program")?.into());
        hook.set_args(Some(line.iter().map(|&word| word.to_owned()).collect()));
        let hooks = self.spec.hooks_mut().get_or_insert_default();
        hooks.create_runtime_mut().get_or_insert_default().push(hook);
        Ok(self)
    }

    /// Mounts a file or directory of this machine.
    pub fn bind(self, from: &Path, at: &str) -> Result<Self> {
        self.mount("bind", &from.to_string_lossy(), at, &["rbind", "rw"])
    }

    /// Mounts a file system.
    pub fn mount(mut self, kind: &str, from: &str, at: &str, options: &[&str]) -> Result<Self> {
        let options: Vec<String> = options.iter().map(|&option| option.to_owned()).collect();
        let mount =
            MountBuilder::default().typ(kind).source(from).destination(at).options(options).build()?;
        let mounts = self.spec.mounts_mut().get_or_insert_default();
        // The later of two at one place would hide the first.
        mounts.retain(|other| other.destination() != mount.destination());
        mounts.push(mount);
        Ok(self)
    }

    /// The cgroup hierarchy of version 2 at `/sys/fs/cgroup`, for the container to change.
    pub fn writable_cgroups(self) -> Result<Self> {
        self.mount("cgroup2", "cgroup2", "/sys/fs/cgroup", &["nosuid", "noexec", "nodev", "rw"])
    }

    /// Lets the container share this namespace with the machine.
    pub fn sharing(mut self, kind: LinuxNamespaceType) -> Result<Self> {
        let linux = self.spec.linux_mut().as_mut().context("a specification without Linux")?;
        linux.namespaces_mut().get_or_insert_default().retain(|namespace| namespace.typ() != kind);
        Ok(self)
    }

    fn write(&self) -> Result<()> {
        fs::create_dir_all(&self.dir)?;
        self.spec.save(self.dir.join("config.json")).context("write config.json")
    }
}
