//! Loading programs and their type information.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use aya_obj::Function;
use aya_obj::generated::{bpf_attr, bpf_cmd};

use super::{empty_attr, new_fd};

/// Bytes of a verifier's log that are kept.
const LOG_BYTES: usize = 1024 * 1024;

/// What a program is loaded as.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ProgramSpec<'a> {
    /// Shown by the kernel; cut to 15 bytes.
    pub name: &'a str,
    /// `BPF_PROG_TYPE_*`.
    pub kind: u32,
    /// `BPF_*` attach type, or 0.
    pub attach_type: u32,
    /// Function that it is attached to, in the kernel's type information, or 0.
    pub attach_btf_id: u32,
    /// Its licence.
    pub license: &'a CStr,
    /// The object's type information.
    pub btf: Option<BorrowedFd<'a>>,
}

/// Why a program was refused.
#[derive(Debug)]
pub(crate) struct Refused {
    /// The kernel's error.
    pub error: io::Error,
    /// The verifier's log; empty if it had nothing to say.
    pub log: String,
}

/// Loads type information.
pub(crate) fn load_btf(raw: &[u8]) -> io::Result<OwnedFd> {
    let mut attr = empty_attr();
    // SAFETY: writing plain-integer members of the union; the bytes outlive the call.
    let load = unsafe { &mut attr.__bindgen_anon_7 };
    load.btf = raw.as_ptr() as u64;
    load.btf_size = u32::try_from(raw.len()).map_err(io::Error::other)?;
    new_fd(bpf_cmd::BPF_BTF_LOAD, &mut attr)
}

/// Loads a relocated function as a program. Asks for the log only once it is refused, since that costs time.
pub(crate) fn load(spec: &ProgramSpec<'_>, function: &Function) -> Result<OwnedFd, Refused> {
    let plain = |error| Refused { error, log: String::new() };
    let lines = function.line_info.line_info_bytes();
    let functions = function.func_info.func_info_bytes();
    let mut attr: bpf_attr = empty_attr();
    // SAFETY: writing plain-integer members of the union; whatever is pointed to outlives the calls below.
    let load = unsafe { &mut attr.__bindgen_anon_3 };
    for (to, from) in load.prog_name.iter_mut().zip(spec.name.bytes().take(15)) {
        *to = from.cast_signed();
    }
    load.prog_type = spec.kind;
    load.expected_attach_type = spec.attach_type;
    load.attach_btf_id = spec.attach_btf_id;
    load.insns = function.instructions.as_ptr() as u64;
    load.insn_cnt = u32::try_from(function.instructions.len()).map_err(io::Error::other).map_err(plain)?;
    load.license = spec.license.as_ptr() as u64;
    if let Some(btf) = spec.btf {
        load.prog_btf_fd = btf.as_raw_fd().cast_unsigned();
        let size = |bytes: usize| u32::try_from(bytes).map_err(io::Error::other).map_err(plain);
        if function.line_info_rec_size > 0 {
            load.line_info = lines.as_ptr() as u64;
            load.line_info_rec_size = size(function.line_info_rec_size)?;
            load.line_info_cnt = size(lines.len() / function.line_info_rec_size)?;
        }
        if function.func_info_rec_size > 0 {
            load.func_info = functions.as_ptr() as u64;
            load.func_info_rec_size = size(function.func_info_rec_size)?;
            load.func_info_cnt = size(functions.len() / function.func_info_rec_size)?;
        }
    }
    let error = match new_fd(bpf_cmd::BPF_PROG_LOAD, &mut attr) {
        Ok(fd) => return Ok(fd),
        Err(error) => error,
    };
    let mut log = vec![0u8; LOG_BYTES];
    // SAFETY: as above.
    let load = unsafe { &mut attr.__bindgen_anon_3 };
    load.log_level = 1;
    load.log_buf = log.as_mut_ptr() as u64;
    load.log_size = u32::try_from(log.len()).map_err(io::Error::other).map_err(plain)?;
    match new_fd(bpf_cmd::BPF_PROG_LOAD, &mut attr) {
        // The kernel had no time, or no memory, for a moment.
        Ok(fd) => Ok(fd),
        Err(again) => {
            let end = log.iter().position(|byte| *byte == 0).unwrap_or(log.len());
            log.truncate(end);
            // A log that did not fit is an error of its own, behind which the first one stands.
            let error = if again.raw_os_error() == Some(libc::ENOSPC) { error } else { again };
            Err(Refused { error, log: String::from_utf8_lossy(&log).into_owned() })
        }
    }
}
