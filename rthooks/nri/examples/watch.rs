//! Prints what the runtime tells, until interrupted. Argument: the runtime's socket.

use std::sync::Arc;

use nri_plugin::api::{ConfigureRequest, Container, ContainerUpdate, CreateContainerResponse, PodSandbox};
use nri_plugin::{DEFAULT_SOCKET, Error, EventMask, Options, Plugin, Result, Runtime, serve};

struct Watch;

fn print(event: &str, pod: &PodSandbox, container: &Container) {
    let cgroup = container.linux.as_ref().map_or("", |linux| linux.cgroups_path.as_str());
    println!(
        "{event}: {}/{}/{} id {} pid {} cgroup {cgroup}",
        pod.namespace, pod.name, container.name, container.id, container.pid
    );
}

impl Plugin for Watch {
    async fn configure(&self, runtime: ConfigureRequest) -> Result<EventMask> {
        println!("configure: {runtime:?}");
        Ok(EventMask::EVERYWHERE)
    }

    async fn synchronize(
        &self,
        pods: Vec<PodSandbox>,
        containers: Vec<Container>,
    ) -> Result<Vec<ContainerUpdate>> {
        println!("synchronize: {} pods, {} containers", pods.len(), containers.len());
        for container in &containers {
            let pod = pods.iter().find(|pod| pod.id == container.pod_sandbox_id).cloned();
            print("  exists", &pod.unwrap_or_default(), container);
        }
        Ok(Vec::new())
    }

    async fn run_pod_sandbox(&self, pod: PodSandbox) -> Result<()> {
        println!("pod: {}/{} uid {} id {}", pod.namespace, pod.name, pod.uid, pod.id);
        Ok(())
    }

    async fn create_container(
        &self,
        pod: PodSandbox,
        container: Container,
    ) -> Result<CreateContainerResponse> {
        print("create", &pod, &container);
        Ok(CreateContainerResponse::default())
    }

    async fn start_container(&self, pod: PodSandbox, container: Container) -> Result<()> {
        print("start", &pod, &container);
        Ok(())
    }

    async fn stop_container(&self, pod: PodSandbox, container: Container) -> Result<Vec<ContainerUpdate>> {
        print("stop", &pod, &container);
        Ok(Vec::new())
    }

    async fn remove_container(&self, pod: PodSandbox, container: Container) -> Result<()> {
        print("remove", &pod, &container);
        Ok(())
    }

    fn connected(&self, _runtime: Runtime) {
        println!("connected");
    }

    fn disconnected(&self, reason: Option<&Error>) {
        println!("disconnected: {}", reason.map_or("on request".to_owned(), Error::to_string));
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let socket = std::env::args().nth(1).unwrap_or_else(|| DEFAULT_SOCKET.to_owned());
    let options = Options::new("watch", 90)?;
    let interrupted = async {
        let _ = tokio::signal::ctrl_c().await;
    };
    serve(socket, &options, Arc::new(Watch), interrupted).await;
    println!("{:?}", options.counters().snapshot());
    Ok(())
}
