//! A shell in a virtual machine with the agent running: `vm 6.12 [--preempt full]`.

use std::fs::{self, File};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail, ensure};
use tetragon_e2e::guest;
use tetragon_e2e::host::vm::{Console, Vm};
use tetragon_e2e::host::{binaries, kernels};

const SOCKET: &str = "unix:///var/run/tetragon/tetragon.sock";
const LOG: &str = "/var/log/tetragon.log";

fn main() -> ExitCode {
    if std::process::id() == 1 {
        guest::init(shell);
    }
    match host() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vm: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn host() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (kernel, preempt_full) = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [kernel] => (kernel, false),
        [kernel, "--preempt", "full"] => (kernel, true),
        _ => bail!(
            "usage: vm KERNEL [--preempt full], KERNEL one of {}",
            kernels::labels().collect::<Vec<_>>().join(" ")
        ),
    };
    let own = std::env::current_exe().context("find this binary")?;
    let mut machine = Vm::new(kernel, preempt_full, own)?.with_binary("bin/busybox", kernels::busybox()?);
    for name in ["tetragon", "tetra", "actor"] {
        machine = machine.with_binary(&format!("bin/{name}"), binaries::find(name)?);
    }
    eprintln!("booting {kernel}; leave with `exit`, or Ctrl-A X");
    let status = machine.boot(&Console::Terminal)?.wait()?;
    ensure!(status.success(), "qemu: {status}");
    Ok(())
}

/// What process 1 of the machine does.
fn shell() -> Result<()> {
    let installed =
        Command::new("/bin/busybox").args(["--install", "-s", "/bin"]).status().context("busybox")?;
    ensure!(installed.success(), "busybox: {installed}");
    fs::create_dir_all("/var/log")?;
    let log = File::create(LOG)?;
    let mut agent = Command::new("/bin/tetragon")
        .args(["--server-address", SOCKET])
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("start the agent")?;
    println!("\nThe agent runs; its log is {LOG}. Try: tetra status; tetra getevents -o compact &");
    let shell = Command::new("/bin/busybox")
        .args(["setsid", "cttyhack", "sh", "-l"])
        .env("PATH", "/bin")
        .env("HOME", "/")
        .env("TERM", "linux")
        .status();
    agent.kill()?;
    agent.wait()?;
    ensure!(shell.context("start the shell")?.code().is_some(), "the shell was killed");
    Ok(())
}
