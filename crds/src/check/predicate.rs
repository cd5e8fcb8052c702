//! Operators on types.

use super::lists::Lists;
use super::values::{capability_mask, longest, number, range};
use super::{net, values};
use crate::policy::{NetTest, NumberKind, NumberTest, Predicate, Ranges, TextMatch};
use crate::report::{Diagnostic, Findings, Path};
use crate::spec::{ArgOperator as Op, ArgType};

/// What values of a type can be compared as.
enum Class {
    Number(NumberKind),
    Text,
    Packet,
    Socket,
    /// Only the kernel tells.
    Unknown,
    /// Nothing.
    Opaque,
}

impl Class {
    fn of(ty: ArgType) -> Self {
        if let Some(kind) = NumberKind::of(ty) {
            return Self::Number(kind);
        }
        match ty {
            ArgType::String
            | ArgType::CharBuf
            | ArgType::Fd
            | ArgType::File
            | ArgType::Filename
            | ArgType::Path
            | ArgType::Kiocb
            | ArgType::LinuxBinprm
            | ArgType::DataLoc
            | ArgType::NetDevice => Self::Text,
            ArgType::Skb => Self::Packet,
            ArgType::Sock => Self::Socket,
            ArgType::Auto => Self::Unknown,
            _ => Self::Opaque,
        }
    }

    fn operators(&self) -> &'static [Op] {
        match self {
            Self::Number(_) => &[
                Op::Equal,
                Op::NotEqual,
                Op::GreaterThan,
                Op::LessThan,
                Op::Gt,
                Op::Lt,
                Op::Mask,
                Op::InMap,
                Op::NotInMap,
            ],
            Self::Text => &[Op::Equal, Op::NotEqual, Op::Prefix, Op::NotPrefix, Op::Postfix, Op::NotPostfix],
            Self::Packet | Self::Socket => &[
                Op::SAddr,
                Op::NotSAddr,
                Op::DAddr,
                Op::NotDAddr,
                Op::SPort,
                Op::NotSPort,
                Op::DPort,
                Op::NotDPort,
                Op::SPortPriv,
                Op::NotSPortPriv,
                Op::DPortPriv,
                Op::NotDPortPriv,
                Op::Protocol,
                Op::Family,
                Op::State,
            ],
            Self::Unknown | Self::Opaque => &[],
        }
    }
}

/// Makes the predicate of a filter whose argument's type was not known when the policy was loaded
/// ([`Predicate::Untyped`]). The path is that of the filter.
///
/// # Errors
///
/// Everything that is wrong with operator and values.
pub fn predicate(
    ty: ArgType,
    operator: Op,
    values: &[String],
    path: &Path,
) -> Result<Predicate, Vec<Diagnostic>> {
    let mut findings = Findings::default();
    let filter = Filter { ty, operator, values, path, lists: None };
    match filter.predicate(&mut findings) {
        Some(predicate) if findings.errors.is_empty() => Ok(predicate),
        _ => Err(findings.errors),
    }
}

/// A filter on an argument.
pub(super) struct Filter<'a> {
    pub(super) ty: ArgType,
    pub(super) operator: Op,
    pub(super) values: &'a [String],
    pub(super) path: &'a Path,
    /// The lists that values may refer to; only those of tracepoints may.
    pub(super) lists: Option<&'a Lists>,
}

impl Filter<'_> {
    /// What the filter means; what is wrong is reported.
    pub(super) fn predicate(&self, findings: &mut Findings) -> Option<Predicate> {
        let class = Class::of(self.ty);
        if let Class::Unknown = class {
            return self.untyped(findings);
        }
        if !class.operators().contains(&self.operator) {
            findings.error(self.mismatch(&class));
            return None;
        }
        let path = self.path.field("values");
        let needs_values =
            !matches!(self.operator, Op::SPortPriv | Op::NotSPortPriv | Op::DPortPriv | Op::NotDPortPriv);
        if self.values.is_empty() && needs_values {
            findings.error(Diagnostic::new(path, "no values").remedy(format!("{} needs one", self.operator)));
            return None;
        }
        match class {
            Class::Number(kind) => self.number(kind, &path, findings),
            Class::Text => Some(self.text(&path, findings)),
            Class::Packet | Class::Socket => {
                let test = net::test(self.operator, self.values, &path, findings)?;
                self.remark(&class, &test, findings);
                Some(Predicate::Net(test))
            }
            Class::Unknown | Class::Opaque => None,
        }
    }

    fn untyped(&self, findings: &mut Findings) -> Option<Predicate> {
        let is_list = |value: &String| value.starts_with("list:");
        if let Some(index) = self.values.iter().position(is_list) {
            let problem = "a list needs an argument of type syscall64, this one's is left to the kernel";
            let path = self.path.field("values").index(index);
            findings.error(Diagnostic::new(path, problem).remedy("give the argument the type syscall64"));
            return None;
        }
        Some(Predicate::Untyped { values: self.values.to_vec() })
    }

    fn mismatch(&self, class: &Class) -> Diagnostic {
        let problem = format!("does not apply to an argument of type {}", self.ty);
        let operators: Vec<&str> = class.operators().iter().map(|operator| operator.name()).collect();
        let remedy = match (self.ty, operators.is_empty()) {
            (ArgType::Nop, _) => "it is not read; give it a type".to_owned(),
            (_, true) => "there are no filters on this type".to_owned(),
            (_, false) => format!("one of {}", operators.join(", ")),
        };
        Diagnostic::new(self.path.field("operator"), problem).value(self.operator).remedy(remedy)
    }

    fn number(&self, kind: NumberKind, path: &Path, findings: &mut Findings) -> Option<Predicate> {
        let test = match self.operator {
            Op::InMap | Op::NotInMap => {
                let mut all_syscalls = false;
                let mut numbers = Vec::new();
                for (index, value) in self.values.iter().enumerate() {
                    let path = path.index(index);
                    match value.strip_prefix("list:") {
                        Some(name) => self.list(name, &path, &mut numbers, &mut all_syscalls, findings),
                        None => match range(value, kind) {
                            Ok(range) => numbers.push(range),
                            Err(diagnostic) => findings.error(Diagnostic { path, ..diagnostic }),
                        },
                    }
                }
                let negated = self.operator == Op::NotInMap;
                NumberTest::Member { negated, numbers: numbers.into_iter().collect(), all_syscalls }
            }
            Op::Equal | Op::NotEqual => {
                let numbers: Ranges =
                    self.numbers(kind, path, findings).map(|number| (number, number)).collect();
                let negated = self.operator == Op::NotEqual;
                NumberTest::Member { negated, numbers, all_syscalls: false }
            }
            // Of several values any may hold, so the easiest one decides.
            Op::GreaterThan | Op::Gt => NumberTest::Greater(self.numbers(kind, path, findings).min()?),
            Op::LessThan | Op::Lt => NumberTest::Less(self.numbers(kind, path, findings).max()?),
            _ => {
                // As many bits of the pattern as the argument has.
                let width = u64::MAX >> (64 - u32::from(kind.bits));
                let bits = |number: i128| u64::from_le_bytes(low_bytes(number)) & width;
                let mask = self.numbers(kind, path, findings).fold(0, |mask, number| mask | bits(number));
                if mask == 0 {
                    findings.warn(Diagnostic::new(path.clone(), "a mask without bits never matches"));
                }
                NumberTest::Mask(mask)
            }
        };
        Some(Predicate::Number { kind, test })
    }

    fn numbers(
        &self,
        kind: NumberKind,
        path: &Path,
        findings: &mut Findings,
    ) -> impl Iterator<Item = i128> + use<> {
        let mut numbers = Vec::with_capacity(self.values.len());
        for (index, value) in self.values.iter().enumerate() {
            let read = match self.ty {
                ArgType::KernelCap
                | ArgType::CapInheritable
                | ArgType::CapPermitted
                | ArgType::CapEffective => capability_mask(value),
                _ => number(value, kind),
            };
            match read {
                Ok(number) => numbers.push(number),
                Err(diagnostic) => findings.error(Diagnostic { path: path.index(index), ..diagnostic }),
            }
        }
        numbers.into_iter()
    }

    /// The system calls of a list.
    fn list(
        &self,
        name: &str,
        path: &Path,
        numbers: &mut Vec<(i128, i128)>,
        all_syscalls: &mut bool,
        findings: &mut Findings,
    ) {
        let wrong = |problem: String| Diagnostic::new(path.clone(), problem).value(format!("list:{name}"));
        let Some(lists) = self.lists else {
            let remedy = "give the values themselves; only filters of tracepoints can refer to lists";
            findings.error(wrong("list values loading is not supported here".to_owned()).remedy(remedy));
            return;
        };
        if self.ty != ArgType::Syscall64 {
            let problem = format!("a list needs an argument of type syscall64, this one is {}", self.ty);
            findings.error(wrong(problem).remedy("give the argument the type syscall64"));
        }
        lists.numbers(name, path, numbers, all_syscalls, findings);
    }

    fn text(&self, path: &Path, findings: &mut Findings) -> Predicate {
        let (how, negated) = match self.operator {
            Op::NotEqual => (TextMatch::Whole, true),
            Op::Prefix => (TextMatch::Prefix, false),
            Op::NotPrefix => (TextMatch::Prefix, true),
            Op::Postfix => (TextMatch::Postfix, false),
            Op::NotPostfix => (TextMatch::Postfix, true),
            _ => (TextMatch::Whole, false),
        };
        // Only a buffer may end in zero bytes.
        let trim = self.ty != ArgType::CharBuf;
        let values = values::texts(self.values, how, longest(how), trim, path, findings);
        Predicate::Text { how, negated, values }
    }

    /// What surprises about a test of packets and sockets.
    fn remark(&self, class: &Class, test: &NetTest, findings: &mut Findings) {
        match (class, test) {
            (Class::Packet, NetTest::State(_)) => {
                let path = self.path.field("operator");
                let problem = "a packet has no state, so this never matches";
                findings.warn(Diagnostic::new(path, problem).remedy("filter on an argument of type sock"));
            }
            (_, NetTest::Address { negated: true, networks, .. }) => {
                if let Some(family) = net::lacks_family(networks) {
                    let problem =
                        format!("no value is {family}, so {family} addresses never match {}", self.operator);
                    let remedy = match family {
                        "IPv6" => "add for example ::1/128 to match other IPv6 addresses",
                        _ => "add for example 127.0.0.1/32 to match other IPv4 addresses",
                    };
                    findings.warn(Diagnostic::new(self.path.field("values"), problem).remedy(remedy));
                }
            }
            _ => {}
        }
    }
}

/// The low 64 bits.
fn low_bytes(number: i128) -> [u8; 8] {
    let [a, b, c, d, e, f, g, h, ..] = number.to_le_bytes();
    [a, b, c, d, e, f, g, h]
}
