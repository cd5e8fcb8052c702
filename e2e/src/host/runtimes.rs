//! Container runtimes of this machine, for use in a virtual one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::binaries;

/// The programs, and the Debian packages that hold them.
const PROGRAMS: [(&str, &str); 2] = [("runc", "runc"), ("crun", "crun")];

/// The runtimes that this machine has and the libraries they are linked with: path in the guest, and here. A test that
/// needs one that is missing says so.
pub(super) fn files() -> Result<BTreeMap<String, PathBuf>> {
    let mut files = BTreeMap::new();
    for (program, package) in PROGRAMS {
        if let Ok(path) = binaries::system(program, package) {
            for library in libraries(&path)? {
                files.insert(library.to_string_lossy().trim_start_matches('/').to_owned(), library);
            }
            files.insert(format!("bin/{program}"), path);
        }
    }
    Ok(files)
}

/// The shared libraries of a program, and its loader; none if it is static.
fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let ldd = binaries::system("ldd", "libc-bin")?;
    let output = Command::new(ldd).arg(program).output().context("run ldd")?;
    let listing = String::from_utf8(output.stdout).context("output of ldd")?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success() || complaint.contains("not a dynamic executable"),
        "ldd {}: {complaint}",
        program.display()
    );
    ensure!(!listing.contains("not found"), "{} lacks libraries:\n{listing}", program.display());
    Ok(listed(&listing))
}

/// The absolute paths in a listing of `ldd`: behind an arrow, or in front of an address.
fn listed(listing: &str) -> Vec<PathBuf> {
    listing
        .lines()
        .filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')))
        .map(PathBuf::from)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_and_loader_are_listed_and_the_vdso_is_not() {
        let listing = "\tlinux-vdso.so.1 (0x00007f549d4f5000)\n\
             \tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f549d2e1000)\n\
             \t/lib64/ld-linux-x86-64.so.2 (0x00007f549d4f7000)\n";
        let found = [PathBuf::from("/lib/x86_64-linux-gnu/libc.so.6"), "/lib64/ld-linux-x86-64.so.2".into()];
        assert_eq!(listed(listing), found);
        assert!(listed("\tstatically linked\n").is_empty());
    }
}
