//! Events from standard input, one JSON object per line.

use std::io::{self, BufRead, BufReader, Read as _, Write};

use anyhow::{Context as _, Result};
use rustix::fs::{FileType, fstat};
use tetragon_api::json;
use tetragon_api::tetragon::GetEventsResponse;

use super::writer::EventWriter;
use crate::cli::Global;
use crate::output;

/// The longest line that is taken for an event, in bytes. Arguments of one process can be 6 MiB before they are escaped.
const LONGEST_LINE: u64 = 64 << 20;

/// Whether standard input is something that holds events: a pipe or a file, not a terminal or `/dev/null`.
pub(super) fn has_events() -> bool {
    let kind = fstat(io::stdin()).map(|stat| FileType::from_raw_mode(stat.st_mode));
    matches!(kind, Ok(FileType::Fifo | FileType::RegularFile))
}

/// Prints what `select` lets through, in the shape it gives it. Lines that are no events are skipped and counted.
///
/// # Errors
/// When the input cannot be read or the output not be written.
pub(super) fn run(
    global: &Global,
    mut select: impl FnMut(GetEventsResponse) -> Option<GetEventsResponse>,
    mut writer: EventWriter<impl Write>,
) -> Result<()> {
    let mut input = BufReader::with_capacity(256 << 10, io::stdin().lock());
    let mut line = Vec::new();
    let (mut number, mut skipped) = (0_u64, 0_u64);
    loop {
        if input.buffer().is_empty() {
            // The next read may wait; what is done so far must not.
            writer.flush()?;
        }
        if !read_line(&mut input, &mut line).context("standard input")? {
            break;
        }
        number += 1;
        match parse(&line) {
            Ok(None) => {}
            Ok(Some(event)) => {
                if let Some(event) = select(event) {
                    writer.write(&event)?;
                }
            }
            Err(error) => {
                skipped += 1;
                global.debug(|| format!("line {number}: {error}"));
            }
        }
    }
    writer.flush()?;
    if skipped > 0 {
        output::to_stderr(&format!(
            "getevents: {skipped} lines were no events and were skipped (--debug shows why)"
        ));
    }
    Ok(())
}

/// Reads one line without its end; of a line that is too long only the beginning. False at the end of the input.
fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    if input.by_ref().take(LONGEST_LINE + 1).read_until(b'\n', line)? == 0 {
        return Ok(false);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
    } else if line.len() as u64 > LONGEST_LINE {
        input.skip_until(b'\n')?;
    }
    Ok(true)
}

/// The event of a line; `None` for an empty one.
fn parse(line: &[u8]) -> Result<Option<GetEventsResponse>> {
    if line.len() as u64 > LONGEST_LINE {
        anyhow::bail!("longer than {LONGEST_LINE} bytes");
    }
    let text = std::str::from_utf8(line)?;
    if text.trim().is_empty() {
        return Ok(None);
    }
    Ok(Some(json::from_str_lenient(text)?))
}
