//! Finds the binaries under test.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// Overrides where the binaries are looked for.
const DIRECTORY: &str = "TETRAGON_BIN_DIR";

/// What to do when one is missing.
pub const REMEDY: &str = "build it first (`cargo build --release -p tetragon -p tetra`), or name the directory in TETRAGON_BIN_DIR";

/// Programs of the harness itself: always those of this very build.
const OWN: &[&str] = &["actor"];

/// One of our binaries, beside this one unless overridden; an error with the remedy if it has not been built.
pub fn find(name: &str) -> Result<PathBuf> {
    let directory = match std::env::var_os(DIRECTORY) {
        Some(directory) if !OWN.contains(&name) => directory.into(),
        _ => own_directory()?,
    };
    let path = directory.join(name);
    if !path.is_file() {
        bail!("{} is missing; {REMEDY}", path.display());
    }
    Ok(path)
}

fn own_directory() -> Result<PathBuf> {
    let own = std::env::current_exe().context("find this binary")?;
    let directory = own.parent().context("this binary has no directory")?;
    Ok(match directory.file_name() {
        Some(name) if name == "deps" => directory.parent().unwrap_or(directory).to_owned(),
        _ => directory.to_owned(),
    })
}

/// A program of the machine that the harness calls; an error with the package if it is missing.
pub fn system(program: &str, package: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|directory| directory.join(program))
        .find(|candidate| candidate.is_file())
        .with_context(|| format!("{program} is missing; install the Debian package {package}"))
}

/// Where the harness keeps what it fetched.
pub fn cache() -> PathBuf {
    std::env::var_os("TETRAGON_E2E_CACHE")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../.cache"), PathBuf::from)
}
