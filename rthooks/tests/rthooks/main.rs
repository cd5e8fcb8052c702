//! `tetragon-rthooks` between a runtime that speaks NRI's wire protocol and an agent that serves gRPC; and what it
//! installs.

mod agent;
mod fail;
mod install;
mod node;
mod process;
mod recover;
mod runtime;
mod tell;
