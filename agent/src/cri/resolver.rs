//! Single questions to the runtime: each asked once at a time, not too fast, and again if the answer comes too early.

use std::collections::HashSet;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tetragon_api::tetragon::CriStatus;
use tetragon_cri::{CriClient, CriContainer};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tower::retry::RetryLayer;
use tower::util::BoxCloneSyncService;
use tower::{BoxError, ServiceBuilder, ServiceExt as _, service_fn};

use super::retry::{Again, Answer};

/// How a resolver behaves.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Questions that may wait. Further ones are dropped and counted.
    pub queue: usize,
    /// Questions in work, those that pause before they are asked again included.
    pub in_work: usize,
    /// Look-ups allowed in `period`, repeated ones included. Each is up to three calls of the runtime.
    pub lookups: u64,
    /// See `lookups`. A burst may use them up at once, so the long-term rate is `lookups / period`.
    pub period: Duration,
    /// Pauses after answers that are none; after the last of them the answer stands.
    pub pauses: Vec<Duration>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            queue: 1024,
            in_work: 256,
            lookups: 100,
            period: Duration::from_secs(2),
            pauses: [100, 300, 600].map(Duration::from_millis).to_vec(),
        }
    }
}

/// What became of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolution {
    /// The beginning of a container id that was asked for.
    pub asked: String,
    /// The answer.
    pub outcome: Outcome,
}

/// The runtime's last word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It knows the container, or the sandbox.
    Found(Box<CriContainer>),
    /// It has no such, and had none for about a second.
    NotFound,
    /// It could not be asked, or failed.
    Failed(String),
}

/// What [`Resolver::ask`] did with a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// The callback will be called.
    Queued,
    /// The same question is waiting or in work: the callback will be called once for both.
    Pending,
    /// The queue is full; counted. The callback will not be called.
    Dropped,
}

/// Told of every question's end, on a thread of the async runtime; must not block. It may ask again.
pub type Callback = Arc<dyn Fn(Resolution) + Send + Sync>;

/// Takes questions from any thread. Clones share everything; what is in work is given up when the last one is dropped.
#[derive(Clone, Debug)]
pub struct Resolver {
    queue: mpsc::Sender<String>,
    shared: Arc<Shared>,
}

struct Shared {
    client: CriClient,
    callback: Callback,
    /// Waiting or in work.
    pending: Mutex<HashSet<String>>,
    resolved: AtomicU64,
    not_found: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
    last_error: Mutex<String>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("client", &self.client).finish_non_exhaustive()
    }
}

impl Resolver {
    /// Starts it on the threads of `runtime`.
    pub fn start(runtime: &Handle, client: CriClient, settings: Settings, callback: Callback) -> Self {
        let (queue, questions) = mpsc::channel(settings.queue.max(1));
        let shared = Arc::new(Shared {
            client,
            callback,
            pending: Mutex::default(),
            resolved: AtomicU64::new(0),
            not_found: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            last_error: Mutex::default(),
        });
        runtime.spawn(work(questions, Arc::clone(&shared), settings));
        Self { queue, shared }
    }

    /// Asks whose container this is; `id` is the whole id or its beginning. Never waits.
    pub fn ask(&self, id: &str) -> Asked {
        // Held until it is certain that the question is not dropped: others rely on what is pending.
        let mut pending = lock(&self.shared.pending);
        if !pending.insert(id.to_owned()) {
            return Asked::Pending;
        }
        if self.queue.try_send(id.to_owned()).is_err() {
            pending.remove(id);
            self.shared.dropped.fetch_add(1, Relaxed);
            return Asked::Dropped;
        }
        Asked::Queued
    }

    /// The figures so far. Endpoint and runtime are empty while no runtime answers.
    pub fn status(&self) -> CriStatus {
        let shared = &self.shared;
        let runtime = shared.client.connected();
        let load = |counter: &AtomicU64| counter.load(Relaxed);
        CriStatus {
            endpoint: runtime
                .as_ref()
                .map(|it| format!("unix://{}", it.socket.display()))
                .unwrap_or_default(),
            runtime: runtime.map(|it| format!("{} {}", it.name, it.version)).unwrap_or_default(),
            resolved: load(&shared.resolved),
            not_found: load(&shared.not_found),
            failed: load(&shared.failed),
            dropped: load(&shared.dropped),
            last_error: lock(&shared.last_error).clone(),
        }
    }
}

type Lookup = BoxCloneSyncService<String, Answer, BoxError>;

/// One question with all that is between it and the runtime.
fn lookup(client: CriClient, settings: &Settings) -> Lookup {
    let ask = service_fn(move |id: String| {
        let client = client.clone();
        // A failure is an answer here: only the layers below would make a service unusable.
        async move { Ok::<Answer, BoxError>(client.container(&id).await) }
    });
    let service = ServiceBuilder::new()
        .layer(RetryLayer::new(Again::after(settings.pauses.clone())))
        // The rate is that of all questions together, repeated ones too, so they go through one place.
        .buffer(settings.in_work.max(1))
        .rate_limit(settings.lookups.max(1), settings.period)
        .service(ask);
    BoxCloneSyncService::new(service)
}

async fn work(mut questions: mpsc::Receiver<String>, shared: Arc<Shared>, settings: Settings) {
    let service = lookup(shared.client.clone(), &settings);
    let mut tasks = JoinSet::new();
    while let Some(id) = questions.recv().await {
        while tasks.len() >= settings.in_work.max(1) {
            tasks.join_next().await;
        }
        while tasks.try_join_next().is_some() {}
        let (service, shared) = (service.clone(), Arc::clone(&shared));
        tasks.spawn(async move {
            let answer = service.oneshot(id.clone()).await;
            shared.end(id, answer);
        });
    }
}

impl Shared {
    fn end(&self, asked: String, answer: Result<Answer, BoxError>) {
        let (counter, outcome) = match answer {
            Ok(Ok(Some(container))) => (&self.resolved, Outcome::Found(Box::new(container))),
            Ok(Ok(None)) => (&self.not_found, Outcome::NotFound),
            Ok(Err(error)) => (&self.failed, Outcome::Failed(error.to_string())),
            Err(error) => (&self.failed, Outcome::Failed(error.to_string())),
        };
        counter.fetch_add(1, Relaxed);
        if let Outcome::Failed(error) = &outcome {
            lock(&self.last_error).clone_from(error);
        }
        // From here on the same question is a new one: the callback may ask it.
        lock(&self.pending).remove(&asked);
        (self.callback)(Resolution { asked, outcome });
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
