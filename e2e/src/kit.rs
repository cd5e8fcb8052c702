//! What a test works with.

mod env;
pub mod mounts;
pub mod process;
pub mod truth;

pub use env::Env;
pub use process::{Ended, Reported};
pub use truth::{Fact, Truth};
