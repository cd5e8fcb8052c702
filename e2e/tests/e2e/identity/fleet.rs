//! Many containers, several at a time, each with a program that exits at once.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use tetragon_e2e::kit::Env;
use tetragon_e2e::kit::containerd::Containerd;
use tetragon_e2e::kit::cri::{ContainerSpec, Cri, Pod, PodSpec};
use tetragon_e2e::kit::image::Image;

/// How long a kubelet's patience with a runtime or a refusal is imitated.
const PATIENCE: Duration = Duration::from_secs(90);
/// The exit status of a container that ended unseen by its runtime.
const UNKNOWN: i32 = 255;
const RETRY: Duration = Duration::from_millis(200);

/// The image of the fleet's containers.
const IMAGE: &str = "localhost/fleet:e2e";

/// The program of the fleet's containers: no other test's, so that the kernel's trace tells them apart.
pub(super) fn program() -> String {
    format!("/fleet-{}", std::process::id())
}

/// Makes the fleet's image known.
pub(super) fn import(env: &Env, containerd: &Containerd) -> Result<()> {
    containerd.import(&Image::new(IMAGE).program(program(), env.binary("actor")?))
}

/// One container that ran, or may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) namespace: String,
    pub(super) pod: String,
    pub(super) uid: String,
    pub(super) name: String,
    /// Absent if the runtime ended before it told.
    pub(super) id: Option<String>,
}

/// What ran, by the tag that each program has among its arguments.
#[derive(Debug, Default)]
pub(super) struct Fleet {
    members: BTreeMap<String, Member>,
}

/// What to ask the runtime with, and to count with, in one thread.
struct Worker<'c> {
    connect: &'c (dyn Fn() -> Result<Cri> + Sync),
    cri: Option<Cri>,
    done: &'c AtomicUsize,
    /// Calls that had to be made again.
    failures: u32,
}

impl Worker<'_> {
    /// Tries as a kubelet does: again after an error, with a new connection.
    fn insist<T>(&mut self, what: &str, mut call: impl FnMut(&Cri, u32) -> Result<T>) -> Result<T> {
        let begun = Instant::now();
        let mut attempt = 0;
        loop {
            let outcome = match self.cri.take().map_or_else(self.connect, Ok) {
                Ok(cri) => {
                    let outcome = call(&cri, attempt);
                    if outcome.is_ok() {
                        self.cri = Some(cri);
                    }
                    outcome
                }
                Err(error) => Err(error),
            };
            match outcome {
                Ok(value) => return Ok(value),
                Err(error) if begun.elapsed() > PATIENCE => {
                    return Err(error.context(format!("{what}, after {attempt} attempts")));
                }
                Err(_) => thread::sleep(RETRY),
            }
            attempt += 1;
            self.failures += 1;
        }
    }
}

impl Fleet {
    /// Runs `pods` pods at a time, each with `containers` containers one after the other.
    pub(super) fn run(containerd: &Containerd, prefix: &str, pods: usize, containers: usize) -> Result<Self> {
        let (socket, cgroup) = (containerd.socket(), containerd.cgroup().path().to_owned());
        Self::run_with(
            &move || Cri::connect(&socket, cgroup.clone()),
            prefix,
            pods,
            containers,
            &AtomicUsize::new(0),
        )
    }

    /// The same where containerd may go meanwhile; `done` counts containers that have been started.
    pub(super) fn run_with(
        connect: &(dyn Fn() -> Result<Cri> + Sync),
        prefix: &str,
        pods: usize,
        containers: usize,
        done: &AtomicUsize,
    ) -> Result<Self> {
        thread::scope(|scope| {
            let lanes: Vec<_> = (0..pods)
                .map(|pod| {
                    scope.spawn(move || {
                        let worker = Worker { connect, cri: None, done, failures: 0 };
                        lane(worker, &format!("{prefix}-{pod}"), containers)
                    })
                })
                .collect();
            let mut fleet = Self::default();
            for lane in lanes {
                let members = lane.join().map_err(|_| anyhow!("a lane panicked"))??;
                fleet.members.extend(members);
            }
            Ok(fleet)
        })
    }

    /// How many ran for certain.
    pub(super) fn len(&self) -> usize {
        self.members.values().filter(|member| member.id.is_some()).count()
    }

    /// Whose program has this tag.
    pub(super) fn member(&self, tag: &str) -> Option<&Member> {
        self.members.get(tag)
    }

    /// Tags of all that ran for certain.
    pub(super) fn tags(&self) -> impl Iterator<Item = &str> {
        self.members.iter().filter(|(_, member)| member.id.is_some()).map(|(tag, _)| tag.as_str())
    }
}

fn lane(mut worker: Worker<'_>, pod_name: &str, containers: usize) -> Result<Vec<(String, Member)>> {
    let mut members = Vec::new();
    let namespace = format!("ns-{pod_name}");
    let mut pod: Option<Pod> = None;
    for number in 0..containers {
        let name = format!("c{number}");
        let mut uncertain = Vec::new();
        let (tag, id, at) = worker.insist(&format!("container {name} of {pod_name}"), |cri, attempt| {
            let at = match &pod {
                Some(pod) => pod,
                None => {
                    // A sandbox that failed keeps its name for a while.
                    let name = format!("{pod_name}-{attempt}");
                    pod.insert(cri.run_pod(&PodSpec::new(&namespace, &name))?)
                }
            };
            let tag = format!("{pod_name}.{name}.{attempt}");
            uncertain.push(tag.clone());
            let spec = ContainerSpec {
                attempt,
                ..ContainerSpec::new(&name, IMAGE, [&program(), "exit", "0", &tag])
            };
            let id = cri.run(at, &spec)?;
            Ok((tag, id, at.clone()))
        })?;
        let member = |id| Member {
            namespace: namespace.clone(),
            pod: at.name().to_owned(),
            uid: at.uid.clone(),
            name: name.clone(),
            id,
        };
        for other in uncertain {
            let id = (other == tag).then(|| id.clone());
            members.push((other, member(id)));
        }
        worker.done.fetch_add(1, Ordering::Relaxed);
        let failures = worker.failures;
        let status = worker.insist("its end", |cri, _| cri.wait(&id))?;
        // A runtime that was away when the program ended does not know how it did.
        if status != 0 && !(status == UNKNOWN && worker.failures > failures) {
            bail!("container {tag} ended with {status}");
        }
        worker.insist("its removal", |cri, _| cri.remove(&id)).context("remove a container")?;
    }
    Ok(members)
}
