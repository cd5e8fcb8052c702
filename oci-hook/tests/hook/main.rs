//! The real binary, called as runtimes call it, against real servers.

mod agent;
mod failure;
mod input;
mod kit;
mod stages;
mod told;
