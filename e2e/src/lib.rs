//! End-to-end tests on real kernels.
//!
//! A test is a plain function that runs *inside* the environment under test, as root, and says on which kernels it
//! runs. The same static binary plays every part:
//!
//! ```text
//! cargo test ──► host ──► one QEMU boot per (kernel, boot options) ──► guest init ─┐
//!                 └─────────────────── this machine's own kernel ──────────────────┴─► supervisor ─► test
//! ```
//!
//! [`main`] is the entry point of the test binary: on a developer's machine it is a command line test runner, as
//! process 1 of a virtual machine it runs the plan that the host packed beside it, and between the two it supervises
//! one process per test, so that a crash or a hang costs one test and nothing is left running.

pub mod bench;
pub mod guest;
pub mod host;
pub mod kit;
pub mod place;
mod protocol;
mod runner;
pub mod suite;

use std::process::ExitCode;

pub use place::Place;
pub use suite::{Suite, Test};

/// Runs the test binary in whatever role its process id and arguments give it.
pub fn main(suites: &[Suite]) -> ExitCode {
    if std::process::id() == 1 {
        guest::init(guest::run_plan);
    }
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some(runner::SUPERVISE) => runner::supervise(&arguments[2..]),
        Some(runner::RUN) => runner::run(suites, &arguments[2..]),
        _ => host::main(suites),
    }
}
