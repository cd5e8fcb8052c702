//! Network devices.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use tetragon_api::tetragon::kprobe_argument::Arg;
use tetragon_e2e::kit::Env;
use tetragon_e2e::place::VMS;
use tetragon_e2e::{Test, test};

use super::super::{arg, expect_exactly, only, policy, start};

pub(super) fn tests() -> Vec<Test> {
    vec![test!(a_device_by_its_name).on(VMS)]
}

fn a_device_by_its_name(env: &Env) -> Result<()> {
    let watch = start(env)?;
    // The longest name there can be.
    let devices = ["lo", "loop-of-the-dev", "other"];
    let cases: [(&str, &str, &str, &[&str]); 8] = [
        ("equal", "Equal", "lo, eth0", &["lo"]),
        ("equal-longest", "Equal", "loop-of-the-dev", &["loop-of-the-dev"]),
        ("not-equal", "NotEqual", "lo, eth0", &["loop-of-the-dev", "other"]),
        ("prefix", "Prefix", "eth, lo", &["lo", "loop-of-the-dev"]),
        ("not-prefix", "NotPrefix", "eth, loo", &["lo", "other"]),
        ("postfix", "Postfix", "o, -dev", &["lo", "loop-of-the-dev"]),
        ("not-postfix", "NotPostfix", "er, eth0", &["lo", "loop-of-the-dev"]),
        ("never", "Equal", "loop-of-the-de, l, loop-of-the-dev0", &[]),
    ];
    watch.agent.add_policies(cases.iter().map(|(name, operator, values, _)| {
        policy(
            name,
            &format!(
                "kprobes: [{{call: dev_hard_start_xmit, syscall: false, args: [{{index: 1, type: net_device}}], \
                 selectors: [{{matchArgs: [{{index: 1, operator: {operator}, values: [{values}]}}]}}]}}]"
            ),
        )
    }))?;
    for device in devices {
        let mut verbs = vec!["name-loopback", device];
        if device == "lo" {
            verbs.clear();
        }
        verbs.extend(["udp", "127.0.0.2:4001", "127.0.0.3:80", "x", "plain", "exit", "0"]);
        let (ended, _) = watch.act(verbs)?;
        let ended = ended.expect_code(0)?;
        let matching: BTreeSet<String> = cases
            .iter()
            .filter(|(.., matching)| matching.contains(&device))
            .map(|(name, ..)| (*name).to_owned())
            .collect();
        expect_exactly(&watch, ended.pid, &matching, device)?;
        for name in &matching {
            let event = only(&watch, name, ended.pid)?;
            ensure!(arg(&event, 0)? == &Arg::StringArg(device.to_owned()), "{event:?}");
        }
    }
    watch.finish()
}
