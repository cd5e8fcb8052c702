//! Events onto standard output, in the form that was asked for.

use std::io::{self, BufWriter, Write};

use tetragon_api::json;
use tetragon_api::tetragon::GetEventsResponse;
use tetragon_api::tetragon::get_events_response::Event;

use crate::compact::{self, Args, Style};

/// How events are written.
#[derive(Debug)]
pub(super) enum Form {
    /// One JSON object per line.
    Json,
    /// One line for people.
    Compact(Style),
    /// The bytes that were written to one file, and nothing else.
    Terminal {
        /// The file's path, compared exactly.
        path: String,
    },
}

/// Writes events; lines are buffered until [`EventWriter::flush`].
pub(super) struct EventWriter<W: Write> {
    form: Form,
    out: BufWriter<W>,
}

impl<W: Write> EventWriter<W> {
    pub(super) fn new(form: Form, out: W) -> Self {
        Self { form, out: BufWriter::with_capacity(64 << 10, out) }
    }

    pub(super) fn write(&mut self, event: &GetEventsResponse) -> io::Result<()> {
        match &self.form {
            Form::Json => self.out.write_all((json::event_to_string(event) + "\n").as_bytes()),
            Form::Compact(style) => self.out.write_all((compact::render(event, *style) + "\n").as_bytes()),
            Form::Terminal { path } => self.out.write_all(written_to(path, event).unwrap_or_default()),
        }
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// The second argument of a function hook whose first is the file of that path.
fn written_to<'a>(path: &str, event: &'a GetEventsResponse) -> Option<&'a [u8]> {
    let Some(Event::ProcessKprobe(kprobe)) = &event.event else { return None };
    let args = Args(&kprobe.args);
    args.path(0).filter(|file| *file == path).and_then(|_| args.bytes(1))
}

#[cfg(test)]
mod tests {
    use tetragon_api::tetragon::kprobe_argument::Arg;
    use tetragon_api::tetragon::{KprobeArgument, KprobeFile, ProcessExec, ProcessKprobe};

    use super::*;

    fn written(form: Form, events: &[GetEventsResponse]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut writer = EventWriter::new(form, &mut out);
        for event in events {
            writer.write(event).expect("written");
        }
        writer.flush().expect("flushed");
        drop(writer);
        out
    }

    fn exec() -> GetEventsResponse {
        let event = Event::ProcessExec(ProcessExec::default());
        GetEventsResponse { event: Some(event), node_name: "n".to_owned(), ..Default::default() }
    }

    fn terminal_write(path: &str, bytes: &'static [u8]) -> GetEventsResponse {
        let arg = |arg| KprobeArgument { arg: Some(arg), ..Default::default() };
        let file = KprobeFile { path: path.to_owned(), ..Default::default() };
        let kprobe = ProcessKprobe {
            args: vec![arg(Arg::FileArg(file)), arg(Arg::BytesArg(bytes.into()))],
            ..Default::default()
        };
        GetEventsResponse { event: Some(Event::ProcessKprobe(kprobe)), ..Default::default() }
    }

    #[test]
    fn json_is_one_object_per_line() {
        let out = written(Form::Json, &[exec(), exec()]);
        assert_eq!(String::from_utf8_lossy(&out), "{\"process_exec\":{},\"node_name\":\"n\"}\n".repeat(2));
    }

    #[test]
    fn a_terminal_is_replayed_byte_for_byte() {
        let events = [
            exec(),
            terminal_write("/dev/pts/1", b"\x1b[31mred\xff"),
            terminal_write("/dev/pts/10", b"other"),
            terminal_write("/dev/pts/1", b"\n"),
        ];
        let out = written(Form::Terminal { path: "/dev/pts/1".to_owned() }, &events);
        assert_eq!(out, b"\x1b[31mred\xff\n");
    }
}
