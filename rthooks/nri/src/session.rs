//! One connection, from registration to its end.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::api::{Empty, RegisterPluginRequest};
use crate::error::Error;
use crate::link::{Client, Link};
use crate::options::Options;
use crate::plugin::{Plugin, Runtime};
use crate::service::{Phase, Service};

/// The version of NRI whose messages this crate knows.
const NRI_VERSION: &str = "0.12.0";

/// Registers `plugin` over `stream` and serves the runtime until the connection ends or `shutdown` is ready.
///
/// On shutdown, requests in progress are completed and answered before the connection is closed; then this is `Ok`.
/// The plugin is told by [`Plugin::connected`] and [`Plugin::disconnected`].
///
/// # Errors
/// Why the connection has ended, if not by `shutdown`. It cannot be resumed: make a new one.
pub async fn run<P: Plugin>(
    stream: impl AsyncRead + AsyncWrite + Send + 'static,
    options: &Options,
    plugin: Arc<P>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), Error> {
    run_noting(stream, options, plugin, shutdown, || {}).await
}

/// As [`run`], and calls `synchronized` once the runtime counts the plugin in.
pub(crate) async fn run_noting<P: Plugin>(
    stream: impl AsyncRead + AsyncWrite + Send + 'static,
    options: &Options,
    plugin: Arc<P>,
    shutdown: impl Future<Output = ()>,
    synchronized: impl FnOnce(),
) -> Result<(), Error> {
    let (service, phases) = Service::new(Arc::clone(&plugin));
    // Serves before it registers: the runtime may call before its answer to the registration is read.
    let (mut link, client) = Link::new(stream, service, options.counters(), options.stall_timeout);
    let mut introduction = pin!(introduce(client, options, &*plugin, phases, synchronized));
    let result = tokio::select! {
        end = link.drive() => Err(told_before_the_end(introduction).await.unwrap_or(end.into())),
        error = &mut introduction => Err(error),
        () = shutdown => Ok(()),
    };
    if result.is_ok() {
        link.drain(options.drain_timeout).await;
    }
    link.close().await;
    plugin.disconnected(result.as_ref().err());
    result
}

/// A refusal that arrived together with the end says more than the end.
async fn told_before_the_end(introduction: Pin<&mut impl Future<Output = Error>>) -> Option<Error> {
    tokio::select! {
        biased;
        error = introduction => Some(error),
        () = std::future::ready(()) => None,
    }
}

/// Ends only if the runtime does not play its part.
async fn introduce<P: Plugin>(
    client: Client,
    options: &Options,
    plugin: &P,
    mut phases: watch::Receiver<Phase>,
    synchronized: impl FnOnce(),
) -> Error {
    let wait = options.registration_timeout;
    let request = RegisterPluginRequest {
        plugin_name: options.name.clone(),
        plugin_idx: options.index.clone(),
        nri_version: NRI_VERSION.to_owned(),
    };
    if let Err(error) = client.call::<Empty>("RegisterPlugin", &request, wait).await {
        return Error::Register(error);
    }
    options.counters.registrations.add();
    if !reached(&mut phases, Phase::Configured, wait).await {
        return Error::NotConfigured(wait);
    }
    let wait = options.synchronize_timeout;
    if !reached(&mut phases, Phase::Synchronized, wait).await {
        return Error::NotSynchronized(wait);
    }
    synchronized();
    plugin.connected(Runtime { client });
    std::future::pending().await
}

async fn reached(phases: &mut watch::Receiver<Phase>, phase: Phase, wait: Duration) -> bool {
    timeout(wait, phases.wait_for(|now| *now >= phase)).await.is_ok_and(|it| it.is_ok())
}
