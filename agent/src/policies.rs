//! Tracing policies in the agent: which are loaded, what they do in the kernel, what their events mean.

pub mod catalogue;
pub mod encode;
pub mod engine;
pub mod in_kernel;
pub mod rules;
mod text;
