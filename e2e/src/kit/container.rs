//! What the containers of all runtimes have in common.

use std::fs::{self, File};
use std::io::Read;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};

use anyhow::{Context, Result, ensure};
use tetragon_api::tetragon::Process;

use super::{Env, Event, EventExt};

/// Where the actor is in a container: nowhere else is a program of this path.
pub const ACTOR: &str = "/actor";

/// What a Kubernetes runtime tells hooks about the pod of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodNames {
    /// Namespace of the pod.
    pub namespace: String,
    /// Name of the pod.
    pub pod: String,
    /// Its uid.
    pub uid: String,
    /// Name of the container in it.
    pub container: String,
}

impl PodNames {
    /// A pod of this name with a new uid, and its container `main`.
    pub fn new(namespace: &str, pod: &str) -> Result<Self> {
        Ok(Self {
            namespace: namespace.to_owned(),
            pod: pod.to_owned(),
            uid: new_uid()?,
            container: "main".to_owned(),
        })
    }

    /// The annotations that CRI-O gives a container.
    pub fn annotations(&self) -> [(&'static str, &str); 4] {
        [
            ("io.kubernetes.pod.namespace", &self.namespace),
            ("io.kubernetes.pod.name", &self.pod),
            ("io.kubernetes.pod.uid", &self.uid),
            ("io.kubernetes.container.name", &self.container),
        ]
    }
}

/// Whose a process is, as the test knows it: what events about it have to say.
#[derive(Debug, Clone)]
pub struct Owner {
    /// Whole id of the container.
    pub id: String,
    /// The pod it belongs to, if it does.
    pub pod: Option<PodNames>,
}

impl Owner {
    /// Fails, naming the field, unless the event's process is shown as this container's.
    pub fn check(&self, event: &Event) -> Result<()> {
        let process = event.process().context("an event without process")?;
        self.check_process(process).with_context(|| event.json())
    }

    fn check_process(&self, process: &Process) -> Result<()> {
        let docker = &process.docker;
        // Events show the first 31 digits of an id, or more.
        ensure!(
            docker.len() >= 31 && self.id.starts_with(docker.as_str()),
            "docker is {docker:?}, not the beginning of {}",
            self.id
        );
        let Some(expected) = &self.pod else {
            ensure!(process.pod.is_none(), "it has a pod, {:?}", process.pod);
            return Ok(());
        };
        let pod = process.pod.as_ref().context("it has no pod")?;
        let container = pod.container.as_ref().context("its pod has no container")?;
        let (_, id) = container.id.split_once("://").unwrap_or(("", &container.id));
        let shown = [&pod.namespace, &pod.name, &container.name];
        let right = [&expected.namespace, &expected.pod, &expected.container];
        ensure!(shown == right, "namespace, pod and container are {shown:?}, not {right:?}");
        ensure!(id == self.id, "the container's id is {id:?}, not {}", self.id);
        Ok(())
    }

    /// As [`check`](Self::check), and the kernel knew it when it wrote the record.
    pub fn check_in_kernel(&self, event: &Event) -> Result<()> {
        self.check(event)?;
        let identity = event.process().and_then(|process| process.identity.as_ref());
        ensure!(identity.is_some_and(|identity| identity.in_kernel), "found out late: {}", event.json());
        Ok(())
    }
}

/// Fails unless the event's process is shown as one of no container.
pub fn check_host(event: &Event) -> Result<()> {
    let process = event.process().context("an event without process")?;
    ensure!(process.docker.is_empty() && process.pod.is_none(), "not the host's: {}", event.json());
    Ok(())
}

/// A container id that no other has: 64 hexadecimal digits.
pub fn new_id() -> Result<String> {
    Ok(hexadecimal(&random::<32>()?))
}

/// A uid as Kubernetes gives one.
pub fn new_uid() -> Result<String> {
    let digits = hexadecimal(&random::<16>()?);
    let parts = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
    Ok(parts.join("-"))
}

fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes)).context("random bytes")?;
    Ok(bytes)
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a program that runs containers said and how it ended.
#[derive(Debug, Clone)]
pub struct Said {
    /// How it ended: as the container did, if it ran one.
    pub status: ExitStatus,
    /// What it printed.
    pub output: String,
    /// What it complained about.
    pub errors: String,
}

impl Said {
    /// Runs a command to its end.
    pub(super) fn by(command: &mut Command) -> Result<Self> {
        let output =
            command.output().with_context(|| format!("start {}", command.get_program().display()))?;
        Ok(Self {
            status: output.status,
            output: String::from_utf8_lossy(&output.stdout).into_owned(),
            errors: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Fails, with all that was said, unless it exited with this status.
    pub fn expect_code(self, code: i32) -> Result<Self> {
        ensure!(
            self.status.code() == Some(code),
            "expected exit status {code}, got {}:\n{}{}",
            self.status,
            self.output,
            self.errors
        );
        Ok(self)
    }
}

/// The root of a container: a directory with the actor in it and nothing else, made once a test.
pub(super) fn rootfs(env: &Env) -> Result<PathBuf> {
    let root = env.file("rootfs");
    if !root.exists() {
        fs::create_dir(&root).context("make the root of a container")?;
        fs::copy(env.binary("actor")?, root.join(ACTOR.trim_start_matches('/')))
            .context("copy the actor into a container")?;
    }
    Ok(root)
}

/// A program that runs containers; an error with the package if it is missing.
pub(super) fn program(env: &Env, name: &str) -> Result<PathBuf> {
    if env.place().is_native() {
        return crate::host::binaries::system(name, name);
    }
    let path = PathBuf::from(super::env::GUEST_BIN).join(name);
    ensure!(
        path.is_file(),
        "{} is missing: give the suite `.with_runtimes()` and install the Debian package {name} on the host",
        path.display()
    );
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_of_the_right_form_and_never_the_same() {
        let (one, other) = (new_id().unwrap(), new_id().unwrap());
        assert!(one.len() == 64 && one.bytes().all(|digit| digit.is_ascii_hexdigit()), "{one}");
        assert_ne!(one, other);
        let lengths: Vec<usize> = new_uid().unwrap().split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12]);
    }
}
