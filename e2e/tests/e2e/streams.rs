//! Consumers that misbehave change nothing for the others.

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tetragon_e2e::kit::lives::{Told, true_lives};
use tetragon_e2e::kit::{Env, Launch, Silent, Truth, Watch, agent};
use tetragon_e2e::place::NATIVE_AND_ONE;
use tetragon_e2e::{Suite, test};

use crate::storm::Storm;

pub(crate) fn suite() -> Suite {
    Suite::new(
        "streams",
        NATIVE_AND_ONE,
        [
            test!(a_client_killed_in_the_middle).within(Duration::from_secs(120)),
            test!(a_client_that_never_reads).within(Duration::from_secs(120)),
            test!(the_command_line_client_shows_events),
        ],
    )
}

/// Runs a storm while `disturb` happens; the well-behaved stream and the file must have it all.
fn undisturbed(
    env: &Env,
    queue: u32,
    processes: usize,
    disturb: impl FnOnce(&Watch<'_>, &Storm) -> Result<()>,
) -> Result<()> {
    let storm = Storm::new(env, processes)?;
    let launch = Launch::new(env)?.arg(format!("--event-queue-size={queue}"));
    let watch = Watch::launch(env, &launch)?;
    let truth = Truth::record(8 * 1024)?;
    disturb(&watch, &storm)?;
    let truth = true_lives(&truth.finish()?, storm.program());
    watch.catch_up()?;
    let ledger = watch.agent.settled_ledger()?;
    ensure!(ledger.lost() == 0, "records were lost: {:#?}", ledger.0.hooks);
    let streamed = watch.events.all();
    watch.finish_with_losses()?;
    for (name, told) in [("stream", streamed), ("file", agent::exported(&launch.path("events.json"))?)] {
        Told::sort(&told, storm.program()).context(name)?.check_complete(&truth).context(name)?;
    }
    Ok(())
}

fn a_client_killed_in_the_middle(env: &Env) -> Result<()> {
    undisturbed(env, 10_000, 600, |watch, storm| {
        let mut client =
            tetra(env, watch)?.args(["getevents", "-o", "json"]).stdout(Stdio::null()).spawn()?;
        let streams = |active| -> Result<Option<u64>> {
            let ledger = watch.agent.ledger()?;
            let streams: Vec<_> =
                ledger.sinks("grpc").into_iter().filter(|sink| sink.active == active).collect();
            Ok((!streams.is_empty()).then(|| streams.iter().map(|sink| sink.offered).sum()))
        };
        let raging = storm.begin(env)?;
        env.eventually("two streams with events", Duration::from_secs(10), || {
            let ledger = watch.agent.ledger()?;
            let flowing = ledger.sinks("grpc").iter().filter(|sink| sink.delivered > 0).count();
            Ok((flowing == 2).then_some(()))
        })?;
        client.kill()?;
        client.wait()?;
        raging.end()?;
        // What it was offered stays on the books.
        let offered =
            env.eventually("the ended stream in the ledger", Duration::from_secs(5), || streams(false))?;
        ensure!(offered > 0, "the ended stream was offered nothing");
        Ok(())
    })
}

fn a_client_that_never_reads(env: &Env) -> Result<()> {
    // Enough events to fill the queue and all buffers on the way, few enough that a reader keeps up.
    let processes = if env.place().is_native() { 4_000 } else { 1_600 };
    undisturbed(env, 1_000, processes, |watch, storm| {
        let silent = Silent::subscribe(&watch.agent.socket())?;
        storm.run(env)?;
        env.eventually("drops of the silent stream", Duration::from_secs(10), || {
            let ledger = watch.agent.ledger()?;
            let dropping = ledger.sinks("grpc").iter().filter(|sink| sink.dropped > 0).count();
            ensure!(dropping <= 1, "the other stream drops as well: {:#?}", ledger.0.sinks);
            Ok((dropping == 1).then_some(()))
        })?;
        drop(silent);
        Ok(())
    })
}

fn tetra(env: &Env, watch: &Watch<'_>) -> Result<Command> {
    let mut command = Command::new(env.binary("tetra")?);
    command.arg("--server-address").arg(format!("unix://{}", watch.agent.socket().display()));
    Ok(command)
}

fn the_command_line_client_shows_events(env: &Env) -> Result<()> {
    let watch = Watch::start(env)?;
    let output = env.file("compact");
    let mut client = tetra(env, &watch)?
        .args(["getevents", "-o", "compact"])
        .stdout(std::fs::File::create(&output)?)
        .spawn()?;
    env.eventually("the client's stream", Duration::from_secs(5), || {
        Ok((watch.agent.ledger()?.sinks("grpc").len() == 2).then_some(()))
    })?;
    watch.act(["exit", "7", "shown"])?;
    env.eventually("the event on the terminal", Duration::from_secs(5), || {
        let shown = std::fs::read_to_string(&output)?;
        let has = |parts: &[&str]| shown.lines().any(|line| parts.iter().all(|part| line.contains(part)));
        Ok((has(&["process", "actor", "exit 7 shown"]) && has(&["exit", "actor", "7"])).then_some(()))
    })?;
    client.kill()?;
    client.wait()?;
    let status = tetra(env, &watch)?.arg("status").output()?;
    let said = String::from_utf8_lossy(&status.stdout);
    ensure!(status.status.success() && said.contains("Health Status: running"), "{said}");
    watch.finish()
}
