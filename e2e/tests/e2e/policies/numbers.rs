//! Every operator on every type of number, against a model of its own.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Result;
use tetragon_e2e::kit::Env;
use tetragon_e2e::{Test, test};

use super::{At, MARK, PRCTL, expect_exactly, policy, start};

pub(super) fn tests() -> Vec<Test> {
    vec![test!(every_operator_on_every_number).within(Duration::from_secs(60))]
}

/// Type, bits, whether signed.
pub(super) const TYPES: [(&str, u32, bool); 10] = [
    ("int8", 8, true),
    ("uint8", 8, false),
    ("int16", 16, true),
    ("uint16", 16, false),
    ("int", 32, true),
    ("int32", 32, true),
    ("uint32", 32, false),
    ("int64", 64, true),
    ("uint64", 64, false),
    ("size_t", 64, false),
];

/// Operator, values. Those below zero are for signed types only; sets of more than four are looked up.
pub(super) const FILTERS: [(&str, &[i128]); 16] = [
    ("Equal", &[5]),
    ("Equal", &[5, 9, 100]),
    ("Equal", &[-3]),
    ("NotEqual", &[5]),
    ("NotEqual", &[5, 9, 100]),
    ("GT", &[9]),
    ("GT", &[-4]),
    ("GreaterThan", &[9]),
    ("LT", &[9]),
    ("LessThan", &[-2]),
    ("Mask", &[4]),
    ("Mask", &[64, 8]),
    ("InMap", &[1, 5, 9, 20, 40, 60, 100]),
    ("InMap", &[-3]),
    ("NotInMap", &[1, 5, 9, 20, 40, 60, 100]),
    ("NotInMap", &[5]),
];

const CALLS: [i64; 13] = [0, 1, 4, 5, 6, 9, 64, 100, 127, 128, -3, -4, 1 << 40];

/// What the argument is, read as that type.
pub(super) fn read(call: i64, bits: u32, signed: bool) -> i128 {
    let low = u128::from(call.cast_unsigned()) & ((1 << bits) - 1);
    let value = i128::try_from(low).unwrap_or_default();
    if signed && value >> (bits - 1) & 1 == 1 { value - (1 << bits) } else { value }
}

pub(super) fn matches(operator: &str, values: &[i128], it: i128) -> bool {
    match operator {
        "Equal" | "InMap" => values.contains(&it),
        "NotEqual" | "NotInMap" => !values.contains(&it),
        "GT" | "GreaterThan" => values.iter().any(|value| it > *value),
        "LT" | "LessThan" => values.iter().any(|value| it < *value),
        _ => values.iter().any(|value| it & value != 0),
    }
}

fn every_operator_on_every_number(env: &Env) -> Result<()> {
    for at in At::all(env) {
        let watch = start(env)?;
        let (mark, arg) = at.indices();
        let mut loaded = Vec::new();
        let mut texts = Vec::new();
        for (ty, bits, signed) in TYPES {
            for (number, (operator, values)) in FILTERS.iter().enumerate() {
                if !signed && values.iter().any(|value| *value < 0) {
                    continue;
                }
                let name = format!("{}-{number}", ty.replace('_', "-"));
                let quoted: Vec<String> = values.iter().map(|value| format!("'{value}'")).collect();
                texts.push(policy(
                    &name,
                    &format!(
                        "{}, selectors: [{{matchArgs: [{{index: {mark}, operator: Equal, values: ['{MARK}']}}, \
                         {{index: {arg}, operator: {operator}, values: [{}]}}]}}]}}]",
                        at.prctl(ty),
                        quoted.join(", "),
                    ),
                ));
                loaded.push((name, bits, signed, *operator, *values));
            }
        }
        watch.agent.add_policies(texts)?;
        for call in CALLS {
            let (ended, _) = watch.act(["syscall", PRCTL, MARK, &call.to_string(), ".", "exit", "0"])?;
            let expected: BTreeSet<String> = loaded
                .iter()
                .filter(|(_, bits, signed, operator, values)| {
                    matches(operator, values, read(call, *bits, *signed))
                })
                .map(|(name, ..)| name.clone())
                .collect();
            expect_exactly(&watch, ended.pid, &expected, &format!("{at:?}, {call}"))?;
        }
        env.record(format!("policies at one hook ({at:?})"), f64::from(u32::try_from(loaded.len())?));
        watch.finish()?;
    }
    Ok(())
}
