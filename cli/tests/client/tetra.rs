//! Running the binary.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// What a run left behind.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// `tetra` with these arguments, nothing on its standard input.
pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tetra"));
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs it to its end.
pub(crate) fn run(args: &[&str]) -> Outcome {
    finish(command(args).spawn().expect("starts"))
}

/// Waits for the end, with what is left of its output.
pub(crate) fn finish(mut child: Child) -> Outcome {
    let stdout = drain(child.stdout.take());
    let stderr = drain(child.stderr.take());
    let deadline = Instant::now() + Duration::from_secs(30);
    while child.try_wait().expect("waits").is_none() {
        if Instant::now() > deadline {
            child.kill().expect("killed");
            panic!("still running after 30 s");
        }
        thread::sleep(Duration::from_millis(10));
    }
    let [stdout, stderr] = [stdout, stderr].map(|reader| reader.join().expect("read"));
    Outcome { code: child.wait().expect("waits").code(), stdout, stderr }
}

/// Reads a pipe to its end, so that the writer never waits for room in it.
fn drain(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut text = String::new();
        if let Some(mut pipe) = pipe {
            pipe.read_to_string(&mut text).expect("UTF-8");
        }
        text
    })
}
