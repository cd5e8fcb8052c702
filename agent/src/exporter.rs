//! The thread that exports events as JSON lines: queue, filters, rate limit, file.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use std::{io, thread};

use anyhow::{Context as _, anyhow};
use bytes::Bytes;
use prost::Message;
use tetragon_api::json;
use tetragon_api::tetragon::GetEventsResponse;
use tetragon_filters::{EventView, FieldFilters, FilterSet, Options, parse_field_filters, parse_filters};
use tracing::{info, warn};

use crate::clock::{Clock, boot_now_ns};
use crate::config::Config;
use crate::event::{Event, Origin, Payload};
use crate::export::{ExportFile, ExportSettings, ExportSnapshot, RateLimiter};
use crate::fanout::{Fanout, Item, Subscription};

/// How long the thread waits for events before it looks after its file.
const TICK: Duration = Duration::from_secs(1);

/// The export, not yet started.
#[derive(Debug)]
pub struct Exporter {
    file: ExportFile,
    filters: FilterSet,
    fields: FieldFilters,
    limit: RateLimiter,
    subscription: Subscription,
    clock: Arc<Clock>,
    origin: Arc<Origin>,
    settled: ExportSnapshot,
    /// Lines that failed and that the file has not been told of.
    missing: u64,
}

impl Exporter {
    /// Opens the file and compiles the filters. `None` if the settings want no export.
    pub fn open(
        config: &Config,
        fanout: &Arc<Fanout>,
        clock: Arc<Clock>,
        origin: Arc<Origin>,
    ) -> anyhow::Result<Option<Self>> {
        let Some(settings) = ExportSettings::from_config(config) else { return Ok(None) };
        let parse =
            |option: &str, text: &str| parse_filters(text).map_err(|error| anyhow!("{option}: {error}"));
        let allow = parse("export-allowlist", &config.export_allowlist)?;
        let deny = parse("export-denylist", &config.export_denylist)?;
        let options = Options {
            process_credentials: config.enable_process_cred,
            pid_set: config.enable_pid_set_filter,
        };
        let filters = FilterSet::new(&allow, &deny, options).context("export-allowlist, export-denylist")?;
        let fields = parse_field_filters(&config.field_filters).map_err(|e| anyhow!("field-filters: {e}"))?;
        let (fields, unknown) = FieldFilters::new(&fields).context("field-filters")?;
        for field in unknown {
            warn!(path = field.path, filter = field.index, "field-filters: no event has this field");
        }
        let name = config.export_filename.as_deref().map(|path| path.display().to_string());
        let file = ExportFile::open(settings)?;
        let limit = RateLimiter::new(config.export_rate_limit, Instant::now());
        let subscription = fanout.subscribe("export", name.as_deref());
        let settled = ExportSnapshot::default();
        Ok(Some(Self { file, filters, fields, limit, subscription, clock, origin, settled, missing: 0 }))
    }

    /// Exports on a thread of its own until the fan-out is closed and empty. Rotates when `rotate` is set.
    pub fn start(self, rotate: Arc<AtomicBool>) -> io::Result<JoinHandle<()>> {
        thread::Builder::new().name("export".to_owned()).spawn(move || self.run(&rotate))
    }

    fn run(mut self, rotate: &AtomicBool) {
        let mut items = Vec::new();
        let mut next_tick = Instant::now() + TICK;
        while self.subscription.receive_blocking(&mut items, TICK) {
            for item in items.drain(..) {
                match item {
                    Item::Event(event) => self.export(&event),
                    Item::Gap(lost) => self.notice(lost),
                }
            }
            self.file.flush();
            if rotate.swap(false, Relaxed) {
                match self.file.rotate() {
                    Ok(()) => info!("export file rotated on request"),
                    Err(error) => warn!(%error, "export file not rotated"),
                }
            }
            let now = Instant::now();
            if now >= next_tick {
                next_tick = now + TICK;
                if let Some(lost) = self.limit.report(now) {
                    self.notice(lost);
                }
                self.file.tick();
            }
            self.settle();
        }
        self.file.flush();
        self.settle();
        self.file.close();
    }

    fn export(&mut self, event: &Event) {
        let gap = event.is_gap();
        if !gap && !self.filters.passes_everything() && !self.filters.matches(event) {
            self.subscription.filtered();
        } else if !gap && !self.limit.allow(Instant::now()) {
            self.subscription.dropped();
        } else if self.fields.applies_to(event.event_type()) {
            let encoded = self.fields.apply_encoded(event.event_type(), event.proto());
            match GetEventsResponse::decode(Bytes::from(encoded)) {
                Ok(message) => self.file.write_line((json::event_to_string(&message) + "\n").as_bytes()),
                Err(error) => {
                    warn!(%error, "event not exported");
                    self.subscription.settled(0, 1);
                }
            }
        } else {
            self.file.write_line(event.json());
        }
    }

    /// A line of our own that says how many events are missing here.
    fn notice(&mut self, lost: u64) {
        let time = self.clock.wall(boot_now_ns());
        let notice = Event::new(Payload::Gap { lost }, time, Arc::clone(&self.origin));
        self.subscription.added();
        self.file.write_line(notice.json());
    }

    /// Tells the ledger what has become of the lines since the last time.
    fn settle(&mut self) {
        let now = self.file.counters().snapshot();
        let failed = now.failed_lines - self.settled.failed_lines;
        self.subscription.settled(now.lines - self.settled.lines, failed);
        self.settled = now;
        self.missing += failed;
        if self.missing > 0 && !now.degraded {
            let lost = std::mem::take(&mut self.missing);
            self.notice(lost);
        }
    }
}
