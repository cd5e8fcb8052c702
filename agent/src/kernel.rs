//! Everything between the agent and its BPF programs: what this kernel can do, loading and attaching, reading the
//! rings, counting what the kernel did.
//!
//! Knows nothing of events or processes; hands out records as bytes.

pub mod features;
pub mod identity;
pub mod ledger;
pub mod object;
pub mod policy;
pub mod rings;
pub mod sensor;
mod sys;

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Why the kernel part does not work.
#[derive(Debug, Error)]
pub enum KernelError {
    /// No type information in the file that the settings name.
    #[error(
        "cannot read the kernel's type information (BTF) from {}: {source}; check the file that --btf names, or leave \
         the option out to use the kernel's own",
        path.display()
    )]
    Btf {
        /// The file.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// No type information anywhere.
    #[error(
        "cannot read the kernel's type information (BTF) ({tried}); the kernel must be built with \
         CONFIG_DEBUG_INFO_BTF=y, or name a BTF file with --btf"
    )]
    NoBtf {
        /// The files and what happened.
        tried: String,
    },
    /// BTF that makes no sense.
    #[error("{path} is not BTF of this machine's byte order: {message}")]
    BtfFormat {
        /// The file.
        path: String,
        /// The parser's words.
        message: String,
    },
    /// Not allowed.
    #[error(
        "not permitted to load BPF programs: {action} needs root or the capabilities BPF, PERFMON and SYS_RESOURCE \
         (kernels before 5.8: SYS_ADMIN); run the agent as root or in a privileged container{}",
        lockdown_hint()
    )]
    Privilege {
        /// What was tried.
        action: String,
    },
    /// The object as a whole.
    #[error("cannot load the BPF object on kernel {release}: {source}")]
    Object {
        /// `uname -r`.
        release: String,
        /// The loader's words.
        source: Box<aya::EbpfError>,
    },
    /// One program.
    #[error(
        "kernel {release} refused the BPF program {program} ({attach}), which {purpose}: {message}{}",
        lockdown_hint()
    )]
    Program {
        /// `uname -r`.
        release: String,
        /// Its name in the object.
        program: &'static str,
        /// Where it goes.
        attach: &'static str,
        /// What is missing without it.
        purpose: &'static str,
        /// The loader's words, with the end of the verifier's log.
        message: String,
    },
    /// No hook of a kind works.
    #[error("kernel {release} has no usable hook for {purpose}: {tried}{}", lockdown_hint())]
    NoHook {
        /// `uname -r`.
        release: String,
        /// What is missing without it.
        purpose: &'static str,
        /// What was tried and why it failed.
        tried: String,
    },
    /// A map.
    #[error("BPF map {map}: {message}")]
    Map {
        /// Its name.
        map: &'static str,
        /// What happened.
        message: String,
    },
    /// A system call.
    #[error("{action}: {source}")]
    System {
        /// What was tried.
        action: String,
        /// What happened.
        source: io::Error,
    },
}

/// Settings of the process that keep its memory small; to be called before there are threads.
pub fn tune_memory() {
    sys::share_heap();
}

/// `uname -r`.
pub fn release() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

/// What a refusal may come from that the kernel does not say.
pub(crate) fn lockdown_hint() -> &'static str {
    match std::fs::read_to_string("/sys/kernel/security/lockdown") {
        Ok(text) if text.contains("[confidentiality]") => {
            "; this kernel is locked down to confidentiality, which forbids BPF programs to read kernel memory (boot it \
             with lockdown=integrity or none)"
        }
        _ => "",
    }
}
