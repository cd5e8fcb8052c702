//! Puts the agent together, in the order in which its parts must exist: consumers before the hooks that feed them.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, anyhow};
use rustix::event::{EventfdFlags, eventfd};
use tetragon_filters::{Redactor, parse_redaction_filters};
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle, JoinSet};
use tracing::{error, info, warn};

use crate::clock::Clock;
use crate::config::{Config, UserNameSource};
use crate::event::Origin;
use crate::exporter::Exporter;
use crate::fanout::Fanout;
use crate::grpc::{self, KernelView, VERSION};
use crate::identity::{CgroupFs, Journal, Options, Store, from_cri};
use crate::kernel;
use crate::kernel::features::Abilities;
use crate::kernel::object::Maps;
use crate::kernel::policy::Descriptions;
use crate::kernel::sensor::{BaseSensor, Parts};
use crate::listen::Listener;
use crate::logging::LevelHandle;
use crate::pipeline::Pipeline;
use crate::pipeline::calls::{Ancestors, Calls};
use crate::pipeline::gate::{Ask, Gate};
use crate::policies::encode::HostNamespaces;
use crate::policies::in_kernel::KernelEngine;
use crate::policies::stacks::Stacks;
use crate::policies::{Catalogue, Manager, manager};
use crate::process::Describer;
use crate::process::describe::Settings;
use crate::process::procfs::ProcFs;
use crate::runfiles::{InfoFile, PidFile, create_directory, own_pid};
use crate::stats::Stats;
use crate::tracker::Tracker;

/// Most time that streams get at shutdown to take what is queued for them.
const DRAIN_LIMIT: Duration = Duration::from_secs(5);
/// Where the kernel describes its tracepoints.
const TRACEFS: &str = "/sys/kernel/tracing";
/// Stack of the few threads, bytes: none of them recurses.
const STACK_BYTES: usize = 512 * 1024;

/// The name of this node, as events carry it.
pub fn node_name() -> String {
    ["HUBBLE_NODE_NAME", "NODE_NAME"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
        .unwrap_or_else(|| rustix::system::uname().nodename().to_string_lossy().into_owned())
}

/// Runs the agent until a signal ends it.
pub fn run(config: Config, log_level: LevelHandle) -> anyhow::Result<()> {
    let started = SystemTime::now();
    let config = Arc::new(config);
    info!(version = VERSION, kernel = kernel::release(), "starting");
    info!(config = %serde_json::to_string(&*config)?, "config settings");

    create_directory(&config.run_dir)?;
    let pid = own_pid(&config.procfs);
    let pid_file = PidFile::acquire(&config.run_dir.join("tetragon.pid"), pid, &config.procfs)?;

    // What can fail for reasons of the settings comes before anything is changed in the kernel.
    let rings = config.rings(cpus(), rustix::param::page_size())?;
    let clock = Arc::new(Clock::new());
    let origin = Arc::new(Origin { node_name: node_name(), cluster_name: config.cluster_name.clone() });
    let store = Arc::new(store(&config)?);
    let describer = Describer::new(
        describer_settings(&config, &origin)?,
        Arc::clone(&clock),
        Arc::clone(&store),
        &config.procfs,
    );
    let queue = if config.event_queue_size == 0 { 10_000 } else { config.event_queue_size };
    let fanout = Arc::new(Fanout::new(usize::try_from(queue).unwrap_or(usize::MAX)));
    let exporter = Exporter::open(&config, &fanout, Arc::clone(&clock), Arc::clone(&origin))?;
    let bind = |address: &Option<_>, option| address.as_ref().map(|a| Listener::bind(a, option)).transpose();
    let server = bind(&config.server_address, "server-address")?;
    let health = bind(&config.health_server_address, "health-server-address")?;
    let mut info = InfoFile::from_config(&config, pid);
    info.server_address = server.as_ref().map(|server| server.address().to_string()).unwrap_or_default();

    let Parts { sensor, lifecycle, events, ledger, identity, attached, sees_transitions, shared, btf } =
        BaseSensor::start(config.btf.as_deref(), &config.bpf_lib, rings)?;
    if !sees_transitions && config.enable_process_cred {
        warn!("binary_properties will not tell of privilege changes: no hook for them on this kernel");
    }

    store.connect(Box::new(identity));
    let journal = open_journal(&config, &store);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("grpc")
        .thread_stack_size(STACK_BYTES)
        .enable_all()
        .build()
        .context("start the server's threads")?;
    let resolver = from_cri::start(&config, runtime.handle(), &store);
    let ask = resolver.clone().map(|resolver| {
        let store = Arc::clone(&store);
        Box::new(move |id: &str| from_cri::ask(&resolver, &store, id)) as Ask
    });

    let catalogue = Arc::new(Catalogue::default());
    let policies =
        Arc::new(policy_manager(&config, &store, &catalogue, shared, btf, sensor.features.abilities));
    let stats = Arc::new(Stats::default());
    let ledger = Arc::new(ledger);
    let attached = Arc::new(attached);
    let alive = Arc::new(AtomicBool::new(true));
    let context = Arc::new(grpc::Context {
        fanout: Arc::clone(&fanout),
        store: Arc::clone(&store),
        policies: Arc::clone(&policies),
        journal,
        resolver,
        stats: Arc::clone(&stats),
        kernel: KernelView {
            ledger: Arc::clone(&ledger),
            attached: Arc::clone(&attached),
            rings: [lifecycle.gauge()?, events.gauge()?],
            features: sensor.features.list.clone(),
        },
        config: Arc::clone(&config),
        log_level,
        started,
        pipeline_alive: Arc::clone(&alive),
    });
    let capacity = usize::try_from(config.process_cache_size).unwrap_or(usize::MAX);
    let pipeline = Pipeline {
        sensor,
        attached,
        lifecycle,
        events,
        ledger,
        procfs: ProcFs::new(&config.procfs),
        gate: Gate::new(Arc::clone(&store), ask, config.identity_wait()),
        store: Arc::clone(&store),
        tracker: Tracker::new(describer, capacity, config.ancestors_for("base")),
        calls: Calls::new(
            catalogue,
            Stacks::new(&config.procfs, config.expose_stack_addresses),
            Ancestors::of(&config),
        ),
        clock,
        origin,
        fanout,
        stats,
    };

    let (stop, stopped) = watch::channel(false);
    let rotate = Arc::new(AtomicBool::new(false));
    let exporter = exporter.map(|exporter| exporter.start(Arc::clone(&rotate))).transpose()?;
    let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
    let (ready, is_ready) = mpsc::channel();
    let pipeline = {
        let (wake, stop) = (Arc::clone(&wake), stop.clone());
        thread::Builder::new().name("pipeline".to_owned()).stack_size(STACK_BYTES).spawn(move || {
            pipeline.run(&wake, || {
                // Nobody waits if the start has failed.
                let _ = ready.send(());
            });
            alive.store(false, Relaxed);
            let _ = stop.send(true);
        })?
    };

    // Events of policies are consumed from the first one on; clients find all policies loaded.
    let mut servers = JoinSet::new();
    let outcome = load_policies(&policies, &config).and_then(|()| {
        store.policies_are_loaded();
        let tasks = start_servers(&runtime, server, health, &context, &stopped);
        servers = runtime.block_on(async { join_set(tasks) });
        info.write(&config.run_dir.join("tetragon-info.json"))?;
        // An error means that the pipeline has ended, which is found out below.
        if is_ready.recv().is_ok() {
            info!("Listening for events...");
        }
        runtime.block_on(until_stopped(&mut servers, &rotate, stop.subscribe()))
    });
    // Right to left: no new records, what was written is reported, consumers finish, servers end.
    policies.close();
    wake_up(&wake);
    if pipeline.join().is_err() {
        error!("the pipeline ended with a panic");
    }
    let _ = stop.send(true);
    if exporter.is_some_and(|exporter| exporter.join().is_err()) {
        error!("the export ended with a panic");
    }
    let ended = runtime.block_on(async {
        let all = async { while servers.join_next().await.is_some() {} };
        tokio::time::timeout(DRAIN_LIMIT, all).await
    });
    if ended.is_err() {
        warn!(limit = ?DRAIN_LIMIT, "streams whose clients do not read are cut off");
    }
    // What is left only has to be dropped, which removes the socket's file.
    runtime.shutdown_timeout(Duration::from_secs(1));
    log_totals(&context);
    drop(pid_file);
    outcome
}

fn policy_manager(
    config: &Config,
    store: &Arc<Store>,
    catalogue: &Arc<Catalogue>,
    shared: Maps,
    btf: PathBuf,
    abilities: Abilities,
) -> Manager {
    let engine = KernelEngine::new(
        shared,
        Descriptions { btf, tracefs: PathBuf::from(TRACEFS) },
        Arc::clone(store),
        Arc::clone(catalogue),
        HostNamespaces::read(&config.procfs),
        abilities,
    );
    let settings =
        manager::Settings { filter: config.enable_policy_filter, one_by_one: config.disable_kprobe_multi };
    Manager::new(Box::new(engine), settings)
}

fn load_policies(policies: &Manager, config: &Config) -> anyhow::Result<()> {
    let directory = &config.tracing_policy_dir;
    let may_be_absent = *directory == Config::default().tracing_policy_dir;
    Ok(policies.load_files(directory, may_be_absent, config.tracing_policy.as_deref())?)
}

/// Without a hierarchy the store still knows what it is told; the kernel then cannot tell containers apart.
fn store(config: &Config) -> anyhow::Result<Store> {
    let fs = match CgroupFs::find(&config.procfs, &config.run_dir.join("cgroup2")) {
        Ok(fs) => {
            info!(mode = fs.mode().name(), "cgroups");
            Some(fs)
        }
        Err(error) => {
            warn!(%error, "the v2 cgroup hierarchy cannot be found or mounted: processes have no containers");
            None
        }
    };
    Ok(Store::new(fs, Options { pod_annotations: config.enable_pod_annotations })?)
}

/// Tells the store what hooks have told before; afterwards keeps what they tell.
fn open_journal(config: &Config, store: &Store) -> Option<Journal> {
    let directory = config.run_dir.join("containers");
    match Journal::open(directory.clone()) {
        Ok(journal) => {
            journal.replay(store);
            Some(journal)
        }
        Err(error) => {
            warn!(directory = %directory.display(), %error, "containers will not be known after a restart");
            None
        }
    }
}

fn cpus() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

fn describer_settings(config: &Config, origin: &Origin) -> anyhow::Result<Settings> {
    let filters =
        parse_redaction_filters(&config.redaction_filters).map_err(|e| anyhow!("redaction-filters: {e}"))?;
    Ok(Settings {
        node_name: origin.node_name.clone(),
        credentials: config.enable_process_cred,
        namespaces: config.enable_process_ns,
        user_names: config.username_metadata == UserNameSource::Unix,
        redactor: Redactor::new(&filters).context("redaction-filters")?,
    })
}

type Servers = Vec<(&'static str, JoinHandle<anyhow::Result<()>>)>;
type Ended = (&'static str, Result<anyhow::Result<()>, JoinError>);

/// To be called inside the runtime.
fn join_set(servers: Servers) -> JoinSet<Ended> {
    servers.into_iter().map(|(name, task)| async move { (name, task.await) }).collect()
}

fn start_servers(
    runtime: &Runtime,
    server: Option<Listener>,
    health: Option<Listener>,
    context: &Arc<grpc::Context>,
    stopped: &watch::Receiver<bool>,
) -> Servers {
    let mut tasks: Servers = Vec::new();
    if let Some(listener) = server {
        let task = grpc::serve(listener, Arc::clone(context), stopped.clone());
        tasks.push(("gRPC server", runtime.spawn(task)));
    }
    if let Some(listener) = health {
        let interval = Duration::from_secs(context.config.health_server_interval);
        let task = grpc::serve_health(listener, Arc::clone(context), interval, stopped.clone());
        tasks.push(("health server", runtime.spawn(task)));
    }
    tasks
}

/// Waits for a signal to end, or for a part that ends by itself, which is an error.
async fn until_stopped(
    servers: &mut JoinSet<Ended>,
    rotate: &AtomicBool,
    mut stopped: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    loop {
        tokio::select! {
            _ = interrupt.recv() => { info!("Received signal interrupt, shutting down..."); return Ok(()) }
            _ = terminate.recv() => { info!("Received signal terminated, shutting down..."); return Ok(()) }
            _ = hangup.recv() => rotate.store(true, Relaxed),
            _ = stopped.wait_for(|stopped| *stopped) => return Err(anyhow!("the event pipeline has ended")),
            Some(Ok((name, result))) = servers.join_next() => {
                return match result {
                    Ok(Err(error)) => Err(error.context(format!("the {name} failed"))),
                    Ok(Ok(())) => Err(anyhow!("the {name} ended")),
                    Err(error) => Err(anyhow!("the {name} failed: {error}")),
                };
            }
        }
    }
}

fn wake_up(wake: &OwnedFd) {
    if let Err(error) = rustix::io::write(wake, &1u64.to_ne_bytes()) {
        error!(%error, "the pipeline cannot be told to stop");
    }
}

fn log_totals(context: &grpc::Context) {
    let records = context.stats.records();
    let consumed: u64 = records.iter().map(|row| row.consumed).sum();
    let lost: u64 = context.kernel.ledger.lost_by_cpu().map_or(0, |lost| lost.iter().sum());
    #[expect(clippy::cast_precision_loss, reason = "a percentage for people")]
    let share = if consumed + lost == 0 { 0.0 } else { 100.0 * lost as f64 / (consumed + lost) as f64 };
    info!("BPF events statistics: {consumed} received, {share:.2}% events loss");
}

/// Prints what the kernel can do, without loading sensors.
pub fn probe(btf: Option<&Path>, library: &Path) -> anyhow::Result<String> {
    let (path, raw) = kernel::features::read_btf(btf, library)?;
    let view = tetragon_bpf::btf::Btf::parse(&raw)
        .ok_or_else(|| anyhow!("{} is not BTF of this machine's byte order", path.display()))?;
    let features = kernel::features::Features::probe(view);
    Ok(features.list.iter().map(|f| format!("{}: {}\n", f.name, f.enabled)).collect())
}
