//! The definitions' schema, enforced without an API server: defaults, unknown fields, types, ranges.
//!
//! Every finding is collected. What is wrong or missing is replaced by a placeholder of the right type and remembered
//! as broken, so that the rest of the policy can be checked in the same run.

mod later;
mod walk;

use std::collections::{BTreeMap, HashSet};
use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

use crate::crd;
use crate::report::{Diagnostic, Path};
use crate::source::Node;

/// The schema of a policy's `spec`; both kinds have the same.
static SPEC: LazyLock<Schema> = LazyLock::new(|| {
    let definition = crd::tracing_policy();
    Schema::new(&crd::schema_of(&definition)["properties"]["spec"])
});

/// What is known of a value's fields after they were checked.
#[derive(Debug, Default)]
pub(crate) struct Broken(HashSet<Path>);

impl Broken {
    /// Whether the value at the path is what the policy says, and no placeholder.
    pub(crate) fn contains(&self, path: &Path) -> bool {
        self.0.contains(path)
    }

    fn insert(&mut self, path: Path) {
        self.0.insert(path);
    }
}

/// Checks a `spec` and returns it as the API server would store it.
pub(crate) fn apply(spec: &Node, path: &Path, findings: &mut Vec<Diagnostic>) -> (Value, Broken) {
    let mut walk = walk::Walk { findings, broken: Broken::default() };
    let value = walk.value(&SPEC, spec, path);
    (value, walk.broken)
}

/// The part of OpenAPI that the definitions use.
#[derive(Debug)]
struct Schema {
    kind: Kind,
    default: Option<Value>,
}

#[derive(Debug)]
enum Kind {
    Object { properties: BTreeMap<String, Schema>, required: Vec<String> },
    Map(Box<Schema>),
    List { items: Box<Schema>, most: Option<usize> },
    Text { words: Vec<String>, longest: Option<usize>, pattern: Option<Regex> },
    Integer { least: i128, most: i128 },
    Boolean,
}

impl Schema {
    fn new(schema: &Value) -> Self {
        let number = |key: &str| schema[key].as_u64().and_then(|number| usize::try_from(number).ok());
        let texts = |key: &str| -> Vec<String> {
            let items = schema[key].as_array().map(Vec::as_slice).unwrap_or_default();
            items.iter().filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let kind = match schema["type"].as_str() {
            Some("object") => match schema["properties"].as_object() {
                Some(properties) => Kind::Object {
                    properties: properties.iter().map(|(name, it)| (name.clone(), Self::new(it))).collect(),
                    required: texts("required"),
                },
                None => Kind::Map(Box::new(Self::new(&schema["additionalProperties"]))),
            },
            Some("array") => {
                Kind::List { items: Box::new(Self::new(&schema["items"])), most: number("maxItems") }
            }
            Some("integer") => {
                let limit = |key: &str, limit: i128| schema[key].as_i64().map_or(limit, i128::from);
                let (least, most) = match schema["format"].as_str() {
                    Some("int32") => (i128::from(i32::MIN), i128::from(i32::MAX)),
                    _ => (i128::from(i64::MIN), i128::from(i64::MAX)),
                };
                Kind::Integer { least: limit("minimum", least), most: limit("maximum", most) }
            }
            Some("boolean") => Kind::Boolean,
            _ => Kind::Text {
                words: texts("enum"),
                longest: number("maxLength"),
                pattern: schema["pattern"].as_str().and_then(|pattern| Regex::new(pattern).ok()),
            },
        };
        Self { kind, default: schema.get("default").cloned() }
    }
}

#[cfg(test)]
mod tests;
