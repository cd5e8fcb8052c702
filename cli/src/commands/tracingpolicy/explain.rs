//! `tetra tracingpolicy explain`: what policies become on this machine.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};
use tetragon_bpf::btf::Btf;
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
    let btf = options.btf.display();
    let raw = fs::read(&options.btf)
        .with_context(|| format!("cannot read {btf}; name the kernel's type information with --btf"))?;
    let view = Btf::parse(&raw).with_context(|| format!("{btf} is no BTF of this machine's byte order"))?;
    let kernel = Kernel::new(view, &options.tracefs);
    let (mut programs, mut refused) = (Vec::new(), 0);
    for file in &options.files {
        let outcome = load_file(file).map_err(|errors| errors.to_string()).and_then(|policy| {
            compile(&policy, &kernel, Arch::current()).map_err(|errors| {
                let lines: Vec<_> = errors.iter().map(|error| format!("\n  {error}")).collect();
                format!("{} cannot be loaded on this kernel:{}", policy.origin, lines.concat())
            })
        });
        match outcome {
            Ok(program) => programs.push(program),
            Err(text) => {
                refused += 1;
                output::to_stderr(&text);
            }
        }
    }
    output::print(&match options.output {
        Format::Text => programs.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
        Format::Json => serde_json::to_string_pretty(&programs)? + "\n",
    })?;
    if refused > 0 {
        bail!("{refused} of {} policies would be refused", options.files.len());
    }
    Ok(())
}
