//! Tracing policies and other custom resources.

pub mod crd;
pub mod spec;
