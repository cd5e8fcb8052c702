//! Programs of LSM hooks, fentry and fexit: each hook's are loaded for it alone.

use std::collections::HashMap;
use std::io;
use std::time::{Duration, Instant};

use aya_obj::generated::{bpf_attach_type, bpf_prog_type};
use tetragon_bpf::btf::{Btf, Kind, Type};
use zerocopy::IntoBytes as _;

use super::attach::{AttachError, Attached, Place};
use super::{ObjectError, PolicyKernel, Wanted};
use crate::kernel::sys::perf;
use crate::policies::rules::HookId;

/// Places to work at, of each CPU, and of all together: a call that is preempted keeps its own. As in the programs.
const PLACES_OF_CPU: u32 = 2;
const MORE_PLACES: u32 = 6;

/// A program of the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trampoline {
    /// A hook of the security modules.
    Lsm,
    /// The beginning of a function.
    Fentry,
    /// Where it returns.
    Fexit,
}

/// A function, as the kernel's type information has it.
struct Target {
    id: u32,
    arguments: u32,
    /// Which of them a program may load on every kernel, a bit each, and after them whether it may the returned value.
    plain: u32,
    /// Whether it returns something.
    returns: bool,
}

impl Target {
    fn find(raw_btf: &[u8], function: &str) -> io::Result<Self> {
        let missing = |what: &str| io::Error::new(io::ErrorKind::NotFound, what.to_owned());
        let btf = Btf::parse(raw_btf).ok_or_else(|| missing("bad type information of the kernel"))?;
        let function = btf.find(Kind::Func, function);
        let function = function.ok_or_else(|| missing("the kernel's type information does not have it"))?;
        // By their numbers, of which the first is 1.
        let offsets: Vec<u32> = btf.located().map(|(offset, _)| offset).collect();
        let types = |id: u32| btf.at(*offsets.get(id.checked_sub(1)? as usize)?, id);
        let prototype = types(function.size_or_type);
        let prototype = prototype.ok_or_else(|| missing("bad type information of the kernel"))?;
        let parameters: Vec<u32> = btf.parameters(prototype).map(|(_, id)| id).collect();
        for (index, id) in parameters.iter().enumerate() {
            if let Some(bytes) = bytes_by_value(*id, types).filter(|bytes| *bytes > SLOT) {
                return Err(io::Error::new(
                    io::ErrorKind::Unsupported,
                    format!("argument {index} is a structure of {bytes} bytes and not a pointer to one"),
                ));
            }
        }
        let all = parameters.iter().chain([&prototype.size_or_type]);
        let plain = all.zip(0..u32::BITS).filter(|(id, _)| is_plain(**id, types));
        Ok(Self {
            id: function.id,
            arguments: u32::try_from(parameters.len()).map_err(io::Error::other)?,
            plain: plain.fold(0, |bits, (_, index)| bits | 1 << index),
            // Type 0 is void.
            returns: prototype.size_or_type != 0,
        })
    }
}

/// Bytes of an argument for a program. A structure that is larger takes several, and moves the arguments after it.
const SLOT: u32 = 8;

/// A type without what only restricts or renames it.
fn bare<'b>(mut id: u32, types: impl Fn(u32) -> Option<Type<'b>>) -> Option<Type<'b>> {
    loop {
        let it = types(id)?;
        match it.kind {
            Kind::Typedef | Kind::Const | Kind::Volatile | Kind::Restrict => id = it.size_or_type,
            _ => return Some(it),
        }
    }
}

/// How large a structure of this type is; absent for other types.
fn bytes_by_value<'b>(id: u32, types: impl Fn(u32) -> Option<Type<'b>>) -> Option<u32> {
    let it = bare(id, types)?;
    matches!(it.kind, Kind::Struct | Kind::Union).then_some(it.size_or_type)
}

/// Whether the verifiers of all kernels know what this type of a value is (`btf_ctx_access`, as it was in 5.10): numbers,
/// and pointers to structures and to void.
fn is_plain<'b>(id: u32, types: impl Fn(u32) -> Option<Type<'b>> + Copy) -> bool {
    match bare(id, types) {
        Some(it) if matches!(it.kind, Kind::Int | Kind::Enum) => true,
        Some(it) if it.kind == Kind::Ptr => {
            // Not one to const void, which ends at the same type.
            it.size_or_type == 0 || bytes_by_value(it.size_or_type, types).is_some()
        }
        _ => false,
    }
}

impl PolicyKernel {
    /// Attaches to an LSM hook.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn attach_lsm(&mut self, hook: HookId, name: &str) -> Result<Attached, AttachError> {
        self.attach_trampoline(
            hook,
            Trampoline::Lsm,
            &Place::Lsm(name.to_owned()),
            &format!("bpf_lsm_{name}"),
        )
    }

    /// Attaches to the beginning of a function, or to where it returns, without a kprobe.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn attach_fentry(
        &mut self,
        hook: HookId,
        function: &str,
        returns: bool,
    ) -> Result<Attached, AttachError> {
        let kind = if returns { Trampoline::Fexit } else { Trampoline::Fentry };
        self.attach_trampoline(hook, kind, &Place::Fentry(function.to_owned()), function)
    }

    fn attach_trampoline(
        &mut self,
        hook: HookId,
        kind: Trampoline,
        place: &Place,
        function: &str,
    ) -> Result<Attached, AttachError> {
        let hint = match kind {
            Trampoline::Lsm => "",
            _ => "; not every function that has a kprobe has a place for fentry",
        };
        let failed = |error| AttachError::at(place, error, hint);
        let raw = self.raw_btf()?;
        let target = Target::find(&raw, function).map_err(failed)?;
        let cpus = aya::util::nr_cpus().map_err(|(_, error)| failed(error))?;
        let places = u32::try_from(cpus).unwrap_or(1) * PLACES_OF_CPU + MORE_PLACES;
        let has_return = u32::from(target.returns);
        let globals: HashMap<&str, (&[u8], bool)> = HashMap::from([
            ("hook_number", (hook.0.as_bytes(), true)),
            ("argument_count", (target.arguments.as_bytes(), true)),
            ("plain_arguments", (target.plain.as_bytes(), true)),
            ("has_return", (has_return.as_bytes(), true)),
            ("place_count", (places.as_bytes(), true)),
        ]);
        let (name, kind, attach_type) = match kind {
            Trampoline::Lsm => ("policy_lsm", bpf_prog_type::BPF_PROG_TYPE_LSM, bpf_attach_type::BPF_LSM_MAC),
            Trampoline::Fentry => {
                ("policy_fentry", bpf_prog_type::BPF_PROG_TYPE_TRACING, bpf_attach_type::BPF_TRACE_FENTRY)
            }
            Trampoline::Fexit => {
                ("policy_fexit", bpf_prog_type::BPF_PROG_TYPE_TRACING, bpf_attach_type::BPF_TRACE_FEXIT)
            }
        };
        let wanted =
            Wanted { name, kind: kind as u32, attach_type: attach_type as u32, attach_btf_id: target.id };
        let sizes = [("policy_places", places), ("text_places", places)];
        // Atomics that tell what was there are older than cookies.
        let object = if self.abilities.cookies {
            tetragon_bpf::TRAMPOLINE_OBJECT
        } else {
            tetragon_bpf::TRAMPOLINE_PER_CPU_OBJECT
        };
        let loader = self.loader_of(object, &raw, &globals, &sizes)?;
        let program = loader.load(&wanted)?;
        drop(loader);
        crate::kernel::sys::trim_memory();
        let link = perf::attach_trampoline(std::os::fd::AsFd::as_fd(&program)).map_err(failed)?;
        Ok(Attached::with_program(link, program))
    }

    /// Loads one of each, and attaches it for a moment.
    pub(super) fn try_trampolines(
        &mut self,
        outcomes: &mut Vec<(&'static str, Result<(), ObjectError>, Duration)>,
    ) {
        type Try = fn(&mut PolicyKernel) -> Result<Attached, AttachError>;
        let all: [(&'static str, bool, Try); 3] = [
            ("policy_lsm", self.abilities.lsm, |kernel| kernel.attach_lsm(HookId(1), "file_open")),
            ("policy_fentry", self.abilities.fentry, |kernel| {
                kernel.attach_fentry(HookId(1), "security_file_open", false)
            }),
            ("policy_fexit", self.abilities.fentry, |kernel| {
                kernel.attach_fentry(HookId(1), "security_file_open", true)
            }),
        ];
        for (name, able, attach) in all {
            if !able {
                continue;
            }
            let started = Instant::now();
            let outcome = match attach(self) {
                Ok(attached) => {
                    self.detach(attached);
                    Ok(())
                }
                Err(AttachError::Program(error)) => Err(error),
                Err(error) => Err(ObjectError::Object(error.to_string())),
            };
            outcomes.push((name, outcome, started.elapsed()));
        }
    }
}
