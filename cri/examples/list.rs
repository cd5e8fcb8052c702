//! Prints what a container runtime says runs: `cargo run -p tetragon-cri --example list [unix:///path]`.

use std::error::Error;

use tetragon_cri::{CriClient, Options, socket_of_url};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let socket = std::env::args().nth(1).map(|url| socket_of_url(&url)).transpose()?;
    let client = CriClient::new(Options::for_socket(socket.as_deref()));
    let listing = client.list().await?;
    for container in &listing.containers {
        println!("{container:#?}");
    }
    if let Some(error) = listing.incomplete {
        eprintln!("not everything is known: {error}");
    }
    Ok(())
}
