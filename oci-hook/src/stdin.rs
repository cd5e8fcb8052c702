//! The state of the container, which the runtime writes to standard input.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use oci_spec::runtime::State;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// Bytes. A state is some kilobytes of annotations.
const LARGEST: usize = 4 << 20;
const CHUNK: usize = 64 << 10;

/// Why there is no state.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StateError {
    #[error("the runtime gave no state on standard input")]
    Empty,
    #[error("the runtime's state did not arrive on standard input within {0:?}")]
    Late(Duration),
    #[error("the runtime's state on standard input is larger than {LARGEST} bytes")]
    TooLarge,
    #[error("the runtime's state on standard input is malformed: {0}")]
    Malformed(#[from] serde_json::Error),
    #[error("standard input cannot be read: {0}")]
    Unreadable(#[from] Errno),
}

/// Reads the state from `input`, whose other end need not be closed after it.
pub(crate) fn read_state(input: impl AsFd, limit: Duration) -> Result<State, StateError> {
    let deadline = Instant::now() + limit;
    let mut text = Vec::with_capacity(CHUNK);
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).map_err(|_| StateError::Late(limit))?;
        match poll(&mut [PollFd::new(&input, PollFlags::IN)], Some(&timeout)) {
            Ok(0) => return Err(StateError::Late(limit)),
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        let mut chunk = [0; CHUNK];
        let count = rustix::io::read(&input, &mut chunk)?;
        text.extend(chunk.iter().take(count));
        if count == 0 {
            return match text.trim_ascii() {
                [] => Err(StateError::Empty),
                text => Ok(serde_json::from_slice(text)?),
            };
        }
        if text.len() > LARGEST {
            return Err(StateError::TooLarge);
        }
        // A state that is complete needs no end of the stream.
        if text.trim_ascii_end().ends_with(b"}")
            && let Ok(state) = serde_json::from_slice(&text)
        {
            return Ok(state);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);
    const STATE: &str = r#"{"ociVersion":"1.0.2","id":"abc","status":"creating","pid":7,"bundle":"/b",
        "annotations":{"a":"}"},"new":{"x":[1]}}"#;

    fn read(text: &[u8]) -> Result<State, StateError> {
        let (reader, mut writer) = std::io::pipe().expect("pipe");
        let text = text.to_vec();
        std::thread::spawn(move || {
            let _ = writer.write_all(&text);
        });
        read_state(reader, LIMIT)
    }

    #[test]
    fn states_are_read_with_or_without_an_end() {
        let state = read(STATE.as_bytes()).expect("valid");
        assert_eq!((state.id().as_str(), *state.pid()), ("abc", Some(7)));

        let (reader, mut writer) = std::io::pipe().expect("pipe");
        writer.write_all(STATE.as_bytes()).expect("room in the pipe");
        assert_eq!(read_state(reader, LIMIT).expect("valid").id(), "abc");
    }

    #[test]
    fn a_state_in_pieces_is_read() {
        let (reader, mut writer) = std::io::pipe().expect("pipe");
        std::thread::spawn(move || {
            for byte in STATE.as_bytes() {
                let _ = writer.write_all(&[*byte]);
            }
        });
        assert_eq!(read_state(reader, LIMIT).expect("valid").id(), "abc");
    }

    #[test]
    fn what_is_no_state_is_told_apart() {
        assert!(matches!(read(b" \n"), Err(StateError::Empty)));
        assert!(matches!(read(b"{\"id\":"), Err(StateError::Malformed(_))));
        assert!(matches!(read(b"\xff\xfe"), Err(StateError::Malformed(_))));
        assert!(matches!(read(&[b'['; 1 << 20]), Err(StateError::Malformed(_))));
        assert!(matches!(read(&vec![b' '; LARGEST + 1]), Err(StateError::TooLarge)));
        let (reader, _open) = std::io::pipe().expect("pipe");
        assert!(matches!(read_state(reader, Duration::from_millis(10)), Err(StateError::Late(_))));
    }
}
