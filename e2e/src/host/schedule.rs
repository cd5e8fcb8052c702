//! Runs the batches, a bounded number at a time, and hands each waiting trial its result.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use anyhow::Context;
use serde::Serialize;

use super::vm::{self, Death, Vm};
use crate::place::Place;
use crate::protocol::{Message, PlannedTest, Report};
use crate::runner;

/// Overrides how many batches run at a time.
const JOBS: &str = "TETRAGON_E2E_JOBS";

/// Results of all tests as they come in.
#[derive(Default)]
pub(crate) struct Results {
    reports: Mutex<HashMap<(Place, String), Report>>,
    changed: Condvar,
}

impl Results {
    fn lock(&self) -> MutexGuard<'_, HashMap<(Place, String), Report>> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores a result unless there is one already.
    pub(crate) fn put(&self, place: Place, test: &str, report: Report) {
        self.lock().entry((place, test.to_owned())).or_insert(report);
        self.changed.notify_all();
    }

    /// Blocks until the test has run; the error is why it failed and what it printed.
    pub(crate) fn wait(&self, place: Place, test: &str) -> Result<(), String> {
        let key = (place, test.to_owned());
        let mut reports = self.lock();
        let report = loop {
            match reports.get(&key) {
                Some(report) => break report,
                None => reports = self.changed.wait(reports).unwrap_or_else(PoisonError::into_inner),
            }
        };
        match &report.failure {
            None => Ok(()),
            Some(reason) if report.log.is_empty() => Err(reason.clone()),
            Some(reason) => Err(format!("{reason}\n\n---- printed ----\n{}", report.log)),
        }
    }

    /// Writes all results to a file, slowest first, for whoever wants more than the summary.
    pub(crate) fn write(&self, path: &Path) -> anyhow::Result<()> {
        #[derive(Serialize)]
        struct Line<'a> {
            place: String,
            test: &'a str,
            #[serde(flatten)]
            report: &'a Report,
        }
        let reports = self.lock();
        let mut lines: Vec<Line<'_>> = reports
            .iter()
            .map(|((place, test), report)| Line { place: place.to_string(), test, report })
            .collect();
        lines.sort_by_key(|line| std::cmp::Reverse(line.report.millis));
        let mut file =
            BufWriter::new(File::create(path).with_context(|| format!("write {}", path.display()))?);
        for line in lines {
            serde_json::to_writer(&mut file, &line)?;
            file.write_all(b"\n")?;
        }
        file.flush().context("write the results")
    }

    /// Prints where each test passed, and where it did not.
    pub(crate) fn print_places(&self) {
        let reports = self.lock();
        let mut tests: BTreeMap<&str, [Vec<Place>; 2]> = BTreeMap::new();
        for ((place, test), report) in reports.iter() {
            tests.entry(test).or_default()[usize::from(report.failure.is_some())].push(*place);
        }
        for (test, mut places) in tests {
            let [passed, failed] = places.each_mut().map(|places| {
                places.sort_unstable();
                places.iter().map(|place| format!(" {place}")).collect::<String>()
            });
            let failed = if failed.is_empty() { failed } else { format!("; failed on{failed}") };
            println!("{test}: passed on{passed}{failed}");
        }
    }

    /// Prints why tests failed, once more, where the end of a long log shows it.
    pub(crate) fn print_failures(&self) {
        let reports = self.lock();
        let mut failures: Vec<String> = reports
            .iter()
            .filter_map(|((place, test), report)| {
                Some(format!("{place}::{test} failed: {}", abridged(report.failure.as_ref()?)))
            })
            .collect();
        failures.sort();
        for failure in failures {
            println!("{failure}");
        }
    }

    /// Prints what tests measured, one line each.
    pub(crate) fn print_figures(&self) {
        let reports = self.lock();
        let mut lines: Vec<String> = reports
            .iter()
            .flat_map(|((place, test), report)| {
                report
                    .figures
                    .iter()
                    .map(move |(figure, value)| format!("{place}::{test} {figure} = {value}"))
            })
            .collect();
        lines.sort();
        for line in lines {
            println!("{line}");
        }
    }
}

/// The beginning of a reason, in one line.
fn abridged(reason: &str) -> String {
    const SHOWN: usize = 600;
    let line: String = reason.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// Starts to run `batches` in the background, in these threads.
pub(crate) fn start(
    batches: BTreeMap<Place, Vec<PlannedTest>>,
    results: &Arc<Results>,
) -> Vec<JoinHandle<()>> {
    let queue: Arc<Mutex<VecDeque<_>>> = Arc::new(Mutex::new(batches.into_iter().collect()));
    let worker = |_| {
        let (queue, results) = (Arc::clone(&queue), Arc::clone(results));
        thread::spawn(move || {
            loop {
                let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                let Some((place, tests)) = next else { break };
                run_batch(place, &tests, &results);
                for test in &tests {
                    results.put(place, &test.name, Report::failed("the harness lost this test's result"));
                }
            }
        })
    };
    (0..jobs()).map(worker).collect()
}

/// An emulated machine of two processors seldom keeps both busy.
fn jobs() -> usize {
    std::env::var(JOBS)
        .ok()
        .and_then(|jobs| jobs.parse().ok())
        .unwrap_or_else(|| thread::available_parallelism().map_or(1, std::num::NonZero::get))
        .max(1)
}

fn run_batch(place: Place, tests: &[PlannedTest], results: &Results) {
    match place {
        Place::Native => {
            runner::run_batch(tests, place, |message| {
                if let Message::Finished { test, report } = message {
                    results.put(place, &test, report);
                }
            });
        }
        Place::Vm { kernel, preempt_full } => {
            if let Err(reason) = run_machines(kernel, preempt_full, place, tests, results) {
                for test in tests {
                    results.put(place, &test.name, Report::failed(reason.clone()));
                }
            }
        }
    }
}

/// Machines that may die at one place.
const DEATHS: u32 = 4;

/// Runs tests in a machine, and in another one what a machine that died has left.
///
/// The emulator may go on to run a breakpoint that the kernel has taken out of its code, which it does with every
/// tracepoint and kprobe: it then hangs ("soft lockup") or panics ("Oops: int3"), in one machine of ten that run policies.
/// That says nothing of the test that ran. A test that kills two machines has failed.
fn run_machines(
    kernel: &'static str,
    preempt_full: bool,
    place: Place,
    tests: &[PlannedTest],
    results: &Results,
) -> Result<(), String> {
    let mut left = tests.to_vec();
    let mut suspects = BTreeSet::new();
    for death in 1.. {
        let mut reported = BTreeSet::new();
        let ended = Vm::for_tests(kernel, preempt_full, place, &left).and_then(|machine| {
            vm::run_plan(&machine, &left, |test, report| {
                reported.insert(test.to_owned());
                results.put(place, test, report);
            })
        });
        let Some(Death { test, reason }) = ended.map_err(|error| format!("{error:#}"))? else { break };
        println!("{place}: machine {death} died; {reason}");
        left.retain(|it| !reported.contains(&it.name));
        if death >= DEATHS {
            return Err(reason);
        }
        if let Some(test) = test
            && !suspects.insert(test.clone())
        {
            results.put(place, &test, Report::failed(reason));
            left.retain(|it| it.name != test);
        }
    }
    Ok(())
}
