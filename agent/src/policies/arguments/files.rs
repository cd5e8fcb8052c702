//! Paths, with what is known of the file.

use tetragon_api::tetragon::kprobe_argument::Arg;
use tetragon_api::tetragon::{KprobeFile, KprobeLinuxBinprm, KprobePath};
use tetragon_bpf::plan::captured_flags;

use super::Value;
use crate::process::text::{to_text, until_nul};

/// An open file.
pub(super) fn file(value: &Value<'_>) -> Arg {
    let File { path, flags, permission } = File::of(value);
    Arg::FileArg(KprobeFile { mount: String::new(), path, flags, permission })
}

/// A path.
pub(super) fn path(value: &Value<'_>) -> Arg {
    let File { path, flags, permission } = File::of(value);
    Arg::PathArg(KprobePath { mount: String::new(), path, flags, permission })
}

/// A program about to be executed.
pub(super) fn program(value: &Value<'_>) -> Arg {
    let File { path, flags, permission } = File::of(value);
    Arg::LinuxBinprmArg(KprobeLinuxBinprm { path, flags, permission })
}

struct File {
    path: String,
    flags: String,
    permission: String,
}

impl File {
    fn of(value: &Value<'_>) -> Self {
        let mode = value.captured.mode;
        let incomplete = value.has(captured_flags::INCOMPLETE);
        let mut path = to_text(until_nul(value.bytes));
        // Of a file that is known, such as a pipe, an empty path says that it has none.
        if path.is_empty() && !incomplete && mode == 0 {
            path.push('/');
        }
        if value.has(captured_flags::UNLINKED) {
            path.push_str(" (deleted)");
        }
        let flags = if incomplete { "unresolvedPathComponents" } else { "" };
        Self { path, flags: flags.to_owned(), permission: permission(mode) }
    }
}

/// As `ls -l` shows it; of an unknown type without that.
fn permission(mode: u32) -> String {
    let mut text = String::with_capacity(10);
    match mode & libc::S_IFMT {
        libc::S_IFREG => text.push('-'),
        libc::S_IFDIR => text.push('d'),
        libc::S_IFLNK => text.push('l'),
        libc::S_IFCHR => text.push('c'),
        libc::S_IFBLK => text.push('b'),
        libc::S_IFIFO => text.push('p'),
        libc::S_IFSOCK => text.push('s'),
        _ => {}
    }
    for (shift, special, letter) in
        [(6, libc::S_ISUID, 's'), (3, libc::S_ISGID, 's'), (0, libc::S_ISVTX, 't')]
    {
        let bits = mode >> shift;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (bits & 1 != 0, mode & special != 0) {
            (true, false) => 'x',
            (false, false) => '-',
            (true, true) => letter,
            (false, true) => letter.to_ascii_uppercase(),
        });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_are_those_of_ls() {
        for (mode, text) in [
            (0o100_644, "-rw-r--r--"),
            (0o040_755, "drwxr-xr-x"),
            (0o120_777, "lrwxrwxrwx"),
            (0o020_620, "crw--w----"),
            (0o060_660, "brw-rw----"),
            (0o010_600, "prw-------"),
            (0o140_711, "srwx--x--x"),
            (0o104_755, "-rwsr-xr-x"),
            (0o104_644, "-rwSr--r--"),
            (0o102_755, "-rwxr-sr-x"),
            (0o102_745, "-rwxr-Sr-x"),
            (0o041_777, "drwxrwxrwt"),
            (0o041_776, "drwxrwxrwT"),
            (0, "---------"),
            (0o600, "rw-------"),
        ] {
            assert_eq!(permission(mode), text, "{mode:o}");
        }
    }
}
