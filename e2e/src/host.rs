//! The side of the developer's machine: choose tests, boot machines, report one result per test and place.

pub mod binaries;
mod console;
pub mod daemons;
pub mod debian;
pub mod initramfs;
pub mod kernels;
mod runtimes;
mod schedule;
mod selection;
pub mod vm;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Trial};

use crate::place::Place;
use crate::protocol::PlannedTest;
use crate::suite::Suite;
use schedule::Results;

/// Runs the selected tests and reports them the way `cargo test` does.
pub(crate) fn main(suites: &[Suite]) -> ExitCode {
    let mut arguments = Arguments::from_args();
    let mut batches: BTreeMap<Place, Vec<PlannedTest>> = BTreeMap::new();
    let results = Arc::new(Results::default());
    let mut trials = Vec::new();
    let mut preparations = Vec::new();
    let all = suites.iter().flat_map(|suite| suite.tests().map(move |test| (suite, test)));
    for (suite, (name, test, places)) in all {
        for place in places {
            let trial_name = format!("{place}::{name}");
            if selection::is_selected(&arguments, &trial_name) {
                let cap_ms = u64::try_from(test.cap(*place).as_millis()).unwrap_or(u64::MAX);
                batches.entry(*place).or_default().push(PlannedTest {
                    name: name.clone(),
                    cap_ms,
                    group: suite.group(),
                    runtimes: suite.uses_runtimes(),
                });
                preparations.extend(suite.preparation());
            }
            let (results, name, place) = (Arc::clone(&results), name.clone(), *place);
            trials.push(Trial::test(trial_name, move || results.wait(place, &name).map_err(Into::into)));
        }
    }
    let mut workers = Vec::new();
    if !arguments.list && !arguments.ignored {
        for prepare in preparations {
            // The tests that needed it say what is missing.
            if let Err(error) = prepare() {
                eprintln!("{error:#}");
            }
        }
        workers = schedule::start(batches, &results);
    }
    // A trial only waits for its result, so all may wait at once; what really runs at a time is the schedule's.
    arguments.test_threads = Some(trials.len().max(1));
    let conclusion = libtest_mimic::run(&arguments, trials);
    // The last tests' directories go after their results have come.
    for worker in workers {
        if worker.join().is_err() {
            eprintln!("a part of the harness panicked");
        }
    }
    if arguments.list {
        return conclusion.exit_code();
    }
    results.print_places();
    results.print_figures();
    results.print_failures();
    if let Err(error) = write_results(&results) {
        eprintln!("{error:#}");
    }
    conclusion.exit_code()
}

/// Where the last run's results are kept, one JSON object a line, the slowest test first.
const RESULTS: &str = "e2e-results.jsonl";

fn write_results(results: &Results) -> anyhow::Result<()> {
    let cache = binaries::cache();
    std::fs::create_dir_all(&cache)?;
    results.write(&cache.join(RESULTS))
}
