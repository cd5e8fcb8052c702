//! `tetra tracingpolicy explain`: what policies become on this machine.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use tetragon_crds::load_file;
use tetragon_crds::syscalls::Arch;
use tetragon_policy::{Kernel, compile};

use crate::output;

#[derive(Args, Debug)]
pub(super) struct Options {
    /// Policy files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Form of the output
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    output: Format,

    /// File with the kernel's type information
    #[arg(long, value_name = "FILE", default_value = "/sys/kernel/btf/vmlinux")]
    btf: PathBuf,

    /// Where the kernel's tracing file system is mounted
    #[arg(long, value_name = "DIRECTORY", default_value = "/sys/kernel/tracing")]
    tracefs: PathBuf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Text,
    Json,
}

pub(super) fn run(options: &Options) -> Result<()> {
    let mut kernel = Kernel::new(&options.btf, &options.tracefs);
    let (mut programs, mut refused) = (Vec::new(), Vec::new());
    for file in &options.files {
        let outcome = load_file(file).map_err(|errors| errors.to_string()).and_then(|policy| {
            compile(&policy, &kernel, Arch::current()).map_err(|errors| {
                let lines: Vec<_> = errors.iter().map(|error| format!("\n  {error}")).collect();
                format!("{} cannot be loaded on this kernel:{}", policy.origin, lines.concat())
            })
        });
        match outcome {
            Ok(program) => programs.push(program),
            Err(text) => refused.push(text),
        }
    }
    if let Some(problem) = kernel.forget() {
        bail!("{problem}; name the file with --btf");
    }
    refused.iter().for_each(|text| output::to_stderr(text));
    output::print(&match options.output {
        Format::Text => programs.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
        Format::Json => serde_json::to_string_pretty(&programs)? + "\n",
    })?;
    if !refused.is_empty() {
        bail!("{} of {} policies would be refused", refused.len(), options.files.len());
    }
    Ok(())
}
