//! The BPF object, and the records that its programs send.
//!
//! The C sources are in `c/`; [`records`] mirrors `c/records.h` and [`plan`] `c/policy/plan.h`, held to them by a test.

pub mod btf;
pub mod plan;
pub mod records;

/// The object file, to be given to the loader.
pub static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/tetragon.bpf.o"));

/// The same for kernels in which kprobes and classic tracepoints may use only hashes that are allocated beforehand.
pub static PREALLOCATE_OBJECT: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/tetragon-preallocate.bpf.o"));

/// The object with the programs that policies need, loaded with the first of them.
pub static POLICY_OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/policy.bpf.o"));
