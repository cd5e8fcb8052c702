//! Packages of other Debian suites, fetched and unpacked without touching this machine's own package set.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use rustix::fs::{FlockOperation, flock};

use super::binaries;

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Set to look for newer packages than the cached ones.
const REFRESH: &str = "TETRAGON_E2E_REFRESH";

/// The newest cached package of this slot, or else a fetched one.
pub(super) fn package(slot: &str, pattern: &str, suites: &[&str]) -> Result<PathBuf> {
    let slot = binaries::cache().join(slot);
    fs::create_dir_all(&slot).with_context(|| format!("make {}", slot.display()))?;
    // Two runs must not fetch into one place at a time.
    let lock = File::create(slot.join("lock"))?;
    flock(&lock, FlockOperation::LockExclusive)?;
    match cached(&slot)? {
        Some(package) if std::env::var_os(REFRESH).is_none() => Ok(package),
        _ => fetch(pattern, suites, &slot),
    }
}

fn cached(slot: &Path) -> Result<Option<PathBuf>> {
    let mut newest = None;
    for entry in fs::read_dir(slot)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().contains('_') {
            let changed = entry.metadata()?.created().or_else(|_| entry.metadata()?.modified())?;
            newest = newest.max(Some((changed, entry.path())));
        }
    }
    Ok(newest.map(|(_, path)| path))
}

/// Fetches the newest package that matches `pattern` from the first of `suites` that has one, and unpacks it.
///
/// Returns the directory with its files, `<cache>/<package>_<version>`.
pub fn fetch(pattern: &str, suites: &[&str], cache: &Path) -> Result<PathBuf> {
    let mut refused = Vec::new();
    for suite in suites {
        match fetch_from(pattern, suite, cache) {
            Ok(directory) => return Ok(directory),
            Err(error) => refused.push(format!("{suite}: {error:#}")),
        }
    }
    bail!("no Debian suite gave a package {pattern} ({})", refused.join("; "))
}

fn fetch_from(pattern: &str, suite: &str, cache: &Path) -> Result<PathBuf> {
    let apt = Apt::new(suite, cache)?;
    let name = newest(&apt.names()?, pattern).context("no package matches")?;
    eprintln!("fetching {name} from {suite}");
    let downloads = tempfile::tempdir_in(cache).context("make a download directory")?;
    run(apt.command("apt-get").args(["download", &name]).current_dir(downloads.path()))?;
    let archive = fs::read_dir(downloads.path())?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .context("apt-get downloaded nothing")?;
    let unpacked = downloads.path().join("unpacked");
    run(Command::new("dpkg").arg("-x").arg(&archive).arg(&unpacked))?;
    let version = run(Command::new("dpkg-deb").arg("-f").arg(&archive).arg("Version"))?;
    // A colon (epoch) would need quoting in too many places.
    let directory = cache.join(format!("{name}_{}", version.trim().replace(':', "%3a")));
    if !directory.exists() {
        fs::rename(&unpacked, &directory).context("move the unpacked package into the cache")?;
    }
    Ok(directory)
}

/// `apt` with one suite as its only source and its own state.
struct Apt {
    options: Vec<String>,
}

impl Apt {
    fn new(suite: &str, cache: &Path) -> Result<Self> {
        let state = cache.join("apt").join(suite);
        for directory in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(state.join(directory)).context("make apt's directories")?;
        }
        let signed_by = if Path::new(KEYRING).exists() {
            format!("[arch=amd64 signed-by={KEYRING}] ")
        } else {
            "[arch=amd64] ".to_owned()
        };
        let mirror = mirror(suite.ends_with("-security"))?;
        fs::write(state.join("sources.list"), format!("deb {signed_by}{mirror} {suite} main\n"))?;
        let state = state.canonicalize()?;
        let at = |option: &str, path: &str| format!("{option}={}", state.join(path).display());
        let apt = Self {
            options: vec![
                at("Dir::Etc::sourcelist", "sources.list"),
                "Dir::Etc::sourceparts=-".into(),
                at("Dir::State::lists", "lists"),
                at("Dir::Cache", "cache"),
                "Dir::State::status=/dev/null".into(),
                "APT::Sandbox::User=root".into(),
                // Old suites are frozen: their signatures hold, their expiry dates have passed.
                "Acquire::Check-Valid-Until=false".into(),
                "Acquire::Languages=none".into(),
                "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".into(),
                "Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled=false".into(),
                "Acquire::Retries=3".into(),
            ],
        };
        run(apt.command("apt-get").args(["-q", "--error-on=any", "update"]))?;
        Ok(apt)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        for option in &self.options {
            command.arg("-o").arg(option);
        }
        command
    }

    fn names(&self) -> Result<Vec<String>> {
        Ok(run(self.command("apt-cache").arg("pkgnames"))?.lines().map(str::to_owned).collect())
    }
}

/// The mirror this machine's own apt uses.
fn mirror(security: bool) -> Result<String> {
    let label = if security { "Debian-Security" } else { "Debian" };
    let targets = run(Command::new("apt-get").args(["indextargets", "--format", "$(LABEL)|$(SITE)"]))?;
    let site = targets.lines().filter_map(|line| line.split_once('|')).find(|(found, _)| *found == label);
    match site {
        Some((_, site)) => Ok(site.to_owned()),
        None => bail!(
            "apt on this machine knows no mirror labelled {label}; run `apt-get update` on a Debian machine"
        ),
    }
}

fn run(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    binaries::system(&program, if program.starts_with("apt") { "apt" } else { "dpkg" })?;
    let output = command.output().with_context(|| format!("run {program}"))?;
    if !output.status.success() {
        bail!("{program} failed ({}): {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    String::from_utf8(output.stdout).with_context(|| format!("output of {program}"))
}

/// The name that matches `pattern` (one `*`) with the highest numbers in it.
fn newest(names: &[String], pattern: &str) -> Option<String> {
    let (head, end) = pattern.split_once('*').unwrap_or((pattern, ""));
    let fits = |name: &str| {
        if !pattern.contains('*') {
            return name == pattern;
        }
        name.strip_prefix(head).and_then(|rest| rest.strip_suffix(end)).is_some_and(|middle| {
            // Not the `-unsigned`, `-dbg` and flavoured variants.
            !middle.is_empty()
                && middle.bytes().all(|byte| byte.is_ascii_digit() || b".+~deb".contains(&byte))
        })
    };
    names.iter().filter(|name| fits(name)).max_by_key(|name| numbers(name)).cloned()
}

fn numbers(name: &str) -> Vec<u64> {
    name.split(|character: char| !character.is_ascii_digit())
        .filter_map(|digits| digits.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn the_newest_matching_package_wins() {
        let known = names(&[
            "linux-image-6.12.9+deb12-cloud-amd64",
            "linux-image-6.12.117+deb12-cloud-amd64",
            "linux-image-6.12-cloud-amd64",
            "linux-image-6.12.200+deb12-cloud-amd64-unsigned",
            "linux-image-6.12.200+deb12-rt-amd64",
        ]);
        let found = newest(&known, "linux-image-6.12.*-cloud-amd64");
        assert_eq!(found.as_deref(), Some("linux-image-6.12.117+deb12-cloud-amd64"));
    }

    #[test]
    fn a_pattern_without_star_is_a_name() {
        assert_eq!(newest(&names(&["busybox-static", "busybox"]), "busybox").as_deref(), Some("busybox"));
    }

    #[test]
    fn nothing_is_chosen_when_nothing_matches() {
        assert_eq!(
            newest(&names(&["linux-image-6.1.0-50-cloud-amd64"]), "linux-image-7.2.*-cloud-amd64"),
            None
        );
    }
}
