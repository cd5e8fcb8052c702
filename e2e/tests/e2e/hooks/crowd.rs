//! Many containers at a time, counted against what the kernel and the runtime say.

use std::collections::HashMap;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use tetragon_e2e::kit::container::{Owner, PodNames};
use tetragon_e2e::kit::hook::{OciHook, Witness};
use tetragon_e2e::kit::lives::{Told, true_lives};
use tetragon_e2e::kit::oci::{Oci, engines};
use tetragon_e2e::kit::podman::Podman;
use tetragon_e2e::kit::{Env, Event, Truth, Watch, exit};

use super::{hooked, is_setup, life_of, own_life};

const CONTAINERS: usize = 200;
const AT_A_TIME: usize = 4;
/// How often the start of a container is timed, with and without the hook.
const ROUNDS: usize = 20;

pub(super) fn every_podman_container_is_known_from_its_first_exec(env: &Env) -> Result<()> {
    let podman = Podman::new(env)?;
    let watch = Watch::start(env)?;
    let hook = OciHook::new(env, &watch.agent.socket())?;
    let witness = Witness::new(env)?;
    podman.create_runtime_hook("1-tetragon", &hook.line())?;
    podman.create_runtime_hook("2-witness", &witness.line())?;
    let pods: HashMap<String, PodNames> = (0..CONTAINERS)
        .map(|number| Ok((format!("c{number}"), PodNames::new("shop", &format!("till-{number}"))?)))
        .collect::<Result<_>>()?;
    // Of this path is no other program on the machine, whatever else runs here.
    let program = env.cgroup()?;
    let truth = Truth::record(32 * 1024)?;
    let begun = Instant::now();
    let owners = run_all(&podman, &pods, &env.binary("actor")?, &program)?;
    env.record("seconds", begun.elapsed().as_secs_f64());
    ensure!(owners.len() == CONTAINERS, "{} of {CONTAINERS} containers ran", owners.len());

    // Which process is whose is the runtime's word, how many there were is the kernel's.
    let states = witness.states()?;
    ensure!(states.len() == CONTAINERS, "the witness saw {} containers", states.len());
    watch.events.wait(Duration::from_secs(20), |events| {
        let ended = events.iter().filter(|event| exit().binary(&program).is_met_by(event)).count();
        (ended >= CONTAINERS).then_some(())
    })?;
    let mut lives = true_lives(&truth.finish()?, Path::new(&program));
    // runc makes the first process with `CLONE_PARENT`, from a process that ends at once.
    lives.iter_mut().for_each(|life| life.parent = None);
    ensure!(lives.len() == CONTAINERS, "the kernel saw {} execs of {program}", lives.len());
    let events = watch.events.all();
    Told::sort(&events, Path::new(&program))?.check_complete(&lives)?;

    let mut complaints = Vec::new();
    let mut in_kernel = 0;
    for state in &states {
        let owner = owners.get(&state.id).with_context(|| format!("podman did not tell of {}", state.id))?;
        ensure!(lives.iter().any(|life| life.pid == state.pid), "{state:?} did not execute {program}");
        let (executed, exited) = life_of(&watch.events, state.pid, &program)?;
        complaints.extend([owner.check(&executed), owner.check(&exited)].into_iter().filter_map(Result::err));
        in_kernel += usize::from(owner.check_in_kernel(&executed).is_ok() && !is_setup(&executed));
    }
    let setup = check_setup(&events, &owners);
    env.record("containers", count(CONTAINERS));
    env.record("first execs in the kernel's trace", count(lives.len()));
    env.record("first execs known in the kernel", count(in_kernel));
    env.record("events of set-up processes", count(setup.len()));
    env.record("of these without the whole identity", count(setup.iter().filter(|whole| !**whole).count()));
    ensure!(complaints.is_empty(), "{} complaints: {:?}", complaints.len(), complaints.first());
    ensure!(in_kernel == CONTAINERS, "only {in_kernel} first execs were known in the kernel");
    podman.remove_all()?;
    podman.expect_nothing_left()?;
    watch.finish()
}

/// Runs one container of every pod, several at a time; whose each is, by its id. Their own program is the actor, as
/// `program`.
fn run_all(
    podman: &Podman,
    pods: &HashMap<String, PodNames>,
    actor: &Path,
    program: &str,
) -> Result<HashMap<String, Owner>> {
    let names: Vec<&String> = pods.keys().collect();
    let volume = format!("--volume={}:{program}:ro", actor.display());
    let entry = format!("--entrypoint={program}");
    let run = |name: &&String| -> Result<(String, Owner)> {
        let pod = &pods[*name];
        podman.container(name).pod(pod).option(&volume).option(&entry).run(["exit", "0"])?.expect_code(0)?;
        let id = podman.inspect(name)?.id;
        Ok((id.clone(), Owner { id, pod: Some(pod.clone()) }))
    };
    let run = &run;
    thread::scope(|scope| {
        let workers: Vec<_> = names
            .chunks(names.len().div_ceil(AT_A_TIME))
            .map(|share| scope.spawn(move || share.iter().map(run).collect::<Result<Vec<_>>>()))
            .collect();
        let mut owners = HashMap::new();
        for worker in workers {
            owners.extend(worker.join().map_err(|_| anyhow!("a worker panicked"))??);
        }
        Ok(owners)
    })
}

/// For each event of the runtime's own work inside a container, whether it is told whose it is.
fn check_setup(events: &[Event], owners: &HashMap<String, Owner>) -> Vec<bool> {
    let setup = events.iter().filter(|event| is_setup(event));
    setup.map(|event| owners.values().any(|owner| owner.check(event).is_ok())).collect()
}

#[expect(clippy::cast_precision_loss, reason = "small counts")]
fn count(number: usize) -> f64 {
    number as f64
}

/// How much longer a container takes to start for the hook's sake.
pub(super) fn a_container_starts_hardly_later(env: &Env) -> Result<()> {
    let watch = Watch::start(env)?;
    let hook = OciHook::new(env, &watch.agent.socket())?;
    for engine in engines(env) {
        let oci = Oci::new(env, *engine)?;
        let (mut without, mut with) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let plain = oci.bundle(["exit", "0"])?;
            let (told, owner) = hooked(oci.bundle(["exit", "0"])?, &hook)?;
            for (bundle, times) in [(&plain, &mut without), (&told, &mut with)] {
                let begun = Instant::now();
                let created = oci.create(bundle)?;
                oci.start(bundle.id())?;
                times.push(begun.elapsed());
                let (executed, _) = own_life(&watch.events, created.pid)?;
                if bundle.id() == owner.id {
                    owner.check_in_kernel(&executed)?;
                }
                oci.delete(bundle.id())?;
            }
        }
        env.record(format!("{engine}: ms to create and start"), median(&mut without));
        env.record(format!("{engine}: ms to create and start with the hook"), median(&mut with));
        oci.expect_nothing_left()?;
    }
    watch.finish()
}

fn median(times: &mut [Duration]) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1000.0
}
