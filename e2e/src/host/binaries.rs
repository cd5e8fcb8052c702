//! Finds the binaries under test.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// Overrides where the binaries are looked for.
const DIRECTORY: &str = "TETRAGON_BIN_DIR";

/// What to do when one is missing.
pub const REMEDY: &str = "build it first (`cargo build --release -p tetragon -p tetra`), or name the directory in TETRAGON_BIN_DIR";

/// The directory that holds them: that of this binary's build profile, if not overridden.
pub fn directory() -> Result<PathBuf> {
    if let Some(directory) = std::env::var_os(DIRECTORY) {
        return Ok(directory.into());
    }
    let own = std::env::current_exe().context("find this binary")?;
    let directory = own.parent().context("this binary has no directory")?;
    Ok(match directory.file_name() {
        Some(name) if name == "deps" => directory.parent().unwrap_or(directory).to_owned(),
        _ => directory.to_owned(),
    })
}

/// One of our binaries; an error with the remedy if it has not been built.
pub fn find(name: &str) -> Result<PathBuf> {
    let path = directory()?.join(name);
    if !path.is_file() {
        bail!("{} is missing; {REMEDY}", path.display());
    }
    Ok(path)
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
