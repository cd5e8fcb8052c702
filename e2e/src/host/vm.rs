//! One virtual machine, by software emulation: it needs no privilege, and runs every kernel alike.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;

use super::initramfs::Archive;
use super::{binaries, console, kernels, runtimes};
use crate::guest;
use crate::place::Place;
use crate::protocol::{Message, Plan, PlannedTest, Report};

/// From power-on to our process 1; the slowest seen on a busy machine is a fifth of it.
const BOOT_CAP: Duration = Duration::from_secs(120);
/// Beyond a test's own cap, before the guest counts as hung.
const GRACE: Duration = Duration::from_secs(60);

/// The machine to boot.
pub struct Vm {
    image: PathBuf,
    preempt_full: bool,
    dir: TempDir,
    memory_mb: u32,
    counts_instructions: bool,
    binaries: Vec<(String, PathBuf)>,
    files: Vec<(String, Vec<u8>)>,
    symlinks: Vec<(String, String)>,
}

/// How the first serial port (the console) is connected; the second carries the harness's messages.
pub enum Console {
    /// To a log, for unattended runs.
    Logged,
    /// To this terminal.
    Terminal,
}

impl Vm {
    /// A machine with the kernel of this label whose process 1 is `init`.
    pub fn new(kernel: &str, preempt_full: bool, init: PathBuf) -> Result<Self> {
        Ok(Self {
            image: kernels::image(kernel)?,
            preempt_full,
            dir: tempfile::Builder::new().prefix("tetragon-vm-").tempdir()?,
            memory_mb: 3072,
            counts_instructions: false,
            binaries: vec![("init".into(), init)],
            files: Vec::new(),
            symlinks: Vec::new(),
        })
    }

    /// A machine that runs `tests`.
    pub(crate) fn for_tests(
        kernel: &str,
        preempt_full: bool,
        place: Place,
        tests: &[PlannedTest],
    ) -> Result<Self> {
        let own = std::env::current_exe().context("find this binary")?;
        let plan = Plan { place: place.to_string(), tests: tests.to_vec() };
        let mut machine = Self::new(kernel, preempt_full, own)?;
        for name in ["actor", "tetragon", "tetra", "tetragon-oci-hook"] {
            // A test that needs one and does not find it says so.
            if let Ok(path) = binaries::find(name) {
                machine = machine.with_binary(&format!("bin/{name}"), path);
            }
        }
        if tests.iter().any(|test| test.runtimes) {
            for (name, path) in runtimes::files()? {
                machine = machine.with_binary(&name, path);
            }
        }
        Ok(machine.with_file(guest::PLAN.trim_start_matches('/'), serde_json::to_vec(&plan)?))
    }

    /// Adds a program of this machine as `name` below the root.
    #[must_use]
    pub fn with_binary(mut self, name: &str, path: PathBuf) -> Self {
        self.binaries.push((name.into(), path));
        self
    }

    /// Adds a file.
    #[must_use]
    pub fn with_file(mut self, name: &str, content: Vec<u8>) -> Self {
        self.files.push((name.into(), content));
        self
    }

    /// Adds a symbolic link.
    #[must_use]
    pub fn with_symlink(mut self, name: &str, target: &str) -> Self {
        self.symlinks.push((name.into(), target.into()));
        self
    }

    /// Lets its clock advance by 1 ns with every instruction, whatever else this machine does; idle time takes none.
    #[must_use]
    pub fn counting_instructions(mut self) -> Self {
        self.counts_instructions = true;
        self
    }

    fn console_log(&self) -> PathBuf {
        self.dir.path().join("console")
    }

    fn write_initramfs(&self) -> Result<PathBuf> {
        let path = self.dir.path().join("initramfs");
        let mut archive = Archive::new(BufWriter::new(File::create(&path)?))?;
        for (name, from) in &self.binaries {
            archive.executable_from(name, from)?;
        }
        for (name, content) in &self.files {
            archive.executable(name, content)?;
        }
        for (name, target) in &self.symlinks {
            archive.symlink(name, target)?;
        }
        archive.finish()?;
        Ok(path)
    }

    /// Turns the machine on.
    pub fn boot(&self, console: &Console) -> Result<Child> {
        let qemu = binaries::system("qemu-system-x86_64", "qemu-system-x86")?;
        let mut command = Command::new(qemu);
        if self.counts_instructions {
            command.args(["-accel", "tcg,thread=single", "-icount", "shift=0,sleep=off"]);
        } else {
            command.args(["-accel", "tcg,thread=multi"]);
        }
        command.args(["-cpu", "max", "-smp", "2", "-no-reboot", "-nodefaults"]);
        command.args(["-display", "none", "-m"]).arg(self.memory_mb.to_string());
        command.arg("-kernel").arg(&self.image).arg("-initrd").arg(self.write_initramfs()?);
        let level = if matches!(console, Console::Terminal) { 3 } else { 5 };
        let preempt = if self.preempt_full { " preempt=full" } else { "" };
        // The second processor comes with process 1, see `guest::start_processors`.
        // Without address randomisation the emulator can use what it has translated for earlier processes, which makes
        // a short process four times as fast.
        command.arg("-append").arg(format!(
            "console=ttyS0 loglevel={level} panic=-1 mitigations=off norandmaps maxcpus=1 softlockup_panic=1 lsm=landlock,lockdown,yama,integrity,bpf{preempt}"
        ));
        match console {
            Console::Logged => {
                command.arg("-serial").arg(format!("file:{}", self.console_log().display()));
                command.args(["-serial", "stdio"]).stdin(Stdio::null()).stdout(Stdio::piped());
            }
            Console::Terminal => {
                command.args(["-serial", "mon:stdio"]);
            }
        }
        die_with_us(&mut command);
        command.spawn().context("start qemu-system-x86_64")
    }
}

/// A killed harness must not leave machines behind.
#[expect(unsafe_code, reason = "code between fork and exec must not allocate; this is one system call")]
fn die_with_us(command: &mut Command) {
    // SAFETY: asking for a signal is a bare system call.
    unsafe {
        command.pre_exec(|| {
            rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
                .map_err(Into::into)
        });
    }
}

/// A machine that panicked, hung or ended early.
pub(crate) struct Death {
    /// The test that ran, if one did.
    pub(crate) test: Option<String>,
    /// What is known, for people.
    pub(crate) reason: String,
}

/// Boots `machine`, runs the plan it carries, and hands over each report.
pub(crate) fn run_plan(
    machine: &Vm,
    tests: &[PlannedTest],
    mut done: impl FnMut(&str, Report),
) -> Result<Option<Death>> {
    let mut qemu = Qemu(machine.boot(&Console::Logged)?);
    let messages = qemu.messages()?;
    let mut waiting = BOOT_CAP;
    let mut running = "the boot".to_owned();
    let mut current = None;
    let end = loop {
        match messages.recv_timeout(waiting) {
            Ok(Message::Booted { release }) => eprintln!("booted {release}"),
            Ok(Message::Started { test }) => {
                let cap =
                    tests.iter().find(|planned| planned.name == test).map_or(0, |planned| planned.cap_ms);
                waiting = Duration::from_millis(cap) + GRACE;
                running.clone_from(&test);
                current = Some(test);
            }
            Ok(Message::Finished { test, report }) => {
                done(&test, report);
                running = format!("what follows {test}");
                current = None;
                waiting = GRACE;
            }
            Ok(Message::Done) => return Ok(None),
            Ok(Message::Broken { reason }) => break reason,
            Err(RecvTimeoutError::Timeout) => break format!("hung during {running}"),
            Err(RecvTimeoutError::Disconnected) => break format!("ended during {running}"),
        }
    };
    drop(qemu);
    let console = console::tail(&machine.console_log());
    let reason = format!("the virtual machine {end}\n\n---- console ----\n{console}");
    Ok(Some(Death { test: current, reason }))
}

/// A running machine; turned off when dropped.
struct Qemu(Child);

impl Qemu {
    fn messages(&mut self) -> Result<Receiver<Message>> {
        let output = self.0.stdout.take().context("qemu's output is not connected")?;
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
                // The firmware greets on the same line.
                if let Ok(message) = serde_json::from_slice(&line)
                    && sender.send(message).is_err()
                {
                    break;
                }
            }
        });
        Ok(receiver)
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
