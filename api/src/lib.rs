//! The wire contract of the agent: messages, gRPC services, and the JSON form of both.
//!
//! Generated from the files in `proto/` at build time. This crate knows none of the others.
//!
//! * [`tetragon`]: messages, enums, clients (feature `client`) and servers (feature `server`).
//! * [`json`]: the protobuf JSON mapping with the options of the export format.
//! * [`compose`]: events put together from parts that are already encoded.
//! * [`cgroups_path`]: where the cgroup of a container lies, from what its OCI specification says.
//!
//! Servers stream [`EncodedEvent`]s, clients receive [`tetragon::GetEventsResponse`]s; on the wire they are the same.

use std::sync::LazyLock;

use prost_reflect::DescriptorPool;

pub mod cgroups_path;
pub mod compose;
pub mod json;
mod wire;

pub use wire::EncodedEvent;

/// Messages, enums and services of the package `tetragon`.
#[expect(
    missing_docs,
    clippy::allow_attributes,
    reason = "generated; the .proto files document what needs it"
)]
#[allow(
    unused_qualifications,
    clippy::all,
    clippy::allow_attributes_without_reason,
    clippy::semicolon_if_nothing_returned,
    reason = "generated"
)]
pub mod tetragon {
    include!(concat!(env!("OUT_DIR"), "/tetragon.rs"));
    include!(concat!(env!("OUT_DIR"), "/server/tetragon.rs"));
}

/// All our `.proto` files with what they import, as a serialised `google.protobuf.FileDescriptorSet`.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// The descriptors of all our messages and of the well-known types.
pub fn descriptor_pool() -> &'static DescriptorPool {
    static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
        let mut pool = DescriptorPool::global();
        #[expect(clippy::expect_used, reason = "the input is a constant of this build; a test covers it")]
        pool.decode_file_descriptor_set(FILE_DESCRIPTOR_SET).expect("own descriptors are valid");
        pool
    });
    &POOL
}
