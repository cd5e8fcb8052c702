//! What the plugin's two calls cost a container's start.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tetragon_e2e::kit::containerd::{ACTOR, Containerd, Options, Version};
use tetragon_e2e::kit::cri::{ContainerSpec, Cri, Pod, PodSpec};
use tetragon_e2e::kit::{Env, Launch, NriHook};

use super::nothing_is_left;

/// Without and with the plugin in turn, so that what drifts reaches both.
const ROUNDS: usize = 3;
const EACH: usize = 12;

pub(super) fn a_container_starts_hardly_later_with_the_plugin(env: &Env) -> Result<()> {
    let containerd = Containerd::start(env, "node", Version::V2_4, &Options::default())?;
    let agent = Launch::new(env)?.start()?;
    let cri = containerd.cri()?;
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let pod = cri.run_pod(&PodSpec::new("shop", &format!("till-{round}")))?;
        without.extend(starts(&cri, &pod, "without")?);
        let hook = NriHook::start(env, &containerd, &agent.socket(), [] as [&str; 0])?;
        with.extend(starts(&cri, &pod, "with")?);
        let status = hook.status_where("all starts to be counted", |status| {
            status["verify_ok"].as_u64() >= Some(EACH as u64)
        })?;
        ensure!(status["allowed"] == 0 && status["refused"] == 0, "{status}");
        hook.stop()?;
    }
    env.record("ms to create and start", median(&mut without));
    env.record("ms to create and start with the plugin", median(&mut with));
    containerd.stop()?;
    agent.stop()?;
    nothing_is_left(env)
}

/// Times of containers that end at once, from the call to create one until it is started.
fn starts(cri: &Cri, pod: &Pod, name: &str) -> Result<Vec<Duration>> {
    (0..EACH)
        .map(|number| {
            let spec = ContainerSpec::new(&format!("{name}-{number}"), ACTOR, ["/actor", "exit", "0"]);
            let begun = Instant::now();
            let id = cri.run(pod, &spec)?;
            let time = begun.elapsed();
            cri.wait(&id)?;
            cri.remove(&id)?;
            Ok(time)
        })
        .collect()
}

fn median(times: &mut [Duration]) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1000.0
}
