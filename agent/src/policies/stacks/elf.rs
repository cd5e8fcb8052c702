//! Function symbols of programs and libraries. The files are anybody's: nothing in them is believed.

use std::fs::File;

use object::elf::{self, FileHeader32, FileHeader64};
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader, Sym};
use object::{Endianness, FileKind, ReadCache, ReadRef};

/// Bytes of a symbol table that are read. The largest in use are about half of it.
const TABLE_MAX: u64 = 64 << 20;

/// The functions at these offsets of the file; `None` where there is none, or it has no name.
pub(super) fn functions_at(file: &File, offsets: &[u64]) -> Vec<Option<String>> {
    let data = ReadCache::new(file);
    let found = match FileKind::parse(&data) {
        Ok(FileKind::Elf64) => find::<FileHeader64<Endianness>, _>(&data, offsets),
        Ok(FileKind::Elf32) => find::<FileHeader32<Endianness>, _>(&data, offsets),
        _ => return vec![None; offsets.len()],
    };
    found.unwrap_or_else(|_| vec![None; offsets.len()])
}

/// A function that may be the one.
#[derive(Debug, Clone)]
struct Candidate {
    start: u64,
    name: String,
}

fn find<'data, E, R>(data: R, offsets: &[u64]) -> object::Result<Vec<Option<String>>>
where
    E: FileHeader<Endian = Endianness>,
    R: ReadRef<'data>,
{
    let header = E::parse(data)?;
    let endian = header.endian()?;
    let segments = header.program_headers(endian, data)?;
    let addresses: Vec<Option<u64>> =
        offsets.iter().map(|offset| loaded_at::<E>(segments, endian, *offset)).collect();
    let mut best: Vec<Option<Candidate>> = vec![None; offsets.len()];
    let sections = header.sections(endian, data)?;
    for kind in [elf::SHT_SYMTAB, elf::SHT_DYNSYM] {
        let size = |section: &E::SectionHeader| -> u64 { section.sh_size(endian).into() };
        if sections.iter().any(|it| it.sh_type(endian) == kind && size(it) > TABLE_MAX) {
            continue;
        }
        let table = sections.symbols(endian, data, kind)?;
        for symbol in table.iter().filter(|it| it.st_type() == elf::STT_FUNC) {
            let (start, size): (u64, u64) = (symbol.st_value(endian).into(), symbol.st_size(endian).into());
            for (address, best) in addresses.iter().zip(&mut best) {
                let Some(within) = address.and_then(|address| address.checked_sub(start)) else { continue };
                // One without size reaches to the next one.
                if start == 0
                    || size != 0 && within >= size
                    || best.as_ref().is_some_and(|it| it.start >= start)
                {
                    continue;
                }
                if let Ok(name) = table.symbol_name(endian, symbol) {
                    *best = Some(Candidate { start, name: String::from_utf8_lossy(name).into_owned() });
                }
            }
        }
    }
    Ok(best.into_iter().map(|it| it.map(|it| it.name).filter(|name| !name.is_empty())).collect())
}

/// The address that the file gives to what is at this offset.
fn loaded_at<E: FileHeader>(segments: &[E::ProgramHeader], endian: E::Endian, offset: u64) -> Option<u64> {
    segments.iter().filter(|it| it.p_type(endian) == elf::PT_LOAD).find_map(|it| {
        let (begin, size): (u64, u64) = (it.p_offset(endian).into(), it.p_filesz(endian).into());
        let within = offset.checked_sub(begin).filter(|within| *within < size)?;
        let base: u64 = it.p_vaddr(endian).into();
        base.checked_add(within)
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn what_is_no_program_has_no_functions() {
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        for content in [&b"#!/bin/sh\n"[..], b"", b"\x7fELF", &own[..64], &own[..own.len() / 2]] {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(content).unwrap();
            assert_eq!(functions_at(&file, &[0, 0x1000, u64::MAX]), [None, None, None]);
        }
    }

    /// Of a library without its own symbol table there are the functions that it gives to others.
    #[test]
    fn the_functions_of_a_library_are_found() {
        use object::{Object as _, ObjectSegment as _, ObjectSymbol as _};
        let names = ["libc.so.6", "libc.so"];
        let dirs = ["/lib/x86_64-linux-gnu", "/lib/aarch64-linux-gnu", "/lib64", "/usr/lib", "/lib"];
        let paths = dirs.iter().flat_map(|dir| names.map(|name| std::path::Path::new(dir).join(name)));
        let path = paths.into_iter().find(|path| path.exists()).expect("a C library");
        let content = std::fs::read(&path).unwrap();
        let library = object::File::parse(&*content).unwrap();
        let getpid = library.dynamic_symbols().find(|it| it.name() == Ok("getpid")).unwrap().address();
        let within =
            |it: &object::Segment<'_, '_>| (it.address()..it.address() + it.size()).contains(&getpid);
        let segment = library.segments().find(within).unwrap();
        let offset = getpid - segment.address() + segment.file_range().0;
        let found = functions_at(&File::open(&path).unwrap(), &[offset, offset + 1]);
        assert!(found.iter().all(|it| it.as_ref().is_some_and(|it| it.ends_with("getpid"))), "{found:?}");
    }

    proptest::proptest! {
        #[test]
        fn no_file_makes_it_panic(
            head in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..400),
            class in 1u8..3,
        ) {
            let mut file = tempfile::tempfile().unwrap();
            let mut content = vec![0x7f, b'E', b'L', b'F', class, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 62, 0, 1, 0, 0, 0];
            content.extend(head);
            file.write_all(&content).unwrap();
            proptest::prop_assert_eq!(functions_at(&file, &[0x40]).len(), 1);
        }
    }
}
