//! A program for people.

use std::collections::BTreeSet;
use std::fmt::{self, Display, Formatter};

use tetragon_crds::policy::{
    Action, ArgFilter, BinaryFilter, End, NamespaceValue, NetTest, NumberTest, Predicate, Ranges, Selector,
    TextMatch,
};

use crate::program::{Attach, Capture, HookProgram, Need, Program, Reader, Source};

/// How many values are shown.
const SHOWN: usize = 4;

impl Display for Program {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "policy {}", self.policy)?;
        for hook in &self.hooks {
            write!(f, "{hook}")?;
        }
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        Ok(())
    }
}

impl Display for HookProgram {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}  # {}", self.attach, self.path)?;
        for (position, reader) in self.readers.iter().enumerate() {
            writeln!(f, "  argument {position}: {reader}")?;
        }
        if let Some(returns) = &self.returns {
            writeln!(f, "  return value: {returns}")?;
        }
        for (position, selector) in self.selectors.iter().enumerate() {
            writeln!(f, "  selector {position}")?;
            for line in filters(selector) {
                writeln!(f, "    if {line}")?;
            }
            writeln!(f, "    do {}", list(selector.actions.iter().map(action)))?;
            for filter in &selector.return_args {
                writeln!(f, "    when it returns, if {}", predicate("the return value", filter))?;
            }
            if !selector.return_actions.is_empty() {
                writeln!(f, "    when it returns, do {}", list(selector.return_actions.iter().map(action)))?;
            }
        }
        if self.selectors.is_empty() {
            writeln!(f, "  do post")?;
        }
        if !self.needs.is_empty() {
            writeln!(f, "  needs {}", list(self.needs.iter().map(|need| need_text(*need).to_owned())))?;
        }
        if self.value_bytes > 0 {
            writeln!(f, "  value sets: {} bytes", self.value_bytes)?;
        }
        let (bytes, plans) = (self.memory_bytes(), self.plans());
        let plural = if plans == 1 { "" } else { "s" };
        writeln!(f, "  kernel memory: about {bytes} bytes for {plans} plan{plural} and value sets")
    }
}

impl Display for Attach {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kprobe { symbols, syscall } => {
                let kind = if *syscall { " (system call)" } else { "" };
                write!(f, "kprobe{kind} {}", first(symbols.iter(), symbols.len()))
            }
            Self::Tracepoint { subsystem, event } => write!(f, "tracepoint {subsystem}/{event}"),
            Self::Lsm { hook } => write!(f, "lsm {hook}"),
            Self::Uprobe { path, symbols } => {
                write!(f, "uprobe {path} {}", first(symbols.iter(), symbols.len()))
            }
        }
    }
}

impl Display for Reader {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.capture {
            Capture::Typed(ty) => write!(f, "{ty}")?,
            Capture::Array { size, .. } => write!(f, "array of {size} bytes")?,
        }
        write!(f, " from {}", self.source)?;
        if let Some(size) = self.size {
            write!(f, ", size from {size}")?;
        }
        if self.at_return && self.source != Source::Return {
            f.write_str(", read at return")?;
        }
        if self.max_data {
            f.write_str(", up to 327360 bytes")?;
        }
        if !self.label.is_empty() {
            write!(f, ", called {:?}", self.label)?;
        }
        Ok(())
    }
}

impl Display for Source {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Argument(index) => write!(f, "argument {index} of the function"),
            Self::SyscallArgument(index) => write!(f, "argument {index} of the system call"),
            Self::Field { offset, size } => write!(f, "{size} bytes at {offset} of the record"),
            Self::Return => f.write_str("the return value"),
        }
    }
}

fn filters(selector: &Selector) -> Vec<String> {
    let mut lines = Vec::new();
    for filter in &selector.pids {
        let whose = if filter.in_namespace { "process id in its namespace" } else { "process id" };
        let who = if filter.follow_forks { " or an ancestor's" } else { "" };
        lines.push(format!("{whose}{who} is {}{}", not(filter.negated), any(&filter.pids)));
    }
    lines.extend(selector.binaries.as_ref().map(binaries));
    for filter in &selector.namespaces {
        let values = filter.values.iter().map(|value| match value {
            NamespaceValue::Host => "the host's".to_owned(),
            NamespaceValue::Inode(inode) => inode.to_string(),
        });
        let values: BTreeSet<String> = values.collect();
        lines.push(format!("{} namespace is {}{}", filter.namespace, not(filter.negated), any(&values)));
    }
    if let Some(filter) = &selector.namespace_changes {
        lines.push(format!("a namespace among {} changed", list(filter.namespaces.iter())));
    }
    for (filter, what) in selector
        .capabilities
        .iter()
        .map(|filter| (filter, "holds"))
        .chain(selector.capability_changes.iter().map(|filter| (filter, "changed")))
    {
        let outside = if filter.outside_host { ", outside the host's user namespace" } else { "" };
        let bits = filter.capabilities;
        lines.push(format!("the {} set {what} {}any of {bits:#x}{outside}", filter.set, not(filter.negated)));
    }
    for filter in &selector.args {
        lines.push(predicate(&format!("argument {}", filter.arg), filter));
    }
    lines
}

fn binaries(filter: &BinaryFilter) -> String {
    let who = if filter.follow_children { "program or an ancestor's" } else { "program" };
    format!("{who} {}{}{}", not(filter.negated), verb(filter.how), any(&filter.paths))
}

fn predicate(what: &str, filter: &ArgFilter) -> String {
    match &filter.predicate {
        Predicate::Number { kind, test } => {
            let sign = if kind.signed { "signed" } else { "unsigned" };
            let what = format!("{what} ({} bits, {sign})", kind.bits);
            match test {
                NumberTest::Member { negated, numbers, all_syscalls } => {
                    let all = if *all_syscalls { " or any system call" } else { "" };
                    format!("{what} is {}{}{all}", not(*negated), ranges(numbers))
                }
                NumberTest::Greater(bound) => format!("{what} > {bound}"),
                NumberTest::Less(bound) => format!("{what} < {bound}"),
                NumberTest::Mask(mask) => format!("{what} & {mask:#x} is not 0"),
            }
        }
        Predicate::Text { how, negated, values } => {
            let quoted = values.iter().map(|value| format!("{value:?}"));
            format!("{what} {}{}{}", not(*negated), verb(*how), first(quoted, values.len()))
        }
        Predicate::Net(test) => format!("{what}: {}", net(test)),
        Predicate::Untyped { .. } => format!("{what}: {} of a type that is not known", filter.operator),
    }
}

fn net(test: &NetTest) -> String {
    let side = |end: &End| match end {
        End::Source => "source",
        End::Destination => "destination",
    };
    match test {
        NetTest::Address { end, negated, networks } => {
            format!("{} address is {}in {}", side(end), not(*negated), any(networks))
        }
        NetTest::Port { end, negated, ports } => {
            format!("{} port is {}{}", side(end), not(*negated), ranges(ports))
        }
        NetTest::PrivilegedPort { end, negated } => {
            format!("{} port is {}below 1024", side(end), not(*negated))
        }
        NetTest::Protocol(set) => format!("protocol is {}", ranges(set)),
        NetTest::Family(set) => format!("family is {}", ranges(set)),
        NetTest::State(set) => format!("state is {}", ranges(set)),
    }
}

fn action(action: &Action) -> String {
    match action {
        Action::Post { rate_limit, kernel_stack_trace, user_stack_trace } => {
            let limit =
                rate_limit.map(|limit| format!(" once in {} ms a {:?}", limit.milliseconds, limit.scope));
            let stacks = match (kernel_stack_trace, user_stack_trace) {
                (true, true) => " with both stacks",
                (true, false) => " with the kernel's stack",
                (false, true) => " with the program's stack",
                (false, false) => "",
            };
            format!("post{}{stacks}", limit.unwrap_or_default().to_lowercase())
        }
        Action::NoPost => "not post".to_owned(),
        Action::Sigkill => "kill".to_owned(),
        Action::Signal { signal } => format!("send signal {signal}"),
        Action::Override { error } => format!("return {error} instead"),
        Action::NotifyEnforcer { error, signal } => {
            format!("have the enforcer return {error} and send signal {signal}")
        }
        Action::FollowFd { fd, name } => format!("remember argument {name} as the path of argument {fd}"),
        Action::UnfollowFd { fd } => format!("forget the path of argument {fd}"),
        Action::CopyFd { from, to } => format!("give argument {to} the path of argument {from}"),
        Action::GetUrl { url } => format!("request {url}"),
        Action::DnsLookup { name } => format!("look up {name}"),
        Action::TrackSock { sock } => format!("remember the owner of argument {sock}"),
        Action::UntrackSock { sock } => format!("forget the owner of argument {sock}"),
    }
}

fn need_text(need: Need) -> &'static str {
    match need {
        Need::Return => "a probe where functions return",
        Need::SendSignal => "bpf_send_signal (5.3)",
        Need::OverrideReturn => "bpf_override_return",
        Need::ModifyReturn => "fmod_ret (5.7)",
        Need::BpfLsm => "BPF LSM (5.7)",
        Need::StackTraces => "stack traces",
        Need::LongTexts => "keys over 510 bytes (5.11)",
    }
}

fn not(negated: bool) -> &'static str {
    if negated { "not " } else { "" }
}

fn verb(how: TextMatch) -> &'static str {
    match how {
        TextMatch::Whole => "equal to ",
        TextMatch::Prefix => "beginning with ",
        TextMatch::Postfix => "ending with ",
    }
}

fn ranges(set: &Ranges) -> String {
    let range = |(low, high)| if low == high { format!("{low}") } else { format!("{low} to {high}") };
    first(set.iter().map(range), set.iter().count())
}

fn any<T: Display>(values: &BTreeSet<T>) -> String {
    first(values.iter(), values.len())
}

/// The first of so many texts, and how many more there are.
fn first(texts: impl Iterator<Item = impl Display>, count: usize) -> String {
    let shown = list(texts.take(SHOWN));
    match count.saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

fn list(texts: impl Iterator<Item = impl Display>) -> String {
    texts.map(|text| text.to_string()).collect::<Vec<_>>().join(", ")
}
