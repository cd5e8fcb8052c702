//! Our calls to the runtime.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::mux::{self, RUNTIME_SERVICE};
use crate::ttrpc::envelope::{Request, Response};
use crate::ttrpc::{self, CallError, REQUEST, Status};

use super::writer::Outgoing;

const RUNTIME: &str = "nri.pkg.api.v1alpha1.Runtime";
/// Calls in progress; more wait. The runtime's side gives up the connection when it has 256 unread frames, and a
/// call is at most two.
const MAX_CALLS: usize = 32;

type Answer = Result<Bytes, Status>;

/// Makes calls. Clones share the connection.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    queue: mpsc::Sender<Outgoing>,
    calls: Arc<Calls>,
    permits: Arc<Semaphore>,
}

/// The calls in progress.
#[derive(Debug, Default)]
pub(super) struct Calls {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    closed: bool,
    last_stream: Option<u32>,
    pending: HashMap<u32, oneshot::Sender<Answer>>,
}

impl Calls {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands an answer to whom it is for; false if nobody waits for it.
    pub(super) fn complete(&self, stream: u32, answer: Answer) -> bool {
        let caller = self.lock().pending.remove(&stream);
        caller.is_some_and(|caller| caller.send(answer).is_ok())
    }

    /// Fails all calls in progress, and all that follow.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.pending.clear();
    }
}

impl Client {
    pub(super) fn new(queue: mpsc::Sender<Outgoing>, calls: Arc<Calls>) -> Self {
        Self { queue, calls, permits: Arc::new(Semaphore::new(MAX_CALLS)) }
    }

    /// Calls a method of the runtime. Dropping the call forgets it; the runtime is not told.
    pub(crate) async fn call<Res: Message + Default>(
        &self,
        method: &str,
        request: &impl Message,
        timeout: Duration,
    ) -> Result<Res, CallError> {
        let request = Request {
            service: RUNTIME.to_owned(),
            method: method.to_owned(),
            payload: request.encode_to_vec().into(),
            timeout_nano: i64::try_from(timeout.as_nanos()).unwrap_or(0),
            metadata: Vec::new(),
        }
        .encode_to_vec();
        let answer = tokio::time::timeout(timeout, self.exchange(&request))
            .await
            .map_err(|_| CallError::Timeout(timeout))??;
        let malformed = |error: prost::DecodeError| CallError::Malformed(error.to_string());
        let response = Response::decode(answer).map_err(malformed)?;
        match response.status {
            Some(status) if status.code != 0 => Err(CallError::Status(status.into())),
            _ => Res::decode(response.payload).map_err(malformed),
        }
    }

    async fn exchange(&self, request: &[u8]) -> Result<Bytes, CallError> {
        let _permit = self.permits.acquire().await.map_err(|_| CallError::Closed)?;
        let slot = self.queue.reserve().await.map_err(|_| CallError::Closed)?;
        let (caller, answer) = oneshot::channel();
        let stream = {
            // Numbered and queued under one lock, as the numbers must ascend on the wire.
            let mut state = self.calls.lock();
            if state.closed {
                return Err(CallError::Closed);
            }
            let stream = match state.last_stream {
                None => 1,
                Some(last) => last.checked_add(2).ok_or(CallError::Closed)?,
            };
            let message =
                ttrpc::encode(stream, REQUEST, request).ok_or(CallError::TooLarge(request.len()))?;
            state.last_stream = Some(stream);
            state.pending.insert(stream, caller);
            slot.send(Outgoing::Message(mux::encode(RUNTIME_SERVICE, &message)));
            stream
        };
        let _forget = Forget { calls: &self.calls, stream };
        answer.await.map_err(|_| CallError::Closed)?.map_err(CallError::Status)
    }
}

/// Takes a call out of the list when its caller is gone.
struct Forget<'a> {
    calls: &'a Calls,
    stream: u32,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.calls.lock().pending.remove(&self.stream);
    }
}
