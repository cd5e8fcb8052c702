//! SIGINT and SIGTERM: the wish to stop.

use std::io;
use std::process;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// How long output that nobody takes may hold back the end.
const GRACE: Duration = Duration::from_millis(500);

/// Becomes ready when the user asks to stop.
#[derive(Clone, Debug)]
pub(crate) struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Starts listening. From now on these signals no longer kill the process by themselves; should it be stuck in a
    /// write, it ends after a short while all the same, with success.
    pub(crate) fn listen() -> io::Result<Self> {
        let (sender, receiver) = watch::channel(false);
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        tokio::spawn(async move {
            either(&mut interrupt, &mut terminate).await;
            sender.send_replace(true);
            tokio::time::sleep(GRACE).await;
            process::exit(0);
        });
        Ok(Self(receiver))
    }

    /// Waits for the signal.
    pub(crate) async fn requested(&mut self) {
        // An error would mean that the task has gone, which only the end of the process brings.
        let _ = self.0.wait_for(|stop| *stop).await;
    }
}

async fn either(one: &mut Signal, other: &mut Signal) {
    tokio::select! {
        _ = one.recv() => {}
        _ = other.recv() => {}
    }
}
