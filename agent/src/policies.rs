//! Tracing policies in the agent: which are loaded, what they do in the kernel, what their events mean.

pub mod engine;
