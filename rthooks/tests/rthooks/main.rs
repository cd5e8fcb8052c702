//! `tetragon-rthooks` between a runtime that speaks NRI's wire protocol and an agent that serves gRPC.

mod agent;
mod fail;
mod node;
mod process;
mod recover;
mod runtime;
mod tell;
