//! LSM hooks, and functions by fentry and fexit.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use tetragon_api::tetragon::KprobeAction;
use tetragon_api::tetragon::get_events_response::Event as Payload;
use tetragon_api::tetragon::kprobe_argument::Arg;
use tetragon_e2e::kit::expect::Expect;
use tetragon_e2e::kit::{Env, EventExt, process};
use tetragon_e2e::place::{NATIVE, NEWER_VMS, VMS, VMS_AND_PREEMPTIBLE};
use tetragon_e2e::{Test, test};

use super::{At, MARK, PRCTL, policy, start, told};

pub(super) fn tests() -> Vec<Test> {
    vec![
        test!(an_lsm_hook).on(VMS),
        test!(nothing_gets_through_an_lsm_hook).on(VMS_AND_PREEMPTIBLE),
        test!(a_kill_at_an_lsm_hook).on(VMS),
        test!(functions_by_fentry).on(VMS),
        test!(nothing_is_promised_at_fentry).on(VMS),
        test!(a_structure_among_the_arguments).on(NEWER_VMS),
        test!(arguments_that_verifiers_do_not_know).on(VMS),
        test!(runs_that_the_kernel_leaves_out).on(NEWER_VMS),
        test!(a_kernel_without_lsm_hooks).on(NATIVE),
    ]
}

/// Whether the file still has its byte. Not by opening it, which a policy may refuse the test as well.
fn is_whole(file: &Path) -> Result<bool> {
    Ok(std::fs::metadata(file)?.len() == 1)
}

/// open(2) for writing, cutting the file to nothing.
const OPEN: &str = "2";
const WRITE_AND_TRUNCATE: &str = "513";

fn on_open(name: &str, options: &str, path: &str, actions: &str) -> String {
    policy(
        name,
        &format!(
            "{options}lsmhooks: [{{hook: file_open, args: [{{index: 0, type: file}}], \
             selectors: [{{matchArgs: [{{index: 0, operator: Equal, values: ['{path}']}}], \
             matchActions: [{actions}]}}]}}]"
        ),
    )
}

fn an_lsm_hook(env: &Env) -> Result<()> {
    let watch = start(env)?;
    let file = env.file("guarded");
    std::fs::write(&file, "x")?;
    let path = file.to_string_lossy().into_owned();
    let error = "{action: Override, argError: -13}";
    watch.agent.add_policy(&on_open("seen", "", &path, "{action: Post}"))?;
    watch.agent.add_policy(&on_open("other", "", &format!("{path}x"), error))?;
    let monitor = "options: [{name: policy-mode, value: monitor}], ";
    watch.agent.add_policy(&on_open("monitored", monitor, &path, error))?;
    let open = ["syscall", OPEN, &format!("s:{path}"), WRITE_AND_TRUNCATE, "0", ".", "exit", "0"];
    let (ended, _) = watch.act(open)?;
    super::expect_exactly(
        &watch,
        ended.pid,
        &["monitored", "seen"].map(str::to_owned).into(),
        "an open file",
    )?;
    ensure!(!is_whole(&file)?, "a policy that only watches was enforced");
    let of =
        Expect::any().that("seen", move |event| event.policy() == Some("seen") && event.pid() == ended.pid);
    let Some(Payload::ProcessLsm(event)) = watch.events.expect(&of)?.event else { bail!("no LSM event") };
    ensure!(event.function_name == "file_open" && event.action() == KprobeAction::Post, "{event:?}");
    let Some(Arg::FileArg(told)) = event.args.first().and_then(|it| it.arg.as_ref()) else {
        bail!("no file: {event:?}")
    };
    ensure!(told.path == path, "{told:?}");

    // Of two policies at one hook, the one that refuses counts.
    std::fs::write(&file, "x")?;
    watch.agent.add_policy(&on_open("refused", "", &path, error))?;
    let (ended, _) = watch.act(open)?;
    ensure!(is_whole(&file)?, "the file was opened all the same");
    let of = Expect::any()
        .that("refused", move |event| event.policy() == Some("refused") && event.pid() == ended.pid);
    let Some(Payload::ProcessLsm(event)) = watch.events.expect(&of)?.event else { bail!("no LSM event") };
    ensure!(event.action() == KprobeAction::Override, "{event:?}");
    watch.agent.delete_policy("", "refused")?;
    watch.act(open)?;
    ensure!(!is_whole(&file)?, "a policy that is gone was enforced");
    watch.finish()
}

/// Several processes at once, so that one is preempted inside the program while another one runs it.
fn nothing_gets_through_an_lsm_hook(env: &Env) -> Result<()> {
    const PROCESSES: usize = 4;
    const OPENS: usize = 300;
    let watch = start(env)?;
    let file = env.file("guarded");
    std::fs::write(&file, "x")?;
    let path = file.to_string_lossy().into_owned();
    let actions = "{action: Override, argError: -1}, {action: NoPost}";
    watch.agent.add_policy(&on_open("guard", "", &path, actions))?;
    let mut line = Vec::new();
    let argument = format!("s:{path}");
    for _ in 0..OPENS {
        line.extend(["syscall", OPEN, &argument, WRITE_AND_TRUNCATE, "0", "."]);
    }
    line.extend(["exit", "0"]);
    let mut running = Vec::new();
    for _ in 0..PROCESSES {
        running.push(env.actor(&line)?.spawn().context("start the actor")?);
    }
    for mut child in running {
        ensure!(child.wait()?.success(), "the actor failed");
    }
    ensure!(is_whole(&file)?, "a process got through");
    let policies = watch.agent.policies()?;
    let guard = policies.iter().find(|it| it.name == "guard").context("the policy is gone")?;
    let counted = guard.figures.context("no figures")?;
    let made = (PROCESSES * OPENS) as u64;
    ensure!((counted.matched, counted.overridden) == (made, made), "{made} calls, {counted:?}");
    // The hook's own program is never left out: it may be in it several times at once.
    ensure!(counted.skipped == 0, "{counted:?}");
    watch.finish()
}

fn a_kill_at_an_lsm_hook(env: &Env) -> Result<()> {
    let watch = start(env)?;
    let (file, mark) = (env.file("guarded"), env.file("after"));
    std::fs::write(&file, "x")?;
    let path = file.to_string_lossy().into_owned();
    watch.agent.add_policy(&on_open("kill", "", &path, "{action: Sigkill}"))?;
    for _ in 0..10 {
        let line = ["syscall", OPEN, &format!("s:{path}"), "0", "0", ".", "mkdir", &*mark.to_string_lossy()];
        let (ended, _) = watch.act(line)?;
        let pid = ended.expect_signal(9)?.pid;
        ensure!(!mark.exists(), "the process went on after the signal");
        ensure!(told(&watch.events.all(), pid).contains("kill"), "no event");
    }
    watch.finish()
}

const BY_FENTRY: &str = "options: [{name: attach-method, value: fentry}], ";

fn functions_by_fentry(env: &Env) -> Result<()> {
    let watch = start(env)?;
    for (name, mark, returned) in
        [("both", MARK, "-22"), ("other-value", MARK, "0"), ("other-mark", "32344", "-22")]
    {
        watch.agent.add_policy(&policy(
            name,
            &format!(
                "{BY_FENTRY}{}, return: true, returnArg: {{index: 0, type: int}}, \
                 selectors: [{{matchArgs: [{{index: 0, operator: Equal, values: ['{mark}']}}], \
                 matchReturnArgs: [{{index: 0, operator: Equal, values: ['{returned}']}}]}}]}}]",
                At::Kprobe.prctl("uint64")
            ),
        ))?;
    }
    let file = env.file("guarded");
    std::fs::write(&file, "x")?;
    let path = file.to_string_lossy().into_owned();
    watch.agent.add_policy(&policy(
        "opened",
        &format!(
            "{BY_FENTRY}kprobes: [{{call: security_file_open, syscall: false, args: [{{index: 0, type: file}}], \
             selectors: [{{matchArgs: [{{index: 0, operator: Equal, values: ['{path}']}}]}}]}}]"
        ),
    ))?;
    let open = format!("s:{path}");
    let (ended, _) =
        watch.act(["syscall", PRCTL, MARK, "77", ".", "syscall", OPEN, &open, "0", "0", ".", "exit", "0"])?;
    super::expect_exactly(&watch, ended.pid, &["both", "opened"].map(str::to_owned).into(), "two calls")?;
    let of =
        Expect::any().that("both", move |event| event.policy() == Some("both") && event.pid() == ended.pid);
    let Some(Payload::ProcessKprobe(event)) = watch.events.expect(&of)?.event else { bail!("no event") };
    let returned = event.r#return.as_ref().and_then(|it| it.arg.as_ref());
    ensure!(returned == Some(&Arg::IntArg(-22)), "{event:?}");
    ensure!(event.args.get(1).and_then(|it| it.arg.as_ref()) == Some(&Arg::SizeArg(77)), "{event:?}");
    watch.finish()
}

fn nothing_is_promised_at_fentry(env: &Env) -> Result<()> {
    let watch = start(env)?;
    let text = policy(
        "kill",
        &format!(
            "{BY_FENTRY}{}, selectors: [{{matchActions: [{{action: Sigkill}}]}}]}}]",
            At::Kprobe.prctl("int")
        ),
    );
    let error = watch.agent.add_policy(&text).err().context("it was accepted")?;
    let error = format!("{error:#}");
    ensure!(error.contains("spec.kprobes[0]") && error.contains("LSM hook"), "{error}");
    watch.finish()
}

/// What comes after it would be taken for something else: refused, with the argument.
fn a_structure_among_the_arguments(env: &Env) -> Result<()> {
    let watch = start(env)?;
    let text = policy(
        "wide",
        &format!(
            "{BY_FENTRY}kprobes: [{{call: do_tcp_setsockopt, syscall: false, args: [{{index: 4, type: uint32}}]}}]"
        ),
    );
    let error = watch.agent.add_policy(&text).err().context("it was accepted")?;
    let error = format!("{error:#}");
    ensure!(error.contains("argument 3 is a structure of 16 bytes"), "{error}");
    watch.finish()
}

fn a_kernel_without_lsm_hooks(env: &Env) -> Result<()> {
    let modules = std::fs::read_to_string("/sys/kernel/security/lsm").unwrap_or_default();
    if modules.split(',').any(|module| module.trim() == "bpf") {
        // Then there is nothing to refuse; that it works is shown in the machines.
        return process::run(&mut env.actor(["exit", "0"])?).map(drop);
    }
    let watch = start(env)?;
    let error = watch.agent.add_policy(&on_open("guard", "", "/x", "{action: Post}"));
    let error = format!("{:#}", error.err().context("it was accepted")?);
    ensure!(error.contains("spec.lsmhooks[0]"), "{error}");
    watch.finish()
}

/// Pointers to anything but structures: texts at an LSM hook; and a function that returns one.
fn arguments_that_verifiers_do_not_know(env: &Env) -> Result<()> {
    let watch = start(env)?;
    watch.agent.add_policy(&policy(
        "mounted",
        "lsmhooks: [{hook: sb_mount, args: [{index: 0, type: string}, {index: 2, type: string}], \
         selectors: [{matchArgs: [{index: 0, operator: Equal, values: ['never']}, \
         {index: 2, operator: Equal, values: ['tmpfs']}], \
         matchActions: [{action: Override, argError: -13}]}]}]",
    ))?;
    watch.agent.add_policy(&policy(
        "resolved",
        &format!(
            "{BY_FENTRY}kprobes: [{{call: d_path, syscall: false, return: true, returnArg: {{index: 0, type: uint64}}, \
             args: [{{index: 2, type: int}}], \
             selectors: [{{matchArgs: [{{index: 2, operator: Equal, values: ['4096']}}], \
             matchReturnArgs: [{{index: 0, operator: GT, values: ['0xff00000000000000']}}]}}]}}]"
        ),
    ))?;
    let refused = env.file("mounted");
    std::fs::create_dir(&refused)?;
    let refused = format!("s:{}", refused.display());
    // mount(2), and readlink(2) into the text.
    let line = [
        "syscall",
        "165",
        "s:never",
        &refused,
        "s:tmpfs",
        "0",
        "0",
        ".",
        "syscall",
        "89",
        "s:/proc/self/exe",
    ];
    let (ended, _) = watch.act(line.into_iter().chain(["s:12345678", "8", ".", "exit", "0"]))?;
    super::expect_exactly(
        &watch,
        ended.pid,
        &["mounted", "resolved"].map(str::to_owned).into(),
        "a mount and a link",
    )?;
    let mounts = std::fs::read_to_string("/proc/self/mounts")?;
    ensure!(!mounts.contains("never"), "mounted all the same: {mounts}");
    watch.finish()
}

/// The kernel does not run a program within itself. Ours read kernel memory, so one at a function of such reads would; that
/// runs are missing is told.
fn runs_that_the_kernel_leaves_out(env: &Env) -> Result<()> {
    let watch = start(env)?;
    watch.agent.add_policy(&policy(
        "within",
        &format!(
            "{BY_FENTRY}kprobes: [{{call: copy_from_kernel_nofault_allowed, syscall: false, \
             args: [{{index: 1, type: size_t}}], \
             selectors: [{{matchArgs: [{{index: 1, operator: Equal, values: ['123456789']}}]}}]}}]"
        ),
    ))?;
    watch.agent.add_policy(&policy(
        "apart",
        &format!(
            "{BY_FENTRY}{}, selectors: [{{matchArgs: [{{index: 0, operator: Equal, values: ['{MARK}']}}]}}]}}]",
            At::Kprobe.prctl("int")
        ),
    ))?;
    watch.act(["syscall", PRCTL, MARK, ".", "exit", "0"])?;
    let skipped = |name: &str| -> Result<u64> {
        let policies = watch.agent.policies()?;
        let policy = policies.iter().find(|it| it.name == name).context("not listed")?;
        Ok(policy.figures.as_ref().context("no figures")?.skipped)
    };
    let (within, apart) = (skipped("within")?, skipped("apart")?);
    ensure!(within > 0, "the program ran within itself, or that it did not is not told");
    ensure!(apart == 0, "{apart} runs of another program are told to be missing");
    watch.finish()
}
