//! What the store writes into the kernel.

use std::io;

use tetragon_bpf::records::{ContainerState, Identity};

use super::{CgroupId, ContainerNumber};

/// Longest name of a cgroup directory that can be announced, bytes.
pub const LEAF_MAX: usize = 127;

/// The kernel's side of the store. Errors are the kernel's own: most likely `E2BIG`, a map is full.
pub trait IdentityMaps: Send {
    /// Whose a cgroup is.
    ///
    /// # Errors
    /// The kernel refuses.
    fn set_cgroup(&mut self, cgroup: CgroupId, identity: Identity) -> io::Result<()>;

    /// A cgroup is nobody's, or gone. It need not be there.
    ///
    /// # Errors
    /// The kernel refuses.
    fn remove_cgroup(&mut self, cgroup: CgroupId) -> io::Result<()>;

    /// Whose a cgroup will be that is made under this name.
    ///
    /// # Errors
    /// The kernel refuses, or the name is longer than [`LEAF_MAX`].
    fn announce(&mut self, leaf: &str, identity: Identity) -> io::Result<()>;

    /// Takes an announcement back. It need not be there.
    ///
    /// # Errors
    /// The kernel refuses.
    fn unannounce(&mut self, leaf: &str) -> io::Result<()>;

    /// How far a container is.
    ///
    /// # Errors
    /// The kernel refuses.
    fn set_state(&mut self, container: ContainerNumber, state: ContainerState) -> io::Result<()>;

    /// A container is gone. It need not be there.
    ///
    /// # Errors
    /// The kernel refuses.
    fn remove_state(&mut self, container: ContainerNumber) -> io::Result<()>;
}
