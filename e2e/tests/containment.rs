//! What the harness makes of tests that crash, hang, or take their kernel with them.
//!
//! This binary is run as a test of `cargo test`; it runs itself again with [`INNER`] set to be a test runner whose
//! tests misbehave, and looks at what that says.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use anyhow::{Context, Result, ensure};
use libtest_mimic::{Arguments, Failed, Trial};
use rustix::process::{Pid, Signal};
use tetragon_e2e::host::daemons;
use tetragon_e2e::kit::containerd::{ACTOR, Containerd, Options, Version};
use tetragon_e2e::kit::cri::{ContainerSpec, PodSpec};
use tetragon_e2e::kit::oci::{Engine, Oci};
use tetragon_e2e::kit::podman::Podman;
use tetragon_e2e::kit::{Env, cgroups};
use tetragon_e2e::place::{NATIVE, VMS};
use tetragon_e2e::{Suite, test};

const INNER: &str = "TETRAGON_E2E_MISBEHAVE";
const SURVIVOR: &str = "/tmp/tetragon-e2e-survivor";
const CGROUP: &str = "/tmp/tetragon-e2e-cgroup";
const LEFT: &str = "/tmp/tetragon-e2e-left";

fn main() -> ExitCode {
    let inner = env::var_os(INNER).is_some();
    let spawned = env::args().nth(1).is_some_and(|argument| argument.starts_with("__"));
    if inner || spawned || std::process::id() == 1 {
        return tetragon_e2e::main(&[misbehaving(), together()]);
    }
    let trials = vec![
        trial("a_panic_fails_its_test_with_what_it_printed", a_panic_fails_its_test_with_what_it_printed),
        trial("a_hang_ends_at_the_cap", a_hang_ends_at_the_cap),
        trial("what_a_test_leaves_running_is_ended", what_a_test_leaves_running_is_ended),
        trial("containers_of_a_test_that_hangs_are_ended", containers_of_a_test_that_hangs_are_ended),
        trial("what_a_hung_test_leaves_of_a_runtime_is_ended", what_a_hung_test_leaves_of_a_runtime_is_ended),
        trial(
            "what_a_killed_harness_leaves_is_ended_by_the_next",
            what_a_killed_harness_leaves_is_ended_by_the_next,
        ),
        trial("tests_that_share_a_process_fail_alone", tests_that_share_a_process_fail_alone),
        trial(
            "a_kernel_panic_fails_its_test_with_the_console",
            a_kernel_panic_fails_its_test_with_the_console,
        ),
        trial("a_machine_that_turns_off_fails_its_test", a_machine_that_turns_off_fails_its_test),
        trial(
            "a_missing_emulator_is_a_failure_with_the_remedy",
            a_missing_emulator_is_a_failure_with_the_remedy,
        ),
        trial("a_missing_binary_is_a_failure_with_the_remedy", a_missing_binary_is_a_failure_with_the_remedy),
    ];
    let mut arguments = Arguments::from_args();
    // Two of them boot a machine.
    arguments.test_threads = Some(1);
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn misbehaving() -> Suite {
    Suite::new(
        "mis",
        NATIVE,
        [
            test!(panics),
            test!(hangs).within(Duration::from_secs(1)),
            test!(leaves_a_process),
            test!(strands_containers).within(Duration::from_secs(10)),
            test!(leaves_a_container).within(Duration::from_secs(15)),
            test!(needs_the_agent),
            test!(crashes_the_kernel).on(VMS),
            test!(turns_off).on(VMS),
            test!(behaves).on(VMS),
        ],
    )
}

/// Tests that share a process.
fn together() -> Suite {
    Suite::new(
        "together",
        NATIVE,
        [
            test!(first),
            test!(panics),
            test!(between),
            test!(hangs).within(Duration::from_secs(1)),
            test!(last),
        ],
    )
    .sharing_an_agent()
}

fn first(_: &Env) -> Result<()> {
    println!("the first prints");
    Ok(())
}

fn between(_: &Env) -> Result<()> {
    anyhow::bail!("meant to fail")
}

fn last(_: &Env) -> Result<()> {
    Ok(())
}

fn panics(_: &Env) -> Result<()> {
    println!("printed before");
    panic!("out of ideas");
}

fn hangs(_: &Env) -> Result<()> {
    thread::sleep(Duration::from_secs(3600));
    Ok(())
}

fn leaves_a_process(env: &Env) -> Result<()> {
    env.actor(["fork", "report", SURVIVOR, "sleep", "3600000"])?.spawn()?;
    env.eventually("the survivor", Duration::from_secs(5), || Ok(fs::read_to_string(SURVIVOR).ok()))?;
    Ok(())
}

fn strands_containers(env: &Env) -> Result<()> {
    let podman = Podman::new(env)?;
    podman.container("forever").spawn(["sleep", "3600000"])?;
    let oci = Oci::new(env, Engine::Runc)?;
    let inner = "/sys/fs/cgroup/inner";
    let bundle = oci.bundle(["mkdir", inner, "cgroup", inner, "sleep", "3600000"])?.writable_cgroups()?;
    oci.create(&bundle)?;
    oci.start(bundle.id())?;
    fs::write(CGROUP, env.cgroup()?)?;
    hangs(env)
}

/// Hangs with a container running, after it has told of the processes and the control group.
fn leaves_a_container(env: &Env) -> Result<()> {
    let containerd = Containerd::start(env, "left", Version::V2_4, &Options::default())?;
    let cri = containerd.cri()?;
    let pod = cri.run_pod(&PodSpec::new("default", "left"))?;
    cri.run(&pod, &ContainerSpec::new("left", ACTOR, ["/actor", "until-terminated"]))?;
    let pids: Vec<String> = containerd.cgroup().processes()?.iter().map(u32::to_string).collect();
    // In one step, so that whoever waits for it reads all of it.
    fs::write(format!("{LEFT}.new"), format!("{}\n{}", containerd.cgroup().path(), pids.join(" ")))?;
    fs::rename(format!("{LEFT}.new"), LEFT)?;
    hangs(env)
}

fn needs_the_agent(env: &Env) -> Result<()> {
    env.binary("tetragon").map(drop)
}

fn crashes_the_kernel(_: &Env) -> Result<()> {
    fs::write("/proc/sysrq-trigger", "c").context("crash")
}

fn turns_off(_: &Env) -> Result<()> {
    rustix::system::reboot(rustix::system::RebootCommand::Restart).context("turn off")
}

fn behaves(_: &Env) -> Result<()> {
    Ok(())
}

fn trial(name: &str, check: fn() -> Result<()>) -> Trial {
    Trial::test(name, move || check().map_err(|error| Failed::from(format!("{error:?}"))))
}

fn inner(arguments: &[&str]) -> Result<Command> {
    let mut command = Command::new(env::current_exe()?);
    command.env(INNER, "1").args(arguments);
    Ok(command)
}

/// Runs it; it must fail. Returns all it said.
fn failing(command: &mut Command) -> Result<String> {
    let output = command.output()?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    ensure!(output.status.code() == Some(101), "{}: {said}", output.status);
    Ok(said)
}

fn says(said: &str, expected: &[&str]) -> Result<()> {
    for text in expected {
        ensure!(said.contains(text), "{text:?} is not in:\n{said}");
    }
    Ok(())
}

fn a_panic_fails_its_test_with_what_it_printed() -> Result<()> {
    let said = failing(&mut inner(&["mis::panics"])?)?;
    says(&said, &["native::mis::panics", "FAILED", "printed before", "out of ideas"])
}

fn a_hang_ends_at_the_cap() -> Result<()> {
    let begun = Instant::now();
    let said = failing(&mut inner(&["mis::hangs"])?)?;
    ensure!(begun.elapsed() < Duration::from_secs(30), "it took {:?}", begun.elapsed());
    says(&said, &["did not end within 1s"])
}

fn what_a_test_leaves_running_is_ended() -> Result<()> {
    let output = inner(&["mis::leaves_a_process"])?.output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let report = fs::read_to_string(SURVIVOR)?;
    fs::remove_file(SURVIVOR)?;
    let pid = report.split(' ').next().context("an empty report")?;
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    ensure!(name.trim() != "actor", "process {pid} still runs");
    Ok(())
}

fn containers_of_a_test_that_hangs_are_ended() -> Result<()> {
    let said = failing(&mut inner(&["mis::strands_containers"])?)?;
    says(&said, &["did not end within 10s"])?;
    let cgroup = fs::read_to_string(CGROUP).with_context(|| format!("no container ran:\n{said}"))?;
    fs::remove_file(CGROUP)?;
    let left = cgroups::existing(&cgroup)?;
    ensure!(left.is_empty(), "cgroups are left: {left:?}");
    let name = cgroup.trim_start_matches('/');
    for process in fs::read_dir("/proc")? {
        let line = fs::read_to_string(process?.path().join("cmdline")).unwrap_or_default();
        ensure!(!line.contains(name), "a process is left: {line:?}");
    }
    Ok(())
}

/// Reads what [`leaves_a_container`] told: its control group and the processes in it.
fn left() -> Result<(String, Vec<u32>)> {
    let text = fs::read_to_string(LEFT).context("it did not come to hang")?;
    fs::remove_file(LEFT)?;
    let (group, pids) = text.split_once('\n').context("an incomplete report")?;
    let pids: Vec<u32> = pids.split(' ').map(str::parse).collect::<Result<_, _>>()?;
    // containerd, two shims or one, pause and the container.
    ensure!(pids.len() >= 4, "only {pids:?}");
    Ok((group.to_owned(), pids))
}

fn is_gone((group, pids): &(String, Vec<u32>)) -> Result<()> {
    // The dead may wait a while for the machine's process 1 to take note.
    let runs = |pid: &&u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
    };
    let running: Vec<_> = pids.iter().filter(runs).collect();
    ensure!(running.is_empty(), "{running:?} still run");
    let groups = cgroups::existing(group)?;
    ensure!(groups.is_empty(), "{groups:?} are still there");
    Ok(())
}

fn what_a_hung_test_leaves_of_a_runtime_is_ended() -> Result<()> {
    daemons::prepare()?;
    let said = failing(&mut inner(&["mis::leaves_a_container"])?)?;
    says(&said, &["did not end within 15s"])?;
    is_gone(&left()?)
}

fn what_a_killed_harness_leaves_is_ended_by_the_next() -> Result<()> {
    daemons::prepare()?;
    // A process group of its own, all of which can be killed: what runs in the control group is not in it.
    let mut harness = inner(&["mis::leaves_a_container"])?
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()?;
    let begun = Instant::now();
    while !fs::exists(LEFT)? && begun.elapsed() < Duration::from_secs(15) {
        thread::sleep(Duration::from_millis(20));
    }
    let group = Pid::from_child(&harness);
    rustix::process::kill_process_group(group, Signal::KILL)?;
    harness.wait()?;
    let left = left()?;
    is_gone(&left).err().context("nothing was left: the harness was not killed in time")?;
    let output = inner(&["mis::leaves_a_process"])?.output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    fs::remove_file(SURVIVOR)?;
    is_gone(&left)
}

fn tests_that_share_a_process_fail_alone() -> Result<()> {
    let said = failing(&mut inner(&["native::together"])?)?;
    says(&said, &["2 passed; 3 failed", "out of ideas", "meant to fail", "did not end within 1s"])?;
    ensure!(!said.contains("the first prints"), "what another test printed is shown:\n{said}");
    Ok(())
}

/// The test that kills a machine gets a second one, and the others a third.
fn dies_twice(test: &str, other: &str) -> Result<String> {
    let said = failing(&mut inner(&["vm-6.12::mis", "--skip", other])?)?;
    let during = format!("ended during mis::{test}");
    says(&said, &[&format!("machine 1 died; the virtual machine {during}"), "machine 2 died", &during])?;
    ensure!(!said.contains("machine 3 died"), "{said}");
    says(&said, &["1 passed; 1 failed", "mis::behaves: passed on vm-6.12\n"])?;
    says(&said, &[&format!("mis::{test}: passed on; failed on vm-6.12\n")])?;
    Ok(said)
}

fn a_kernel_panic_fails_its_test_with_the_console() -> Result<()> {
    let said = dies_twice("crashes_the_kernel", "turns_off")?;
    says(&said, &["sysrq triggered crash"])
}

fn a_machine_that_turns_off_fails_its_test() -> Result<()> {
    dies_twice("turns_off", "crashes").map(drop)
}

fn a_missing_emulator_is_a_failure_with_the_remedy() -> Result<()> {
    let said = failing(inner(&["vm-6.12::mis::behaves"])?.env("PATH", "/nonexistent"))?;
    says(&said, &["qemu-system-x86_64 is missing", "install the Debian package qemu-system-x86"])
}

fn a_missing_binary_is_a_failure_with_the_remedy() -> Result<()> {
    let said = failing(inner(&["mis::needs_the_agent"])?.env("TETRAGON_BIN_DIR", "/nonexistent"))?;
    says(&said, &["/nonexistent/tetragon is missing", "cargo build"])
}
