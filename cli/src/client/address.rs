//! Where the agent listens.

use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

const DEFAULT: &str = "localhost:54321";
const DEFAULT_PORT: u16 = 54321;

/// An address as it was given, and what it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    text: String,
    pub(super) target: Target,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Unix(PathBuf),
    Tcp(String, u16),
}

/// The part of the agent's info file that matters here.
#[derive(Deserialize)]
struct Info {
    #[serde(default)]
    server_address: String,
}

impl Address {
    /// The address of the flag; else that of the info file; else the default.
    pub(super) fn find(flag: &str, info_file: &Path) -> Result<Self> {
        if !flag.is_empty() {
            return Self::parse(flag).context("--server-address");
        }
        let place = info_file.display();
        let text = match fs::read_to_string(info_file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Self::parse(DEFAULT),
            Err(error) => return Err(error).with_context(|| format!("{place} (--server-address avoids it)")),
        };
        let info: Info = serde_json::from_str(&text).with_context(|| {
            format!("{place} is not an info file of the agent (--server-address avoids it)")
        })?;
        if info.server_address.is_empty() {
            bail!("the agent that wrote {place} has no server: start it with --server-address");
        }
        Self::parse(&info.server_address).with_context(|| place.to_string())
    }

    fn parse(text: &str) -> Result<Self> {
        let target = if let Some(path) = text.strip_prefix("unix:") {
            // Both unix:///path and unix:/path.
            let path = path.strip_prefix("//").unwrap_or(path);
            if !path.starts_with('/') {
                bail!("'{text}': a unix socket needs an absolute path, as in unix:///run/tetragon.sock");
            }
            Target::Unix(path.into())
        } else {
            let (host, port) = split_port(text)?;
            Target::Tcp(host.to_owned(), port)
        };
        Ok(Self { text: text.to_owned(), target })
    }
}

fn split_port(text: &str) -> Result<(&str, u16)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((host, "")) => (host, None),
            Some((host, port)) => (host, Some(port.strip_prefix(':').unwrap_or(port))),
            None => bail!("'{text}': the bracket of the IPv6 address is not closed"),
        },
        None => match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    if host.is_empty() && port.is_none() {
        bail!("'{text}' is no address: give host:port or unix:///path");
    }
    let port = match port {
        Some(port) => port.parse().with_context(|| format!("'{text}': '{port}' is no port"))?,
        None => DEFAULT_PORT,
    };
    // As a listener's address, ":54321" means every interface; to a client, this machine.
    Ok((if host.is_empty() { "localhost" } else { host }, port))
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(content: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("tetragon-info.json");
        fs::write(&path, content).expect("written");
        (folder, path)
    }

    fn tcp(host: &str, port: u16) -> Target {
        Target::Tcp(host.to_owned(), port)
    }

    #[test]
    fn the_flag_wins_over_the_info_file() {
        let (_folder, path) = info(r#"{"server_address":"unix:///from/info"}"#);
        let address = Address::find("node:1234", &path).expect("found");
        assert_eq!(address.target, tcp("node", 1234));
    }

    #[test]
    fn the_info_file_wins_over_the_default() {
        let (_folder, path) = info(r#"{"pid":7,"server_address":"unix:///from/info","gops_address":""}"#);
        let address = Address::find("", &path).expect("found");
        assert_eq!(address.target, Target::Unix("/from/info".into()));
        let address = Address::find("", Path::new("/nonexistent/info.json")).expect("found");
        assert_eq!(address.target, tcp("localhost", 54321));
    }

    #[test]
    fn an_agent_without_server_is_named() {
        let (_folder, path) = info(r#"{"server_address":""}"#);
        let message = format!("{:#}", Address::find("", &path).expect_err("refused"));
        assert!(message.contains("has no server"), "{message}");
    }

    #[test]
    fn a_broken_info_file_is_named_with_the_remedy() {
        let (_folder, path) = info("{");
        let message = format!("{:#}", Address::find("", &path).expect_err("refused"));
        assert!(message.contains("tetragon-info.json") && message.contains("--server-address"), "{message}");
    }

    #[test]
    fn addresses_have_the_documented_forms() {
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
            assert_eq!(Address::parse(text).expect(text).target, target, "{text}");
        }
        for text in ["unix://relative", "host:port", "host:99999", "[::1"] {
            assert!(Address::parse(text).is_err(), "{text}");
        }
    }
}
