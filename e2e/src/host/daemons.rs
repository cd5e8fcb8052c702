//! The container runtimes and the Kubernetes under test.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, Result, bail, ensure};

use super::binaries;
use super::debian::package;
use crate::kit::containerd::Version;

/// Builds what is built from source, unless it has been.
const SETUP: &str = "scripts/setup/go.sh";

/// Fetches and builds all of it, once; takes minutes on a machine that has nothing yet, and needs a network then.
pub fn prepare() -> Result<()> {
    static DONE: OnceLock<Result<(), String>> = OnceLock::new();
    DONE.get_or_init(|| try_prepare().map_err(|error| format!("{error:#}")))
        .clone()
        .map_err(anyhow::Error::msg)
}

fn try_prepare() -> Result<()> {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let status = Command::new(project.join(SETUP)).stdin(Stdio::null()).status().context(SETUP)?;
    ensure!(status.success(), "{SETUP} failed ({status})");
    containerd(Version::V1_7).map(drop)
}

/// The directory with the programs of this containerd.
pub fn containerd(version: Version) -> Result<PathBuf> {
    match version {
        Version::V2_4 => built("runtimes", "containerd"),
        Version::V1_7 => {
            let root = package("containerd-1.7", "containerd", &["trixie"])
                .context("fetch containerd 1.7 (needs a network once)")?;
            Ok(root.join("usr/bin"))
        }
    }
}

/// The directory with the programs of Kubernetes, and etcd.
pub fn kubernetes() -> Result<PathBuf> {
    built("cluster", "kube-apiserver")
}

fn built(module: &str, program: &str) -> Result<PathBuf> {
    let directory = binaries::cache().join("go").join(module);
    if !directory.join(program).is_file() {
        bail!("{} has no {program}; build it first ({SETUP})", directory.display());
    }
    directory.canonicalize().with_context(|| directory.display().to_string())
}
