//! The contract seen from outside of the crate.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

mod compose;
mod contract;
mod json;
mod random;
mod service;
