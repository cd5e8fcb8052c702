//! From JSON to the tree.

use serde_json::Value;

use super::build::DEEPEST;
use super::{Content, Entry, Node, Scalar};
use crate::report::{Diagnostic, Path};

pub(super) fn node(value: &Value, depth: usize) -> Result<Node, Diagnostic> {
    if depth >= DEEPEST {
        return Err(Diagnostic::new(Path::root(), format!("more than {DEEPEST} levels of values in values")));
    }
    let scalar = |text: String, quoted| Content::Scalar(Scalar { text, quoted });
    let content = match value {
        Value::Null => scalar("null".to_owned(), false),
        Value::Bool(boolean) => scalar(boolean.to_string(), false),
        Value::Number(number) => scalar(number.to_string(), false),
        Value::String(text) => scalar(text.clone(), true),
        Value::Array(items) => {
            Content::List(items.iter().map(|item| node(item, depth + 1)).collect::<Result<_, _>>()?)
        }
        Value::Object(fields) => {
            let entry = |(key, value): (&String, &Value)| {
                Ok(Entry { key: key.clone(), position: None, value: node(value, depth + 1)? })
            };
            Content::Map(fields.iter().map(entry).collect::<Result<_, Diagnostic>>()?)
        }
    };
    Ok(Node { position: None, content })
}
