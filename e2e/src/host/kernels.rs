//! The kernels under test, from Debian's packages.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::debian::package;

const LIST: &str = include_str!("../../kernels.txt");

/// The labels of `kernels.txt`, oldest kernel first.
pub fn labels() -> impl Iterator<Item = &'static str> {
    entries().filter_map(|mut fields| fields.next())
}

fn entries() -> impl Iterator<Item = std::str::SplitWhitespace<'static>> {
    LIST.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()).map(str::split_whitespace)
}

/// The bootable image of the kernel with this label; fetched once, then taken from the cache.
pub fn image(label: &str) -> Result<PathBuf> {
    let Some(mut entry) = entries().find(|entry| entry.clone().next() == Some(label)) else {
        bail!("there is no kernel {label}; known are {}", labels().collect::<Vec<_>>().join(", "));
    };
    let pattern = entry.nth(1).context("kernels.txt names no package")?;
    let suites: Vec<&str> = entry.collect();
    let root = package(&format!("kernels/{label}"), pattern, &suites)
        .with_context(|| format!("fetch kernel {label} (needs a network once)"))?;
    find_image(&root)?
        .with_context(|| format!("{} holds no kernel; delete it to fetch it again", root.display()))
}

/// In `/boot`, or since 7.x beside the modules.
fn find_image(root: &Path) -> Result<Option<PathBuf>> {
    let mut directories = vec![root.join("boot")];
    if let Ok(releases) = fs::read_dir(root.join("usr/lib/modules")) {
        directories.extend(releases.filter_map(|release| Some(release.ok()?.path())));
    }
    for directory in directories.iter().filter(|directory| directory.is_dir()) {
        for file in fs::read_dir(directory).with_context(|| format!("list {}", directory.display()))? {
            let file = file?;
            if file.file_name().to_string_lossy().starts_with("vmlinuz") {
                return Ok(Some(file.path()));
            }
        }
    }
    Ok(None)
}

/// A static shell with the usual tools.
pub fn busybox() -> Result<PathBuf> {
    let root = package("busybox", "busybox-static", &["bookworm", "trixie"]).context("fetch busybox")?;
    ["bin/busybox", "usr/bin/busybox"]
        .iter()
        .map(|path| root.join(path))
        .find(|path| path.is_file())
        .context("the package busybox-static holds no busybox")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_vm_place_has_a_kernel() {
        for place in crate::place::EVERYWHERE_AND_PREEMPTIBLE {
            if let crate::Place::Vm { kernel, .. } = place {
                assert!(labels().any(|label| label == *kernel), "{kernel} is not in kernels.txt");
            }
        }
    }

    #[test]
    fn an_unknown_kernel_is_refused_with_the_known_ones() {
        assert!(image("2.4").unwrap_err().to_string().contains("6.12"));
    }
}
