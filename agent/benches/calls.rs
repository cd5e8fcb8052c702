//! What one call that matches a policy costs in user space: decode, enrich, encode. Without the kernel, rings and sockets.

#![expect(clippy::unwrap_used, reason = "a benchmark of records it has made itself")]

use std::path::Path;
use std::sync::Arc;

use divan::counter::ItemsCount;
use divan::{AllocProfiler, Bencher, black_box};
use tetragon::clock::Clock;
use tetragon::decode::{self, Record};
use tetragon::event::{Event, Origin};
use tetragon::identity::{Options, Store};
use tetragon::pipeline::calls::{Ancestors, Calls, Handled};
use tetragon::policies::stacks::Stacks;
use tetragon::policies::{Catalogue, PlanInfo};
use tetragon::process::Describer;
use tetragon::process::describe::{ExecStrings, Settings};
use tetragon::tracker::Tracker;
use tetragon_bpf::plan::{PolicyRecord, capture, captured_flags};
use tetragon_bpf::records::{ExecRecord, ProcessKey, kind};
use tetragon_crds::policy::PolicyName;
use tetragon_crds::spec::ArgType;
use tetragon_policy::{Attach, Capture, HookProgram, Reader, Source};
use zerocopy::{FromZeros, IntoBytes};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

const KEY: ProcessKey = ProcessKey { start_boot_ns: 1_000_000, tgid: 2_000, exec_id: 1 };
const PATH: &[u8] = b"/etc/ssl/certs/ca-certificates.crt";

fn main() {
    divan::main();
}

fn mk_hook() -> HookProgram {
    let reader = |ty, label: &str| Reader {
        source: Source::Argument(0),
        capture: Capture::Typed(ty),
        size: None,
        at_return: false,
        max_data: false,
        label: label.to_owned(),
    };
    HookProgram {
        path: tetragon_crds::Path::default(),
        attach: Attach::Kprobe { symbols: vec!["security_file_permission".to_owned()], syscall: false },
        readers: vec![reader(ArgType::File, ""), reader(ArgType::Int, "mask")],
        returns: None,
        selectors: Vec::new(),
        message: "Sensitive file".to_owned(),
        tags: vec!["observability.filesystem".to_owned()],
        needs: Default::default(),
        value_bytes: 0,
    }
}

/// `security_file_permission` with the path of a file.
fn mk_record(tid: u32) -> Vec<u64> {
    let mut record = PolicyRecord::new_zeroed();
    record.header.kind = kind::POLICY;
    record.header.boot_ns = 2_000_000_000;
    (record.key, record.tid, record.plan, record.generation, record.readers) = (KEY, tid, 1, 1, 2);
    for (arg, capture) in record.arg.iter_mut().zip([capture::FILE, capture::INT]) {
        arg.capture = u16::try_from(capture).unwrap();
        arg.flags = u16::try_from(captured_flags::READ).unwrap();
    }
    (record.arg[0].len, record.arg[0].mode) = (u32::try_from(PATH.len()).unwrap(), 0o100_644);
    record.arg[1].value = 4;
    record.data_len = u32::try_from(PATH.len()).unwrap();
    let len = size_of::<PolicyRecord>() + PATH.len();
    let mut words = vec![0u64; len.div_ceil(8)];
    words.as_mut_bytes()[..size_of::<PolicyRecord>()].copy_from_slice(record.as_bytes());
    words.as_mut_bytes()[size_of::<PolicyRecord>()..len].copy_from_slice(PATH);
    words
}

fn run(bencher: Bencher<'_, '_>, tid: u32, encode: impl Fn(&Event)) {
    let settings = Settings { node_name: "worker-1.example.org".to_owned(), ..Settings::default() };
    let store = Arc::new(Store::new(None, Options::default()).unwrap());
    let describer = Describer::new(settings, Arc::new(Clock::new()), store, Path::new("/proc"));
    let mut tracker = Tracker::new(describer, 65_536, false);
    let mut exec = ExecRecord::new_zeroed();
    (exec.task.key, exec.header.boot_ns) = (KEY, 1_500_000_000);
    let arguments = b"curl\0--silent\0https://example.org/index.html\0";
    tracker.exec(
        &exec,
        ExecStrings { filename: b"/usr/bin/curl", cwd: b"home\0", arguments, ..Default::default() },
    );

    let catalogue = Arc::new(Catalogue::default());
    let name = PolicyName { namespace: None, name: "file-monitoring".to_owned() };
    catalogue.insert(1, 1, PlanInfo::new(name, Arc::new(mk_hook()), "security_file_permission".to_owned()));
    let mut calls = Calls::new(catalogue, Stacks::new(Path::new("/proc"), false), Ancestors::default());
    let clock = Clock::new();
    let origin =
        Arc::new(Origin { node_name: "worker-1.example.org".to_owned(), cluster_name: String::new() });
    let words = mk_record(tid);
    let mut out = Vec::new();
    bencher.counter(ItemsCount::new(1u32)).bench_local(|| {
        let Ok(Record::Policy(record, data)) = decode::decode(black_box(words.as_bytes())) else {
            unreachable!("a record of a policy")
        };
        let Handled::Event((payload, boot_ns)) = calls.handle(&mut tracker, (record, data), false, &mut out)
        else {
            unreachable!("a call")
        };
        encode(&Event::new(payload, clock.wall(boot_ns), Arc::clone(&origin)));
    });
}

/// Nobody listens: decode and enrich.
#[divan::bench(sample_size = 500)]
fn nobody(bencher: Bencher<'_, '_>) {
    run(bencher, KEY.tgid, |_| ());
}

/// The export file.
#[divan::bench(sample_size = 500)]
fn json(bencher: Bencher<'_, '_>) {
    run(bencher, KEY.tgid, |event| _ = black_box(event.json().len()));
}

/// The export file; another thread than the first calls.
#[divan::bench(sample_size = 500)]
fn json_of_thread(bencher: Bencher<'_, '_>) {
    run(bencher, KEY.tgid + 1, |event| _ = black_box(event.json().len()));
}

/// A gRPC stream.
#[divan::bench(sample_size = 500)]
fn proto(bencher: Bencher<'_, '_>) {
    run(bencher, KEY.tgid, |event| _ = black_box(event.proto().len()));
}
