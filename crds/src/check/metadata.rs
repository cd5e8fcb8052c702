//! What every object of the cluster has.

use crate::policy::PolicyName;
use crate::report::{Diagnostic, Findings, Path, one_of};
use crate::source::{Content, Node, Scalar};

/// Fields of the standard metadata. All but four are the API server's own.
const FIELDS: [&str; 16] = [
    "name",
    "namespace",
    "labels",
    "annotations",
    "generateName",
    "finalizers",
    "ownerReferences",
    "managedFields",
    "selfLink",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "clusterName",
];

/// Bytes of all annotations together, as the API server limits them.
const ANNOTATIONS: usize = 256 << 10;

/// Checks the metadata. The kind is unknown if it was wrong itself.
pub(crate) fn metadata(
    node: Option<&Node>,
    is_namespaced: Option<bool>,
    findings: &mut Findings,
) -> PolicyName {
    let path = Path::root().field("metadata");
    let mut name = PolicyName { namespace: None, name: String::new() };
    let Some(node) = node.filter(|node| !node.is_null()) else {
        findings.error(Diagnostic::new(path, "missing").remedy("a policy needs metadata with a name"));
        return name;
    };
    let Content::Map(entries) = &node.content else {
        findings.error(Diagnostic::new(path, format!("{} where an object is needed", node.kind())));
        return name;
    };
    for entry in entries {
        let path = path.field(entry.key.clone());
        match entry.key.as_str() {
            key if !FIELDS.contains(&key) => {
                let remedy = one_of(key, ["name", "namespace", "labels", "annotations"]);
                findings.error(Diagnostic::new(path, "unknown field").remedy(remedy));
            }
            _ if entry.value.is_null() => {}
            "name" => name.name = text(&entry.value, &path, findings).unwrap_or_default().to_owned(),
            "namespace" => {
                name.namespace =
                    text(&entry.value, &path, findings).filter(|it| !it.is_empty()).map(str::to_owned);
            }
            "labels" => each(&entry.value, &path, findings, label_value),
            "annotations" => annotations(&entry.value, &path, findings),
            _ => {}
        }
    }
    check_name(node, &name.name, &path.field("name"), findings);
    check_namespace(node, name.namespace.as_deref(), is_namespaced, &path.field("namespace"), findings);
    name
}

fn check_name(metadata: &Node, name: &str, path: &Path, findings: &mut Findings) {
    let given = metadata.get("name").filter(|node| !node.is_null());
    if name.is_empty() {
        // A name of another type was reported.
        if given.is_none_or(|node| matches!(node.content, Content::Scalar(_))) {
            findings.error(Diagnostic::new(path.clone(), "missing").remedy("a policy needs a name"));
        }
    } else if name.len() > 253 {
        findings.error(
            Diagnostic::new(path.clone(), "too long").value(name).remedy("no more than 253 characters"),
        );
    } else if !name.split('.').all(is_dns_label) {
        let remedy =
            "lower case letters, digits, \"-\" and \".\", letters or digits at both ends of every part";
        findings.error(Diagnostic::new(path.clone(), "not a name of an object").value(name).remedy(remedy));
    }
}

fn check_namespace(
    metadata: &Node,
    namespace: Option<&str>,
    is_namespaced: Option<bool>,
    path: &Path,
    findings: &mut Findings,
) {
    match (namespace, is_namespaced) {
        (Some(namespace), Some(false)) => {
            let diagnostic =
                Diagnostic::new(path.clone(), "a TracingPolicy has no namespace").value(namespace);
            findings.error(diagnostic.remedy("leave it out, or use the kind TracingPolicyNamespaced"));
        }
        (None, Some(true)) => {
            let given = metadata.get("namespace");
            if given.is_none_or(|node| matches!(node.content, Content::Scalar(_))) {
                let remedy = "a TracingPolicyNamespaced needs one; a TracingPolicy applies to all";
                findings.error(Diagnostic::new(path.clone(), "missing").remedy(remedy));
            }
        }
        (Some(namespace), _) if namespace.len() > 63 || !is_dns_label(namespace) => {
            let remedy = "up to 63 lower case letters, digits and \"-\", letters or digits at both ends";
            findings.error(Diagnostic::new(path.clone(), "not a namespace").value(namespace).remedy(remedy));
        }
        _ => {}
    }
}

fn annotations(node: &Node, path: &Path, findings: &mut Findings) {
    each(node, path, findings, |_| Ok(()));
    let Content::Map(entries) = &node.content else { return };
    let size = |value: &Node| match &value.content {
        Content::Scalar(scalar) => scalar.text.len(),
        _ => 0,
    };
    let total: usize = entries.iter().map(|entry| entry.key.len() + size(&entry.value)).sum();
    if total > ANNOTATIONS {
        let diagnostic = Diagnostic::new(path.clone(), format!("{total} bytes"));
        findings.error(diagnostic.remedy(format!("all annotations together may have {ANNOTATIONS}")));
    }
}

/// Checks keys and values of labels or annotations.
fn each(node: &Node, path: &Path, findings: &mut Findings, check: impl Fn(&str) -> Result<(), &'static str>) {
    let Content::Map(entries) = &node.content else {
        findings.error(Diagnostic::new(path.clone(), format!("{} where an object is needed", node.kind())));
        return;
    };
    for entry in entries {
        let path = path.field(entry.key.clone());
        if !is_qualified_name(&entry.key) {
            let remedy = "such as app or example.com/app, the name no longer than 63 characters";
            findings.error(Diagnostic::new(path.clone(), "not a key").value(&entry.key).remedy(remedy));
        }
        if let Some(text) = text(&entry.value, &path, findings)
            && let Err(remedy) = check(text)
        {
            findings.error(Diagnostic::new(path, "not a label's value").value(text).remedy(remedy));
        }
    }
}

/// A text; numbers and booleans are taken as the text they were written with.
fn text<'n>(node: &'n Node, path: &Path, findings: &mut Findings) -> Option<&'n str> {
    match &node.content {
        Content::Scalar(Scalar { text, .. }) => Some(text),
        _ => {
            findings.error(Diagnostic::new(path.clone(), format!("{} where a text is needed", node.kind())));
            None
        }
    }
}

fn label_value(value: &str) -> Result<(), &'static str> {
    if value.is_empty() || is_word(value) {
        return Ok(());
    }
    Err("up to 63 letters, digits, \"-\", \"_\" and \".\", letters or digits at both ends")
}

/// A word, with a domain and a slash before it or not.
fn is_qualified_name(key: &str) -> bool {
    match key.split_once('/') {
        Some((domain, word)) => domain.len() <= 253 && domain.split('.').all(is_dns_label) && is_word(word),
        None => is_word(key),
    }
}

fn is_word(text: &str) -> bool {
    let ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    text.len() <= 63
        && ends(bytes.first())
        && ends(bytes.last())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

/// A part of a DNS name.
fn is_dns_label(text: &str) -> bool {
    let is_alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    bytes.first().is_some_and(is_alphanumeric)
        && bytes.last().is_some_and(is_alphanumeric)
        && bytes.iter().all(|byte| is_alphanumeric(byte) || *byte == b'-')
}
