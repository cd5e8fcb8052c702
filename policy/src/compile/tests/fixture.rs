//! A small kernel: type information of a few functions, and a tracing file system.

use std::fs;

use tempfile::TempDir;

use crate::kernel::Kernel;

pub(super) struct Fixture {
    kernel: Kernel,
    _files: [TempDir; 2],
}

impl Fixture {
    pub(super) fn new() -> Self {
        let mut types = Types::default();
        let int = types.integer("int", 4, true);
        let unsigned = types.integer("unsigned int", 4, false);
        let char = types.integer("char", 1, true);
        let file = types.pointer_to_struct("file");
        let registers = types.pointer_to_struct("pt_regs");
        let constant = types.add("", 10 << 24, char, &[]);
        let text = types.add("", 2 << 24, constant, &[]);
        types.function("fd_install", &[("fd", unsigned), ("file", file)]);
        types.function("security_file_permission", &[("file", file), ("mask", int)]);
        types.function("bpf_lsm_file_open", &[("file", file)]);
        types.function("vfs_open", &[("path", file), ("name", text)]);
        types.function("vfs_close", &[]);
        types.function("__do_sys_getppid", &[]);
        for call in ["openat", "read", "write"] {
            types.function(&format!("__x64_sys_{call}"), &[("regs", registers)]);
        }
        let (folder, tracefs) = (tempfile::tempdir().expect("folder"), tracefs());
        let btf = folder.path().join("vmlinux");
        fs::write(&btf, types.finish()).expect("written");
        Self { kernel: Kernel::new(&btf, tracefs.path()), _files: [folder, tracefs] }
    }

    pub(super) fn kernel(&self) -> &Kernel {
        &self.kernel
    }
}

fn tracefs() -> TempDir {
    let folder = tempfile::tempdir().expect("folder");
    let common = "\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n\
                  \tfield:unsigned char common_flags;\toffset:2;\tsize:1;\tsigned:0;\n\
                  \tfield:unsigned char common_preempt_count;\toffset:3;\tsize:1;\tsigned:0;\n\
                  \tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n\n";
    for (event, fields) in [
        (
            "syscalls/sys_enter_openat",
            "\tfield:int __syscall_nr;\toffset:8;\tsize:4;\tsigned:1;\n\
             \tfield:int dfd;\toffset:16;\tsize:8;\tsigned:0;\n\
             \tfield:const char * filename;\toffset:24;\tsize:8;\tsigned:0;\n",
        ),
        (
            "sched/sched_switch",
            "\tfield:char prev_comm[16];\toffset:8;\tsize:16;\tsigned:0;\n\
             \tfield:pid_t prev_pid;\toffset:24;\tsize:4;\tsigned:1;\n",
        ),
        (
            "cgroup/cgroup_mkdir",
            "\tfield:u64 id;\toffset:16;\tsize:8;\tsigned:0;\n\
             \tfield:__data_loc char[] path;\toffset:24;\tsize:4;\tsigned:0;\n\
             \tfield:struct cgroup * it;\toffset:32;\tsize:8;\tsigned:0;\n",
        ),
    ] {
        let event = folder.path().join("events").join(event);
        fs::create_dir_all(&event).expect("made");
        fs::write(event.join("format"), format!("name: x\nID: 1\nformat:\n{common}{fields}"))
            .expect("written");
    }
    let functions = "vfs_open\nvfs_close\nfd_install\nvfs_open\n__ftrace_invalid_address___88\n\
                     of_a_module [ext4]\nvfs_of_a_module [ext4]\n";
    fs::write(folder.path().join("available_filter_functions"), functions).expect("written");
    folder
}

/// Writes type information.
struct Types {
    types: Vec<u8>,
    strings: Vec<u8>,
    count: u32,
}

impl Default for Types {
    fn default() -> Self {
        Self { types: Vec::new(), strings: vec![0], count: 0 }
    }
}

impl Types {
    fn string(&mut self, text: &str) -> u32 {
        let at = u32::try_from(self.strings.len()).expect("short");
        self.strings.extend(text.as_bytes());
        self.strings.push(0);
        at
    }

    fn add(&mut self, name: &str, info: u32, size_or_type: u32, tail: &[u32]) -> u32 {
        let name = if name.is_empty() { 0 } else { self.string(name) };
        for word in [name, info, size_or_type].iter().chain(tail) {
            self.types.extend(word.to_ne_bytes());
        }
        self.count += 1;
        self.count
    }

    fn integer(&mut self, name: &str, size: u32, signed: bool) -> u32 {
        self.add(name, 1 << 24, size, &[(u32::from(signed) << 24) | (size * 8)])
    }

    fn pointer_to_struct(&mut self, name: &str) -> u32 {
        let structure = self.add(name, 4 << 24, 8, &[]);
        self.add("", 2 << 24, structure, &[])
    }

    fn function(&mut self, name: &str, parameters: &[(&str, u32)]) {
        let mut tail = Vec::new();
        for (name, ty) in parameters {
            tail.extend([self.string(name), *ty]);
        }
        let count = u32::try_from(parameters.len()).expect("few");
        let prototype = self.add("", (13 << 24) | count, 0, &tail);
        self.add(name, 12 << 24, prototype, &[]);
    }

    fn finish(self) -> Vec<u8> {
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).expect("short");
        let mut raw = Vec::new();
        raw.extend(0xeb9f_u16.to_ne_bytes());
        raw.extend([1, 0]);
        let types = length(&self.types);
        for word in [24, 0, types, types, length(&self.strings)] {
            raw.extend(word.to_ne_bytes());
        }
        raw.extend(self.types);
        raw.extend(self.strings);
        raw
    }
}
