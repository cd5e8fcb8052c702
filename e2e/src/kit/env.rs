//! The environment a test runs in.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::shared::SharedAgent;
use crate::place::Place;

/// Where the binaries are in a guest.
pub(crate) const GUEST_BIN: &str = "/bin";

/// One test's environment: where it runs, a directory of its own, the binaries under test.
pub struct Env {
    place: Place,
    dir: PathBuf,
    shared: Option<Rc<SharedAgent>>,
    figures: RefCell<BTreeMap<String, f64>>,
}

impl Env {
    pub(crate) fn new(place: Place, dir: PathBuf, shared: Option<Rc<SharedAgent>>) -> Result<Self> {
        std::fs::create_dir(&dir).context("make the test's directory")?;
        Ok(Self { place, dir, shared, figures: RefCell::default() })
    }

    /// The agent shared with the tests before and after, if the suite wants that.
    pub(super) fn shared(&self) -> Option<&Rc<SharedAgent>> {
        self.shared.as_ref()
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
        if self.place.is_native() {
            return crate::host::binaries::find(name);
        }
        let path = Path::new(GUEST_BIN).join(name);
        ensure!(path.is_file(), "{} is missing; {}", path.display(), crate::host::binaries::REMEDY);
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

    pub(crate) fn figures(&self) -> BTreeMap<String, f64> {
        self.figures.borrow().clone()
    }
}

impl Drop for Env {
    fn drop(&mut self) {
        // In a guest it lies in memory that the next test may need.
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}
