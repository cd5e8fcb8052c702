//! Compact output: an event as one line for people,
//! `<symbol> <word> <source> <binary> <what is particular to the event>`.

mod args;
mod body;
mod kprobe;
mod paint;
mod stack;
mod syscall;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;

use jiff::Timestamp;
use tetragon_api::tetragon::get_events_response::Event;
use tetragon_api::tetragon::{
    CapabilitiesType, GetEventsResponse, Process, ProcessExit, ProcessLoader, ProcessThrottle,
    ProcessTracepoint, ThrottleType,
};

pub(crate) use self::args::Args;
use self::body::Body;
use self::paint::{Color, Paint, safe};

/// Byte column at which the mark of privileged processes ends.
const MARK_END: usize = 120;
const MARK: &str = "🛑 CAP_SYS_ADMIN";

/// How lines look.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    /// Colour sequences.
    pub(crate) color: bool,
    /// Event time before each line.
    pub(crate) timestamps: bool,
    /// Stack traces below the events that have them.
    pub(crate) stack_traces: bool,
}

/// The event as text without a final line break. Every event has one: what is unknown or incomplete is shown as such.
pub(crate) fn render(event: &GetEventsResponse, style: Style) -> String {
    let paint = Paint { enabled: style.color };
    let mut line = String::with_capacity(160);
    if style.timestamps
        && let Some(time) = event.time.as_ref().and_then(|time| utc(time.seconds, time.nanos))
    {
        line.push_str(&time);
        line.push(' ');
    }
    let Some(payload) = &event.event else {
        line.push_str("❓ event of a kind that this client does not know");
        return line;
    };
    match content(payload) {
        Content::OfProcess(process, body) => {
            push_process_line(&mut line, event, process, &body, paint);
        }
        Content::Plain(text) => line.push_str(&text),
        Content::Alone(body) => {
            line.push_str(&body.head(paint));
            body.push_extras(&mut line, paint);
        }
    }
    if let (Event::ProcessKprobe(kprobe), true) = (payload, style.stack_traces) {
        stack::push(&mut line, kprobe, paint);
    }
    line
}

enum Content<'a> {
    /// With source and binary; the process may be missing all the same.
    OfProcess(Option<&'a Process>, Body),
    /// Without them.
    Alone(Body),
    Plain(String),
}

fn content(event: &Event) -> Content<'_> {
    use Content::{Alone, OfProcess, Plain};
    match event {
        Event::ProcessExec(it) => {
            let arguments = it.process.as_ref().map(|process| process.arguments.as_str());
            OfProcess(it.process.as_ref(), Body::new("🚀", "process").text(arguments.unwrap_or_default()))
        }
        Event::ProcessExit(it) => OfProcess(it.process.as_ref(), exit(it)),
        Event::ProcessKprobe(it) => OfProcess(it.process.as_ref(), kprobe::body(it)),
        Event::ProcessTracepoint(it) => OfProcess(it.process.as_ref(), tracepoint(it)),
        Event::ProcessLoader(it) => OfProcess(it.process.as_ref(), loader(it)),
        Event::ProcessUprobe(it) => {
            OfProcess(it.process.as_ref(), Body::new("🕵️", "uprobe").text(&it.path).text(&it.symbol))
        }
        Event::ProcessUsdt(it) => {
            let body = Body::new("🕵️", "usdt").text(&it.path).text(&it.provider).text(&it.name);
            OfProcess(it.process.as_ref(), body)
        }
        Event::ProcessLsm(it) => {
            OfProcess(it.process.as_ref(), Body::new("🔒", "LSM").text(&it.function_name))
        }
        Event::ProcessThrottle(it) => Alone(throttle(it)),
        Event::RateLimitInfo(it) => Alone(Body::new("🧬", "rate_limit").text(&format!(
            "{} events dropped by the export rate limit",
            it.number_of_dropped_process_events
        ))),
        Event::Test(_) => Plain("TEST EVENT".to_owned()),
    }
}

fn exit(event: &ProcessExit) -> Body {
    let arguments = event.process.as_ref().map(|process| process.arguments.as_str()).unwrap_or_default();
    let status = match event.signal.as_str() {
        "" => event.status.to_string(),
        signal => safe(signal).into_owned(),
    };
    Body::new("💥", "exit").text(arguments).colored(Color::Red, &status)
}

fn tracepoint(event: &ProcessTracepoint) -> Body {
    match (event.subsys.as_str(), event.event.as_str()) {
        // This symbol is one column wide, so its blank is doubled.
        ("raw_syscalls", "sys_enter") => {
            Body::new("☎ ", "syscall").text(&syscall::describe(Args(&event.args)))
        }
        (subsys, event) => Body::new("⁉️", "tracepoint").text(subsys).text(event),
    }
}

fn loader(event: &ProcessLoader) -> Body {
    let mut body = Body::new("🧬", "loader");
    if !event.buildid.is_empty() {
        let hex = event.buildid.iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        });
        body = body.text(&hex);
    }
    body.colored(Color::Yellow, &safe(&event.path))
}

fn throttle(event: &ProcessThrottle) -> Body {
    let body = Body::new("🧬", "throttle");
    let body = match event.r#type() {
        ThrottleType::ThrottleStart => body.colored(Color::Red, "START"),
        ThrottleType::ThrottleStop => body.colored(Color::Green, "STOP "),
        ThrottleType::ThrottleUnknown => body.colored(Color::Yellow, "UNKNOWN"),
    };
    body.text(&event.cgroup)
}

fn push_process_line(
    line: &mut String,
    event: &GetEventsResponse,
    process: Option<&Process>,
    body: &Body,
    paint: Paint,
) {
    let pod = process.and_then(|process| process.pod.as_ref());
    let source = match pod {
        Some(pod) => format!("{}/{}", safe(&pod.namespace), safe(&pod.name)),
        None => safe(&event.node_name).into_owned(),
    };
    let binary = process.map_or_else(|| "<unknown process>".into(), |process| safe(&process.binary));
    let start = line.len();
    line.push_str(&body.head(paint));
    for (color, text) in [(Color::Green, source), (Color::Magenta, binary.into_owned())] {
        line.push(' ');
        line.push_str(&paint.apply(color, text));
    }
    body.push_extras(line, paint);

    let effective = process.and_then(|process| process.cap.as_ref()).map(|cap| cap.effective.as_slice());
    if effective.unwrap_or_default().contains(&(CapabilitiesType::CapSysAdmin as i32)) {
        let width = MARK_END.saturating_sub(line.len() - start + 1 + MARK.len());
        let _ = write!(line, " {:width$}{}", "", paint.apply(Color::Magenta, MARK));
    }
}

/// RFC 3339 in UTC, always with nine fractional digits. `None` when out of range.
fn utc(seconds: i64, nanos: i32) -> Option<String> {
    let time = Timestamp::new(seconds, nanos).ok()?;
    Some(time.strftime("%Y-%m-%dT%H:%M:%S.%9fZ").to_string())
}
