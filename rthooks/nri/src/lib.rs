#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

// From the outside in: what a plugin is (`plugin`), how it stays connected (`connect`), one connection's life
// (`session`), methods to callbacks (`service`), calls over a socket (`link`), and the two layers of bytes
// (`ttrpc`, `mux`), which do no I/O.

mod connect;
mod counters;
mod error;
mod events;
mod link;
pub mod mux;
mod options;
mod plugin;
mod service;
mod session;
pub mod ttrpc;

/// The messages of NRI, generated from `proto/nri.proto`.
///
/// Absent messages are `None`, absent scalars are their default. Seccomp rules, schedulers, RDT and memory
/// policies are not modelled: they are skipped when they arrive, and cannot be adjusted.
pub mod api {
    include!(concat!(env!("OUT_DIR"), "/nri.rs"));

    impl From<ContainerAdjustment> for CreateContainerResponse {
        fn from(adjust: ContainerAdjustment) -> Self {
            Self { adjust: Some(adjust), ..Self::default() }
        }
    }
}

pub use connect::{DEFAULT_SOCKET, connect, serve};
pub use counters::{Counters, CountersSnapshot};
pub use error::Error;
pub use events::EventMask;
pub use options::{InvalidName, Options};
pub use plugin::{Plugin, Result, Runtime};
pub use session::run;
pub use ttrpc::{CallError, Code, LinkError, Status};
