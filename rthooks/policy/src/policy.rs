//! The decision.

use std::collections::{BTreeSet, HashMap};

use cel::Value;
use regex_lite::{Regex, RegexBuilder};

use crate::expression::{Expression, Variables};
use crate::{Options, PolicyError, Subject};

/// All that an expression can name.
pub(crate) const VARIABLES: [&str; 7] = [
    "annotations",
    "annotations_namespace_keys",
    "annotations_namespace_key",
    "pod_namespace",
    "allow_namespaces",
    "allow_namespace_patterns",
    "static_pod",
];

/// Bytes of a compiled pattern.
const LARGEST_PATTERN: usize = 1 << 20;

/// Whether a container may start that the agent could not be told of.
#[derive(Debug)]
pub struct FailurePolicy {
    options: Options,
    patterns: Vec<Regex>,
    expression: Option<Expression>,
}

/// What becomes of a container, and why. The reasons are for people, one line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It may start.
    Allow(String),
    /// It must not.
    Refuse(String),
}

impl Decision {
    /// It may start.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Allow(_))
    }

    /// Why.
    #[must_use]
    pub fn reason(&self) -> &str {
        match self {
            Self::Allow(reason) | Self::Refuse(reason) => reason,
        }
    }
}

/// What is known of a container's namespace.
#[derive(Debug, PartialEq, Eq)]
enum Namespace<'a> {
    Unknown,
    One(&'a str),
    /// Annotations contradict each other.
    Several(BTreeSet<&'a str>),
}

impl FailurePolicy {
    /// Compiles the patterns and the expression.
    ///
    /// # Errors
    /// An option is malformed, or an expression cannot work for any container.
    pub fn new(options: &Options) -> Result<Self, PolicyError> {
        let options = options.clone();
        if options.namespace_keys.is_empty() {
            return Err(PolicyError::NoNamespaceKey);
        }
        let patterns = options.allow_namespace_patterns.iter().enumerate();
        let patterns =
            patterns.map(|(index, pattern)| compile(index + 1, pattern)).collect::<Result<_, _>>()?;
        let mut policy = Self { options, patterns, expression: None };
        if let Some(text) = policy.options.cel_expression.as_deref().filter(|text| !text.trim().is_empty()) {
            let nobody = Subject { annotations: &[].into(), namespace: None, static_pod: false };
            policy.expression = Some(Expression::compile(text, policy.variables(&nobody))?);
        }
        Ok(policy)
    }

    /// Decides about one container. May take up to half a second where an expression runs away.
    #[must_use]
    pub fn decide(&self, subject: &Subject<'_>) -> Decision {
        if subject.static_pod && self.options.exempt_static_pods {
            return Decision::Allow("static pods are exempt, so that a node can always boot".to_owned());
        }
        match &self.expression {
            Some(expression) => match expression.evaluate(self.variables(subject)) {
                Ok(false) => Decision::Allow("--fail-cel-expr is false for it".to_owned()),
                Ok(true) => Decision::Refuse("--fail-cel-expr is true for it".to_owned()),
                Err(why) => Decision::Refuse(format!(
                    "--fail-cel-expr cannot be evaluated for it ({why}), which refuses it"
                )),
            },
            None => self.decide_by_namespace(&self.namespace(subject)),
        }
    }

    fn decide_by_namespace(&self, namespace: &Namespace<'_>) -> Decision {
        let named = match namespace {
            Namespace::Unknown => {
                return Decision::Refuse(format!(
                    "its namespace is not known: no annotation {}",
                    self.options.namespace_keys.join(" or ")
                ));
            }
            Namespace::One(name) => &BTreeSet::from([*name]),
            Namespace::Several(names) => names,
        };
        match named.iter().find(|name| !self.is_listed(name)) {
            None => Decision::Allow(format!("namespace {} is exempt", quoted(named))),
            Some(_) if named.len() > 1 => Decision::Refuse(format!(
                "its annotations name several namespaces, {}, of which not all are exempt",
                quoted(named)
            )),
            Some(name) => Decision::Refuse(format!(
                "namespace {name:?} is neither in --fail-allow-namespaces nor matched by \
                 --fail-allow-namespaces-regex"
            )),
        }
    }

    fn is_listed(&self, namespace: &str) -> bool {
        self.options.allow_namespaces.iter().any(|allowed| allowed == namespace)
            || self.patterns.iter().any(|pattern| pattern.is_match(namespace))
    }

    fn namespace<'a>(&self, subject: &Subject<'a>) -> Namespace<'a> {
        if let Some(name) = subject.namespace.filter(|name| !name.is_empty()) {
            return Namespace::One(name);
        }
        let keys = self.options.namespace_keys.iter();
        let named = keys.filter_map(|key| subject.annotations.get(key));
        let named: BTreeSet<&str> = named.map(String::as_str).filter(|name| !name.is_empty()).collect();
        match named.first() {
            None => Namespace::Unknown,
            Some(name) if named.len() == 1 => Namespace::One(name),
            Some(_) => Namespace::Several(named),
        }
    }

    fn variables(&self, subject: &Subject<'_>) -> Variables {
        let strings = |list: &[String]| Value::from(list.to_vec());
        let namespace = match self.namespace(subject) {
            Namespace::One(name) => name,
            Namespace::Unknown | Namespace::Several(_) => "",
        };
        let keys = &self.options.namespace_keys;
        let key = keys.iter().find(|key| subject.annotations.contains_key(*key)).or_else(|| keys.first());
        let annotations: HashMap<String, String> =
            subject.annotations.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        let values = [
            Value::from(annotations),
            strings(keys),
            Value::from(key.map_or("", String::as_str)),
            Value::from(namespace),
            strings(&self.options.allow_namespaces),
            strings(&self.options.allow_namespace_patterns),
            Value::Bool(subject.static_pod),
        ];
        VARIABLES.into_iter().zip(values).collect()
    }
}

fn compile(number: usize, pattern: &str) -> Result<Regex, PolicyError> {
    if pattern.is_empty() {
        return Err(PolicyError::EmptyPattern { number });
    }
    RegexBuilder::new(pattern).size_limit(LARGEST_PATTERN).build().map_err(|error| {
        let message = error.to_string();
        PolicyError::Pattern { number, pattern: pattern.to_owned(), message }
    })
}

fn quoted(names: &BTreeSet<&str>) -> String {
    names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
