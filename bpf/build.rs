//! Compiles the BPF object with clang. One object serves every kernel; nothing here looks at the running one.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context, Result, bail};

/// Tried in this order when `CLANG` is not set.
const COMPILERS: &[&str] = &["clang-19", "clang-20", "clang-21", "clang"];

fn main() -> Result<()> {
    println!("cargo::rerun-if-env-changed=CLANG");
    watch(Path::new("c"))?;

    let out = PathBuf::from(env::var("OUT_DIR")?);
    let arch = env::var("CARGO_CFG_TARGET_ARCH")?;
    let (define, multiarch) = match arch.as_str() {
        "x86_64" => ("__TARGET_ARCH_x86", "x86_64-linux-gnu"),
        "aarch64" => ("__TARGET_ARCH_arm64", "aarch64-linux-gnu"),
        other => bail!("no BPF programs for the architecture {other} yet: only x86_64 and aarch64"),
    };
    let clang = compiler()?;
    // Kernels before 6.1 need an object of their own for the sake of a few maps' flags.
    let objects: [(&str, &str, &[&str]); 5] = [
        ("tetragon.bpf", "tetragon.bpf", &[]),
        ("tetragon.bpf", "tetragon-preallocate.bpf", &["-DPREALLOCATE"]),
        ("policy.bpf", "policy.bpf", &[]),
        ("trampoline.bpf", "trampoline.bpf", &["-DPREEMPTIBLE"]),
        // Without atomics that kernels before 5.12 do not have.
        ("trampoline.bpf", "trampoline-per-cpu.bpf", &[]),
    ];
    for (source, object, defines) in objects {
        let status = Command::new(&clang)
            .args(["-target", "bpf", "-mcpu=v3", "-O2", "-g", "-std=gnu11"])
            .args(["-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter"])
            .arg(format!("-D{define}"))
            .args(defines)
            .arg(format!("-I/usr/include/{multiarch}"))
            // Debug sections name source files by path; keep the build machine's out of the object.
            .arg(format!("-ffile-prefix-map={}=bpf", env::var("CARGO_MANIFEST_DIR")?))
            .arg("-c")
            .arg(format!("c/{source}.c"))
            .arg("-o")
            .arg(out.join(format!("{object}.o")))
            .status()
            .with_context(|| format!("run {clang}"))?;
        if !status.success() {
            bail!("{clang} could not compile bpf/c/{source}.c (its messages are above)");
        }
    }
    Ok(())
}

fn compiler() -> Result<String> {
    if let Ok(named) = env::var("CLANG") {
        return Ok(named);
    }
    COMPILERS
        .iter()
        .find(|name| Command::new(name).arg("--version").output().is_ok_and(|out| out.status.success()))
        .map(|name| (*name).to_owned())
        .context(
            "no clang found: install clang-19 (Debian: apt-get install clang-19 libbpf-dev) or set CLANG",
        )
}

fn watch(dir: &Path) -> Result<()> {
    println!("cargo::rerun-if-changed={}", dir.display());
    for entry in fs::read_dir(dir).with_context(|| format!("list {}", dir.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            watch(&path)?;
        } else {
            println!("cargo::rerun-if-changed={}", path.display());
        }
    }
    Ok(())
}
