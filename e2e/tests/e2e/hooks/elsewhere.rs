//! A runtime that does not see the whole hierarchy: in a container itself, as where a node is a container.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tetragon_api::tetragon::agent_identity_client::AgentIdentityClient;
use tetragon_api::tetragon::fine_guidance_sensors_client::FineGuidanceSensorsClient;
use tetragon_api::tetragon::{
    CreateContainer, ListContainersRequest, RuntimeHookRequest, RuntimeHookStage, runtime_hook_request::Event,
};
use tetragon_e2e::kit::{Env, Launch, cgroups, rpc};

/// Ids of the node and of a container in it.
const NODE: &str = "1111111111111111111111111111111111111111111111111111111111111111";
const INNER: &str = "2222222222222222222222222222222222222222222222222222222222222222";
/// What the runtime inside believes.
const BELIEVED: &str = "/kubepods/pod6f3e2a14-9d1b-4c5e-8a77-0123456789ab";

pub(super) fn a_runtime_inside_a_container(env: &Env) -> Result<()> {
    let agent = Launch::new(env)?.start()?;
    let node = format!("{}/docker/{NODE}", env.cgroup()?);
    fs::create_dir_all(cgroups::directory(&node))?;
    let hook = |stage: RuntimeHookStage, pid| CreateContainer {
        cgroups_path: format!("{BELIEVED}/{INNER}"),
        container_id: INNER.to_owned(),
        container_name: "till".to_owned(),
        pod_name: "shop-0".to_owned(),
        pod_namespace: "shop".to_owned(),
        // Of the node's pid namespace: here it is another process, which is in no cgroup of the container's.
        pid,
        stage: stage.into(),
        ..CreateContainer::default()
    };
    let call = |it: CreateContainer| {
        let socket = agent.socket();
        rpc::block_on(async {
            let mut client = FineGuidanceSensorsClient::new(rpc::connect(socket).await?);
            let request = RuntimeHookRequest { event: Some(Event::CreateContainer(it)) };
            Ok(client.runtime_hook(request).await?.into_inner())
        })
    };
    call(hook(RuntimeHookStage::Announce, 0))?;
    let directory = cgroups::directory(&format!("{node}{BELIEVED}/{INNER}"));
    fs::create_dir_all(&directory)?;
    let id = cgroups::id(&directory)?;
    let answer = call(hook(RuntimeHookStage::Verify, std::process::id()))?;
    ensure!(answer.cgroup_id == id, "{answer:?}, not {id}");

    let listed = || {
        rpc::block_on(async {
            let mut client = AgentIdentityClient::new(rpc::connect(agent.socket()).await?);
            let request = ListContainersRequest { cgroup_id: id, ..ListContainersRequest::default() };
            Ok(client.list_containers(request).await?.into_inner().containers)
        })
    };
    // The kernel's own word may still be on its way, behind those of whatever else this machine does.
    env.eventually("the container's cgroup, identified by the kernel", Duration::from_secs(10), || {
        let container = listed()?.into_iter().next().context("the agent does not know the cgroup")?;
        ensure!((container.id.as_str(), container.pod_name.as_str()) == (INNER, "shop-0"), "{container:#?}");
        let cgroup = container.cgroups.iter().find(|cgroup| cgroup.id == id).context("no such cgroup")?;
        ensure!(!cgroup.nested, "{cgroup:?}");
        Ok(cgroup.bound_in_kernel.then_some(()))
    })?;
    agent.stop().map(drop)
}
