//! A client of the Kubernetes Container Runtime Interface (CRI) v1, for the unix sockets of containerd, CRI-O and
//! cri-dockerd. It only asks: what runs, whose it is, and in which cgroup.
//!
//! ```no_run
//! # async fn show() -> Result<(), tetragon_cri::CriError> {
//! use tetragon_cri::{CriClient, Options};
//!
//! let client = CriClient::new(Options::default());
//! for container in client.list().await?.containers {
//!     println!("{} {}/{}", container.id, container.pod_namespace, container.pod_name);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Every call has a time limit, a runtime that does not answer is asked again after growing pauses, and a runtime
//! that restarts is found again.

mod client;
mod container;
mod endpoint;
mod error;
mod link;
#[cfg(feature = "testing")]
pub mod testing;
mod verbose;

/// The messages of CRI v1, generated from `proto/cri.proto`.
#[expect(
    missing_docs,
    clippy::allow_attributes,
    reason = "generated; the .proto file documents what needs it"
)]
#[allow(
    unused_qualifications,
    clippy::all,
    clippy::allow_attributes_without_reason,
    clippy::semicolon_if_nothing_returned,
    reason = "generated"
)]
pub mod api {
    include!(concat!(env!("OUT_DIR"), "/runtime.v1.rs"));
}

pub use client::{CriClient, Listing};
pub use container::{CriContainer, State};
pub use endpoint::{DEFAULT_SOCKETS, Options, Runtime, socket_of_url};
pub use error::{Attempt, CriError};
