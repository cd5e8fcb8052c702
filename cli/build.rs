//! Notes what the client is built from. What cannot be found out is "unknown"; that is no reason not to build.

use std::env;
use std::path::Path;
use std::process::Command;

fn main() {
    // The commit changes with these; whether the tree is clean is as of the last build that something else caused.
    for path in ["HEAD", "logs/HEAD"] {
        if let Some(path) = output("git", &["rev-parse", "--git-path", path])
            && Path::new(&path).exists()
        {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    println!("cargo::rerun-if-changed=build.rs");

    let rustc = env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let tree = output("git", &["status", "--porcelain", "--untracked-files=no"])
        .map(|changes| if changes.is_empty() { "clean" } else { "dirty" });
    set("BUILD_RUSTC", output(&rustc, &["--version"]).as_deref());
    set("BUILD_DATE", output("git", &["log", "-1", "--format=%cI"]).as_deref());
    set("BUILD_COMMIT", output("git", &["rev-parse", "HEAD"]).as_deref());
    set("BUILD_TREE", tree);
}

fn set(name: &str, value: Option<&str>) {
    println!("cargo::rustc-env={name}={}", value.unwrap_or("unknown"));
}

fn output(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}
