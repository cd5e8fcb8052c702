//! Writing to the terminal: standard output carries results, standard error everything else.

use std::error::Error;
use std::io::{self, Write};

/// Prints results and flushes them.
pub(crate) fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Prints a message for people. Where nobody can read it there is nobody to tell.
pub(crate) fn to_stderr(message: &str) {
    let _ = writeln!(io::stderr(), "{message}");
}

/// Whether an error is, at its root, that the reader of our output has gone.
pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause: &(dyn Error + 'static)| {
        cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    })
}
