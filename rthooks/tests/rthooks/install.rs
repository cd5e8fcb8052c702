//! What is installed, replaced and removed.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::node::until;
use crate::runtime::{self, pod};

const NAME: &str = "tetragon-oci-hook";

/// Where things are installed from and to.
struct Host {
    root: TempDir,
}

impl Host {
    fn new() -> Self {
        let host = Self { root: tempfile::tempdir().expect("a folder") };
        for folder in ["opt", "hooks", "usr"] {
            fs::create_dir(host.path(folder)).expect("a folder");
        }
        host.build("first");
        host
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Another version of the hook.
    fn build(&self, content: &str) {
        fs::write(self.path("usr").join(NAME), content).expect("written");
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tetragon-rthooks"));
        command
            .arg(name)
            .arg(format!("--local-install-dir={}", self.path("opt").display()))
            .arg(format!("--oci-hooks.local-dir={}", self.path("hooks").display()))
            .env_remove("POD_NAMESPACE")
            .stderr(Stdio::piped());
        if name == "install" {
            command
                .arg("--host-install-dir=/opt/tetragon")
                .arg(format!("--local-binary={}", self.path("usr").join(NAME).display()));
        }
        command
    }

    fn run(&self, name: &str, args: &[&str]) -> Output {
        self.command(name).args(args).output().expect("runs")
    }

    fn succeeds(&self, name: &str, args: &[&str]) {
        let output = self.run(name, args);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// What standard error says.
    fn fails(&self, name: &str, args: &[&str]) -> String {
        let output = self.run(name, args);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{text}");
        text
    }

    fn files(&self) -> (Vec<String>, Vec<String>) {
        let names = |folder: &str| {
            let entries = fs::read_dir(self.path(folder)).expect("readable");
            entries.map(|it| it.expect("readable").file_name().into_string().expect("plain")).collect()
        };
        (names("opt"), names("hooks"))
    }

    fn binary(&self) -> String {
        fs::read_to_string(self.path("opt").join(NAME)).expect("installed")
    }

    fn config(&self) -> Value {
        let text = fs::read(self.path("hooks").join(format!("{NAME}.json"))).expect("installed");
        serde_json::from_slice(&text).expect("JSON")
    }
}

fn both() -> (Vec<String>, Vec<String>) {
    (vec![NAME.to_owned()], vec![format!("{NAME}.json")])
}

/// Ended when dropped.
struct Staying(Child);

impl Staying {
    fn ask_to_end(&mut self) -> i32 {
        let pid = i32::try_from(self.0.id()).expect("a pid");
        kill_process(Pid::from_raw(pid).expect("not 0"), Signal::TERM).expect("runs");
        self.0.wait().expect("a child").code().expect("not killed")
    }
}

impl Drop for Staying {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn installing_twice_is_installing_once() {
    let host = Host::new();
    let args = ["hook-args", "--grpc-address=localhost:54321", "--fail-allow-namespaces", "tetragon,free"];
    for _ in 0..2 {
        host.succeeds("install", &args);
        assert_eq!(host.files(), both());
        assert_eq!(host.binary(), "first");
        let mode = fs::metadata(host.path("opt").join(NAME)).expect("installed").permissions().mode();
        assert_eq!(mode & 0o7777, 0o755);
        let config = host.config();
        assert_eq!(config["hook"]["path"], "/opt/tetragon/tetragon-oci-hook");
        assert_eq!(
            config["hook"]["args"],
            serde_json::json!([
                "/opt/tetragon/tetragon-oci-hook",
                "createRuntime",
                "--log-fname",
                "/opt/tetragon/tetragon-oci-hook.log",
                "--grpc-address=localhost:54321",
                "--fail-allow-namespaces",
                "tetragon,free"
            ])
        );
    }
    host.build("second");
    host.succeeds("install", &[]);
    assert_eq!((host.binary().as_str(), host.files()), ("second", both()));
    assert_eq!(
        host.config()["hook"]["args"].as_array().map(Vec::len),
        Some(4),
        "the arguments are the new ones"
    );
}

#[test]
fn uninstalling_leaves_the_binary_to_created_containers_unless_told() {
    let host = Host::new();
    host.succeeds("uninstall", &["--purge"]);
    host.succeeds("install", &[]);
    host.succeeds("uninstall", &[]);
    assert_eq!(host.files(), (vec![NAME.to_owned()], vec![]));
    host.succeeds("uninstall", &["--purge"]);
    assert_eq!(host.files(), (vec![], vec![]));
}

#[test]
fn what_fails_leaves_the_old_installation() {
    let host = Host::new();
    host.succeeds("install", &["hook-args", "--grpc-address=old:1"]);
    let before = host.config();
    fs::remove_file(host.path("usr").join(NAME)).expect("there");
    let text = host.fails("install", &[]);
    assert!(text.contains("--local-binary") && text.contains("No such file"), "{text}");
    host.build("first");
    let text = host.fails("install", &["hook-args", "--fail-cel-expr=annotations["]);
    assert!(text.contains("hook-args") && text.contains("--fail-cel-expr"), "{text}");
    let text = host.fails("install", &["hook-args", "--no-such-flag"]);
    assert!(text.contains("--no-such-flag"), "{text}");
    let text = host.fails("install", &["--interface=nri-hook"]);
    assert!(text.contains("--daemonize"), "{text}");
    host.build("second");
    let elsewhere = format!("--oci-hooks.local-dir={}", host.path("no-hooks").display());
    let output = Command::new(env!("CARGO_BIN_EXE_tetragon-rthooks"))
        .args(["install", "--host-install-dir=/opt/tetragon", &elsewhere])
        .arg(format!("--local-install-dir={}", host.path("opt").display()))
        .arg(format!("--local-binary={}", host.path("usr").join(NAME).display()))
        .output()
        .expect("runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--oci-hooks.local-dir"));
    assert_eq!((host.config(), host.files()), (before, both()));
}

#[tokio::test]
async fn staying_keeps_the_file_as_long_as_the_process_lives() {
    for (purge, left) in [(false, vec![NAME.to_owned()]), (true, vec![])] {
        let host = Host::new();
        let flags: &[&str] = if purge { &["--daemonize", "--purge"] } else { &["--daemonize"] };
        let mut staying = Staying(host.command("install").args(flags).spawn().expect("starts"));
        until("installed", || host.files() == both()).await;
        assert_eq!(staying.ask_to_end(), 0);
        assert_eq!(host.files(), (left, vec![]));
    }
}

#[tokio::test]
async fn an_older_process_does_not_remove_what_a_newer_one_has_installed() {
    let host = Host::new();
    let mut old = Staying(host.command("install").args(["--daemonize", "--purge"]).spawn().expect("starts"));
    until("installed", || host.files() == both()).await;
    host.build("second");
    host.succeeds("install", &[]);
    assert_eq!(old.ask_to_end(), 0);
    assert_eq!((host.binary().as_str(), host.files()), ("second", both()));
}

#[test]
fn the_printed_file_is_the_installed_one() {
    let host = Host::new();
    host.succeeds("install", &[]);
    let log = "--args=/opt/tetragon/tetragon-oci-hook.log";
    let output = Command::new(env!("CARGO_BIN_EXE_tetragon-rthooks"))
        .args(["print-config", "--binary=/opt/tetragon/tetragon-oci-hook", "--args=--log-fname", log])
        .output()
        .expect("runs");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let installed = fs::read(host.path("hooks").join(format!("{NAME}.json"))).expect("installed");
    assert_eq!(String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&installed));
}

#[tokio::test]
async fn the_nri_interface_installs_the_binary_and_is_the_plugin() {
    let host = Host::new();
    let socket = host.path("nri.sock");
    let mut command = host.command("install");
    command
        .args(["--interface=nri-hook", "--daemonize"])
        .arg(format!("--nri-hook.socket={}", socket.display()))
        .args(["hook-args", "--grpc-timeout=10s", "--fail-allow-namespaces", "free"])
        .arg(format!("--grpc-address=unix://{}", host.path("agent.sock").display()))
        .arg(format!("--spool-dir={}", host.path("containers").display()));
    let mut staying = Staying(command.spawn().expect("starts"));
    let agent = crate::agent::Agent::start(&host.path("agent.sock"), crate::agent::Behaviour::Take);
    let mut runtime = runtime::accept(&socket, crate::node::REQUEST_TIMEOUT).await;
    runtime.synchronize(Vec::new(), Vec::new()).await;
    assert_eq!((host.binary().as_str(), host.files()), ("first", (vec![NAME.to_owned()], vec![])));
    let answer = runtime.create(&pod("prod"), "c1").await.expect("taken");
    let hooks = answer.adjust.and_then(|it| it.hooks).expect("a hook");
    assert_eq!(hooks.create_runtime[0].path, "/opt/tetragon/tetragon-oci-hook");
    let args = &hooks.create_runtime[0].args;
    assert_eq!(args[..3], ["/opt/tetragon/tetragon-oci-hook", "createRuntime", "--log-fname"]);
    assert_eq!(args[4..7], ["--grpc-timeout=10s", "--fail-allow-namespaces", "free"]);
    drop(agent);
    runtime.create(&pod("prod"), "c2").await.expect_err("refused");
    runtime.create(&pod("free"), "c3").await.expect("let through");
    assert_eq!(staying.ask_to_end(), 0);
    assert_eq!(host.binary(), "first", "created containers may name it");
}

#[test]
fn containerds_configuration_is_changed_in_place_or_elsewhere() {
    let host = Host::new();
    let (file, copy) = (host.path("config.toml"), host.path("copy.toml"));
    let before = "version = 2 # mine\n";
    fs::write(&file, before).expect("written");
    let patch = |output: &PathBuf| {
        let output = Command::new(env!("CARGO_BIN_EXE_tetragon-rthooks"))
            .args(["patch-containerd-conf", "enable-nri"])
            .arg(format!("--config-file={}", file.display()))
            .arg(format!("--output={}", output.display()))
            .output()
            .expect("runs");
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    };
    assert!(patch(&copy).contains("io.containerd.nri.v1.nri"));
    assert_eq!(fs::read_to_string(&file).expect("there"), before);
    assert!(patch(&file).contains("added"));
    assert_eq!(fs::read_to_string(&file).expect("there"), fs::read_to_string(&copy).expect("there"));
    let after = fs::metadata(&file).expect("there").modified().expect("a time");
    assert!(patch(&file).contains("as it should be"));
    assert_eq!(fs::metadata(&file).expect("there").modified().expect("a time"), after);
}
