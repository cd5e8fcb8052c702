//! The one task that writes.

use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncWrite, AsyncWriteExt, WriteHalf};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::ttrpc::LinkError;

/// What is to be written.
pub(super) enum Outgoing {
    /// A whole message, framed.
    Message(Bytes),
    /// Nothing more.
    End,
}

/// Writes until told to end, or until the peer does not take a message for `stall`.
pub(super) async fn write<S: AsyncWrite>(
    mut half: WriteHalf<S>,
    mut queue: mpsc::Receiver<Outgoing>,
    stall: Duration,
) -> LinkError {
    while let Some(Outgoing::Message(message)) = queue.recv().await {
        let written = async {
            half.write_all(&message).await?;
            half.flush().await
        };
        match timeout(stall, written).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return error.into(),
            Err(_) => return LinkError::Stalled(stall),
        }
    }
    match timeout(stall, half.shutdown()).await {
        Ok(Err(error)) => error.into(),
        _ => LinkError::Closed,
    }
}
