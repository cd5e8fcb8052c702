//! Function hooks. Well-known functions are shown by what they do, all others by name.

use tetragon_api::tetragon::{KprobeSock, ProcessKprobe};

use super::args::Args;
use super::body::Body;

pub(super) fn body(event: &ProcessKprobe) -> Body {
    let args = Args(&event.args);
    let name = without_syscall_prefix(&event.function_name);
    file(name, args)
        .or_else(|| system(name, args))
        .or_else(|| network(name, args))
        .or_else(|| bpf(name, args))
        .or_else(|| security(name, args))
        .unwrap_or_else(|| Body::new("❓", "syscall").text(&event.function_name))
}

/// The name of a system call without its architecture.
fn without_syscall_prefix(name: &str) -> &str {
    ["__x64_", "__arm64_", "__ia32_"].iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name)
}

fn path(args: Args<'_>, index: usize) -> &str {
    args.path(index).unwrap_or_default()
}

fn string(args: Args<'_>, index: usize) -> &str {
    args.string(index).unwrap_or_default()
}

fn number(args: Args<'_>, index: usize) -> String {
    args.number(index).map(|n| n.to_string()).unwrap_or_default()
}

fn file(name: &str, args: Args<'_>) -> Option<Body> {
    let bytes = || args.number(2).map(|n| format!("{n} bytes")).unwrap_or_default();
    Some(match name {
        "sys_write" => Body::new("📝", "write").text(path(args, 0)).text(&bytes()),
        "sys_read" => Body::new("📚", "read").text(path(args, 0)).text(&bytes()),
        "fd_install" => Body::new("📬", "open").text(path(args, 1)),
        "sys_openat" => Body::new("📬\u{fe0f}", "openat").text(string(args, 1)),
        "sys_open" => Body::new("📬\u{fe0f}", "open").text(string(args, 1)),
        "sys_close" => Body::new("📪", "close").text(path(args, 0)),
        "sys_mount" => Body::new("💾", "mount").text(string(args, 0)).text(string(args, 1)),
        "sys_pivot_root" => Body::new("💾", "pivot_root").text(string(args, 0)).text(string(args, 1)),
        _ => return None,
    })
}

fn system(name: &str, args: Args<'_>) -> Option<Body> {
    Some(match name {
        "sys_setuid" => Body::new("🔑", "setuid").text(&number(args, 0)),
        "sys_clock_settime" => Body::new("⏰", "clock_settime"),
        "proc_exec_connector" => Body::new("🔧", "proc_exec_connector"),
        "sys_setns" => {
            let kind =
                args.number(1).map(|flag| namespace_kind(flag).map_or(flag.to_string(), str::to_owned));
            Body::new("🔧", "setns").text(&kind.unwrap_or_default())
        }
        _ => return None,
    })
}

/// The namespace that a `CLONE_NEW*` flag stands for.
fn namespace_kind(flag: i128) -> Option<&'static str> {
    Some(match flag {
        0 => "any",
        0x0200_0000 => "cgroup",
        0x0800_0000 => "ipc",
        0x4000_0000 => "net",
        0x0002_0000 => "mnt",
        0x2000_0000 => "pid",
        0x0000_0080 => "time",
        0x1000_0000 => "user",
        0x0400_0000 => "uts",
        _ => return None,
    })
}

fn network(name: &str, args: Args<'_>) -> Option<Body> {
    let connection = args.sock(0).map(connection).unwrap_or_default();
    Some(match name {
        "tcp_connect" => Body::new("🔌", "connect").text(&connection),
        "tcp_close" => Body::new("🧹", "close").text(&connection),
        "tcp_sendmsg" => {
            let bytes = args.number(1).unwrap_or_default();
            Body::new("📤", "sendmsg").text(&format!("{connection} bytes {bytes}"))
        }
        _ => return None,
    })
}

fn connection(sock: &KprobeSock) -> String {
    format!("tcp {}:{} -> {}:{}", sock.saddr, sock.sport, sock.daddr, sock.dport)
}

fn bpf(name: &str, args: Args<'_>) -> Option<Body> {
    let (word, text) = match name {
        "bpf_check" => (
            "bpf_load",
            args.bpf_attr(0)
                .map(|it| format!("{} {} instruction count {}", it.prog_type, it.prog_name, it.insn_cnt)),
        ),
        "security_perf_event_alloc" => {
            ("perf_event_alloc", args.perf_event(0).map(|it| format!("{} {}", it.r#type, it.kprobe_func)))
        }
        "security_bpf_map_alloc" | "security_bpf_map_create" => {
            let text = args.bpf_map(0).map(|it| {
                format!(
                    "{} {} key size {} value size {} max entries {}",
                    it.map_type, it.map_name, it.key_size, it.value_size, it.max_entries
                )
            });
            return Some(Body::new("🗺", "bpf_map_create").text(&text.unwrap_or_default()));
        }
        _ => return None,
    };
    Some(Body::new("🐝", word).text(&text.unwrap_or_default()))
}

fn security(name: &str, args: Args<'_>) -> Option<Body> {
    let body = match name {
        // The mask of the kernel's permission check.
        "security_file_permission" => match args.number(1) {
            Some(2) => Body::new("📝", "write"),
            Some(4) => Body::new("📚", "read"),
            _ => Body::new("❓", "security_file_permission"),
        },
        "security_mmap_file" => match args.number(1) {
            Some(protection) => {
                let flags = [(1, 'r'), (2, 'w'), (4, 'x')];
                let set = flags.iter().filter(|(bit, _)| protection & bit != 0).map(|(_, letter)| letter);
                Body::new("📝", format!("mmap-{}", set.collect::<String>()))
            }
            None => Body::new("❓", "security_mmap_file"),
        },
        "security_path_truncate" => match args.path(0) {
            Some(_) => Body::new("📝", "truncate"),
            None => Body::new("❓", "security_path_truncate"),
        },
        _ => return None,
    };
    Some(body.text(path(args, 0)))
}
