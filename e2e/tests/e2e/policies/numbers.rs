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
const TYPES: [(&str, u32, bool); 10] = [
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
const FILTERS: [(&str, &[i128]); 16] = [
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

/// A filter on a number of some type, which a policy of this name has.
pub(super) struct Filter {
    pub(super) name: String,
    pub(super) ty: &'static str,
    bits: u32,
    signed: bool,
    operator: &'static str,
    values: &'static [i128],
}

impl Filter {
    /// Every operator on every type of number.
    pub(super) fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for (ty, bits, signed) in TYPES {
            let fitting = FILTERS.iter().enumerate();
            let fitting = fitting.filter(|(_, (_, values))| signed || values.iter().all(|value| *value >= 0));
            all.extend(fitting.map(|(number, (operator, values))| {
                let name = format!("{}-{number}", ty.replace('_', "-"));
                Self { name, ty, bits, signed, operator, values }
            }));
        }
        all
    }

    /// It, as part of a selector: on this argument or return value.
    pub(super) fn text(&self, index: impl std::fmt::Display) -> String {
        let values: Vec<String> = self.values.iter().map(|value| format!("'{value}'")).collect();
        format!("{{index: {index}, operator: {}, values: [{}]}}", self.operator, values.join(", "))
    }

    /// Names of those that match what a call has as argument or returns.
    pub(super) fn matching(all: &[Self], value: i64) -> BTreeSet<String> {
        let matching =
            all.iter().filter(|it| matches(it.operator, it.values, read(value, it.bits, it.signed)));
        matching.map(|it| it.name.clone()).collect()
    }
}

/// What the argument is, read as that type.
fn read(call: i64, bits: u32, signed: bool) -> i128 {
    let low = u128::from(call.cast_unsigned()) & ((1 << bits) - 1);
    let value = i128::try_from(low).unwrap_or_default();
    if signed && value >> (bits - 1) & 1 == 1 { value - (1 << bits) } else { value }
}

fn matches(operator: &str, values: &[i128], it: i128) -> bool {
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
        let filters = Filter::all();
        let text = |filter: &Filter| {
            let selectors = format!(
                "selectors: [{{matchArgs: [{{index: {mark}, operator: Equal, values: ['{MARK}']}}, {}]}}]",
                filter.text(arg)
            );
            policy(&filter.name, &format!("{}, {selectors}}}]", at.prctl(filter.ty)))
        };
        let texts: Vec<String> = filters.iter().map(text).collect();
        watch.agent.add_policies(texts)?;
        for call in CALLS {
            let (ended, _) = watch.act(["syscall", PRCTL, MARK, &call.to_string(), ".", "exit", "0"])?;
            let expected = Filter::matching(&filters, call);
            expect_exactly(&watch, ended.pid, &expected, &format!("{at:?}, {call}"))?;
        }
        env.record(format!("policies at one hook ({at:?})"), f64::from(u32::try_from(filters.len())?));
        watch.finish()?;
    }
    Ok(())
}
