//! Maps, by descriptor.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use aya_obj::generated::{bpf_attr, bpf_cmd};

use super::{bpf, empty_attr, new_fd};

/// What a map is to be like.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct MapSpec {
    /// `BPF_MAP_TYPE_*`.
    pub kind: u32,
    /// Bytes.
    pub key_size: u32,
    /// Bytes.
    pub value_size: u32,
    /// Elements at most.
    pub max_entries: u32,
    /// `BPF_F_*`.
    pub flags: u32,
}

/// Makes a map. `inner` is a map like those that it will hold; the name is cut to 15 bytes.
pub(crate) fn create(name: &str, spec: MapSpec, inner: Option<BorrowedFd<'_>>) -> io::Result<OwnedFd> {
    let mut attr = empty_attr();
    // SAFETY: writing plain-integer members of the union.
    let create = unsafe { &mut attr.__bindgen_anon_1 };
    create.map_type = spec.kind;
    create.key_size = spec.key_size;
    create.value_size = spec.value_size;
    create.max_entries = spec.max_entries;
    create.map_flags = spec.flags;
    if let Some(inner) = inner {
        create.inner_map_fd = inner.as_raw_fd().cast_unsigned();
    }
    for (to, from) in create.map_name.iter_mut().zip(name.bytes().take(15)) {
        let legal = from.is_ascii_alphanumeric() || from == b'_' || from == b'.';
        *to = (if legal { from } else { b'_' }).cast_signed();
    }
    new_fd(bpf_cmd::BPF_MAP_CREATE, &mut attr).map_err(|error| match error.raw_os_error() {
        // Other maps were permitted before.
        Some(libc::EPERM) => io::Error::new(
            io::ErrorKind::OutOfMemory,
            "no memory within the limit of locked memory, against which kernels before 5.11 count it (RLIMIT_MEMLOCK, \
             ulimit -l); or the capabilities of the agent are gone",
        ),
        _ => error,
    })
}

fn element(map: BorrowedFd<'_>, key: &[u8], value: u64, flags: u64) -> bpf_attr {
    let mut attr = empty_attr();
    // SAFETY: writing plain-integer members of the union.
    let element = unsafe { &mut attr.__bindgen_anon_2 };
    element.map_fd = map.as_raw_fd().cast_unsigned();
    element.key = key.as_ptr() as u64;
    element.__bindgen_anon_1.value = value;
    element.flags = flags;
    attr
}

/// Sets an element. Key and value must have the map's sizes: the kernel reads that many bytes.
pub(crate) fn update(map: impl AsFd, key: &[u8], value: &[u8]) -> io::Result<()> {
    let mut attr = element(map.as_fd(), key, value.as_ptr() as u64, 0);
    bpf(bpf_cmd::BPF_MAP_UPDATE_ELEM, &mut attr).map(drop)
}

/// Removes an element; that there is none is no error.
pub(crate) fn delete(map: impl AsFd, key: &[u8]) -> io::Result<()> {
    let mut attr = element(map.as_fd(), key, 0, 0);
    match bpf(bpf_cmd::BPF_MAP_DELETE_ELEM, &mut attr) {
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        other => other.map(drop),
    }
}

/// Reads an element into `value`, which must have the map's size (of per-CPU maps that for all CPUs). Whether there is
/// one.
pub(crate) fn lookup(map: impl AsFd, key: &[u8], value: &mut [u8]) -> io::Result<bool> {
    let mut attr = element(map.as_fd(), key, value.as_mut_ptr() as u64, 0);
    match bpf(bpf_cmd::BPF_MAP_LOOKUP_ELEM, &mut attr) {
        Ok(_) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

/// User space writes into it no more, so that programs are verified with its content.
pub(crate) fn freeze(map: impl AsFd) -> io::Result<()> {
    let mut attr = empty_attr();
    // SAFETY: writing a plain-integer member of the union.
    unsafe { &mut attr.__bindgen_anon_2 }.map_fd = map.as_fd().as_raw_fd().cast_unsigned();
    bpf(bpf_cmd::BPF_MAP_FREEZE, &mut attr).map(drop)
}

/// The map with this number.
pub(crate) fn by_id(id: u32) -> io::Result<OwnedFd> {
    let mut attr = empty_attr();
    // SAFETY: writing a plain-integer member of the union.
    unsafe { &mut attr.__bindgen_anon_6 }.__bindgen_anon_1.map_id = id;
    new_fd(bpf_cmd::BPF_MAP_GET_FD_BY_ID, &mut attr)
}
