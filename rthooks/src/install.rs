//! `install`, `uninstall` and `print-config`: the hook's binary on the host, and the runtime's knowledge of it.
//!
//! The binary has one name, which containers and hook files refer to. An upgrade replaces what is behind that name in
//! one step, so that at any moment a runtime finds a whole binary there, also for containers created before. Whoever
//! removes it breaks containers that are created and not started yet; that is only done when asked for.

mod binary;
mod hooks_dir;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::{Args, Parser, Subcommand, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::HookFlags;
use crate::nri_hook;

use hooks_dir::HookFile;

pub(crate) use binary::replace;

/// How a runtime comes to know the hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Interface {
    /// By a file in its hooks directory: CRI-O, podman
    OciHooks,
    /// By a plugin: containerd, CRI-O
    NriHook,
}

/// Flags of `install`.
#[derive(Debug, Args)]
pub(crate) struct Install {
    /// How the runtime comes to know the hook
    #[arg(long, value_enum, default_value = "oci-hooks")]
    interface: Interface,

    /// The hook's binary, here
    #[arg(long, value_name = "PATH", default_value = "/usr/bin/tetragon-oci-hook")]
    local_binary: PathBuf,

    /// The directory to install to, as it is seen here
    #[arg(long, value_name = "PATH")]
    local_install_dir: PathBuf,

    /// The same directory, as it is seen on the host
    #[arg(long, value_name = "PATH")]
    host_install_dir: PathBuf,

    /// oci-hooks: stay, and remove the hook's file when ended. nri-hook: run the plugin, which that interface needs
    #[arg(long)]
    daemonize: bool,

    /// With --daemonize: also remove the binary when ended; containers created and not started by then will fail
    #[arg(long)]
    purge: bool,

    /// The runtime's hooks directory, as it is seen here
    #[arg(long = "oci-hooks.local-dir", value_name = "PATH", default_value = "/hostHooks")]
    hooks_dir: PathBuf,

    /// The plugin's place among all plugins, 00 to 99
    #[arg(long = "nri-hook.index", value_name = "INDEX", default_value = "01")]
    nri_index: u8,

    /// The plugin's name
    #[arg(long = "nri-hook.name", value_name = "NAME", default_value = "tetragon")]
    nri_name: String,

    /// The runtime's NRI socket
    #[arg(long = "nri-hook.socket", value_name = "PATH", default_value = nri_plugin::DEFAULT_SOCKET)]
    nri_socket: PathBuf,

    /// File in which the plugin keeps its counters
    #[arg(long = "nri-hook.status-file", value_name = "PATH")]
    status_file: Option<PathBuf>,

    #[command(subcommand)]
    hook_args: Option<HookArgs>,
}

#[derive(Debug, Subcommand)]
enum HookArgs {
    /// All that follows is handed to the hook
    #[command(name = "hook-args", disable_help_flag = true)]
    HookArgs {
        /// Flags of tetragon-oci-hook
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
}

/// What `hook-args` may hold. The plugin goes by the failure policy and the address; the rest is the hook's.
#[derive(Debug, Parser)]
#[command(name = "hook-args", no_binary_name = true, disable_help_flag = true)]
struct PassedFlags {
    #[command(flatten)]
    hook: HookFlags,
    #[arg(long)]
    log_fname: Option<PathBuf>,
    #[arg(long)]
    log_level: Option<String>,
    #[arg(long, num_args = 0..=1, require_equals = true)]
    disable_grpc: Option<Option<bool>>,
}

/// Flags of `uninstall`.
#[derive(Debug, Args)]
pub(crate) struct Uninstall {
    /// How the runtime came to know the hook; only oci-hooks leaves something behind
    #[arg(long, value_enum, default_value = "oci-hooks")]
    interface: Interface,

    /// Name of the hook's binary
    #[arg(long, value_name = "NAME", default_value = "tetragon-oci-hook")]
    binary_name: String,

    /// The directory it was installed to, as it is seen here
    #[arg(long, value_name = "PATH")]
    local_install_dir: PathBuf,

    /// The runtime's hooks directory, as it is seen here
    #[arg(long = "oci-hooks.local-dir", value_name = "PATH", default_value = "/hostHooks")]
    hooks_dir: PathBuf,

    /// Also remove the binary; containers that are created and not started yet will fail
    #[arg(long)]
    purge: bool,
}

/// Flags of `print-config`.
#[derive(Debug, Args)]
pub(crate) struct PrintConfig {
    /// For which interface; nri-hook needs no file
    #[arg(long, value_enum, default_value = "oci-hooks")]
    interface: Interface,

    /// The hook's binary on the host
    #[arg(long, value_name = "PATH", default_value = "/opt/tetragon/tetragon-oci-hook")]
    binary: PathBuf,

    /// Arguments of the hook; may be repeated
    #[arg(long, value_name = "ARG", allow_hyphen_values = true)]
    args: Vec<String>,
}

/// Installs the hook; with `--daemonize`, ends on SIGTERM or SIGINT.
///
/// # Errors
/// Something cannot be read or written: what was installed before is as it was.
pub(crate) fn install(options: &Install) -> Result<()> {
    let name = options.local_binary.file_name().context("--local-binary names no file")?;
    let passed = match &options.hook_args {
        Some(HookArgs::HookArgs { args }) => args.as_slice(),
        None => &[],
    };
    let on_host = options.host_install_dir.join(name);
    let log = options.host_install_dir.join("tetragon-oci-hook.log");
    let mut args = vec!["--log-fname".to_owned(), log.display().to_string()];
    args.extend_from_slice(passed);
    // A mistake in them would otherwise be told by each container that fails.
    let flags = PassedFlags::try_parse_from(passed).context("hook-args")?;
    flags.hook.policy().context("hook-args")?;
    if options.interface == Interface::NriHook && !options.daemonize {
        bail!(
            "--interface=nri-hook needs --daemonize: it is this process that tells the runtime of the hook"
        );
    }

    let installed = options.local_install_dir.join(name);
    binary::install(&options.local_binary, &installed)?;
    match options.interface {
        Interface::NriHook => nri_hook::run_with(options.plugin(flags.hook, on_host), &args),
        Interface::OciHooks => {
            let file = HookFile::at(&options.hooks_dir, &name.to_string_lossy());
            let content = hooks_dir::content(&on_host, &args)?;
            if options.daemonize {
                stay(options, &file, &content, &installed)
            } else {
                file.write(&content).map(drop)
            }
        }
    }
}

impl Install {
    fn plugin(&self, hook: HookFlags, on_host: PathBuf) -> nri_hook::Options {
        nri_hook::Options {
            nri_socket: self.nri_socket.clone(),
            nri_index: self.nri_index,
            nri_name: self.nri_name.clone(),
            hook,
            fail_open: false,
            oci_hook_path: Some(on_host),
            own_namespace: std::env::var("POD_NAMESPACE").ok(),
            status_file: self.status_file.clone(),
        }
    }
}

/// Writes the hook's file, and removes it when asked to end.
fn stay(options: &Install, file: &HookFile, content: &[u8], installed: &Path) -> Result<()> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start")?;
    runtime.block_on(async {
        // Before there is something to remove.
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let written = file.write(content)?;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        // Unless a newer installation has replaced it.
        if file.remove_if(&written)? && options.purge {
            binary::remove(installed)?;
        }
        Ok(())
    })
}

/// Removes what `install` has written, as far as it is there.
///
/// # Errors
/// Something cannot be removed.
pub(crate) fn uninstall(options: &Uninstall) -> Result<()> {
    if options.interface == Interface::NriHook {
        bail!("--interface=nri-hook leaves no file behind: end the process that runs the plugin");
    }
    // The file first: from then on no container gets the hook.
    HookFile::at(&options.hooks_dir, &options.binary_name).remove()?;
    let installed = options.local_install_dir.join(&options.binary_name);
    if options.purge {
        binary::remove(&installed)?;
    } else if installed.exists() {
        tracing::info!(
            path = %installed.display(),
            "the binary stays, for containers that are created and not started yet; --purge removes it"
        );
    }
    Ok(())
}

/// Prints the file that makes a runtime call the hook.
///
/// # Errors
/// Standard output cannot be written.
pub(crate) fn print_config(options: &PrintConfig) -> Result<()> {
    use std::io::Write as _;

    if options.interface == Interface::NriHook {
        bail!("--interface=nri-hook needs no configuration of the hook");
    }
    let mut out = std::io::stdout();
    out.write_all(&hooks_dir::content(&options.binary, &options.args)?)?;
    Ok(out.flush()?)
}
