//! Over real sockets, on the real clock: runtimes come, go and come back.

use std::future::pending;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nri_plugin::{Error, connect, serve};
use tempfile::TempDir;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::peer::{Peer, options};
use crate::recorder::Recorder;

const PATIENCE: Duration = Duration::from_secs(5);

struct Serving {
    plugin: Arc<Recorder>,
    shutdown: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

fn start(path: &Path) -> Serving {
    let (shutdown, asked) = oneshot::channel();
    let (plugin, path) = (Recorder::new(), path.to_owned());
    let served = Arc::clone(&plugin);
    let task = tokio::spawn(async move {
        let asked = async {
            if asked.await.is_err() {
                pending::<()>().await;
            }
        };
        serve(path, &options(), served, asked).await;
    });
    Serving { plugin, shutdown, task }
}

impl Serving {
    async fn ends_when_asked(self) {
        self.shutdown.send(()).expect("runs");
        timeout(PATIENCE, self.task).await.expect("in time").expect("no panic");
    }
}

async fn accept(listener: &UnixListener) -> Peer<UnixStream> {
    let (stream, _) =
        timeout(PATIENCE, listener.accept()).await.expect("the plugin comes").expect("a socket");
    Peer::new(stream)
}

#[tokio::test]
async fn a_runtime_that_appears_later_is_found_within_100_ms_even_in_a_new_folder() {
    let mut fastest = Duration::MAX;
    for _ in 0..5 {
        let root = TempDir::new().expect("a folder");
        let path = root.path().join("run/nri/nri.sock");
        let serving = start(&path);
        sleep(Duration::from_millis(120)).await;
        std::fs::create_dir_all(path.parent().expect("has one")).expect("made");
        let listener = UnixListener::bind(&path).expect("bound");
        let before = Instant::now();
        let mut peer = accept(&listener).await;
        fastest = fastest.min(before.elapsed());
        peer.introduce().await;
        serving.ends_when_asked().await;
    }
    // A busy machine can delay one try, not all.
    assert!(fastest < Duration::from_millis(100), "{fastest:?}");
}

#[tokio::test]
async fn a_restarted_runtime_is_found_within_100_ms_and_synchronizes_anew() {
    let root = TempDir::new().expect("a folder");
    let path = root.path().join("nri.sock");
    let mut listener = UnixListener::bind(&path).expect("bound");
    let serving = start(&path);
    let mut peer = accept(&listener).await;
    peer.introduce().await;
    let mut fastest = Duration::MAX;
    for _ in 0..5 {
        drop((peer, listener));
        // As after a kill: the socket is still there, with nobody behind it.
        sleep(Duration::from_millis(70)).await;
        std::fs::remove_file(&path).expect("removed");
        listener = UnixListener::bind(&path).expect("bound");
        let before = Instant::now();
        peer = accept(&listener).await;
        fastest = fastest.min(before.elapsed());
        peer.introduce().await;
    }
    assert!(fastest < Duration::from_millis(100), "{fastest:?}");
    serving.plugin.told("synchronize /old", 6).await;
    serving.ends_when_asked().await;
}

#[tokio::test]
async fn a_runtime_that_throws_the_plugin_out_after_a_while_is_joined_again_at_once() {
    let root = TempDir::new().expect("a folder");
    let path = root.path().join("nri.sock");
    let listener = UnixListener::bind(&path).expect("bound");
    let serving = start(&path);
    let mut peer = accept(&listener).await;
    peer.introduce().await;
    let mut fastest = Duration::MAX;
    for _ in 0..3 {
        sleep(Duration::from_millis(1100)).await;
        let before = Instant::now();
        drop(peer);
        peer = accept(&listener).await;
        fastest = fastest.min(before.elapsed());
        peer.introduce().await;
        if fastest < Duration::from_millis(100) {
            break;
        }
    }
    assert!(fastest < Duration::from_millis(100), "no back-off: {fastest:?}");
    serving.ends_when_asked().await;
}

#[tokio::test]
async fn a_runtime_that_refuses_the_plugin_is_asked_less_and_less_often() {
    let root = TempDir::new().expect("a folder");
    let path = root.path().join("nri.sock");
    let listener = UnixListener::bind(&path).expect("bound");
    let serving = start(&path);
    let mut gaps = Vec::new();
    let mut last = None;
    for _ in 0..4 {
        let peer = accept(&listener).await;
        let now = Instant::now();
        drop(peer);
        gaps.extend(last.replace(now).map(|last| now - last));
    }
    // A busy machine makes gaps longer, never shorter.
    let least = [200, 400, 800].map(Duration::from_millis);
    assert!(gaps.iter().zip(least).all(|(gap, least)| *gap >= least), "{gaps:?}");
    // While it is left alone for 1.6 s, the runtime is replaced.
    std::fs::remove_file(&path).expect("removed");
    let listener = UnixListener::bind(&path).expect("bound");
    let before = Instant::now();
    accept(&listener).await.introduce().await;
    assert!(before.elapsed() < Duration::from_secs(1), "{:?}", before.elapsed());
    serving.ends_when_asked().await;
}

#[tokio::test]
async fn it_ends_when_asked_while_it_waits_or_is_left_alone() {
    let root = TempDir::new().expect("a folder");
    let path = root.path().join("nri.sock");
    let waiting = start(&path);
    sleep(Duration::from_millis(20)).await;
    waiting.ends_when_asked().await;
    let listener = UnixListener::bind(&path).expect("bound");
    let refused = start(&path);
    drop(accept(&listener).await);
    sleep(Duration::from_millis(20)).await;
    refused.ends_when_asked().await;
}

#[tokio::test]
async fn a_missing_runtime_is_told_with_the_path_and_the_remedy() {
    let root = TempDir::new().expect("a folder");
    let path = root.path().join("nri.sock");
    let error = connect(&path).await.expect_err("nobody there");
    assert!(matches!(error, Error::Connect { .. }));
    let text = error.to_string();
    assert!(text.contains(&path.display().to_string()) && text.contains("NRI enabled"), "{text}");
}
