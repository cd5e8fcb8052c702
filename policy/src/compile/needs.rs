//! What a hook needs of the kernel.

use std::collections::BTreeSet;

use tetragon_crds::policy::{Action, NetTest, NumberTest, Predicate, Selector};

use crate::memory::FEW;
use crate::program::{Attach, Need, Reader};

/// The longest text that kernels before 5.11 can look up.
const SHORT_TEXT: usize = 510;

pub(super) fn of(
    attach: &Attach,
    readers: &[Reader],
    returns: Option<&Reader>,
    selectors: &[Selector],
) -> BTreeSet<Need> {
    let mut needs = BTreeSet::new();
    if matches!(attach, Attach::Lsm { .. }) {
        needs.insert(Need::BpfLsm);
    }
    if returns.is_some() || readers.iter().any(|reader| reader.at_return) {
        needs.insert(Need::Return);
    }
    let actions =
        selectors.iter().flat_map(|selector| selector.actions.iter().chain(&selector.return_actions));
    for action in actions {
        match action {
            Action::Sigkill | Action::Signal { .. } | Action::NotifyEnforcer { .. } => {
                needs.insert(Need::SendSignal);
            }
            Action::Post { kernel_stack_trace, user_stack_trace, .. }
                if *kernel_stack_trace || *user_stack_trace =>
            {
                needs.insert(Need::StackTraces);
            }
            Action::Override { .. } => {
                if let Attach::Kprobe { symbols, .. } = attach {
                    for symbol in symbols {
                        let is_security = symbol.starts_with("security_");
                        needs.insert(if is_security { Need::ModifyReturn } else { Need::OverrideReturn });
                    }
                }
            }
            _ => {}
        }
    }
    let is_long = |predicate: &Predicate| match predicate {
        Predicate::Text { values, .. } => values.iter().any(|value| value.len() > SHORT_TEXT),
        _ => false,
    };
    if predicates(selectors).any(is_long) {
        needs.insert(Need::LongTexts);
    }
    needs
}

/// Bytes of the values that do not become part of a program.
pub(super) fn value_bytes(selectors: &[Selector]) -> usize {
    let args: usize = predicates(selectors).map(bytes).sum();
    let binaries = selectors.iter().filter_map(|selector| selector.binaries.as_ref());
    args + binaries.flat_map(|filter| &filter.paths).map(String::len).sum::<usize>()
}

fn predicates(selectors: &[Selector]) -> impl Iterator<Item = &Predicate> {
    let filters = selectors.iter().flat_map(|selector| selector.args.iter().chain(&selector.return_args));
    filters.map(|filter| &filter.predicate)
}

fn bytes(predicate: &Predicate) -> usize {
    let ranges = |count: usize| if count > FEW { count * 16 } else { 0 };
    match predicate {
        Predicate::Number { test: NumberTest::Member { numbers, .. }, .. } => ranges(numbers.iter().count()),
        Predicate::Number { .. } | Predicate::Untyped { .. } => 0,
        Predicate::Text { values, .. } => values.iter().map(String::len).sum(),
        Predicate::Net(NetTest::Address { networks, .. }) => networks.len() * 20,
        Predicate::Net(NetTest::Port { ports, .. }) => ranges(ports.iter().count()),
        Predicate::Net(NetTest::Protocol(set) | NetTest::Family(set) | NetTest::State(set)) => {
            ranges(set.iter().count())
        }
        Predicate::Net(NetTest::PrivilegedPort { .. }) => 0,
    }
}
