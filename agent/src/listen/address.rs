//! The text form of addresses.

use std::fmt;
use std::net::Ipv6Addr;
use std::path::PathBuf;

use thiserror::Error;

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A unix socket at an absolute path.
    Unix(PathBuf),
    /// A TCP port. An empty host means all addresses of the machine.
    Tcp {
        /// Name or IP address, without brackets.
        host: String,
        /// The port; 0 lets the kernel choose.
        port: u16,
    },
}

/// What is wrong with the text of an address.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum AddressError {
    /// A unix socket path that depends on the working directory.
    #[error("a unix socket needs an absolute path; write unix:///run/name.sock")]
    RelativePath,
    /// A path that no socket can have.
    #[error("the path of a unix socket has at most 107 bytes and no zero byte")]
    PathTooLong,
    /// Neither known form.
    #[error("not an address; write host:port, :port or unix:///path")]
    Malformed,
    /// A port that is not a number up to 65535.
    #[error("{0:?} is not a port number (0 to 65535)")]
    Port(String),
    /// An IPv6 address without brackets.
    #[error("an IPv6 address stands in brackets; write [{0}]:port")]
    Brackets(String),
}

impl Address {
    /// Reads `unix://<absolute path>`, `host:port`, `:port`, or (with a default port) `host`. Empty: `None`.
    pub fn parse(text: &str, default_port: Option<u16>) -> Result<Option<Self>, AddressError> {
        if text.is_empty() {
            return Ok(None);
        }
        if let Some(path) = text.strip_prefix("unix://") {
            return match path {
                _ if !path.starts_with('/') => Err(AddressError::RelativePath),
                // One byte of the kernel's 108 is the final zero.
                _ if path.len() > 107 || path.contains('\0') => Err(AddressError::PathTooLong),
                "/" => Err(AddressError::Malformed),
                _ if path.ends_with('/') => Err(AddressError::Malformed),
                _ => Ok(Some(Self::Unix(PathBuf::from(path)))),
            };
        }
        let (host, port) = if let Some(rest) = text.strip_prefix('[') {
            let (host, after) = rest.split_once(']').ok_or(AddressError::Malformed)?;
            if host.parse::<Ipv6Addr>().is_err() {
                return Err(AddressError::Malformed);
            }
            let port = match after.strip_prefix(':') {
                Some(port) => Some(port),
                None if after.is_empty() => None,
                None => return Err(AddressError::Malformed),
            };
            (host, port)
        } else {
            match text.split_once(':') {
                Some((_, port)) if port.contains(':') => {
                    let bare = text.parse::<Ipv6Addr>().is_ok();
                    return Err(if bare {
                        AddressError::Brackets(text.to_owned())
                    } else {
                        AddressError::Malformed
                    });
                }
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            }
        };
        if host.contains(|c: char| c.is_whitespace() || c.is_control() || "/[]".contains(c)) {
            return Err(AddressError::Malformed);
        }
        let port = match port {
            Some(digits) if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().map_err(|_| AddressError::Port(digits.to_owned()))?
            }
            Some(other) => return Err(AddressError::Port(other.to_owned())),
            None => default_port.ok_or(AddressError::Malformed)?,
        };
        Ok(Some(Self::Tcp { host: host.to_owned(), port }))
    }
}

/// The form that [`Address::parse`] reads.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tcp(host: &str, port: u16) -> Option<Address> {
        Some(Address::Tcp { host: host.to_owned(), port })
    }

    #[test]
    fn every_documented_form_is_read() {
        for (text, address) in [
            ("", None),
            ("localhost:54321", tcp("localhost", 54321)),
            ("example", tcp("example", 54321)),
            (":1", tcp("", 1)),
            ("0.0.0.0:0", tcp("0.0.0.0", 0)),
            ("[::1]:9", tcp("::1", 9)),
            ("[::1]", tcp("::1", 54321)),
            ("unix:///run/t.sock", Some(Address::Unix(PathBuf::from("/run/t.sock")))),
        ] {
            assert_eq!(Address::parse(text, Some(54321)), Ok(address), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        use AddressError::{Brackets, Malformed, PathTooLong, Port, RelativePath};
        let long = format!("unix:///{}", "x".repeat(107));
        for (text, error) in [
            ("unix://run/t.sock", RelativePath),
            ("unix://", RelativePath),
            ("unix:///", Malformed),
            ("unix:///run/", Malformed),
            (long.as_str(), PathTooLong),
            ("host:", Port(String::new())),
            ("host:http", Port("http".to_owned())),
            ("host:65536", Port("65536".to_owned())),
            ("host:-1", Port("-1".to_owned())),
            ("::1", Brackets("::1".to_owned())),
            ("a:b:c", Malformed),
            ("[::1", Malformed),
            ("[::1]x", Malformed),
            ("[host]:1", Malformed),
            ("tcp://host:1", Malformed),
            ("/run/t.sock", Malformed),
            ("a b:1", Malformed),
        ] {
            assert_eq!(Address::parse(text, Some(54321)), Err(error), "{text}");
        }
        assert_eq!(Address::parse("host", None), Err(Malformed));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic_and_what_is_shown_reads_back(text in "(unix://)?[\\[\\]:/a-f0-9.]{0,20}|\\PC*") {
            if let Ok(Some(address)) = Address::parse(&text, Some(1)) {
                prop_assert_eq!(Address::parse(&address.to_string(), None), Ok(Some(address)));
            }
        }
    }
}
