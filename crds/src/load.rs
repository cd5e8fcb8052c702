//! The one way from a text to a policy, wherever the text comes from.

use serde_json::Value;

use crate::check;
use crate::origin::Origin;
use crate::policy::Policy;
use crate::report::{Diagnostic, Errors, Findings, Path, one_of};
use crate::schema;
use crate::source::{self, Content, Node};
use crate::spec::TracingPolicySpec;
use crate::syscalls::Arch;

const API_VERSION: &str = "cilium.io/v1alpha1";
const CLUSTER: &str = "TracingPolicy";
const NAMESPACED: &str = "TracingPolicyNamespaced";

/// Loads a policy for the architecture of this program.
///
/// # Errors
///
/// Everything that is wrong with the policy, at once.
pub fn load(yaml: &str, origin: &Origin) -> Result<Policy, Errors> {
    load_for(Arch::current(), yaml, origin)
}

/// Loads a policy for machines of an architecture.
///
/// # Errors
///
/// Everything that is wrong with the policy, at once.
pub fn load_for(arch: Arch, yaml: &str, origin: &Origin) -> Result<Policy, Errors> {
    let mut findings = Findings::default();
    match source::parse(yaml, &mut findings.errors) {
        Ok(document) => object(&document, arch, origin, findings),
        Err(diagnostic) => {
            findings.error(diagnostic);
            Err(refuse(origin, None, findings))
        }
    }
}

/// Loads a policy that the API server has stored, as JSON, for the architecture of this program.
///
/// # Errors
///
/// Everything that is wrong with the policy, at once.
pub fn load_json(object: &Value, origin: &Origin) -> Result<Policy, Errors> {
    let mut findings = Findings::default();
    match source::from_json(object) {
        Ok(document) => self::object(&document, Arch::current(), origin, findings),
        Err(diagnostic) => {
            findings.error(diagnostic);
            Err(refuse(origin, None, findings))
        }
    }
}

fn object(document: &Node, arch: Arch, origin: &Origin, mut findings: Findings) -> Result<Policy, Errors> {
    let root = Path::root();
    let Content::Map(entries) = &document.content else {
        let problem = format!("{} where a policy is needed", document.kind());
        findings.error(Diagnostic::new(root, problem).remedy("apiVersion, kind, metadata and spec"));
        return Err(refuse(origin, Some(document), findings));
    };
    for entry in entries {
        if !["apiVersion", "kind", "metadata", "spec"].contains(&entry.key.as_str()) {
            let remedy = one_of(&entry.key, ["apiVersion", "kind", "metadata", "spec"]);
            findings.error(Diagnostic::new(root.field(entry.key.clone()), "unknown field").remedy(remedy));
        }
    }
    word(document, "apiVersion", &[API_VERSION], &mut findings);
    let kind = word(document, "kind", &[CLUSTER, NAMESPACED], &mut findings);
    let name = check::metadata(document.get("metadata"), kind.map(|kind| kind == NAMESPACED), &mut findings);
    let policy = spec(document).and_then(|spec| {
        let (value, broken) = schema::apply(spec, &root.field("spec"), &mut findings.errors);
        let spec: TracingPolicySpec = serde_json::from_value(value).map_err(|error| {
            Diagnostic::new(root.field("spec"), format!("the schema let something pass: {error}"))
        })?;
        Ok(check::policy(name, origin.clone(), &spec, &broken, arch, &mut findings))
    });
    match policy {
        Ok(mut policy) if findings.errors.is_empty() => {
            policy.warnings = findings.warnings;
            place(&mut policy.warnings, document);
            Ok(policy)
        }
        Ok(_) => Err(refuse(origin, Some(document), findings)),
        Err(diagnostic) => {
            findings.error(diagnostic);
            Err(refuse(origin, Some(document), findings))
        }
    }
}

/// An empty `spec` is a policy that does nothing; a missing one is an oversight.
fn spec(document: &Node) -> Result<&Node, Diagnostic> {
    document.get("spec").filter(|spec| !spec.is_null()).ok_or_else(|| {
        Diagnostic::new(Path::root().field("spec"), "missing")
            .remedy("write spec: {} for a policy without hooks")
    })
}

/// A field that holds one of a few words.
fn word(
    document: &Node,
    field: &'static str,
    words: &[&'static str],
    findings: &mut Findings,
) -> Option<&'static str> {
    let path = Path::root().field(field);
    let text = match document.get(field).map(|node| &node.content) {
        Some(Content::Scalar(scalar)) if !scalar.is_null() => &scalar.text,
        _ => {
            findings.error(Diagnostic::new(path, "missing").remedy(one_of("", words.iter().copied())));
            return None;
        }
    };
    let found = words.iter().copied().find(|word| word == text);
    if found.is_none() {
        let diagnostic = Diagnostic::new(path, format!("unknown {field}")).value(text);
        findings.error(diagnostic.remedy(one_of(text, words.iter().copied())));
    }
    found
}

fn refuse(origin: &Origin, document: Option<&Node>, findings: Findings) -> Errors {
    let Findings { mut errors, mut warnings } = findings;
    if let Some(document) = document {
        place(&mut errors, document);
        place(&mut warnings, document);
    }
    Errors { origin: origin.clone(), errors, warnings }
}

/// Tells where in the text findings are, and puts them into its order.
fn place(findings: &mut [Diagnostic], document: &Node) {
    for finding in findings.iter_mut() {
        finding.position = finding.position.or_else(|| document.locate(&finding.path));
    }
    findings.sort_by_key(|finding| finding.position);
}
