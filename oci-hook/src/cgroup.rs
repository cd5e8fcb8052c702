//! Where a container's cgroup is.

use std::fs;
use std::path::Path;

use tetragon_api::cgroups_path;

/// The controllers whose version 1 hierarchy tells where a container is, best first.
const CONTROLLERS: [&str; 2] = ["memory", "pids"];

/// The cgroup's path below the root of its hierarchy: what the specification says, if it says it plainly, else
/// where the container's first process is. The second value is what was odd about the specification.
pub(crate) fn path(specified: Option<&str>, pid: u32, proc: &Path) -> (Option<String>, Option<String>) {
    let (directory, doubt) = match specified.map(cgroups_path::directory) {
        None => (None, None),
        Some(Ok(directory)) => (Some(directory), None),
        Some(Err(error)) => (None, Some(format!("config.json, linux.cgroupsPath: {error}"))),
    };
    match directory {
        Some(directory) if directory.starts_with('/') => (Some(directory), doubt),
        // A relative path means what the runtime makes of it, so the process is asked first.
        relative => (of_process(pid, proc).or(relative), doubt),
    }
}

fn of_process(pid: u32, proc: &Path) -> Option<String> {
    if pid == 0 {
        return None;
    }
    let lines = fs::read_to_string(proc.join(pid.to_string()).join("cgroup")).ok()?;
    in_lines(&lines).map(str::to_owned)
}

/// The path in `/proc/<pid>/cgroup`: of the unified hierarchy, else of a controller's.
fn in_lines(text: &str) -> Option<&str> {
    let fields = || {
        text.lines().filter_map(|line| {
            let (_, rest) = line.split_once(':')?;
            let (controllers, path) = rest.split_once(':')?;
            // The root is nobody's, and what lies outside of our own cgroup namespace cannot be named.
            let usable = path.starts_with('/') && path != "/" && !path.starts_with("/..");
            usable.then_some((controllers, path))
        })
    };
    let unified = fields().find(|(controllers, _)| controllers.is_empty());
    let of = |wanted: &str| fields().find(|(controllers, _)| controllers.split(',').any(|it| it == wanted));
    unified.or_else(|| CONTROLLERS.into_iter().find_map(of)).map(|(_, path)| path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str =
        "12:pids:/p\n4:cpu,cpuacct:/c\n3:memory:/kubepods/m\n1:name=systemd:/s\n0::/unified/u\n";

    #[test]
    fn the_unified_hierarchy_comes_first() {
        assert_eq!(in_lines(HYBRID), Some("/unified/u"));
        assert_eq!(in_lines("0::/a:b:c\n"), Some("/a:b:c"));
    }

    #[test]
    fn without_it_a_controller_tells() {
        assert_eq!(in_lines(&HYBRID.replace("/unified/u", "/")), Some("/kubepods/m"));
        assert_eq!(in_lines("5:cpuset,pids:/p\n4:cpu:/c\n"), Some("/p"));
        for nothing in ["", "0::/\n", "0::/../../x\n", "no lines", "4:cpu:/c\n"] {
            assert_eq!(in_lines(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn what_is_specified_plainly_is_taken() {
        let none = Path::new("/nonexistent");
        let plain = |text| path(Some(text), 1, none).0.expect("a path");
        assert_eq!(plain("/kubepods/pod1/c"), "/kubepods/pod1/c");
        assert_eq!(plain("kubepods-podx.slice:crio:c"), "/kubepods.slice/kubepods-podx.slice/crio-c.scope");
        assert_eq!(path(None, 0, none), (None, None));
        assert!(path(Some("odd"), 0, none).1.is_some());
    }

    #[test]
    fn else_the_process_tells() {
        let proc = tempfile::tempdir().expect("folder");
        fs::create_dir(proc.path().join("7")).expect("folder");
        fs::write(proc.path().join("7/cgroup"), "0::/where/it/is\n").expect("file");
        for specified in [None, Some("odd"), Some("relative/path"), Some("a--b.slice:x:y")] {
            assert_eq!(path(specified, 7, proc.path()).0.as_deref(), Some("/where/it/is"), "{specified:?}");
        }
        // Better than nothing.
        assert_eq!(path(Some("relative/path"), 8, proc.path()).0.as_deref(), Some("relative/path"));
    }
}
