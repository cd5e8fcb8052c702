//! What a test author writes down: functions, grouped, with the places they run at.

use std::time::Duration;

use crate::kit::Env;
use crate::place::Place;

/// The body of a test. It fails by returning an error or by panicking.
pub type Body = fn(&Env) -> anyhow::Result<()>;

/// One test; made by [`test!`](crate::test).
#[derive(Clone, Copy)]
pub struct Test {
    pub(crate) name: &'static str,
    pub(crate) body: Body,
    places: Option<&'static [Place]>,
    cap: Duration,
}

impl Test {
    /// A test that runs wherever its suite does.
    pub const fn new(name: &'static str, body: Body) -> Self {
        Self { name, body, places: None, cap: Duration::from_secs(60) }
    }

    /// Runs at these places instead of its suite's.
    #[must_use]
    pub const fn on(mut self, places: &'static [Place]) -> Self {
        self.places = Some(places);
        self
    }

    /// Allows it more or less than 60 seconds (multiplied by the place's slowness).
    #[must_use]
    pub const fn within(mut self, cap: Duration) -> Self {
        self.cap = cap;
        self
    }

    /// The longest it may run at `place`.
    pub fn cap(&self, place: Place) -> Duration {
        self.cap * place.slowness()
    }
}

/// Tests of one subject.
pub struct Suite {
    name: &'static str,
    places: &'static [Place],
    tests: Vec<Test>,
    shares_agent: bool,
    uses_runtimes: bool,
    preparation: Option<fn() -> anyhow::Result<()>>,
}

impl Suite {
    /// A suite whose tests run at `places` unless they say otherwise.
    pub fn new(name: &'static str, places: &'static [Place], tests: impl Into<Vec<Test>>) -> Self {
        Self {
            name,
            places,
            tests: tests.into(),
            shares_agent: false,
            uses_runtimes: false,
            preparation: None,
        }
    }

    /// Lets the tests run one after the other in one process, in which [`Watch::start`](crate::kit::Watch::start) gives
    /// them one agent: starting one takes longer than most tests. A crash or a hang still costs one test only.
    #[must_use]
    pub fn sharing_an_agent(mut self) -> Self {
        self.shares_agent = true;
        self
    }

    /// Puts container runtimes (runc, crun) into the virtual machines of these tests.
    #[must_use]
    pub fn with_runtimes(mut self) -> Self {
        self.uses_runtimes = true;
        self
    }

    pub(crate) fn uses_runtimes(&self) -> bool {
        self.uses_runtimes
    }

    /// Runs this on the developer's machine before any of its tests: fetch, build.
    #[must_use]
    pub fn after(mut self, preparation: fn() -> anyhow::Result<()>) -> Self {
        self.preparation = Some(preparation);
        self
    }

    pub(crate) fn preparation(&self) -> Option<fn() -> anyhow::Result<()>> {
        self.preparation
    }

    /// What tests must have in common to share a process.
    pub(crate) fn group(&self) -> Option<String> {
        self.shares_agent.then(|| self.name.to_owned())
    }

    /// Every test with its full name and the places it runs at.
    pub fn tests(&self) -> impl Iterator<Item = (String, &Test, &'static [Place])> {
        self.tests
            .iter()
            .map(|test| (format!("{}::{}", self.name, test.name), test, test.places.unwrap_or(self.places)))
    }
}

/// Names a test function for its suite: `test!(storm)`, `test!(storm).on(VMS)`.
#[macro_export]
macro_rules! test {
    ($body:ident) => {
        $crate::Test::new(stringify!($body), $body)
    };
}
