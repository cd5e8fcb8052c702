//! Process 1 of a virtual machine.

use std::convert::Infallible;
use std::fs::{self, File, OpenOptions};
use std::io::Write;

use anyhow::{Context, Result};
use rustix::system::RebootCommand;
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

use crate::kit::mounts;
use crate::place::Place;
use crate::protocol::{Message, Plan};
use crate::runner;

/// Where the host puts the plan.
pub(crate) const PLAN: &str = "/plan.json";
/// The line to the host; the console is the kernel's.
const CHANNEL: &str = "/dev/ttyS1";

/// Sets the machine up, runs `body`, and turns the machine off.
pub fn init(body: fn() -> Result<()>) -> ! {
    if let Err(error) = mounts::guest_root().and_then(|()| start_processors()).and_then(|()| body()) {
        eprintln!("init: {error:#}");
        if let Ok(mut channel) = Channel::open() {
            let _ = channel.send(&Message::Broken { reason: format!("{error:#}") });
        }
    }
    power_off()
}

/// Starts the processors that the kernel was told to leave alone.
///
/// At boot it patches its own clock functions, which every processor runs all the time. The emulator may then run a
/// breakpoint that has been taken out again ("Oops: int3" in `sched_clock_cpu`, in one boot out of thirteen), but only
/// while another processor is there.
fn start_processors() -> Result<()> {
    for entry in fs::read_dir("/sys/devices/system/cpu").context("list processors")? {
        let switch = entry?.path().join("online");
        if fs::read_to_string(&switch).is_ok_and(|state| state.trim() == "0") {
            fs::write(&switch, "1").with_context(|| format!("start a processor: {}", switch.display()))?;
        }
    }
    Ok(())
}

fn power_off() -> ! {
    rustix::fs::sync();
    // QEMU ends at a restart, and this needs no ACPI in the guest.
    let Err(error): Result<Infallible, _> = restart();
    panic!("the machine does not turn off: {error}");
}

fn restart() -> Result<Infallible> {
    rustix::system::reboot(RebootCommand::Restart)?;
    anyhow::bail!("reboot returned")
}

/// Runs the tests that the host planned, one after the other.
pub(crate) fn run_plan() -> Result<()> {
    let plan: Plan = serde_json::from_slice(&fs::read(PLAN).context("read the plan")?)?;
    let place: Place = plan.place.parse()?;
    let mut channel = Channel::open()?;
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned();
    channel.send(&Message::Booted { release })?;
    let mut sent = Ok(());
    runner::run_batch(&plan.tests, place, |message| {
        if sent.is_ok() {
            sent = channel.send(&message);
        }
    });
    sent?;
    channel.send(&Message::Done)
}

struct Channel(File);

impl Channel {
    fn open() -> Result<Self> {
        let line =
            OpenOptions::new().read(true).write(true).open(CHANNEL).context("open the line to the host")?;
        let mut attributes = tcgetattr(&line)?;
        attributes.make_raw();
        tcsetattr(&line, OptionalActions::Now, &attributes)?;
        Ok(Self(line))
    }

    fn send(&mut self, message: &Message) -> Result<()> {
        let mut line = serde_json::to_vec(message)?;
        line.push(b'\n');
        self.0.write_all(&line).context("write to the host")?;
        rustix::termios::tcdrain(&self.0).context("write to the host")
    }
}
