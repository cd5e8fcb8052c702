//! A set of fields by number, applied to the wire format.

use std::collections::BTreeMap;

use prost::DecodeError;
use prost::encoding::{
    DecodeContext, WireType, decode_key, decode_varint, encode_key, encode_varint, skip_field,
};

/// What to do with a set of fields.
#[derive(Debug)]
pub(super) enum Mask {
    /// Keep these and nothing else.
    Include(Tree),
    /// Keep everything but these.
    Exclude(Tree),
}

/// Fields, each as a whole or in parts.
#[derive(Debug, Default)]
pub(super) struct Tree(BTreeMap<u32, Node>);

#[derive(Debug)]
enum Node {
    Whole,
    Part(Tree),
}

enum Verdict<'a> {
    Keep,
    Drop,
    Descend(&'a Tree),
}

impl Tree {
    /// Adds the field with this path of numbers; a field as a whole covers its parts.
    pub(super) fn insert(&mut self, path: &[u32]) {
        let Some((first, rest)) = path.split_first() else { return };
        if rest.is_empty() {
            self.0.insert(*first, Node::Whole);
        } else if let Node::Part(part) = self.0.entry(*first).or_insert_with(|| Node::Part(Self::default())) {
            part.insert(rest);
        }
    }
}

impl Mask {
    /// Copies an event, with the mask applied to its payload and not to the rest.
    pub(super) fn apply(&self, payload: u32, event: &[u8]) -> Result<Vec<u8>, DecodeError> {
        let (Self::Include(tree) | Self::Exclude(tree)) = self;
        let mut out = Vec::with_capacity(event.len());
        self.copy(event, &mut out, &|number| {
            if number == payload { Verdict::Descend(tree) } else { Verdict::Keep }
        })?;
        Ok(out)
    }

    fn verdict<'a>(&self, tree: &'a Tree, number: u32) -> Verdict<'a> {
        match (tree.0.get(&number), self) {
            (Some(Node::Part(part)), _) => Verdict::Descend(part),
            (Some(Node::Whole), Self::Include(_)) | (None, Self::Exclude(_)) => Verdict::Keep,
            (Some(Node::Whole), Self::Exclude(_)) | (None, Self::Include(_)) => Verdict::Drop,
        }
    }

    /// The depth of this recursion is that of the tree, not that of the message.
    fn copy<'a>(
        &self,
        message: &[u8],
        out: &mut Vec<u8>,
        verdict: &dyn Fn(u32) -> Verdict<'a>,
    ) -> Result<(), DecodeError> {
        let mut rest = message;
        while !rest.is_empty() {
            let field = rest;
            let (number, wire_type) = decode_key(&mut rest)?;
            let value = rest;
            skip_field(wire_type, number, &mut rest, DecodeContext::default())?;
            match verdict(number) {
                Verdict::Drop => {}
                Verdict::Descend(tree) if wire_type == WireType::LengthDelimited => {
                    let mut value = &value[..value.len() - rest.len()];
                    decode_varint(&mut value)?;
                    let mut part = Vec::with_capacity(value.len());
                    self.copy(value, &mut part, &|number| self.verdict(tree, number))?;
                    encode_key(number, wire_type, out);
                    encode_varint(part.len() as u64, out);
                    out.extend_from_slice(&part);
                }
                Verdict::Keep | Verdict::Descend(_) => {
                    out.extend_from_slice(&field[..field.len() - rest.len()]);
                }
            }
        }
        Ok(())
    }
}
