//! Lists, and references to them.

use std::collections::HashMap;

use regex::Regex;

use super::Check;
use crate::policy::{Call, List, ListContent};
use crate::report::{Diagnostic, Findings, Path, nearest};
use crate::schema::Broken;
use crate::spec::{ListSpec, ListType};
use crate::syscalls::{Arch, SyscallRef};

/// The lists of a policy.
#[derive(Debug, Default)]
pub(super) struct Lists {
    all: Vec<List>,
    by_name: HashMap<String, usize>,
}

/// Reads all lists.
pub(super) fn lists(specs: &[ListSpec], arch: Arch, broken: &Broken, findings: &mut Findings) -> Lists {
    let mut lists = Lists::default();
    let path = Path::root().field("spec").field("lists");
    for (index, spec) in specs.iter().enumerate() {
        let path = path.index(index);
        let name = path.field("name");
        if spec.name.is_empty() && !broken.contains(&name) {
            findings.error(Diagnostic::new(name, "empty").remedy("a name was expected"));
        } else if let Some(first) = lists.by_name.get(&spec.name).filter(|_| !broken.contains(&name)) {
            let problem = "duplicate name";
            let remedy = format!("spec.lists[{first}] has it already; rename one of them");
            findings.error(Diagnostic::new(name, problem).value(&spec.name).remedy(remedy));
        } else {
            lists.by_name.insert(spec.name.clone(), index);
        }
        let content = match broken.contains(&path.field("type")) {
            // Neither checks nor references can tell what it is.
            true => ListContent::AllSyscalls,
            false => content(spec, arch, &path, broken, findings),
        };
        lists.all.push(List { name: spec.name.clone(), path, content });
    }
    lists
}

fn content(
    spec: &ListSpec,
    arch: Arch,
    path: &Path,
    broken: &Broken,
    findings: &mut Findings,
) -> ListContent {
    let values = path.field("values");
    let pattern = path.field("pattern");
    let is_generated =
        matches!(spec.list_type, Some(ListType::GeneratedSyscalls | ListType::GeneratedFtrace));
    if is_generated && !spec.values.is_empty() {
        let diagnostic = Diagnostic::new(values.clone(), "a generated list cannot have values");
        findings.error(diagnostic.remedy("leave out the values or the type"));
    }
    if !is_generated && spec.values.is_empty() && !broken.contains(&values) {
        findings.error(Diagnostic::new(values.clone(), "no values").remedy("the list needs one"));
    }
    if spec.list_type != Some(ListType::GeneratedFtrace) && !spec.pattern.is_empty() {
        let diagnostic = Diagnostic::new(pattern.clone(), "has no effect").value(&spec.pattern);
        findings.warn(diagnostic.remedy("only lists of type generated_ftrace have a pattern"));
    }
    match spec.list_type {
        None => {
            for (index, value) in spec.values.iter().enumerate() {
                if let Err(diagnostic) = function(value) {
                    findings.error(Diagnostic { path: values.index(index), ..diagnostic });
                }
            }
            ListContent::Functions(spec.values.clone())
        }
        Some(ListType::Syscalls) => ListContent::Syscalls(syscalls(&spec.values, arch, &values, findings)),
        Some(ListType::GeneratedSyscalls) => ListContent::AllSyscalls,
        Some(ListType::GeneratedFtrace) => {
            if spec.pattern.is_empty() && !broken.contains(&pattern) {
                let diagnostic = Diagnostic::new(pattern, "missing");
                findings.error(diagnostic.remedy("a regular expression that the functions' names contain"));
            } else if let Err(error) = Regex::new(&spec.pattern) {
                let text = error.to_string();
                let reason = text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
                let problem = format!("not a regular expression: {reason}");
                findings.error(Diagnostic::new(pattern, problem).value(&spec.pattern));
            }
            ListContent::Traceable { pattern: spec.pattern.clone() }
        }
    }
}

fn syscalls(values: &[String], arch: Arch, path: &Path, findings: &mut Findings) -> Vec<SyscallRef> {
    let mut calls = Vec::with_capacity(values.len());
    for (index, value) in values.iter().enumerate() {
        match SyscallRef::parse(value, arch) {
            Ok(call) => {
                if call.number().is_none() {
                    findings.warn(unknown_syscall(&call, value, path.index(index)));
                }
                calls.push(call);
            }
            Err(error) => {
                let diagnostic = Diagnostic::new(path.index(index), error.to_string()).value(value);
                let is_call = arch.native().number(value).is_some();
                findings.error(if is_call {
                    diagnostic.remedy(format!("write sys_{value}"))
                } else {
                    diagnostic
                });
            }
        }
    }
    calls
}

/// Not an error: the kernel may be newer than our tables.
pub(super) fn unknown_syscall(call: &SyscallRef, value: &str, path: Path) -> Diagnostic {
    let diagnostic =
        Diagnostic::new(path, format!("no system call of {} that is known here", call.abi)).value(value);
    let names: Vec<String> = call.abi.names().map(|name| format!("sys_{name}")).collect();
    match nearest(&format!("sys_{}", call.name), names.iter().map(String::as_str)) {
        Some(remedy) => diagnostic.remedy(remedy),
        None => diagnostic,
    }
}

/// Whether a text can be the name of a kernel function.
pub(super) fn function(name: &str) -> Result<(), Diagnostic> {
    let wrong = |problem: &str| Diagnostic::new(Path::root(), problem).value(name);
    if name.is_empty() {
        return Err(wrong("empty").remedy("the name of a kernel function was expected"));
    }
    let is_symbol = |byte: u8| byte.is_ascii_alphanumeric() || b"_.$".contains(&byte);
    if name.len() > 511 || !name.bytes().all(is_symbol) {
        return Err(wrong("not the name of a kernel function"));
    }
    Ok(())
}

impl Lists {
    pub(super) fn into_all(self) -> Vec<List> {
        self.all
    }

    pub(super) fn get(&self, index: usize) -> Option<&List> {
        self.all.get(index)
    }

    /// The position of a list.
    pub(super) fn find(&self, name: &str, path: &Path) -> Result<usize, Diagnostic> {
        self.by_name.get(name).copied().ok_or_else(|| {
            let diagnostic = Diagnostic::new(path.clone(), format!("list '{name}' not found"));
            let diagnostic = diagnostic.value(format!("list:{name}"));
            match nearest(name, self.by_name.keys().map(String::as_str)) {
                Some(remedy) => diagnostic.remedy(remedy),
                None => diagnostic.remedy("define it in spec.lists"),
            }
        })
    }

    /// The numbers of a list's system calls.
    pub(super) fn numbers(
        &self,
        name: &str,
        path: &Path,
        numbers: &mut Vec<(i128, i128)>,
        all_syscalls: &mut bool,
        findings: &mut Findings,
    ) {
        let list = match self.find(name, path) {
            Ok(index) => self.all.get(index),
            Err(diagnostic) => return findings.error(diagnostic),
        };
        match list.map(|list| (&list.content, &list.path)) {
            Some((ListContent::AllSyscalls, _)) => *all_syscalls = true,
            Some((ListContent::Syscalls(calls), list)) => {
                for (index, call) in calls.iter().enumerate() {
                    match call.number() {
                        Some(number) => numbers.push((i128::from(number), i128::from(number))),
                        None => {
                            let path = list.field("values").index(index);
                            let value = format!("sys_{}", call.name);
                            let unknown = unknown_syscall(call, &value, path);
                            let problem = format!("cannot translate syscall: {}", unknown.problem);
                            findings.error(Diagnostic { problem, ..unknown });
                        }
                    }
                }
            }
            _ => {
                let diagnostic =
                    Diagnostic::new(path.clone(), format!("list '{name}' is not of syscall type"));
                findings.error(
                    diagnostic.value(format!("list:{name}")).remedy("give the list the type syscalls"),
                );
            }
        }
    }
}

impl Check<'_> {
    /// Reads `list:NAME`, if it is that.
    pub(super) fn list_reference(&mut self, text: &str, path: &Path) -> Option<Call> {
        let name = text.strip_prefix("list:")?;
        match self.lists.find(name, path) {
            Ok(index) => Some(Call::List(index)),
            Err(diagnostic) => {
                self.error(diagnostic);
                Some(Call::Function(text.to_owned()))
            }
        }
    }
}
