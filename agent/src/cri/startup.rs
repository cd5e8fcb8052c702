//! What is there already.

use std::time::Duration;

use tetragon_cri::{CriClient, Listing};
use tracing::{info, warn};

/// Pauses between attempts, the last of them for ever. The client has its own while no runtime answers at all.
const PAUSES: [Duration; 4] =
    [Duration::from_millis(250), Duration::from_secs(1), Duration::from_secs(4), Duration::from_secs(15)];

/// Everything that exists, as soon as a runtime says so: agent and runtime start in any order. Waits for ever.
pub async fn list_when_possible(client: &CriClient) -> Listing {
    let mut pauses = PAUSES.iter().copied();
    let mut pause = Duration::ZERO;
    let mut told = String::new();
    loop {
        match client.list().await {
            Ok(listing) => {
                let socket = client.connected().map(|it| it.socket.display().to_string());
                info!(
                    socket = socket.unwrap_or_default(),
                    containers = listing.containers.len(),
                    "the container runtime has told what runs"
                );
                if let Some(error) = &listing.incomplete {
                    warn!(%error, "the container runtime did not tell everything about what runs");
                }
                return listing;
            }
            Err(error) => {
                let error = error.to_string();
                if error != told {
                    warn!(%error, "the container runtime cannot be asked what runs; trying again");
                    told = error;
                }
            }
        }
        pause = pauses.next().unwrap_or(pause);
        tokio::time::sleep(pause).await;
    }
}
