//! From events to the tree.

use std::collections::HashMap;

use granit_parser::{Event, Marker, Parser, ScalarStyle, Span, Tag, options};

use super::{Content, Entry, LONGEST_TEXT, Node, Scalar};
use crate::report::{Diagnostic, Path, Position};

/// How deep values may lie in each other; policies need 12.
pub(super) const DEEPEST: usize = 64;

/// How many values all anchors and aliases of a text together may stand for.
const MOST_ALIASED: usize = 100_000;

/// Reads the one document of a text. What is wrong but can be left out (a duplicate key) is added to the findings.
pub(crate) fn parse(text: &str, findings: &mut Vec<Diagnostic>) -> Result<Node, Diagnostic> {
    if text.len() > LONGEST_TEXT {
        let problem = format!("the text has {} bytes, the limit is {LONGEST_TEXT}", text.len());
        return Err(Diagnostic::new(Path::root(), problem));
    }
    let options = options! {
        emit_comments: false,
        flow_nesting_limit: DEEPEST,
        block_nesting_limit: DEEPEST,
    };
    let mut builder = Builder { findings, open: Vec::new(), anchors: HashMap::new(), aliased: 0 };
    let mut document: Option<Node> = None;
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, span) = event.map_err(|error| {
            let diagnostic = Diagnostic::new(Path::root(), format!("not YAML: {}", error.info()));
            Diagnostic { position: position(*error.marker()), ..diagnostic }
        })?;
        let Some(root) = builder.event(event, &span)? else { continue };
        match &document {
            Some(first) if !first.is_null() && !root.is_null() => {
                let second = Diagnostic::new(Path::root(), "a second document")
                    .remedy("give each policy a text of its own");
                return Err(Diagnostic { position: root.position, ..second });
            }
            Some(first) if !first.is_null() => {}
            _ => document = Some(root),
        }
    }
    document
        .filter(|root| !root.is_null())
        .ok_or_else(|| Diagnostic::new(Path::root(), "the text is empty").remedy("a policy was expected"))
}

struct Builder<'f> {
    findings: &'f mut Vec<Diagnostic>,
    open: Vec<Open>,
    anchors: HashMap<usize, Built>,
    aliased: usize,
}

/// A collection that is not complete.
struct Open {
    anchor: usize,
    position: Option<Position>,
    /// Values in it, itself included.
    size: usize,
    /// Levels in it, itself included.
    height: usize,
    items: Items,
}

enum Items {
    List(Vec<Node>),
    Map(Fields),
}

#[derive(Default)]
struct Fields {
    entries: Vec<Entry>,
    /// Where each key stands.
    seen: HashMap<String, Option<Position>>,
    /// The key whose value comes next.
    key: Option<Key>,
    /// Values of the key `<<`.
    merged: Vec<Node>,
}

struct Key {
    text: String,
    position: Option<Position>,
    is_merge: bool,
}

/// A complete value.
#[derive(Clone)]
struct Built {
    node: Node,
    size: usize,
    height: usize,
}

impl Builder<'_> {
    /// Takes an event, and returns the document if it is complete.
    fn event(&mut self, event: Event<'_>, span: &Span) -> Result<Option<Node>, Diagnostic> {
        let position = position(span.start);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let quoted = self.is_text(style, tag.as_deref(), position)?;
                let scalar = Scalar { text: text.into_owned(), quoted };
                let node = Node { position, content: Content::Scalar(scalar) };
                self.complete(Built { node, size: 1, height: 1 }, anchor)
            }
            Event::Alias(anchor) => {
                let Some(mut built) = self.anchors.get(&anchor).cloned() else {
                    return Err(self.error(position, "an alias inside the value that it stands for"));
                };
                self.count_alias(built.size, position)?;
                built.node.position = position;
                self.complete(built, 0)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.begin(Items::List(Vec::new()), "seq", anchor, tag.as_deref(), position)
            }
            Event::MappingStart(_, anchor, tag) => {
                self.begin(Items::Map(Fields::default()), "map", anchor, tag.as_deref(), position)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            _ => Ok(None),
        }
    }

    fn begin(
        &mut self,
        items: Items,
        core: &str,
        anchor: usize,
        tag: Option<&Tag>,
        position: Option<Position>,
    ) -> Result<Option<Node>, Diagnostic> {
        if let Some(tag) = tag.filter(|tag| tag.core_suffix() != Some(core)) {
            return Err(self.error(position, format!("the tag {} is not supported", tag.original())));
        }
        self.open.push(Open { anchor, position, size: 1, height: 1, items });
        Ok(None)
    }

    fn end(&mut self) -> Result<Option<Node>, Diagnostic> {
        let path = self.path();
        let Some(Open { anchor, position, size, height, items }) = self.open.pop() else { return Ok(None) };
        let content = match items {
            Items::List(items) => Content::List(items),
            Items::Map(mut fields) => {
                for node in std::mem::take(&mut fields.merged) {
                    fields.merge(node).map_err(|position| {
                        let problem = "only an object, or a list of objects, can be merged";
                        Diagnostic { position, ..Diagnostic::new(path.field("<<"), problem) }
                    })?;
                }
                Content::Map(fields.entries)
            }
        };
        self.complete(Built { node: Node { position, content }, size, height }, anchor)
    }

    /// Puts a complete value where it belongs.
    fn complete(&mut self, built: Built, anchor: usize) -> Result<Option<Node>, Diagnostic> {
        let Built { node, size, height } = built;
        if self.open.len() + height > DEEPEST {
            return Err(self.error(node.position, format!("more than {DEEPEST} levels of values in values")));
        }
        if anchor != 0 {
            self.count_alias(size, node.position)?;
            self.anchors.insert(anchor, Built { node: node.clone(), size, height });
        }
        // Only fields report anything; lists can be long.
        let path = match self.open.last() {
            Some(Open { items: Items::Map(_), .. }) => self.path(),
            _ => Path::root(),
        };
        let Some(parent) = self.open.last_mut() else { return Ok(Some(node)) };
        parent.size += size;
        parent.height = parent.height.max(height + 1);
        match &mut parent.items {
            Items::List(items) => items.push(node),
            Items::Map(fields) => match fields.key.take() {
                Some(key) if key.is_merge => fields.merged.push(node),
                Some(key) => fields.insert(key, node, &path, self.findings),
                None => {
                    let key = Key::new(node).map_err(|position| Diagnostic {
                        position,
                        ..Diagnostic::new(path, "the name of a field must be a text")
                    })?;
                    fields.key = Some(key);
                }
            },
        }
        Ok(None)
    }

    /// What an alias repeats is limited, lest a short text become a large tree.
    fn count_alias(&mut self, size: usize, position: Option<Position>) -> Result<(), Diagnostic> {
        self.aliased = self.aliased.saturating_add(size);
        if self.aliased > MOST_ALIASED {
            return Err(
                self.error(position, format!("anchors and aliases stand for over {MOST_ALIASED} values"))
            );
        }
        Ok(())
    }

    fn is_text(
        &self,
        style: ScalarStyle,
        tag: Option<&Tag>,
        at: Option<Position>,
    ) -> Result<bool, Diagnostic> {
        match tag.map(|tag| (tag, tag.core_suffix())) {
            None => Ok(style != ScalarStyle::Plain),
            Some((_, Some("str"))) => Ok(true),
            Some((_, Some("int" | "bool" | "null" | "float"))) => Ok(false),
            Some((tag, _)) => Err(self.error(at, format!("the tag {} is not supported", tag.original()))),
        }
    }

    fn error(&self, position: Option<Position>, problem: impl Into<String>) -> Diagnostic {
        Diagnostic { position, ..Diagnostic::new(self.path(), problem) }
    }

    /// Where the value that comes next belongs.
    fn path(&self) -> Path {
        self.open.iter().fold(Path::root(), |path, open| match &open.items {
            Items::List(items) => path.index(items.len()),
            Items::Map(fields) => match &fields.key {
                Some(key) => path.field(key.text.clone()),
                None => path,
            },
        })
    }
}

impl Fields {
    fn insert(&mut self, key: Key, value: Node, path: &Path, findings: &mut Vec<Diagnostic>) {
        let Key { text, position, .. } = key;
        if let Some(first) = self.seen.get(&text) {
            let remedy = first.map_or_else(
                || "remove one of them".to_owned(),
                |first| format!("it was given in line {} already; remove one of them", first.line),
            );
            let duplicate = Diagnostic::new(path.clone(), "duplicate field").remedy(remedy);
            findings.push(Diagnostic { position, ..duplicate });
            return;
        }
        self.seen.insert(text.clone(), position);
        self.entries.push(Entry { key: text, position, value });
    }

    /// Adds the fields of the object, or of a list's objects, that are not there.
    fn merge(&mut self, node: Node) -> Result<(), Option<Position>> {
        match node.content {
            Content::Map(entries) => {
                for entry in entries {
                    if !self.seen.contains_key(&entry.key) {
                        self.seen.insert(entry.key.clone(), entry.position);
                        self.entries.push(entry);
                    }
                }
                Ok(())
            }
            Content::List(items) if items.iter().all(|item| matches!(item.content, Content::Map(_))) => {
                items.into_iter().try_for_each(|item| self.merge(item))
            }
            _ => Err(node.position),
        }
    }
}

impl Key {
    fn new(node: Node) -> Result<Self, Option<Position>> {
        match node.content {
            Content::Scalar(Scalar { text, quoted }) => {
                Ok(Self { is_merge: !quoted && text == "<<", text, position: node.position })
            }
            _ => Err(node.position),
        }
    }
}

fn position(marker: Marker) -> Option<Position> {
    let line = u32::try_from(marker.line()).ok()?;
    let column = u32::try_from(marker.col()).ok()?.checked_add(1)?;
    Some(Position { line, column })
}

#[cfg(test)]
mod tests;
