//! Every operator on every type of capability set, against a model of its own.

use std::time::Duration;

use anyhow::Result;
use tetragon_e2e::kit::Env;
use tetragon_e2e::place::VMS;
use tetragon_e2e::{Test, test};

use super::objects::{at, exit};
use super::{expect_exactly, start};

pub(super) fn tests() -> Vec<Test> {
    vec![test!(every_operator_on_capability_sets).on(VMS).within(Duration::from_secs(60))]
}

/// As `syscall` of the actor: capset(2) of the calling thread.
pub(super) fn capset(effective: u64, permitted: u64, inheritable: u64) -> [String; 5] {
    let half = |set: u64, shift: u32| (set >> shift & 0xffff_ffff) as u32;
    let bytes = |words: &[u32]| -> String {
        words.iter().flat_map(|word| word.to_le_bytes()).map(|byte| format!("{byte:02x}")).collect()
    };
    let data: Vec<u32> = [0, 32]
        .into_iter()
        .flat_map(|at| [effective, permitted, inheritable].map(|set| half(set, at)))
        .collect();
    // _LINUX_CAPABILITY_VERSION_3, of the caller
    let header = format!("h:{}", bytes(&[0x2008_0522, 0]));
    ["syscall".to_owned(), "126".to_owned(), header, format!("h:{}", bytes(&data)), ".".to_owned()]
}

/// Bits, as policies give them.
const SETS: [(&str, &[(&str, u64)]); 18] = [
    ("Equal", &[("1", 1)]),
    ("Equal", &[("0x21", 0x21), ("0", 0)]),
    ("Equal", &[("CAP_CHOWN", 1)]),
    ("Equal", &[("CAP_CHOWN,CAP_KILL", 0x21)]),
    ("NotEqual", &[("CAP_CHOWN,CAP_KILL", 0x21)]),
    ("NotEqual", &[("1", 1), ("33", 33)]),
    ("Mask", &[("CAP_KILL", 0x20)]),
    ("Mask", &[("CAP_KILL,CAP_BPF", 0x80_0000_0020)]),
    ("Mask", &[("CAP_KILL", 0x20), ("CAP_BPF", 1 << 39)]),
    ("Mask", &[("0x8000000000", 1 << 39)]),
    ("GT", &[("32", 32)]),
    ("GreaterThan", &[("CAP_CHECKPOINT_RESTORE", 1 << 40)]),
    ("LT", &[("33", 33)]),
    ("LessThan", &[("CAP_KILL", 32)]),
    ("InMap", &[("1", 1), ("33", 33)]),
    ("InMap", &[("1", 1), ("3", 3), ("5", 5), ("32", 32), ("549755813888", 1 << 39)]),
    ("NotInMap", &[("1", 1), ("33", 33)]),
    ("NotInMap", &[("1", 1), ("3", 3), ("5", 5), ("32", 32), ("549755813888", 1 << 39)]),
];

const CALLS: [u64; 7] = [0, 1, 0x20, 0x21, 1 << 39, 1 << 39 | 0x20, (1 << 41) - 1];

fn every_operator_on_capability_sets(env: &Env) -> Result<()> {
    let watch = start(env)?;
    let mut loaded = Vec::new();
    let mut texts = Vec::new();
    // Of each type, where the function has such a set, or any.
    for (ty, index) in
        [("cap_effective", 2), ("cap_inheritable", 3), ("cap_permitted", 4), ("kernel_cap_t", 3)]
    {
        for (number, (operator, values)) in SETS.iter().enumerate() {
            let name = format!("{}-{number}", ty.replace('_', "-"));
            let quoted: Vec<String> = values.iter().map(|(text, _)| format!("'{text}'")).collect();
            let filter = format!(
                "matchArgs: [{{index: {index}, operator: {operator}, values: [{}]}}]",
                quoted.join(", ")
            );
            texts.push(at(&name, "security_capset", &format!("{{index: {index}, type: {ty}}}"), &filter));
            loaded.push((name, index, *operator, values.iter().map(|(_, set)| *set).collect::<Vec<u64>>()));
        }
    }
    watch.agent.add_policies(texts)?;
    for (number, effective) in CALLS.into_iter().enumerate() {
        // Three different ones, whether root may have them or not.
        let [permitted, inheritable] = [2, 4].map(|ahead| CALLS[(number + ahead) % CALLS.len()]);
        let line: Vec<String> = capset(effective, permitted, inheritable).into_iter().chain(exit()).collect();
        let (ended, _) = watch.act(line)?;
        let expected = loaded
            .iter()
            .filter(|(_, index, operator, values)| {
                let set = match index {
                    2 => effective,
                    3 => inheritable,
                    _ => permitted,
                };
                matches(operator, values, set)
            })
            .map(|(name, ..)| name.clone())
            .collect();
        expect_exactly(
            &watch,
            ended.pid,
            &expected,
            &format!("{effective:x} {permitted:x} {inheritable:x}"),
        )?;
    }
    watch.finish()
}

fn matches(operator: &str, values: &[u64], set: u64) -> bool {
    match operator {
        "Equal" | "InMap" => values.contains(&set),
        "NotEqual" | "NotInMap" => !values.contains(&set),
        "GT" | "GreaterThan" => values.iter().any(|value| set > *value),
        "LT" | "LessThan" => values.iter().any(|value| set < *value),
        _ => values.iter().any(|value| set & value != 0),
    }
}
