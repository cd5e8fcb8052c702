//! `nri-hook`: the plugin with all that belongs to it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;
use nri_plugin::DEFAULT_SOCKET;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::agent::Agent;
use crate::cli::HookFlags;
use crate::counters::Counters;
use crate::inject::Injection;
use crate::known::Known;
use crate::plugin::{Hook, Session};
use crate::replay::Replay;
use crate::spool::Spool;
use crate::status::{self, Status};
use crate::verdict::Judge;

/// Flags of `nri-hook`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// The runtime's NRI socket
    #[arg(long, value_name = "PATH", default_value = DEFAULT_SOCKET)]
    pub(crate) nri_socket: PathBuf,

    /// The plugin's place among all plugins, 00 to 99
    #[arg(long, value_name = "INDEX", default_value = "01")]
    pub(crate) nri_index: u8,

    /// The plugin's name
    #[arg(long, value_name = "NAME", default_value = "tetragon")]
    pub(crate) nri_name: String,

    #[command(flatten)]
    pub(crate) hook: HookFlags,

    /// Let every container pass, whatever the failure policy
    #[arg(long)]
    pub(crate) fail_open: bool,

    /// tetragon-oci-hook on the host: containers that may not start without the agent get it as createRuntime hook
    /// as well, so that they are refused even if this plugin ends after their creation
    #[arg(long, value_name = "PATH")]
    pub(crate) oci_hook_path: Option<PathBuf>,

    /// Namespace of our own pods, which are never refused there
    #[arg(long, value_name = "NAMESPACE", env = "POD_NAMESPACE")]
    pub(crate) own_namespace: Option<String>,

    /// File to keep counters in, as JSON, every second; SIGUSR1 logs them
    #[arg(long, value_name = "PATH")]
    pub(crate) status_file: Option<PathBuf>,
}

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// An option makes no sense. Neither a missing runtime nor a missing agent is an error.
pub(crate) fn run(options: Options) -> Result<()> {
    let hook_args = options.hook.for_hook();
    run_with(options, &hook_args)
}

/// As [`run`], with other arguments for the OCI hook.
///
/// # Errors
/// As [`run`].
pub(crate) fn run_with(options: Options, hook_args: &[String]) -> Result<()> {
    let nri =
        nri_plugin::Options::new(&options.nri_name, options.nri_index).context("--nri-name, --nri-index")?;
    let policy = options.hook.policy()?;
    let policy = (!options.fail_open).then_some(policy);
    let judge = Judge { policy, own_namespace: options.own_namespace.clone() };
    let injection = options.oci_hook_path.as_deref().map(|path| Injection::new(path, hook_args));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("cannot start")?;
    runtime.block_on(serve(options, nri, judge, injection))
}

async fn serve(
    options: Options,
    nri: nri_plugin::Options,
    judge: Judge,
    injection: Option<Injection>,
) -> Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut report = signal(SignalKind::user_defined1())?;
    let counters = Arc::<Counters>::default();
    let agent = Arc::new(Agent::new(options.hook.grpc_address.clone(), Arc::clone(&counters)));
    let known = Arc::<Known>::default();
    let spool = Spool::new(options.hook.spool_dir.clone());
    let replay = Arc::new(Replay {
        agent: Arc::clone(&agent),
        known: Arc::clone(&known),
        spool: spool.clone(),
        counters: Arc::clone(&counters),
        passes: watch::Sender::default(),
    });
    let hook = Arc::new(Hook {
        agent: Arc::clone(&agent),
        known: Arc::clone(&known),
        judge: Arc::new(judge),
        replay: Arc::clone(&replay),
        spool,
        counters: Arc::clone(&counters),
        injection,
        limit: options.hook.grpc_timeout,
        session: Session::default(),
    });
    let status =
        Status { hook: Arc::clone(&hook), agent: Arc::clone(&agent), known, counters, nri: nri.counters() };

    let asked = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    let on_the_side = async {
        let reports = async {
            while report.recv().await.is_some() {
                status.log();
            }
        };
        let file = async {
            if let Some(path) = &options.status_file {
                status.keep(path).await;
            }
        };
        tokio::join!(agent.supervise(), replay.run(), reports, file);
    };
    tokio::select! {
        () = nri_plugin::serve(&options.nri_socket, &nri, hook, asked) => {}
        // Never ends.
        () = on_the_side => {}
    }
    // What nobody waited for, such as removals, gets a moment.
    tokio::time::sleep(Duration::from_millis(50)).await;
    status.log();
    if let Some(path) = &options.status_file {
        status::write(path, &status.report()).with_context(|| path.display().to_string())?;
    }
    Ok(())
}
