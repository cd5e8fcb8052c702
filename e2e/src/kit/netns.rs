//! A network of a test's own, from which nothing reaches the machine's.

use std::ffi::OsString;
use std::process::Command;

use anyhow::Result;

use super::process::checked;

/// The address that a node has in its network; from the range that documents use.
pub const NODE_ADDRESS: &str = "192.0.2.10";

/// A network namespace with a loopback and one interface that leads nowhere.
pub struct Netns {
    name: String,
}

impl Netns {
    /// Makes one. Its name is visible to this test only, since `/run` is.
    pub fn create(name: &str) -> Result<Self> {
        checked(Command::new("ip").args(["netns", "add", name]))?;
        let netns = Self { name: name.to_owned() };
        netns.ip("link set lo up")?;
        // A node's address must not be that of a loopback, and its interface needs a carrier.
        netns.ip("link add node0 type veth peer name node1")?;
        netns.ip(&format!("addr add {NODE_ADDRESS}/24 dev node0"))?;
        netns.ip("link set node0 up")?;
        netns.ip("link set node1 up")?;
        netns.ip("route add default via 192.0.2.1 dev node0")?;
        Ok(netns)
    }

    fn ip(&self, arguments: &str) -> Result<()> {
        checked(Command::new("ip").args(["-n", &self.name]).args(arguments.split(' '))).map(drop)
    }

    /// The words in front of a command that make it run in this network, as the same process.
    ///
    /// `ip netns exec` would also mount another `/sys`, which lacks the cgroups.
    pub fn prefix(&self) -> [OsString; 2] {
        ["nsenter".into(), format!("--net=/run/netns/{}", self.name).into()]
    }

    /// A command that runs in this network.
    pub fn command(&self, program: impl Into<OsString>) -> Command {
        let [nsenter, net] = self.prefix();
        let mut command = Command::new(nsenter);
        command.arg(net).arg(program.into());
        command
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        if let Err(error) = checked(Command::new("ip").args(["netns", "del", &self.name])) {
            eprintln!("network of the test: {error:#}");
        }
    }
}
