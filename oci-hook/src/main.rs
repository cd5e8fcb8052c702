//! What a container runtime runs while it creates a container: it tells the agent whose the container's cgroup is,
//! before anything in the container runs. See `README.md` for flags, exit codes and what happens when it cannot.
//!
//! From the outside in: flags and file (`settings`), the stages of a container's life (`hook`), a container as the
//! runtime describes it (`container`, from `stdin`, `bundle`, `cgroup`), and whom it is told to (`agent`, else `spool`).

mod agent;
mod annotations;
mod bundle;
mod cgroup;
mod container;
mod failure;
mod hook;
mod log;
mod settings;
mod spool;
mod stdin;
mod supervise;

use std::process::ExitCode;

use crate::settings::Command;

fn main() -> ExitCode {
    match settings::from_command_line(std::env::args_os()) {
        Ok(Command::Run(settings)) => {
            // What can fail unexpectedly does so on threads of its own; this is for what nobody thought of.
            std::panic::catch_unwind(|| hook::run(*settings)).unwrap_or_else(|_| {
                failure::to_stderr(&format!(
                    "tetragon-oci-hook: failing container: a mistake of the hook's own: {}",
                    supervise::last_panic()
                ));
                ExitCode::FAILURE
            })
        }
        Ok(Command::Show(text)) => {
            failure::to_stdout(&text);
            ExitCode::SUCCESS
        }
        Err(error) => {
            failure::to_stderr(&format!("tetragon-oci-hook: {error} (--help lists the flags)"));
            ExitCode::FAILURE
        }
    }
}
