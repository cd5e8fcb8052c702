//! Holds the Rust records to the C ones, through the BTF of the compiled object.

use object::{Object, ObjectSection};
use tetragon_bpf::btf::{Btf, Kind};
use tetragon_bpf::plan::*;
use tetragon_bpf::records::*;

fn with_btf(check: impl FnOnce(Btf<'_>)) {
    with_btf_of(tetragon_bpf::OBJECT, check);
}

fn with_btf_of(object: &[u8], check: impl FnOnce(Btf<'_>)) {
    let file = object::File::parse(object).expect("the object is an ELF file");
    let section = file.section_by_name(".BTF").expect("the object has BTF");
    check(Btf::parse(section.data().expect("section has data")).expect("BTF parses"));
}

/// Sizes of the members are those up to the next one: equal sums leave no room for hidden padding.
fn assert_same(btf: Btf<'_>, c_name: &str, size: usize, members: &[Member]) {
    let c = btf.find(Kind::Struct, c_name).unwrap_or_else(|| panic!("no struct {c_name} in the object"));
    assert_eq!(c.size_or_type as usize, size, "size of {c_name}");
    let in_c: Vec<(String, usize)> =
        btf.members(c).map(|(name, bits, _)| (name.to_owned(), bits as usize / 8)).collect();
    let in_rust: Vec<(String, usize)> =
        members.iter().map(|(name, offset, _)| ((*name).to_owned(), *offset)).collect();
    assert_eq!(in_c, in_rust, "members of {c_name}");
    let mut end = 0;
    for (name, offset, size) in members {
        assert_eq!(*offset, end, "padding before {c_name}.{name}");
        end = offset + size;
    }
    assert_eq!(end, size, "padding at the end of {c_name}");
}

#[test]
fn records_match_the_object() {
    with_btf(|btf| {
        macro_rules! same {
            ($($record:ident)*) => {
                $(assert_same(btf, $record::C_NAME, size_of::<$record>(), $record::MEMBERS);)*
            };
        }
        same!(ProcessKey RecordHeader Credentials Namespaces TaskInfo ExecRecord ForkRecord ExitRecord);
        same!(DataRecord ScanRecord HookCounters Identity CgroupRecord AnnouncedName ContainerState);
    });
}

#[test]
fn constants_match_the_object() {
    with_btf(|btf| {
        for (c_name, ours) in [
            (kind::C_NAME, kind::MEMBERS),
            (task_flags::C_NAME, task_flags::MEMBERS),
            (exec_flags::C_NAME, exec_flags::MEMBERS),
            (transitions::C_NAME, transitions::MEMBERS),
            (hook::C_NAME, hook::MEMBERS),
            (identity_flags::C_NAME, identity_flags::MEMBERS),
            (cgroup_action::C_NAME, cgroup_action::MEMBERS),
            (container_flags::C_NAME, container_flags::MEMBERS),
        ] {
            let c = btf.find(Kind::Enum, c_name).unwrap_or_else(|| panic!("no enum {c_name} in the object"));
            assert_eq!(btf.enumerators(c).collect::<Vec<_>>(), ours, "enum {c_name}");
        }
    });
}

#[test]
fn plans_match_the_object() {
    with_btf_of(tetragon_bpf::POLICY_OBJECT, |btf| {
        macro_rules! same {
            ($($record:ident)*) => {
                $(assert_same(btf, $record::C_NAME, size_of::<$record>(), $record::MEMBERS);)*
            };
        }
        same!(PlanSource PlanReader PlanOp PlanAction PlanSelector PlanCounters Plan RuleKey Rule Captured);
        same!(PolicyRecord CapturedSock CapturedSkb CapturedUserNs CapturedCred CapturedBpfAttr CapturedBpfMap);
        same!(CapturedPerfEvent CapturedModule);
        for (c_name, ours) in [
            (source::C_NAME, source::MEMBERS),
            (capture::C_NAME, capture::MEMBERS),
            (reader_flags::C_NAME, reader_flags::MEMBERS),
            (op_kind::C_NAME, op_kind::MEMBERS),
            (op_flags::C_NAME, op_flags::MEMBERS),
            (net_part::C_NAME, net_part::MEMBERS),
            (pid_flags::C_NAME, pid_flags::MEMBERS),
            (namespace_index::C_NAME, namespace_index::MEMBERS),
            (capability_flags::C_NAME, capability_flags::MEMBERS),
            (action_kind::C_NAME, action_kind::MEMBERS),
            (action_flags::C_NAME, action_flags::MEMBERS),
            (rate_scope::C_NAME, rate_scope::MEMBERS),
            (plan_flags::C_NAME, plan_flags::MEMBERS),
            (captured_flags::C_NAME, captured_flags::MEMBERS),
            (phase::C_NAME, phase::MEMBERS),
        ] {
            let c = btf.find(Kind::Enum, c_name).unwrap_or_else(|| panic!("no enum {c_name} in the object"));
            assert_eq!(btf.enumerators(c).collect::<Vec<_>>(), ours, "enum {c_name}");
        }
    });
}
