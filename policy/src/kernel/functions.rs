//! What functions take.

use tetragon_bpf::btf::{Kind, Type};

use super::{Kernel, Types};

/// Functions that are remembered.
const REMEMBERED: usize = 4096;

/// A parameter of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its name; empty if the kernel does not tell.
    pub name: String,
    /// Its type.
    pub ty: ParameterType,
}

/// What a parameter is, as far as policies care.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParameterType {
    /// An integer or an enumeration.
    Integer {
        /// Bytes.
        size: u32,
        /// Whether it has a sign.
        signed: bool,
    },
    /// A pointer to a structure or union of this name.
    Structure(String),
    /// A pointer to characters.
    Text,
    /// Another pointer.
    Pointer,
    /// Something else.
    Other,
}

impl Kernel {
    /// The parameters of a function; `None` if there is no such function.
    #[must_use]
    pub fn parameters(&self, function: &str) -> Option<Vec<Parameter>> {
        if let Some(known) = self.parameters.borrow().get(function) {
            return known.clone();
        }
        let types = self.types();
        let found = types.function(function).and_then(|it| types.parameters(it));
        if types.btf().is_some() {
            let mut known = self.parameters.borrow_mut();
            if known.len() >= REMEMBERED {
                known.clear();
            }
            known.insert(function.to_owned(), found.clone());
        }
        found
    }
}

impl Types {
    fn parameters(&self, function: Type<'_>) -> Option<Vec<Parameter>> {
        let prototype = self.get(function.size_or_type)?;
        let parameter =
            |(name, ty): (&str, u32)| Parameter { name: name.to_owned(), ty: self.parameter_type(ty) };
        Some(self.btf()?.parameters(prototype).map(parameter).collect())
    }

    fn parameter_type(&self, id: u32) -> ParameterType {
        let Some(ty) = self.strip(id) else { return ParameterType::Other };
        match ty.kind {
            Kind::Int => ParameterType::Integer {
                size: ty.size_or_type,
                signed: self.btf().is_some_and(|it| it.is_signed(ty)),
            },
            Kind::Enum | Kind::Enum64 => ParameterType::Integer { size: ty.size_or_type, signed: false },
            Kind::Ptr => match self.strip(ty.size_or_type) {
                Some(target) if matches!(target.kind, Kind::Struct | Kind::Union | Kind::Fwd) => {
                    ParameterType::Structure(target.name().to_owned())
                }
                Some(target) if target.kind == Kind::Int && target.size_or_type == 1 => ParameterType::Text,
                _ => ParameterType::Pointer,
            },
            _ => ParameterType::Other,
        }
    }

    /// The type behind names and qualifiers.
    fn strip(&self, id: u32) -> Option<Type<'_>> {
        let mut ty = self.get(id)?;
        // A chain in sound type information is far shorter.
        for _ in 0..32 {
            match ty.kind {
                Kind::Typedef | Kind::Const | Kind::Volatile | Kind::Restrict | Kind::TypeTag => {
                    ty = self.get(ty.size_or_type)?;
                }
                _ => return Some(ty),
            }
        }
        None
    }
}
