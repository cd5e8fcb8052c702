mod fixture;

use tetragon_crds::policy::{NumberKind, NumberTest};
use tetragon_crds::{Origin, load_for};

use self::fixture::Fixture;
use super::*;
use crate::program::{Need, Source};

fn policy(spec: &str) -> Policy {
    let text = format!(
        "apiVersion: cilium.io/v1alpha1\nkind: TracingPolicy\nmetadata: {{name: test}}\nspec: {{{spec}}}\n"
    );
    load_for(Arch::X86_64, &text, &Origin::Grpc).unwrap_or_else(|errors| panic!("{errors}"))
}

fn compiled(spec: &str) -> Program {
    let fixture = Fixture::new();
    compile(&policy(spec), fixture.kernel(), Arch::X86_64).unwrap_or_else(|errors| panic!("{errors:#?}"))
}

fn refused(spec: &str) -> Vec<String> {
    let fixture = Fixture::new();
    let errors = compile(&policy(spec), fixture.kernel(), Arch::X86_64).expect_err("refused");
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn a_system_call_is_read_from_the_callers_registers() {
    let program = compiled(
        "kprobes: [{call: sys_openat, return: true, returnArg: {type: int}, args: [{index: 1, type: string}]}]",
    );
    let hook = &program.hooks[0];
    let symbols = vec!["__x64_sys_openat".to_owned()];
    assert_eq!(hook.attach, Attach::Kprobe { symbols, syscall: true });
    assert_eq!(hook.readers[0].source, Source::SyscallArgument(1));
    assert_eq!(hook.returns.as_ref().map(|returns| returns.source), Some(Source::Return));
    assert_eq!(hook.needs, [Need::Return].into());
    assert_eq!(program.warnings, []);
}

#[test]
fn functions_that_do_not_exist_are_all_told() {
    assert_eq!(
        refused(
            "kprobes: [{call: sys_opena}, {call: fd_instal, syscall: false}, {call: xyzzy, syscall: false}, \
             {call: 'list:l'}], lists: [{name: l, values: [vfs_open, vfs_opem]}]"
        ),
        [
            "spec.kprobes[0].call: \"__x64_sys_opena\": this kernel has no such function; did you mean \"sys_openat\"?",
            "spec.kprobes[1].call: \"fd_instal\": this kernel has no such function; did you mean \"fd_install\"?",
            "spec.kprobes[2].call: \"xyzzy\": this kernel has no such function; it may be inlined, renamed, or part \
             of a module",
            "spec.lists[0].values[1]: \"vfs_opem\": this kernel has no such function; did you mean \"vfs_open\"?",
        ]
    );
    assert_eq!(
        refused("kprobes: [{call: sys_getppid}]"),
        [
            "spec.kprobes[0].call: \"__x64_sys_getppid\": this kernel's types know no such function; write call: \
             __do_sys_getppid, syscall: false"
        ]
    );
    assert_eq!(
        refused("lsmhooks: [{hook: file_opened}]"),
        [
            "spec.lsmhooks[0].hook: \"bpf_lsm_file_opened\": this kernel has no such function; did you mean \"file_open\"?"
        ]
    );
}

#[test]
fn lists_become_functions() {
    let symbols = |spec: &str| match compiled(spec).hooks.remove(0).attach {
        Attach::Kprobe { symbols, syscall } => (symbols, syscall),
        other => panic!("{other:?}"),
    };
    let hook = "kprobes: [{call: 'list:l'}]";
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    assert_eq!(
        symbols(&format!("lists: [{{name: l, type: generated_syscalls}}], {hook}")),
        (owned(&["__x64_sys_openat", "__x64_sys_read", "__x64_sys_write"]), true)
    );
    assert_eq!(
        symbols(&format!("lists: [{{name: l, type: generated_ftrace, pattern: '^vfs_'}}], {hook}")),
        (owned(&["vfs_close", "vfs_open"]), false)
    );
    assert_eq!(
        symbols(&format!("lists: [{{name: l, values: [vfs_open, fd_install, vfs_open]}}], {hook}")),
        (owned(&["fd_install", "vfs_open"]), false)
    );
    assert_eq!(
        refused(&format!("lists: [{{name: l, type: generated_ftrace, pattern: nothing}}], {hook}")),
        ["spec.lists[0]: \"l\": no function of this kernel is in the list"]
    );
}

#[test]
fn types_that_contradict_the_kernel_are_warned_of() {
    let program = compiled(
        "kprobes: [{call: security_file_permission, syscall: false, args: [{index: 0, type: path}, \
         {index: 1, type: uint64}, {index: 2, type: int}]}, \
         {call: vfs_open, syscall: false, args: [{index: 0, type: file}, {index: 1, type: string}]}, \
         {call: fd_install, syscall: false, args: [{index: 0, type: int}, {index: 1, type: nop}]}]",
    );
    let warnings: Vec<String> = program.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "spec.kprobes[0].args[0].type: \"path\": security_file_permission has a pointer to struct file there; \
             the type may be file",
            "spec.kprobes[0].args[1].type: \"uint64\": security_file_permission has a signed integer of 4 bytes \
             there; the type may be int32",
            "spec.kprobes[0].args[2].index: \"2\": security_file_permission takes 2 arguments",
        ]
    );
}

#[test]
fn fields_of_tracepoints_tell_their_types() {
    let program = compiled(
        "tracepoints: [{subsystem: sched, event: sched_switch, args: [{index: 4}, {index: 5}], \
         selectors: [{matchArgs: [{index: 5, operator: GT, values: ['-1']}]}]}, \
         {subsystem: cgroup, event: cgroup_mkdir, args: [{index: 4}, {index: 5}, {index: 6, type: uint64}]}]",
    );
    let captures = |hook: usize| program.hooks[hook].readers.iter().map(|it| it.capture).collect::<Vec<_>>();
    assert_eq!(captures(0), [Capture::Array { size: 16, element: 1 }, Capture::Typed(ArgType::Int32)]);
    assert_eq!(captures(1), [ArgType::Uint64, ArgType::DataLoc, ArgType::Uint64].map(Capture::Typed));
    assert_eq!(program.hooks[0].readers[1].source, Source::Field { offset: 24, size: 4 });
    assert_eq!(
        program.hooks[0].selectors[0].args[0].predicate,
        Predicate::Number { kind: NumberKind { bits: 32, signed: true }, test: NumberTest::Greater(-1) }
    );
}

#[test]
fn what_a_tracepoint_does_not_have_is_refused() {
    let at = |event: &str, rest: &str| {
        refused(&format!(
            "tracepoints: [{{subsystem: {}, event: {}, {rest}}}]",
            &event[..event.find('/').expect("/")],
            &event[event.find('/').expect("/") + 1..]
        ))
    };
    for (event, rest, expected) in [
        (
            "sched/sched_swich",
            "args: []",
            "spec.tracepoints[0].event: \"sched_swich\": tracepoint sched/sched_swich not supported: there is no such \
             tracepoint; did you mean \"sched_switch\"?",
        ),
        (
            "sched/sched_switch",
            "args: [{index: 6}]",
            "spec.tracepoints[0].args[0].index: \"6\": the tracepoint has 6 fields; from 0 to 5, common fields included",
        ),
        (
            "sched/sched_switch",
            "args: [{index: 4, type: char_buf, sizeArgIndex: 7}]",
            "spec.tracepoints[0].args[0].sizeArgIndex: \"7\": the tracepoint has 6 fields; from 0 to 5, common fields \
             included",
        ),
        (
            "cgroup/cgroup_mkdir",
            "args: [{index: 6}]",
            "spec.tracepoints[0].args[0].type: the type of it (struct cgroup *) has no equivalent; give the type",
        ),
        (
            "syscalls/sys_enter_openat",
            "args: [{index: 6}]",
            "spec.tracepoints[0].args[0]: filename is a pointer to bytes, and nothing tells how many; set \
             sizeArgIndex, or type: string if they end with a zero byte",
        ),
        (
            "sched/sched_switch",
            "args: [{index: 5}], selectors: [{matchArgs: [{index: 5, operator: Prefix, values: [a]}]}]",
            "spec.tracepoints[0].selectors[0].matchArgs[0].operator: \"Prefix\": does not apply to an argument of \
             type int32; one of Equal, NotEqual, GreaterThan, LessThan, GT, LT, Mask, InMap, NotInMap",
        ),
        (
            "sched/sched_switch",
            "args: [{index: 4}], selectors: [{matchArgs: [{index: 4, operator: Equal, values: [a]}]}]",
            "spec.tracepoints[0].selectors[0].matchArgs[0].operator: \"Equal\": there are no filters on an array of \
             16 bytes",
        ),
    ] {
        assert_eq!(at(event, rest), [expected], "{event} {rest}");
    }
}

#[test]
fn needs_follow_from_actions_and_values() {
    let needs = |spec: &str| compiled(spec).hooks[0].needs.iter().copied().collect::<Vec<_>>();
    let act =
        |hook: &str, actions: &str| needs(&format!("{hook}, selectors: [{{matchActions: [{actions}]}}]}}]"));
    assert_eq!(act("kprobes: [{call: sys_read", "{action: Sigkill}"), [Need::SendSignal]);
    assert_eq!(act("kprobes: [{call: sys_read", "{action: Override, argError: -1}"), [Need::OverrideReturn]);
    assert_eq!(
        act("kprobes: [{call: security_file_permission, syscall: false", "{action: Override, argError: -1}"),
        [Need::ModifyReturn]
    );
    assert_eq!(act("lsmhooks: [{hook: file_open", "{action: Override, argError: -1}"), [Need::BpfLsm]);
    assert_eq!(act("kprobes: [{call: sys_read", "{action: Post, userStackTrace: true}"), [Need::StackTraces]);
    let long = "x".repeat(600);
    let spec = format!(
        "kprobes: [{{call: vfs_open, syscall: false, args: [{{index: 1, type: string}}], \
         selectors: [{{matchArgs: [{{index: 1, operator: Equal, values: [{long}]}}]}}]}}]"
    );
    assert_eq!(needs(&spec), [Need::LongTexts]);
    assert_eq!(compiled(&spec).hooks[0].value_bytes, 600);
}

#[test]
fn a_program_explains_itself() {
    let program = compiled(
        "kprobes: [{call: security_file_permission, syscall: false, return: true, returnArg: {type: int}, \
         args: [{index: 0, type: file, label: file}, {index: 1, type: int}], \
         selectors: [{matchPIDs: [{operator: NotIn, values: [1, 2], followForks: true}], \
         matchBinaries: [{operator: In, values: [/bin/cat]}], \
         matchNamespaces: [{namespace: Pid, operator: NotIn, values: [host_ns]}], \
         matchArgs: [{index: 0, operator: Prefix, values: [/a, /b, /c, /d, /e, /f]}, \
         {index: 1, operator: Mask, values: ['4']}], matchReturnArgs: [{operator: Equal, values: ['0']}], \
         matchActions: [{action: Post, rateLimit: 1m}, {action: Signal, argSig: 15}]}]}]",
    );
    let bytes = program.hooks[0].memory_bytes();
    assert_eq!(
        program.to_string(),
        format!(
            "\
policy test
kprobe security_file_permission  # spec.kprobes[0]
  argument 0: file from argument 0 of the function, called \"file\"
  argument 1: int from argument 1 of the function
  return value: int from the return value
  selector 0
    if process id or an ancestor's is not 1, 2
    if program equal to /bin/cat
    if Pid namespace is not the host's
    if argument 0 beginning with \"/a\", \"/b\", \"/c\", \"/d\" and 2 more
    if argument 1 (32 bits, signed) & 0x4 is not 0
    do post once in 60000 ms a thread, send signal 15
    when it returns, if the return value (32 bits, signed) is 0
  needs a probe where functions return, bpf_send_signal (5.3)
  value sets: 20 bytes
  kernel memory: about {bytes} bytes for 1 plan and value sets
"
        )
    );
}

#[test]
fn memory_grows_with_functions_and_values() {
    let bytes = |spec: &str| compiled(spec).hooks[0].memory_bytes();
    let filtered = |values: &str| {
        bytes(&format!(
            "kprobes: [{{call: security_file_permission, syscall: false, args: [{{index: 0, type: file}}], \
             selectors: [{{matchArgs: [{{index: 0, operator: Equal, values: [{values}]}}]}}]}}]"
        ))
    };
    let plain = bytes("kprobes: [{call: security_file_permission, syscall: false}]");
    assert!((3000..5000).contains(&plain), "{plain}");
    let (one, two) = (filtered("/a"), filtered("/a, /b"));
    assert!(one > plain && two > one && two - one < 128, "{plain} {one} {two}");
    let long = format!("/{}", "x".repeat(200));
    assert!(filtered(&long) - one > 150, "a longer key takes more");
}

/// The kernel that runs the tests, where it tells of itself.
#[test]
fn the_running_kernel_is_understood() {
    let btf = std::path::Path::new("/sys/kernel/btf/vmlinux");
    if !btf.exists() {
        return;
    }
    let mut kernel = Kernel::new(btf, std::path::Path::new("/sys/kernel/tracing"));
    let parameters = kernel.parameters("fd_install").expect("a function of every kernel");
    assert_eq!(parameters[1].ty, crate::kernel::ParameterType::Structure("file".to_owned()));
    if let Ok(format) = kernel.format("sched", "sched_process_exec") {
        assert_eq!(format.fields[3].name, "common_pid");
    }
    // More than are searched for one by one, and what is remembered.
    let names: Vec<String> = kernel.functions().step_by(1000).map(str::to_owned).collect();
    assert!(names.len() > 10 && names.is_sorted(), "{names:?}");
    assert!(names.iter().all(|name| kernel.has_function(name)));
    assert!(!kernel.has_function("no_such_function"));
    assert_eq!(kernel.forget(), None);
    assert_eq!(kernel.parameters("fd_install"), Some(parameters));
}

#[test]
fn without_type_information_no_answer_counts() {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("vmlinux");
    let mut kernel = Kernel::new(&file, folder.path());
    assert!(!kernel.has_function("fd_install"));
    let problem = kernel.forget().expect("a problem");
    assert!(problem.contains("cannot read") && problem.contains("vmlinux"), "{problem}");
    std::fs::write(&file, "something").expect("written");
    assert!(!kernel.has_function("fd_install"));
    assert!(kernel.forget().is_some_and(|it| it.contains("byte order")));
    // It was not remembered, and nothing is left to tell.
    assert_eq!(kernel.forget(), None);
}
