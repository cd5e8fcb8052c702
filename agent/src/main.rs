//! `tetragon`: the node agent.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use tetragon::config::{self, Request};
use tetragon::{app, identity, logging};
use tracing::{error, warn};

/// Time for the last lines of the log.
const LOG_FLUSH: Duration = Duration::from_millis(500);

fn main() -> ExitCode {
    tetragon::kernel::tune_memory();
    let (config, warnings) =
        match config::load(std::env::args_os().skip(1), std::env::vars_os(), Path::new("/")) {
            Ok(Request::Run(config, warnings)) => (*config, warnings),
            Ok(Request::Print(text)) => {
                use std::io::Write;
                // A closed standard output is the reader's decision.
                let _ = std::io::stdout().write_all(text.as_bytes());
                return ExitCode::SUCCESS;
            }
            Err(errors) => return complain(&errors.to_string()),
        };
    // Threads that are there already would stay behind.
    let entered = identity::cgroupfs::enter_host_namespace(&config.procfs);
    let log =
        match logging::start(config.effective_log_level(), config.log_format, config.log_file.as_deref()) {
            Ok(log) => log,
            Err(error) => return complain(&error.to_string()),
        };
    for warning in warnings {
        warn!("{warning}");
    }
    if let Err(error) = entered {
        warn!(%error, "the host's cgroup namespace cannot be entered; in one of its own, the agent does not find the cgroups of others");
    }
    let outcome = app::run(config, log.level().clone());
    let code = match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!(error = format!("{error:#}"), "Failed to start tetragon");
            ExitCode::FAILURE
        }
    };
    log.flush(LOG_FLUSH);
    code
}

#[expect(clippy::print_stderr, reason = "there is no log yet")]
fn complain(text: &str) -> ExitCode {
    eprintln!("{text}");
    ExitCode::FAILURE
}
