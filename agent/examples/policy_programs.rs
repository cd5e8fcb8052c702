//! Loads every program of the policy matcher, and prints what this kernel's verifier says of each: for work on the
//! programs. Needs root.

use std::path::PathBuf;
use std::process::ExitCode;

use tetragon::kernel::features::Features;
use tetragon::kernel::object::Maps;
use tetragon::kernel::policy::{Descriptions, PolicyKernel};
use tetragon_bpf::btf::Btf;

fn main() -> ExitCode {
    // Before 5.11 the kernel counts BPF memory against this limit.
    let unlimited = rustix::process::Rlimit { current: None, maximum: None };
    let _ = rustix::process::setrlimit(rustix::process::Resource::Memlock, unlimited);
    let descriptions = Descriptions {
        btf: PathBuf::from("/sys/kernel/btf/vmlinux"),
        tracefs: PathBuf::from("/sys/kernel/tracing"),
    };
    let raw = match std::fs::read(&descriptions.btf) {
        Ok(raw) => raw,
        Err(error) => {
            eprintln!("{}: {error}", descriptions.btf.display());
            return ExitCode::FAILURE;
        }
    };
    let Some(btf) = Btf::parse(&raw) else {
        eprintln!("{}: bad type information", descriptions.btf.display());
        return ExitCode::FAILURE;
    };
    let abilities = Features::probe(btf).abilities;
    println!("{abilities:?}");
    let mut kernel = PolicyKernel::new(Maps::new(), descriptions, abilities);
    let mut failed = false;
    for (name, result, took) in kernel.load_all() {
        match result {
            Ok(()) => println!("{name}: loaded in {took:?}"),
            Err(error) => {
                failed = true;
                println!("{name}: {error}");
            }
        }
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
