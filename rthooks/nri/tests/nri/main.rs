//! A plugin against a runtime's side of the wire, in memory and over real sockets.
//!
//! `wire` has the runtime's bytes written out by hand; the others use the crate's own framing for the runtime's side.

mod calls;
mod peer;
mod reconnect;
mod recorder;
mod steps;
mod streams;
mod wire;
