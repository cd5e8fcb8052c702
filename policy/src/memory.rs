//! How much kernel memory a hook takes, as the kernel accounts it: the sizes are those of 6.18, others differ little.

use tetragon_bpf::plan::{POSTFIX_BYTES, PREFIX_BYTES, Plan, TEXT_CLASSES, TEXT_KEYS};
use tetragon_crds::policy::{NetTest, NumberTest, Predicate, TextMatch};

use crate::program::{Attach, HookProgram};

/// So many ranges are part of the plan; more are in a set.
pub const FEW: usize = 4;
/// An array besides its elements.
const ARRAY: usize = 312;
/// A hash besides its elements.
const HASH: usize = 896;
/// An element of a hash besides its key.
const HASH_ELEMENT: usize = 80;
/// An element of a trie besides what is compared. The trie itself is not accounted.
const TRIE_ELEMENT: usize = 28;

impl HookProgram {
    /// How many plans it becomes: one a function.
    #[must_use]
    pub fn plans(&self) -> usize {
        match &self.attach {
            Attach::Kprobe { symbols, .. } | Attach::Uprobe { symbols, .. } => symbols.len(),
            Attach::Tracepoint { .. } | Attach::Lsm { .. } => 1,
        }
    }

    /// About so many bytes of kernel memory are its own: plans, and sets of values, which its plans share.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.plans() * (size_of::<Plan>() + ARRAY) + self.sets_bytes()
    }

    fn sets_bytes(&self) -> usize {
        let selectors = || self.selectors.iter();
        let predicates = selectors()
            .flat_map(|selector| selector.args.iter().chain(&selector.return_args))
            .map(|filter| set(&filter.predicate));
        let binaries = selectors()
            .filter_map(|selector| selector.binaries.as_ref())
            .map(|filter| texts(filter.how, filter.paths.iter().map(String::len)));
        let pids = selectors().flat_map(|selector| &selector.pids).map(|filter| numbers(filter.pids.len()));
        predicates.chain(binaries).chain(pids).sum()
    }
}

fn set(predicate: &Predicate) -> usize {
    match predicate {
        Predicate::Number { test: NumberTest::Member { numbers: set, .. }, .. } => {
            numbers(set.iter().count())
        }
        Predicate::Text { how, values, .. } => texts(*how, values.iter().map(String::len)),
        Predicate::Net(NetTest::Address { networks, .. }) => {
            let v4 = networks.iter().filter(|network| network.addr().is_ipv4()).count();
            trie(4, v4) + trie(16, networks.len() - v4)
        }
        Predicate::Net(
            NetTest::Port { ports: set, .. }
            | NetTest::Protocol(set)
            | NetTest::Family(set)
            | NetTest::State(set),
        ) => numbers(set.iter().count()),
        Predicate::Number { .. }
        | Predicate::Untyped { .. }
        | Predicate::Net(NetTest::PrivilegedPort { .. }) => 0,
    }
}

fn numbers(ranges: usize) -> usize {
    if ranges > FEW { ARRAY + 16 * (ranges + 1) } else { 0 }
}

fn texts(how: TextMatch, lengths: impl Iterator<Item = usize>) -> usize {
    match how {
        TextMatch::Prefix => trie(PREFIX_BYTES, lengths.count()),
        TextMatch::Postfix => trie(POSTFIX_BYTES, lengths.count()),
        TextMatch::Whole => {
            let mut counts = [0; TEXT_CLASSES];
            for length in lengths {
                let class = TEXT_KEYS.iter().position(|key| length + 4 <= *key);
                counts[class.unwrap_or(TEXT_CLASSES - 1)] += 1;
            }
            let classes = TEXT_KEYS.iter().zip(counts).filter(|(_, count)| *count > 0);
            classes.map(|(key, count)| HASH + count * (key + HASH_ELEMENT)).sum()
        }
    }
}

fn trie(bytes: usize, keys: usize) -> usize {
    keys * (TRIE_ELEMENT + bytes)
}
