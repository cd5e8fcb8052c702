//! Losses forced in every place: the ledger still adds up, and the consumer sees where the gaps are.

use std::os::unix::process::CommandExt;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::{Resource, Rlimit, Signal, setrlimit};
use tetragon_api::tetragon::get_events_response::Event as Payload;
use tetragon_e2e::kit::{Env, Event, EventExt, Launch, Ledger, Silent, Watch, agent, exec, exit, process};
use tetragon_e2e::place::{EVERYWHERE, NATIVE_AND_ONE};
use tetragon_e2e::{Suite, test};

use crate::storm::Storm;

pub(crate) fn suite() -> Suite {
    Suite::new(
        "losses",
        EVERYWHERE,
        [
            test!(a_stopped_reader_of_a_small_ring).within(Duration::from_secs(120)),
            test!(a_stopped_reader_of_a_large_ring).within(Duration::from_secs(120)),
            // What comes behind the ring knows no kernel.
            test!(a_full_queue).on(NATIVE_AND_ONE).within(Duration::from_secs(120)),
            test!(five_megabytes_of_arguments).within(Duration::from_secs(120)),
            test!(five_megabytes_of_arguments_in_a_small_ring).within(Duration::from_secs(120)),
        ],
    )
}

/// How many events are said to be missing, all its gaps together.
fn told_lost(events: &[Event]) -> u64 {
    let gaps = events.iter().filter_map(|event| match &event.event {
        Some(Payload::RateLimitInfo(gap)) => Some(gap.number_of_dropped_process_events),
        _ => None,
    });
    gaps.sum()
}

/// Records of every kind that the kernel could not hand over.
fn all_unplaced(ledger: &Ledger) -> u64 {
    ledger.0.hooks.iter().map(|hook| hook.reserve_failed).sum()
}

/// Execs and exits that the kernel could not hand over.
fn unplaced(ledger: &Ledger) -> Result<u64> {
    Ok(ledger.hook("exec")?.reserve_failed + ledger.hook("exit")?.reserve_failed)
}

fn a_stopped_reader_of_a_small_ring(env: &Env) -> Result<()> {
    let storm = Storm::new(env, 400)?;
    let launch = Launch::new(env)?.arg("--rb-size-total=8K");
    let watch = Watch::launch(env, &launch)?;
    watch.agent.signal(Signal::STOP)?;
    let outcome = storm.run(env);
    watch.agent.signal(Signal::CONT)?;
    outcome?;
    let ledger = watch.agent.settled_ledger()?;
    ensure!(unplaced(&ledger)? > 0, "nothing was lost: {:#?}", ledger.0.hooks);
    sees_again(env, &watch)?;
    let lost = all_unplaced(&watch.agent.settled_ledger()?);
    let told = told_lost(&watch.events.all());
    ensure!(0 < told && told <= lost, "the stream tells of {told} lost records, the ledger of {lost}");
    watch.finish_with_losses()?;
    // The stream begins later than the agent and may not have a gap of its start; the file has them all.
    let told = told_lost(&agent::exported(&launch.path("events.json"))?);
    // What else happens on this machine may have been lost since.
    let adds_up = if env.place().is_native() { told >= lost } else { told == lost };
    ensure!(adds_up, "the file tells of {told} lost records, the ledger of {lost}");
    Ok(())
}

/// Once the ring is empty again, the agent sees what comes next.
///
/// Other processes of this machine fill a ring of one page within the few milliseconds for which records may gather, and
/// sooner yet while the agent looks through all processes for what it has missed. A process may be missing then, but
/// only if the ledger counts new losses.
fn sees_again(env: &Env, watch: &Watch<'_>) -> Result<()> {
    let mut missed: u32 = 0;
    env.eventually("a process that is told whole behind the emptied ring", Duration::from_secs(60), || {
        let before = unplaced(&watch.agent.settled_ledger()?)?;
        let Err(error) = watch.catch_up() else { return Ok(Some(())) };
        let lost = unplaced(&watch.agent.settled_ledger()?)? - before;
        ensure!(env.place().is_native() && lost > 0, "{lost} new losses do not explain: {error:#}");
        missed += 1;
        Ok(None)
    })?;
    env.record("processes lost behind the emptied ring", missed.into());
    Ok(())
}

fn a_stopped_reader_of_a_large_ring(env: &Env) -> Result<()> {
    let storm = Storm::new(env, 100)?;
    let watch = Watch::start(env)?;
    watch.agent.signal(Signal::STOP)?;
    let outcome = storm.run(env);
    watch.agent.signal(Signal::CONT)?;
    outcome?;
    watch.catch_up()?;
    for (what, expected) in [("execs", exec()), ("exits", exit())] {
        let told = watch.events.matching(&expected.binary(storm.program())).len();
        ensure!(told == storm.processes(), "{told} {what} of {}", storm.processes());
    }
    watch.finish()
}

fn a_full_queue(env: &Env) -> Result<()> {
    let storm = Storm::new(env, 400)?;
    let launch = Launch::new(env)?.arg("--event-queue-size=1");
    let watch = Watch::launch(env, &launch)?;
    let silent = Silent::subscribe(&watch.agent.socket())?;
    storm.run(env)?;
    let ledger = env.eventually("drops of the silent stream", Duration::from_secs(5), || {
        let ledger = watch.agent.ledger()?;
        let dropped = ledger.sinks("grpc").iter().any(|sink| sink.dropped > 0);
        Ok(dropped.then_some(ledger))
    })?;
    drop(silent);
    ledger.check()?;
    let ledger = watch.agent.settled_ledger()?;
    ensure!(ledger.lost() == 0, "a full queue reached the kernel: {:#?}", ledger.0.hooks);
    watch.finish_with_losses()
}

/// Executes the actor with 5 MB of arguments, and returns its exec event.
fn executed_with_5_mb(env: &Env, watch: &Watch<'_>, arguments: &[String]) -> Result<Event> {
    let mut command = env.actor(["exit", "0"])?;
    command.args(arguments).env_clear();
    #[expect(unsafe_code, reason = "code between fork and exec must not allocate; this is one system call")]
    // SAFETY: setting a limit is a bare system call.
    unsafe {
        // Arguments may take a quarter of the stack.
        command.pre_exec(|| {
            let limit = Rlimit { current: Some(64 << 20), maximum: None };
            setrlimit(Resource::Stack, limit).map_err(Into::into)
        });
    }
    let ended = process::run(&mut command)?.expect_code(0)?;
    let executed = watch.events.expect_within(Duration::from_secs(20), &exec().pid(ended.pid))?;
    watch.events.expect(&exit().pid(ended.pid))?;
    Ok(executed)
}

fn five_megabytes() -> Vec<String> {
    (10..60).map(|number: u32| number.to_string().repeat(50_000)).collect()
}

fn five_megabytes_of_arguments(env: &Env) -> Result<()> {
    let launch = Launch::new(env)?.arg("--rb-size-total=32M");
    let watch = Watch::launch(env, &launch)?;
    let arguments = five_megabytes();
    let executed = executed_with_5_mb(env, &watch, &arguments)?;
    let told = executed.process().context("process")?;
    let expected = format!("exit 0 {}", arguments.join(" "));
    ensure!(told.arguments.len() == expected.len(), "{} of {} bytes", told.arguments.len(), expected.len());
    ensure!(told.arguments == expected, "the arguments were changed");
    ensure!(!told.flags.contains("Args"), "flags are {:?}", told.flags);
    watch.finish()
}

fn five_megabytes_of_arguments_in_a_small_ring(env: &Env) -> Result<()> {
    let launch = Launch::new(env)?.arg("--rb-size-total=64K");
    let watch = Watch::launch(env, &launch)?;
    let arguments = five_megabytes();
    watch.agent.signal(Signal::STOP)?;
    let agent = watch.agent.pid();
    let resume = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(3));
        process::signal(agent, Signal::CONT)
    });
    let executed = executed_with_5_mb(env, &watch, &arguments)?;
    resume.join().map_err(|_| anyhow::anyhow!("the resuming thread panicked"))??;
    let told = executed.process().context("process")?;
    ensure!(told.flags.split(' ').any(|flag| flag == "truncArgs"), "cut without a flag: {:?}", told.flags);
    ensure!(told.arguments.len() < 5_000_000, "nothing was cut");
    let expected = format!("exit 0 {}", arguments.join(" "));
    ensure!(expected.starts_with(&told.arguments), "what is left is not the beginning");
    watch.catch_up()?;
    let ledger = watch.agent.settled_ledger()?;
    // Life-cycle records have a ring of their own.
    ensure!(unplaced(&ledger)? == 0, "the arguments crowded out an exec or exit: {:#?}", ledger.0.hooks);
    watch.finish_with_losses()
}
