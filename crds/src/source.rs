//! A policy's text as a tree that knows where everything stands.
//!
//! YAML is read event by event rather than into values, so that a duplicate key is one finding among others, a scalar
//! keeps the text it was written with, and aliases cannot make a small text large.

mod build;
mod json;
mod scalar;

pub(crate) use build::parse;
pub(crate) use scalar::{Scalar, integer};

use crate::report::{Diagnostic, Path, Position, Segment};

/// The longest text that is read, in bytes.
pub(crate) const LONGEST_TEXT: usize = 16 << 20;

/// A value with its place.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    /// Absent in what did not come as text.
    pub(crate) position: Option<Position>,
    pub(crate) content: Content,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Content {
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A field. Keys are different from each other.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) position: Option<Position>,
    pub(crate) value: Node,
}

impl Node {
    /// The value of a field.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        match &self.content {
            Content::Map(entries) => entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value),
            _ => None,
        }
    }

    /// Where a field stands, or what would contain it.
    pub(crate) fn locate(&self, path: &Path) -> Option<Position> {
        let mut node = self;
        let mut position = self.position;
        for segment in path.segments() {
            match (segment, &node.content) {
                (Segment::Field(name), Content::Map(entries)) => {
                    let Some(entry) = entries.iter().find(|entry| entry.key == *name) else { break };
                    position = entry.position.or(entry.value.position).or(position);
                    node = &entry.value;
                }
                (Segment::Index(index), Content::List(items)) => {
                    let Some(item) = items.get(*index) else { break };
                    position = item.position.or(position);
                    node = item;
                }
                _ => break,
            }
        }
        position
    }

    /// What kind of value it is, for people.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.content {
            Content::Scalar(scalar) => scalar.kind(),
            Content::List(_) => "a list",
            Content::Map(_) => "an object",
        }
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.content, Content::Scalar(scalar) if scalar.is_null())
    }
}

/// The tree of an object that did not come as text, and so has no places.
pub(crate) fn from_json(value: &serde_json::Value) -> Result<Node, Diagnostic> {
    json::node(value, 0)
}
