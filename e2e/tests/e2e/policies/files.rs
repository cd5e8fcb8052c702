//! Files, in all the forms in which functions get them.

use anyhow::{Result, bail, ensure};
use tetragon_api::tetragon::kprobe_argument::Arg;
use tetragon_e2e::kit::Env;
use tetragon_e2e::place::VMS;
use tetragon_e2e::{Test, test};

use super::{arg, only, policy, start};

pub(super) fn tests() -> Vec<Test> {
    vec![test!(a_file_by_its_path).on(VMS), test!(a_descriptor_by_its_path).on(VMS)]
}

fn a_file_by_its_path(env: &Env) -> Result<()> {
    let watch = start(env)?;
    let file = env.file("secret");
    std::fs::write(&file, "x")?;
    let path = file.to_string_lossy().into_owned();
    for (name, operator, value) in [
        ("file-equal", "Equal", path.clone()),
        ("file-prefix", "Prefix", path[..path.len() - 2].to_owned()),
        ("file-postfix", "Postfix", "/secret".to_owned()),
        ("file-other", "Equal", format!("{path}x")),
    ] {
        watch.agent.add_policy(&policy(
            name,
            &format!(
                "kprobes: [{{call: security_file_open, syscall: false, args: [{{index: 0, type: file}}], \
                 selectors: [{{matchArgs: [{{index: 0, operator: {operator}, values: ['{value}']}}]}}]}}]"
            ),
        ))?;
    }
    // open(2), read only
    let (ended, _) = watch.act(["syscall", "2", &format!("s:{path}"), "0", "0", ".", "exit", "0"])?;
    for name in ["file-equal", "file-prefix", "file-postfix"] {
        let event = only(&watch, name, ended.pid)?;
        let Arg::FileArg(told) = arg(&event, 0)? else { bail!("no file: {event:?}") };
        ensure!(told.path == path && told.permission.starts_with("-rw"), "{told:?}");
        ensure!(event.function_name == "security_file_open", "{event:?}");
    }
    ensure!(!super::told(&watch.events.all(), ended.pid).contains("file-other"), "another file matched");
    watch.finish()
}

fn a_descriptor_by_its_path(env: &Env) -> Result<()> {
    let watch = start(env)?;
    watch.agent.add_policy(&policy(
        "descriptor",
        "kprobes: [{call: sys_write, syscall: true, args: [{index: 0, type: fd}, {index: 2, type: size_t}], \
         selectors: [{matchArgs: [{index: 0, operator: Equal, values: [/dev/null]}, \
         {index: 2, operator: Equal, values: ['7']}]}]}]",
    ))?;
    // The standard input of tests is /dev/null; that it cannot be written does not matter.
    let (ended, _) = watch.act(["syscall", "1", "0", "s:seven77", "7", ".", "exit", "0"])?;
    let event = only(&watch, "descriptor", ended.pid)?;
    let Arg::FileArg(told) = arg(&event, 0)? else { bail!("no file: {event:?}") };
    ensure!(told.path == "/dev/null" && told.permission.starts_with('c'), "{told:?}");
    ensure!(arg(&event, 1)? == &Arg::SizeArg(7), "{event:?}");
    watch.finish()
}
