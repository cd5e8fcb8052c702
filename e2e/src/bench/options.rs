//! The command line, and what of it the measuring side must know.

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::place::Place;

pub(super) const PLAN_VARIABLE: &str = "TETRAGON_E2E_BENCH_PLAN";
pub(super) const PLAN_FILE: &str = "/bench.json";
/// Directory of the other agent's files in a guest, before they are moved to their places.
const PACKED: &str = "packed";

const USAGE: &str = "usage: bench [native | KERNEL[+preempt=full]]... [--execs N] [--rounds N] [--instructions] [--policies] \
    [--other AGENT [--file GUEST_PATH=FILE]... [-- ARGUMENT...]]";

/// What to measure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Plan {
    /// Processes of each storm.
    pub(super) execs: u32,
    /// Interleaved rounds of the latency measurement.
    pub(super) rounds: u32,
    /// Processes of each round.
    pub(super) round_execs: u32,
    pub(super) other: Option<Other>,
    /// Only what policies cost.
    pub(super) policies: bool,
}

/// Another agent that understands the same flags.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Other {
    pub(super) program: PathBuf,
    /// After those that the benchmark gives to both.
    pub(super) arguments: Vec<String>,
    /// Where its files are and where they belong.
    pub(super) files: Vec<(PathBuf, PathBuf)>,
}

/// The whole command line.
#[derive(Debug)]
pub(super) struct Options {
    pub(super) places: Vec<Place>,
    pub(super) plan: Plan,
    /// A VM's clock counts instructions: 1 µs is a thousand of them.
    pub(super) instructions: bool,
}

impl Options {
    pub(super) fn parse(arguments: &[String]) -> Result<Self> {
        let (own, others) = match arguments.iter().position(|argument| argument == "--") {
            Some(at) => (&arguments[..at], &arguments[at + 1..]),
            None => (arguments, &[][..]),
        };
        let mut places = Vec::new();
        let (mut program, mut files) = (None, Vec::new());
        let (mut execs, mut rounds, mut instructions, mut policies) = (2_500, 8, false, false);
        let mut words = own.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().with_context(|| format!("{word} needs a value\n{USAGE}"));
            match word.as_str() {
                "--execs" => execs = number(value()?)?,
                "--rounds" => rounds = number(value()?)?,
                "--instructions" => instructions = true,
                "--policies" => policies = true,
                "--other" => program = Some(PathBuf::from(value()?)),
                "--file" => files.push(packed_file(value()?)?),
                "-h" | "--help" => bail!("{USAGE}"),
                flag if flag.starts_with('-') => bail!("unknown flag {flag}\n{USAGE}"),
                "native" => places.push(Place::Native),
                kernel => places.push(format!("vm-{}", kernel.trim_start_matches("vm-")).parse()?),
            }
        }
        if places.is_empty() {
            places.push("vm-6.12".parse()?);
        }
        let other = match program {
            Some(program) => {
                ensure!(program.is_file(), "{} is no file", program.display());
                Some(Other { program, arguments: others.to_vec(), files })
            }
            None if !others.is_empty() || !files.is_empty() => bail!("arguments of no other agent\n{USAGE}"),
            None => None,
        };
        ensure!(
            !instructions || !places.contains(&Place::Native),
            "--instructions: only a virtual machine's clock can count them"
        );
        Ok(Self { places, plan: Plan { execs, rounds, round_execs: 250, other, policies }, instructions })
    }

    /// The plan as seen there: a guest has the other agent's files below a directory of their own.
    pub(super) fn plan_for(&self, place: Place) -> Plan {
        let mut plan = self.plan.clone();
        if place.is_native() {
            // Processes are cheap there.
            plan.round_execs *= 4;
        } else if let Some(other) = &mut plan.other {
            other.program = PathBuf::from("/").join(guest_name(0));
            for (index, (from, _)) in other.files.iter_mut().enumerate() {
                *from = PathBuf::from("/").join(guest_name(index + 1));
            }
        }
        plan
    }

    /// What goes into a guest for the other agent: name below the root, file.
    pub(super) fn packed(&self) -> Vec<(String, PathBuf)> {
        let Some(other) = &self.plan.other else { return Vec::new() };
        std::iter::once(&other.program)
            .chain(other.files.iter().map(|(from, _)| from))
            .enumerate()
            .map(|(index, from)| (guest_name(index), from.clone()))
            .collect()
    }
}

/// Directly below the root: the archive makes no directories on the way.
fn guest_name(index: usize) -> String {
    format!("{PACKED}-{index}")
}

fn number(text: &str) -> Result<u32> {
    let number = text.parse().with_context(|| format!("{text:?} is no number"))?;
    ensure!(number > 0, "{text} is too few");
    Ok(number)
}

fn packed_file(text: &str) -> Result<(PathBuf, PathBuf)> {
    let (guest, from) =
        text.split_once('=').with_context(|| format!("{text:?} is not GUEST_PATH=FILE\n{USAGE}"))?;
    ensure!(guest.starts_with('/'), "{guest:?} does not begin at the root");
    ensure!(PathBuf::from(from).is_file(), "{from} is no file");
    Ok((from.into(), guest.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options> {
        Options::parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn places_are_named_by_kernel() {
        let options = parse("native 6.1 6.12+preempt=full --rounds 3").unwrap();
        let names: Vec<String> = options.places.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["native", "vm-6.1", "vm-6.12+preempt=full"]);
        assert_eq!(options.plan.rounds, 3);
        assert_eq!(parse("").unwrap().places[0].to_string(), "vm-6.12");
    }

    #[test]
    fn another_agent_is_packed_with_its_files_and_gets_its_arguments() {
        let line = "--other /proc/self/exe --file /lib/x.o=/proc/self/exe -- --bpf-lib /lib";
        let options = parse(line).unwrap();
        assert_eq!(options.packed().len(), 2);
        let other = options.plan_for("vm-6.12".parse().unwrap()).other.unwrap();
        assert_eq!(other.arguments, ["--bpf-lib", "/lib"]);
        assert_eq!(other.program, PathBuf::from("/packed-0"));
        assert_eq!(other.files, [("/packed-1".into(), "/lib/x.o".into())]);
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for line in [
            "2.4",
            "--execs",
            "--execs 0",
            "--execs x",
            "--what",
            "-- --flag",
            "--other /nowhere",
            "native --instructions",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
