use tetragon_api::tetragon::{
    Capabilities, KernelModule, KprobeBpfAttr, KprobeBpfMap, KprobeCapability, KprobeFile, KprobeLinuxBinprm,
    KprobePath, KprobePerfEvent, KprobeSkb, KprobeSock, KprobeTruncatedBytes, Namespace, ProcessCredentials,
    UserNamespace,
};
use tetragon_bpf::plan::{
    CapturedBpfAttr, CapturedBpfMap, CapturedCred, CapturedModule, CapturedPerfEvent, CapturedSkb,
    CapturedSock, CapturedUserNs,
};
use tetragon_policy::Source;
use zerocopy::{FromZeros, Immutable, IntoBytes};

use super::*;
use crate::samples::{mk_call, mk_hook, mk_key};

fn mk_reader(ty: ArgType) -> Reader {
    Reader {
        source: Source::Argument(0),
        capture: Capture::Typed(ty),
        size: None,
        at_return: false,
        max_data: false,
        label: format!("label of {ty}"),
    }
}

fn mk_kprobe(readers: Vec<Reader>) -> HookProgram {
    mk_hook(Attach::Kprobe { symbols: vec!["f".to_owned()], syscall: false }, readers)
}

fn mk_tracepoint(readers: Vec<Reader>) -> HookProgram {
    mk_hook(Attach::Tracepoint { subsystem: "s".to_owned(), event: "e".to_owned() }, readers)
}

fn mk_captured(capture: u32, len: usize, value: u64) -> Captured {
    Captured {
        capture: capture.try_into().unwrap(),
        flags: captured_flags::READ.try_into().unwrap(),
        offset: 0,
        len: len.try_into().unwrap(),
        mode: 0,
        value,
    }
}

/// The only argument of a record with these.
fn one(hook: &HookProgram, captured: Captured, data: &[u8]) -> Arg {
    let mut record = mk_call(mk_key(1, 1, 1), 1);
    (record.readers, record.arg[0]) = (1, captured);
    let mut args = at_entry(&record, data, hook).unwrap();
    assert_eq!(args.len(), 1);
    args.pop().unwrap().1.arg.unwrap()
}

fn shown(ty: ArgType, captured: Captured, data: &[u8]) -> Arg {
    one(&mk_kprobe(vec![mk_reader(ty)]), captured, data)
}

fn number(ty: ArgType, capture: u32, value: u64) -> Arg {
    shown(ty, mk_captured(capture, 0, value), b"")
}

fn structure<T: IntoBytes + Immutable>(ty: ArgType, capture: u32, it: &T) -> Arg {
    shown(ty, mk_captured(capture, it.as_bytes().len(), 0), it.as_bytes())
}

fn name<const N: usize>(text: &str) -> [u8; N] {
    let mut bytes = [0; N];
    bytes[..text.len()].copy_from_slice(text.as_bytes());
    bytes
}

#[test]
fn numbers_are_shown_in_the_field_of_their_type() {
    let minus = u64::MAX - 4;
    for (ty, capture, value, arg) in [
        (ArgType::Int, capture::INT, minus, Arg::IntArg(-5)),
        (ArgType::Int32, capture::S32, minus, Arg::IntArg(-5)),
        (ArgType::Int16, capture::S16, minus, Arg::IntArg(-5)),
        (ArgType::Int8, capture::S8, minus, Arg::IntArg(-5)),
        (ArgType::Int, capture::INT, 0, Arg::IntArg(0)),
        (ArgType::Uint32, capture::U32, 0xffff_fffb, Arg::UintArg(0xffff_fffb)),
        (ArgType::Uint16, capture::U16, 0xfffb, Arg::UintArg(0xfffb)),
        (ArgType::Uint8, capture::U8, 0xfb, Arg::UintArg(0xfb)),
        (ArgType::Int64, capture::S64, minus, Arg::LongArg(-5)),
        (ArgType::Uint64, capture::U64, minus, Arg::SizeArg(minus)),
        (ArgType::SizeT, capture::SIZE, 4096, Arg::SizeArg(4096)),
        (ArgType::Syscall64, capture::SYSCALL64, 0x8000_0003, Arg::SizeArg(0x8000_0003)),
        (ArgType::KernelCap, capture::KERNEL_CAP, 0x1f, Arg::KernelCapTArg("000000000000001f".to_owned())),
        (
            ArgType::CapInheritable,
            capture::CAP_INHERITABLE,
            0,
            Arg::CapInheritableArg("0000000000000000".to_owned()),
        ),
        (
            ArgType::CapPermitted,
            capture::CAP_PERMITTED,
            0x1ff_ffff_ffff,
            Arg::CapPermittedArg("000001ffffffffff".to_owned()),
        ),
        (
            ArgType::CapEffective,
            capture::CAP_EFFECTIVE,
            u64::MAX,
            Arg::CapEffectiveArg("ffffffffffffffff".to_owned()),
        ),
    ] {
        assert_eq!(number(ty, capture, value), arg, "{ty}");
    }
}

#[test]
fn texts_end_at_their_zero_byte_and_are_valid() {
    for (ty, capture) in [
        (ArgType::String, capture::STRING),
        (ArgType::Filename, capture::FILENAME),
        (ArgType::NetDevice, capture::NET_DEVICE),
        (ArgType::DataLoc, capture::DATA_LOC),
    ] {
        let text = |data: &[u8]| shown(ty, mk_captured(capture, data.len(), data.len() as u64), data);
        assert_eq!(text(b"eth0\0\0rest"), Arg::StringArg("eth0".to_owned()));
        assert_eq!(text(b"whole"), Arg::StringArg("whole".to_owned()));
        assert_eq!(text(b"a\xff\xfeb"), Arg::StringArg("a\u{fffd}b".to_owned()));
        assert_eq!(text(b""), Arg::StringArg(String::new()));
    }
}

#[test]
fn bytes_tell_how_many_there_were() {
    for (ty, capture) in [
        (ArgType::CharBuf, capture::CHAR_BUF),
        (ArgType::CharIovec, capture::CHAR_IOVEC),
        (ArgType::IovIter, capture::IOV_ITER),
    ] {
        let data = b"\0a\xff";
        let whole = mk_captured(capture, 3, 3);
        assert_eq!(shown(ty, whole, data), Arg::BytesArg(data.to_vec().into()));
        let cut = mk_captured(capture, 3, 5000);
        let expected = KprobeTruncatedBytes { bytes_arg: data.to_vec().into(), orig_size: 5000 };
        assert_eq!(shown(ty, cut, data), Arg::TruncatedBytesArg(expected));
        // Of scattered bytes it may only be known that there were more.
        let mut more = whole;
        more.flags |= u16::try_from(captured_flags::TRUNCATED).unwrap();
        let expected = KprobeTruncatedBytes { bytes_arg: data.to_vec().into(), orig_size: 3 };
        assert_eq!(shown(ty, more, data), Arg::TruncatedBytesArg(expected));
        let tracepoint = mk_tracepoint(vec![mk_reader(ty)]);
        assert_eq!(one(&tracepoint, cut, data), Arg::BytesArg(data.to_vec().into()));
    }
}

#[test]
fn files_have_path_flags_and_permission() {
    let file = |path: &str, flags: u32, mode: u32| {
        let mut captured = mk_captured(capture::FILE, path.len(), 0);
        captured.flags |= u16::try_from(flags).unwrap();
        captured.mode = mode;
        match shown(ArgType::File, captured, path.as_bytes()) {
            Arg::FileArg(KprobeFile { mount, path, flags, permission }) => {
                assert_eq!(mount, "");
                (path, flags, permission)
            }
            other => panic!("{other:?}"),
        }
    };
    let own = |(a, b, c): (&str, &str, &str)| (a.to_owned(), b.to_owned(), c.to_owned());
    let incomplete = captured_flags::INCOMPLETE;
    let unlinked = captured_flags::UNLINKED;
    assert_eq!(file("/etc/passwd\0", 0, 0o100_644), own(("/etc/passwd", "", "-rw-r--r--")));
    assert_eq!(
        file("tail/x", incomplete, 0o100_600),
        own(("tail/x", "unresolvedPathComponents", "-rw-------"))
    );
    assert_eq!(file("/tmp/x", unlinked, 0o100_600), own(("/tmp/x (deleted)", "", "-rw-------")));
    assert_eq!(file("/", 0, 0o040_755), own(("/", "", "drwxr-xr-x")));
    assert_eq!(file("", 0, 0), own(("/", "", "---------")));
    // Neither a pipe, nor an anonymous inode, nor the unknown beginning of a path is the root.
    assert_eq!(file("", 0, 0o010_600), own(("", "", "prw-------")));
    assert_eq!(file("", 0, 0o600), own(("", "", "rw-------")));
    assert_eq!(file("", incomplete, 0).0, "");
}

#[test]
fn what_has_a_path_is_shown_in_the_field_of_its_type() {
    let of = |ty, capture| {
        let captured = Captured { mode: 0o100_755, ..mk_captured(capture, 4, 3) };
        shown(ty, captured, b"/bin")
    };
    let (path, permission) = ("/bin".to_owned(), "-rwxr-xr-x".to_owned());
    let file = KprobeFile { path: path.clone(), permission: permission.clone(), ..KprobeFile::default() };
    for (ty, capture) in
        [(ArgType::File, capture::FILE), (ArgType::Kiocb, capture::KIOCB), (ArgType::Fd, capture::FD)]
    {
        assert_eq!(of(ty, capture), Arg::FileArg(file.clone()));
    }
    let expected = KprobePath { path: path.clone(), permission: permission.clone(), ..KprobePath::default() };
    assert_eq!(of(ArgType::Path, capture::PATH), Arg::PathArg(expected));
    let expected = KprobeLinuxBinprm { path, flags: String::new(), permission };
    assert_eq!(of(ArgType::LinuxBinprm, capture::LINUX_BINPRM), Arg::LinuxBinprmArg(expected));
}

#[test]
fn sockets_are_shown_whole() {
    let mut sock = CapturedSock::new_zeroed();
    sock.source[..4].copy_from_slice(&[127, 0, 0, 1]);
    sock.destination[..4].copy_from_slice(&[10, 1, 2, 3]);
    (sock.cookie, sock.mark, sock.priority) = (0xffff_8880_0000_1000, 5, 6);
    (sock.family, sock.sock_type, sock.protocol, sock.state) = (2, 1, 6, 1);
    (sock.source_port, sock.destination_port) = (40_000, 443);
    let expected = KprobeSock {
        family: "AF_INET".to_owned(),
        r#type: "SOCK_STREAM".to_owned(),
        protocol: "IPPROTO_TCP".to_owned(),
        mark: 5,
        priority: 6,
        saddr: "127.0.0.1".to_owned(),
        daddr: "10.1.2.3".to_owned(),
        sport: 40_000,
        dport: 443,
        cookie: 0xffff_8880_0000_1000,
        state: "TCP_ESTABLISHED".to_owned(),
    };
    assert_eq!(structure(ArgType::Sock, capture::SOCK, &sock), Arg::SockArg(expected));
}

#[test]
fn addresses_are_those_of_their_family() {
    let addresses = |family: u16, source: [u8; 16]| {
        let mut sock = CapturedSock::new_zeroed();
        (sock.family, sock.source) = (family, source);
        match structure(ArgType::Sock, capture::SOCK, &sock) {
            Arg::SockArg(KprobeSock { saddr, daddr, .. }) => (saddr, daddr),
            other => panic!("{other:?}"),
        }
    };
    let v6 = "2001:db8::1".parse::<std::net::Ipv6Addr>().unwrap().octets();
    let mapped = "::ffff:10.0.0.1".parse::<std::net::Ipv6Addr>().unwrap().octets();
    assert_eq!(addresses(10, v6), ("2001:db8::1".to_owned(), "::".to_owned()));
    assert_eq!(addresses(10, mapped).0, "10.0.0.1");
    assert_eq!(addresses(2, [0; 16]).0, "0.0.0.0");
    assert_eq!(addresses(1, v6), (String::new(), String::new()));
}

#[test]
fn packets_are_shown_whole() {
    let mut skb = CapturedSkb::new_zeroed();
    skb.source = "fe80::1".parse::<std::net::Ipv6Addr>().unwrap().octets();
    skb.destination = "fe80::2".parse::<std::net::Ipv6Addr>().unwrap().octets();
    (skb.hash, skb.len, skb.priority, skb.mark, skb.secpath_len, skb.secpath_olen) = (1, 2, 3, 4, 5, 6);
    (skb.family, skb.protocol, skb.source_port, skb.destination_port) = (10, 17, 53, 54);
    let expected = KprobeSkb {
        hash: 1,
        len: 2,
        priority: 3,
        mark: 4,
        saddr: "fe80::1".to_owned(),
        daddr: "fe80::2".to_owned(),
        sport: 53,
        dport: 54,
        proto: 17,
        sec_path_len: 5,
        sec_path_olen: 6,
        protocol: "IPPROTO_UDP".to_owned(),
        family: "AF_INET6".to_owned(),
    };
    assert_eq!(structure(ArgType::Skb, capture::SKB, &skb), Arg::SkbArg(expected));
    let other = structure(ArgType::Skb, capture::SKB, &CapturedSkb { len: 60, ..CapturedSkb::new_zeroed() });
    let expected = KprobeSkb { len: 60, family: "AF_UNSPEC".to_owned(), ..KprobeSkb::default() };
    assert_eq!(other, Arg::SkbArg(expected));
}

#[test]
fn credentials_have_ids_capabilities_and_namespace() {
    let mut it = CapturedCred::new_zeroed();
    (it.cred.uid, it.cred.gid, it.cred.euid, it.cred.egid) = (1, 2, 3, 4);
    (it.cred.suid, it.cred.sgid, it.cred.fsuid, it.cred.fsgid) = (5, 6, 7, 8);
    (it.cred.securebits, it.cred.permitted, it.cred.effective, it.cred.inheritable) = (1 | 16, 1 | 2, 1, 2);
    (it.user_ns.level, it.user_ns.uid, it.user_ns.gid, it.user_ns.inode) = (1, 1000, 1001, 4_026_532_000);
    let user_ns = UserNamespace {
        level: Some(1),
        uid: Some(1000),
        gid: Some(1001),
        ns: Some(Namespace { inum: 4_026_532_000, is_host: false }),
    };
    let expected = ProcessCredentials {
        uid: Some(1),
        gid: Some(2),
        euid: Some(3),
        egid: Some(4),
        suid: Some(5),
        sgid: Some(6),
        fsuid: Some(7),
        fsgid: Some(8),
        securebits: vec![1, 16],
        caps: Some(Capabilities { permitted: vec![0, 1], effective: vec![0], inheritable: vec![1] }),
        user_ns: Some(user_ns),
    };
    assert_eq!(structure(ArgType::Cred, capture::CRED, &it), Arg::ProcessCredentialsArg(expected));
}

#[test]
fn only_the_first_user_namespace_is_the_host_s() {
    let host = CapturedUserNs { inode: 7, ..CapturedUserNs::new_zeroed() };
    let expected = UserNamespace {
        level: Some(0),
        uid: Some(0),
        gid: Some(0),
        ns: Some(Namespace { inum: 7, is_host: true }),
    };
    let shown = structure(ArgType::UserNamespace, capture::USER_NAMESPACE, &host);
    assert_eq!(shown, Arg::UserNsArg(expected));
}

#[test]
fn capabilities_have_their_names() {
    for (value, name) in
        [(1, "DAC_OVERRIDE"), (21, "CAP_SYS_ADMIN"), (40, "CAP_CHECKPOINT_RESTORE"), (41, "")]
    {
        let expected = KprobeCapability { value: Some(value), name: name.to_owned() };
        let shown = number(ArgType::Capability, capture::CAPABILITY, u64::try_from(value).unwrap());
        assert_eq!(shown, Arg::CapabilityArg(expected));
    }
}

#[test]
fn bpf_objects_and_modules_are_shown_by_name() {
    let mut attr = CapturedBpfAttr::new_zeroed();
    (attr.prog_type, attr.insn_cnt, attr.prog_name) = (29, 100, name("lsm_open"));
    let expected = KprobeBpfAttr {
        prog_type: "BPF_PROG_TYPE_LSM".to_owned(),
        insn_cnt: 100,
        prog_name: "lsm_open".to_owned(),
    };
    assert_eq!(structure(ArgType::BpfAttr, capture::BPF_ATTR, &attr), Arg::BpfAttrArg(expected));
    attr.prog_type = 1000;
    let Arg::BpfAttrArg(unknown) = structure(ArgType::BpfAttr, capture::BPF_ATTR, &attr) else { panic!() };
    assert_eq!(unknown.prog_type, "1000");

    let mut map = CapturedBpfMap::new_zeroed();
    (map.map_type, map.key_size, map.value_size, map.max_entries) = (1, 4, 8, 16);
    map.map_name = *b"sixteen_bytes_16";
    let expected = KprobeBpfMap {
        map_type: "BPF_MAP_TYPE_HASH".to_owned(),
        key_size: 4,
        value_size: 8,
        max_entries: 16,
        map_name: "sixteen_bytes_16".to_owned(),
    };
    assert_eq!(structure(ArgType::BpfMap, capture::BPF_MAP, &map), Arg::BpfMapArg(expected));

    let mut event = CapturedPerfEvent::new_zeroed();
    (event.config, event.probe_offset, event.event_type, event.function) = (1, 2, 2, name("do_sys_open"));
    let expected = KprobePerfEvent {
        kprobe_func: "do_sys_open".to_owned(),
        r#type: "PERF_TYPE_TRACEPOINT".to_owned(),
        config: 1,
        probe_offset: 2,
    };
    assert_eq!(structure(ArgType::PerfEvent, capture::PERF_EVENT, &event), Arg::PerfEventArg(expected));

    let mut module = CapturedModule::new_zeroed();
    (module.taints, module.name) = (1 | 1 << 3 | 1 << 12 | 1 << 13, name("nf_nat"));
    let expected =
        KernelModule { name: "nf_nat".to_owned(), signature_ok: None, tainted: vec![1, 4096, 8192] };
    assert_eq!(structure(ArgType::Module, capture::MODULE, &module), Arg::ModuleArg(expected.clone()));
    let expected = KernelModule { signature_ok: Some(false), ..expected };
    assert_eq!(structure(ArgType::LoadInfo, capture::LOAD_INFO, &module), Arg::ModuleArg(expected));
}

#[test]
fn what_could_not_be_read_says_so() {
    let message = |flags: u32, capture: u32| {
        let captured = Captured { flags: flags.try_into().unwrap(), ..mk_captured(capture, 0, 0) };
        match shown(ArgType::String, captured, b"") {
            Arg::ErrorArg(KprobeError { message }) => message,
            other => panic!("{other:?}"),
        }
    };
    let tried = captured_flags::READ | captured_flags::UNREADABLE;
    assert_eq!(message(tried, capture::STRING), "Bad address for basic type");
    assert_eq!(message(tried, capture::FD), "Bad file descriptor");
    assert_eq!(message(0, capture::STRING), "Not read: no room in the record");
    let cut = captured_flags::READ | captured_flags::TRUNCATED;
    assert_eq!(message(cut, capture::STRING), "Not read: no room in the record");
}

#[test]
fn arrays_of_a_tracepoint_are_one_argument_an_element() {
    let reader = Reader { capture: Capture::Array { size: 24, element: 8 }, ..mk_reader(ArgType::Int) };
    let mut record = mk_call(mk_key(1, 1, 1), 1);
    record.readers = 2;
    record.arg[0] = mk_captured(capture::CONST_BUF, 24, 0);
    record.arg[1] = mk_captured(capture::INT, 0, 9);
    let data: Vec<u8> = [1u64, u64::MAX, 3].iter().flat_map(|it| it.to_ne_bytes()).collect();
    let args = at_entry(&record, &data, &mk_tracepoint(vec![reader, mk_reader(ArgType::Int)])).unwrap();
    let expected = [Arg::SizeArg(1), Arg::SizeArg(u64::MAX), Arg::SizeArg(3), Arg::IntArg(9)];
    assert_eq!(args.iter().map(|(_, it)| it.arg.clone().unwrap()).collect::<Vec<_>>(), expected);
    assert!(args.iter().all(|(_, it)| it.label.is_empty()), "tracepoints show no labels");
    let name = Reader { capture: Capture::Array { size: 24, element: 1 }, ..mk_reader(ArgType::Int) };
    let args = at_entry(&record, &data, &mk_tracepoint(vec![name, mk_reader(ArgType::Int)])).unwrap();
    assert_eq!(args[0].1.arg, Some(Arg::BytesArg(data.into())));
    assert_eq!(args[1].1.arg, Some(Arg::IntArg(9)));
}

#[test]
fn arguments_that_are_not_shown_leave_no_gap() {
    let mut record = mk_call(mk_key(1, 1, 1), 1);
    record.readers = 3;
    record.arg[0] = mk_captured(capture::INT, 0, 1);
    record.arg[2] = mk_captured(capture::INT, 0, 3);
    let readers = [ArgType::Int, ArgType::Nop, ArgType::Int].map(mk_reader).to_vec();
    let args = at_entry(&record, b"", &mk_kprobe(readers)).unwrap();
    let labels: Vec<_> = args.iter().map(|(at, it)| (*at, it.label.as_str(), it.arg.clone())).collect();
    let expected = [(0, "label of int", Some(Arg::IntArg(1))), (2, "label of int", Some(Arg::IntArg(3)))];
    assert_eq!(labels, expected);
}

#[test]
fn arguments_at_return_take_their_places() {
    let late = Reader { at_return: true, ..mk_reader(ArgType::CharBuf) };
    let readers = vec![mk_reader(ArgType::Nop), late, mk_reader(ArgType::SizeT)];
    let returns = Reader { at_return: true, ..mk_reader(ArgType::Int) };
    let hook = HookProgram { returns: Some(returns), ..mk_kprobe(readers) };
    let mut record = mk_call(mk_key(1, 1, 1), 1);
    record.readers = 3;
    record.arg[2] = mk_captured(capture::SIZE, 0, 100);
    let mut args = at_entry(&record, b"", &hook).unwrap();
    let plain = |args: &Positioned| args.iter().map(|(_, it)| it.arg.clone().unwrap()).collect::<Vec<_>>();
    assert_eq!(plain(&args), [Arg::BytesArg(Vec::new().into()), Arg::SizeArg(100)]);

    record.arg[1] = mk_captured(capture::CHAR_BUF, 4, 4);
    record.arg[2] = Captured::new_zeroed();
    record.arg[PLAN_READERS] = mk_captured(capture::INT, 0, 4);
    let returned = at_return(&record, b"data", &hook, &mut args).unwrap();
    assert_eq!(plain(&args), [Arg::BytesArg(b"data".to_vec().into()), Arg::SizeArg(100)]);
    assert_eq!(args[0].1.label, "label of char_buf");
    assert_eq!(returned, Some(KprobeArgument { label: String::new(), arg: Some(Arg::IntArg(4)) }));
}

#[test]
fn a_record_that_does_not_fit_its_plan_is_an_error() {
    let hook = mk_kprobe(vec![mk_reader(ArgType::Sock)]);
    let mut record = mk_call(mk_key(1, 1, 1), 1);
    record.readers = 2;
    assert_eq!(at_entry(&record, b"", &hook), Err(Misread::Number { record: 2, plan: 1 }));
    record.readers = 1;
    record.arg[0] = mk_captured(capture::SOCK, 3, 0);
    let misread =
        |capture: u32| Misread::Argument { position: 0, capture: capture.try_into().unwrap(), len: 3 };
    assert_eq!(at_entry(&record, b"123", &hook), Err(misread(capture::SOCK)));
    record.arg[0] = mk_captured(200, 3, 0);
    assert_eq!(at_entry(&record, b"123", &hook), Err(misread(200)));
}

proptest::proptest! {
    #[test]
    fn no_record_makes_it_panic(
        words in proptest::collection::vec(proptest::prelude::any::<u64>(), size_of::<PolicyRecord>() / 8),
        data in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300),
        captures in proptest::collection::vec(0u16..45, PLAN_READERS + 1),
    ) {
        let mut record = PolicyRecord::read_from_prefix(words.as_bytes()).unwrap().0;
        record.readers %= 7;
        for (arg, capture) in record.arg.iter_mut().zip(captures) {
            (arg.capture, arg.flags) = (capture, arg.flags | 1);
            (arg.offset, arg.len) = (arg.offset % 300, arg.len % 300);
        }
        let late = Reader { at_return: true, ..mk_reader(ArgType::String) };
        let readers = vec![mk_reader(ArgType::Int), late.clone(), mk_reader(ArgType::File), mk_reader(ArgType::Nop)];
        let hook = HookProgram { returns: Some(late), ..mk_kprobe(readers) };
        let mut args = at_entry(&record, &data, &hook).unwrap_or_default();
        let _ = at_return(&record, &data, &hook, &mut args);
    }
}
