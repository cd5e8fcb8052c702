//! Kernel modules.

use anyhow::{Context, Result, ensure};
use tetragon_api::tetragon::kprobe_argument::Arg;
use tetragon_api::tetragon::{KernelModule, TaintedBitsType};
use tetragon_bpf::btf::{Btf, Kind};
use tetragon_e2e::kit::Env;
use tetragon_e2e::place::VMS;
use tetragon_e2e::{Test, test};

use super::{arg, only};
use super::{expect_exactly, policy, start};

pub(super) fn tests() -> Vec<Test> {
    vec![test!(a_module_is_loaded).on(VMS)]
}

const NAME: &str = "tetragon_e2e_empty";

fn a_module_is_loaded(env: &Env) -> Result<()> {
    let watch = start(env)?;
    // In the second one, its number of parameters.
    let sets_up = |name: &str, parameters: u32| {
        policy(
            name,
            &format!(
                "kprobes: [{{call: mod_sysfs_setup, syscall: false, args: [{{index: 0, type: module}}, \
                 {{index: 1, type: load_info}}, {{index: 3, type: uint32}}], selectors: [{{matchArgs: \
                 [{{index: 3, operator: Equal, values: ['{parameters}']}}]}}]}}]"
            ),
        )
    };
    watch.agent.add_policies([
        sets_up("set-up", 0),
        sets_up("set-up-otherwise", 1),
        policy(
            "begins",
            "kprobes: [{call: do_init_module, syscall: false, args: [{index: 0, type: module}]}]",
        ),
        policy("ends", "kprobes: [{call: free_module, syscall: false, args: [{index: 0, type: module}]}]"),
    ])?;
    let file = env.file("empty.ko");
    std::fs::write(&file, image(&std::fs::read("/sys/kernel/btf/vmlinux")?)?)?;
    // open(2), finit_module(2), delete_module(2)
    let opened = ["syscall", "2", &format!("s:{}", file.display()), "0", "0", "."].map(str::to_owned);
    let load = ["syscall", "313", "3", "s:", "0", "."].map(str::to_owned);
    let unload = ["syscall", "176", &format!("s:{NAME}"), "0", "."].map(str::to_owned);
    let line: Vec<String> = opened.iter().chain(&load).chain(&unload).cloned().chain(exit()).collect();
    let (ended, _) = watch.act(line)?;
    let expected = ["set-up", "begins", "ends"].map(str::to_owned).into();
    expect_exactly(&watch, ended.pid, &expected, "a module")?;

    // Nobody signed it, and it does not say for which kernel it is.
    let [forced, unsigned] =
        [TaintedBitsType::TaintForcedModule, TaintedBitsType::TaintUnsignedModule].map(|it| it as i32);
    let module = KernelModule { name: NAME.to_owned(), signature_ok: None, tainted: vec![forced, unsigned] };
    for name in ["set-up", "begins", "ends"] {
        let event = only(&watch, name, ended.pid)?;
        ensure!(arg(&event, 0)? == &Arg::ModuleArg(module.clone()), "{event:?}");
    }
    let event = only(&watch, "set-up", ended.pid)?;
    // It knows the module as it was before it was moved to its own memory, where it got the second mark.
    let info = KernelModule { signature_ok: Some(false), tainted: vec![forced], ..module };
    ensure!(arg(&event, 1)? == &Arg::ModuleArg(info), "{event:?}");

    // What is no module does not get that far.
    std::fs::write(&file, "no module")?;
    let line: Vec<String> = opened.iter().chain(&load).cloned().chain(exit()).collect();
    let (ended, _) = watch.act(line)?;
    expect_exactly(&watch, ended.pid, &std::collections::BTreeSet::new(), "no module")?;
    watch.finish()
}

fn exit() -> [String; 2] {
    ["exit", "0"].map(str::to_owned)
}

/// A module that does nothing, for the kernel with this type information: an object file in which there is only what
/// the kernel insists on.
fn image(btf: &[u8]) -> Result<Vec<u8>> {
    let btf = Btf::parse(btf).context("the kernel's type information")?;
    let module = btf.find(Kind::Struct, "module").context("no struct module")?;
    let name = btf.members(module).find(|(name, ..)| *name == "name").context("no name in it")?;
    let mut this_module = vec![0; usize::try_from(module.size_or_type)?];
    let at = usize::try_from(name.1 / 8)?;
    this_module
        .get_mut(at..at + NAME.len())
        .context("the name does not fit")?
        .copy_from_slice(NAME.as_bytes());
    let information = format!("name={NAME}\0license=GPL\0intree=Y\0");

    const NAMES: &str = "\0.modinfo\0.gnu.linkonce.this_module\0.symtab\0.strtab\0.shstrtab\0";
    let section = |name: &str| NAMES.find(&format!("\0{name}\0")).map_or(0, |at| at + 1);
    const PROGBITS: u32 = 1;
    const SYMTAB: u32 = 2;
    const STRTAB: u32 = 3;
    /// `SHF_WRITE`, `SHF_ALLOC`
    const ALLOCATED: u64 = 3;
    let sections: [(&str, u32, u64, &[u8]); 5] = [
        (".modinfo", PROGBITS, 2, information.as_bytes()),
        (".gnu.linkonce.this_module", PROGBITS, ALLOCATED, &this_module),
        // The null symbol; its names are in section 4.
        (".symtab", SYMTAB, 0, &[0; 24]),
        (".strtab", STRTAB, 0, b"\0"),
        (".shstrtab", STRTAB, 0, NAMES.as_bytes()),
    ];
    let mut content = Vec::new();
    let mut headers = vec![0; 64];
    for (name, kind, flags, bytes) in sections {
        content.resize(content.len().next_multiple_of(64), 0);
        let [link, info, entry] = if kind == SYMTAB { [4, 1, 24] } else { [0; 3] };
        headers.extend(u32::try_from(section(name))?.to_le_bytes());
        headers.extend(kind.to_le_bytes());
        // flags, address, offset, size
        let offset = u64::try_from(64 + content.len())?;
        headers
            .extend([flags, 0, offset, u64::try_from(bytes.len())?].iter().flat_map(|it| it.to_le_bytes()));
        headers.extend([link, info].iter().flat_map(|it: &u32| it.to_le_bytes()));
        // alignment, size of an entry
        headers.extend([64, entry.into()].iter().flat_map(|it: &u64| it.to_le_bytes()));
        content.extend(bytes);
    }
    content.resize(content.len().next_multiple_of(64), 0);
    // 64 bits, little endian; a relocatable file for x86-64
    let mut image = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x01\0\x3e\0\x01\0\0\0".to_vec();
    // entry, program headers, section headers
    image.extend([0, 0, u64::try_from(64 + content.len())?].iter().flat_map(|it| it.to_le_bytes()));
    image.extend([0; 4]);
    // sizes and numbers of headers; where the names of sections are
    image.extend([64u16, 0, 0, 64, 6, 5].iter().flat_map(|it| it.to_le_bytes()));
    image.extend(content);
    image.extend(headers);
    Ok(image)
}
