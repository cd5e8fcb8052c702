//! Work that may panic or hang without taking the process with it.

use std::panic;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::failure::Failure;

/// The thread that panicked cannot return what it said.
static PANIC: Mutex<Option<String>> = Mutex::new(None);

/// Panics are told as part of the failure that they are, not on standard error as they happen: the container may
/// well be allowed to start.
pub(crate) fn keep_panics() {
    panic::set_hook(Box::new(|info| {
        *PANIC.lock().unwrap_or_else(PoisonError::into_inner) = Some(info.to_string().replace('\n', " "));
    }));
}

/// The result of `work`, which is left behind if it has none within `limit`.
pub(crate) fn supervised<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let (sender, receiver) = sync_channel(1);
    let started = thread::Builder::new().name("work".to_owned()).spawn(move || {
        // Nobody listens any more: the time was up.
        let _ = sender.send(work());
    });
    if let Err(error) = started {
        return Err(Failure::new(
            format!("the hook cannot start a thread: {error}"),
            "check the limits of the runtime",
        ));
    }
    receiver.recv_timeout(limit).unwrap_or_else(|error| {
        Err(match error {
            RecvTimeoutError::Timeout => Failure::new(
                format!("the hook did not get done within {limit:?}"),
                "look for a file system or a container runtime that hangs on this node",
            ),
            RecvTimeoutError::Disconnected => Failure::new(
                format!("the hook failed by a mistake of its own: {}", last_panic()),
                "report this as a bug, with this message",
            ),
        })
    })
}

/// What the last panic said.
pub(crate) fn last_panic() -> String {
    let message = PANIC.lock().unwrap_or_else(PoisonError::into_inner).take();
    message.unwrap_or_else(|| "no message".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);

    #[test]
    fn results_come_back() {
        assert_eq!(supervised(LIMIT, || Ok(1)), Ok(1));
        let failure = Failure::new("a", "b");
        let copy = failure.clone();
        assert_eq!(supervised::<()>(LIMIT, move || Err(copy)), Err(failure));
    }

    #[test]
    fn a_panic_is_a_failure_with_its_message() {
        keep_panics();
        let failure = supervised::<()>(LIMIT, || panic!("the sky\nfell")).expect_err("fails");
        let _ = panic::take_hook();
        assert!(failure.what.contains("the sky fell"), "{failure:?}");
    }

    #[test]
    fn what_hangs_is_left_behind() {
        let (_open, never) = std::sync::mpsc::channel::<()>();
        let failure = supervised(Duration::from_millis(20), move || {
            let _ = never.recv();
            Ok(())
        });
        assert!(failure.expect_err("fails").what.contains("20ms"));
    }
}
