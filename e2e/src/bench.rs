//! The benchmark of the whole agent: an exec storm without and with it, in one boot, beside another agent if asked for,
//! its answers to runtime hooks, and what policies cost.
//!
//! ```text
//! bench ──► options ──► one VM per kernel, or this machine ──► measure ──► figures ──► table
//!                                                                 └─ hooks, policies, storm, proc, programs
//! ```
//!
//! It is one test of the harness whose figures are shown instead of judged: emulation and shared processors make
//! absolute times meaningless elsewhere, ratios within one run hold.

mod hooks;
mod measure;
mod options;
mod policies;
mod proc;
mod programs;
mod storm;
mod table;

use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::host::binaries;
use crate::host::vm::{self, Vm};
use crate::place::{EVERYWHERE_AND_PREEMPTIBLE, Place};
use crate::protocol::{PlannedTest, Report};
use crate::suite::{Suite, Test};
use crate::{guest, runner};
use options::{Options, Plan};

/// Role of the process that measures on this machine; gets its plan from the environment.
const NATIVE: &str = "__native";
const TEST: &str = "bench::storm";
/// Native time for everything at the default sizes; stretched for VMs.
const CAP: Duration = Duration::from_secs(900);

/// Runs the benchmark in whatever role its process id and arguments give it.
pub fn main() -> ExitCode {
    if std::process::id() == 1 {
        guest::init(guest::run_plan);
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let suites = [Suite::new("bench", EVERYWHERE_AND_PREEMPTIBLE, [Test::new("storm", measure::measure)])];
    let outcome = match arguments.first().map(String::as_str) {
        Some(runner::SUPERVISE) => return runner::supervise(&arguments[1..]),
        Some(runner::RUN) => return runner::run(&suites, &arguments[1..]),
        Some(NATIVE) => measure_here(),
        _ => host(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn host(arguments: &[String]) -> Result<()> {
    let options = Options::parse(arguments)?;
    for place in &options.places {
        let report = run_at(*place, &options).with_context(|| place.to_string())?;
        if let Some(reason) = report.failure {
            bail!("{place}: {reason}\n\n---- printed ----\n{}", report.log);
        }
        let unit = if options.instructions { ", 1 µs = 1,000 instructions" } else { "" };
        println!("{}", table::render(&format!("{place}{unit}"), &options.plan_for(*place), &report.figures));
    }
    Ok(())
}

fn planned(place: Place) -> PlannedTest {
    let cap = CAP * place.slowness();
    PlannedTest {
        name: TEST.to_owned(),
        cap_ms: u64::try_from(cap.as_millis()).unwrap_or(u64::MAX),
        group: None,
        runtimes: false,
    }
}

fn run_at(place: Place, options: &Options) -> Result<Report> {
    let plan = serde_json::to_string(&options.plan_for(place))?;
    match place {
        Place::Native => {
            let output = Command::new("/proc/self/exe")
                .arg0(std::env::args_os().next().unwrap_or_default())
                .arg(NATIVE)
                .env(options::PLAN_VARIABLE, plan)
                .stderr(std::process::Stdio::inherit())
                .output()
                .context("start the measurement")?;
            serde_json::from_slice(&output.stdout)
                .with_context(|| format!("the measurement reported nothing ({})", output.status))
        }
        Place::Vm { kernel, preempt_full } => {
            let planned = [planned(place)];
            let mut machine = Vm::for_tests(kernel, preempt_full, place, &planned)?
                .with_file(options::PLAN_FILE.trim_start_matches('/'), plan.into_bytes());
            binaries::find("tetragon")?;
            for (name, from) in options.packed() {
                machine = machine.with_binary(&name, from);
            }
            if options.instructions {
                machine = machine.counting_instructions();
            }
            let mut result = None;
            let death =
                vm::run_plan(&machine, &planned, |_, report| result = result.take().or(Some(report)))?;
            if let Some(death) = death {
                bail!(death.reason);
            }
            result.context("the virtual machine reported nothing")
        }
    }
}

fn measure_here() -> Result<()> {
    let report = runner::run_isolated(&planned(Place::Native), Place::Native);
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}

impl Plan {
    fn read(place: Place) -> Result<Self> {
        let text = if place.is_native() {
            std::env::var(options::PLAN_VARIABLE).context("the plan is not in the environment")?
        } else {
            std::fs::read_to_string(options::PLAN_FILE).context("read the plan")?
        };
        serde_json::from_str(&text).context("understand the plan")
    }
}
