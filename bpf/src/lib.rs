//! The BPF object, and the records that its programs send.
//!
//! The C sources are in `c/`; [`records`] mirrors `c/records.h`, held to it by a test.

pub mod btf;
pub mod records;

/// The object file, to be given to the loader.
pub static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/tetragon.bpf.o"));
