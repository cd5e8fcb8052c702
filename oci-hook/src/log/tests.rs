//! Lines, and files put aside.

use super::*;

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .expect("folder")
        .map(|entry| entry.expect("entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn lines_are_json_with_the_attributes_of_the_call() {
    let dir = tempfile::tempdir().expect("folder");
    let path = dir.path().join("hook.log");
    let quiet = Log::new(path.clone(), Level::Warn, "createRuntime");
    quiet.info("unseen", &[]);
    let log = Log::new(path.clone(), Level::Info, "createRuntime");
    log.info("told\nthe agent", &[("req-podName", "web".into())]);
    log.warn("next", &[]);
    let text = fs::read_to_string(&path).expect("file");
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0]["msg"], "told\nthe agent");
    assert_eq!(lines[0]["level"], "INFO");
    assert_eq!(lines[0]["hook"], "createRuntime");
    assert_eq!(lines[0]["req-podName"], "web");
    assert!(lines[0]["time"].as_str().expect("text").parse::<Timestamp>().is_ok());
}

#[test]
fn a_log_without_a_place_says_so() {
    let log = Log::new("/nonexistent/hook.log".into(), Level::Info, "x");
    assert_eq!(log.whereabouts(), "/nonexistent/hook.log");
    log.info("lost", &[]);
    assert!(log.whereabouts().contains("cannot be written"), "{}", log.whereabouts());
}

#[test]
fn a_full_file_is_put_aside_and_three_are_kept() {
    let dir = tempfile::tempdir().expect("folder");
    let path = dir.path().join("hook.log");
    fs::write(dir.path().join("hook-other.log"), "not ours").expect("file");
    for number in 0..8 {
        append(&path, format!("{number}\n").as_bytes(), 2).expect("written");
        std::thread::sleep(Duration::from_millis(2));
    }
    let names = names(dir.path());
    assert_eq!(names.len(), 2 + BACKUPS, "{names:?}");
    assert_eq!(fs::read_to_string(&path).expect("file"), "7\n");
    let newest = names.iter().filter(|name| name.contains('T')).max().expect("a backup");
    assert_eq!(fs::read_to_string(dir.path().join(newest)).expect("file"), "6\n");
}

#[test]
fn old_files_go() {
    let dir = tempfile::tempdir().expect("folder");
    let path = dir.path().join("hook.log");
    let old = dir.path().join("hook-2020-01-01T00-00-00.000.log");
    let file = File::create(&old).expect("file");
    file.set_modified(SystemTime::now() - OLDEST - Duration::from_secs(1)).expect("time");
    append(&path, b"a\n", 2).expect("written");
    append(&path, b"b\n", 2).expect("written");
    assert!(!old.exists());
    assert_eq!(names(dir.path()).len(), 2);
}

#[test]
fn hooks_at_the_same_time_lose_nothing() {
    const HOOKS: usize = 8;
    const LINES: usize = 50;
    let dir = tempfile::tempdir().expect("folder");
    let path = dir.path().join("hook.log");
    std::thread::scope(|scope| {
        for hook in 0..HOOKS {
            let path = &path;
            scope.spawn(move || {
                for line in 0..LINES {
                    append(path, format!("{hook}-{line}\n").as_bytes(), u64::MAX).expect("written");
                }
            });
        }
    });
    let text = fs::read_to_string(&path).expect("file");
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines.dedup();
    assert_eq!(lines.len(), HOOKS * LINES);
}
