//! What the agent costs a machine: `bench [native | KERNEL]... [--other AGENT [-- ARGUMENT...]]`.

use std::process::ExitCode;

fn main() -> ExitCode {
    tetragon_e2e::bench::main()
}
