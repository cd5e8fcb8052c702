//! The node agent.

pub mod app;
pub mod arguments;
pub mod clock;
pub mod config;
pub mod cri;
pub mod decode;
pub mod event;
pub mod export;
pub mod exporter;
pub mod fanout;
pub mod grpc;
pub mod identity;
pub mod kernel;
pub mod listen;
pub mod logging;
pub mod pipeline;
pub mod policies;
pub mod process;
pub mod runfiles;
pub mod stats;
pub mod tracker;

#[cfg(test)]
mod samples;
