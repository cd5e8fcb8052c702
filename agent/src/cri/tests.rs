//! Against a real server of the interface on a unix socket.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tetragon_cri::testing::{FakeContainer, FakeRuntime, Manner};
use tetragon_cri::{CriClient, Options};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tonic::Code;

use super::{Asked, Outcome, Resolution, Resolver, Settings, list_when_possible};

const LIMIT: Duration = Duration::from_secs(10);

struct Bench {
    _folder: TempDir,
    runtime: FakeRuntime,
    client: CriClient,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("cri.sock");
        let runtime = FakeRuntime::start(&socket).unwrap();
        let options = Options {
            call_timeout: Duration::from_millis(300),
            probe_timeout: Duration::from_millis(300),
            first_pause: Duration::from_millis(50),
            ..Options::for_socket(Some(&socket))
        };
        Self { _folder: folder, runtime, client: CriClient::new(options) }
    }

    fn resolver(&self, settings: Settings) -> (Resolver, mpsc::UnboundedReceiver<Resolution>) {
        let (ended, resolutions) = mpsc::unbounded_channel();
        let callback = Arc::new(move |resolution| {
            let _ = ended.send(resolution);
        });
        (Resolver::start(&Handle::current(), self.client.clone(), settings, callback), resolutions)
    }

    /// How often containers were asked for.
    fn asked(&self) -> usize {
        self.runtime.calls().iter().filter(|(method, _)| *method == "ContainerStatus").count()
    }
}

fn id(n: usize) -> String {
    format!("{n:064x}").chars().rev().collect()
}

fn container(n: usize) -> FakeContainer {
    let info = format!(r#"{{"sandboxID":"{}","pid":7}}"#, id(999));
    FakeContainer { id: id(n), name: format!("c{n}"), info, ..FakeContainer::default() }
}

async fn next(resolutions: &mut mpsc::UnboundedReceiver<Resolution>) -> Resolution {
    timeout(LIMIT, resolutions.recv()).await.expect("in time").expect("not ended")
}

#[tokio::test]
async fn a_question_is_answered() {
    let bench = Bench::new();
    bench.runtime.add(container(1));
    let (resolver, mut resolutions) = bench.resolver(Settings::default());
    assert_eq!(resolver.status().endpoint, "");
    assert_eq!(resolver.ask(&id(1)[..31]), Asked::Queued);
    let resolution = next(&mut resolutions).await;
    assert_eq!(resolution.asked, id(1)[..31]);
    let Outcome::Found(found) = resolution.outcome else { panic!("{resolution:?}") };
    assert_eq!((found.id, found.name, found.pid), (id(1), "c1".to_owned(), 7));
    let status = resolver.status();
    assert!(status.endpoint.starts_with("unix:///") && status.runtime == "containerd v9.9.9", "{status:?}");
    assert_eq!((status.resolved, status.not_found, status.failed, status.dropped), (1, 0, 0, 0));
}

#[tokio::test]
async fn a_container_that_the_runtime_does_not_know_yet_is_asked_for_again() {
    let bench = Bench::new();
    let (resolver, mut resolutions) = bench.resolver(Settings::default());
    resolver.ask(&id(1));
    tokio::time::sleep(Duration::from_millis(200)).await;
    bench.runtime.add(container(1));
    assert!(matches!(next(&mut resolutions).await.outcome, Outcome::Found(_)));
    assert!(bench.asked() > 1);
}

#[tokio::test]
async fn a_container_of_nobody_is_given_up_after_a_second() {
    let bench = Bench::new();
    let (resolver, mut resolutions) = bench.resolver(Settings::default());
    let start = Instant::now();
    resolver.ask(&id(1));
    assert_eq!(next(&mut resolutions).await.outcome, Outcome::NotFound);
    let elapsed = start.elapsed();
    assert!((Duration::from_millis(900)..Duration::from_secs(5)).contains(&elapsed), "{elapsed:?}");
    assert_eq!(bench.asked(), 4, "once, and after each of three pauses");
    assert_eq!(resolver.status().not_found, 1);
    // That answer does not stand for ever.
    bench.runtime.add(container(1));
    assert_eq!(resolver.ask(&id(1)), Asked::Queued);
    assert!(matches!(next(&mut resolutions).await.outcome, Outcome::Found(_)));
}

#[tokio::test]
async fn equal_questions_are_asked_once() {
    let bench = Bench::new();
    bench.runtime.add(container(1));
    bench.runtime.behave_in("ContainerStatus", Manner::Slow(Duration::from_millis(100)));
    let (resolver, mut resolutions) = bench.resolver(Settings::default());
    let asked: Vec<_> = (0..50).map(|_| resolver.ask(&id(1))).collect();
    assert_eq!(asked[0], Asked::Queued);
    assert!(asked[1..].iter().all(|it| *it == Asked::Pending), "{asked:?}");
    next(&mut resolutions).await;
    assert_eq!(bench.asked(), 1);
    assert!(timeout(Duration::from_millis(200), resolutions.recv()).await.is_err(), "told once");
}

#[tokio::test]
async fn questions_that_find_no_room_are_dropped_and_counted() {
    let bench = Bench::new();
    bench.runtime.behave(Manner::Hang);
    let (resolver, mut resolutions) =
        bench.resolver(Settings { queue: 4, in_work: 2, pauses: Vec::new(), ..Settings::default() });
    // Between these the worker has no chance to take any.
    let asked: Vec<_> = (0..20).map(|n| resolver.ask(&id(n))).collect();
    assert_eq!(asked.iter().filter(|it| **it == Asked::Queued).count(), 4, "{asked:?}");
    assert_eq!(resolver.status().dropped, 16);
    // What was dropped may be asked again once there is room.
    for _ in 0..4 {
        assert!(matches!(next(&mut resolutions).await.outcome, Outcome::Failed(_)));
    }
    assert_eq!(resolver.ask(&id(19)), Asked::Queued);
}

#[tokio::test]
async fn a_runtime_that_hangs_on_one_container_does_not_hold_up_the_others() {
    let bench = Bench::new();
    (0..8).for_each(|n| bench.runtime.add(container(n)));
    let (resolver, mut resolutions) = bench.resolver(Settings { pauses: Vec::new(), ..Settings::default() });
    bench.client.runtime().await.unwrap();
    bench.runtime.behave_in("ContainerStatus", Manner::Hang);
    resolver.ask(&id(0));
    while bench.asked() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    bench.runtime.behave(Manner::Normal);
    (1..8).for_each(|n| assert_eq!(resolver.ask(&id(n)), Asked::Queued));
    for _ in 1..8 {
        assert!(matches!(next(&mut resolutions).await.outcome, Outcome::Found(_)));
    }
    let last = next(&mut resolutions).await;
    assert_eq!(last.asked, id(0));
    assert!(matches!(&last.outcome, Outcome::Failed(error) if error.contains("no answer")), "{last:?}");
    assert!(resolver.status().last_error.contains("no answer to ContainerStatus"));
}

#[tokio::test]
async fn errors_are_told_and_what_is_no_id_is_not_asked_for() {
    let bench = Bench::new();
    bench.runtime.behave_in("ContainerStatus", Manner::Fail(Code::Internal, "broken".to_owned()));
    let (resolver, mut resolutions) =
        bench.resolver(Settings { pauses: vec![Duration::from_millis(10)], ..Settings::default() });
    resolver.ask(&id(1));
    let resolution = next(&mut resolutions).await;
    assert!(
        matches!(&resolution.outcome, Outcome::Failed(error) if error.contains("broken")),
        "{resolution:?}"
    );
    assert_eq!(bench.asked(), 2);
    resolver.ask("not-an-id");
    let resolution = next(&mut resolutions).await;
    assert!(
        matches!(&resolution.outcome, Outcome::Failed(error) if error.contains("not-an-id")),
        "{resolution:?}"
    );
    assert_eq!((bench.asked(), resolver.status().failed), (2, 2));
}

#[tokio::test]
async fn a_runtime_that_restarts_in_between_is_asked_again() {
    let mut bench = Bench::new();
    bench.runtime.add(container(1));
    bench.client.runtime().await.unwrap();
    bench.runtime.stop();
    let (resolver, mut resolutions) = bench.resolver(Settings::default());
    resolver.ask(&id(1));
    tokio::time::sleep(Duration::from_millis(150)).await;
    bench.runtime.restart().unwrap();
    assert!(matches!(next(&mut resolutions).await.outcome, Outcome::Found(_)));
}

#[tokio::test]
async fn the_rate_is_kept() {
    let bench = Bench::new();
    (0..30).for_each(|n| bench.runtime.add(container(n)));
    let settings = Settings { lookups: 10, period: Duration::from_millis(300), ..Settings::default() };
    let (resolver, mut resolutions) = bench.resolver(settings);
    let start = Instant::now();
    (0..30).for_each(|n| assert_eq!(resolver.ask(&id(n)), Asked::Queued));
    for _ in 0..30 {
        assert!(matches!(next(&mut resolutions).await.outcome, Outcome::Found(_)));
    }
    // Ten at once, ten after each of two periods.
    assert!(start.elapsed() >= Duration::from_millis(600), "{:?}", start.elapsed());
}

#[tokio::test]
async fn questions_are_given_up_with_their_asker() {
    let bench = Bench::new();
    bench.runtime.behave(Manner::Hang);
    let (resolver, mut resolutions) = bench.resolver(Settings::default());
    resolver.ask(&id(1));
    tokio::time::sleep(Duration::from_millis(50)).await;
    drop(resolver);
    let ended = timeout(LIMIT, resolutions.recv()).await.expect("in time");
    assert_eq!(ended, None, "the callback is gone and was not called");
}

#[tokio::test]
async fn what_runs_is_listed_once_a_runtime_is_there() {
    let mut bench = Bench::new();
    bench.runtime.add(container(1));
    bench.runtime.stop();
    let client = bench.client.clone();
    let listing = tokio::spawn(async move { list_when_possible(&client).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!listing.is_finished());
    bench.runtime.restart().unwrap();
    let listing = timeout(LIMIT, listing).await.expect("in time").unwrap();
    assert_eq!(listing.containers.len(), 1);
}
