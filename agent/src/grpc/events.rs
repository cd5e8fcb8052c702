//! One stream of events for one client.

use std::sync::Arc;

use tetragon_api::EncodedEvent;
use tetragon_api::tetragon::GetEventsRequest;
use tetragon_filters::{EventView, FieldFilters, FilterSet};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use tracing::{debug, warn};

use super::Context;
use crate::clock::{Clock, boot_now_ns};
use crate::event::{Event, Origin, Payload};
use crate::fanout::{Item, Subscription};

/// Encoded events between our queue, which counts what it drops, and the connection's own buffers.
const IN_FLIGHT: usize = 32;

/// What a client asked for.
#[derive(Debug)]
struct Wish {
    filters: FilterSet,
    fields: FieldFilters,
}

/// Starts a stream: from now on, until the client goes or the agent stops.
pub(super) fn stream(
    context: &Context,
    request: &GetEventsRequest,
) -> Result<ReceiverStream<Result<EncodedEvent, Status>>, Status> {
    let invalid = |error: &dyn std::error::Error| Status::unknown(error.to_string());
    let filters = FilterSet::new(&request.allow_list, &request.deny_list, context.filter_options())
        .map_err(|e| invalid(&e))?;
    let (fields, unknown) = FieldFilters::new(&request.field_filters).map_err(|e| invalid(&e))?;
    for field in unknown {
        warn!(path = field.path, filter = field.index, "a client's field filter names no field of any event");
    }
    let subscription = context.fanout.subscribe("grpc", None);
    let origin = Arc::new(Origin {
        node_name: crate::app::node_name(),
        cluster_name: context.config.cluster_name.clone(),
    });
    let (sender, receiver) = mpsc::channel(IN_FLIGHT);
    tokio::spawn(feed(subscription, Wish { filters, fields }, origin, sender));
    Ok(ReceiverStream::new(receiver))
}

async fn feed(
    subscription: Subscription,
    wish: Wish,
    origin: Arc<Origin>,
    sender: mpsc::Sender<Result<EncodedEvent, Status>>,
) {
    let clock = Clock::new();
    let mut items = Vec::new();
    loop {
        items.clear();
        tokio::select! {
            more = subscription.receive(&mut items) => if !more { break },
            () = sender.closed() => break,
        }
        for item in items.drain(..) {
            let sent = match item {
                Item::Event(event) if wish.wants(&event) => {
                    let sent = sender.send(Ok(wish.encode(&event))).await.is_ok();
                    if sent {
                        subscription.settled(1, 0);
                    }
                    sent
                }
                Item::Event(_) => {
                    subscription.filtered();
                    true
                }
                // The dropped events are counted already; this only shows where they are missing.
                Item::Gap(lost) => {
                    clock.refresh();
                    let notice =
                        Event::new(Payload::Gap { lost }, clock.wall(boot_now_ns()), Arc::clone(&origin));
                    subscription.added();
                    let sent = sender.send(Ok(EncodedEvent::new(notice.proto().clone()))).await.is_ok();
                    if sent {
                        subscription.settled(1, 0);
                    }
                    sent
                }
            };
            if !sent {
                debug!(sink = subscription.name(), "client gone");
                return;
            }
        }
    }
}

impl Wish {
    fn wants(&self, event: &Event) -> bool {
        event.is_gap() || self.filters.passes_everything() || self.filters.matches(event)
    }

    fn encode(&self, event: &Event) -> EncodedEvent {
        let encoded = event.proto();
        if self.fields.applies_to(event.event_type()) {
            return EncodedEvent::new(self.fields.apply_encoded(event.event_type(), encoded));
        }
        EncodedEvent::new(encoded.clone())
    }
}
