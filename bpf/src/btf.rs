//! A reader for BTF, the kernel's type format, that borrows the raw bytes and answers by name.
//!
//! The loader has its own parser; this one costs no memory for the hundred thousand types of a kernel and can
//! name members and variables. Format: `Documentation/bpf/btf.rst` of the kernel.

use std::str;

const MAGIC: u16 = 0xeb9f;

/// Kinds of types, as the format numbers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the format's own")]
pub enum Kind {
    Int = 1,
    Ptr = 2,
    Array = 3,
    Struct = 4,
    Union = 5,
    Enum = 6,
    Fwd = 7,
    Typedef = 8,
    Volatile = 9,
    Const = 10,
    Restrict = 11,
    Func = 12,
    FuncProto = 13,
    Var = 14,
    DataSec = 15,
    Float = 16,
    DeclTag = 17,
    TypeTag = 18,
    Enum64 = 19,
}

impl Kind {
    fn from_raw(raw: u32) -> Option<Self> {
        use Kind::*;
        const ALL: [Kind; 19] = [
            Int, Ptr, Array, Struct, Union, Enum, Fwd, Typedef, Volatile, Const, Restrict, Func, FuncProto,
            Var, DataSec, Float, DeclTag, TypeTag, Enum64,
        ];
        ALL.get(usize::try_from(raw).ok()?.checked_sub(1)?).copied()
    }

    /// Bytes that follow the common 12, for `vlen` entries.
    fn extra(self, vlen: usize) -> usize {
        match self {
            Kind::Int | Kind::Var | Kind::DeclTag => 4,
            Kind::Array => 12,
            Kind::Struct | Kind::Union | Kind::DataSec | Kind::Enum64 => 12 * vlen,
            Kind::Enum | Kind::FuncProto => 8 * vlen,
            _ => 0,
        }
    }
}

/// One type.
#[derive(Debug, Clone, Copy)]
pub struct Type<'a> {
    /// Its number; 1 is the first.
    pub id: u32,
    /// What it is.
    pub kind: Kind,
    /// Bytes for sized kinds, a type id for the others.
    pub size_or_type: u32,
    info: u32,
    /// Where its name begins.
    name: u32,
    strings: &'a [u8],
    tail: &'a [u8],
}

impl<'a> Type<'a> {
    /// Its name; empty if it has none. Looked up here, since most types are passed over for their kind.
    #[must_use]
    pub fn name(&self) -> &'a str {
        string(self.strings, self.name).unwrap_or_default()
    }

    fn is_named(&self, name: &str) -> bool {
        let rest = self.strings.get(self.name as usize..).and_then(|it| it.strip_prefix(name.as_bytes()));
        rest.is_some_and(|rest| rest.first() == Some(&0))
    }
}

/// A member of a structure: name, offset in bits, type id.
pub type Member<'a> = (&'a str, u32, u32);

/// A whole BTF blob of this machine's byte order.
#[derive(Debug, Clone, Copy)]
pub struct Btf<'a> {
    types: &'a [u8],
    strings: &'a [u8],
}

fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(offset..offset.checked_add(4)?)?.try_into().ok()?))
}

impl<'a> Btf<'a> {
    /// `None` if the header is not one of this byte order or points outside.
    pub fn parse(raw: &'a [u8]) -> Option<Self> {
        if u16::from_ne_bytes(raw.get(..2)?.try_into().ok()?) != MAGIC {
            return None;
        }
        let header = u32_at(raw, 4)? as usize;
        let section = |offset_at: usize| {
            let start = header.checked_add(u32_at(raw, offset_at)? as usize)?;
            raw.get(start..start.checked_add(u32_at(raw, offset_at + 4)? as usize)?)
        };
        Some(Self { types: section(8)?, strings: section(16)? })
    }

    /// All types in order. Ends early at a kind it does not know.
    pub fn types(self) -> impl Iterator<Item = Type<'a>> {
        self.located().map(|(_, it)| it)
    }

    /// The same with where each begins, for [`at`](Self::at).
    pub fn located(self) -> impl Iterator<Item = (u32, Type<'a>)> {
        let mut offset = 0;
        let mut id = 0;
        std::iter::from_fn(move || {
            id += 1;
            let (ty, end) = self.read(offset, id)?;
            let begin = u32::try_from(std::mem::replace(&mut offset, end)).ok()?;
            Some((begin, ty))
        })
    }

    /// The type of this number that begins there.
    #[must_use]
    pub fn at(self, offset: u32, id: u32) -> Option<Type<'a>> {
        Some(self.read(offset as usize, id)?.0)
    }

    /// The type that begins there, and where the next one does.
    fn read(self, offset: usize, id: u32) -> Option<(Type<'a>, usize)> {
        let name = u32_at(self.types, offset)?;
        let info = u32_at(self.types, offset + 4)?;
        let kind = Kind::from_raw((info >> 24) & 0x1f)?;
        let end = offset + 12 + kind.extra((info & 0xffff) as usize);
        let tail = self.types.get(offset + 12..end)?;
        let size_or_type = u32_at(self.types, offset + 8)?;
        Some((Type { id, kind, size_or_type, info, name, strings: self.strings, tail }, end))
    }

    /// The first type of this name and kind.
    #[must_use]
    pub fn find(self, kind: Kind, name: &str) -> Option<Type<'a>> {
        self.types().find(|it| it.kind == kind && it.is_named(name))
    }

    /// Members of a structure or union, in order.
    pub fn members(self, of: Type<'a>) -> impl Iterator<Item = Member<'a>> {
        let bitfields = of.info >> 31 != 0;
        of.tail.chunks_exact(12).filter_map(move |m| {
            let offset = u32_at(m, 8)?;
            let bits = if bitfields { offset & 0x00ff_ffff } else { offset };
            Some((self.string(u32_at(m, 0)?)?, bits, u32_at(m, 4)?))
        })
    }

    /// Names and values of an enumeration of 32-bit members.
    pub fn enumerators(self, of: Type<'a>) -> impl Iterator<Item = (&'a str, u32)> {
        of.tail.chunks_exact(8).filter_map(move |e| Some((self.string(u32_at(e, 0)?)?, u32_at(e, 4)?)))
    }

    /// Parameters of a function prototype, in order: name and type id. A type id of 0 stands for "and so on".
    pub fn parameters(self, of: Type<'a>) -> impl Iterator<Item = (&'a str, u32)> {
        of.tail.chunks_exact(8).filter_map(move |p| Some((self.string(u32_at(p, 0)?)?, u32_at(p, 4)?)))
    }

    /// Whether an integer type has a sign.
    pub fn is_signed(self, of: Type<'a>) -> bool {
        u32_at(of.tail, 0).is_some_and(|encoding| (encoding >> 24) & 1 != 0)
    }

    fn string(self, offset: u32) -> Option<&'a str> {
        string(self.strings, offset)
    }
}

fn string(strings: &[u8], offset: u32) -> Option<&str> {
    let rest = strings.get(offset as usize..)?;
    let end = rest.iter().position(|b| *b == 0)?;
    str::from_utf8(&rest[..end]).ok()
}
