//! A node as a hook sees it: a folder with a bundle, a log, a spool and maybe an agent's socket.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::agent::Agent;

/// Far more than any call takes here.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
pub(crate) const ID: &str = "5cfea8d1b6d1a8a3b2f0c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f70819";

pub(crate) struct Node {
    pub(crate) dir: TempDir,
}

/// How a call ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) took: Duration,
}

impl Outcome {
    /// The container may start, and the runtime was told nothing.
    #[track_caller]
    pub(crate) fn allowed(&self) {
        assert_eq!((self.code, self.stderr.as_str()), (Some(0), ""), "{self:?}");
        assert!(self.took < PATIENCE, "{self:?}");
    }

    /// The container must not start; the message says each of these.
    #[track_caller]
    pub(crate) fn refused(&self, words: &[&str]) {
        assert_eq!(self.code, Some(1), "{self:?}");
        for word in words.iter().chain(&["failing container", "Check logs"]) {
            assert!(self.stderr.contains(word), "{word:?} is not in {:?}", self.stderr);
        }
        assert_eq!(self.stderr.lines().count(), 1, "{:?}", self.stderr);
        assert!(self.took < PATIENCE, "{self:?}");
    }
}

impl Node {
    pub(crate) fn new() -> Self {
        let node = Self { dir: tempfile::tempdir().expect("folder") };
        fs::create_dir(node.bundle()).expect("folder");
        fs::create_dir(node.path("run")).expect("folder");
        node
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn bundle(&self) -> PathBuf {
        self.path("bundle")
    }

    pub(crate) fn agent(&self) -> Agent {
        Agent::on_unix(&self.path("tetragon.sock"))
    }

    /// What the agent would find of this container.
    pub(crate) fn spooled(&self) -> PathBuf {
        self.path("run/containers").join(ID)
    }

    pub(crate) fn has_config(&self, config: &Value) {
        fs::write(self.bundle().join("config.json"), config.to_string()).expect("file");
    }

    /// The state as a runtime writes it for a container of this process's cgroup.
    pub(crate) fn state(&self, annotations: &Value) -> String {
        json!({
            "ociVersion": "1.0.2-dev", "id": ID, "status": "creating", "pid": std::process::id(),
            "bundle": self.bundle(), "annotations": annotations,
        })
        .to_string()
    }

    /// Lines of the log.
    pub(crate) fn log(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.path("hook.log")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    pub(crate) fn logged(&self, words: &str) -> bool {
        self.log().iter().any(|line| line.to_string().contains(words))
    }

    /// A call of the hook with this node's places, started in the bundle.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        self.command_of(Path::new(env!("CARGO_BIN_EXE_tetragon-oci-hook")), args)
    }

    pub(crate) fn command_of(&self, binary: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(binary);
        command
            .current_dir(self.bundle())
            .arg(format!("--log-fname={}", self.path("hook.log").display()))
            .arg(format!("--grpc-address=unix://{}", self.path("tetragon.sock").display()))
            .arg(format!("--spool-dir={}", self.path("run/containers").display()))
            .args(args);
        command
    }

    pub(crate) fn call(&self, args: &[&str], stdin: &str) -> Outcome {
        end(start(&mut self.command(args)), Some(stdin.as_bytes()))
    }

    /// `createRuntime` with a state of these annotations.
    pub(crate) fn create(&self, args: &[&str], annotations: &Value) -> Outcome {
        self.call(&[&["createRuntime"], args].concat(), &self.state(annotations))
    }
}

pub(crate) fn start(command: &mut Command) -> Child {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("starts")
}

/// Writes to standard input and closes it, or leaves it open until the hook has ended.
pub(crate) fn end(mut child: Child, stdin: Option<&[u8]>) -> Outcome {
    let begun = Instant::now();
    let mut pipe = child.stdin.take().expect("piped");
    let open = stdin.map_or(Some(()), |text| {
        // A hook that has read enough closes its end.
        let _ = pipe.write_all(text);
        None
    });
    let kept = open.map(|()| pipe);
    let output = child.wait_with_output().expect("ends");
    drop(kept);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    let (stdout, stderr) = (text(output.stdout), text(output.stderr));
    Outcome { code: output.status.code(), stdout, stderr, took: begun.elapsed() }
}

/// A bundle as containerd makes it for a container of a pod.
pub(crate) fn containerd() -> Value {
    json!({
        "ociVersion": "1.2.0",
        "process": {"args": ["/bin/app"], "capabilities": {"bounding": ["CAP_OF_TOMORROW"]}},
        "root": {"path": "rootfs"},
        "mounts": [{"destination": "/data", "type": "bind", "source": "/srv/data", "options": ["rbind", "ro"]}],
        "annotations": containerd_annotations("shop"),
        "linux": {"cgroupsPath": "kubepods-burstable-pod1.slice:cri-containerd:5cfea8", "of": "tomorrow"},
    })
}

pub(crate) fn containerd_annotations(namespace: &str) -> Value {
    json!({
        "io.kubernetes.cri.container-name": "web",
        "io.kubernetes.cri.container-type": "container",
        "io.kubernetes.cri.image-name": "docker.io/library/nginx:1.29",
        "io.kubernetes.cri.sandbox-id": "aaaa",
        "io.kubernetes.cri.sandbox-name": "web-1",
        "io.kubernetes.cri.sandbox-namespace": namespace,
        "io.kubernetes.cri.sandbox-uid": "b1e0d5a3-1f9d-4a5b-9f53-2a40a0a6c0de",
    })
}
