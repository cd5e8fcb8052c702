//! The end-to-end tests.

mod harness;

use std::process::ExitCode;

fn main() -> ExitCode {
    tetragon_e2e::main(&[harness::suite()])
}
