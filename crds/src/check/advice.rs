//! Ways round a policy that its author may not know.

use std::collections::HashSet;

use super::Check;
use crate::policy::{ArgFilter, Call, Enforcer, Hook, HookPoint, ListContent};
use crate::report::Diagnostic;
use crate::spec::ArgType;
use crate::syscalls::{Arch, SyscallRef};

/// System calls that do the same.
struct Way {
    calls: &'static [&'static str],
    /// The LSM hook that sees the resolved object, however it was come by.
    hook: &'static str,
    /// Whether io_uring does it without a call.
    io_uring: bool,
}

const WAYS: &[Way] = &[
    Way {
        calls: &["open", "openat", "openat2", "creat", "open_by_handle_at"],
        hook: "file_open",
        io_uring: true,
    },
    Way { calls: &["execve", "execveat"], hook: "bprm_check_security", io_uring: false },
    Way { calls: &["unlink", "unlinkat"], hook: "inode_unlink", io_uring: true },
    Way { calls: &["rename", "renameat", "renameat2"], hook: "inode_rename", io_uring: true },
    Way { calls: &["mkdir", "mkdirat"], hook: "inode_mkdir", io_uring: true },
    Way { calls: &["rmdir", "unlinkat"], hook: "inode_rmdir", io_uring: true },
    Way { calls: &["symlink", "symlinkat"], hook: "inode_symlink", io_uring: true },
    Way { calls: &["link", "linkat"], hook: "inode_link", io_uring: true },
    Way { calls: &["mknod", "mknodat"], hook: "inode_mknod", io_uring: false },
    Way { calls: &["chmod", "fchmod", "fchmodat", "fchmodat2"], hook: "path_chmod", io_uring: false },
    Way { calls: &["chown", "lchown", "fchown", "fchownat"], hook: "path_chown", io_uring: false },
    Way { calls: &["truncate", "ftruncate"], hook: "path_truncate", io_uring: true },
    Way { calls: &["mount", "fsmount", "move_mount"], hook: "sb_mount and move_mount", io_uring: false },
    Way { calls: &["umount2"], hook: "sb_umount", io_uring: false },
    Way { calls: &["pivot_root"], hook: "sb_pivotroot", io_uring: false },
    Way { calls: &["chroot"], hook: "path_chroot", io_uring: false },
    Way {
        calls: &["setxattr", "lsetxattr", "fsetxattr", "setxattrat"],
        hook: "inode_setxattr",
        io_uring: true,
    },
    Way {
        calls: &["getxattr", "lgetxattr", "fgetxattr", "getxattrat"],
        hook: "inode_getxattr",
        io_uring: true,
    },
    Way {
        calls: &["removexattr", "lremovexattr", "fremovexattr", "removexattrat"],
        hook: "inode_removexattr",
        io_uring: false,
    },
    Way { calls: &["stat", "lstat", "newfstatat", "statx"], hook: "inode_getattr", io_uring: true },
    Way { calls: &["readlink", "readlinkat"], hook: "inode_readlink", io_uring: false },
    Way { calls: &["access", "faccessat", "faccessat2"], hook: "inode_permission", io_uring: false },
    Way {
        calls: &["init_module", "finit_module"],
        hook: "kernel_load_data and kernel_read_file",
        io_uring: false,
    },
    Way { calls: &["statfs"], hook: "sb_statfs", io_uring: false },
    Way { calls: &["inotify_add_watch", "fanotify_mark"], hook: "path_notify", io_uring: false },
    Way { calls: &["connect"], hook: "socket_connect", io_uring: true },
    Way { calls: &["bind"], hook: "socket_bind", io_uring: true },
    Way { calls: &["listen"], hook: "socket_listen", io_uring: true },
    Way { calls: &["accept", "accept4"], hook: "socket_accept", io_uring: true },
    Way { calls: &["sendto", "sendmsg", "sendmmsg"], hook: "socket_sendmsg", io_uring: true },
    Way { calls: &["recvfrom", "recvmsg", "recvmmsg"], hook: "socket_recvmsg", io_uring: true },
    Way { calls: &["socket"], hook: "socket_create", io_uring: true },
    Way {
        calls: &["read", "pread64", "readv", "preadv", "preadv2", "sendfile", "splice"],
        hook: "file_permission",
        io_uring: true,
    },
    Way {
        calls: &["write", "pwrite64", "writev", "pwritev", "pwritev2", "sendfile", "splice"],
        hook: "file_permission",
        io_uring: true,
    },
];

impl Check<'_> {
    /// Warns of what a policy on system calls does not see.
    pub(super) fn advise(&mut self, hooks: &[Hook], enforcer: Option<&Enforcer>) {
        let hooked = self.hooked(hooks);
        for hook in hooks {
            let Some((call, field)) = self.syscall_of(hook) else { continue };
            let way = call.as_ref().and_then(|call| way(call));
            if let Some(call) = &call {
                self.other_ways(hook, field, call, way, &hooked);
            }
            for selector in &hook.selectors {
                if let Some(filter) = selector.args.iter().find(|filter| reads_user_memory(hook, filter)) {
                    self.unstable(filter, way);
                    break;
                }
            }
        }
        let notifies = |hook: &Hook| {
            let mut actions = hook.selectors.iter().flat_map(|selector| &selector.actions);
            actions.any(|action| matches!(action, crate::policy::Action::NotifyEnforcer { .. }))
        };
        if let Some(enforcer) = enforcer.filter(|_| !hooks.iter().any(notifies)) {
            let problem = "nothing notifies the enforcer";
            self.warn(
                Diagnostic::new(enforcer.path.clone(), problem).remedy("add the action NotifyEnforcer"),
            );
        }
    }

    /// The names of all system calls that kprobes hook, as far as they are known without a kernel.
    fn hooked(&self, hooks: &[Hook]) -> HashSet<String> {
        let mut hooked = HashSet::new();
        for hook in hooks {
            match &hook.point {
                HookPoint::Kprobe { call: Call::Syscall(call), .. } => {
                    hooked.insert(call.symbol.clone());
                }
                HookPoint::Kprobe { call: Call::List(list), .. } => {
                    match self.lists.get(*list).map(|list| &list.content) {
                        Some(ListContent::Syscalls(calls)) => {
                            hooked.extend(calls.iter().map(|call| call.symbol.clone()));
                        }
                        Some(ListContent::Functions(functions)) => hooked.extend(functions.iter().cloned()),
                        _ => {}
                    }
                }
                HookPoint::Kprobe { call: Call::Function(name), .. } => {
                    hooked.insert(name.clone());
                }
                HookPoint::Tracepoint { subsystem, event } if subsystem == "syscalls" => {
                    hooked.extend(entered(event, self.arch).map(|call| call.symbol));
                }
                _ => {}
            }
        }
        hooked
    }

    /// Whether a hook is one of system calls, of which one if it is one, and the field that says so.
    fn syscall_of(&self, hook: &Hook) -> Option<(Option<SyscallRef>, &'static str)> {
        match &hook.point {
            HookPoint::Kprobe { call: Call::Syscall(call), .. } => Some((Some(call.clone()), "call")),
            HookPoint::Kprobe { call: Call::List(list), .. } => {
                let list = self.lists.get(*list)?;
                list.content.is_syscalls().then_some((None, "call"))
            }
            HookPoint::Tracepoint { subsystem, event } if subsystem == "syscalls" => {
                entered(event, self.arch).map(|call| (Some(call), "event"))
            }
            HookPoint::Tracepoint { subsystem, event } => {
                (subsystem == "raw_syscalls" && event == "sys_enter").then_some((None, "event"))
            }
            _ => None,
        }
    }

    fn other_ways(
        &mut self,
        hook: &Hook,
        field: &'static str,
        call: &SyscallRef,
        way: Option<&Way>,
        hooked: &HashSet<String>,
    ) {
        let mut ways = Vec::new();
        let native = self.arch.native();
        for name in way.map(|way| way.calls).unwrap_or_default() {
            let symbol = format!("{}sys_{name}", native.prefix());
            if native.number(name).is_some() && *name != call.name && !hooked.contains(&symbol) {
                ways.push(format!("sys_{name}"));
            }
        }
        let compat = self.arch.compat();
        let symbol = format!("{}sys_{}", compat.prefix(), call.name);
        // Both interfaces of Arm share their functions.
        if call.abi == native && compat.prefix() != native.prefix() && !hooked.contains(&symbol) {
            ways.push(format!("32-bit programs ({symbol})"));
        }
        if way.is_some_and(|way| way.io_uring) {
            ways.push("io_uring".to_owned());
        }
        if ways.is_empty() {
            return;
        }
        let problem = format!("not seen: the same through {}", ways.join(", "));
        let diagnostic = Diagnostic::new(hook.path.field(field), problem).value(format!("sys_{}", call.name));
        self.warn(match way {
            Some(way) => diagnostic.remedy(format!("the LSM hook {} sees them all", way.hook)),
            None => diagnostic,
        });
    }

    fn unstable(&mut self, filter: &ArgFilter, way: Option<&Way>) {
        let problem = "compared with the caller's memory before the kernel reads it: a page that is not in memory \
                       cannot be read, and another thread can change it in between";
        let diagnostic = Diagnostic::new(filter.path.clone(), problem);
        self.warn(match way {
            Some(way) => {
                diagnostic.remedy(format!("the LSM hook {} sees what the kernel resolved", way.hook))
            }
            None => {
                diagnostic.remedy("filter at an LSM hook or a kernel function that has the kernel's copy")
            }
        });
    }
}

/// The call whose entry a tracepoint of the group `syscalls` tells.
fn entered(event: &str, arch: Arch) -> Option<SyscallRef> {
    SyscallRef::parse(&format!("sys_{}", event.strip_prefix("sys_enter_")?), arch).ok()
}

fn way(call: &SyscallRef) -> Option<&'static Way> {
    WAYS.iter().find(|way| way.calls.contains(&call.name.as_str()))
}

/// Whether a filter compares something behind a pointer of the caller's.
fn reads_user_memory(hook: &Hook, filter: &ArgFilter) -> bool {
    let ty = hook.args.get(filter.arg).map(|arg| arg.ty);
    matches!(ty, Some(ArgType::String | ArgType::CharBuf | ArgType::CharIovec))
}
