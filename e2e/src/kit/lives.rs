//! The lives of processes as the kernel told them, and as the agent did.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use super::events::{Event, EventExt};
use super::truth::Fact;

/// One execution of the watched program, as the kernel told it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrueLife {
    /// Its process id.
    pub pid: u32,
    /// The thread that made the process, and is its parent as well. None if that is not so: what is made by
    /// `CLONE_PARENT`, or outlives its maker, has another one.
    pub parent: Option<u32>,
    /// Index of the exec in the trace.
    pub begun: usize,
    /// Index of the exit in the trace; absent if it still runs.
    pub ended: Option<usize>,
}

/// What `facts` say about the executions of `program`, in order.
pub fn true_lives(facts: &[Fact], program: &Path) -> Vec<TrueLife> {
    let program = program.to_string_lossy();
    let mut makers: HashMap<u32, u32> = HashMap::new();
    let mut running: HashMap<u32, usize> = HashMap::new();
    let mut lives: Vec<TrueLife> = Vec::new();
    for (at, fact) in facts.iter().enumerate() {
        match fact {
            Fact::Fork { parent, child } => {
                makers.insert(*child, *parent);
            }
            Fact::Exec { pid, filename } if *filename == program => {
                running.insert(*pid, lives.len());
                let parent = makers.get(pid).copied().unwrap_or(0);
                lives.push(TrueLife { pid: *pid, parent: Some(parent), begun: at, ended: None });
            }
            Fact::Exit { tid } => {
                if let Some(life) = running.remove(tid) {
                    lives[life].ended = Some(at);
                }
            }
            Fact::Exec { .. } => {}
        }
    }
    lives
}

/// The position of the first exec of `program`, which a test ran to mark a moment.
pub fn mark(facts: &[Fact], program: &Path) -> Result<usize> {
    let program = program.to_string_lossy();
    facts
        .iter()
        .position(|fact| matches!(fact, Fact::Exec { filename, .. } if *filename == program))
        .with_context(|| format!("the kernel did not tell of {program}"))
}

/// One execution, as the agent told it.
struct ToldLife<'e> {
    exec: &'e Event,
    exits: usize,
}

/// Executions of one program as the agent told them.
pub struct Told<'e> {
    by_id: HashMap<&'e str, ToldLife<'e>>,
    /// Exec ids by process id, oldest first: a process id may be used again.
    by_pid: BTreeMap<u32, Vec<&'e str>>,
}

impl<'e> Told<'e> {
    /// Sorts the events about `program`. Fails if an execution was told twice, an exit twice or without its exec.
    pub fn sort(events: &'e [Event], program: &Path) -> Result<Self> {
        let program = program.to_string_lossy();
        let about =
            || events.iter().filter(|event| event.process().is_some_and(|process| process.binary == program));
        let mut by_id: HashMap<&str, ToldLife<'_>> = HashMap::new();
        for exec in about().filter(|event| event.exec().is_some()) {
            let id = exec.process().map_or("", |process| &process.exec_id);
            ensure!(!id.is_empty(), "no exec id: {}", exec.json());
            if let Some(first) = by_id.insert(id, ToldLife { exec, exits: 0 }) {
                bail!("an exec was told twice:\n{}\n{}", first.exec.json(), exec.json());
            }
        }
        for exit in about().filter(|event| event.exit().is_some()) {
            let id = exit.process().map_or("", |process| &process.exec_id);
            let life =
                by_id.get_mut(id).with_context(|| format!("an exit without its exec: {}", exit.json()))?;
            life.exits += 1;
            ensure!(life.exits == 1, "an exit was told twice: {}", exit.json());
        }
        let mut by_pid: BTreeMap<u32, Vec<&str>> = BTreeMap::new();
        for (id, life) in &by_id {
            by_pid.entry(life.exec.pid()).or_default().push(id);
        }
        let start = |id: &&str| {
            let start = by_id.get(id).and_then(|life| life.exec.process()?.start_time.as_ref());
            start.map_or((0, 0), |time| (time.seconds, time.nanos))
        };
        for ids in by_pid.values_mut() {
            ids.sort_by_key(start);
        }
        Ok(Self { by_id, by_pid })
    }

    /// How many executions were told.
    pub fn count(&self) -> usize {
        self.by_id.len()
    }

    /// Fails unless the agent told exactly what happened: every execution once, with its exit and its parent.
    pub fn check_complete(&self, truth: &[TrueLife]) -> Result<()> {
        let mut complaints = Vec::new();
        let ids = self.pair(truth, &mut complaints);
        let told: HashSet<&str> = ids.iter().flatten().copied().collect();
        for (id, life) in &self.by_id {
            if !told.contains(id) {
                complaints.push(format!("invented: {}", life.exec.json()));
            }
        }
        for (index, (life, id)) in truth.iter().zip(&ids).enumerate() {
            match id {
                None => complaints.push(format!("lost: the exec of {life:?}")),
                Some(id) => self.check_life(index, life, id, truth, &ids, &mut complaints),
            }
        }
        complain(&complaints, truth.len())
    }

    /// Fails unless every execution that `must_be_told` was told once, with its exit and parent, and nothing else
    /// than what happened.
    pub fn check_partial(&self, truth: &[TrueLife], must_be_told: impl Fn(&TrueLife) -> bool) -> Result<()> {
        // Without the executions that ended unseen, the told ones of one process id are its newest.
        let needed: Vec<TrueLife> = truth.iter().filter(|life| must_be_told(life)).cloned().collect();
        let mut complaints = Vec::new();
        let happened: HashMap<u32, usize> = truth.iter().fold(HashMap::new(), |mut counts, life| {
            *counts.entry(life.pid).or_default() += 1;
            counts
        });
        for (pid, ids) in &self.by_pid {
            if ids.len() > happened.get(pid).copied().unwrap_or(0) {
                complaints.push(format!("invented: process {pid} was told {} times", ids.len()));
            }
        }
        let ids = self.pair_newest(&needed);
        for (index, (life, id)) in needed.iter().zip(&ids).enumerate() {
            match id {
                None => complaints.push(format!("lost: the exec of {life:?}")),
                Some(id) => self.check_life(index, life, id, &needed, &ids, &mut complaints),
            }
        }
        complain(&complaints, needed.len())
    }

    /// The told exec id of each true life: the n-th of a process id is the n-th told of it.
    fn pair(&self, truth: &[TrueLife], complaints: &mut Vec<String>) -> Vec<Option<&'e str>> {
        let mut next: HashMap<u32, usize> = HashMap::new();
        let mut happened: HashMap<u32, usize> = HashMap::new();
        for life in truth {
            *happened.entry(life.pid).or_default() += 1;
        }
        for (pid, count) in &happened {
            let told = self.by_pid.get(pid).map_or(0, Vec::len);
            if told != *count {
                complaints.push(format!("process {pid} executed {count} times, told {told} times"));
            }
        }
        truth
            .iter()
            .map(|life| {
                let nth = next.entry(life.pid).or_default();
                *nth += 1;
                self.by_pid.get(&life.pid)?.get(*nth - 1).copied()
            })
            .collect()
    }

    fn pair_newest(&self, truth: &[TrueLife]) -> Vec<Option<&'e str>> {
        let mut left: HashMap<u32, usize> = self.by_pid.iter().map(|(pid, ids)| (*pid, ids.len())).collect();
        let mut ids: Vec<Option<&str>> = truth
            .iter()
            .rev()
            .map(|life| {
                let left = left.get_mut(&life.pid)?;
                *left = left.checked_sub(1)?;
                self.by_pid.get(&life.pid)?.get(*left).copied()
            })
            .collect();
        ids.reverse();
        ids
    }

    fn check_life(
        &self,
        index: usize,
        life: &TrueLife,
        id: &str,
        truth: &[TrueLife],
        ids: &[Option<&str>],
        complaints: &mut Vec<String>,
    ) {
        let told = &self.by_id[id];
        if told.exits != usize::from(life.ended.is_some()) {
            complaints.push(format!("{} exits of {life:?}: {}", told.exits, told.exec.json()));
        }
        let Some(true_parent) = life.parent else { return };
        if told.exec.parent().and_then(|parent| parent.pid) != Some(true_parent) {
            complaints.push(format!("the parent is not {true_parent}: {}", told.exec.json()));
        }
        // The parent may itself have been told: then it must be linked to that very execution.
        let parent = (0..index).rev().find(|&earlier| truth[earlier].pid == true_parent);
        if let Some(Some(parent)) = parent.map(|parent| ids[parent])
            && told.exec.process().is_none_or(|process| process.parent_exec_id != parent)
        {
            complaints.push(format!("the parent is not {parent}: {}", told.exec.json()));
        }
    }
}

fn complain(complaints: &[String], total: usize) -> Result<()> {
    ensure!(
        complaints.is_empty(),
        "{} complaints about {total} processes:\n{}",
        complaints.len(),
        complaints.iter().take(12).map(String::as_str).collect::<Vec<_>>().join("\n")
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use tetragon_api::tetragon::get_events_response::Event as Payload;
    use tetragon_api::tetragon::{Process, ProcessExec, ProcessExit};

    use super::*;

    const PROGRAM: &str = "/bin/x";

    fn process(id: &str, pid: u32) -> Option<Process> {
        let binary = PROGRAM.to_owned();
        Some(Process {
            exec_id: id.into(),
            pid: Some(pid),
            binary,
            parent_exec_id: "p".into(),
            ..Process::default()
        })
    }

    fn executed(id: &str, pid: u32) -> Event {
        let parent = Some(Process { pid: Some(1), ..Process::default() });
        let exec = ProcessExec { process: process(id, pid), parent, ..ProcessExec::default() };
        Event { event: Some(Payload::ProcessExec(exec)), ..Event::default() }
    }

    fn exited(id: &str, pid: u32) -> Event {
        let exit = ProcessExit { process: process(id, pid), ..ProcessExit::default() };
        Event { event: Some(Payload::ProcessExit(exit)), ..Event::default() }
    }

    fn truth(pids: &[u32]) -> Vec<TrueLife> {
        let facts: Vec<Fact> = pids
            .iter()
            .flat_map(|&pid| {
                [
                    Fact::Fork { parent: 1, child: pid },
                    Fact::Exec { pid, filename: PROGRAM.into() },
                    Fact::Exit { tid: pid },
                ]
            })
            .collect();
        true_lives(&facts, Path::new(PROGRAM))
    }

    fn check(events: &[Event], pids: &[u32]) -> Result<(), String> {
        Told::sort(events, Path::new(PROGRAM))
            .and_then(|told| told.check_complete(&truth(pids)))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn what_was_told_as_it_happened_passes() {
        let events = [
            executed("a", 7),
            exited("a", 7),
            executed("b", 7),
            exited("b", 7),
            executed("c", 8),
            exited("c", 8),
        ];
        check(&events, &[7, 7, 8]).unwrap();
    }

    #[test]
    fn a_lost_execution_is_seen() {
        assert!(check(&[executed("a", 7), exited("a", 7)], &[7, 8]).unwrap_err().contains("lost"));
    }

    #[test]
    fn a_lost_exit_is_seen() {
        assert!(check(&[executed("a", 7)], &[7]).unwrap_err().contains("0 exits"));
    }

    #[test]
    fn an_invented_execution_is_seen() {
        let events = [executed("a", 7), exited("a", 7), executed("b", 9), exited("b", 9)];
        assert!(check(&events, &[7]).unwrap_err().contains("invented"));
    }

    #[test]
    fn an_exit_without_exec_is_seen() {
        assert!(check(&[exited("a", 7)], &[]).unwrap_err().contains("without its exec"));
    }

    #[test]
    fn an_exec_told_twice_is_seen() {
        assert!(check(&[executed("a", 7), executed("a", 7)], &[7]).unwrap_err().contains("told twice"));
    }

    #[test]
    fn a_wrong_parent_is_seen() {
        let mut event = executed("a", 7);
        if let Some(Payload::ProcessExec(exec)) = &mut event.event {
            exec.parent = Some(Process { pid: Some(2), ..Process::default() });
        }
        assert!(check(&[event, exited("a", 7)], &[7]).unwrap_err().contains("parent is not 1"));
    }
}
