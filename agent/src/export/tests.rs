use super::*;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::process::Command;
use std::thread::sleep;

fn settings(path: &Path) -> ExportSettings {
    ExportSettings {
        target: ExportTarget::File(path.to_owned()),
        max_bytes: 1 << 20,
        max_backups: 5,
        compress: false,
        rotation_interval: Duration::ZERO,
        mode: 0o600,
    }
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn lines_are_appended_in_a_new_private_directory() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a/b/t.log");
    for round in 1..=2 {
        let mut export = ExportFile::open(settings(&path)).unwrap();
        export.write_line(b"one\n");
        export.write_line(b"two\n");
        export.flush();
        assert_eq!(fs::read(&path).unwrap(), b"one\ntwo\n".repeat(round));
        let counters = export.counters().snapshot();
        assert_eq!((counters.lines, counters.bytes, counters.failed_lines), (2, 8, 0));
        export.close();
    }
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(dir.path().join("a")).unwrap().mode() & 0o777, 0o755);
}

#[test]
fn the_mode_of_a_new_file_is_exact_and_that_of_an_old_one_stays() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.log");
    let wanted = ExportSettings { mode: 0o664, ..settings(&path) };
    let mut export = ExportFile::open(wanted.clone()).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o664);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    export.write_line(b"x\n");
    export.rotate().unwrap();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o640);
    drop(export);
    drop(ExportFile::open(wanted).unwrap());
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o640);
}

#[test]
fn a_full_file_is_rotated_before_the_line_that_would_exceed_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.log");
    let mut export =
        ExportFile::open(ExportSettings { max_bytes: 10, max_backups: 2, ..settings(&path) }).unwrap();
    for _ in 0..9 {
        export.write_line(b"1234\n");
    }
    export.flush();
    export.finish_housekeeping();
    let counters = export.counters().snapshot();
    assert_eq!((counters.lines, counters.rotations, counters.failed_lines), (9, 4, 0));
    assert_eq!(fs::read(&path).unwrap(), b"1234\n");
    // A round of tidying may have begun before the last rotation, but none after it was left out.
    let backups: Vec<_> = names(dir.path()).into_iter().filter(|name| name != "t.log").collect();
    assert_eq!(backups.len(), 2, "{backups:?}");
    for backup in backups {
        assert_eq!(fs::read(dir.path().join(backup)).unwrap(), b"1234\n1234\n");
    }
}

#[test]
fn a_line_longer_than_a_file_may_be_is_counted_and_the_next_one_passes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.log");
    let mut export = ExportFile::open(ExportSettings { max_bytes: 10, ..settings(&path) }).unwrap();
    export.write_line(b"12345678901\n");
    export.write_line(b"1\n");
    export.flush();
    let counters = export.counters().snapshot();
    assert_eq!((counters.lines, counters.failed_lines), (1, 1));
    assert_eq!(fs::read(&path).unwrap(), b"1\n");
}

#[test]
fn rotated_files_are_compressed_with_their_mode_and_old_ones_removed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.log");
    fs::write(dir.path().join("t-2020-01-01T00-00-00.000.log"), "old\n").unwrap();
    fs::write(dir.path().join("t-2020-01-01T00-00-00.000.log.gz.tmp"), "cut short").unwrap();
    let wanted = ExportSettings { compress: true, max_backups: 1, mode: 0o640, ..settings(&path) };
    let mut export = ExportFile::open(wanted).unwrap();
    export.write_line(b"content\n");
    export.rotate().unwrap();
    export.finish_housekeeping();
    let names = names(dir.path());
    assert_eq!(names.len(), 2, "{names:?}");
    let backup = dir.path().join(&names[0]);
    assert!(names[0].ends_with(".log.gz"), "{names:?}");
    assert_eq!(fs::metadata(&backup).unwrap().mode() & 0o777, 0o640);
    let mut text = String::new();
    flate2::read::GzDecoder::new(File::open(backup).unwrap()).read_to_string(&mut text).unwrap();
    assert_eq!(text, "content\n");
}

#[test]
fn time_rotates_a_file_unless_it_is_empty() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.log");
    let wanted = ExportSettings { rotation_interval: Duration::from_millis(20), ..settings(&path) };
    let mut export = ExportFile::open(wanted).unwrap();
    sleep(Duration::from_millis(30));
    export.tick();
    assert_eq!(export.counters().snapshot().rotations, 0);
    export.write_line(b"x\n");
    sleep(Duration::from_millis(30));
    export.tick();
    assert_eq!(export.counters().snapshot().rotations, 1);
    assert_eq!(fs::read(&path).unwrap(), b"");
}

#[test]
fn a_file_moved_away_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.log");
    let mut export = ExportFile::open(settings(&path)).unwrap();
    export.write_line(b"one\n");
    export.flush();
    fs::rename(&path, dir.path().join("elsewhere")).unwrap();
    sleep(Duration::from_millis(1100));
    export.tick();
    export.write_line(b"two\n");
    export.flush();
    assert_eq!(fs::read(&path).unwrap(), b"two\n");
    assert_eq!(export.counters().snapshot().failed_lines, 0);
}

#[test]
fn a_rotation_that_fails_keeps_the_file_in_use() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.log");
    let mut export = ExportFile::open(ExportSettings { max_bytes: 4, ..settings(&path) }).unwrap();
    export.write_line(b"123\n");
    export.flush();
    // The name leads to our file, but no new one can be made in its place.
    let other = dir.path().join("other");
    fs::rename(&path, &other).unwrap();
    fs::create_dir(&path).unwrap();
    export.write_line(b"456\n");
    export.flush();
    let counters = export.counters().snapshot();
    assert_eq!((counters.lines, counters.rotations, counters.rotation_errors), (2, 0, 1));
    assert_eq!(fs::read(&other).unwrap(), b"123\n456\n");
}

#[test]
fn a_line_torn_by_a_crash_does_not_spoil_the_next_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.log");
    fs::write(&path, "whole\nto").unwrap();
    let mut export = ExportFile::open(settings(&path)).unwrap();
    export.write_line(b"next\n");
    export.flush();
    assert_eq!(fs::read(&path).unwrap(), b"whole\nto\nnext\n");
}

#[test]
fn what_cannot_be_opened_is_an_error_with_its_path() {
    let dir = tempfile::tempdir().unwrap();
    let error = ExportFile::open(settings(dir.path())).unwrap_err();
    assert!(matches!(error, ExportError::IsDirectory(_)));
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let error = ExportFile::open(settings(&file.join("t.log"))).unwrap_err();
    assert!(matches!(error, ExportError::Directory { .. }), "{error}");
    let dangling = dir.path().join("link");
    symlink(dir.path().join("gone/file"), &dangling).unwrap();
    let error = ExportFile::open(settings(&dangling)).unwrap_err();
    assert!(error.to_string().contains(&dangling.display().to_string()), "{error}");
}

#[test]
fn a_full_device_is_counted_and_what_fits_is_kept_for_later() {
    let mut export = ExportFile::open(settings(Path::new("/dev/full"))).unwrap();
    let line = vec![b'x'; 100_000].into_iter().chain([b'\n']).collect::<Vec<_>>();
    for _ in 0..20 {
        export.write_line(&line);
    }
    let counters = export.counters();
    let before = counters.snapshot();
    assert!(before.degraded && before.lines == 0 && before.write_errors >= 1);
    assert_eq!(before.failed_lines, 10);
    sleep(Duration::from_millis(150));
    export.tick();
    assert!(counters.snapshot().write_errors > before.write_errors);
    drop(export);
    assert_eq!(counters.snapshot().failed_lines, 20);
    assert!(matches!(
        ExportFile::open(settings(Path::new("/dev/full"))).unwrap().rotate(),
        Err(ExportError::NoFile)
    ));
}

#[test]
fn a_pipe_that_nobody_reads_blocks_nothing_and_continues_in_mid_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
    let error = ExportFile::open(settings(&path)).unwrap_err();
    assert!(matches!(error, ExportError::Open { .. }), "a pipe without reader: {error}");
    let nonblocking = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap();
    let mut reader = File::options().read(true).write(true).custom_flags(nonblocking).open(&path).unwrap();
    let mut export = ExportFile::open(settings(&path)).unwrap();
    let line = vec![b'x'; 99_999].into_iter().chain([b'\n']).collect::<Vec<_>>();
    let start = std::time::Instant::now();
    for _ in 0..3 {
        export.write_line(&line);
    }
    export.flush();
    assert!(start.elapsed() < Duration::from_secs(5));
    assert!(export.counters().snapshot().degraded);

    let mut read = Vec::new();
    let mut chunk = vec![0; 65_536];
    while read.len() < 300_000 {
        if let Ok(count) = reader.read(&mut chunk) {
            read.extend_from_slice(&chunk[..count]);
        }
        assert!(start.elapsed() < Duration::from_secs(60));
        sleep(Duration::from_millis(20));
        export.tick();
    }
    assert_eq!(read, line.repeat(3));
    assert_eq!(export.counters().snapshot().lines, 3);
    assert!(!export.counters().snapshot().degraded);
}

/// The body of the next test, in a process of its own: the limit of file sizes stands for a full disk, and makes
/// the kernel write a part of a line.
#[test]
fn full_disk_child() {
    let Some(dir) = std::env::var_os("EXPORT_FULL_DISK_DIR") else { return };
    let path = PathBuf::from(dir).join("t.log");
    let mut export = ExportFile::open(settings(&path)).unwrap();
    let line = b"0123456789abcdefghijklmnopqrstu\n";
    let limit = |bytes| {
        let now = rustix::process::getrlimit(rustix::process::Resource::Fsize);
        let wanted = rustix::process::Rlimit { current: bytes, ..now };
        rustix::process::setrlimit(rustix::process::Resource::Fsize, wanted).unwrap();
    };
    limit(Some(1000));
    for _ in 0..100 {
        export.write_line(line);
    }
    export.flush();
    let counters = export.counters();
    assert_eq!(fs::metadata(&path).unwrap().len(), 1000);
    assert!(counters.snapshot().degraded);
    assert_eq!(counters.snapshot().lines, 31);

    limit(Some(1 << 20));
    sleep(Duration::from_millis(150));
    export.tick();
    assert_eq!(fs::read(&path).unwrap(), line.repeat(100));
    assert_eq!((counters.snapshot().lines, counters.snapshot().failed_lines), (100, 0));
    assert!(!counters.snapshot().degraded);

    limit(Some(3300));
    for _ in 0..10 {
        export.write_line(line);
    }
    drop(export);
    assert_eq!(fs::read(&path).unwrap(), line.repeat(103));
    assert_eq!((counters.snapshot().lines, counters.snapshot().failed_lines), (103, 7));
}

#[test]
fn a_full_disk_tears_no_line_and_the_export_recovers() {
    let dir = tempfile::tempdir().unwrap();
    // Without the trap, exceeding the limit ends the process.
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; exec \"$0\" --exact export::tests::full_disk_child --nocapture"])
        .arg(std::env::current_exe().unwrap())
        .env("EXPORT_FULL_DISK_DIR", dir.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("1 passed"), "{text}");
    assert_eq!(fs::metadata(dir.path().join("t.log")).unwrap().len(), 103 * 32);
}

#[test]
fn settings_follow_the_options() {
    let root = tempfile::tempdir().unwrap();
    let load = |args: &[&str]| {
        let request = crate::config::load(args.iter().map(Into::into), [], root.path()).unwrap();
        let crate::config::Request::Run(config, _) = request else { panic!("nothing to run") };
        ExportSettings::from_config(&config)
    };
    assert_eq!(load(&[]), None);
    assert_eq!(load(&["--export-filename=-"]).unwrap().target, ExportTarget::Stdout);
    assert_eq!(load(&["--export-filename=/dev/stdout"]).unwrap().target, ExportTarget::Stdout);
    let file =
        load(&["--export-filename=/x.log", "--export-file-max-size-mb=2", "--export-file-compress"]).unwrap();
    assert_eq!(file, ExportSettings { max_bytes: 2 << 20, compress: true, ..settings(Path::new("/x.log")) });
}
