//! Objects of the kernel that are no credentials: BPF programs and maps, perf events. And what all tests of objects use.

use std::collections::BTreeSet;

use anyhow::{Result, bail, ensure};
use tetragon_api::tetragon::get_events_response::Event as Payload;
use tetragon_api::tetragon::kprobe_argument::Arg;
use tetragon_api::tetragon::{KprobeBpfMap, KprobePerfEvent, ProcessKprobe};
use tetragon_e2e::kit::{Env, EventExt, Watch};
use tetragon_e2e::place::VMS;
use tetragon_e2e::{Test, test};

use super::{arg, only};
use super::{expect_exactly, policy, start};

pub(super) fn tests() -> Vec<Test> {
    vec![test!(programs_and_maps).on(VMS), test!(perf_events).on(VMS)]
}

/// A policy for a function of the kernel, with these arguments, and a selector's filters.
pub(super) fn at(name: &str, function: &str, args: &str, selector: &str) -> String {
    policy(
        name,
        &format!(
            "kprobes: [{{call: {function}, syscall: false, args: [{args}], selectors: [{{{selector}}}]}}]"
        ),
    )
}

pub(super) fn names<'a>(names: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    names.into_iter().map(str::to_owned).collect()
}

/// How a line of the actor ends.
pub(super) fn exit() -> [String; 2] {
    ["exit", "0"].map(str::to_owned)
}

/// The policy's events about the process, in order.
pub(super) fn all(watch: &Watch<'_>, name: &str, pid: u32) -> Vec<ProcessKprobe> {
    let of = watch.events.all().into_iter().filter(|it| it.policy() == Some(name) && it.pid() == pid);
    let kprobes = of.filter_map(|event| match event.event {
        Some(Payload::ProcessKprobe(it)) => Some(it),
        _ => None,
    });
    kprobes.collect()
}

/// As `syscall` of the actor: bpf(2) with these words.
fn bpf(command: u32, words: &[u32], name: &str) -> [String; 6] {
    let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    bytes.extend(name.as_bytes());
    bytes.resize(72, 0);
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let [size, end] = ["72", "."].map(str::to_owned);
    ["syscall".to_owned(), "321".to_owned(), command.to_string(), format!("h:{digits}"), size, end]
}

fn programs_and_maps(env: &Env) -> Result<()> {
    let watch = start(env)?;
    let command = |name: &str, value: u32| {
        let filter = format!("matchArgs: [{{index: 0, operator: Equal, values: ['{value}']}}]");
        at(name, "security_bpf", "{index: 0, type: int}, {index: 1, type: bpf_attr}", &filter)
    };
    // The mode of the descriptor: FMODE_READ, FMODE_WRITE
    let mode = |name: &str, value: u32| {
        let filter = format!("matchArgs: [{{index: 1, operator: Equal, values: ['{value}']}}]");
        at(name, "security_bpf_map", "{index: 0, type: bpf_map}, {index: 1, type: uint32}", &filter)
    };
    watch.agent.add_policies([
        command("load", 5),
        command("create", 0),
        mode("both-ways", 3),
        mode("read-only", 1),
    ])?;

    // BPF_PROG_LOAD: a socket filter of 7 instructions, that are not there.
    let load = bpf(5, &[1, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], "a_filter");
    let (ended, _) = watch.act(load.into_iter().chain(exit()))?;
    expect_exactly(&watch, ended.pid, &names(["load"]), "a program")?;
    let event = only(&watch, "load", ended.pid)?;
    let Arg::BpfAttrArg(attr) = arg(&event, 1)? else { bail!("no attributes: {event:?}") };
    ensure!(
        attr.prog_type == "BPF_PROG_TYPE_SOCKET_FILTER" && attr.insn_cnt == 7 && attr.prog_name == "a_filter",
        "{attr:?}"
    );

    // prlimit64(2) of RLIMIT_MEMLOCK: on 5.10 the agent's maps have used up what root may have.
    let unlimited = format!("h:{}", "f".repeat(32));
    let unlimit = ["syscall", "302", "0", "8", &unlimited, "0", "."].map(str::to_owned);
    // BPF_MAP_CREATE: hashes of 4 bytes to 8, with 16 places; BPF_F_RDONLY
    for (flags, name, ways) in [(0, "a_map", "both-ways"), (8, "a_map_to_read", "read-only")] {
        // map_type, key_size, value_size, max_entries, map_flags, inner_map_fd, numa_node
        let create = bpf(0, &[1, 4, 8, 16, flags, 0, 0], name);
        let (ended, _) = watch.act(unlimit.iter().cloned().chain(create).chain(exit()))?;
        expect_exactly(&watch, ended.pid, &names(["create", ways]), name)?;
        let event = only(&watch, ways, ended.pid)?;
        let expected = KprobeBpfMap {
            map_type: "BPF_MAP_TYPE_HASH".to_owned(),
            key_size: 4,
            value_size: 8,
            max_entries: 16,
            map_name: name.to_owned(),
        };
        ensure!(arg(&event, 0)? == &Arg::BpfMapArg(expected), "{event:?}");
    }
    watch.finish()
}

fn perf_events(env: &Env) -> Result<()> {
    let watch = start(env)?;
    let returns = |name: &str, value: i32| {
        policy(
            name,
            &format!(
                "kprobes: [{{call: security_perf_event_alloc, syscall: false, return: true, \
                 returnArg: {{index: 0, type: int}}, args: [{{index: 0, type: perf_event}}], \
                 selectors: [{{matchReturnArgs: [{{index: 0, operator: Equal, values: ['{value}']}}]}}]}}]"
            ),
        )
    };
    watch.agent.add_policies([returns("allowed", 0), returns("refused", -13)])?;
    let kind: u32 = std::fs::read_to_string("/sys/bus/event_source/devices/kprobe/type")?.trim().parse()?;
    let kind_text = kind.to_string();

    let (ended, _) = watch.act(["perf-probe", &kind_text, "security_task_prctl", "0", "exit", "0"])?;
    expect_exactly(&watch, ended.pid, &names(["allowed"]), "a kprobe")?;
    let probe = KprobePerfEvent {
        kprobe_func: "security_task_prctl".to_owned(),
        // Which the kernel numbers as it comes across them; 6 has a name all the same.
        r#type: if kind == 6 { "PERF_TYPE_MAX".to_owned() } else { kind.to_string() },
        config: 0,
        probe_offset: 0,
    };
    let event = only(&watch, "allowed", ended.pid)?;
    ensure!(arg(&event, 0)? == &Arg::PerfEventArg(probe), "{event:?}");

    // PERF_COUNT_SW_CONTEXT_SWITCHES of PERF_TYPE_SOFTWARE, of the caller on every processor
    let attr: String =
        [1u32, 128, 3].iter().flat_map(|it| it.to_le_bytes()).map(|it| format!("{it:02x}")).collect();
    let attr = format!("h:{attr:0<256}");
    let (ended, _) = watch.act(["syscall", "298", &attr, "0", "-1", "-1", "0", ".", "exit", "0"])?;
    expect_exactly(&watch, ended.pid, &names(["allowed"]), "a counter")?;
    let event = only(&watch, "allowed", ended.pid)?;
    let counter = KprobePerfEvent {
        kprobe_func: String::new(),
        r#type: "PERF_TYPE_SOFTWARE".to_owned(),
        config: 3,
        probe_offset: 0,
    };
    ensure!(arg(&event, 0)? == &Arg::PerfEventArg(counter), "{event:?}");

    let (ended, _) = watch.act(["exit", "0"])?;
    expect_exactly(&watch, ended.pid, &names([]), "nothing")?;
    watch.finish()
}
