//! Filters as chains of comparisons.

use std::path::Path;

use ipnet::IpNet;
use tetragon_bpf::plan::{
    PlanOp, TEXT_CLASSES, capability_flags, namespace_index, net_part, op_flags, op_kind, pid_flags,
};
use tetragon_crds::policy::{
    ArgFilter, BinaryFilter, CapabilityFilter, End, NamespaceValue, NetTest, NumberTest, PidFilter,
    Predicate, Ranges, Selector, TextMatch,
};
use tetragon_crds::spec::{CapabilitySet, NamespaceName};
use tetragon_crds::syscalls::Arch;
use tetragon_policy::FEW;
use zerocopy::FromZeros as _;

use super::{EncodeError, Sets, biased, small};
use crate::process::describe::host_namespaces;

/// A number below this is no port that everybody may use.
const FIRST_UNPRIVILEGED_PORT: i128 = 1024;

/// Inode numbers of the namespaces of the machine's process 1, by their index.
#[derive(Debug, Clone, Copy, Default)]
pub struct HostNamespaces(pub [u32; namespace_index::COUNT as usize]);

impl HostNamespaces {
    /// Of the machine whose processes are below `procfs`.
    pub fn read(procfs: &Path) -> Self {
        let found = host_namespaces(procfs);
        let mut all = [0; namespace_index::COUNT as usize];
        for (index, inode) in [
            (namespace_index::UTS, found.uts),
            (namespace_index::IPC, found.ipc),
            (namespace_index::MNT, found.mnt),
            (namespace_index::PID, found.pid),
            (namespace_index::PID_FOR_CHILDREN, found.pid_for_children),
            (namespace_index::NET, found.net),
            (namespace_index::TIME, found.time),
            (namespace_index::TIME_FOR_CHILDREN, found.time_for_children),
            (namespace_index::CGROUP, found.cgroup),
            (namespace_index::USER, found.user),
        ] {
            all[index as usize] = inode;
        }
        Self(all)
    }

    fn of(&self, name: NamespaceName) -> u32 {
        self.0.get(position(name) as usize).copied().unwrap_or(0)
    }
}

/// The position of a namespace in records.
pub(super) fn position(name: NamespaceName) -> u32 {
    match name {
        NamespaceName::Uts => namespace_index::UTS,
        NamespaceName::Ipc => namespace_index::IPC,
        NamespaceName::Mnt => namespace_index::MNT,
        NamespaceName::Pid => namespace_index::PID,
        NamespaceName::PidForChildren => namespace_index::PID_FOR_CHILDREN,
        NamespaceName::Net => namespace_index::NET,
        NamespaceName::Time => namespace_index::TIME,
        NamespaceName::TimeForChildren => namespace_index::TIME_FOR_CHILDREN,
        NamespaceName::Cgroup => namespace_index::CGROUP,
        NamespaceName::User => namespace_index::USER,
    }
}

/// The comparisons of a hook, as they are made.
pub(super) struct Ops<'a> {
    host: &'a HostNamespaces,
    sets: &'a mut dyn Sets,
    ops: Vec<PlanOp>,
}

fn op(kind: u32) -> PlanOp {
    let mut op = PlanOp::new_zeroed();
    op.kind = small(kind);
    op
}

/// Eight 16-bit numbers in two words, the first lowest.
fn words(slots: [u16; TEXT_CLASSES]) -> [u64; 2] {
    let word = |slots: &[u16]| slots.iter().rev().fold(0, |word, slot| word << 16 | u64::from(*slot));
    [word(&slots[..4]), word(&slots[4..])]
}

/// How a number is found among values.
struct NumberOps {
    range: u32,
    set: u32,
    arg: u8,
    what: u32,
    signed: bool,
}

impl<'a> Ops<'a> {
    pub(super) fn new(host: &'a HostNamespaces, sets: &'a mut dyn Sets) -> Self {
        Self { host, sets, ops: Vec::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.ops.len()
    }

    pub(super) fn finish(self) -> Vec<PlanOp> {
        self.ops
    }

    /// Adds comparisons of which one must hold; negated: none.
    fn chain(&mut self, mut ops: Vec<PlanOp>, negated: bool) {
        let Some((last, others)) = ops.split_last_mut() else { return };
        others.iter_mut().for_each(|op| op.flags |= small(op_flags::MORE));
        if negated {
            last.flags |= small(op_flags::NEGATED);
        }
        self.ops.append(&mut ops);
    }

    fn ranges(&mut self, ranges: &Ranges, negated: bool, how: &NumberOps) -> Result<(), EncodeError> {
        let values = biased(ranges, how.signed);
        let like = |kind: u32| {
            let mut op = op(kind);
            op.arg = how.arg;
            op.what = small(how.what);
            op
        };
        let ops = if values.len() <= FEW {
            values.iter().map(|(low, high)| PlanOp { value: [*low, *high], ..like(how.range) }).collect()
        } else {
            vec![PlanOp { slot: self.sets.numbers(&values)?, ..like(how.set) }]
        };
        // An empty set has no member; as a comparison that never holds.
        let ops = if ops.is_empty() { vec![PlanOp { value: [1, 0], ..like(how.range) }] } else { ops };
        self.chain(ops, negated);
        Ok(())
    }

    /// What is asked of the process, the cheapest first.
    pub(super) fn process(&mut self, selector: &Selector) -> Result<(), EncodeError> {
        for filter in &selector.namespaces {
            let ops = filter.values.iter().map(|value| {
                let mut op = op(op_kind::NAMESPACE);
                op.what = small(position(filter.namespace));
                op.value[0] = u64::from(match value {
                    NamespaceValue::Host => self.host.of(filter.namespace),
                    NamespaceValue::Inode(inode) => *inode,
                });
                op
            });
            let ops = ops.collect();
            self.chain(ops, filter.negated);
        }
        for filter in &selector.capabilities {
            self.capabilities(filter, op_kind::CAPABILITIES);
        }
        for filter in &selector.pids {
            self.pids(filter).map_err(|error| error.at(&selector.path.field("matchPIDs")))?;
        }
        if let Some(filter) = &selector.binaries {
            self.binaries(filter).map_err(|error| error.at(&selector.path.field("matchBinaries")))?;
        }
        if let Some(filter) = &selector.namespace_changes {
            let mut op = op(op_kind::NAMESPACE_CHANGED);
            op.value[0] = filter.namespaces.iter().fold(0, |bits, name| bits | 1 << position(*name));
            self.chain(vec![op], false);
        }
        for filter in &selector.capability_changes {
            self.capabilities(filter, op_kind::CAPABILITIES_CHANGED);
        }
        Ok(())
    }

    fn capabilities(&mut self, filter: &CapabilityFilter, kind: u32) {
        let mut op = op(kind);
        let set = match filter.set {
            CapabilitySet::Effective => capability_flags::EFFECTIVE,
            CapabilitySet::Inheritable => capability_flags::INHERITABLE,
            CapabilitySet::Permitted => capability_flags::PERMITTED,
        };
        op.what = small(set | if filter.outside_host { capability_flags::OUTSIDE } else { 0 });
        op.value = [filter.capabilities, u64::from(self.host.of(NamespaceName::User))];
        self.chain(vec![op], filter.negated);
    }

    fn pids(&mut self, filter: &PidFilter) -> Result<(), EncodeError> {
        let mut what = 0;
        if filter.in_namespace {
            what |= pid_flags::IN_NAMESPACE;
        }
        if filter.follow_forks {
            what |= pid_flags::FOLLOW_FORKS;
        }
        let how = NumberOps { range: op_kind::PID_RANGE, set: op_kind::PID_SET, arg: 0, what, signed: false };
        let pids: Ranges = filter.pids.iter().map(|pid| (i128::from(*pid), i128::from(*pid))).collect();
        self.ranges(&pids, filter.negated, &how)
    }

    fn binaries(&mut self, filter: &BinaryFilter) -> Result<(), EncodeError> {
        let texts: Vec<&[u8]> = filter.paths.iter().map(String::as_bytes).collect();
        let op = match filter.how {
            TextMatch::Whole => {
                let slots = self.sets.texts(&texts)?;
                let mut op = op(op_kind::BINARY_EQUAL);
                op.value = words(slots);
                if filter.follow_children {
                    op.what = self.sets.follow(slots)? + 1;
                }
                op
            }
            TextMatch::Prefix => PlanOp { slot: self.sets.prefixes(&texts)?, ..op(op_kind::BINARY_PREFIX) },
            TextMatch::Postfix => {
                PlanOp { slot: self.sets.postfixes(&texts)?, ..op(op_kind::BINARY_POSTFIX) }
            }
        };
        self.chain(vec![op], filter.negated);
        Ok(())
    }

    /// What is asked of arguments: numbers first, for which nothing is copied. `place` is where the value is, if not
    /// where the filter says.
    pub(super) fn arguments(
        &mut self,
        filters: &[ArgFilter],
        place: Option<usize>,
    ) -> Result<(), EncodeError> {
        let is_number = |filter: &&ArgFilter| matches!(filter.predicate, Predicate::Number { .. });
        let texts = filters.iter().filter(|filter| !is_number(filter));
        for filter in filters.iter().filter(is_number).chain(texts) {
            let arg = place.unwrap_or(filter.arg);
            let result = self.argument(filter, u8::try_from(arg).unwrap_or(u8::MAX));
            result.map_err(|error| error.at(&filter.path))?;
        }
        Ok(())
    }

    fn argument(&mut self, filter: &ArgFilter, arg: u8) -> Result<(), EncodeError> {
        match &filter.predicate {
            Predicate::Number { kind, test } => {
                let what = u32::from(kind.signed);
                let how = NumberOps {
                    range: op_kind::NUMBER_RANGE,
                    set: op_kind::NUMBER_SET,
                    arg,
                    what,
                    signed: kind.signed,
                };
                match test {
                    NumberTest::Member { negated, numbers, all_syscalls } => {
                        if *all_syscalls {
                            let abi = Arch::current().native();
                            let native = abi.names().filter_map(|name| abi.number(name));
                            let all = native.map(|number| (i128::from(number), i128::from(number)));
                            let all: Ranges = numbers.iter().chain(all).collect();
                            self.ranges(&all, *negated, &how)
                        } else {
                            self.ranges(numbers, *negated, &how)
                        }
                    }
                    NumberTest::Greater(than) => {
                        let range: Ranges = if *than < kind.most() {
                            [(than + 1, kind.most())].into_iter().collect()
                        } else {
                            Ranges::default()
                        };
                        self.ranges(&range, false, &how)
                    }
                    NumberTest::Less(than) => {
                        let range: Ranges = if *than > kind.least() {
                            [(kind.least(), than - 1)].into_iter().collect()
                        } else {
                            Ranges::default()
                        };
                        self.ranges(&range, false, &how)
                    }
                    NumberTest::Mask(bits) => {
                        let mut op = op(op_kind::NUMBER_MASK);
                        op.arg = arg;
                        op.value[0] = *bits;
                        self.chain(vec![op], false);
                        Ok(())
                    }
                }
            }
            Predicate::Text { how, negated, values } => {
                let texts: Vec<&[u8]> = values.iter().map(String::as_bytes).collect();
                let mut op = match how {
                    TextMatch::Whole => {
                        PlanOp { value: words(self.sets.texts(&texts)?), ..op(op_kind::TEXT_EQUAL) }
                    }
                    TextMatch::Prefix => {
                        PlanOp { slot: self.sets.prefixes(&texts)?, ..op(op_kind::TEXT_PREFIX) }
                    }
                    TextMatch::Postfix => {
                        PlanOp { slot: self.sets.postfixes(&texts)?, ..op(op_kind::TEXT_POSTFIX) }
                    }
                };
                op.arg = arg;
                self.chain(vec![op], *negated);
                Ok(())
            }
            Predicate::Net(test) => self.net(test, arg),
            Predicate::Untyped { .. } => {
                Err(super::refuse(filter.path.clone(), "the type of the argument is not known"))
            }
        }
    }

    fn net(&mut self, test: &NetTest, arg: u8) -> Result<(), EncodeError> {
        let how = |what| NumberOps {
            range: op_kind::NET_NUMBER_RANGE,
            set: op_kind::NET_NUMBER_SET,
            arg,
            what,
            signed: false,
        };
        let port = |end: End| match end {
            End::Source => net_part::SOURCE_PORT,
            End::Destination => net_part::DESTINATION_PORT,
        };
        match test {
            NetTest::Address { end, negated, networks } => {
                let networks: Vec<IpNet> = networks.iter().copied().collect();
                let (v4, v6) = self.sets.networks(&networks)?;
                let mut op = op(op_kind::NET_ADDRESS);
                op.arg = arg;
                op.what = small(match end {
                    End::Source => net_part::SOURCE_ADDRESS,
                    End::Destination => net_part::DESTINATION_ADDRESS,
                });
                op.slot = v4;
                op.value[0] = u64::from(v6);
                self.chain(vec![op], *negated);
                Ok(())
            }
            NetTest::Port { end, negated, ports } => self.ranges(ports, *negated, &how(port(*end))),
            NetTest::PrivilegedPort { end, negated } => {
                let ports: Ranges = [(0, FIRST_UNPRIVILEGED_PORT - 1)].into_iter().collect();
                self.ranges(&ports, *negated, &how(port(*end)))
            }
            NetTest::Protocol(set) => self.ranges(set, false, &how(net_part::PROTOCOL)),
            NetTest::Family(set) => self.ranges(set, false, &how(net_part::FAMILY)),
            NetTest::State(set) => self.ranges(set, false, &how(net_part::STATE)),
        }
    }
}
