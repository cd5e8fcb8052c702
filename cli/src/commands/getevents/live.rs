//! Events from the running agent.

use std::future::poll_fn;
use std::io::Write;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use anyhow::{Error, Result};
use tetragon_api::tetragon::{GetEventsRequest, GetEventsResponse};
use tonic::{Status, Streaming};

use super::writer::EventWriter;
use crate::cli::Global;
use crate::client::Client;
use crate::output;
use crate::signals::Stop;

/// Why a stream is over.
enum End {
    /// The agent ended it in good order.
    ByAgent,
    Broken(Error),
}

/// Prints events until a signal, or until the stream ends and there is no wish to `reconnect` after some time.
pub(super) async fn run(
    global: &Global,
    request: &GetEventsRequest,
    reconnect: Option<Duration>,
    mut writer: EventWriter<impl Write>,
    mut stop: Stop,
) -> Result<()> {
    let client = Client::new(global)?;
    loop {
        let end = tokio::select! {
            end = print(&client, request, &mut writer) => end?,
            () = stop.requested() => return Ok(writer.flush()?),
        };
        let Some(wait) = reconnect else {
            return match end {
                End::Broken(error) => Err(error),
                End::ByAgent => {
                    output::to_stderr("getevents: the agent ended the stream (--reconnect goes on)");
                    Ok(())
                }
            };
        };
        let error = match end {
            End::ByAgent => "the agent ended the stream".to_owned(),
            End::Broken(error) => format!("{error:#}"),
        };
        output::to_stderr(&format!("getevents: err:{error} retrying in {wait:?}"));
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = stop.requested() => return Ok(()),
        }
    }
}

/// Prints one stream to its end.
///
/// # Errors
/// When the output fails. That is never cured by another stream.
async fn print(
    client: &Client,
    request: &GetEventsRequest,
    writer: &mut EventWriter<impl Write>,
) -> Result<End> {
    let broken = |status| End::Broken(client.explain(&status).context("cannot get events"));
    let call = async || client.sensors().get_events(request.clone()).await;
    let mut stream = match client.with_retries(call).await {
        Ok(response) => response.into_inner(),
        Err(status) => return Ok(broken(status)),
    };
    loop {
        let event = next(&mut stream, writer).await?;
        match event {
            Ok(Some(event)) => writer.write(&event)?,
            end => {
                writer.flush()?;
                return Ok(end.map_or_else(broken, |_| End::ByAgent));
            }
        }
    }
}

/// The next event. What was written so far is flushed when there is none yet, so that bursts are written in one go
/// and yet nothing waits.
async fn next(
    stream: &mut Streaming<GetEventsResponse>,
    writer: &mut EventWriter<impl Write>,
) -> Result<Result<Option<GetEventsResponse>, Status>> {
    let mut message = pin!(stream.message());
    let ready = poll_fn(|context| Poll::Ready(message.as_mut().poll(context))).await;
    if let Poll::Ready(event) = ready {
        return Ok(event);
    }
    writer.flush()?;
    Ok(message.await)
}
