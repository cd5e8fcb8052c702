//! Function hooks, tracepoints, uprobes, LSM hooks.

use tetragon_api::tetragon::get_events_response::Event;
use tetragon_api::tetragon::kprobe_argument::Arg;
use tetragon_api::tetragon::{
    KprobeBpfAttr, KprobeBpfMap, KprobePerfEvent, ProcessLsm, ProcessTracepoint, ProcessUprobe, ProcessUsdt,
    StackTraceEntry, SyscallId,
};

use super::sample::{PLAIN, arguments, envelope, file, kprobe, line, path, pod_curl, sock, string};
use crate::compact::{Style, render};

const WHERE: &str = "kube-system/tetragon /usr/bin/curl";

/// Function, arguments, and the line with `@` for source and binary.
fn check(cases: Vec<(&str, Vec<Arg>, &str)>) {
    for (function, args, expected) in cases {
        let actual = line(Event::ProcessKprobe(kprobe(function, args)));
        assert_eq!(actual, expected.replace('@', WHERE), "{function}");
    }
}

#[test]
fn files() {
    check(vec![
        (
            "__x64_sys_write",
            vec![file("/etc/password"), string("x"), Arg::SizeArg(1234)],
            "📝 write   @ /etc/password 1234 bytes",
        ),
        ("__x64_sys_write", vec![], "📝 write   @  "),
        (
            "__arm64_sys_read",
            vec![file("/etc/password"), string("x"), Arg::SizeArg(7)],
            "📚 read    @ /etc/password 7 bytes",
        ),
        ("__x64_sys_read", vec![file("/etc/password")], "📚 read    @ /etc/password "),
        ("fd_install", vec![Arg::IntArg(3), file("/etc/hosts")], "📬 open    @ /etc/hosts"),
        ("fd_install", vec![], "📬 open    @ "),
        (
            "__x64_sys_openat",
            vec![Arg::IntArg(-100), string("/etc/hosts")],
            "📬\u{fe0f} openat  @ /etc/hosts",
        ),
        ("__ia32_sys_open", vec![Arg::IntArg(0), string("/etc/hosts")], "📬\u{fe0f} open    @ /etc/hosts"),
        ("__x64_sys_openat", vec![], "📬\u{fe0f} openat  @ "),
        ("__x64_sys_close", vec![file("/etc/hosts")], "📪 close   @ /etc/hosts"),
        ("__x64_sys_close", vec![], "📪 close   @ "),
        ("__x64_sys_mount", vec![string("proc"), string("/mnt")], "💾 mount   @ proc /mnt"),
        ("__x64_sys_mount", vec![], "💾 mount   @  "),
        ("__x64_sys_pivot_root", vec![string("new"), string("old")], "💾 pivot_root @ new old"),
    ]);
}

#[test]
fn the_system() {
    check(vec![
        ("__x64_sys_setuid", vec![Arg::IntArg(0)], "🔑 setuid  @ 0"),
        ("__x64_sys_setuid", vec![], "🔑 setuid  @ "),
        ("__x64_sys_clock_settime", vec![], "⏰ clock_settime @"),
        ("proc_exec_connector", vec![], "🔧 proc_exec_connector @"),
        ("__x64_sys_setns", vec![Arg::IntArg(3), Arg::IntArg(0)], "🔧 setns   @ any"),
        ("__x64_sys_setns", vec![Arg::IntArg(3), Arg::IntArg(5)], "🔧 setns   @ 5"),
        ("__x64_sys_setns", vec![], "🔧 setns   @ "),
    ]);
    let kinds = [
        (0x0200_0000, "cgroup"),
        (0x0800_0000, "ipc"),
        (0x4000_0000, "net"),
        (0x0002_0000, "mnt"),
        (0x2000_0000, "pid"),
        (0x80, "time"),
        (0x1000_0000, "user"),
        (0x0400_0000, "uts"),
    ];
    for (flag, kind) in kinds {
        let event = kprobe("__x64_sys_setns", vec![Arg::IntArg(3), Arg::IntArg(flag)]);
        assert_eq!(line(Event::ProcessKprobe(event)), format!("🔧 setns   {WHERE} {kind}"));
    }
}

#[test]
fn the_network() {
    let there = "tcp 198.51.100.1:40000 -> 203.0.113.5:443";
    check(vec![
        ("tcp_connect", vec![sock()], &format!("🔌 connect @ {there}")),
        ("tcp_connect", vec![], "🔌 connect @ "),
        ("tcp_close", vec![sock()], &format!("🧹 close   @ {there}")),
        ("tcp_sendmsg", vec![sock(), Arg::IntArg(9)], &format!("📤 sendmsg @ {there} bytes 9")),
        ("tcp_sendmsg", vec![sock()], &format!("📤 sendmsg @ {there} bytes 0")),
    ]);
}

#[test]
fn bpf() {
    let attr = Arg::BpfAttrArg(KprobeBpfAttr {
        prog_type: "BPF_PROG_TYPE_KPROBE".to_owned(),
        insn_cnt: 2048,
        prog_name: "amazing".to_owned(),
    });
    let perf = Arg::PerfEventArg(KprobePerfEvent {
        r#type: "PERF_TYPE_TRACEPOINT".to_owned(),
        kprobe_func: "commit_creds".to_owned(),
        ..Default::default()
    });
    let map = Arg::BpfMapArg(KprobeBpfMap {
        map_type: "BPF_MAP_TYPE_HASH".to_owned(),
        key_size: 8,
        value_size: 16,
        max_entries: 1024,
        map_name: "table".to_owned(),
    });
    check(vec![
        ("bpf_check", vec![attr], "🐝 bpf_load @ BPF_PROG_TYPE_KPROBE amazing instruction count 2048"),
        ("bpf_check", vec![], "🐝 bpf_load @ "),
        ("security_perf_event_alloc", vec![perf], "🐝 perf_event_alloc @ PERF_TYPE_TRACEPOINT commit_creds"),
        (
            "security_bpf_map_alloc",
            vec![map.clone()],
            "🗺 bpf_map_create @ BPF_MAP_TYPE_HASH table key size 8 value size 16 max entries 1024",
        ),
        (
            "security_bpf_map_create",
            vec![map],
            "🗺 bpf_map_create @ BPF_MAP_TYPE_HASH table key size 8 value size 16 max entries 1024",
        ),
    ]);
}

#[test]
fn security_hooks() {
    check(vec![
        ("security_file_permission", vec![file("/x"), Arg::IntArg(2)], "📝 write   @ /x"),
        ("security_file_permission", vec![file("/x"), Arg::IntArg(4)], "📚 read    @ /x"),
        ("security_file_permission", vec![file("/x"), Arg::IntArg(1)], "❓ security_file_permission @ /x"),
        ("security_file_permission", vec![], "❓ security_file_permission @ "),
        ("security_mmap_file", vec![file("/x"), Arg::UintArg(5)], "📝 mmap-rx @ /x"),
        ("security_mmap_file", vec![file("/x"), Arg::UintArg(7)], "📝 mmap-rwx @ /x"),
        ("security_mmap_file", vec![file("/x"), Arg::UintArg(0)], "📝 mmap-   @ /x"),
        ("security_mmap_file", vec![], "❓ security_mmap_file @ "),
        ("security_path_truncate", vec![path("/x")], "📝 truncate @ /x"),
        ("security_path_truncate", vec![], "❓ security_path_truncate @ "),
    ]);
}

#[test]
fn other_functions_are_shown_by_name() {
    check(vec![
        ("__x64_sys_ptrace", vec![Arg::IntArg(1)], "❓ syscall @ __x64_sys_ptrace"),
        ("commit_creds", vec![], "❓ syscall @ commit_creds"),
    ]);
}

#[test]
fn arguments_of_another_type_count_as_missing() {
    check(vec![("fd_install", vec![Arg::IntArg(3), Arg::IntArg(4)], "📬 open    @ ")]);
}

fn tracepoint(subsys: &str, event: &str, args: Vec<Arg>) -> Event {
    Event::ProcessTracepoint(ProcessTracepoint {
        process: Some(pod_curl("")),
        subsys: subsys.to_owned(),
        event: event.to_owned(),
        args: arguments(args),
        ..Default::default()
    })
}

#[test]
fn tracepoints() {
    assert_eq!(
        line(tracepoint("sched", "sched_process_exec", vec![])),
        format!("⁉\u{fe0f} tracepoint {WHERE} sched sched_process_exec")
    );
}

#[test]
fn system_calls_are_decoded() {
    let enter = |args| line(tracepoint("raw_syscalls", "sys_enter", args)).replace(WHERE, "@");
    let sizes = |numbers: &[u64]| numbers.iter().map(|n| Arg::SizeArg(*n)).collect::<Vec<_>>();
    let x64 = |id, numbers| {
        let id = Arg::SyscallId(SyscallId { id, abi: "x64".to_owned() });
        [vec![id], sizes(numbers)].concat()
    };
    assert_eq!(
        enter(x64(0, &[3, 4096, 10])),
        "☎  syscall @ read(unsigned int fd=3, char *buf=0x1000, size_t count=10)"
    );
    assert_eq!(enter(x64(0, &[3])), "☎  syscall @ read(unsigned int fd=3, char *buf=?, size_t count=?)");
    assert_eq!(enter(x64(24, &[])), "☎  syscall @ sched_yield()");
    assert_eq!(enter(x64(180, &[])), "☎  syscall @ nfsservctl");
    assert_eq!(enter(x64(9999, &[])), "☎  syscall @ unknown");
    assert_eq!(enter(vec![]), "☎  syscall @ unknown");
    let close = if cfg!(target_arch = "aarch64") { 57 } else { 3 };
    let args = [vec![Arg::LongArg(close)], sizes(&[7])].concat();
    assert_eq!(enter(args), "☎  syscall @ close(unsigned int fd=7)");
}

#[test]
fn user_space_probes_and_lsm_hooks() {
    let uprobe = ProcessUprobe {
        process: Some(pod_curl("")),
        path: "/bin/bash".to_owned(),
        symbol: "readline".to_owned(),
        ..Default::default()
    };
    assert_eq!(line(Event::ProcessUprobe(uprobe)), format!("🕵\u{fe0f} uprobe  {WHERE} /bin/bash readline"));
    let usdt = ProcessUsdt {
        process: Some(pod_curl("")),
        path: "/usr/bin/x".to_owned(),
        provider: "app".to_owned(),
        name: "start".to_owned(),
        ..Default::default()
    };
    assert_eq!(line(Event::ProcessUsdt(usdt)), format!("🕵\u{fe0f} usdt    {WHERE} /usr/bin/x app start"));
    let lsm = ProcessLsm {
        process: Some(pod_curl("")),
        function_name: "file_open".to_owned(),
        ..Default::default()
    };
    assert_eq!(line(Event::ProcessLsm(lsm)), format!("🔒 LSM     {WHERE} file_open"));
}

#[test]
fn stacks_follow_the_line() {
    let entry = |address, symbol: &str, offset, module: &str| StackTraceEntry {
        address,
        offset,
        symbol: symbol.to_owned(),
        module: module.to_owned(),
    };
    let mut event = kprobe("commit_creds", vec![]);
    event.kernel_stack_trace = vec![entry(0, "commit_creds", 5, ""), entry(0xfff0, "do_exit", 0x1a, "")];
    event.user_stack_trace = vec![entry(0, "main", 16, "/bin/x"), entry(0x10, "", 0x20, "/lib/y")];
    let event = envelope(Event::ProcessKprobe(event));
    let first = format!("❓ syscall {WHERE} commit_creds");
    assert_eq!(
        render(&event, PLAIN),
        format!(
            "{first}\nKernel:\n   0x0: commit_creds+0x5\n   0xfff0: do_exit+0x1a\n\
             User:\n   0x0: main (/bin/x+0x10)\n   0x10: (/lib/y+0x20)"
        )
    );
    assert_eq!(render(&event, Style { stack_traces: false, ..PLAIN }), first);
    let colored = render(&event, Style { color: true, ..PLAIN });
    assert!(
        colored.contains("\n   \x1b[32m0xfff0\x1b[0m: \x1b[34mdo_exit\x1b[0m+\x1b[33m0x1a\x1b[0m\n"),
        "{colored}"
    );
}
