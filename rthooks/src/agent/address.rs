//! Where the agent listens.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

const DEFAULT_PORT: u16 = 54321;

/// An address as it was given, and what it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    text: String,
    pub(super) target: Target,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    Unix(PathBuf),
    Tcp(String, u16),
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let target = match text.strip_prefix("unix:") {
            Some(path) => {
                // Both unix:///path and unix:/path.
                let path = path.strip_prefix("//").unwrap_or(path);
                if !path.starts_with('/') {
                    return Err(
                        "a unix socket needs an absolute path, as in unix:///run/tetragon.sock".to_owned()
                    );
                }
                Target::Unix(path.into())
            }
            None => tcp(text)?,
        };
        Ok(Self { text: text.to_owned(), target })
    }
}

fn tcp(text: &str) -> Result<Target, String> {
    let wrong = || "give unix:///path or host:port, IPv6 addresses as [address]:port".to_owned();
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => rest.split_once(']').ok_or_else(wrong)?,
        None => text.find(':').map_or((text, ""), |colon| text.split_at(colon)),
    };
    let port = match port.strip_prefix(':') {
        Some(port) => port.parse().map_err(|_| format!("'{port}' is no port"))?,
        None if port.is_empty() && !host.is_empty() => DEFAULT_PORT,
        None => return Err(wrong()),
    };
    // As a listener's address, ":54321" means every interface; to a client, this machine.
    Ok(Target::Tcp(if host.is_empty() { "localhost" } else { host }.to_owned(), port))
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_the_documented_forms() {
        let tcp = |host: &str, port| Target::Tcp(host.to_owned(), port);
        let cases = [
            ("unix:///run/x.sock", Target::Unix("/run/x.sock".into())),
            ("unix:/run/x.sock", Target::Unix("/run/x.sock".into())),
            ("localhost:1", tcp("localhost", 1)),
            ("node", tcp("node", 54321)),
            (":54321", tcp("localhost", 54321)),
            ("[::1]:2", tcp("::1", 2)),
            ("[::1]", tcp("::1", 54321)),
        ];
        for (text, target) in cases {
            assert_eq!(text.parse::<Address>().expect(text).target, target, "{text}");
        }
        for text in ["unix://relative", "host:port", "host:99999", "[::1", "", "::1", "[::1]x"] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }
}
