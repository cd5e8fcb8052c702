//! What the agent told of containers, held against what ran in them.

use std::collections::BTreeMap;
use std::fmt::Write;

use anyhow::{Result, ensure};
use tetragon_api::tetragon::Process;
use tetragon_e2e::kit::events::{Event, EventExt};
use tetragon_e2e::kit::truth::Fact;

use super::fleet::{Fleet, Member, program};

/// The programs inside the other images.
const ACTOR: &str = "/actor";
const PAUSE: &str = "/pause";
/// How many complaints an error shows.
const SHOWN: usize = 6;

/// All that was told.
pub(super) struct Account {
    events: Vec<Event>,
}

/// Counts of what was told.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Figures {
    /// Of containers' own programs.
    pub(super) execs: usize,
    /// Those of them that the kernel knew when it wrote the record.
    pub(super) in_kernel: usize,
    pub(super) exits: usize,
    /// Execs by the runtime inside containers, told as such.
    pub(super) setup: usize,
    /// Other execs in containers that are neither those nor the containers' own.
    pub(super) strangers: usize,
    pub(super) pauses: usize,
    pub(super) pauses_with_pod: usize,
}

impl Account {
    pub(super) fn of(events: Vec<Event>) -> Self {
        Self { events }
    }

    /// Events of the fleet's programs.
    pub(super) fn own(&self) -> impl Iterator<Item = (&Event, &Process)> {
        let all = self.events.iter().filter_map(|event| Some((event, event.process()?)));
        let program = program();
        all.filter(move |(_, process)| process.binary == program)
    }

    /// Fails unless the agent told exactly the execs and exits that the kernel did.
    pub(super) fn check_against(&self, facts: &[Fact]) -> Result<()> {
        let program = program();
        let mut truth: BTreeMap<u32, (usize, usize)> = BTreeMap::new();
        for fact in facts {
            match fact {
                Fact::Exec { pid, filename } if *filename == program => truth.entry(*pid).or_default().0 += 1,
                Fact::Exit { tid } => {
                    // Only ends of processes whose program it was; a process id may serve several.
                    if let Some((execs, exits)) = truth.get_mut(tid)
                        && exits < execs
                    {
                        *exits += 1;
                    }
                }
                _ => {}
            }
        }
        let mut told: BTreeMap<u32, (usize, usize)> = BTreeMap::new();
        for (event, _) in self.own() {
            let counts = told.entry(event.pid()).or_default();
            counts.0 += usize::from(event.exec().is_some());
            counts.1 += usize::from(event.exit().is_some());
        }
        let mut wrong = String::new();
        for pid in truth.keys().chain(told.keys()) {
            let (happened, said) = (truth.get(pid), told.get(pid));
            if happened != said {
                let _ = writeln!(wrong, "process {pid}: (execs, exits) {happened:?}, told {said:?}");
            }
        }
        ensure!(!truth.is_empty(), "the kernel's trace has no container");
        ensure!(wrong.is_empty(), "{} processes:\n{wrong}", truth.len());
        Ok(())
    }

    /// Fails if an event of the fleet's programs is not told as the member's it is.
    pub(super) fn check(&self, fleet: &Fleet) -> Result<Figures> {
        let mut figures = Figures::default();
        let mut complaints = Vec::new();
        for (event, process) in self.own() {
            let tag = process.arguments.trim_start_matches("exit 0 ");
            let Some(member) = fleet.member(tag) else { continue };
            if event.exec().is_some() {
                figures.execs += 1;
                figures.in_kernel +=
                    usize::from(process.identity.is_some_and(|it| it.in_kernel && !it.setup));
            } else {
                figures.exits += 1;
            }
            if let Err(error) = belongs(process, member) {
                complaints.push(format!("{tag}: {error:#}\n{}", event.json()));
            }
        }
        let execs = self.events.iter().filter(|event| event.exec().is_some()).filter_map(EventExt::process);
        for process in execs {
            match process.binary.as_str() {
                PAUSE => {
                    figures.pauses += 1;
                    figures.pauses_with_pod += usize::from(process.pod.is_some());
                }
                ACTOR => {}
                own if own == program() => {}
                _ if process.identity.is_some_and(|it| it.setup) => figures.setup += 1,
                _ => figures.strangers += usize::from(process.pod.is_some()),
            }
        }
        ensure!(
            complaints.is_empty(),
            "{} complaints, {figures:?}:\n{}",
            complaints.len(),
            complaints.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join("\n")
        );
        Ok(figures)
    }

    /// Exec events whose arguments are these.
    pub(super) fn execs_with(&self, arguments: &str) -> Vec<&Process> {
        let execs = self.events.iter().filter(|event| event.exec().is_some()).filter_map(EventExt::process);
        execs.filter(|process| process.arguments == arguments).collect()
    }
}

/// Fails unless a process is told as this container's.
pub(super) fn belongs(process: &Process, member: &Member) -> Result<()> {
    let pod = process.pod.clone().unwrap_or_default();
    let container = pod.container.clone().unwrap_or_default();
    ensure!(pod.namespace == member.namespace, "namespace {:?}", pod.namespace);
    ensure!(pod.name == member.pod, "pod {:?}", pod.name);
    ensure!(pod.uid == member.uid, "uid {:?}", pod.uid);
    ensure!(container.name == member.name, "container {:?}", container.name);
    let id = container.id.strip_prefix("containerd://").unwrap_or_default();
    ensure!(id.len() == 64 && member.id.as_ref().is_none_or(|real| real == id), "id {:?}", container.id);
    ensure!(process.docker.len() == 31 && id.starts_with(&process.docker), "docker {:?}", process.docker);
    let identity = process.identity.unwrap_or_default();
    ensure!(!identity.setup, "told as set-up");
    Ok(())
}
