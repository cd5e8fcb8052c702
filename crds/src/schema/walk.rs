//! A value against its schema.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::later::is_later;
use super::{Broken, Kind, Schema};
use crate::report::{Diagnostic, Path, nearest, one_of};
use crate::source::{Content, Entry, Node, Scalar};

const LATER: &str = "later versions of the interface have it, v1.2 does not";

pub(super) struct Walk<'f> {
    pub(super) findings: &'f mut Vec<Diagnostic>,
    pub(super) broken: Broken,
}

impl Walk<'_> {
    /// The value with defaults, or a placeholder for it.
    pub(super) fn value(&mut self, schema: &Schema, node: &Node, path: &Path) -> Value {
        match (&schema.kind, &node.content) {
            (Kind::Object { properties, required }, Content::Map(entries)) => {
                self.object(properties, required, entries, path)
            }
            (Kind::Map(schema), Content::Map(entries)) => {
                let mut field = |entry: &Entry| {
                    let value = self.value(schema, &entry.value, &path.field(entry.key.clone()));
                    (entry.key.clone(), value)
                };
                Value::Object(entries.iter().map(&mut field).collect())
            }
            (Kind::List { items, most }, Content::List(nodes)) => {
                if let Some(most) = most.filter(|most| nodes.len() > *most) {
                    let diagnostic = Diagnostic::new(path.clone(), format!("{} elements", nodes.len()));
                    self.findings.push(diagnostic.remedy(format!("no more than {most} are allowed")));
                }
                let item = |(index, node)| self.value(items, node, &path.index(index));
                Value::Array(nodes.iter().enumerate().map(item).collect())
            }
            (Kind::Text { words, .. }, Content::Scalar(scalar)) if !words.is_empty() => {
                self.word(schema, words, scalar, path)
            }
            (Kind::Text { longest, pattern, .. }, Content::Scalar(scalar)) if !scalar.is_null() => {
                // A number or boolean is taken as the text that it was written with.
                let text = &scalar.text;
                if let Some(longest) = longest.filter(|longest| text.chars().count() > *longest) {
                    self.wrong(path, text, "too long", format!("no more than {longest} characters"));
                }
                if let Some(pattern) = pattern.as_ref().filter(|pattern| !pattern.is_match(text)) {
                    self.wrong(path, text, "not a label's value", format!("it must match {pattern}"));
                }
                Value::String(text.clone())
            }
            (Kind::Integer { least, most }, Content::Scalar(scalar)) => match scalar.integer() {
                Some(number) if number < *least || number > *most => {
                    self.wrong(path, &scalar.text, "out of range", format!("from {least} to {most}"));
                    self.placeholder(schema, path)
                }
                // Every range of the schema lies within this type's.
                Some(number) => i64::try_from(number).map_or(Value::Null, Value::from),
                None => self.mistyped(schema, node, path),
            },
            (Kind::Boolean, Content::Scalar(scalar)) => match scalar.boolean() {
                Some(boolean) => Value::Bool(boolean),
                None => self.mistyped(schema, node, path),
            },
            _ => self.mistyped(schema, node, path),
        }
    }

    fn object(
        &mut self,
        properties: &BTreeMap<String, Schema>,
        required: &[String],
        entries: &[Entry],
        path: &Path,
    ) -> Value {
        let mut object = Map::new();
        for entry in entries {
            let path = path.field(entry.key.clone());
            match properties.get(&entry.key) {
                None => self.unknown(&entry.key, properties, path),
                // A null stands for an absent field.
                Some(_) if entry.value.is_null() => {}
                Some(schema) => {
                    object.insert(entry.key.clone(), self.value(schema, &entry.value, &path));
                }
            }
        }
        for (name, schema) in properties {
            if object.contains_key(name) {
                continue;
            }
            if let Some(default) = &schema.default {
                object.insert(name.clone(), default.clone());
            } else if name == "index" {
                // The reference reads a missing index as 0 when a policy comes from a file or a client.
                object.insert(name.clone(), Value::from(0));
            } else if required.contains(name) {
                let path = path.field(name.clone());
                self.findings.push(Diagnostic::new(path.clone(), "missing").remedy(wanted(schema)));
                object.insert(name.clone(), self.placeholder(schema, &path));
            }
        }
        Value::Object(object)
    }

    fn unknown(&mut self, key: &str, properties: &BTreeMap<String, Schema>, path: Path) {
        let names = properties.keys().map(String::as_str);
        let remedy = match is_later(key) {
            true => LATER.to_owned(),
            false => one_of(key, names),
        };
        self.findings.push(Diagnostic::new(path, "unknown field").remedy(remedy));
    }

    fn word(&mut self, schema: &Schema, words: &[String], scalar: &Scalar, path: &Path) -> Value {
        let text = &scalar.text;
        if words.contains(text) {
            return Value::String(text.clone());
        }
        let remedy = match is_later(text) {
            true => LATER.to_owned(),
            false => one_of(text, words.iter().map(String::as_str)),
        };
        self.wrong(path, text, "not a word that is known here", remedy);
        self.placeholder(schema, path)
    }

    fn mistyped(&mut self, schema: &Schema, node: &Node, path: &Path) -> Value {
        let problem = format!("{} where {} is needed", node.kind(), article(schema));
        let mut diagnostic = Diagnostic::new(path.clone(), problem);
        if let Content::Scalar(scalar) = &node.content {
            diagnostic = diagnostic.value(&scalar.text);
        }
        if let Some(remedy) = hint(schema, node) {
            diagnostic = diagnostic.remedy(remedy);
        }
        self.findings.push(diagnostic);
        self.placeholder(schema, path)
    }

    /// A value of the right type that stands for a broken one.
    fn placeholder(&mut self, schema: &Schema, path: &Path) -> Value {
        self.broken.insert(path.clone());
        if let Some(default) = &schema.default {
            return default.clone();
        }
        match &schema.kind {
            Kind::Object { properties, required } => {
                let mut object = Map::new();
                for (name, schema) in properties {
                    if schema.default.is_some() || required.contains(name) {
                        object.insert(name.clone(), self.placeholder(schema, &path.field(name.clone())));
                    }
                }
                Value::Object(object)
            }
            Kind::Map(_) => Value::Object(Map::new()),
            Kind::List { .. } => Value::Array(Vec::new()),
            Kind::Text { words, .. } => Value::String(words.first().cloned().unwrap_or_default()),
            Kind::Integer { .. } => Value::from(0),
            Kind::Boolean => Value::Bool(false),
        }
    }

    fn wrong(&mut self, path: &Path, value: &str, problem: &str, remedy: String) {
        self.findings.push(Diagnostic::new(path.clone(), problem).value(value).remedy(remedy));
    }
}

fn article(schema: &Schema) -> &'static str {
    match schema.kind {
        Kind::Object { .. } | Kind::Map(_) => "an object",
        Kind::List { .. } => "a list",
        Kind::Text { .. } => "a text",
        Kind::Integer { .. } => "a whole number",
        Kind::Boolean => "true or false",
    }
}

/// What a missing field should hold.
fn wanted(schema: &Schema) -> String {
    match &schema.kind {
        Kind::Text { words, .. } if !words.is_empty() => format!("one of {}", words.join(", ")),
        _ => format!("{} is required", article(schema)),
    }
}

/// What was probably meant.
fn hint(schema: &Schema, node: &Node) -> Option<String> {
    match (&schema.kind, &node.content) {
        (Kind::List { .. }, Content::Map(_)) => Some("put \"- \" before its first field".to_owned()),
        (Kind::List { .. }, Content::Scalar(scalar)) if scalar.text.len() < 40 => {
            Some(format!("write [{:?}]", scalar.text))
        }
        (Kind::Object { .. }, Content::List(_)) => Some("leave out the \"- \"".to_owned()),
        (Kind::Text { .. }, Content::Scalar(scalar)) if scalar.is_null() => {
            Some("write \"\" for an empty text".to_owned())
        }
        (Kind::Integer { .. } | Kind::Boolean, Content::Scalar(scalar)) if scalar.quoted => {
            let plain = Scalar { text: scalar.text.clone(), quoted: false };
            let fits = match schema.kind {
                Kind::Boolean => plain.boolean().is_some(),
                _ => plain.integer().is_some(),
            };
            fits.then(|| format!("write {} without quotes", plain.text))
        }
        (Kind::Integer { .. } | Kind::Boolean, Content::Scalar(scalar)) => {
            nearest(&scalar.text, ["true", "false"]).filter(|_| matches!(schema.kind, Kind::Boolean))
        }
        _ => None,
    }
}
