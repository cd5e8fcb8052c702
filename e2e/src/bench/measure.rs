//! The side that measures: runs where the agent runs.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::hooks;
use super::options::{Other, Plan};
use super::policies;
use super::proc::{Cpu, Memory};
use super::programs::{Measuring, Programs};
use super::storm::{Program, mean_us, quantile_us};
use crate::kit::{Agent, Env, Launch};

/// Native time for an agent to show its first event; the slowest known needs longer than ours.
const START_CAP: Duration = Duration::from_secs(15);
/// Native time for the last event to arrive after a storm.
const ARRIVAL_CAP: Duration = Duration::from_secs(10);
/// Native time without an event after which those of the start have all come.
const SETTLE: Duration = Duration::from_millis(100);
/// Between two processes that wait to be seen by a starting agent.
const BEACON: Duration = Duration::from_millis(20);
/// Processes that warm up caches before anything is measured.
const WARM_UP: u32 = 100;
const WITHOUT: &str = "without";

/// An agent to measure; figures are named after it.
struct Candidate {
    name: &'static str,
    program: PathBuf,
    arguments: Vec<String>,
}

/// A candidate that runs.
struct Running {
    agent: Agent,
    export: Export,
}

/// The body of the benchmark.
pub(super) fn measure(env: &Env) -> Result<()> {
    let plan = Plan::read(env.place())?;
    if plan.policies {
        return policies::measure(env).context("policies");
    }
    let program = Program::write(env)?;
    let mut candidates =
        vec![Candidate { name: "tetragon", program: env.binary("tetragon")?, arguments: Vec::new() }];
    if let Some(other) = &plan.other {
        candidates.push(install(env, other)?);
    }
    program.run_in_turn(WARM_UP)?;
    measure_latency(env, &plan, &program, &candidates)?;
    let bare = program.storm(plan.execs)?;
    record(env, WITHOUT, "storm_us_per_exec", per_exec(bare, &plan));
    for candidate in &candidates {
        measure_storms(env, &plan, &program, candidate).with_context(|| candidate.name.to_owned())?;
    }
    hooks::measure(env).context("runtime hooks")?;
    policies::measure(env).context("policies")
}

fn record(env: &Env, subject: &str, figure: &str, value: f64) {
    env.record(format!("{subject}/{figure}"), value);
}

fn per_exec(time: Duration, plan: &Plan) -> f64 {
    time.as_secs_f64() * 1e6 / f64::from(plan.execs)
}

/// Puts the other agent's files where it expects them.
fn install(env: &Env, other: &Other) -> Result<Candidate> {
    if !env.place().is_native() {
        for (from, to) in &other.files {
            if let Some(directory) = to.parent() {
                fs::create_dir_all(directory)?;
            }
            fs::rename(from, to).with_context(|| format!("place {}", to.display()))?;
        }
    }
    Ok(Candidate { name: "other", program: other.program.clone(), arguments: other.arguments.clone() })
}

/// Rounds of processes without an agent and with each, forwards and backwards in turn, so that what drifts (caches,
/// neighbours, temperature) reaches all alike.
fn measure_latency(env: &Env, plan: &Plan, program: &Program, candidates: &[Candidate]) -> Result<()> {
    let mut latencies: BTreeMap<&str, Vec<Duration>> = BTreeMap::new();
    let mut starts: BTreeMap<&str, Vec<StartUp>> = BTreeMap::new();
    for round in 0..plan.rounds {
        let mut turns: Vec<Option<&Candidate>> = vec![None];
        turns.extend(candidates.iter().map(Some));
        if round % 2 == 1 {
            turns.reverse();
        }
        for turn in turns {
            let running = match turn {
                Some(candidate) => {
                    let (running, start) = candidate.start(env, program)?;
                    starts.entry(candidate.name).or_default().push(start);
                    Some(running)
                }
                None => None,
            };
            let name = turn.map_or(WITHOUT, |candidate| candidate.name);
            latencies.entry(name).or_default().extend(program.run_in_turn(plan.round_execs)?);
            if let Some(running) = running {
                running.agent.stop()?;
            }
        }
    }
    let bare = &latencies[WITHOUT];
    for (name, times) in &latencies {
        record(env, name, "latency_mean_us", mean_us(times));
        record(env, name, "latency_p50_us", quantile_us(times, 0.50));
        record(env, name, "latency_p99_us", quantile_us(times, 0.99));
        if *name != WITHOUT {
            record(env, name, "added_mean_us", mean_us(times) - mean_us(bare));
            record(env, name, "added_p50_us", quantile_us(times, 0.50) - quantile_us(bare, 0.50));
            record(env, name, "added_p99_us", quantile_us(times, 0.99) - quantile_us(bare, 0.99));
        }
    }
    for (name, starts) in &starts {
        let median = |part: fn(&StartUp) -> Duration| {
            quantile_us(&starts.iter().map(part).collect::<Vec<_>>(), 0.5) / 1e3
        };
        record(env, name, "start_first_event_ms", median(|start| start.first_event));
        record(env, name, "start_first_live_ms", median(|start| start.first_live));
        record(env, name, "start_listening_ms", median(|start| start.listening));
    }
    Ok(())
}

/// Memory, processor time, losses, and the price of each BPF program.
fn measure_storms(env: &Env, plan: &Plan, program: &Program, candidate: &Candidate) -> Result<()> {
    let note = |figure: &str, value: f64| record(env, candidate.name, figure, value);
    let mut size = fs::metadata(&candidate.program)?.len();
    if let Some(other) = plan.other.as_ref().filter(|_| candidate.name == "other") {
        for (from, to) in &other.files {
            size += fs::metadata(if env.place().is_native() { from } else { to })?.len();
        }
    }
    note("binary_mb", size as f64 / 1e6);

    let foreign = Programs::read()?.ids();
    let (mut running, _) = candidate.start(env, program)?;
    std::thread::sleep(env.patience(Duration::from_secs(1)));
    let pid = running.agent.pid();
    note_memory(&note, "idle", Memory::of(pid)?);

    let storm = running.storm(env, plan, program)?;
    note_memory(&note, "after", Memory::of(pid)?);
    note("storm_us_per_exec", per_exec(storm.took, plan));
    note("cpu_us_per_pair", per_exec(storm.cpu.total, plan));
    note("cpu_user_us_per_pair", per_exec(storm.cpu.user, plan));
    note("cpu_system_us_per_pair", per_exec(storm.cpu.system, plan));
    let mut wanted = 2 * u64::from(plan.execs);
    let mut missing = storm.missing;

    let stream = running.agent.events()?;
    let storm = running.storm(env, plan, program)?;
    note("cpu_us_per_pair_with_stream", per_exec(storm.cpu.total, plan));
    drop(stream);
    wanted += 2 * u64::from(plan.execs);
    missing += storm.missing;

    match Measuring::start() {
        Ok(measuring) => {
            let before = Programs::read()?;
            let storm = running.storm(env, plan, program)?;
            let runs = Programs::read()?.since(&before, &foreign);
            drop(measuring);
            wanted += 2 * u64::from(plan.execs);
            missing += storm.missing;
            let mut sum = 0;
            for runs in runs {
                sum += runs.nanoseconds;
                let name = format!("bpf/{}", runs.name);
                note(&format!("{name}/ns_per_run"), runs.nanoseconds as f64 / runs.count as f64);
                note(&format!("{name}/runs_per_exec"), runs.count as f64 / f64::from(plan.execs));
            }
            note("bpf_us_per_exec", sum as f64 / 1e3 / f64::from(plan.execs));
        }
        // Not every machine lets its settings be changed; the table then has no such lines.
        Err(error) => eprintln!("the BPF programs' own cost is not known: {error:#}"),
    }

    note("events_wanted", wanted as f64);
    note("events_missing", missing as f64);
    // Only an agent of ours keeps a ledger.
    if let Ok(ledger) = running.agent.ledger() {
        note("ledger_lost", ledger.lost() as f64);
        // The stream ended in the middle; what was queued for it then is no loss.
        let exports = ledger.sinks("export");
        note("ledger_dropped", exports.iter().map(|sink| sink.dropped + sink.failed).sum::<u64>() as f64);
    }
    running.agent.stop()?;
    Ok(())
}

fn note_memory(note: &impl Fn(&str, f64), when: &str, memory: Memory) {
    let megabytes = |kilobytes: u64| kilobytes as f64 * 1024.0 / 1e6;
    note(&format!("rss_{when}_mb"), megabytes(memory.rss));
    note(&format!("rss_anonymous_{when}_mb"), megabytes(memory.anonymous));
    if let Some(proportional) = memory.proportional {
        note(&format!("pss_{when}_mb"), megabytes(proportional));
    }
}

/// How long after its start an agent showed itself.
#[derive(Debug, Clone, Copy)]
struct StartUp {
    /// The first event of any process was in the export file.
    first_event: Duration,
    /// So was one of a process that began after the agent.
    first_live: Duration,
    /// It said in its log that it is ready.
    listening: Duration,
}

impl Candidate {
    fn start(&self, env: &Env, beacon: &Program) -> Result<(Running, StartUp)> {
        let mut launch = Launch::new(env)?.program(&self.program).arg("--export-file-max-size-mb=1000");
        for argument in &self.arguments {
            launch = launch.arg(argument);
        }
        let begun = Instant::now();
        let agent = launch.start_unready()?;
        let mut export = Export::new(agent.path("events.json"), beacon);
        let (mut first_event, mut first_live) = (None, None);
        let mut beacons = 0;
        env.eventually("the first event", START_CAP, || {
            anyhow::ensure!(agent.is_running()?, "the agent ended:\n{}", agent.log());
            export.read()?;
            if export.lines > 0 {
                first_event.get_or_insert_with(|| begun.elapsed());
            }
            if export.matching > 0 {
                first_live.get_or_insert_with(|| begun.elapsed());
                return Ok(Some(()));
            }
            if begun.elapsed() > beacons * BEACON {
                beacons += 1;
                beacon.run()?;
            }
            Ok(None)
        })?;
        agent.wait_ready()?;
        let listening = begun.elapsed();
        export.fall_silent(env)?;
        let start = StartUp {
            first_event: first_event.unwrap_or(listening),
            first_live: first_live.unwrap_or(listening),
            listening,
        };
        Ok((Running { agent, export }, start))
    }
}

/// What a storm did to an agent.
struct Storm {
    took: Duration,
    cpu: Cpu,
    /// Events that did not come.
    missing: u64,
}

impl Running {
    fn storm(&mut self, env: &Env, plan: &Plan, program: &Program) -> Result<Storm> {
        let pid = self.agent.pid();
        let wanted = self.export.matching + 2 * u64::from(plan.execs);
        let before = Cpu::of(pid)?;
        let took = program.storm(plan.execs)?;
        let got = self.export.settle(env, wanted)?;
        let cpu = Cpu::of(pid)?.since(before);
        Ok(Storm { took, cpu, missing: wanted.saturating_sub(got) })
    }
}

/// An export file that grows.
struct Export {
    path: PathBuf,
    pattern: String,
    file: Option<BufReader<File>>,
    line: String,
    lines: u64,
    /// Lines about the program of the storms.
    matching: u64,
}

impl Export {
    fn new(path: PathBuf, program: &Program) -> Self {
        let pattern = format!("\"binary\":\"{}\"", program.path().display());
        Self { path, pattern, file: None, line: String::new(), lines: 0, matching: 0 }
    }

    /// Reads what has come since the last time.
    fn read(&mut self) -> Result<()> {
        if self.file.is_none() {
            self.file = File::open(&self.path).ok().map(BufReader::new);
        }
        let Some(file) = &mut self.file else { return Ok(()) };
        while file.read_line(&mut self.line).context("read the export file")? > 0 {
            // The rest of an unfinished line comes with the next reading.
            if self.line.ends_with('\n') {
                self.lines += 1;
                self.matching += u64::from(self.line.contains(&self.pattern));
                self.line.clear();
            }
        }
        Ok(())
    }

    /// Waits until what was on its way has come: nobody knows how many of the first processes the agent has seen.
    fn fall_silent(&mut self, env: &Env) -> Result<()> {
        loop {
            let before = self.matching;
            std::thread::sleep(env.patience(SETTLE));
            self.read()?;
            if self.matching == before {
                return Ok(());
            }
        }
    }

    /// Waits until so many events of the program have come, or time is up; how many have.
    fn settle(&mut self, env: &Env, wanted: u64) -> Result<u64> {
        let deadline = Instant::now() + env.patience(ARRIVAL_CAP);
        loop {
            self.read()?;
            if self.matching >= wanted || Instant::now() > deadline {
                return Ok(self.matching);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
