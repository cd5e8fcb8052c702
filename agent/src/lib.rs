//! The node agent.
pub mod config;
pub mod export;
pub mod listen;
pub mod logging;
pub mod runfiles;
