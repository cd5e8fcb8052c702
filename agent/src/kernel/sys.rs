//! The few `bpf(2)` calls that the loader crate does not offer, and a read-only view of a ring's positions.
#![expect(unsafe_code, reason = "raw system calls and memory shared with the kernel")]

pub(super) mod maps;
pub(super) mod perf;
pub(super) mod programs;

use std::io;
use std::mem::{offset_of, size_of, zeroed};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};

use aya_obj::generated::{bpf_attr, bpf_cmd, bpf_insn, bpf_map_type, bpf_prog_info, bpf_prog_type};

fn bpf(cmd: bpf_cmd, attr: &mut bpf_attr) -> io::Result<i64> {
    // SAFETY: attr is a valid bpf_attr for the whole call, and its size is given with it.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, cmd as u32, std::ptr::from_mut(attr), size_of::<bpf_attr>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn new_fd(cmd: bpf_cmd, attr: &mut bpf_attr) -> io::Result<OwnedFd> {
    let fd = bpf(cmd, attr)?;
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the kernel has just made this descriptor for us, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn empty_attr() -> bpf_attr {
    // SAFETY: bpf_attr is a union of plain integers; zero means "not set" for all of them.
    unsafe { zeroed() }
}

/// How often the kernel did not run this program because it was busy on that CPU. `None` before 5.12, where the
/// kernel does not count.
pub(super) fn recursion_misses(program: BorrowedFd<'_>) -> io::Result<Option<u64>> {
    // SAFETY: plain integers, as above.
    let mut info: bpf_prog_info = unsafe { zeroed() };
    let mut attr = empty_attr();
    attr.info.bpf_fd = program.as_raw_fd().cast_unsigned();
    attr.info.info = std::ptr::from_mut(&mut info) as u64;
    attr.info.info_len = u32::try_from(size_of::<bpf_prog_info>()).map_err(io::Error::other)?;
    bpf(bpf_cmd::BPF_OBJ_GET_INFO_BY_FD, &mut attr)?;
    // SAFETY: the kernel has filled the same member of the union that we have set.
    let filled = unsafe { attr.info.info_len } as usize;
    let known = filled >= offset_of!(bpf_prog_info, recursion_misses) + size_of::<u64>();
    Ok(known.then_some(info.recursion_misses))
}

/// A program of a few instructions, which no C compiler and no loader needs to see.
struct Assembler(Vec<bpf_insn>);

impl Assembler {
    fn push(&mut self, code: u8, dst: u8, src: u8, off: i16, imm: i32) {
        let mut insn = bpf_insn {
            code,
            _bitfield_align_1: [],
            _bitfield_1: bpf_insn::new_bitfield_1(dst, src),
            off,
            imm,
        };
        insn.set_dst_reg(dst);
        insn.set_src_reg(src);
        self.0.push(insn);
    }

    /// `dst = 64-bit immediate` of a pseudo kind (1: map, 2: map value, 3: BTF variable).
    fn load_pseudo(&mut self, dst: u8, kind: u8, value: i32) {
        self.push(0x18, dst, kind, 0, value);
        self.push(0, 0, 0, 0, 0);
    }
}

/// Whether programs on ordinary tracepoints run with preemption off, found out by running one: it reads the CPU's
/// preemption counter from inside `sched_process_exit`, which the kernel calls with preemption on.
///
/// `variable` is the BTF id of the per-CPU variable, `offset` that of the counter in it (bytes).
pub(super) fn preemption_is_off_in_tracepoints(variable: u32, offset: i16) -> io::Result<bool> {
    let mut attr = empty_attr();
    // SAFETY: writing a plain-integer member of the union.
    let create = unsafe { &mut attr.__bindgen_anon_1 };
    create.map_type = bpf_map_type::BPF_MAP_TYPE_ARRAY as u32;
    create.key_size = 4;
    create.value_size = 8;
    create.max_entries = 1;
    let map = new_fd(bpf_cmd::BPF_MAP_CREATE, &mut attr)?;

    const R0: u8 = 0;
    const R1: u8 = 1;
    const R6: u8 = 6;
    const BPF_GET_CURRENT_PID_TGID: i32 = 14;
    const BPF_THIS_CPU_PTR: i32 = 154;
    let mut code = Assembler(Vec::new());
    code.load_pseudo(R1, 3, variable.cast_signed());
    code.push(0x85, 0, 0, 0, BPF_THIS_CPU_PTR);
    code.push(0x61, R6, R0, offset, 0); // r6 = *(u32 *)(r0 + offset)
    code.push(0x85, 0, 0, 0, BPF_GET_CURRENT_PID_TGID);
    code.push(0x77, R0, 0, 0, 32); // r0 >>= 32
    code.push(0x55, R0, 0, 4, std::process::id().cast_signed()); // if r0 != our pid goto exit
    code.load_pseudo(R1, 2, map.as_raw_fd());
    code.push(0x63, R1, R6, 0, 0); // *(u32 *)r1 = r6
    code.push(0x62, R1, 0, 4, 1); // *(u32 *)(r1 + 4) = 1
    code.push(0xb7, R0, 0, 0, 0);
    code.push(0x95, 0, 0, 0, 0);

    let license = c"Dual BSD/GPL";
    let mut attr = empty_attr();
    // SAFETY: writing a plain-integer member of the union; the pointers stay valid during the call.
    let load = unsafe { &mut attr.__bindgen_anon_3 };
    load.prog_type = bpf_prog_type::BPF_PROG_TYPE_RAW_TRACEPOINT as u32;
    load.insns = code.0.as_ptr() as u64;
    load.insn_cnt = u32::try_from(code.0.len()).map_err(io::Error::other)?;
    load.license = license.as_ptr() as u64;
    let program = new_fd(bpf_cmd::BPF_PROG_LOAD, &mut attr)?;

    let tracepoint = c"sched_process_exit";
    let mut attr = empty_attr();
    attr.raw_tracepoint.name = tracepoint.as_ptr() as u64;
    attr.raw_tracepoint.prog_fd = program.as_raw_fd().cast_unsigned();
    let link = new_fd(bpf_cmd::BPF_RAW_TRACEPOINT_OPEN, &mut attr)?;

    // A thread that ends, and has ended for the kernel too once it is joined: the C library waits for the tid to
    // be cleared, which happens before the hook, so give the hook a moment.
    for _ in 0..50 {
        std::thread::Builder::new().name("preempt-probe".to_owned()).spawn(|| ())?.join().ok();
        std::thread::sleep(std::time::Duration::from_millis(1));
        let [count, seen] = read_pair(&map)?;
        if seen == 1 {
            drop(link);
            // x86 keeps an inverted "need resched" in the top bit; the low byte counts preempt_disable().
            return Ok(count & 0xff != 0);
        }
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, "the probe program never ran"))
}

fn read_pair(map: &OwnedFd) -> io::Result<[u32; 2]> {
    let key = 0u32;
    let mut value = [0u32; 2];
    let mut attr = empty_attr();
    // SAFETY: writing plain-integer members of the union; key and value outlive the call and have the map's sizes.
    let element = unsafe { &mut attr.__bindgen_anon_2 };
    element.map_fd = map.as_raw_fd().cast_unsigned();
    element.key = std::ptr::from_ref(&key) as u64;
    element.__bindgen_anon_1.value = std::ptr::from_mut(&mut value) as u64;
    bpf(bpf_cmd::BPF_MAP_LOOKUP_ELEM, &mut attr)?;
    Ok(value)
}

/// The two positions of a ring buffer, mapped read-only beside the reader's own mapping.
#[derive(Debug)]
pub(super) struct RingPositions {
    base: *const u8,
    page: usize,
}

// SAFETY: the mapping is only read, through atomics, and lives as long as this value.
unsafe impl Send for RingPositions {}
// SAFETY: as above.
unsafe impl Sync for RingPositions {}

impl RingPositions {
    pub(super) fn map(ring: &impl AsFd) -> io::Result<Self> {
        let page = rustix::param::page_size();
        // SAFETY: a fresh shared mapping of two pages that the kernel chooses a place for.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                2 * page,
                libc::PROT_READ,
                libc::MAP_SHARED,
                ring.as_fd().as_raw_fd(),
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { base: base.cast_const().cast(), page })
    }

    fn read(&self, page: usize) -> usize {
        // SAFETY: inside the mapping, aligned to a page, and the kernel writes it as one word.
        unsafe { &*self.base.add(page * self.page).cast::<AtomicUsize>() }.load(Ordering::Acquire)
    }

    /// Up to where it has been read.
    pub(super) fn consumed(&self) -> usize {
        self.read(0)
    }

    /// Up to where there are records, finished or not.
    pub(super) fn produced(&self) -> usize {
        self.read(1)
    }

    /// Bytes written and not yet read.
    pub(super) fn used(&self) -> usize {
        let consumed = self.consumed();
        self.produced().wrapping_sub(consumed)
    }
}

impl Drop for RingPositions {
    fn drop(&mut self) {
        // SAFETY: our own mapping, unmapped once.
        unsafe { libc::munmap(self.base.cast_mut().cast(), 2 * self.page) };
    }
}

/// Lets all threads share one heap: events are made on one thread and freed on another, which with a heap for each
/// thread keeps several of them half empty. To be called before there are threads.
pub(super) fn share_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: only sets a parameter of the allocator.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Gives memory that was freed back to the system: loading needs much more of it than running.
pub(super) fn trim_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: no preconditions.
    unsafe {
        libc::malloc_trim(0);
    }
}
