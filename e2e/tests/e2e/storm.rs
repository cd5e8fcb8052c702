//! Many short processes: every one told once, with its exit and its parent; none lost, none invented.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tetragon_e2e::kit::lives::{Told, mark, true_lives};
use tetragon_e2e::kit::{Env, Launch, Truth, Watch, agent, process};
use tetragon_e2e::place::EVERYWHERE_AND_PREEMPTIBLE;
use tetragon_e2e::{Suite, test};

pub(crate) fn suite() -> Suite {
    Suite::new(
        "storm",
        EVERYWHERE_AND_PREEMPTIBLE,
        [
            test!(a_storm_has_as_many_processes_as_it_says).within(CAP),
            test!(every_process_is_told_once).within(CAP),
            test!(an_agent_started_in_the_middle_tells_of_all_that_live).within(CAP),
        ],
    )
}

const CAP: Duration = Duration::from_secs(240);
/// How long a storm rages before and after the start of an agent in its middle.
const MOMENT: Duration = Duration::from_millis(300);
/// Chains of processes that run beside one another.
const LANES: usize = 4;

/// A storm about to be: short processes of one program, half of them nested three deep.
pub(crate) struct Storm {
    program: PathBuf,
    /// How often each lane runs one process, then three nested ones.
    rounds: usize,
}

impl Storm {
    /// A storm of about `processes`.
    pub(crate) fn new(env: &Env, processes: usize) -> Result<Self> {
        Ok(Self { program: env.actor_copy("storm")?, rounds: processes / (LANES * 4) })
    }

    pub(crate) fn program(&self) -> &Path {
        &self.program
    }

    /// How many processes of the program there will be.
    pub(crate) fn processes(&self) -> usize {
        // Two per lane drive it.
        LANES * (self.rounds * 4 + 2)
    }

    /// Begins it.
    pub(crate) fn begin(&self, env: &Env) -> Result<Raging> {
        self.begin_lanes(env, &["storm"])
    }

    /// Begins one that has no end, once it has had its processes, before this file is there.
    fn begin_until(&self, env: &Env, file: &str) -> Result<Raging> {
        self.begin_lanes(env, &["storm-until", file])
    }

    fn begin_lanes(&self, env: &Env, verb: &[&str]) -> Result<Raging> {
        let program = self.program.to_str().context("path")?;
        let rounds = self.rounds.to_string();
        let lane = |verbs: &[&str]| -> Result<Child> {
            let mut command = Command::new(program);
            command.args(verb).args([&rounds, program]).args(verbs).current_dir(env.dir());
            command.spawn().context("begin the storm")
        };
        let mut lanes = Vec::new();
        for _ in 0..LANES {
            lanes.push(lane(&["exit", "0"])?);
            lanes.push(lane(&["nest", "3", program, "exit", "0"])?);
        }
        Ok(Raging(lanes))
    }

    /// All of it.
    pub(crate) fn run(&self, env: &Env) -> Result<()> {
        self.begin(env)?.end()
    }
}

/// A storm in progress.
pub(crate) struct Raging(Vec<Child>);

impl Raging {
    /// Waits for its end.
    pub(crate) fn end(self) -> Result<()> {
        for lane in self.0 {
            process::wait(lane)?.expect_code(0)?;
        }
        Ok(())
    }
}

/// As many as the place bears.
pub(crate) fn size(env: &Env) -> usize {
    if env.place().is_native() { 20_000 } else { 2_000 }
}

fn a_storm_has_as_many_processes_as_it_says(env: &Env) -> Result<()> {
    let storm = Storm::new(env, 160)?;
    let truth = Truth::record(4 * 1024)?;
    storm.run(env)?;
    let lives = true_lives(&truth.finish()?, storm.program());
    ensure!(lives.len() == storm.processes(), "{} processes instead of {}", lives.len(), storm.processes());
    ensure!(lives.iter().all(|life| life.ended.is_some() && life.parent != Some(0)), "{lives:?}");
    let ours = lives.iter().filter(|life| life.parent == Some(std::process::id())).count();
    ensure!(ours == 2 * LANES, "{ours} lanes");
    let nested =
        lives.iter().filter(|life| lives.iter().any(|parent| Some(parent.pid) == life.parent)).count();
    ensure!(nested == lives.len() - ours, "{nested} of {} have a parent in the storm", lives.len());
    Ok(())
}

/// Fully preemptible kernels skip programs, which is counted; what is missing then is for the tests to say.
fn end(env: &Env, watch: Watch<'_>) -> Result<()> {
    if env.place().to_string().contains("preempt") { watch.finish_with_losses() } else { watch.finish() }
}

fn every_process_is_told_once(env: &Env) -> Result<()> {
    let storm = Storm::new(env, size(env))?;
    let launch = Launch::new(env)?;
    let watch = Watch::launch(env, &launch)?;
    let truth = Truth::record(16 * 1024)?;
    let begun = std::time::Instant::now();
    storm.run(env)?;
    env.record("seconds", begun.elapsed().as_secs_f64());
    let facts = truth.finish()?;
    watch.catch_up()?;
    let streamed = watch.events.all();
    end(env, watch)?;

    let truth = true_lives(&facts, storm.program());
    ensure!(truth.len() == storm.processes(), "{} processes instead of {}", truth.len(), storm.processes());
    for (name, events) in [("stream", streamed), ("file", agent::exported(&launch.path("events.json"))?)] {
        let told = Told::sort(&events, storm.program()).context(name)?;
        told.check_complete(&truth).context(name)?;
    }
    Ok(())
}

fn an_agent_started_in_the_middle_tells_of_all_that_live(env: &Env) -> Result<()> {
    // It lasts as long as the agent takes to start, and a moment longer.
    let storm = Storm::new(env, 200)?;
    let marker = env.actor_copy("marker")?;
    let launch = Launch::new(env)?;
    let truth = Truth::record(64 * 1024)?;
    let raging = storm.begin_until(env, "enough")?;
    std::thread::sleep(env.patience(MOMENT));
    let watch = Watch::launch(env, &launch)?;
    // Whatever ends after this was alive when the agent had begun.
    process::run(&mut Command::new(&marker))?.expect_code(0)?;
    std::thread::sleep(env.patience(MOMENT));
    std::fs::write(env.file("enough"), "")?;
    raging.end()?;
    let facts = truth.finish()?;
    watch.catch_up()?;
    end(env, watch)?;

    let begun = mark(&facts, &marker)?;
    let truth = true_lives(&facts, storm.program());
    ensure!(truth.len() >= storm.processes(), "{} processes instead of {}", truth.len(), storm.processes());
    let before = truth.iter().filter(|life| life.ended.is_some_and(|ended| ended < begun)).count();
    let after = truth.iter().filter(|life| life.begun > begun).count();
    ensure!(before > 0 && after > 0, "not in the middle: {before} processes before, {after} after");
    // The stream begins after the scan; the file has it all.
    let events = agent::exported(&launch.path("events.json"))?;
    let told = Told::sort(&events, storm.program())?;
    env.record("processes before the agent", (truth.len() - told.count()) as f64);
    told.check_partial(&truth, |life| life.ended.is_none_or(|ended| ended > begun))
}
