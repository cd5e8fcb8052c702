//! What policies mean.

use std::collections::BTreeSet;

use tetragon_crds::policy::{
    Action, Call, End, Hook, HookPoint, ListContent, Mode, NamespaceValue, NetTest, NumberKind, NumberTest,
    Options, OverrideMethod, Policy, Predicate, RateLimit, RateLimitScope, ReturnAction, TextMatch,
};
use tetragon_crds::spec::{ArgOperator, ArgType, CapabilitySet, NamespaceName};
use tetragon_crds::syscalls::COMPAT_BIT;
use tetragon_crds::{Path, predicate};

use crate::samples::POLICIES;
use crate::{load, with_kprobe, with_selector, with_spec};

fn sample(name: &str) -> Policy {
    let (_, yaml) = POLICIES.iter().find(|(it, _)| *it == name).expect("a sample");
    load(yaml).expect("loads")
}

fn hook(yaml: &str) -> Hook {
    load(yaml).unwrap_or_else(|errors| panic!("{errors}")).hooks.remove(0)
}

/// The predicate of the only filter on an argument.
fn filter(index: u32, operator: &str, values: &str) -> Predicate {
    let selector = format!("matchArgs: [{{index: {index}, operator: {operator}, values: [{values}]}}]");
    let mut hook = hook(&with_selector(&selector));
    hook.selectors.remove(0).args.remove(0).predicate
}

fn members(predicate: &Predicate) -> (bool, Vec<(i128, i128)>) {
    match predicate {
        Predicate::Number { test: NumberTest::Member { negated, numbers, all_syscalls: false }, .. } => {
            (*negated, numbers.iter().collect())
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn several_values_of_not_equal_mean_none_of_them() {
    assert_eq!(members(&filter(0, "NotEqual", "'3', '1', '0x2'")), (true, vec![(1, 3)]));
    assert_eq!(members(&filter(0, "Equal", "'-1', '5'")), (false, vec![(-1, -1), (5, 5)]));
    // Ends in any order, members of a signed type with their sign.
    assert_eq!(members(&filter(0, "InMap", "'10:5', '-3', '7:12'")), (false, vec![(-3, -3), (5, 12)]));
}

#[test]
fn the_easiest_of_several_bounds_decides() {
    let test = |operator, values| match filter(0, operator, values) {
        Predicate::Number { kind: NumberKind { bits: 32, signed: true }, test } => test,
        other => panic!("{other:?}"),
    };
    assert_eq!(test("GT", "'5', '-2'"), NumberTest::Greater(-2));
    assert_eq!(test("LessThan", "'5', '-2'"), NumberTest::Less(5));
    assert_eq!(test("Mask", "'1', '4', '-2147483648'"), NumberTest::Mask(0x8000_0005));
}

#[test]
fn numbers_are_compared_in_their_own_width() {
    for (ty, bits, signed) in [
        ("int8", 8, true),
        ("uint8", 8, false),
        ("int16", 16, true),
        ("uint16", 16, false),
        ("size_t", 64, false),
        ("int64", 64, true),
    ] {
        let hook = hook(&with_kprobe(&format!(
            "call: f, syscall: false, args: [{{index: 3, type: {ty}}}], \
             selectors: [{{matchArgs: [{{index: 3, operator: Equal, values: ['1']}}]}}]"
        )));
        match &hook.selectors[0].args[0].predicate {
            Predicate::Number { kind, .. } => assert_eq!(*kind, NumberKind { bits, signed }, "{ty}"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn texts_keep_their_bytes() {
    let text = |operator, values| match filter(1, operator, values) {
        Predicate::Text { how, negated, values } => (how, negated, values.into_iter().collect::<Vec<_>>()),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        text("Equal", "\"b\\0\\0\", a, 'b'"),
        (TextMatch::Whole, false, vec!["a".to_owned(), "b".to_owned()])
    );
    assert_eq!(text("NotPostfix", "'/'"), (TextMatch::Postfix, true, vec!["/".to_owned()]));
    let long = "x".repeat(1025);
    assert_eq!(text("NotEqual", &long), (TextMatch::Whole, true, vec![long.clone()]));
    // Unquoted, but texts.
    assert_eq!(text("Equal", "0755, yes, 1.0").2, ["0755", "1.0", "yes"]);
}

#[test]
fn zero_bytes_at_the_end_of_a_buffer_count() {
    let hook = hook(&with_kprobe(
        "call: f, syscall: false, args: [{index: 0, type: char_buf, sizeArgIndex: 2}], \
         selectors: [{matchArgs: [{index: 0, operator: Equal, values: [\"a\\0\"]}]}]",
    ));
    match &hook.selectors[0].args[0].predicate {
        Predicate::Text { values, .. } => assert_eq!(values, &BTreeSet::from(["a\0".to_owned()])),
        other => panic!("{other:?}"),
    }
    assert_eq!(hook.args[0].size_from, Some(1));
}

#[test]
fn sockets() {
    let policy = sample("sockets");
    let args = |selector: usize| {
        let filters = &policy.hooks[0].selectors[selector].args;
        filters.iter().map(|filter| filter.predicate.clone()).collect::<Vec<_>>()
    };
    let tests: Vec<NetTest> = args(0)
        .into_iter()
        .map(|predicate| match predicate {
            Predicate::Net(test) => test,
            other => panic!("{other:?}"),
        })
        .collect();
    match &tests[..] {
        [
            NetTest::Address { end: End::Destination, negated: true, networks },
            NetTest::Port { end: End::Destination, negated: false, ports },
            NetTest::Protocol(protocols),
            NetTest::Family(families),
            NetTest::State(states),
        ] => {
            let networks: Vec<String> = networks.iter().map(ToString::to_string).collect();
            assert_eq!(networks, ["10.0.0.0/8", "127.0.0.1/32", "::1/128", "fd00::/8"]);
            assert_eq!(ports.iter().collect::<Vec<_>>(), [(443, 443), (8000, 8999)]);
            assert_eq!(protocols.iter().collect::<Vec<_>>(), [(6, 6), (17, 17), (250, 255)]);
            assert_eq!(families.iter().collect::<Vec<_>>(), [(2, 2), (10, 10)]);
            assert_eq!(states.iter().collect::<Vec<_>>(), [(2, 2)]);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(
        args(1)[..2],
        [
            Predicate::Net(NetTest::PrivilegedPort { end: End::Source, negated: true }),
            Predicate::Net(NetTest::PrivilegedPort { end: End::Destination, negated: false }),
        ]
    );
    let returns = policy.hooks[1].returns.as_ref().expect("returns");
    assert_eq!((returns.arg.ty, returns.action), (ArgType::Sock, Some(ReturnAction::TrackSock)));
    assert_eq!(policy.hooks[2].selectors[0].actions, [Action::UntrackSock { sock: 0 }]);
}

#[test]
fn processes() {
    let policy = sample("processes");
    let selector = &policy.hooks[0].selectors[0];
    assert_eq!(selector.pids.len(), 2);
    assert_eq!(selector.pids[0].pids, BTreeSet::from([1, 2, 3]));
    assert!(selector.pids[1].negated && selector.pids[1].in_namespace);
    let binaries = selector.binaries.as_ref().expect("a filter");
    assert!(binaries.follow_children && !binaries.negated && binaries.paths.len() == 2);
    assert_eq!(selector.namespaces[0].values, BTreeSet::from([NamespaceValue::Host]));
    assert_eq!(
        selector.namespaces[1].values,
        BTreeSet::from([NamespaceValue::Inode(4_026_531_840), NamespaceValue::Inode(4_026_531_841)])
    );
    let changes = selector.namespace_changes.as_ref().expect("a filter");
    assert_eq!(changes.namespaces, BTreeSet::from([NamespaceName::Uts, NamespaceName::Mnt]));
    let capabilities = &selector.capabilities[0];
    assert_eq!((capabilities.set, capabilities.outside_host), (CapabilitySet::Permitted, true));
    assert_eq!(capabilities.capabilities, (1 << 21) | (1 << 39));
    assert_eq!(selector.capabilities[1].set, CapabilitySet::Effective);
    assert!(selector.capability_changes[0].negated);
    // Nothing said is Post.
    let post = Action::Post { rate_limit: None, kernel_stack_trace: false, user_stack_trace: false };
    assert_eq!(selector.actions, [post]);
    assert!(policy.options.disable_kprobe_multi);
}

#[test]
fn namespace_changes_but_of_some() {
    let hook = hook(&with_selector("matchNamespaceChanges: [{operator: NotIn, values: [User, net]}]"));
    let changes = hook.selectors[0].namespace_changes.as_ref().expect("a filter");
    assert_eq!(changes.namespaces.len(), NamespaceName::ALL.len() - 2);
    assert!(!changes.namespaces.contains(&NamespaceName::Net));
}

#[test]
fn actions() {
    let lsm = sample("lsm");
    let limit = RateLimit { milliseconds: 10_000, scope: RateLimitScope::Global };
    assert_eq!(
        lsm.hooks[0].selectors[0].actions,
        [
            Action::Override { error: -13 },
            Action::Post { rate_limit: Some(limit), kernel_stack_trace: false, user_stack_trace: false }
        ]
    );
    assert_eq!(
        lsm.hooks[1].selectors[0].actions,
        [Action::Sigkill, Action::Signal { signal: 9 }, Action::NoPost]
    );
    let descriptors = sample("descriptors");
    assert_eq!(descriptors.hooks[0].selectors[0].actions, [Action::FollowFd { fd: 0, name: 1 }]);
    assert_eq!(descriptors.hooks[2].selectors[0].actions, [Action::CopyFd { from: 0, to: 1 }]);
    assert!(descriptors.hooks[1].args[1].max_data);
    assert!(descriptors.hooks[4].args[1].return_copy);
    let enforcer = sample("enforcer");
    assert_eq!(enforcer.hooks[0].selectors[0].actions, [Action::NotifyEnforcer { error: -1, signal: 9 }]);
}

#[test]
fn lists_and_enforcers() {
    let policy = sample("enforcer");
    let expected = [32, 157, 41 | COMPAT_BIT, 172 | COMPAT_BIT].map(i128::from);
    match &policy.hooks[0].selectors[0].args[0].predicate {
        Predicate::Number { test: NumberTest::Member { numbers, .. }, .. } => {
            assert_eq!(numbers.count(), 4);
            assert!(expected.iter().all(|number| numbers.contains(*number)), "{numbers:?}");
        }
        other => panic!("{other:?}"),
    }
    let enforcer = policy.enforcer.expect("an enforcer");
    assert!(matches!(
        &enforcer.calls[..],
        [Call::List(0), Call::Syscall(call), Call::Function(function)]
            if call.symbol == "__x64_sys_dup2" && function == "security_task_prctl"
    ));

    let policy = sample("lists");
    let contents: Vec<&ListContent> = policy.lists.iter().map(|list| &list.content).collect();
    assert!(matches!(
        contents[..],
        [ListContent::AllSyscalls, ListContent::Traceable { .. }, ListContent::Functions(_)]
    ));
    // What the list holds decides, whatever the field `syscall` says.
    let syscalls: Vec<bool> = policy
        .hooks
        .iter()
        .map(|hook| matches!(hook.point, HookPoint::Kprobe { call: Call::List(_), syscall: true }))
        .collect();
    assert_eq!(syscalls, [true, false, false]);
}

#[test]
fn tracepoints_count_fields_or_arguments() {
    let policy = sample("tracepoints");
    let positions = |hook: usize| {
        let filters = &policy.hooks[hook].selectors[0].args;
        filters.iter().map(|filter| filter.arg).collect::<Vec<_>>()
    };
    assert_eq!(positions(0), [0, 1]);
    assert_eq!(positions(2), [0]);
    // The type is in the tracepoint's format.
    let filter = &policy.hooks[0].selectors[0].args[0];
    assert_eq!(filter.predicate, Predicate::Untyped { values: vec!["1".to_owned()] });
    let resolved = predicate(ArgType::Int32, filter.operator, &["1".to_owned()], &filter.path).expect("fits");
    assert_eq!(members(&resolved), (false, vec![(1, 1)]));
    let path = Path::root().field("spec");
    let errors =
        predicate(ArgType::Int32, ArgOperator::Prefix, &["1".to_owned()], &path).expect_err("refused");
    assert_eq!(errors[0].path.to_string(), "spec.operator");
}

#[test]
fn names_scopes_and_options() {
    let team = sample("team");
    assert_eq!(team.name.to_string(), "team-a/team.policy");
    assert!(team.is_scoped());
    assert!(team.scope.pods.is_some() && team.scope.containers.is_some());
    assert_eq!(team.hooks[0].args, {
        let mut args = team.hooks[1].args.clone();
        args[0].path = team.hooks[0].args[0].path.clone();
        args
    });
    assert!(sample("loader").loader);
    let options =
        "{options: [{name: override-method, value: fmod-ret}, {name: policy-mode, value: monitor}]}";
    assert_eq!(
        load(&with_spec(options)).expect("loads").options,
        Options {
            override_method: Some(OverrideMethod::FmodRet),
            mode: Some(Mode::Monitor),
            ..Options::default()
        }
    );
}

#[test]
fn functions_of_system_calls() {
    let symbol = |fields: &str| match hook(&with_kprobe(fields)).point {
        HookPoint::Kprobe { call: Call::Syscall(call), syscall: true } => call.symbol,
        HookPoint::Kprobe { call: Call::Function(name), syscall } => format!("{name} {syscall}"),
        other => panic!("{other:?}"),
    };
    assert_eq!(symbol("call: sys_openat"), "__x64_sys_openat");
    assert_eq!(symbol("call: __x64_sys_openat"), "__x64_sys_openat");
    assert_eq!(symbol("call: __ia32_sys_openat"), "__ia32_sys_openat");
    assert_eq!(symbol("call: vfs_read, syscall: false"), "vfs_read false");
    assert_eq!(symbol("call: vfs_read"), "vfs_read true");
}

#[test]
fn policies_can_be_printed() {
    for (name, yaml) in POLICIES {
        let policy = load(yaml).expect("loads");
        let text = serde_json::to_string(&policy).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(text.contains(&format!("\"name\":\"{}\"", policy.name.name)), "{text}");
        assert!(!format!("{policy:?}").is_empty());
    }
}
