//! Containers made by podman, which honours directories of OCI hooks the way CRI-O does.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::json;

use super::container::{self, PodNames, Said};
use super::{Env, cgroups, mounts, process};
use crate::place::Place;

const IMAGE: &str = "localhost/actor:1";
/// Podman does not tell its clean-up of another directory for runc's state, so the usual one is hidden from the machine.
const RUNC_STATE: &str = "/run/runc";
/// Native time that monitors take to clean up behind their containers.
const MONITORS_END_CAP: Duration = Duration::from_secs(10);

/// A podman that knows nothing of the machine's: storage, state, configuration and hooks are in the test's directory.
pub struct Podman {
    place: Place,
    program: PathBuf,
    dir: PathBuf,
    /// Of the cgroups of all containers.
    parent: String,
}

/// What podman tells about a container.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Inspected {
    /// 64 hexadecimal digits.
    pub id: String,
    /// How it is.
    pub state: InspectedState,
}

/// What podman tells about a container's processes.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct InspectedState {
    /// The first process; 0 once that has ended.
    pub pid: u32,
    /// The monitor; 0 once that has ended.
    #[serde(default)]
    pub conmon_pid: u32,
    /// `created`, `running`, `exited`.
    pub status: String,
    /// Of the first process, once that has ended.
    pub exit_code: i32,
}

impl Podman {
    /// Gets podman ready, with an image that holds the actor.
    pub fn new(env: &Env) -> Result<Self> {
        for package in ["conmon", "runc"] {
            container::program(env, package)?;
        }
        let podman = Self {
            place: env.place(),
            program: container::program(env, "podman")?,
            dir: env.file("podman"),
            parent: env.cgroup()?,
        };
        for directory in ["hooks", "net", "image"] {
            fs::create_dir_all(podman.dir.join(directory))?;
        }
        mounts::mount_at("tmpfs", RUNC_STATE)?;
        podman.configure()?;
        podman.import_image(&container::rootfs(env)?)?;
        Ok(podman)
    }

    fn configure(&self) -> Result<()> {
        // The limits are those that any machine allows; the locks would otherwise be shared with the machine's podman.
        let configuration = format!(
            r#"[containers]
cgroupns = "host"
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
log_driver = "none"
netns = "none"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
lock_type = "file"
runtime = "runc"
[network]
network_backend = "cni"
network_config_dir = "{dir}/net"
"#,
            dir = self.dir.display()
        );
        fs::write(self.dir.join("containers.conf"), configuration)?;
        let storage = format!(
            "[storage]\ndriver = \"vfs\"\nrunroot = \"{dir}/runroot\"\ngraphroot = \"{dir}/root\"\n",
            dir = self.dir.display()
        );
        fs::write(self.dir.join("storage.conf"), storage)?;
        fs::write(self.dir.join("policy.json"), r#"{"default":[{"type":"insecureAcceptAnything"}]}"#)?;
        Ok(())
    }

    /// An image is an archive of the root of its containers.
    fn import_image(&self, root: &Path) -> Result<()> {
        let archive = self.dir.join("image.tar");
        let tar = crate::host::binaries::system("tar", "tar")?;
        Said::by(Command::new(tar).arg("-C").arg(root).arg("-cf").arg(&archive).arg("."))?.expect_code(0)?;
        let entry = format!("ENTRYPOINT [\"{}\"]", container::ACTOR);
        self.say(self.command(["import", "--quiet", "--change", &entry]).arg(archive).arg(IMAGE)).map(drop)
    }

    /// A command of this podman.
    pub fn command<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Command {
        let at = |name: &str| self.dir.join(name);
        let mut command = Command::new(&self.program);
        command
            .env("CONTAINERS_CONF", at("containers.conf"))
            .env("CONTAINERS_STORAGE_CONF", at("storage.conf"));
        command.env("TMPDIR", &self.dir).env("HOME", &self.dir).env("XDG_RUNTIME_DIR", at("run"));
        for (option, directory) in
            [("--root", "root"), ("--runroot", "runroot"), ("--tmpdir", "tmp"), ("--hooks-dir", "hooks")]
        {
            command.arg(option).arg(at(directory));
        }
        command.args(["--storage-driver", "vfs", "--runtime", "runc", "--cgroup-manager", "cgroupfs"]);
        command.args(words).stdin(Stdio::null()).current_dir(&self.dir);
        command
    }

    fn say(&self, command: &mut Command) -> Result<Said> {
        Said::by(command)?.expect_code(0)
    }

    /// Where hooks are looked for; what is here when a container is made takes part in it.
    pub fn hooks(&self) -> PathBuf {
        self.dir.join("hooks")
    }

    /// Adds a hook that runs when a container's cgroup and first process exist: `line` is the program and its
    /// arguments.
    pub fn create_runtime_hook<S: AsRef<str>>(&self, name: &str, line: &[S]) -> Result<()> {
        let line: Vec<&str> = line.iter().map(AsRef::as_ref).collect();
        let hook = json!({
            "version": "1.0.0",
            "hook": { "path": line.first().context("a hook without program")?, "args": line },
            "when": { "always": true },
            "stages": ["createRuntime"],
        });
        fs::write(self.hooks().join(name).with_extension("json"), hook.to_string()).context("write a hook")
    }

    /// A container to be made.
    pub fn container(&self, name: &str) -> Container<'_> {
        let container = Container { podman: self, name: name.to_owned(), options: Vec::new() };
        container.cgroup_parent(&self.parent)
    }

    /// Starts a container that has been made.
    pub fn start(&self, name: &str) -> Result<()> {
        self.say(&mut self.command(["start", name])).map(drop)
    }

    /// Ends a container at once, and waits until it has ended.
    pub fn stop(&self, name: &str) -> Result<()> {
        self.say(&mut self.command(["stop", "--time", "0", name])).map(drop)
    }

    /// Waits for the end of a container; its exit status.
    pub fn wait(&self, name: &str) -> Result<i32> {
        let said = self.say(&mut self.command(["wait", name]))?;
        said.output.trim().parse().with_context(|| format!("exit status {:?}", said.output))
    }

    /// Ends a container if it runs, and removes it.
    pub fn remove(&self, name: &str) -> Result<()> {
        self.say(&mut self.command(["rm", "--force", "--time", "0", name])).map(drop)
    }

    /// The same of all containers.
    pub fn remove_all(&self) -> Result<()> {
        self.say(&mut self.command(["rm", "--force", "--all", "--time", "0"])).map(drop)
    }

    /// Runs the actor in a running container, and waits for its end.
    pub fn exec<S: AsRef<OsStr>>(&self, name: &str, verbs: impl IntoIterator<Item = S>) -> Result<Said> {
        Said::by(self.command(["exec", name, container::ACTOR]).args(verbs))
    }

    /// What podman knows about a container.
    pub fn inspect(&self, name: &str) -> Result<Inspected> {
        let said = self.say(&mut self.command(["container", "inspect", name]))?;
        let mut found: Vec<Inspected> = serde_json::from_str(&said.output).context("understand podman")?;
        found.pop().with_context(|| format!("podman knows no {name}"))
    }

    /// Fails if a container, or a cgroup, process or mount of one, is left.
    pub fn expect_nothing_left(&self) -> Result<()> {
        let known = self.say(&mut self.command(["ps", "--all", "--quiet"]))?.output;
        ensure!(known.is_empty(), "podman still knows:\n{known}");
        let left: Vec<PathBuf> =
            fs::read_dir(RUNC_STATE)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
        ensure!(left.is_empty(), "runc still knows {left:?}");
        let mut left = cgroups::existing(&self.parent)?;
        // The parent stays, and so does the monitors' cgroup: the supervisor removes them.
        left.retain(|directory| !directory.ends_with("conmon") && !directory.ends_with(&self.parent[1..]));
        ensure!(left.is_empty(), "cgroups are left: {left:?}");
        let mounts = fs::read_to_string("/proc/self/mounts")?;
        let ours = self.dir.to_string_lossy();
        let left: Vec<&str> = mounts.lines().filter(|line| line.contains(&*ours)).collect();
        ensure!(left.is_empty(), "mounts are left: {left:#?}");
        let cap = MONITORS_END_CAP * self.place.slowness();
        process::eventually("the end of all monitors", cap, || {
            Ok(cgroups::is_empty(&self.parent)?.then_some(()))
        })
    }
}

/// A container to be made by podman.
pub struct Container<'podman> {
    podman: &'podman Podman,
    name: String,
    options: Vec<String>,
}

impl Container<'_> {
    /// Adds an option of `podman create`.
    #[must_use]
    pub fn option(mut self, option: impl Into<String>) -> Self {
        self.options.push(option.into());
        self
    }

    /// Adds an annotation.
    #[must_use]
    pub fn annotation(self, key: &str, value: &str) -> Self {
        self.option(format!("--annotation={key}={value}"))
    }

    /// Adds the annotations of a container of this pod; podman has none of its own.
    #[must_use]
    pub fn pod(self, pod: &PodNames) -> Self {
        pod.annotations().into_iter().fold(self, |container, (key, value)| container.annotation(key, value))
    }

    /// Shares the network of the machine.
    #[must_use]
    pub fn host_network(self) -> Self {
        self.option("--network=host")
    }

    /// Gives the container this cgroup as its parent instead of the test's; must be below [`Env::cgroup`].
    #[must_use]
    pub fn cgroup_parent(self, path: &str) -> Self {
        self.option(format!("--cgroup-parent={path}"))
    }

    /// Shows a directory of this machine at the same path.
    #[must_use]
    pub fn sharing(self, directory: &Path) -> Self {
        let path = directory.display();
        self.option(format!("--volume={path}:{path}"))
    }

    fn command<S: AsRef<OsStr>>(&self, verb: &[&str], verbs: impl IntoIterator<Item = S>) -> Command {
        let mut command = self.podman.command(verb);
        command.arg("--name").arg(&self.name).args(&self.options).arg(IMAGE).args(verbs);
        command
    }

    /// Lets the container perform these verbs of the actor, and waits for its end: the status is the container's, or
    /// 126 if it was refused. It is there until it is removed.
    pub fn run<S: AsRef<OsStr>>(&self, verbs: impl IntoIterator<Item = S>) -> Result<Said> {
        Said::by(&mut self.command(&["run"], verbs))
    }

    /// Starts it in the background; its id.
    pub fn spawn<S: AsRef<OsStr>>(&self, verbs: impl IntoIterator<Item = S>) -> Result<String> {
        let said = Said::by(&mut self.command(&["run", "--detach"], verbs))?.expect_code(0)?;
        Ok(said.output.trim().to_owned())
    }
}
