use tetragon_bpf::plan::{PlanOp, op_flags, op_kind};
use tetragon_crds::policy::{ArgFilter, NumberKind, NumberTest, PidFilter, Predicate, Selector, TextMatch};
use tetragon_crds::spec::ArgOperator;

use super::*;
use crate::samples::mk_hook;

/// Keeps what it is given; numbers count from 1.
#[derive(Default)]
struct Kept {
    numbers: Vec<Vec<(u64, u64)>>,
    texts: Vec<Vec<Vec<u8>>>,
}

impl Sets for Kept {
    fn numbers(&mut self, ranges: &[(u64, u64)]) -> io::Result<u32> {
        self.numbers.push(ranges.to_vec());
        Ok(u32::try_from(self.numbers.len()).unwrap())
    }

    fn texts(&mut self, texts: &[&[u8]]) -> io::Result<[u16; TEXT_CLASSES]> {
        self.texts.push(texts.iter().map(|text| text.to_vec()).collect());
        Ok([1, 0, 0, 4, 5, 0, 0, 8])
    }

    fn prefixes(&mut self, _: &[&[u8]]) -> io::Result<u32> {
        Ok(70)
    }

    fn postfixes(&mut self, _: &[&[u8]]) -> io::Result<u32> {
        Ok(71)
    }

    fn networks(&mut self, _: &[IpNet]) -> io::Result<(u32, u32)> {
        Ok((80, 0))
    }

    fn follow(&mut self, _: [u16; TEXT_CLASSES]) -> io::Result<u8> {
        Ok(3)
    }
}

fn hook() -> HookProgram {
    mk_hook(Attach::Kprobe { symbols: vec!["f".to_owned()], syscall: false }, Vec::new())
}

fn selector() -> Selector {
    Selector {
        path: Path::default(),
        pids: Vec::new(),
        binaries: None,
        namespaces: Vec::new(),
        namespace_changes: None,
        capabilities: Vec::new(),
        capability_changes: Vec::new(),
        args: Vec::new(),
        return_args: Vec::new(),
        actions: vec![Action::Sigkill],
        return_actions: Vec::new(),
    }
}

fn filter(predicate: Predicate) -> ArgFilter {
    ArgFilter { path: Path::default(), arg: 2, operator: ArgOperator::Equal, predicate }
}

fn member(values: &[i128], negated: bool, signed: bool) -> Predicate {
    Predicate::Number {
        kind: NumberKind { bits: 32, signed },
        test: NumberTest::Member {
            negated,
            numbers: values.iter().map(|value| (*value, *value)).collect(),
            all_syscalls: false,
        },
    }
}

fn encoded(hook: &HookProgram, kept: &mut Kept) -> Plan {
    encode(hook, Manner::default(), &HostNamespaces::default(), kept)
        .unwrap_or_else(|_| panic!("not encoded"))
}

fn kinds(ops: &[PlanOp]) -> Vec<(u32, u32)> {
    ops.iter()
        .map(|op| (u32::from(op.kind), u32::from(op.flags)))
        .take_while(|(kind, _)| *kind != 0)
        .collect()
}

#[test]
fn without_selectors_everything_matches_and_is_told() {
    let plan = encoded(&hook(), &mut Kept::default());
    assert_eq!((plan.selectors, plan.selector[0].ops, plan.selector[0].actions), (1, 0, 1));
    assert_eq!(u32::from(plan.selector[0].action[0].kind), action_kind::POST);
}

#[test]
fn few_values_are_a_chain_and_many_a_set() {
    let mut hook = hook();
    let mut first = selector();
    first.args = vec![filter(member(&[5, 9], true, false)), filter(member(&[1, 3, 5, 7, 9], false, false))];
    hook.selectors = vec![first];
    let mut kept = Kept::default();
    let plan = encoded(&hook, &mut kept);
    assert_eq!(
        kinds(&plan.op),
        [
            (op_kind::NUMBER_RANGE, op_flags::MORE),
            (op_kind::NUMBER_RANGE, op_flags::NEGATED),
            (op_kind::NUMBER_SET, 0)
        ]
    );
    assert_eq!((plan.op[1].arg, plan.op[1].value), (2, [9, 9]));
    assert_eq!(kept.numbers, [[(1, 1), (3, 3), (5, 5), (7, 7), (9, 9)]]);
}

#[test]
fn signed_numbers_keep_their_order() {
    let mut hook = hook();
    let mut first = selector();
    first.args = vec![filter(Predicate::Number {
        kind: NumberKind { bits: 32, signed: true },
        test: NumberTest::Less(-2),
    })];
    hook.selectors = vec![first];
    let plan = encoded(&hook, &mut Kept::default());
    let [low, high] = plan.op[0].value;
    assert_eq!(low, bias(i128::from(i32::MIN), true));
    assert_eq!(high, bias(-3, true));
    assert!(low < high && high < bias(0, true), "as unsigned numbers");
    assert_eq!(plan.op[0].what, 1);
}

#[test]
fn texts_have_a_slot_for_each_class() {
    let mut hook = hook();
    let mut first = selector();
    let values = ["a", "b"].map(str::to_owned).into();
    first.args = vec![filter(Predicate::Text { how: TextMatch::Whole, negated: false, values })];
    hook.selectors = vec![first];
    let mut kept = Kept::default();
    let plan = encoded(&hook, &mut kept);
    assert_eq!(plan.op[0].value, [1 | 4 << 48, 5 | 8 << 48]);
    assert_eq!(kept.texts, [[b"a".to_vec(), b"b".to_vec()]]);
}

#[test]
fn selectors_have_their_own_stretch_of_comparisons() {
    let mut hook = hook();
    let pids = |values: &[u32]| PidFilter {
        negated: false,
        pids: values.iter().copied().collect(),
        in_namespace: true,
        follow_forks: true,
    };
    let (mut first, mut second) = (selector(), selector());
    first.pids = vec![pids(&[1, 5])];
    second.pids = vec![pids(&[7])];
    second.return_args = vec![filter(member(&[0], false, true))];
    hook.selectors = vec![first, second];
    let plan = encoded(&hook, &mut Kept::default());
    let stretch = |it: &PlanSelector| (it.first_op, it.ops, it.first_return_op, it.return_ops);
    assert_eq!(stretch(&plan.selector[0]), (0, 2, 2, 0));
    assert_eq!(stretch(&plan.selector[1]), (2, 1, 3, 1));
    assert_eq!(usize::from(plan.op[3].arg), PLAN_READERS, "the return value");
}

#[test]
fn what_has_no_room_or_no_sensor_is_refused_with_its_place() {
    let refusal = |hook: &HookProgram| {
        let result = encode(hook, Manner::default(), &HostNamespaces::default(), &mut Kept::default());
        match result.map(|_| ()) {
            Err(EncodeError::Policy(diagnostic)) => diagnostic.to_string(),
            other => panic!("{other:?}"),
        }
    };
    let mut hook = hook();
    let mut first = selector();
    first.args = (0..40).map(|_| filter(member(&[1, 3, 5], false, false))).collect();
    hook.selectors = vec![first];
    assert!(refusal(&hook).contains("120 comparisons, and a hook has room for 112"), "{}", refusal(&hook));
    let mut first = selector();
    first.actions = vec![Action::Override { error: -1 }];
    hook.selectors = vec![first];
    assert!(refusal(&hook).contains("matchActions[0].action: \"Override\""), "{}", refusal(&hook));
    hook.attach = Attach::Uprobe { path: "/bin/sh".to_owned(), symbols: vec!["main".to_owned()] };
    assert!(refusal(&hook).contains("no sensor for uprobes"), "{}", refusal(&hook));
}

#[test]
fn a_security_hook_returns_an_error_within_what_it_may() {
    let mut hook = hook();
    hook.attach = Attach::Lsm { hook: "file_open".to_owned() };
    for (error, value) in [(-13, 13), (0, 0), (5, 0), (-5000, 4095), (i32::MIN, 4095)] {
        let mut first = selector();
        first.actions = vec![Action::Override { error }];
        hook.selectors = vec![first];
        let action = encoded(&hook, &mut Kept::default()).selector[0].action[0];
        assert_eq!((u32::from(action.kind), action.value), (action_kind::OVERRIDE, value), "{error}");
    }
}
