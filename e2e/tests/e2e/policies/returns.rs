//! Every operator on return values of every type of number, against the model of `numbers`.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tetragon_api::tetragon::kprobe_argument::Arg;
use tetragon_e2e::kit::Env;
use tetragon_e2e::place::VMS;
use tetragon_e2e::{Test, test};

use super::numbers::Filter;
use super::only;
use super::{expect_exactly, policy, start};

pub(super) fn tests() -> Vec<Test> {
    vec![
        test!(every_operator_on_every_return_value).on(VMS).within(Duration::from_secs(60)),
        test!(a_return_value_of_every_type).on(VMS),
    ]
}

const RETURNED: [i64; 9] = [0, 4, 5, 9, 100, 128, -3, -4, 1 << 40];

/// As many policies may wait for the return of one call.
const WAITING: usize = 8;

/// Descriptors from here on are the file whose every offset is good: seeking in it returns any number there is.
const FIRST: usize = 500;

/// Opens the file as these many descriptors.
fn descriptors(count: usize) -> Vec<String> {
    let mut line: Vec<String> = ["syscall", "2", "s:/proc/self/mem", "0", "0", "."].map(str::to_owned).into();
    for number in FIRST..FIRST + count {
        // dup2
        line.extend(["syscall", "33", "3"].map(str::to_owned));
        line.extend([number.to_string(), ".".to_owned()]);
    }
    line
}

fn seek(number: usize, offset: i64) -> [String; 6] {
    [
        "syscall".to_owned(),
        "8".to_owned(),
        number.to_string(),
        offset.to_string(),
        "0".to_owned(),
        ".".to_owned(),
    ]
}

fn seeks(number: usize, ty: &str, filter: &str) -> String {
    format!(
        "kprobes: [{{call: sys_lseek, syscall: true, return: true, returnArg: {{index: 0, type: {ty}}}, \
         args: [{{index: 0, type: int}}, {{index: 1, type: int64}}], \
         selectors: [{{matchArgs: [{{index: 0, operator: Equal, values: ['{number}']}}]{filter}}}]}}]"
    )
}

fn every_operator_on_every_return_value(env: &Env) -> Result<()> {
    let watch = start(env)?;
    let filters = Filter::all();
    let text = |(number, filter): (usize, &Filter)| {
        let on_return = format!(", matchReturnArgs: [{}]", filter.text(0));
        policy(&filter.name, &seeks(FIRST + number / WAITING, filter.ty, &on_return))
    };
    let texts: Vec<String> = filters.iter().enumerate().map(text).collect();
    watch.agent.add_policies(texts)?;
    let groups = filters.len().div_ceil(WAITING);
    for returned in RETURNED {
        let mut line = descriptors(groups);
        line.extend((FIRST..FIRST + groups).flat_map(|number| seek(number, returned)));
        line.extend(["exit", "0"].map(str::to_owned));
        let (ended, _) = watch.act(line)?;
        let expected = Filter::matching(&filters, returned);
        expect_exactly(&watch, ended.pid, &expected, &format!("{returned} returned"))?;
    }
    watch.finish()
}

fn a_return_value_of_every_type(env: &Env) -> Result<()> {
    let watch = start(env)?;
    let cases = [
        ("int8", -0x1235, Arg::IntArg(-0x35)),
        ("uint8", -0x1235, Arg::UintArg(0xcb)),
        ("int16", -0x1235, Arg::IntArg(-0x1235)),
        ("uint16", -0x1235, Arg::UintArg(0xedcb)),
        ("int", -0x1235, Arg::IntArg(-0x1235)),
        ("int32", 0x1_8000_0001, Arg::IntArg(-0x7fff_ffff)),
        ("uint32", 0x1_8000_0001, Arg::UintArg(0x8000_0001)),
        ("int64", -0x1235, Arg::LongArg(-0x1235)),
        ("uint64", -1, Arg::SizeArg(u64::MAX)),
        ("size_t", 0x1_8000_0001, Arg::SizeArg(0x1_8000_0001)),
    ];
    let mut line = descriptors(cases.len());
    for (number, (ty, returned, _)) in (FIRST..).zip(&cases) {
        let name = format!("returns-{}", ty.replace('_', "-"));
        watch.agent.add_policy(&policy(&name, &seeks(number, ty, "")))?;
        line.extend(seek(number, *returned));
    }
    line.extend(["exit", "0"].map(str::to_owned));
    let (ended, _) = watch.act(line)?;
    for (ty, returned, expected) in cases {
        let name = format!("returns-{}", ty.replace('_', "-"));
        let event = only(&watch, name.clone().leak(), ended.pid)?;
        let told = event.r#return.as_ref().and_then(|it| it.arg.clone()).context("no return value")?;
        ensure!(told == expected, "{name}: {returned} is told as {told:?}");
        let offset = event.args.get(1).and_then(|it| it.arg.as_ref());
        ensure!(offset == Some(&Arg::LongArg(returned)), "{name}: {event:?}");
    }
    watch.finish()
}
