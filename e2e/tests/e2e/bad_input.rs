//! What the agent makes of a bad configuration or a poor environment: one clear error, or a counted degradation.

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use tetragon_api::tetragon::get_events_response::Event as Payload;
use tetragon_e2e::kit::{Env, Event, Launch, Watch, exec};
use tetragon_e2e::place::{EVERYWHERE, NATIVE};
use tetragon_e2e::{Suite, test};

pub(crate) fn suite() -> Suite {
    // What only reads the configuration is the same everywhere.
    Suite::new(
        "bad_input",
        NATIVE,
        [
            test!(an_unknown_flag),
            test!(an_unknown_configuration_key),
            test!(malformed_values),
            test!(a_malformed_configuration_file),
            test!(an_unreadable_configuration_directory),
            test!(a_unix_socket_in_use),
            test!(a_tcp_address_in_use),
            test!(an_unwritable_export_path),
            test!(an_export_path_that_is_a_directory),
            test!(a_full_export_disk).on(EVERYWHERE).within(Duration::from_secs(120)),
            test!(a_ring_without_room),
            test!(two_ring_sizes),
            test!(missing_type_information).on(EVERYWHERE),
            test!(unreadable_type_information).on(EVERYWHERE),
            test!(root_without_capabilities).on(EVERYWHERE),
        ],
    )
}

/// The agent must not start, end with status 1, and name these things in one go.
fn refuses(launch: &Launch<'_>, names: &[&str]) -> Result<()> {
    let (status, log) = launch.start_in_vain()?;
    ensure!(status.code() == Some(1), "ended with {status}: {log}");
    ensure!(!log.contains("panicked"), "{log}");
    for name in names {
        ensure!(log.contains(name), "{name:?} is not in:\n{log}");
    }
    Ok(())
}

fn an_unknown_flag(env: &Env) -> Result<()> {
    refuses(&Launch::new(env)?.arg("--export-filname=x"), &["--export-filname", "export-filename"])
}

fn an_unknown_configuration_key(env: &Env) -> Result<()> {
    let launch = Launch::new(env)?;
    fs::write(launch.path("config").join("export-filname"), "x")?;
    // Installations carry keys of other versions: it is told, and the agent runs.
    let agent = launch.start()?;
    ensure!(agent.log().contains("export-filname"), "{}", agent.log());
    agent.stop()?;
    Ok(())
}

fn malformed_values(env: &Env) -> Result<()> {
    for (option, value) in [
        ("event-queue-size", "many"),
        ("rb-size", "12Q"),
        ("rb-size-total", ""),
        ("process-cache-size", "0"),
        ("export-file-rotation-interval", "1 fortnight"),
        ("enable-process-ns", "perhaps"),
        ("export-allowlist", "{"),
    ] {
        let launch = Launch::new(env)?.arg(format!("--{option}={value}"));
        refuses(&launch, &[option]).with_context(|| format!("--{option}={value}"))?;
    }
    Ok(())
}

fn a_malformed_configuration_file(env: &Env) -> Result<()> {
    let launch = Launch::new(env)?;
    fs::write(launch.path("config").join("event-queue-size"), "many\n")?;
    refuses(&launch, &["event-queue-size", "many", "config"])
}

fn an_unreadable_configuration_directory(env: &Env) -> Result<()> {
    let missing = env.file("nowhere");
    let launch = Launch::new(env)?.arg(format!("--config-dir={}", missing.display()));
    refuses(&launch, &["configuration directory", "nowhere"])?;
    let file = env.file("a-file");
    fs::write(&file, "")?;
    refuses(
        &Launch::new(env)?.arg(format!("--config-dir={}", file.display())),
        &["configuration directory", "a-file"],
    )
}

fn a_unix_socket_in_use(env: &Env) -> Result<()> {
    let first = Launch::new(env)?.start()?;
    let address = format!("--server-address=unix://{}", first.socket().display());
    // A second agent must not take the first one's place.
    refuses(&Launch::new(env)?.arg(address), &[])?;
    first.ledger().context("the first agent does not answer any more")?;
    first.stop()?;
    // A dead one's socket is no obstacle.
    let stale = env.file("stale");
    drop(UnixListener::bind(&stale)?);
    Launch::new(env)?.arg(format!("--server-address=unix://{}", stale.display())).start()?.stop()?;
    Ok(())
}

fn a_tcp_address_in_use(env: &Env) -> Result<()> {
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    refuses(&Launch::new(env)?.arg(format!("--server-address={address}")), &[&address])?;
    refuses(&Launch::new(env)?.arg(format!("--health-server-address={address}")), &[&address])
}

fn an_unwritable_export_path(env: &Env) -> Result<()> {
    let file = env.file("file");
    fs::write(&file, "")?;
    let below = file.join("events.json");
    refuses(
        &Launch::new(env)?.arg(format!("--export-filename={}", below.display())),
        &["export-filename", "file"],
    )
}

fn an_export_path_that_is_a_directory(env: &Env) -> Result<()> {
    let directory = env.file("directory");
    fs::create_dir(&directory)?;
    refuses(
        &Launch::new(env)?.arg(format!("--export-filename={}", directory.display())),
        &["export-filename", "directory"],
    )
}

fn a_full_export_disk(env: &Env) -> Result<()> {
    let disk = env.file("disk");
    fs::create_dir(&disk)?;
    mount("tmpfs", &disk, "tmpfs", MountFlags::empty(), Some(c"size=8m")).context("mount a small disk")?;
    let outcome = full_export_disk(env, &disk);
    unmount(&disk, UnmountFlags::DETACH)?;
    outcome
}

fn full_export_disk(env: &Env, disk: &Path) -> Result<()> {
    let file = disk.join("events.json");
    let filler = disk.join("filler");
    fs::write(&filler, vec![0; (8 << 20) - (128 << 10)])?;
    // The agent keeps some lines until there is room; large ones let it give up sooner.
    let large = "x".repeat(60_000);
    let watch = Watch::launch(env, &Launch::new(env)?.arg(format!("--export-filename={}", file.display())))?;
    let failed =
        || -> Result<u64> { Ok(watch.agent.ledger()?.sinks("export").iter().map(|sink| sink.failed).sum()) };
    env.eventually("an event that could not be written", Duration::from_secs(20), || {
        watch.act(["exit", "0", &large])?;
        Ok((failed()? > 0).then_some(()))
    })?;
    // The stream has gone on all the while. Room comes back: so does the file.
    fs::remove_file(&filler)?;
    let read = || -> Result<(Vec<Event>, usize)> {
        let text = fs::read_to_string(&file)?;
        let whole: Vec<Event> =
            text.lines().filter_map(|line| tetragon_api::json::from_str(line).ok()).collect();
        let broken = text.lines().count() - whole.len();
        Ok((whole, broken))
    };
    // The agent tries again after a pause that grows while the disk stays full.
    env.eventually("an event that could be written again", Duration::from_secs(25), || {
        let (_, life) = watch.act(["exit", "0"])?;
        let id = &life.only()?.exec_id;
        let expected = exec().exec_id(id);
        Ok(read()?.0.iter().any(|event| expected.is_met_by(event)).then_some(()))
    })?;
    watch.finish_with_losses()?;
    let (whole, broken) = read()?;
    ensure!(broken == 0, "{broken} torn lines");
    let gaps = whole.iter().filter(|event| matches!(event.event, Some(Payload::RateLimitInfo(_))));
    ensure!(gaps.count() > 0, "the file does not tell of its gap");
    Ok(())
}

fn a_ring_without_room(env: &Env) -> Result<()> {
    // Zero means the default.
    let agent = Launch::new(env)?.arg("--rb-size=0").arg("--rb-size-total=0").start()?;
    let rings = agent.ledger()?.0.rings;
    ensure!(rings.iter().all(|ring| ring.size_bytes >= 4096), "{rings:#?}");
    agent.stop()?;
    // What is too small for a page is rounded up, what cannot be had is refused.
    Launch::new(env)?.arg("--rb-size-total=1").start()?.stop()?;
    refuses(&Launch::new(env)?.arg("--rb-size-total=9999999G"), &["rb-size-total"])
}

fn two_ring_sizes(env: &Env) -> Result<()> {
    refuses(&Launch::new(env)?.arg("--rb-size=64K").arg("--rb-size-total=64K"), &["rb-size", "rb-size-total"])
}

fn missing_type_information(env: &Env) -> Result<()> {
    refuses(&Launch::new(env)?.arg("--btf=/nonexistent/vmlinux"), &["btf", "/nonexistent/vmlinux"])
}

fn unreadable_type_information(env: &Env) -> Result<()> {
    let file = env.file("vmlinux");
    fs::write(&file, "no BTF at all")?;
    refuses(&Launch::new(env)?.arg(format!("--btf={}", file.display())), &[&file.to_string_lossy()])
}

fn root_without_capabilities(env: &Env) -> Result<()> {
    let actor = env.binary("actor")?;
    let actor = actor.to_str().context("path")?;
    let launch = Launch::new(env)?.through([actor, "drop-capabilities", "run"]);
    let (status, log) = launch.start_in_vain()?;
    ensure!(status.code() == Some(1) && !log.contains("panicked"), "{status}: {log}");
    ensure!(log.contains("CAP_") || log.contains("privilege"), "the missing privilege is not named:\n{log}");
    Ok(())
}
