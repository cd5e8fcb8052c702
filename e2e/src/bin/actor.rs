//! The program that tests run and watch: a sequence of verbs, each one thing a process can do.
//!
//! ```text
//! actor report /tmp/who fork exec /bin/actor actor exit 3
//! ```
//!
//! writes its identity to a file, forks a child that executes another image, and exits as that child did. A verb
//! either ends the sequence or goes on with the rest of the line. It speaks to the kernel directly, because the exact
//! system call is what a test is about.
#![expect(unsafe_code, reason = "the exact system calls are the purpose of this program")]

use std::ffi::{CStr, CString, OsString, c_char, c_int, c_void};
use std::io::Write;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, exit};
use std::time::Duration;
use std::{fs, io, ptr, thread};

#[path = "actor/net.rs"]
mod net;
#[path = "actor/races.rs"]
mod races;

type Line<'a> = &'a [CString];

/// How the actor ends when it cannot do what it was told: all exit statuses belong to the tests.
const BROKEN: c_int = libc::SIGUSR2;

fn main() {
    let line: Vec<CString> =
        std::env::args_os().skip(1).map(|word| CString::new(word.into_vec()).unwrap_or_default()).collect();
    perform(&line)
}

/// Performs the verbs of `line`; an empty line exits with 0.
fn perform(line: Line<'_>) -> ! {
    let Some((verb, rest)) = line.split_first() else { exit(0) };
    match verb.to_bytes() {
        b"" => perform(rest),
        b"exit" => exit(number(rest)),
        b"signal" => die_by(number(rest)),
        b"core" => dump_core(rest),
        b"sleep" => pause(rest),
        b"wait" => wait_for_file(rest),
        b"until-terminated" => until_terminated(rest),
        b"report" => report(rest),
        b"fork" => exit_like(fork(|| perform(rest))),
        b"vfork" => exit_like(vfork_exec(rest)),
        b"double-fork" => double_fork(rest),
        b"nest" => nest(rest),
        b"storm" => storm(rest),
        b"storm-until" => storm_until(rest),
        b"exec" => exec(rest),
        b"run" => run(rest),
        b"script" => perform(word(rest, "script").1),
        b"unlink-exec" => unlink_exec(rest),
        b"drop-capabilities" => drop_capabilities(rest),
        b"execveat" => execveat(rest),
        b"execveat-fd" => execveat_fd(rest),
        b"memfd" => memfd_exec(rest),
        b"thread-exec" => thread_exec(rest),
        b"leader-exits" => leader_exits(rest),
        b"threads" => threads(rest),
        b"pidns" => pidns(rest),
        b"as" => become_user(rest),
        b"chdir" => chdir(rest),
        b"mkdir" => mkdir(rest),
        b"cgroup" => join_cgroup(rest),
        b"keep-input" => keep_input(rest),
        b"adopt" => adopt(rest),
        b"deep-chdir" => deep_chdir(rest),
        b"rmdir-cwd" => remove_cwd(rest),
        b"failed-exec" => failed_exec(rest),
        b"syscall" => system_call(rest),
        b"syscall32" => system_call_32(rest),
        b"perf-probe" => perf_probe(rest),
        b"connect" => connect(rest),
        b"udp" => net::udp(rest),
        b"tcp" => net::tcp(rest),
        b"icmp" => net::icmp(rest),
        b"name-loopback" => net::name_loopback(rest),
        b"timed-prctls" => timed_prctls(rest),
        b"prctls-until" => races::prctls_until(rest),
        b"block" => races::block(rest),
        b"exit-pending" => races::exit_pending(rest),
        b"thread-prctls" => races::thread_prctls(rest),
        b"brief-threads" => races::brief_threads(rest),
        b"waiting-reads" => races::waiting_reads(rest),
        b"seeks" => races::seeks(rest),
        other => broken(&format!("unknown verb {:?}", String::from_utf8_lossy(other))),
    }
}

fn broken(what: &str) -> ! {
    eprintln!("actor: {what}: {}", io::Error::last_os_error());
    // SAFETY: takes plain numbers.
    unsafe { libc::kill(libc::getpid(), BROKEN) };
    // Process 1 of a namespace survives it.
    exit(127)
}

fn word<'a>(line: Line<'a>, what: &str) -> (&'a CStr, Line<'a>) {
    match line.split_first() {
        Some((word, rest)) => (word, rest),
        None => broken(&format!("missing {what}")),
    }
}

fn text<'a>(line: Line<'a>, what: &str) -> (&'a str, Line<'a>) {
    let (word, rest) = word(line, what);
    (word.to_str().unwrap_or_else(|_| broken(&format!("{what} is not text"))), rest)
}

fn leading_number<'a>(line: Line<'a>) -> (i32, Line<'a>) {
    let (text, rest) = text(line, "number");
    (text.parse().unwrap_or_else(|_| broken(&format!("{text:?} is no number"))), rest)
}

fn number(line: Line<'_>) -> i32 {
    leading_number(line).0
}

/// `signal N`: dies by this signal, without a core dump.
fn die_by(signal: i32) -> ! {
    limit_core(0);
    kill_self(signal)
}

/// `core N`: dies by this signal with a core dump in the working directory.
fn dump_core(line: Line<'_>) -> ! {
    limit_core(libc::RLIM_INFINITY);
    // A process that changed its user is not dumpable.
    // SAFETY: takes plain numbers.
    unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0) };
    kill_self(number(line))
}

fn limit_core(bytes: u64) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is valid for the whole call.
    unsafe { libc::getrlimit(libc::RLIMIT_CORE, &raw mut limit) };
    limit.rlim_cur = bytes.min(limit.rlim_max);
    // SAFETY: as above.
    unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const limit) };
}

fn kill_self(signal: i32) -> ! {
    // SAFETY: restoring a default disposition and unblocking cannot harm this process, which is about to die.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, signal);
        libc::sigprocmask(libc::SIG_UNBLOCK, &raw const set, ptr::null_mut());
        libc::kill(libc::getpid(), signal);
    }
    broken("survived its own signal")
}

/// `syscall NUMBER [ARGUMENT]... . ...`: a system call whose outcome does not matter. An argument is a number, `s:TEXT`
/// (a pointer to it), `h:HEX` (to these bytes), `v:TEXT|TEXT|...` (to an array of vectors of these) or `unmapped` (to a
/// page that is not there yet).
fn system_call(line: Line<'_>) -> ! {
    let (call, [a, b, c, d, e, f], rest) = call_of(line);
    // SAFETY: pointers are to words of the command line, to bytes or to a page of ours, or meant to be wrong.
    unsafe { libc::syscall(call.into(), a, b, c, d, e, f) };
    perform(rest)
}

/// `syscall32 NUMBER [ARGUMENT]... . ...`: as `syscall`, by the interface of 32-bit programs, which takes numbers only,
/// and here up to five.
fn system_call_32(line: Line<'_>) -> ! {
    let (call, arguments, rest) = call_of(line);
    interrupt_80(call, arguments);
    perform(rest)
}

#[cfg(target_arch = "x86_64")]
fn interrupt_80(call: i32, [a, b, c, d, e, _]: [i64; 6]) {
    // SAFETY: the kernel gets numbers, not pointers. It keeps all registers but those named; rbx is not ours to name.
    unsafe {
        std::arch::asm!(
            "xchg {first}, rbx",
            "int 0x80",
            "xchg {first}, rbx",
            first = inout(reg) a => _,
            inlateout("rax") i64::from(call) => _,
            in("rcx") b,
            in("rdx") c,
            in("rsi") d,
            in("rdi") e,
            lateout("r8") _,
            lateout("r9") _,
            lateout("r10") _,
            lateout("r11") _,
        );
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn interrupt_80(_: i32, _: [i64; 6]) {
    broken("32-bit calls are known of x86 only");
}

/// The number of a system call, its arguments, and what follows the dot.
fn call_of(line: Line<'_>) -> (i32, [i64; 6], Line<'_>) {
    let (call, mut rest) = leading_number(line);
    let mut arguments = [0i64; 6];
    let mut used = 0;
    while let Some((word, after)) = rest.split_first() {
        rest = after;
        let bytes = word.to_bytes();
        if bytes == b"." {
            break;
        }
        let Some(slot) = arguments.get_mut(used) else { broken("more than six arguments") };
        used += 1;
        *slot = if bytes.starts_with(b"s:") {
            // SAFETY: within the word, whose end is that of the text.
            unsafe { word.as_ptr().add(2) as i64 }
        } else if let Some(digits) = bytes.strip_prefix(b"h:") {
            hexadecimal(digits).leak().as_mut_ptr() as i64
        } else if let Some(texts) = bytes.strip_prefix(b"v:") {
            vectors(texts)
        } else if bytes == b"unmapped" {
            fresh_page()
        } else {
            let text = word.to_str().unwrap_or_default();
            text.parse().unwrap_or_else(|_| broken(&format!("{text:?} is no argument")))
        };
    }
    (call, arguments, rest)
}

fn hexadecimal(digits: &[u8]) -> Vec<u8> {
    let byte =
        |pair: &[u8]| std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok());
    let bytes: Option<Vec<u8>> = digits.chunks(2).map(byte).collect();
    bytes.unwrap_or_else(|| broken("not hexadecimal"))
}

/// `perf-probe TYPE FUNCTION OFFSET ...`: opens a perf event of a kprobe there; TYPE is the number that the kernel gives
/// to such events.
fn perf_probe(line: Line<'_>) -> ! {
    let (kind, line) = leading_number(line);
    let (function, line) = word(line, "function");
    let (offset, rest) = leading_number(line);
    // linux/perf_event.h: type, size, ..., at 56 kprobe_func, at 64 probe_offset.
    let mut attr = [0u64; 16];
    attr[0] = u64::from(kind.unsigned_abs()) | 128 << 32;
    attr[7] = function.as_ptr() as u64;
    attr[8] = u64::from(offset.unsigned_abs());
    // SAFETY: the structure is as large as it says, and its text ends with NUL.
    unsafe { libc::syscall(libc::SYS_perf_event_open, attr.as_ptr(), -1, 0, -1, 0) };
    perform(rest)
}

/// An array of vectors, for as long as the process lives; the kernel may write into them.
fn vectors(texts: &[u8]) -> i64 {
    let vector = |text: &[u8]| {
        let text = text.to_vec().leak();
        libc::iovec { iov_base: text.as_mut_ptr().cast(), iov_len: text.len() }
    };
    let all: Vec<libc::iovec> = texts.split(|byte| *byte == b'|').map(vector).collect();
    all.leak().as_ptr() as i64
}

/// `timed-prctls COUNT OPTION FILE ...`: that many calls of prctl(2), which fail; writes into the file how many
/// nanoseconds each took.
fn timed_prctls(line: Line<'_>) -> ! {
    let (count, rest) = leading_number(line);
    let (option, rest) = leading_number(rest);
    let (file, rest) = text(rest, "file");
    let begun = std::time::Instant::now();
    for _ in 0..count {
        // SAFETY: takes plain numbers.
        unsafe { libc::prctl(option, 0, 0, 0, 0) };
    }
    let each = begun.elapsed().as_secs_f64() * 1e9 / f64::from(count);
    fs::write(file, each.to_string()).unwrap_or_else(|_| broken("write a file"));
    perform(rest)
}

/// `connect ADDRESS ...`: tries to open a TCP connection; nobody need answer.
fn connect(line: Line<'_>) -> ! {
    let (address, rest) = text(line, "address");
    let address = address.parse().unwrap_or_else(|_| broken("parse the address"));
    raise_loopback();
    let _ = std::net::TcpStream::connect_timeout(&address, Duration::from_secs(1));
    perform(rest)
}

/// In a fresh machine, or network namespace, the loopback device is down.
fn raise_loopback() {
    // SAFETY: the request is a whole ifreq with a name that ends with NUL; a failure shows when something connects.
    unsafe {
        let socket = libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0);
        let mut request: libc::ifreq = std::mem::zeroed();
        request.ifr_name[0] = b'l'.cast_signed();
        request.ifr_name[1] = b'o'.cast_signed();
        if libc::ioctl(socket, libc::SIOCGIFFLAGS, &raw mut request) == 0 {
            request.ifr_ifru.ifru_flags |= i16::try_from(libc::IFF_UP).unwrap_or(1);
            libc::ioctl(socket, libc::SIOCSIFFLAGS, &raw mut request);
        }
        libc::close(socket);
    }
}

/// A page that the kernel has promised and not yet given.
fn fresh_page() -> i64 {
    let (prot, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a fresh mapping at a place that the kernel chooses.
    let page = unsafe { libc::mmap(ptr::null_mut(), 4096, prot, flags, -1, 0) };
    if page == libc::MAP_FAILED {
        broken("mmap");
    }
    page as i64
}

/// `sleep MILLISECONDS ...`
fn pause(line: Line<'_>) -> ! {
    let (millis, rest) = leading_number(line);
    thread::sleep(Duration::from_millis(u64::try_from(millis).unwrap_or(0)));
    perform(rest)
}

/// `wait FILE ...`: goes on once the file exists.
fn wait_for_file(line: Line<'_>) -> ! {
    let (file, rest) = text(line, "file");
    while !fs::exists(file).unwrap_or(false) {
        thread::sleep(Duration::from_millis(2));
    }
    perform(rest)
}

/// `until-terminated ...`: goes on after SIGTERM or SIGINT, as process 1 of a container too.
fn until_terminated(line: Line<'_>) -> ! {
    let mut signal = 0;
    // SAFETY: the set is made before it is used, and both outlive the calls.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGTERM);
        libc::sigaddset(&raw mut set, libc::SIGINT);
        libc::sigprocmask(libc::SIG_BLOCK, &raw const set, ptr::null_mut());
        libc::sigwait(&raw const set, &raw mut signal);
    }
    perform(line)
}

/// `report FILE ...`: appends "pid ppid start-ticks inner-pid" of this process, the first three as /proc shows them.
fn report(line: Line<'_>) -> ! {
    let (file, rest) = text(line, "file");
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_else(|_| broken("read own stat"));
    // The name in parentheses may hold anything; what follows is plain.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let pid = stat.split(' ').next().unwrap_or_default();
    let entry = format!("{pid} {} {} {}\n", fields[1], fields[19], std::process::id());
    // One write, so that the lines of several processes do not mix.
    fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(file)
        .and_then(|mut out| out.write_all(entry.as_bytes()))
        .unwrap_or_else(|_| broken("write the report"));
    perform(rest)
}

/// Runs `child` in a new process and returns how that ended.
fn fork(child: impl FnOnce()) -> ExitStatus {
    // SAFETY: this process has one thread wherever it forks.
    match unsafe { libc::fork() } {
        -1 => broken("fork"),
        0 => {
            child();
            exit(0)
        }
        pid => wait(pid),
    }
}

fn wait(pid: libc::pid_t) -> ExitStatus {
    let mut status = 0;
    loop {
        // SAFETY: `status` is valid for the whole call.
        if unsafe { libc::waitpid(pid, &raw mut status, libc::__WALL) } == pid {
            return ExitStatus::from_raw(status);
        }
        if io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            broken("waitpid");
        }
    }
}

fn exit_like(status: ExitStatus) -> ! {
    exit(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)))
}

fn pointers(arguments: Line<'_>) -> Vec<*const c_char> {
    arguments.iter().map(|argument| argument.as_ptr()).chain([ptr::null()]).collect()
}

unsafe extern "C" {
    static environ: *const *const c_char;
}

fn environment() -> *const *const c_char {
    // SAFETY: nothing in this program changes the environment.
    unsafe { environ }
}

/// `exec PATH ARGV0 [ARGUMENT...]`
fn exec(line: Line<'_>) -> ! {
    let (path, arguments) = word(line, "path");
    exec_at(libc::AT_FDCWD, path, arguments, 0)
}

/// `run PATH [ARGUMENT...]`: an exec whose argv[0] is the path.
fn run(line: Line<'_>) -> ! {
    let (path, _) = word(line, "path");
    exec_at(libc::AT_FDCWD, path, line, 0)
}

fn exec_at(directory: c_int, path: &CStr, arguments: Line<'_>, flags: c_int) -> ! {
    let argv = pointers(arguments);
    // SAFETY: `argv` and the environment end with a null pointer and outlive the call.
    unsafe {
        if directory == libc::AT_FDCWD && flags == 0 {
            libc::execve(path.as_ptr(), argv.as_ptr(), environment());
        } else {
            libc::syscall(libc::SYS_execveat, directory, path.as_ptr(), argv.as_ptr(), environment(), flags);
        }
    }
    broken("exec")
}

fn open(path: &CStr, flags: c_int) -> c_int {
    // SAFETY: `path` ends with NUL.
    match unsafe { libc::open(path.as_ptr(), flags) } {
        -1 => broken("open"),
        descriptor => descriptor,
    }
}

/// `execveat DIRECTORY NAME ARGV0 [ARGUMENT...]`: relative to a directory's descriptor.
fn execveat(line: Line<'_>) -> ! {
    let (directory, line) = word(line, "directory");
    let (name, arguments) = word(line, "name");
    exec_at(open(directory, libc::O_PATH), name, arguments, 0)
}

/// `execveat-fd PATH ARGV0 [ARGUMENT...]`: by the file's own descriptor and an empty path.
fn execveat_fd(line: Line<'_>) -> ! {
    let (path, arguments) = word(line, "path");
    exec_at(open(path, libc::O_PATH), c"", arguments, libc::AT_EMPTY_PATH)
}

/// `unlink-exec PATH ARGV0 [ARGUMENT...]`: a file that has no name any more.
fn unlink_exec(line: Line<'_>) -> ! {
    let (path, arguments) = text(line, "path");
    let descriptor = open(&line[0], libc::O_PATH);
    fs::remove_file(path).unwrap_or_else(|_| broken("unlink"));
    exec_at(descriptor, c"", arguments, libc::AT_EMPTY_PATH)
}

/// `memfd NAME ARGV0 [ARGUMENT...]`: executes a copy of this program that has no file.
fn memfd_exec(line: Line<'_>) -> ! {
    let (name, arguments) = word(line, "name");
    // SAFETY: `name` ends with NUL.
    let descriptor = unsafe { libc::memfd_create(name.as_ptr(), 0) };
    let image = fs::read("/proc/self/exe").unwrap_or_else(|_| broken("read own image"));
    fs::write(format!("/proc/self/fd/{descriptor}"), image).unwrap_or_else(|_| broken("fill the memfd"));
    exec_at(descriptor, c"", arguments, libc::AT_EMPTY_PATH)
}

/// `thread-exec PATH ARGV0 [ARGUMENT...]`: from a thread that does not lead the group.
fn thread_exec(line: Line<'_>) -> ! {
    let line = line.to_vec();
    let _ = thread::spawn(move || exec(&line)).join();
    broken("the executing thread ended")
}

/// `leader-exits MILLISECONDS ...`: the leading thread ends; another goes on after that time.
fn leader_exits(line: Line<'_>) -> ! {
    let (millis, rest) = leading_number(line);
    let rest = rest.to_vec();
    thread::spawn(move || {
        thread::sleep(Duration::from_millis(u64::try_from(millis).unwrap_or(0)));
        perform(&rest)
    });
    // SAFETY: ends this thread only; the other one owns all it uses.
    unsafe { libc::syscall(libc::SYS_exit, 0) };
    broken("the leader survived")
}

/// `threads N ...`: starts N threads, waits for their end, goes on.
fn threads(line: Line<'_>) -> ! {
    let (count, rest) = leading_number(line);
    let all: Vec<_> = (0..count).map(|_| thread::spawn(|| thread::sleep(Duration::from_millis(1)))).collect();
    for one in all {
        let _ = one.join();
    }
    perform(rest)
}

/// `vfork PATH ARGV0 [ARGUMENT...]`: a child that borrows this process's memory until it executes.
fn vfork_exec(line: Line<'_>) -> ExitStatus {
    extern "C" fn child(line: *mut c_void) -> c_int {
        // SAFETY: the parent is suspended and keeps the line alive until the exec.
        let (path, argv) = unsafe { &*line.cast::<(&CStr, Vec<*const c_char>)>() };
        // SAFETY: `argv` ends with a null pointer.
        unsafe { libc::execve(path.as_ptr(), argv.as_ptr(), environment()) };
        127
    }
    let (path, arguments) = word(line, "path");
    let mut line = (path, pointers(arguments));
    let mut stack = vec![0u128; 4096];
    // SAFETY: the stack grows down from its aligned end and lives until the child has left it.
    let pid = unsafe {
        libc::clone(
            child,
            stack.as_mut_ptr_range().end.cast(),
            libc::CLONE_VFORK | libc::CLONE_VM | libc::SIGCHLD,
            (&raw mut line).cast(),
        )
    };
    if pid == -1 {
        broken("clone");
    }
    wait(pid)
}

/// `double-fork ...`: leaves an orphan that performs the rest once it has a new parent.
fn double_fork(line: Line<'_>) -> ! {
    exit_like(fork(|| {
        let parent = std::process::id();
        // SAFETY: this process has one thread.
        match unsafe { libc::fork() } {
            -1 => broken("fork"),
            0 => {
                while std::os::unix::process::parent_id() == parent {
                    thread::sleep(Duration::from_millis(1));
                }
                perform(line)
            }
            _ => exit(0),
        }
    }))
}

/// `nest DEPTH PATH ...`: DEPTH processes, each the child of the one before, each with its own image; the innermost
/// performs the rest.
fn nest(line: Line<'_>) -> ! {
    let (depth, rest) = leading_number(line);
    let (path, innermost) = text(rest, "path");
    if depth <= 1 {
        perform(innermost)
    }
    let words = innermost.iter().map(|word| OsString::from_vec(word.as_bytes().to_vec()));
    let status = Command::new(path).arg("nest").arg((depth - 1).to_string()).arg(path).args(words).status();
    exit_like(status.unwrap_or_else(|_| broken("nest")))
}

/// `storm COUNT PATH ...`: runs PATH with the rest as its verbs, COUNT times, one after the other.
fn storm(line: Line<'_>) -> ! {
    let (count, line) = leading_number(line);
    storm_while(line, |done| done < count)
}

/// `storm-until FILE COUNT PATH ...`: as `storm`, and then on until the file exists.
fn storm_until(line: Line<'_>) -> ! {
    let (file, line) = text(line, "file");
    let (count, line) = leading_number(line);
    storm_while(line, |done| done < count || !fs::exists(file).unwrap_or(true))
}

fn storm_while(line: Line<'_>, go_on: impl Fn(i32) -> bool) -> ! {
    let (path, verbs) = text(line, "path");
    let verbs: Vec<OsString> =
        verbs.iter().map(|word| OsString::from_vec(word.as_bytes().to_vec())).collect();
    let mut done = 0;
    while go_on(done) {
        let status = Command::new(path).args(&verbs).status().unwrap_or_else(|_| broken("storm"));
        if !status.success() {
            exit_like(status)
        }
        done += 1;
    }
    exit(0)
}

/// `pidns ...`: a child performs the rest as process 1 of a new pid namespace.
fn pidns(line: Line<'_>) -> ! {
    // SAFETY: affects later children only.
    if unsafe { libc::unshare(libc::CLONE_NEWPID) } != 0 {
        broken("unshare");
    }
    exit_like(fork(|| perform(line)))
}

/// `as UID GID ...`: gives up root.
fn become_user(line: Line<'_>) -> ! {
    let (uid, line) = leading_number(line);
    let (gid, rest) = leading_number(line);
    let (uid, gid) = (uid.unsigned_abs(), gid.unsigned_abs());
    // SAFETY: takes plain numbers; an empty list needs no pointer.
    let failed = unsafe {
        libc::setgroups(0, ptr::null()) != 0
            || libc::setresgid(gid, gid, gid) != 0
            || libc::setresuid(uid, uid, uid) != 0
    };
    if failed {
        broken("change user");
    }
    perform(rest)
}

/// `drop-capabilities ...`: from the next exec on, root without any.
fn drop_capabilities(line: Line<'_>) -> ! {
    for capability in 0..64 {
        // SAFETY: takes plain numbers. Numbers that this kernel does not know are refused without effect.
        unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) };
    }
    perform(line)
}

/// `chdir DIRECTORY ...`
fn chdir(line: Line<'_>) -> ! {
    let (directory, rest) = word(line, "directory");
    // SAFETY: `directory` ends with NUL.
    if unsafe { libc::chdir(directory.as_ptr()) } != 0 {
        broken("chdir");
    }
    perform(rest)
}

/// `mkdir DIRECTORY ...`
fn mkdir(line: Line<'_>) -> ! {
    let (directory, rest) = text(line, "directory");
    fs::create_dir(directory).unwrap_or_else(|_| broken("mkdir"));
    perform(rest)
}

/// `cgroup DIRECTORY ...`: moves this process into that cgroup.
fn join_cgroup(line: Line<'_>) -> ! {
    let (directory, rest) = text(line, "cgroup");
    // 0 is whoever writes it.
    fs::write(format!("{directory}/cgroup.procs"), "0").unwrap_or_else(|_| broken("join a cgroup"));
    perform(rest)
}

/// `keep-input FILE ...`: appends what it reads as one line; a hook's input is the state of its container.
fn keep_input(line: Line<'_>) -> ! {
    let (file, rest) = text(line, "file");
    let mut input = input();
    input.push('\n');
    fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(file)
        .and_then(|mut out| out.write_all(input.as_bytes()))
        .unwrap_or_else(|_| broken("keep the input"));
    perform(rest)
}

fn input() -> String {
    io::read_to_string(io::stdin()).unwrap_or_else(|_| broken("read the input"))
}

/// `adopt CGROUP ...`: makes this cgroup and moves the first process of the container into it whose state it reads.
fn adopt(line: Line<'_>) -> ! {
    let (directory, rest) = text(line, "cgroup");
    let state = input();
    let pid = state.split_once("\"pid\":").map_or("", |(_, rest)| rest.trim_start());
    let pid = pid.split(|digit: char| !digit.is_ascii_digit()).next().unwrap_or_default();
    fs::create_dir(directory)
        .and_then(|()| fs::write(format!("{directory}/cgroup.procs"), pid))
        .unwrap_or_else(|_| broken("adopt"));
    perform(rest)
}

/// `deep-chdir COUNT NAME ...`: makes and enters COUNT directories of this name, one in the other.
fn deep_chdir(line: Line<'_>) -> ! {
    let (count, line) = leading_number(line);
    let (name, rest) = word(line, "name");
    for _ in 0..count {
        // SAFETY: `name` ends with NUL.
        if unsafe { libc::mkdir(name.as_ptr(), 0o755) != 0 || libc::chdir(name.as_ptr()) != 0 } {
            broken("deep-chdir");
        }
    }
    perform(rest)
}

/// `rmdir-cwd ...`: removes the directory this process is in.
fn remove_cwd(line: Line<'_>) -> ! {
    std::env::current_dir().and_then(fs::remove_dir).unwrap_or_else(|_| broken("rmdir"));
    perform(line)
}

/// `failed-exec PATH ...`: tries an exec that must fail, then goes on.
fn failed_exec(line: Line<'_>) -> ! {
    let (path, rest) = word(line, "path");
    let argv = [path.as_ptr(), ptr::null()];
    // SAFETY: `argv` ends with a null pointer.
    unsafe { libc::execve(path.as_ptr(), argv.as_ptr(), environment()) };
    perform(rest)
}
