//! Verbs of calls that overlap, nest, wait, or never return; and of signals that are kept waiting.

use std::os::fd::AsRawFd;
use std::time::Duration;
use std::{fs, io, ptr, thread};

use super::{Line, broken, leading_number, perform, text};

/// `block SIGNAL ...`: the signal stays pending when it comes.
pub(super) fn block(line: Line<'_>) -> ! {
    let (signal, rest) = leading_number(line);
    // SAFETY: the set is made before it is used, and outlives the calls.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, signal);
        if libc::sigprocmask(libc::SIG_BLOCK, &raw const set, ptr::null_mut()) != 0 {
            broken("block");
        }
    }
    perform(rest)
}

/// `exit-pending SIGNAL...`: exits with one bit for each of these signals that is pending, the first one lowest.
pub(super) fn exit_pending(mut line: Line<'_>) -> ! {
    let (mut code, mut bit) = (0, 1);
    while !line.is_empty() {
        let (signal, rest) = leading_number(line);
        line = rest;
        // SAFETY: the set is filled before it is read.
        let pending = unsafe {
            let mut set = std::mem::zeroed();
            libc::sigpending(&raw mut set) == 0 && libc::sigismember(&raw const set, signal) == 1
        };
        code |= if pending { bit } else { 0 };
        bit <<= 1;
    }
    std::process::exit(code)
}

/// Number, of threads or calls, as the actor's own arithmetic takes it.
fn count(line: Line<'_>) -> (u32, Line<'_>) {
    let (number, rest) = leading_number(line);
    (number.unsigned_abs(), rest)
}

/// `thread-prctls THREADS COUNT OPTION ...`: threads, one after the other, that make as many calls of prctl(2) each.
pub(super) fn thread_prctls(line: Line<'_>) -> ! {
    let (threads, rest) = count(line);
    let (calls, rest) = count(rest);
    let (option, rest) = leading_number(rest);
    for _ in 0..threads {
        let calls = move || {
            for _ in 0..calls {
                // SAFETY: takes plain numbers.
                unsafe { libc::prctl(option, 0, 0, 0, 0) };
            }
        };
        let _ = thread::spawn(calls).join();
    }
    perform(rest)
}

/// `brief-threads COUNT ...`: threads, one after the other, that begin and end.
pub(super) fn brief_threads(line: Line<'_>) -> ! {
    let (threads, rest) = count(line);
    for _ in 0..threads {
        let _ = thread::spawn(|| ()).join();
    }
    perform(rest)
}

/// `waiting-reads THREADS BASE ...`: thread N, from 1, reads BASE + N bytes of a pipe of its own, and waits. When all
/// wait, the last one gets its N bytes first.
pub(super) fn waiting_reads(line: Line<'_>) -> ! {
    let (threads, rest) = count(line);
    let (base, rest) = count(rest);
    let mut readers = Vec::new();
    for number in 1..=threads {
        let (reader, writer) = io::pipe().unwrap_or_else(|_| broken("pipe"));
        let read = move || {
            let mut buffer = vec![0u8; usize::try_from(base + number).unwrap_or(0)];
            // SAFETY: the buffer is as long as the call is told.
            unsafe { libc::read(reader.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len()) }
        };
        readers.push((number, writer, thread::spawn(read)));
    }
    thread::sleep(Duration::from_millis(200));
    for (number, mut writer, reader) in readers.into_iter().rev() {
        let bytes = vec![0; usize::try_from(number).unwrap_or(0)];
        io::Write::write_all(&mut writer, &bytes).unwrap_or_else(|_| broken("write"));
        let read = reader.join().unwrap_or(-1);
        if i64::try_from(read) != Ok(number.into()) {
            broken("read");
        }
    }
    perform(rest)
}

/// `seeks THREADS COUNT ...`: threads at once, each seeks in a file of its own: thread N, from 1, to N million, and on.
pub(super) fn seeks(line: Line<'_>) -> ! {
    let (threads, rest) = count(line);
    let (calls, rest) = count(rest);
    let seek = |thread: u32| {
        move || {
            // SAFETY: the name ends with NUL; the descriptor is this thread's.
            let file = unsafe { libc::memfd_create(c"seeks".as_ptr(), 0) };
            for call in 0..calls {
                // SAFETY: takes plain numbers.
                unsafe { libc::lseek(file, i64::from(thread * 1_000_000 + call), libc::SEEK_SET) };
            }
        }
    };
    let all: Vec<_> = (1..=threads).map(|thread| thread::spawn(seek(thread))).collect();
    for one in all {
        let _ = one.join();
    }
    perform(rest)
}

/// `prctls-until FILE COUNT OPTION OUT ...`: again and again that many calls of prctl(2) and a rest, until the file
/// exists; writes to OUT how many calls there were.
pub(super) fn prctls_until(line: Line<'_>) -> ! {
    let (file, rest) = text(line, "file");
    let (burst, rest) = count(rest);
    let (option, rest) = leading_number(rest);
    let (out, rest) = text(rest, "file for the number");
    let mut calls: u64 = 0;
    while !fs::exists(file).unwrap_or(true) {
        for _ in 0..burst {
            // SAFETY: takes plain numbers.
            unsafe { libc::prctl(option, 0, 0, 0, 0) };
        }
        calls += u64::from(burst);
        thread::sleep(Duration::from_millis(20));
    }
    fs::write(out, calls.to_string()).unwrap_or_else(|_| broken("write a file"));
    perform(rest)
}
