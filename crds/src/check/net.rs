//! Filters on packets and sockets.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

use super::words::{FAMILIES, PROTOCOLS, STATES};
use crate::policy::{End, NetTest, NumberKind, Ranges};
use crate::report::{Diagnostic, Findings, Path, nearest};
use crate::spec::ArgOperator as Op;

use super::values::range;

const U8: NumberKind = NumberKind { bits: 8, signed: false };
const U16: NumberKind = NumberKind { bits: 16, signed: false };

/// The test of a packet or socket that an operator stands for; `None` if it tests something else.
pub(super) fn test(op: Op, values: &[String], path: &Path, findings: &mut Findings) -> Option<NetTest> {
    let (end, negated) = match op {
        Op::SAddr | Op::SPort | Op::SPortPriv => (End::Source, false),
        Op::NotSAddr | Op::NotSPort | Op::NotSPortPriv => (End::Source, true),
        Op::DAddr | Op::DPort | Op::DPortPriv => (End::Destination, false),
        Op::NotDAddr | Op::NotDPort | Op::NotDPortPriv => (End::Destination, true),
        _ => (End::Source, false),
    };
    Some(match op {
        Op::SAddr | Op::NotSAddr | Op::DAddr | Op::NotDAddr => {
            NetTest::Address { end, negated, networks: each(values, path, findings, network) }
        }
        Op::SPort | Op::NotSPort | Op::DPort | Op::NotDPort => {
            NetTest::Port { end, negated, ports: each(values, path, findings, |value| range(value, U16)) }
        }
        Op::SPortPriv | Op::NotSPortPriv | Op::DPortPriv | Op::NotDPortPriv => {
            if !values.is_empty() {
                let problem = format!("{op} compares with 1024 and ignores values");
                findings.warn(Diagnostic::new(path.clone(), problem));
            }
            NetTest::PrivilegedPort { end, negated }
        }
        Op::Protocol => NetTest::Protocol(named(values, PROTOCOLS, U16, path, findings)),
        Op::Family => NetTest::Family(named(values, FAMILIES, U16, path, findings)),
        Op::State => NetTest::State(named(values, STATES, U8, path, findings)),
        _ => return None,
    })
}

/// Reads every value; those that are wrong are reported and left out.
fn each<T, C: FromIterator<T>>(
    values: &[String],
    path: &Path,
    findings: &mut Findings,
    read: impl Fn(&str) -> Result<T, Diagnostic>,
) -> C {
    let read = |(index, value): (usize, &String)| {
        read(value)
            .map_err(|diagnostic| findings.error(Diagnostic { path: path.index(index), ..diagnostic }))
            .ok()
    };
    values.iter().enumerate().filter_map(read).collect()
}

fn named(
    values: &[String],
    names: &[(&str, u16)],
    kind: NumberKind,
    path: &Path,
    findings: &mut Findings,
) -> Ranges {
    each(values, path, findings, |value| {
        if let Some((_, number)) = names.iter().find(|(name, _)| *name == value) {
            return Ok((i128::from(*number), i128::from(*number)));
        }
        if value.starts_with(|first: char| first.is_ascii_digit() || first == '-') {
            return range(value, kind);
        }
        let diagnostic =
            Diagnostic::new(Path::root(), "neither a number nor a name that is known").value(value);
        let remedy =
            nearest(value, names.iter().map(|(name, _)| *name)).unwrap_or_else(|| match names.get(2) {
                Some((name, number)) => format!("such as {name} or {number}"),
                None => "such as 1".to_owned(),
            });
        Err(diagnostic.remedy(remedy))
    })
}

/// An address or a network, host bits cleared, IPv4 in IPv6 folded.
fn network(value: &str) -> Result<IpNet, Diagnostic> {
    let parsed = match value.parse::<IpNet>() {
        Ok(network) => Some(network),
        Err(_) => value.parse::<IpAddr>().ok().map(IpNet::from),
    };
    let Some(network) = parsed else {
        let diagnostic = Diagnostic::new(Path::root(), "neither an address nor a network").value(value);
        return Err(diagnostic.remedy("such as 10.0.0.1, 10.0.0.0/8 or fd00::/8"));
    };
    Ok(fold(network).trunc())
}

fn fold(network: IpNet) -> IpNet {
    let IpNet::V6(v6) = network else { return network };
    let v4 = v6.addr().to_ipv4_mapped().zip(v6.prefix_len().checked_sub(96));
    match v4.map(|(address, bits)| Ipv4Net::new(address, bits)) {
        Some(Ok(v4)) => IpNet::V4(v4),
        _ => network,
    }
}

/// The families that a set of networks has, for warnings.
pub(super) fn lacks_family(networks: &BTreeSet<IpNet>) -> Option<&'static str> {
    let v4 = networks.iter().any(|network| matches!(network, IpNet::V4(_)));
    let v6 = networks.iter().any(|network| matches!(network, IpNet::V6(_)));
    match (v4, v6) {
        (true, false) => Some("IPv6"),
        (false, true) => Some("IPv4"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_normalised() {
        for (value, expected) in [
            ("10.1.2.3", "10.1.2.3/32"),
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("::1", "::1/128"),
            ("fd12::1/8", "fd00::/8"),
            ("::ffff:10.1.2.3", "10.1.2.3/32"),
            ("::ffff:10.1.2.3/104", "10.0.0.0/8"),
            ("::ffff:0:0/95", "::fffe:0:0/95"),
            ("0.0.0.0/0", "0.0.0.0/0"),
        ] {
            assert_eq!(network(value).expect(value).to_string(), expected, "{value}");
        }
        for value in ["", "10.0.0", "10.0.0.0/33", "::/129", "localhost", "10.0.0.1:80", "fe80::1%eth0"] {
            assert!(network(value).is_err(), "{value}");
        }
    }

    #[test]
    fn names_and_numbers_and_ranges() {
        let mut findings = Findings::default();
        let values = ["IPPROTO_TCP", "17", "20:30", "262", "70000", "tcp", "IPPROTO_UPD"].map(str::to_owned);
        let protocols = named(&values, PROTOCOLS, U16, &Path::root(), &mut findings);
        assert_eq!(protocols.iter().collect::<Vec<_>>(), [(6, 6), (17, 17), (20, 30), (262, 262)]);
        let errors: Vec<String> = findings.errors.iter().map(ToString::to_string).collect();
        assert_eq!(
            errors,
            [
                "[4]: \"70000\": does not fit the argument's type; from 0 to 65535",
                "[5]: \"tcp\": neither a number nor a name that is known; did you mean \"IPPROTO_TCP\"?",
                "[6]: \"IPPROTO_UPD\": neither a number nor a name that is known; did you mean \"IPPROTO_UDP\"?",
            ]
        );
    }
}
