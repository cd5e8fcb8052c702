//! The harness tests itself: what every other test takes for granted.

use std::fs;

use anyhow::{Result, ensure};
use tetragon_e2e::kit::Env;
use tetragon_e2e::place::{EVERYWHERE_AND_PREEMPTIBLE, PREEMPT_FULL};
use tetragon_e2e::{Place, Suite, test};

pub(crate) fn suite() -> Suite {
    Suite::new(
        "harness",
        EVERYWHERE_AND_PREEMPTIBLE,
        [
            test!(the_kernel_is_the_one_asked_for),
            test!(the_kernel_describes_its_types),
            test!(tests_run_as_root_in_their_own_directory),
            test!(the_kernel_is_fully_preemptible).on(PREEMPT_FULL),
        ],
    )
}

fn the_kernel_is_the_one_asked_for(env: &Env) -> Result<()> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    if let Place::Vm { kernel, .. } = env.place() {
        ensure!(release.starts_with(&format!("{kernel}.")), "{release:?} is not a {kernel}");
    }
    Ok(())
}

fn the_kernel_describes_its_types(_: &Env) -> Result<()> {
    let btf = fs::read("/sys/kernel/btf/vmlinux")?;
    ensure!(btf.starts_with(&[0x9f, 0xeb]), "no BTF: {:x?}", &btf[..2.min(btf.len())]);
    Ok(())
}

fn tests_run_as_root_in_their_own_directory(env: &Env) -> Result<()> {
    fs::write(env.file("x"), "y")?;
    ensure!(fs::read_dir(env.dir())?.count() == 1, "the directory is shared");
    ensure!(fs::read_to_string("/proc/self/status")?.contains("\nUid:\t0\t0\t0\t0\n"), "not root");
    Ok(())
}

fn the_kernel_is_fully_preemptible(_: &Env) -> Result<()> {
    let line = fs::read_to_string("/proc/cmdline")?;
    ensure!(line.contains("preempt=full"), "{line}");
    // A kernel that can choose says what it chose.
    let debugfs = tempfile::tempdir()?;
    rustix::mount::mount("debugfs", debugfs.path(), "debugfs", rustix::mount::MountFlags::empty(), None)?;
    let mode = fs::read_to_string(debugfs.path().join("sched/preempt"));
    rustix::mount::unmount(debugfs.path(), rustix::mount::UnmountFlags::DETACH)?;
    let mode = mode?;
    ensure!(mode.contains("(full)"), "preemption is {mode:?}");
    Ok(())
}
