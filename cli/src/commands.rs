//! The commands, one file each.

pub(crate) mod completion;
pub(crate) mod containers;
pub(crate) mod cri;
pub(crate) mod getevents;
pub(crate) mod loglevel;
pub(crate) mod policyfilter;
pub(crate) mod probe;
pub(crate) mod rthooks;
pub(crate) mod sensors;
pub(crate) mod status;
pub(crate) mod tracingpolicy;
pub(crate) mod version;

use anyhow::{Context as _, Result};
use tokio::runtime::Builder;

use crate::cli::{Cli, Command};
use crate::signals::Stop;

/// Runs the command until it is done or a signal ends it.
pub(crate) fn run(cli: Cli) -> Result<()> {
    let Cli { global, command } = cli;
    // Commands run on this thread and may block it in a write; the other one hears signals and drives the connection.
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().context("runtime")?;
    let result = runtime.block_on(async {
        match command {
            Command::Completion(options) => completion::run(&options),
            Command::TracingPolicy(options) => tracingpolicy::run(&global, &options).await,
            Command::Sensors(options) => interruptible(sensors::run(&global, &options)).await,
            Command::GetEvents(options) => getevents::run(&global, &options, Stop::listen()?).await,
            Command::Status(options) => interruptible(status::run(&global, &options)).await,
            Command::Version(options) => interruptible(version::run(&global, &options)).await,
            Command::Probe(options) => interruptible(probe::run(&global, &options)).await,
            Command::LogLevel(options) => interruptible(loglevel::run(&global, &options)).await,
            Command::Containers(options) => interruptible(containers::run(&global, &options)).await,
            Command::Cri(options) => interruptible(cri::run(&global, &options)).await,
            Command::RtHooks(options) => interruptible(rthooks::run(&global, &options)).await,
            Command::PolicyFilter(options) => interruptible(policyfilter::run(&global, &options)).await,
            Command::Dump(options) => interruptible(policyfilter::dump(&global, &options)).await,
            Command::Debug(options) => interruptible(policyfilter::debug(&global, &options)).await,
        }
    });
    // Name look-ups run on threads of their own and cannot be interrupted.
    runtime.shutdown_background();
    result
}

async fn interruptible(command: impl Future<Output = Result<()>>) -> Result<()> {
    let mut stop = Stop::listen()?;
    tokio::select! {
        result = command => result,
        () = stop.requested() => anyhow::bail!("interrupted"),
    }
}
