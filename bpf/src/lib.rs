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

/// The object with the programs of LSM hooks, fentry and fexit, which can be preempted.
pub static TRAMPOLINE_OBJECT: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/trampoline.bpf.o"));

/// The same for kernels before 5.12; there such a program must not be preempted.
pub static TRAMPOLINE_PER_CPU_OBJECT: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/trampoline-per-cpu.bpf.o"));
