//! Tracing policies and other custom resources.

pub mod crd;
mod origin;
pub mod report;
mod schema;
mod source;
pub mod spec;

pub use origin::Origin;
