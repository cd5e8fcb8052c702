//! Loads programs of an object over maps that exist already, which the loader crate cannot.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use aya_obj::generated::bpf_map_type;
use aya_obj::{EbpfSectionKind, Map, Object};
use thiserror::Error;

use super::lockdown_hint;
use super::sys::maps::{self, MapSpec};
use super::sys::programs::{self, ProgramSpec};

/// `BPF_F_NO_PREALLOC`.
const NO_PREALLOC: u32 = 1;
/// Bytes of a key that every kernel allows.
const SHORT_KEY: u32 = 512;
/// `BPF_F_RDONLY_PROG`.
const READ_ONLY: u32 = 1 << 7;

/// Maps by their names in the object.
pub type Maps = HashMap<String, OwnedFd>;

/// Why an object cannot be used.
#[derive(Debug, Error)]
pub enum ObjectError {
    /// Not an object, or not one for this kernel.
    #[error("the BPF object does not fit this kernel: {0}")]
    Object(String),
    /// A map cannot be made.
    #[error("BPF map {name}: {source}")]
    Map {
        /// Its name.
        name: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel refuses a program.
    #[error("the kernel refuses the program {name}: {error}{}{}", last_lines(log), lockdown_hint())]
    Program {
        /// Its name.
        name: String,
        /// What the kernel said.
        error: io::Error,
        /// The verifier's log.
        log: String,
    },
}

/// The end of a log, where the reason stands.
fn last_lines(log: &str) -> String {
    let lines: Vec<&str> = log.lines().filter(|line| !line.trim().is_empty()).collect();
    if lines.is_empty() {
        return String::new();
    }
    format!("; verifier: {}", lines[lines.len().saturating_sub(6)..].join(" | "))
}

/// What makes maps and programs what this kernel wants.
#[derive(Debug, Clone, Copy)]
pub struct Manner {
    /// Hashes that programs of kprobes and tracepoints use must be allocated beforehand.
    pub preallocate: bool,
}

/// A program to be loaded.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Its name in the object.
    pub name: &'a str,
    /// `BPF_PROG_TYPE_*`.
    pub kind: u32,
    /// `BPF_*` attach type, or 0.
    pub attach_type: u32,
    /// The function that it is for, in the kernel's type information, or 0.
    pub attach_btf_id: u32,
}

/// An object whose maps exist.
pub struct Loader {
    object: Object,
    btf: Option<OwnedFd>,
    /// Data sections: constants differ from one use of an object to the next.
    _data: Maps,
}

impl Loader {
    /// Parses an object and makes the maps that `maps` does not hold yet, and its own data sections. `sizes` are numbers
    /// of elements that differ from the object's.
    pub fn new(
        bytes: &[u8],
        types: &aya_obj::btf::Btf,
        maps: &mut Maps,
        manner: Manner,
        globals: &HashMap<&str, (&[u8], bool)>,
        sizes: &[(&str, u32)],
    ) -> Result<Self, ObjectError> {
        let wrong = |error: &dyn std::error::Error| {
            let mut text = error.to_string();
            let mut source = error.source();
            while let Some(inner) = source {
                text.push_str(": ");
                text.push_str(&inner.to_string());
                source = inner.source();
            }
            ObjectError::Object(text)
        };
        let mut object = Object::parse(bytes).map_err(|e| wrong(&e))?;
        object.patch_map_data(globals.clone()).map_err(|e| wrong(&e))?;
        let mut btf = None;
        if let Some(features) = aya::features().btf()
            && let Some(fixed) = object.fixup_and_sanitize_btf(features).map_err(|e| wrong(&e))?
        {
            btf = Some(programs::load_btf(&fixed.to_bytes()).map_err(|e| wrong(&e))?);
        }
        object.relocate_btf(types).map_err(|e| wrong(&e))?;

        let definitions: Vec<(String, Map)> = object.maps.drain().collect();
        let mut data = Maps::new();
        for (name, map) in &definitions {
            let own = is_data(map);
            if own || !maps.contains_key(name.as_str()) {
                let size = sizes.iter().find(|(of, _)| of == name).map(|(_, size)| *size);
                let fd = make(name, map, manner, size)
                    .map_err(|source| ObjectError::Map { name: name.clone(), source })?;
                if own { &mut data } else { &mut *maps }.insert(name.clone(), fd);
            }
        }
        let fd = |name: &str| data.get(name).or_else(|| maps.get(name));
        let text_sections = object.functions.keys().map(|(section, _)| *section).collect();
        object
            .relocate_maps(
                definitions
                    .iter()
                    .filter_map(|(name, map)| Some((name.as_str(), fd(name)?.as_raw_fd(), map))),
                &text_sections,
            )
            .map_err(|e| wrong(&e))?;
        object.relocate_calls(&text_sections).map_err(|e| wrong(&e))?;
        Ok(Self { object, btf, _data: data })
    }

    /// Loads one program.
    pub fn load(&self, wanted: &Wanted<'_>) -> Result<OwnedFd, ObjectError> {
        let missing = || ObjectError::Object(format!("there is no program {}", wanted.name));
        let program = self.object.programs.get(wanted.name).ok_or_else(missing)?;
        let function = self.object.functions.get(&program.function_key()).ok_or_else(missing)?;
        let spec = ProgramSpec {
            name: wanted.name,
            kind: wanted.kind,
            attach_type: wanted.attach_type,
            attach_btf_id: wanted.attach_btf_id,
            license: &program.license,
            btf: self.btf.as_ref().map(AsFd::as_fd),
        };
        programs::load(&spec, function).map_err(|refused| ObjectError::Program {
            name: wanted.name.to_owned(),
            error: refused.error,
            log: refused.log,
        })
    }
}

/// How a map is made on this kernel.
fn spec_of(map: &Map, manner: Manner) -> MapSpec {
    let mut flags = map.map_flags();
    let is_hash = map.map_type() == bpf_map_type::BPF_MAP_TYPE_HASH as u32;
    if manner.preallocate && is_hash {
        flags &= !NO_PREALLOC;
    }
    MapSpec {
        kind: map.map_type(),
        key_size: map.key_size(),
        value_size: map.value_size(),
        max_entries: map.max_entries(),
        flags,
    }
}

fn is_data(map: &Map) -> bool {
    matches!(map.section_kind(), EbpfSectionKind::Rodata | EbpfSectionKind::Data | EbpfSectionKind::Bss)
}

fn make(name: &str, map: &Map, manner: Manner, size: Option<u32>) -> io::Result<OwnedFd> {
    let mut spec = spec_of(map, manner);
    spec.max_entries = size.unwrap_or(spec.max_entries);
    let holds_maps = matches!(
        spec.kind,
        kind if kind == bpf_map_type::BPF_MAP_TYPE_ARRAY_OF_MAPS as u32
            || kind == bpf_map_type::BPF_MAP_TYPE_HASH_OF_MAPS as u32
    );
    if holds_maps {
        spec.value_size = 4;
        let inner = map.inner().ok_or_else(|| io::Error::other("it does not say what it holds"))?;
        let mut like = spec_of(&inner, manner);
        let inner = maps::create(name, like, None).or_else(|error| {
            // Kernels before 5.11 have no hash with longer keys: what is looked up there is never found.
            if error.raw_os_error() != Some(libc::E2BIG) || like.key_size <= SHORT_KEY {
                return Err(error);
            }
            like.key_size = SHORT_KEY;
            maps::create(name, like, None)
        })?;
        return maps::create(name, spec, Some(inner.as_fd()));
    }
    if !is_data(map) {
        return maps::create(name, spec, None);
    }
    let constant = map.section_kind() == EbpfSectionKind::Rodata;
    if constant {
        spec.flags |= READ_ONLY;
    }
    let fd = maps::create(name, spec, None)?;
    maps::update(&fd, &0u32.to_ne_bytes(), map.data())?;
    if constant {
        maps::freeze(&fd)?;
    }
    Ok(fd)
}
