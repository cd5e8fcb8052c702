//! The end-to-end tests.

mod bad_input;
mod cases;
mod fail_closed;
mod harness;
mod hooks;
mod identity;
mod losses;
mod oci;
mod policies;
mod running;
mod runtimes;
mod storm;
mod streams;

use std::process::ExitCode;

fn main() -> ExitCode {
    tetragon_e2e::main(&[
        harness::suite(),
        cases::suite(),
        running::suite(),
        runtimes::suite(),
        identity::suite(),
        fail_closed::suite(),
        storm::suite(),
        losses::suite(),
        streams::suite(),
        bad_input::suite(),
        oci::suite(),
        hooks::suite(),
        policies::suite(),
        policies::teams::suite(),
        policies::memory::suite(),
        // The last one: it locks the kernel for good.
        policies::locked::suite(),
    ])
}
