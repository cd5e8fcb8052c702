//! From `tracing` to lines.

use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Subscriber;
use tracing::{Event, Metadata};
use tracing_log::NormalizeEvent;
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::fields::Fields;
use super::queue::Queue;
use super::{Format, Level, LevelHandle, line};

/// Target of the one error that ends the process: `error!(target: logging::FATAL, ...)` prints `level=fatal`.
pub const FATAL: &str = "fatal";

/// Formats every wanted message and hands it to the queue.
#[derive(Debug)]
pub(super) struct LogLayer {
    level: LevelHandle,
    format: Format,
    queue: Queue,
}

impl LogLayer {
    pub(super) fn new(level: LevelHandle, format: Format, queue: Queue) -> Self {
        Self { level, format, queue }
    }
}

fn level_of(metadata: &Metadata<'_>) -> Level {
    match *metadata.level() {
        tracing::Level::ERROR if metadata.target() == FATAL => Level::Fatal,
        tracing::Level::ERROR => Level::Error,
        tracing::Level::WARN => Level::Warning,
        tracing::Level::INFO => Level::Info,
        tracing::Level::DEBUG => Level::Debug,
        tracing::Level::TRACE => Level::Trace,
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for LogLayer {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        let limit = match self.level.get() {
            // The HTTP/2 library tells of every frame; that is for trace only.
            Level::Debug if !metadata.target().starts_with("tetragon") => Level::Info,
            level => level,
        };
        level_of(metadata) <= limit
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(match self.level.get() {
            Level::Panic | Level::Fatal | Level::Error => LevelFilter::ERROR,
            Level::Warning => LevelFilter::WARN,
            Level::Info => LevelFilter::INFO,
            Level::Debug => LevelFilter::DEBUG,
            Level::Trace => LevelFilter::TRACE,
        })
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        for span in context.event_scope(event).into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(outer) = span.extensions().get::<Fields>() {
                fields.extend(outer);
            }
        }
        event.record(&mut fields);
        let level = match event.normalized_metadata() {
            Some(metadata) => level_of(&metadata),
            None => level_of(event.metadata()),
        };
        self.queue.push(line::format(self.format, level, &fields.message, &fields));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::net::UnixStream;
    use std::time::Duration;
    use tracing::{debug, error, info, info_span, trace, warn};
    use tracing_subscriber::Registry;
    use tracing_subscriber::layer::SubscriberExt;

    /// The lines that `work` logs, without their time.
    fn logged(level: Level, format: Format, work: impl FnOnce(&LevelHandle)) -> Vec<String> {
        let (writer, mut reader) = UnixStream::pair().unwrap();
        let queue = Queue::start(vec![Box::new(writer)], format).unwrap();
        let handle = LevelHandle::new(level);
        let layer = LogLayer::new(handle.clone(), format, queue.clone());
        tracing::subscriber::with_default(Registry::default().with(layer), || work(&handle));
        queue.flush(Duration::from_secs(10));
        drop(queue);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        text.lines()
            .map(|line| match line.split_once(" level=") {
                Some((_, rest)) => rest.to_owned(),
                None => line.to_owned(),
            })
            .collect()
    }

    #[test]
    fn messages_carry_their_fields_and_those_of_their_spans() {
        let lines = logged(Level::Info, Format::Text, |_| {
            let span = info_span!("policy", name = "p 1", n = 1);
            let _entered = span.enter();
            let cause = std::io::Error::other("no luck");
            warn!(error = %cause, n = 2, "it did not work");
            info!(flag = true, "plain");
        });
        assert_eq!(
            lines,
            [
                "warning msg=\"it did not work\" error=\"no luck\" n=2 name=\"p 1\"",
                "info msg=plain flag=true n=1 name=\"p 1\"",
            ]
        );
    }

    #[test]
    fn the_level_decides_and_can_change() {
        let lines = logged(Level::Fatal, Format::Text, |level| {
            error!("hidden");
            error!(target: FATAL, "shown");
            level.set(Level::Debug);
            debug!("shown");
            debug!(target: "h2::frame", "hidden");
            info!(target: "h2::frame", "shown");
            trace!("hidden");
            level.set(Level::Trace);
            trace!(target: "h2::frame", "shown");
            level.set(Level::Panic);
            error!(target: FATAL, "hidden");
        });
        assert_eq!(lines, ["fatal msg=shown", "debug msg=shown", "info msg=shown", "trace msg=shown"]);
    }

    #[test]
    fn json_lines_keep_numbers() {
        let lines = logged(Level::Info, Format::Json, |_| info!(count = 3_u64, "m"));
        let json: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
        assert_eq!((&json["count"], &json["msg"], &json["level"]), (&3.into(), &"m".into(), &"info".into()));
        assert!(json["time"].is_string());
    }
}
