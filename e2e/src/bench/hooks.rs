//! How long a runtime hook waits for the agent's answer: with many containers known, and every kernel map updated.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tetragon_api::tetragon::fine_guidance_sensors_client::FineGuidanceSensorsClient;
use tetragon_api::tetragon::{
    CreateContainer, RuntimeHookRequest, RuntimeHookStage, RuntimeHookState, runtime_hook_request::Event,
};
use tonic::transport::Channel;

use super::storm::{mean_us, quantile_us};
use crate::kit::{Env, Launch, cgroups, rpc};

/// Containers that are known before anything is measured.
const KNOWN: u32 = 1_000;
/// Containers that are measured, each with both calls.
const MEASURED: u32 = 2_000;

pub(super) type Client = FineGuidanceSensorsClient<Channel>;

/// Announce, make the cgroup, verify: as the plugin and the runtime do it, one container after the other.
pub(super) fn measure(env: &Env) -> Result<()> {
    let agent = Launch::new(env)?.start()?;
    let parent = format!("{}/kubepods", env.cgroup()?);
    let (mut announced, mut verified) = (Vec::new(), Vec::new());
    rpc::block_on(async {
        let mut client = FineGuidanceSensorsClient::new(rpc::connect(agent.socket()).await?);
        for number in 0..KNOWN + MEASURED {
            let times = one(&mut client, &parent, number).await?;
            if number >= KNOWN {
                announced.push(times.0);
                verified.push(times.1);
            }
        }
        Ok(())
    })?;
    for (name, times) in [("announce", &announced), ("verify", &verified)] {
        env.record(format!("tetragon/hook_{name}_mean_us"), mean_us(times));
        env.record(format!("tetragon/hook_{name}_p50_us"), quantile_us(times, 0.50));
        env.record(format!("tetragon/hook_{name}_p99_us"), quantile_us(times, 0.99));
    }
    agent.stop().map(drop)
}

/// The cgroup of a container.
pub(super) fn path_of(parent: &str, number: u32) -> String {
    let id = format!("{number:08x}").repeat(8);
    format!("{parent}/pod{:08x}-9d1b-4c5e-8a77-0123456789ab/{id}", number / 4)
}

/// Tells of a container of namespace `team-` and number modulo 20. How long both answers took.
pub(super) async fn one(client: &mut Client, parent: &str, number: u32) -> Result<(Duration, Duration)> {
    let id = format!("{number:08x}").repeat(8);
    let path = path_of(parent, number);
    let container = |stage: RuntimeHookStage| CreateContainer {
        cgroups_path: path.clone(),
        container_id: id.clone(),
        container_name: format!("c{}", number % 4),
        pod_name: format!("pod-{}", number / 4),
        pod_namespace: format!("team-{}", number % 20),
        pod_uid: format!("{:08x}-9d1b-4c5e-8a77-0123456789ab", number / 4),
        pod_labels: (0..10).map(|label| (format!("label-{label}"), format!("value-{number}"))).collect(),
        annotations: (0..10).map(|note| (format!("note-{note}"), "x".repeat(100))).collect(),
        container_image: "registry.example/team/image:1.2.3".to_owned(),
        runtime_name: "containerd".to_owned(),
        source: "nri".to_owned(),
        stage: stage.into(),
        ..CreateContainer::default()
    };
    let announce = call(client, container(RuntimeHookStage::Announce), RuntimeHookState::Announced).await?;
    let directory = cgroups::directory(&path);
    fs::create_dir_all(&directory).with_context(|| format!("make {}", directory.display()))?;
    let verify = call(client, container(RuntimeHookStage::Verify), RuntimeHookState::Known).await?;
    Ok((announce, verify))
}

async fn call(client: &mut Client, it: CreateContainer, expected: RuntimeHookState) -> Result<Duration> {
    let request = RuntimeHookRequest { event: Some(Event::CreateContainer(it)) };
    let begun = Instant::now();
    let answer = client.runtime_hook(request).await.context("RuntimeHook")?.into_inner();
    let time = begun.elapsed();
    ensure!(answer.state() == expected, "the agent answered {answer:?}, not {expected:?}");
    Ok(time)
}
