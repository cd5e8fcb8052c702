//! The kernel maps that tell whose a cgroup is.

use std::io;

use aya::maps::{HashMap, MapData, MapError};
use aya::{Ebpf, Pod};
use tetragon_bpf::records::{AnnouncedName, ContainerState, Identity};

use super::KernelError;
use crate::identity::maps::{IdentityMaps, LEAF_MAX};
use crate::identity::{CgroupId, ContainerNumber};

macro_rules! plain {
    ($($(#[$meta:meta])* $wrapper:ident($inner:ident);)*) => {
        $(
            $(#[$meta])*
            #[derive(Clone, Copy)]
            #[repr(transparent)]
            struct $wrapper($inner);

            #[expect(unsafe_code, reason = "promises the map library that the value is plain bytes")]
            // SAFETY: integers or bytes without padding; the layout test of the bpf crate holds it to the C structure.
            unsafe impl Pod for $wrapper {}
        )*
    };
}

plain! {
    /// Value of `cgroups` and `announced`.
    Value(Identity);
    /// Key of `announced`.
    Name(AnnouncedName);
    /// Value of `containers`.
    State(ContainerState);
}

/// The maps of the loaded object.
pub struct KernelIdentity {
    cgroups: HashMap<MapData, u64, Value>,
    announced: HashMap<MapData, Name, Value>,
    containers: HashMap<MapData, u64, State>,
}

impl KernelIdentity {
    pub(super) fn new(ebpf: &mut Ebpf) -> Result<Self, KernelError> {
        Ok(Self {
            cgroups: open(ebpf, "cgroups")?,
            announced: open(ebpf, "announced")?,
            containers: open(ebpf, "containers")?,
        })
    }
}

fn open<K: Pod, V: Pod>(ebpf: &mut Ebpf, name: &'static str) -> Result<HashMap<MapData, K, V>, KernelError> {
    let map = ebpf.take_map(name).ok_or_else(|| KernelError::Map {
        map: name,
        message: "is not in the BPF object; agent and object are of different builds".to_owned(),
    })?;
    HashMap::try_from(map).map_err(|error| KernelError::Map { map: name, message: error.to_string() })
}

fn cause(error: MapError) -> io::Error {
    match error {
        MapError::SyscallError(error) => error.io_error,
        other => io::Error::other(other),
    }
}

/// What is to be removed may not be there.
fn removed(result: Result<(), MapError>) -> io::Result<()> {
    match result {
        Ok(()) | Err(MapError::KeyNotFound) => Ok(()),
        Err(error) => match cause(error) {
            error if error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
            error => Err(error),
        },
    }
}

fn name_of(leaf: &str) -> io::Result<Name> {
    let mut name = [0; LEAF_MAX + 1];
    let bytes = leaf.as_bytes();
    if bytes.len() > LEAF_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidFilename, format!("longer than {LEAF_MAX} bytes")));
    }
    name[..bytes.len()].copy_from_slice(bytes);
    Ok(Name(AnnouncedName { name }))
}

impl IdentityMaps for KernelIdentity {
    fn set_cgroup(&mut self, cgroup: CgroupId, identity: Identity) -> io::Result<()> {
        self.cgroups.insert(cgroup.0, Value(identity), 0).map_err(cause)
    }

    fn remove_cgroup(&mut self, cgroup: CgroupId) -> io::Result<()> {
        removed(self.cgroups.remove(&cgroup.0))
    }

    fn announce(&mut self, leaf: &str, identity: Identity) -> io::Result<()> {
        self.announced.insert(name_of(leaf)?, Value(identity), 0).map_err(cause)
    }

    fn unannounce(&mut self, leaf: &str) -> io::Result<()> {
        removed(self.announced.remove(&name_of(leaf)?))
    }

    fn set_state(&mut self, container: ContainerNumber, state: ContainerState) -> io::Result<()> {
        self.containers.insert(container.0, State(state), 0).map_err(cause)
    }

    fn remove_state(&mut self, container: ContainerNumber) -> io::Result<()> {
        removed(self.containers.remove(&container.0))
    }
}
