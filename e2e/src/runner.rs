//! One process per test, or per group of tests that share an agent, below a supervisor that caps each test's time and
//! ends whatever it leaves behind.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, WaitOptions};
use serde::{Deserialize, Serialize};

use crate::kit::{Env, SharedAgent, cgroups};
use crate::place::Place;
use crate::protocol::{Message, PlannedTest, Report};
use crate::suite::{Suite, Test};

pub(crate) const SUPERVISE: &str = "__supervise";
pub(crate) const RUN: &str = "__run";

/// What the tests of one process print.
const LOG: &str = "log";
/// The tests of one process, as JSON.
const PLAN: &str = "plan.json";
/// Messages of the test process to its supervisor.
const PROGRESS: &str = "progress";
/// How the names of test directories, and of their control groups, begin.
pub(crate) const PREFIX: &str = "tetragon-e2e-";
const LOG_TAIL: u64 = 24 * 1024;
/// For the orderly end of a process whose tests are all done.
const END_CAP: Duration = Duration::from_secs(60);

/// Runs one test in a process of its own; never fails itself.
pub(crate) fn run_isolated(test: &PlannedTest, place: Place) -> Report {
    let mut outcome = None;
    run_batch(std::slice::from_ref(test), place, |message| {
        if let Message::Finished { report, .. } = message {
            outcome = Some(report);
        }
    });
    outcome.unwrap_or_else(|| Report::failed("the test was not run"))
}

/// Runs tests one after the other and tells of each beginning and end, exactly once.
pub(crate) fn run_batch(tests: &[PlannedTest], place: Place, mut tell: impl FnMut(Message)) {
    let mut left = tests;
    while let Some(first) = left.first() {
        let together = match &first.group {
            Some(group) => left.iter().take_while(|test| test.group.as_ref() == Some(group)).count(),
            None => 1,
        };
        // Told before the test can take this machine with it.
        tell(Message::Started { test: first.name.clone() });
        let mut finished = 0;
        let outcome = supervised(&left[..together], place, |message| {
            match &message {
                Message::Started { test } if *test == first.name => return,
                Message::Finished { .. } => finished += 1,
                _ => {}
            }
            tell(message);
        });
        if finished == 0 {
            let reason =
                outcome.err().map_or("the supervisor ended early".to_owned(), |error| format!("{error:#}"));
            tell(Message::Finished {
                test: first.name.clone(),
                report: Report::failed(format!("harness: {reason}")),
            });
            finished = 1;
        }
        // After a crash or a hang, the rest of a group gets a new process.
        left = &left[finished..];
    }
}

/// Runs tests in one process, as far as it gets.
fn supervised(tests: &[PlannedTest], place: Place, mut tell: impl FnMut(Message)) -> Result<()> {
    // Tests also run processes of other users.
    let dir = tempfile::Builder::new()
        .prefix(PREFIX)
        .permissions(fs::Permissions::from_mode(0o755))
        .tempdir()
        .context("make a test directory")?;
    fs::write(dir.path().join(PLAN), serde_json::to_vec(tests)?)?;
    let mut supervisor = Command::new("/proc/self/exe")
        .arg0(std::env::args_os().next().unwrap_or_default())
        .args([SUPERVISE, &place.to_string()])
        .arg(dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .context("start the supervisor")?;
    let output = supervisor.stdout.take().context("the supervisor's output is not connected")?;
    for line in BufReader::new(output).lines() {
        tell(serde_json::from_str(&line?).context("understand the supervisor")?);
    }
    let status = supervisor.wait()?;
    if !status.success() {
        bail!("the supervisor ended with {status}");
    }
    Ok(())
}

/// Role of the supervisor.
pub(crate) fn supervise(arguments: &[String]) -> ExitCode {
    succeed("supervisor", Supervisor::run(arguments))
}

/// Ends what runs in the control groups of supervisors that were killed, and removes it with their directories.
fn sweep() -> Result<()> {
    // In this order: a supervisor is there before its test makes a control group.
    let runs = cgroups::runs()?;
    let supervised = supervised_runs()?;
    for run in runs.difference(&supervised) {
        cgroups::remove(run)?;
        // What nobody needs any more may also stay.
        let _ = fs::remove_dir_all(std::env::temp_dir().join(run));
    }
    Ok(())
}

/// Names of the directories of all supervisors that run, which they have in their command lines.
fn supervised_runs() -> Result<BTreeSet<String>> {
    let mut runs = BTreeSet::new();
    for process in fs::read_dir("/proc").context("list processes")? {
        let line = fs::read(process?.path().join("cmdline")).unwrap_or_default();
        let mut words = line.split(|byte| *byte == 0).skip(1);
        if words.next() == Some(SUPERVISE.as_bytes())
            && let Some(name) = words.nth(1).and_then(|dir| Path::new(OsStr::from_bytes(dir)).file_name())
        {
            runs.insert(name.to_string_lossy().into_owned());
        }
    }
    Ok(runs)
}

fn succeed(who: &str, outcome: Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{who}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn read_plan(dir: &Path) -> Result<Vec<PlannedTest>> {
    serde_json::from_slice(&fs::read(dir.join(PLAN)).context("read the plan")?).context("understand the plan")
}

/// What a test process tells its supervisor.
#[derive(Serialize, Deserialize)]
enum Progress {
    /// `log_start`: where in the log the test's part begins.
    Started {
        test: String,
        log_start: u64,
    },
    Finished {
        report: Report,
    },
}

/// Watches one test process.
struct Supervisor {
    dir: PathBuf,
    plan: Vec<PlannedTest>,
    progress: Lines,
    current: Option<Current>,
}

/// The test that runs.
struct Current {
    name: String,
    begun: Instant,
    cap: Duration,
    /// Where its part of the log begins.
    log_start: u64,
}

impl Supervisor {
    fn run(arguments: &[String]) -> Result<()> {
        let [place, dir] = arguments else { bail!("wrong arguments {arguments:?}") };
        let dir = PathBuf::from(dir);
        // Whatever the test leaves behind becomes our child and can be found.
        rustix::process::set_child_subreaper(Some(rustix::process::getpid())).context("become subreaper")?;
        if place.parse::<Place>()?.is_native() {
            crate::kit::mounts::private_view().context("prepare this machine's mounts")?;
        }
        sweep().context("remove what killed runs have left")?;
        let log = File::create(dir.join(LOG))?;
        File::create(dir.join(PROGRESS))?;
        let child = Command::new("/proc/self/exe")
            .arg0("tetragon-e2e-test")
            .args([RUN, place])
            .arg(&dir)
            // Errors say where they come from by their context; panics keep theirs.
            .env("RUST_LIB_BACKTRACE", "0")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("start the test")?;
        let progress = Lines::new(File::open(dir.join(PROGRESS))?);
        let plan = read_plan(&dir)?;
        let mut supervisor = Self { dir, plan, progress, current: None };
        let end = supervisor.watch(child.id());
        kill_descendants()?;
        supervisor.give_up(end?)?;
        let name = supervisor.dir.file_name().and_then(OsStr::to_str).context("the directory has no name")?;
        cgroups::remove(name)
    }

    /// Until the process ends (how), or a test exceeds its cap (none).
    fn watch(&mut self, pid: u32) -> Result<Option<ExitStatus>> {
        let mut idle_since = Instant::now();
        loop {
            let ended = reap(pid)?;
            while let Some(line) = self.progress.next()? {
                self.advance(serde_json::from_str(&line).context("understand the test process")?)?;
                idle_since = Instant::now();
            }
            if ended.is_some() {
                return Ok(ended);
            }
            let overdue = match &self.current {
                Some(current) => current.begun.elapsed() > current.cap,
                None => idle_since.elapsed() > END_CAP,
            };
            if overdue {
                return Ok(None);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn advance(&mut self, progress: Progress) -> Result<()> {
        match progress {
            Progress::Started { test, log_start } => {
                let planned = self.plan.iter().find(|planned| planned.name == test);
                let cap = Duration::from_millis(planned.map_or(0, |planned| planned.cap_ms));
                self.current = Some(Current { name: test.clone(), begun: Instant::now(), cap, log_start });
                tell(&Message::Started { test })
            }
            Progress::Finished { report } => self.finish(report),
        }
    }

    fn finish(&mut self, mut report: Report) -> Result<()> {
        let current = self.current.take().context("a test that has not begun")?;
        report.millis = u64::try_from(current.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        report.log = tail_from(&self.dir.join(LOG), current.log_start, LOG_TAIL)?;
        tell(&Message::Finished { test: current.name, report })
    }

    /// Reports the test that did not come to its end, if there is one.
    fn give_up(&mut self, end: Option<ExitStatus>) -> Result<()> {
        let Some(current) = &self.current else { return Ok(()) };
        let reason = match end {
            None => format!("did not end within {:?}", current.cap),
            Some(status) => format!("the test's process ended without a result ({status})"),
        };
        self.finish(Report::failed(reason))
    }
}

fn tell(message: &Message) -> Result<()> {
    println!("{}", serde_json::to_string(message)?);
    Ok(())
}

/// Reaps one child; its status if it is `pid`.
fn reap(pid: u32) -> Result<Option<ExitStatus>> {
    let pid = Pid::from_raw(pid.try_into()?).context("no such process id")?;
    while let Some((reaped, status)) = rustix::process::wait(WaitOptions::NOHANG)? {
        if reaped == pid {
            return Ok(Some(ExitStatus::from_raw(status.as_raw())));
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

/// Role of the process that the tests run in.
pub(crate) fn run(suites: &[Suite], arguments: &[String]) -> ExitCode {
    succeed("harness", try_run(suites, arguments))
}

fn try_run(suites: &[Suite], arguments: &[String]) -> Result<()> {
    let [place, dir] = arguments else { bail!("wrong arguments {arguments:?}") };
    let (place, dir) = (place.parse()?, Path::new(dir));
    let known: BTreeMap<String, &Test> =
        suites.iter().flat_map(Suite::tests).map(|(name, test, _)| (name, test)).collect();
    let plan = read_plan(dir)?;
    let shares = plan.first().is_some_and(|test| test.group.is_some());
    let shared = shares.then(|| Rc::new(SharedAgent::new(dir.join("agent"))));
    let mut progress = OpenOptions::new().append(true).open(dir.join(PROGRESS))?;
    for (index, planned) in plan.iter().enumerate() {
        let test = known.get(&planned.name).with_context(|| format!("there is no test {}", planned.name))?;
        let log_start = rustix::fs::fstat(std::io::stdout())?.st_size.try_into()?;
        write_line(&mut progress, &Progress::Started { test: planned.name.clone(), log_start })?;
        let env = Env::new(place, dir.join(format!("test-{index}")), shared.clone())?;
        let mut outcome = (test.body)(&env);
        if index + 1 == plan.len()
            && let Some(shared) = &shared
        {
            outcome = outcome.and(shared.stop().context("the shared agent, at the end of its suite"));
        }
        let failure = outcome.err().map(|error| format!("{error:?}"));
        let report = Report { failure, figures: env.figures(), ..Report::default() };
        write_line(&mut progress, &Progress::Finished { report })?;
    }
    Ok(())
}

fn write_line(file: &mut File, progress: &Progress) -> Result<()> {
    let mut line = serde_json::to_vec(progress)?;
    line.push(b'\n');
    file.write_all(&line).context("report progress")
}

/// The whole lines of a file that grows.
struct Lines {
    file: File,
    waiting: Vec<u8>,
}

impl Lines {
    fn new(file: File) -> Self {
        Self { file, waiting: Vec::new() }
    }

    fn next(&mut self) -> Result<Option<String>> {
        self.file.read_to_end(&mut self.waiting)?;
        let Some(end) = self.waiting.iter().position(|byte| *byte == b'\n') else { return Ok(None) };
        let line: Vec<u8> = self.waiting.drain(..=end).collect();
        Ok(Some(String::from_utf8(line)?))
    }
}

/// The last `bytes` of a file, made printable.
pub(crate) fn tail(path: &Path, bytes: u64) -> Result<String> {
    tail_from(path, 0, bytes)
}

/// The same of the part that begins at `start`.
fn tail_from(path: &Path, start: u64, bytes: u64) -> Result<String> {
    let mut file = File::open(path).with_context(|| format!("open {}", path.display()))?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(bytes).max(start)))?;
    let mut end = Vec::new();
    file.read_to_end(&mut end)?;
    Ok(String::from_utf8_lossy(&end).into_owned())
}
