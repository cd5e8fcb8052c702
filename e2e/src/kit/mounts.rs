//! File systems that a test finds in place, in a virtual machine and on this machine alike.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount};

/// (type, directory) of what every place has.
const KERNEL: &[(&str, &str)] =
    &[("bpf", "/sys/fs/bpf"), ("tracefs", "/sys/kernel/tracing"), ("securityfs", "/sys/kernel/security")];

/// (type, directory) of what process 1 has to provide on top.
const ROOT: &[(&str, &str)] = &[
    ("proc", "/proc"),
    ("sysfs", "/sys"),
    ("devtmpfs", "/dev"),
    ("devpts", "/dev/pts"),
    ("tmpfs", "/dev/shm"),
    ("tmpfs", "/run"),
    ("tmpfs", "/tmp"),
    ("cgroup2", "/sys/fs/cgroup"),
];

/// Makes the root of an initramfs look like a running system.
pub fn guest_root() -> Result<()> {
    for (kind, dir) in ROOT.iter().chain(KERNEL) {
        mount_at(kind, dir)?;
    }
    hold_controllers().context("keep a control group")?;
    for dir in ["/var", "/etc"] {
        fs::create_dir_all(dir)?;
    }
    std::os::unix::fs::symlink("/run", "/var/run")?;
    rustix::system::sethostname(b"e2e-guest").context("set the host name")
}

/// Makes a control group that has every controller, and stays.
///
/// The first group with a cpuset, and the end of the last one, let the kernel patch its page allocator. While the other
/// processor is in there, the emulator may run a breakpoint that has been taken out again: "Oops: int3" in
/// `get_page_from_freelist`. Container runtimes would do this to us with each container.
fn hold_controllers() -> Result<()> {
    let root = Path::new("/sys/fs/cgroup");
    let controllers = fs::read_to_string(root.join("cgroup.controllers"))?;
    for controller in controllers.split_whitespace() {
        let enabled = fs::write(root.join("cgroup.subtree_control"), format!("+{controller}"));
        enabled.with_context(|| format!("enable {controller}"))?;
    }
    fs::create_dir(root.join("held")).context("make the group")
}

/// Gives this process and its children mounts of their own: what the machine lacks, and an empty `/run`, so that
/// neither the machine nor an agent or container runtime that already runs on it is touched.
pub fn private_view() -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!(
            "tests on this machine's kernel need root; run them as root or select the virtual machines' by name"
        );
    }
    unshare_mounts().context("make a mount namespace")?;
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    for (kind, dir) in KERNEL {
        if !is_mounted(kind, dir)? {
            mount_at(kind, dir)?;
        }
    }
    // Runtimes keep sockets, networks and state here; an agent its own.
    mount_at("tmpfs", "/run")?;
    fs::create_dir("/run/tetragon").context("make the agent's run directory")
}

/// Makes a directory empty for this test, wherever the machine keeps something there.
pub fn empty(dir: &str) -> Result<()> {
    if is_mounted("tmpfs", dir)? { Ok(()) } else { mount_at("tmpfs", dir) }
}

/// Mount points below `dir`, outer ones first.
pub fn below(dir: &Path) -> Result<Vec<PathBuf>> {
    let mounts = fs::read_to_string("/proc/self/mounts").context("list mounts")?;
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(1)).map(PathBuf::from);
    Ok(points.filter(|point| point.starts_with(dir)).collect())
}

/// Takes a mount off, even if it is in use.
pub fn detach(point: &Path) -> Result<()> {
    unmount(point, UnmountFlags::DETACH).with_context(|| format!("unmount {}", point.display()))
}

#[expect(unsafe_code, reason = "unsharing is unsafe for what it can do to descriptors; mounts are harmless")]
fn unshare_mounts() -> Result<(), Errno> {
    // SAFETY: only the mount namespace is unshared, and this process has one thread.
    unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNS) }
}

pub(super) fn mount_at(kind: &str, dir: &str) -> Result<()> {
    if !Path::new(dir).exists() {
        fs::create_dir_all(dir).with_context(|| format!("make {dir}"))?;
    }
    match mount(kind, dir, kind, MountFlags::empty(), None) {
        // The kernel mounts devtmpfs by itself.
        Ok(()) | Err(Errno::BUSY) => Ok(()),
        Err(error) => Err(error).with_context(|| format!("mount {kind} at {dir}")),
    }
}

fn is_mounted(kind: &str, dir: &str) -> Result<bool> {
    let mounts = fs::read_to_string("/proc/self/mounts").context("list mounts")?;
    Ok(mounts.lines().any(|line| {
        let mut fields = line.split(' ').skip(1);
        fields.next() == Some(dir) && fields.next() == Some(kind)
    }))
}
