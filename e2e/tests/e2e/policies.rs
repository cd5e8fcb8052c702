//! Tracing policies: what matches, what does not, what is told, what is done.

mod actions;
mod buffers;
mod capability_sets;
mod changes;
mod credentials;
mod files;
mod joined;
mod lists;
pub(crate) mod locked;
pub(crate) mod memory;
mod module;
mod net;
mod numbers;
mod objects;
mod process;
mod quirks;
mod refused;
mod returns;
pub(crate) mod teams;
mod texts;
mod trampolines;
mod values;

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail, ensure};
use tetragon_api::tetragon::get_events_response::Event as Payload;
use tetragon_api::tetragon::kprobe_argument::Arg;
use tetragon_api::tetragon::{KprobeArgument, ProcessKprobe};
use tetragon_e2e::kit::expect::Expect;
use tetragon_e2e::kit::{Env, Event, EventExt, Watch};
use tetragon_e2e::place::EVERYWHERE;
use tetragon_e2e::{Suite, Test};

pub(crate) fn suite() -> Suite {
    let tests: Vec<Test> = [
        numbers::tests(),
        texts::tests(),
        values::tests(),
        net::tests(),
        files::tests(),
        buffers::tests(),
        process::tests(),
        actions::tests(),
        changes::tests(),
        trampolines::tests(),
        credentials::tests(),
        capability_sets::tests(),
        objects::tests(),
        module::tests(),
        lists::tests(),
        quirks::tests(),
        refused::tests(),
        returns::tests(),
        joined::tests(),
    ]
    .concat();
    Suite::new("policies", EVERYWHERE, tests).sharing_an_agent()
}

/// The number of prctl(2), with which tests make calls that mean nothing: numbers of any width, and no effect.
const PRCTL: &str = "157";
/// An option of prctl that does not exist.
const MARK: &str = "32343";

/// Where calls of prctl are seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Kprobe,
    Tracepoint,
}

impl At {
    /// What the place can carry.
    fn all(env: &Env) -> &'static [At] {
        if env.place().is_native() { &[At::Tracepoint] } else { &[At::Kprobe, At::Tracepoint] }
    }

    /// The hook with these types of the option and of the second argument.
    fn prctl(self, second: &str) -> String {
        match self {
            At::Kprobe => format!(
                "kprobes: [{{call: sys_prctl, syscall: true, args: [{{index: 0, type: int}}, {{index: 1, type: {second}}}]"
            ),
            At::Tracepoint => format!(
                "tracepoints: [{{subsystem: syscalls, event: sys_enter_prctl, args: [{{index: 5, type: int}}, \
                 {{index: 6, type: {second}}}]"
            ),
        }
    }

    /// The indices of the two, as filters give them.
    fn indices(self) -> (u32, u32) {
        match self {
            At::Kprobe => (0, 1),
            At::Tracepoint => (5, 6),
        }
    }
}

/// A policy for everything.
fn policy(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: cilium.io/v1alpha1\nkind: TracingPolicy\nmetadata: {{name: {name}}}\nspec: {{{spec}}}\n"
    )
}

fn start<'env>(env: &'env Env) -> Result<Watch<'env>> {
    Watch::start(env)
}

/// The policies whose events are about this process.
fn told(events: &[Event], pid: u32) -> BTreeSet<String> {
    let of = events.iter().filter(|event| event.pid() == pid);
    of.filter_map(|event| event.policy().map(str::to_owned)).collect()
}

/// What matches exactly: these policies have events about the process, and no other has.
fn expect_exactly(watch: &Watch<'_>, pid: u32, expected: &BTreeSet<String>, what: &str) -> Result<()> {
    // Its exit came after its calls.
    let told = told(&watch.events.all(), pid);
    let missing: Vec<&String> = expected.difference(&told).collect();
    let extra: Vec<&String> = told.difference(expected).collect();
    ensure!(missing.is_empty() && extra.is_empty(), "{what}: no event of {missing:?}, events of {extra:?}");
    Ok(())
}

/// The events of the policy about the process, kprobes' all, once there is one.
fn kprobes(watch: &Watch<'_>, name: &str, pid: u32) -> Result<Vec<ProcessKprobe>> {
    let policy = name.to_owned();
    let of = Expect::any().that(format!("policy = {name}, pid = {pid}"), move |event| {
        event.policy() == Some(&policy) && event.pid() == pid
    });
    watch.events.expect(&of)?;
    let payload = |event: Event| match event.event {
        Some(Payload::ProcessKprobe(it)) => Ok(it),
        other => bail!("no kprobe event: {other:?}"),
    };
    watch.events.matching(&of).into_iter().map(payload).collect()
}

/// The only one of them.
fn only(watch: &Watch<'_>, name: &str, pid: u32) -> Result<ProcessKprobe> {
    let mut all = kprobes(watch, name, pid)?;
    ensure!(all.len() == 1, "{} events of {name}: {all:#?}", all.len());
    all.pop().context("no event")
}

fn arg(event: &ProcessKprobe, position: usize) -> Result<&Arg> {
    let argument: Option<&KprobeArgument> = event.args.get(position);
    argument.and_then(|it| it.arg.as_ref()).with_context(|| format!("no argument {position}: {event:?}"))
}
