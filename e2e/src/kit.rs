//! What a test works with.

mod env;
pub mod mounts;

pub use env::Env;
