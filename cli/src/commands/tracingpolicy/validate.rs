//! `tetra tracingpolicy validate`: what the agent would say of policies, as far as no kernel is needed to say it.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};
use serde::Serialize;
use tetragon_crds::{Diagnostic, Errors, Origin, Policy, load, load_each, load_file};

use crate::output;

#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Policy files, directories of such as the agent reads them, or - for standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Form of the output
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    output: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Text,
    Json,
}

/// What was found in a file.
#[derive(Debug, Serialize)]
struct Report {
    file: String,
    /// The policy's name, if it is a policy.
    policy: Option<String>,
    errors: Vec<Diagnostic>,
    warnings: Vec<Diagnostic>,
}

pub(super) fn run(options: &Options) -> Result<()> {
    let mut reports = Vec::new();
    for file in &options.files {
        if file == Path::new("-") {
            let mut bytes = Vec::new();
            io::stdin().lock().read_to_end(&mut bytes).context("cannot read standard input")?;
            let text = String::from_utf8(bytes).context("standard input is not a text in UTF-8")?;
            reports.push(Report::new(load(&text, &Origin::File(file.clone()))));
        } else if file.is_dir() {
            let policies = load_each(file).with_context(|| format!("cannot read {}", file.display()))?;
            reports.extend(policies.into_iter().map(Report::new));
        } else {
            reports.push(Report::new(load_file(file)));
        }
    }
    output::print(&match options.output {
        Format::Text => reports.iter().map(text).collect(),
        Format::Json => serde_json::to_string_pretty(&reports)? + "\n",
    })?;
    match reports.iter().filter(|report| !report.errors.is_empty()).count() {
        0 => Ok(()),
        wrong => bail!("{wrong} of {} policies would be refused", reports.len()),
    }
}

impl Report {
    fn new(outcome: Result<Policy, Errors>) -> Self {
        match outcome {
            Ok(Policy { name, origin, warnings, .. }) => Self {
                file: origin.to_string(),
                policy: Some(name.to_string()),
                errors: Vec::new(),
                warnings,
            },
            Err(Errors { origin, errors, warnings }) => {
                Self { file: origin.to_string(), policy: None, errors, warnings }
            }
        }
    }
}

/// The form of compilers, which editors can follow.
fn text(report: &Report) -> String {
    let Report { file, policy, errors, warnings } = report;
    let mut text = String::new();
    for (kind, findings) in [("error", errors), ("warning", warnings)] {
        for finding in findings {
            // The place belongs to the file's name.
            let place = finding.position.map(|at| format!("{}:{}:", at.line, at.column)).unwrap_or_default();
            let finding = Diagnostic { position: None, ..finding.clone() };
            text.push_str(&format!("{file}:{place} {kind}: {finding}\n"));
        }
    }
    if let Some(policy) = policy {
        text.push_str(&format!("{file}: {policy} is valid\n"));
    }
    text
}
