//! Calls in both directions over one socket.
//!
//! One task reads and never waits for anything else: requests are served by tasks of their own, and one more writes,
//! a whole message at a time. So neither side's calls can hold up the other's, and a caller that gives up cannot
//! leave half a message behind.

mod client;
mod writer;

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadHalf};
use tokio::sync::mpsc;
use tokio::task::{self, JoinError, JoinHandle, JoinSet};
use tokio::time::Instant;

use crate::counters::Counters;
use crate::mux::{self, Demux, PLUGIN_SERVICE, RUNTIME_SERVICE};
use crate::ttrpc::envelope::{Request, Response};
use crate::ttrpc::{self, Code, Decoder, Header, LinkError, Message, REQUEST, RESPONSE, Status};

use client::Calls;
pub(crate) use client::Client;
use writer::Outgoing;

/// Requests served at a time; more are refused. Runtimes send one at a time.
const MAX_CONCURRENT: usize = 32;
/// Messages that wait to be written: all answers at once, and some calls.
const QUEUE: usize = 2 * MAX_CONCURRENT;
const READ_BUFFER_BYTES: usize = 64 << 10;

/// Serves requests.
pub(crate) trait Handler: Send + Sync + 'static {
    /// The encoded response.
    fn serve(&self, request: Request) -> impl Future<Output = Result<Bytes, Status>> + Send;
}

/// The plugin's end of a connection.
pub(crate) struct Link<S, H> {
    reader: ReadHalf<S>,
    buffer: Vec<u8>,
    last_read: Instant,
    demux: Demux,
    requests: Decoder,
    answers: Decoder,
    handler: Arc<H>,
    /// Number of the last request.
    last_stream: u32,
    serving: JoinSet<()>,
    /// Which request each task serves, to answer for those that panic.
    streams: HashMap<task::Id, u32>,
    queue: mpsc::Sender<Outgoing>,
    writer: JoinHandle<LinkError>,
    calls: Arc<Calls>,
    counters: Arc<Counters>,
    stall_timeout: Duration,
}

impl<S: AsyncRead + AsyncWrite + Send + 'static, H: Handler> Link<S, H> {
    pub(crate) fn new(
        stream: S,
        handler: H,
        counters: Arc<Counters>,
        stall_timeout: Duration,
    ) -> (Self, Client) {
        let (reader, write_half) = tokio::io::split(stream);
        let (queue, outgoing) = mpsc::channel(QUEUE);
        let calls = Arc::<Calls>::default();
        let client = Client::new(queue.clone(), Arc::clone(&calls));
        let link = Self {
            reader,
            buffer: vec![0; READ_BUFFER_BYTES],
            last_read: Instant::now(),
            demux: Demux::default(),
            requests: Decoder::default(),
            answers: Decoder::default(),
            handler: Arc::new(handler),
            last_stream: 0,
            serving: JoinSet::new(),
            streams: HashMap::new(),
            queue,
            writer: tokio::spawn(writer::write(write_half, outgoing, stall_timeout)),
            calls,
            counters,
            stall_timeout,
        };
        (link, client)
    }

    /// Reads and serves until the connection ends. May be dropped and called again.
    pub(crate) async fn drive(&mut self) -> LinkError {
        loop {
            if let Err(error) = self.step().await {
                return error;
            }
        }
    }

    /// Serves on until no request is in progress, and lets the last answer leave. Only [`Self::close`] may follow.
    pub(crate) async fn drain(&mut self, timeout: Duration) {
        let drained = async {
            while !self.serving.is_empty() {
                self.step().await?;
            }
            // The writer takes this last, and ends.
            let _ = self.queue.send(Outgoing::End).await;
            Err((&mut self.writer).await.unwrap_or(LinkError::Closed))
        };
        match tokio::time::timeout(timeout, drained).await {
            Ok(Ok(()) | Err(LinkError::Closed)) => {}
            Ok(Err(error)) => tracing::debug!(%error, "connection broke while it was being closed"),
            Err(_) => tracing::warn!(?timeout, "requests in progress were cut off"),
        }
    }

    /// Closes the connection. Returns once nothing is served any more.
    pub(crate) async fn close(mut self) {
        self.calls.close();
        self.serving.shutdown().await;
    }

    async fn step(&mut self) -> Result<(), LinkError> {
        let whole = self.demux.is_at_boundary() && self.at_message_boundary();
        tokio::select! {
            read = self.reader.read(&mut self.buffer) => match read? {
                0 if whole => Err(LinkError::Closed),
                0 => Err(LinkError::Truncated),
                count => self.take(count),
            },
            Some(done) = self.serving.join_next_with_id(), if !self.serving.is_empty() => self.served(done),
            end = &mut self.writer => Err(end.unwrap_or(LinkError::Closed)),
            () = tokio::time::sleep_until(self.last_read + self.stall_timeout), if !whole => {
                Err(LinkError::Stalled(self.stall_timeout))
            }
        }
    }

    fn at_message_boundary(&self) -> bool {
        self.requests.is_at_boundary() && self.answers.is_at_boundary()
    }

    /// Takes the first `count` bytes of the buffer.
    fn take(&mut self, count: usize) -> Result<(), LinkError> {
        self.last_read = Instant::now();
        let buffer = std::mem::take(&mut self.buffer);
        let result = self.take_bytes(&buffer[..count]);
        self.buffer = buffer;
        result
    }

    fn take_bytes(&mut self, mut input: &[u8]) -> Result<(), LinkError> {
        while let Some(piece) = self.demux.next(&mut input)? {
            let mut bytes = piece.bytes;
            match piece.id {
                PLUGIN_SERVICE => {
                    while let Some(message) = self.requests.next(&mut bytes) {
                        self.request(message)?;
                    }
                }
                RUNTIME_SERVICE => {
                    while let Some(message) = self.answers.next(&mut bytes) {
                        self.answer(message);
                    }
                }
                id => {
                    if piece.first {
                        self.counters.unknown_connection_frames.add();
                        tracing::debug!(id, "frame for an unknown connection dropped");
                    }
                }
            }
        }
        Ok(())
    }

    fn request(&mut self, message: Message) -> Result<(), LinkError> {
        let (header, data) = match message {
            Message::Whole(header, data) => (header, Ok(data)),
            Message::Oversize(header) => (header, Err(self.oversize(header))),
        };
        let stream = header.stream;
        if header.kind != REQUEST {
            self.counters.unexpected_messages.add();
            return Ok(());
        }
        if stream % 2 == 0 || stream <= self.last_stream {
            let text = format!("stream id {stream} is even, or not above {}", self.last_stream);
            return self.refuse(stream, Status::new(Code::INVALID_ARGUMENT, text));
        }
        self.last_stream = stream;
        let request = data.and_then(|data| {
            Request::decode(data).map_err(|error| {
                Status::new(Code::INVALID_ARGUMENT, format!("request cannot be read: {error}"))
            })
        });
        match request {
            Err(status) => self.refuse(stream, status),
            Ok(_) if self.serving.len() >= MAX_CONCURRENT => {
                let text = format!("{MAX_CONCURRENT} requests are in progress: wait for their answers");
                self.refuse(stream, Status::new(Code::RESOURCE_EXHAUSTED, text))
            }
            Ok(request) => {
                self.spawn(stream, request);
                Ok(())
            }
        }
    }

    fn oversize(&self, header: Header) -> Status {
        self.counters.oversize_messages.add();
        let text = format!("message of {} bytes is longer than {}", header.length, ttrpc::MAX_DATA);
        Status::new(Code::RESOURCE_EXHAUSTED, text)
    }

    fn spawn(&mut self, stream: u32, request: Request) {
        let (handler, queue) = (Arc::clone(&self.handler), self.queue.clone());
        let counters = Arc::clone(&self.counters);
        let task = self.serving.spawn(async move {
            let result = match u64::try_from(request.timeout_nano) {
                Ok(nanos) if nanos > 0 => {
                    let timeout = Duration::from_nanos(nanos);
                    tokio::time::timeout(timeout, handler.serve(request)).await.unwrap_or_else(|_| {
                        let text = format!("plugin did not answer within {timeout:?}");
                        Err(Status::new(Code::DEADLINE_EXCEEDED, text))
                    })
                }
                _ => handler.serve(request).await,
            };
            // Fails when the connection has ended: then nobody waits for this.
            let _ = queue.send(Outgoing::Message(encode_answer(stream, result, &counters))).await;
        });
        self.streams.insert(task.id(), stream);
    }

    fn served(&mut self, done: Result<(task::Id, ()), JoinError>) -> Result<(), LinkError> {
        let id = done.as_ref().map_or_else(JoinError::id, |(id, ())| *id);
        match (self.streams.remove(&id), done) {
            (Some(stream), Err(_)) => self.refuse(stream, Status::unknown("plugin panicked")),
            _ => Ok(()),
        }
    }

    /// Answers at once, without waiting for room in the queue.
    fn refuse(&self, stream: u32, status: Status) -> Result<(), LinkError> {
        let answer = encode_answer(stream, Err(status), &self.counters);
        self.queue.try_send(Outgoing::Message(answer)).map_err(|_| LinkError::Flooded)
    }

    fn answer(&self, message: Message) {
        let (header, result) = match message {
            Message::Whole(header, data) => (header, Ok(data)),
            Message::Oversize(header) => (header, Err(self.oversize(header))),
        };
        if header.kind != RESPONSE {
            self.counters.unexpected_messages.add();
        } else if !self.calls.complete(header.stream, result) {
            self.counters.late_answers.add();
        }
    }
}

impl<S, H> Drop for Link<S, H> {
    fn drop(&mut self) {
        self.calls.close();
        self.writer.abort();
    }
}

fn encode_answer(stream: u32, result: Result<Bytes, Status>, counters: &Counters) -> Bytes {
    let frame = |result: Result<Bytes, Status>| {
        let response = match result {
            Ok(payload) => Response { status: None, payload },
            Err(status) => Response { status: Some(status.into()), payload: Bytes::new() },
        };
        ttrpc::encode(stream, RESPONSE, &response.encode_to_vec())
    };
    counters.requests.add();
    if result.is_err() {
        counters.failed_requests.add();
    }
    let framed = frame(result).or_else(|| {
        counters.failed_requests.add();
        frame(Err(Status::new(Code::RESOURCE_EXHAUSTED, "plugin's answer is longer than a message can be")))
    });
    mux::encode(PLUGIN_SERVICE, &framed.unwrap_or_default())
}
