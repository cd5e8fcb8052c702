//! The environment a test runs in.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::place::Place;

/// Where the binaries are in a guest.
pub(crate) const GUEST_BIN: &str = "/bin";

/// One test's environment: where it runs, a directory of its own, the binaries under test.
pub struct Env {
    place: Place,
    dir: PathBuf,
    bin: PathBuf,
    figures: RefCell<BTreeMap<String, f64>>,
}

impl Env {
    pub(crate) fn new(place: Place, dir: &Path) -> Result<Self> {
        let bin = if place.is_native() { crate::host::binaries::directory()? } else { GUEST_BIN.into() };
        let dir = dir.join("files");
        std::fs::create_dir(&dir).context("make the test's directory")?;
        Ok(Self { place, dir, bin, figures: RefCell::default() })
    }

    /// Where the test runs.
    pub fn place(&self) -> Place {
        self.place
    }

    /// An empty directory that belongs to this test (tmpfs in a guest) and goes away with it.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A path below [`dir`](Self::dir).
    pub fn file(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.join(name)
    }

    /// One of our binaries: `tetragon`, `tetra`, `actor`.
    pub fn binary(&self, name: &str) -> Result<PathBuf> {
        let path = self.bin.join(name);
        if !path.exists() {
            bail!("{} is missing; {}", path.display(), crate::host::binaries::REMEDY);
        }
        Ok(path)
    }

    /// A time as on real hardware, stretched to what this place needs.
    pub fn patience(&self, native: Duration) -> Duration {
        native * self.place.slowness()
    }

    /// Keeps a measurement; the host collects them.
    pub fn record(&self, name: impl Into<String>, value: f64) {
        self.figures.borrow_mut().insert(name.into(), value);
    }

    pub(crate) fn into_figures(self) -> BTreeMap<String, f64> {
        self.figures.into_inner()
    }
}
