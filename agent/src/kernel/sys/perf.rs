//! Attaching programs.

use std::ffi::CString;
use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsFd as _, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use aya_obj::generated::{bpf_attach_type, bpf_cmd, perf_event_attr};

use super::{bpf, empty_attr, new_fd};

/// From `linux/perf_event.h`.
const PERF_TYPE_TRACEPOINT: u32 = 2;
const PERF_FLAG_FD_CLOEXEC: libc::c_ulong = 8;
const PERF_EVENT_IOC_ENABLE: libc::c_ulong = 0x2400;
const PERF_EVENT_IOC_SET_BPF: libc::c_ulong = 0x4004_2408;

/// A program at a hook. Detached when dropped.
#[derive(Debug)]
pub(crate) struct Link {
    link: Option<OwnedFd>,
    _event: Option<OwnedFd>,
}

/// `enum bpf_link_type` and `enum bpf_perf_event_type` of `linux/bpf.h`.
const LINK_PERF_EVENT: u32 = 7;
const LINK_KPROBE_MULTI: u32 = 8;
const EVENT_KPROBES: [u32; 2] = [3, 4];
/// Where `struct bpf_link_info` has `missed`, in words of 8 bytes.
const MULTI_MISSED: usize = 4;
const KPROBE_MISSED: usize = 6;

impl Link {
    /// How often the kernel left out the program, at kprobes; 0 before 6.7, where it does not count.
    pub(crate) fn skipped(&self) -> u64 {
        self.link.as_ref().and_then(|link| skipped(link.as_fd()).ok()).unwrap_or(0)
    }
}

/// `missed` of `struct bpf_link_info`, read at its place: headers that are older do not have it.
fn skipped(link: BorrowedFd<'_>) -> io::Result<u64> {
    let mut info = [0u64; 16];
    let mut attr = empty_attr();
    attr.info.bpf_fd = link.as_raw_fd().cast_unsigned();
    attr.info.info = info.as_mut_ptr() as u64;
    attr.info.info_len = u32::try_from(size_of_val(&info)).map_err(io::Error::other)?;
    bpf(bpf_cmd::BPF_OBJ_GET_INFO_BY_FD, &mut attr)?;
    // Of 8 bytes each: type and id, program, then what the type says.
    let first = |word: u64| u32::from_ne_bytes([0, 1, 2, 3].map(|byte| word.to_ne_bytes()[byte]));
    Ok(match first(info[0]) {
        LINK_KPROBE_MULTI => info[MULTI_MISSED],
        LINK_PERF_EVENT if EVENT_KPROBES.contains(&first(info[2])) => info[KPROBE_MISSED],
        _ => 0,
    })
}

fn open(attr: &mut perf_event_attr) -> io::Result<OwnedFd> {
    attr.size = u32::try_from(size_of::<perf_event_attr>()).map_err(io::Error::other)?;
    // Of any process, on one CPU: the programs of a hook run wherever it is hit.
    // SAFETY: attr is a whole perf_event_attr, and says its size.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            std::ptr::from_mut(attr),
            -1 as libc::pid_t,
            0,
            -1,
            PERF_FLAG_FD_CLOEXEC,
        )
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn empty() -> perf_event_attr {
    // SAFETY: plain integers, for which zero means "not set".
    unsafe { zeroed() }
}

/// A kprobe at the beginning of a function, or where it returns. `kind` is the number of the kernel's kprobe events.
pub(crate) fn kprobe(kind: u32, function: &str, returns: bool) -> io::Result<OwnedFd> {
    let name = CString::new(function).map_err(io::Error::other)?;
    let mut attr = empty();
    attr.type_ = kind;
    attr.config = u64::from(returns);
    attr.__bindgen_anon_3.kprobe_func = name.as_ptr() as u64;
    open(&mut attr)
}

/// The tracepoint with this id.
pub(crate) fn tracepoint(id: u64) -> io::Result<OwnedFd> {
    let mut attr = empty();
    attr.type_ = PERF_TYPE_TRACEPOINT;
    attr.config = id;
    open(&mut attr)
}

/// Runs a program at an event, with a number that it can ask for. Kernels before 5.15 refuse.
pub(crate) fn attach_with_cookie(event: OwnedFd, program: BorrowedFd<'_>, cookie: u64) -> io::Result<Link> {
    let mut attr = empty_attr();
    // SAFETY: writing plain-integer members of the union.
    let create = unsafe { &mut attr.link_create };
    create.__bindgen_anon_1.prog_fd = program.as_raw_fd().cast_unsigned();
    create.__bindgen_anon_2.target_fd = event.as_raw_fd().cast_unsigned();
    create.attach_type = bpf_attach_type::BPF_PERF_EVENT as u32;
    create.__bindgen_anon_3.perf_event.bpf_cookie = cookie;
    let link = new_fd(bpf_cmd::BPF_LINK_CREATE, &mut attr)?;
    Ok(Link { link: Some(link), _event: Some(event) })
}

/// Runs a program at an event.
pub(crate) fn attach(event: OwnedFd, program: BorrowedFd<'_>) -> io::Result<Link> {
    // SAFETY: both requests take plain numbers.
    let set = unsafe { libc::ioctl(event.as_raw_fd(), PERF_EVENT_IOC_SET_BPF as _, program.as_raw_fd()) };
    if set < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: as above.
    let enabled = unsafe { libc::ioctl(event.as_raw_fd(), PERF_EVENT_IOC_ENABLE as _, 0) };
    if enabled < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(Link { link: None, _event: Some(event) })
}

/// Runs a program at many functions, with a number for each. The program must be loaded for that.
pub(crate) fn attach_multi(
    program: BorrowedFd<'_>,
    functions: &[&str],
    cookies: &[u64],
    returns: bool,
) -> io::Result<Link> {
    let names: Vec<CString> = functions
        .iter()
        .map(|name| CString::new(*name))
        .collect::<Result<_, _>>()
        .map_err(io::Error::other)?;
    let pointers: Vec<u64> = names.iter().map(|name| name.as_ptr() as u64).collect();
    let mut attr = empty_attr();
    // SAFETY: writing plain-integer members of the union; what is pointed to outlives the call.
    let create = unsafe { &mut attr.link_create };
    create.__bindgen_anon_1.prog_fd = program.as_raw_fd().cast_unsigned();
    create.attach_type = bpf_attach_type::BPF_TRACE_KPROBE_MULTI as u32;
    create.__bindgen_anon_3.kprobe_multi =
        aya_obj::generated::bpf_attr__bindgen_ty_14__bindgen_ty_3__bindgen_ty_3 {
            flags: u32::from(returns),
            cnt: u32::try_from(functions.len().min(cookies.len())).map_err(io::Error::other)?,
            syms: pointers.as_ptr() as u64,
            addrs: 0,
            cookies: cookies.as_ptr() as u64,
        };
    let link = new_fd(bpf_cmd::BPF_LINK_CREATE, &mut attr)?;
    Ok(Link { link: Some(link), _event: None })
}

/// Runs a program at the function that it was loaded for.
pub(crate) fn attach_trampoline(program: BorrowedFd<'_>) -> io::Result<Link> {
    let mut attr = empty_attr();
    // SAFETY: writing plain-integer members of the union.
    let open = unsafe { &mut attr.raw_tracepoint };
    open.prog_fd = program.as_raw_fd().cast_unsigned();
    let link = new_fd(bpf_cmd::BPF_RAW_TRACEPOINT_OPEN, &mut attr)?;
    Ok(Link { link: Some(link), _event: None })
}

#[cfg(test)]
mod tests {
    use tetragon_bpf::btf::{Btf, Kind, Type};

    use super::*;

    /// Bits before a member, also of members without a name.
    fn offset(btf: Btf<'_>, of: Type<'_>, path: &[&str]) -> Option<u32> {
        btf.members(of).find_map(|(name, bits, id)| {
            let rest = if name.is_empty() { path } else { path.strip_prefix(&[name])? };
            if rest.is_empty() {
                return Some(bits);
            }
            Some(bits + offset(btf, btf.types().find(|it| it.id == id)?, rest)?)
        })
    }

    #[test]
    fn what_is_skipped_stands_where_the_kernel_has_it() {
        let raw =
            std::fs::read(crate::kernel::features::KERNEL_BTF).expect("type information of this kernel");
        let btf = Btf::parse(&raw).expect("type information");
        let info = btf.find(Kind::Struct, "bpf_link_info").expect("bpf(2)");
        for (path, word) in [
            (&["kprobe_multi", "missed"][..], MULTI_MISSED),
            (&["perf_event", "kprobe", "missed"], KPROBE_MISSED),
            (&["perf_event", "type"], 2),
        ] {
            assert_eq!(offset(btf, info, path).map(|bits| bits as usize / 64), Some(word), "{path:?}");
        }
    }
}
