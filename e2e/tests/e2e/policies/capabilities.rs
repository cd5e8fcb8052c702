//! Sets of capabilities: every operator on each type, against a model of its own.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, ensure};
use tetragon_api::tetragon::kprobe_argument::Arg;
use tetragon_e2e::kit::Env;
use tetragon_e2e::place::VMS;
use tetragon_e2e::{Test, test};

use super::{arg, expect_exactly, only, policy, start};

pub(super) fn tests() -> Vec<Test> {
    vec![test!(every_operator_on_capabilities).on(VMS).within(Duration::from_secs(60))]
}

/// capset(2)
const CAPSET: &str = "126";
const CHOWN: u64 = 1;
const SETUID: u64 = 1 << 7;
const SYS_ADMIN: u64 = 1 << 21;
const SYSLOG: u64 = 1 << 34;

/// Type, and which argument of `security_capset` it is tried on, by the position of the set in [`CALLS`].
const TYPES: [(&str, u32, usize); 5] = [
    ("kernel_cap_t", 2, 0),
    ("cap_effective", 2, 0),
    ("cap_inheritable", 3, 1),
    ("cap_permitted", 4, 2),
    ("kernel_cap_t", 4, 2),
];

/// Effective, inheritable, permitted.
const CALLS: [[u64; 3]; 4] = [
    [CHOWN | SETUID | SYSLOG, CHOWN, CHOWN | SETUID | SYS_ADMIN | SYSLOG],
    [CHOWN, CHOWN | SETUID, CHOWN | SETUID | SYSLOG],
    [0, 0, SYS_ADMIN],
    [SYSLOG, SYSLOG, SYSLOG],
];

/// Operator, values, and the numbers that they are.
const FILTERS: [(&str, &[&str], &[u64]); 12] = [
    ("Equal", &["CAP_CHOWN"], &[CHOWN]),
    ("Equal", &["cap_chown, CAP_SETUID,CAP_SYSLOG", "0x200000"], &[CHOWN | SETUID | SYSLOG, SYS_ADMIN]),
    ("NotEqual", &["CAP_CHOWN,CAP_SETUID", "17179869184"], &[CHOWN | SETUID, SYSLOG]),
    ("Mask", &["CAP_SYSLOG"], &[SYSLOG]),
    ("Mask", &["CAP_SETUID,CAP_SYS_ADMIN"], &[SETUID | SYS_ADMIN]),
    ("Mask", &["CAP_SETUID", "0x200000"], &[SETUID, SYS_ADMIN]),
    ("GT", &["129"], &[129]),
    ("GreaterThan", &["0"], &[0]),
    ("LT", &["0x81"], &[129]),
    ("LessThan", &["CAP_SYSLOG"], &[SYSLOG]),
    ("InMap", &["0", "2", "4", "8", "17179869184"], &[0, 2, 4, 8, SYSLOG]),
    ("NotInMap", &["0:128", "17179869184"], &[]),
];

fn matches(operator: &str, values: &[u64], it: u64) -> bool {
    match operator {
        "Equal" | "InMap" => values.contains(&it),
        "NotEqual" => !values.contains(&it),
        "Mask" => values.iter().any(|value| it & value != 0),
        "GT" | "GreaterThan" => values.iter().any(|value| it > *value),
        "LT" | "LessThan" => values.iter().any(|value| it < *value),
        // The only one with a range.
        _ => it > 128 && it != SYSLOG,
    }
}

/// The two structures of the call, version 3.
fn structures([effective, inheritable, permitted]: [u64; 3]) -> Result<[String; 2]> {
    let hexadecimal = |words: &[u32]| {
        let bytes = words.iter().flat_map(|word| word.to_le_bytes());
        bytes.fold("h:".to_owned(), |text, byte| format!("{text}{byte:02x}"))
    };
    let mut words = Vec::new();
    for half in [0, 32] {
        for set in [effective, permitted, inheritable] {
            words.push(u32::try_from(set >> half & u64::from(u32::MAX))?);
        }
    }
    Ok([hexadecimal(&[0x2008_0522, 0]), hexadecimal(&words)])
}

fn every_operator_on_capabilities(env: &Env) -> Result<()> {
    let watch = start(env)?;
    let mut loaded = Vec::new();
    for (ty, index, set) in TYPES {
        let hook = format!(
            "kprobes: [{{call: security_capset, syscall: false, args: [{{index: {index}, type: {ty}}}]"
        );
        let name = format!("{}-{index}", ty.replace('_', "-"));
        watch.agent.add_policy(&policy(&name, &format!("{hook}}}]")))?;
        for (number, (operator, values, numbers)) in FILTERS.iter().enumerate() {
            let name = format!("{name}-{number}");
            let quoted: Vec<String> = values.iter().map(|value| format!("'{value}'")).collect();
            let filter = format!("{{index: {index}, operator: {operator}, values: [{}]}}", quoted.join(", "));
            watch
                .agent
                .add_policy(&policy(&name, &format!("{hook}, selectors: [{{matchArgs: [{filter}]}}]}}]")))?;
            loaded.push((name, set, *operator, *numbers));
        }
    }
    for sets in CALLS {
        let [header, data] = structures(sets)?;
        let (ended, _) = watch.act(["syscall", CAPSET, &header, &data, ".", "exit", "0"])?;
        let all = TYPES.iter().map(|(ty, index, _)| format!("{}-{index}", ty.replace('_', "-")));
        let expected: BTreeSet<String> = loaded
            .iter()
            .filter(|(_, set, operator, numbers)| matches(operator, numbers, sets[*set]))
            .map(|(name, ..)| name.clone())
            .chain(all)
            .collect();
        expect_exactly(&watch, ended.pid, &expected, &format!("{sets:x?}"))?;
        for (ty, index, set) in TYPES {
            let event = only(&watch, &format!("{}-{index}", ty.replace('_', "-")), ended.pid)?;
            let shown = format!("{:016x}", sets[set]);
            let expected = match ty {
                "kernel_cap_t" => Arg::KernelCapTArg(shown),
                "cap_effective" => Arg::CapEffectiveArg(shown),
                "cap_inheritable" => Arg::CapInheritableArg(shown),
                _ => Arg::CapPermittedArg(shown),
            };
            ensure!(arg(&event, 0)? == &expected, "{event:?}");
        }
    }
    watch.finish()
}
