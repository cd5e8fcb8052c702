//! One process per test, below a supervisor that caps its time and ends whatever it leaves behind.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, WaitOptions};

use crate::kit::Env;
use crate::place::Place;
use crate::protocol::{PlannedTest, Report};
use crate::suite::Suite;

pub(crate) const SUPERVISE: &str = "__supervise";
pub(crate) const RUN: &str = "__run";

const LOG: &str = "log";
const REPORT: &str = "report.json";
const LOG_TAIL: u64 = 24 * 1024;

/// Runs one test in a process of its own; never fails itself.
pub(crate) fn run_isolated(test: &PlannedTest, place: Place) -> Report {
    let begun = Instant::now();
    let mut report =
        spawn_supervisor(test, place).unwrap_or_else(|error| Report::failed(format!("harness: {error:#}")));
    report.millis = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    report
}

fn spawn_supervisor(test: &PlannedTest, place: Place) -> Result<Report> {
    // Tests also run processes of other users.
    let dir = tempfile::Builder::new()
        .prefix("tetragon-e2e-")
        .permissions(fs::Permissions::from_mode(0o755))
        .tempdir()
        .context("make a test directory")?;
    let status = Command::new("/proc/self/exe")
        .arg0(std::env::args_os().next().unwrap_or_default())
        .args([SUPERVISE, &test.name, &place.to_string()])
        .arg(dir.path())
        .arg(test.cap_ms.to_string())
        .status()
        .context("start the supervisor")?;
    fs::read(dir.path().join(REPORT))
        .with_context(|| format!("the supervisor left no report ({status})"))
        .and_then(|bytes| serde_json::from_slice(&bytes).context("read the supervisor's report"))
}

/// Role of the supervisor: runs the test below itself and writes the final report.
pub(crate) fn supervise(arguments: &[String]) -> ExitCode {
    match try_supervise(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("supervisor: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn try_supervise(arguments: &[String]) -> Result<()> {
    let [name, place, dir, cap_ms] = arguments else { bail!("wrong arguments {arguments:?}") };
    let (dir, cap) = (Path::new(dir), Duration::from_millis(cap_ms.parse()?));
    // Whatever the test leaves behind becomes our child and can be found.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).context("become subreaper")?;
    if place.parse::<Place>()?.is_native() {
        crate::kit::mounts::private_view().context("prepare this machine's mounts")?;
    }
    let log = File::create(dir.join(LOG))?;
    let deadline = Instant::now() + cap;
    let child = Command::new("/proc/self/exe")
        .arg0("tetragon-e2e-test")
        .args([RUN, name, place])
        .arg(dir)
        // Errors say where they come from by their context; panics keep theirs.
        .env("RUST_LIB_BACKTRACE", "0")
        .stdin(std::process::Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("start the test")?;
    let status = wait_until(child.id(), deadline)?;
    kill_descendants()?;
    let mut report: Report = match fs::read(dir.join(REPORT)) {
        Ok(bytes) => serde_json::from_slice(&bytes)?,
        Err(_) => Report::failed(match status {
            None => format!("did not end within {cap:?}"),
            Some(status) => format!("the test's process ended without a result ({status})"),
        }),
    };
    report.log = tail(&dir.join(LOG), LOG_TAIL)?;
    fs::write(dir.join(REPORT), serde_json::to_vec(&report)?)?;
    Ok(())
}

/// Waits for `pid`, reaping orphans meanwhile; `None` if the deadline passed first.
fn wait_until(pid: u32, deadline: Instant) -> Result<Option<ExitStatus>> {
    while Instant::now() < deadline {
        match rustix::process::wait(WaitOptions::NOHANG)? {
            Some((reaped, status)) if reaped.as_raw_nonzero().get() as u32 == pid => {
                return Ok(Some(ExitStatus::from_raw(status.as_raw())));
            }
            Some(_) => {}
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    }
    Ok(None)
}

/// Kills every process below this one; orphans keep arriving while their parents die.
fn kill_descendants() -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(30);
    while Instant::now() < deadline {
        let children = fs::read_to_string("/proc/thread-self/children").context("list children")?;
        for pid in children.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)) {
            // It may just have died by itself.
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
        match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(Some(_)) => {}
            Ok(None) => std::thread::sleep(Duration::from_millis(2)),
            Err(rustix::io::Errno::CHILD) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
    bail!("processes of the test cannot be killed: {}", fs::read_to_string("/proc/thread-self/children")?)
}

/// Role of the test's own process.
pub(crate) fn run(suites: &[Suite], arguments: &[String]) -> ExitCode {
    match try_run(suites, arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("harness: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn try_run(suites: &[Suite], arguments: &[String]) -> Result<bool> {
    let [name, place, dir] = arguments else { bail!("wrong arguments {arguments:?}") };
    let (_, test, _) = suites
        .iter()
        .flat_map(Suite::tests)
        .find(|(known, _, _)| known == name)
        .with_context(|| format!("there is no test {name}"))?;
    let env = Env::new(place.parse()?, Path::new(dir))?;
    let outcome = (test.body)(&env);
    let report = Report {
        failure: outcome.as_ref().err().map(|error| format!("{error:?}")),
        figures: env.into_figures(),
        ..Report::default()
    };
    fs::write(Path::new(dir).join(REPORT), serde_json::to_vec(&report)?)?;
    Ok(report.failure.is_none())
}

/// The last `bytes` of a file, made printable.
pub(crate) fn tail(path: &Path, bytes: u64) -> Result<String> {
    let mut file = File::open(path).with_context(|| format!("open {}", path.display()))?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(bytes)))?;
    let mut end = Vec::new();
    file.read_to_end(&mut end)?;
    Ok(String::from_utf8_lossy(&end).into_owned())
}
