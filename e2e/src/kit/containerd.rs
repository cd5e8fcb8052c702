//! A containerd of a test's own, with everything it makes inside the test's directory, network and control group.

mod config;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::cgroup::Cgroup;
use super::cri::Cri;
use super::daemon::{Daemon, path_with};
use super::image::Image;
use super::netns::Netns;
use super::process::{self, checked, eventually};
use super::{Env, mounts};
use crate::host::daemons;

const START_CAP: Duration = Duration::from_secs(30);
const STOP_CAP: Duration = Duration::from_secs(20);
/// The image of the process that holds a pod's namespaces.
pub const PAUSE: &str = "localhost/pause:e2e";
/// The image with the actor as `/actor`.
pub const ACTOR: &str = "localhost/actor:e2e";

/// Which containerd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// 2.4, built from source.
    V2_4,
    /// 1.7, as Debian ships it.
    V1_7,
}

/// What pods get that want a network of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Network {
    /// Nothing: all pods have to be on the node's network.
    #[default]
    Node,
    /// An interface on a bridge, by the plugins that Kubernetes documents.
    Bridge,
}

/// How a containerd is set up.
#[derive(Debug, Clone)]
pub struct Options {
    /// Pods' network.
    pub network: Network,
    /// Whether plugins can connect.
    pub nri: bool,
    /// How long a plugin may take to answer before it is closed.
    pub plugin_request_timeout: Duration,
    /// Plugins without which no container is made; only 2.4 knows them.
    pub required_plugins: Vec<String>,
    /// The annotation by which a pod says that it may run without them.
    pub tolerate_missing_plugins_annotation: Option<String>,
    /// Directory of plugins that containerd itself starts.
    pub plugin_path: Option<PathBuf>,
    /// `overlayfs` or `native`.
    pub snapshotter: &'static str,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            network: Network::Node,
            nri: true,
            plugin_request_timeout: Duration::from_secs(2),
            required_plugins: Vec::new(),
            tolerate_missing_plugins_annotation: None,
            plugin_path: None,
            snapshotter: "overlayfs",
        }
    }
}

/// A running containerd, in a network of its own, with the images [`PAUSE`] and [`ACTOR`].
///
/// Dropped, it goes with all its containers.
pub struct Containerd {
    dir: PathBuf,
    bin: PathBuf,
    // Daemons go before what they live in.
    daemon: Option<Daemon>,
    /// Whether it ever ended in the middle of its work.
    killed: bool,
    cgroup: Cgroup,
    netns: Netns,
}

impl Containerd {
    /// Starts one. A test may have several, by different names.
    pub fn start(env: &Env, name: &str, version: Version, options: &Options) -> Result<Self> {
        let dir = env.file(name);
        std::fs::create_dir(&dir).with_context(|| format!("make {}", dir.display()))?;
        mounts::empty("/var/lib/cni")?;
        let bin = daemons::containerd(version)?;
        let cgroup = Cgroup::create(env, name)?;
        let netns = Netns::create(name)?;
        config::write(&dir, version, options)?;
        let mut containerd = Self { dir, bin, daemon: None, killed: false, cgroup, netns };
        containerd.launch()?;
        let actor = env.binary("actor")?;
        containerd.import(
            &Image::new(PAUSE).program("/pause", &actor).entrypoint(["/pause", "until-terminated"]),
        )?;
        containerd
            .import(&Image::new(ACTOR).program("/actor", actor).entrypoint(["/actor", "until-terminated"]))?;
        Ok(containerd)
    }

    fn launch(&mut self) -> Result<()> {
        let mut command = self.netns.command(self.bin.join("containerd"));
        command.arg("--config").arg(self.dir.join("config.toml")).env("PATH", path_with(&self.bin)?);
        // Below the group, so that the ones of containers lie beside it.
        let cgroup = self.cgroup.unified_child("daemons")?;
        let mut daemon = Daemon::start("containerd", &command, &cgroup, &self.dir)?;
        daemon.wait_ready(START_CAP, || self.cri()?.version().map(drop))?;
        self.daemon = Some(daemon);
        Ok(())
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.dir.join("containerd.sock")
    }

    /// The socket that plugins connect to.
    pub fn nri_socket(&self) -> PathBuf {
        self.dir.join("nri.sock")
    }

    /// Its process id.
    pub fn pid(&self) -> Result<u32> {
        self.daemon.as_ref().context("containerd does not run")?.pid()
    }

    /// The end of its log.
    pub fn log(&self) -> String {
        self.daemon.as_ref().map(Daemon::log).unwrap_or_default()
    }

    /// The network that it and pods on the node's network are in.
    pub fn netns(&self) -> &Netns {
        &self.netns
    }

    /// The control group with its containers.
    pub fn cgroup(&self) -> &Cgroup {
        &self.cgroup
    }

    /// A new connection to it.
    pub fn cri(&self) -> Result<Cri> {
        Cri::connect(&self.socket(), self.cgroup.path())
    }

    /// Its client, with the namespace that Kubernetes' containers are in.
    pub fn ctr<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = self.netns.command(self.bin.join("ctr"));
        command.arg("--address").arg(self.socket()).args(["--namespace", "k8s.io"]).args(arguments);
        command
    }

    /// Makes an image known to it.
    pub fn import(&self, image: &Image) -> Result<()> {
        let archive = self.dir.join("image.tar");
        image.write(&archive)?;
        let archive_name = archive.as_os_str();
        checked(&mut self.ctr([OsStr::new("images"), OsStr::new("import"), archive_name]))
            .with_context(|| format!("import {}", image.name()))?;
        std::fs::remove_file(archive).context("remove an imported archive")
    }

    /// Kills it; containers and their shims live on.
    pub fn kill(&mut self) -> Result<()> {
        self.killed = true;
        self.daemon.take().context("containerd does not run")?.kill()
    }

    /// Ends it in an orderly way; containers and their shims live on.
    pub fn halt(&mut self) -> Result<()> {
        self.daemon.take().context("containerd does not run")?.stop(STOP_CAP)
    }

    /// Starts it again after [`kill`](Self::kill) or [`halt`](Self::halt).
    pub fn resume(&mut self) -> Result<()> {
        ensure!(self.daemon.is_none(), "containerd runs already");
        self.launch()
    }

    /// Ends it and starts it again.
    pub fn restart(&mut self) -> Result<()> {
        self.halt()?;
        self.resume()
    }

    /// Removes all pods and ends it in an orderly way. Fails if that leaves a process.
    pub fn stop(mut self) -> Result<()> {
        let cri = self.cri()?;
        for pod in cri.pods()? {
            cri.remove_pod(&pod)?;
        }
        self.halt()?;
        // Shims end by themselves after their last container.
        let mut left = Vec::new();
        eventually("the end of all containers and shims", STOP_CAP, || {
            left = self.cgroup.processes()?;
            left.retain(|pid| !self.may_stay(*pid));
            Ok(left.is_empty().then_some(()))
        })
        .with_context(|| {
            let left: Vec<_> = left.iter().map(|pid| process::described(*pid)).collect();
            format!("left:\n{}", left.join("\n"))
        })?;
        self.cgroup.remove()?;
        self.unmount()
    }

    /// Whether this process may be left to the end of the whole group.
    ///
    /// A containerd that is killed while it makes a container forgets that one's shim; the next containerd does not end
    /// all of those (containerd issues 6860 and 13784).
    fn may_stay(&self, pid: u32) -> bool {
        let program = std::fs::read_link(format!("/proc/{pid}/exe"));
        self.killed && program.is_ok_and(|it| it.file_name() == Some(OsStr::new("containerd-shim-runc-v2")))
    }

    /// Nothing of this may stay mounted: a directory with mounts cannot be removed.
    fn unmount(&self) -> Result<()> {
        for directory in mounts::below(&self.dir)?.iter().rev() {
            mounts::detach(directory)?;
        }
        Ok(())
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        if let Some(daemon) = &self.daemon
            && std::thread::panicking()
        {
            eprintln!("---- log of containerd ----\n{}", daemon.log());
        }
        // Shims would take a dead containerd for one that comes back.
        self.daemon = None;
        if let Err(error) = self.cgroup.remove().and_then(|()| self.unmount()) {
            eprintln!("containerd in {}: {error:#}", self.dir.display());
        }
    }
}

/// The directory of a socket for command lines: `unix:///…`.
pub fn endpoint(socket: &Path) -> String {
    format!("unix://{}", socket.display())
}
