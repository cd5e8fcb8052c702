//! Where a test runs: a kernel and the options it was booted with.

use std::fmt;
use std::str::FromStr;

/// A kernel, and how it was booted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// The kernel of this machine.
    Native,
    /// A kernel in a virtual machine.
    Vm {
        /// Its label in `kernels.txt`.
        kernel: &'static str,
        /// Booted with `preempt=full`.
        preempt_full: bool,
    },
}

const fn vm(kernel: &'static str) -> Place {
    Place::Vm { kernel, preempt_full: false }
}

const fn preemptible(kernel: &'static str) -> Place {
    Place::Vm { kernel, preempt_full: true }
}

/// This machine's own kernel.
pub const NATIVE: &[Place] = &[Place::Native];
/// Every kernel in a virtual machine.
pub const VMS: &[Place] = &[vm("5.10"), vm("6.1"), vm("6.12"), vm("7.2")];
/// The kernels that can be booted fully preemptible; 5.10 decides this when it is built.
pub const PREEMPT_FULL: &[Place] = &[preemptible("6.1"), preemptible("6.12"), preemptible("7.2")];
/// As [`VMS`], without the kernel that lacks most.
pub const NEWER_VMS: &[Place] = &[vm("6.1"), vm("6.12"), vm("7.2")];
/// Every kernel in a virtual machine, and again fully preemptible.
pub const VMS_AND_PREEMPTIBLE: &[Place] = &[
    vm("5.10"),
    vm("6.1"),
    vm("6.12"),
    vm("7.2"),
    preemptible("6.1"),
    preemptible("6.12"),
    preemptible("7.2"),
];
/// This machine, and the oldest and the newest kernel: for what takes long and differs little between kernels.
pub const OLDEST_AND_NEWEST: &[Place] = &[Place::Native, vm("5.10"), vm("7.2")];
/// This machine, and one virtual machine: for what depends on user space.
pub const NATIVE_AND_ONE: &[Place] = &[Place::Native, vm("6.12")];
/// This machine and every virtual machine.
pub const EVERYWHERE: &[Place] = &[Place::Native, vm("5.10"), vm("6.1"), vm("6.12"), vm("7.2")];
/// As [`EVERYWHERE`], and again fully preemptible.
pub const EVERYWHERE_AND_PREEMPTIBLE: &[Place] = &[
    Place::Native,
    vm("5.10"),
    vm("6.1"),
    vm("6.12"),
    vm("7.2"),
    preemptible("6.1"),
    preemptible("6.12"),
    preemptible("7.2"),
];

impl Place {
    /// Whether this is the machine's own kernel.
    pub fn is_native(self) -> bool {
        self == Self::Native
    }

    /// How much longer than on hardware things take here; multiplies every wait.
    pub fn slowness(self) -> u32 {
        match self {
            Self::Native => 1,
            Self::Vm { .. } => 8,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Native => f.write_str("native"),
            Self::Vm { kernel, preempt_full: false } => write!(f, "vm-{kernel}"),
            Self::Vm { kernel, preempt_full: true } => write!(f, "vm-{kernel}+preempt=full"),
        }
    }
}

/// A name that is no known place.
#[derive(Debug)]
pub struct UnknownPlace(String);

impl fmt::Display for UnknownPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown place {:?}; known are", self.0)?;
        EVERYWHERE_AND_PREEMPTIBLE.iter().try_for_each(|place| write!(f, " {place}"))
    }
}

impl std::error::Error for UnknownPlace {}

impl FromStr for Place {
    type Err = UnknownPlace;

    fn from_str(name: &str) -> Result<Self, UnknownPlace> {
        EVERYWHERE_AND_PREEMPTIBLE
            .iter()
            .copied()
            .find(|place| place.to_string() == name)
            .ok_or_else(|| UnknownPlace(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_found_by_the_name_it_prints() {
        for place in EVERYWHERE_AND_PREEMPTIBLE {
            assert_eq!(place.to_string().parse::<Place>().unwrap(), *place);
        }
    }

    #[test]
    fn an_unknown_place_is_refused_with_the_known_ones() {
        let error = "vm-2.4".parse::<Place>().unwrap_err().to_string();
        assert!(error.contains("vm-2.4") && error.contains("vm-6.12+preempt=full"), "{error}");
    }
}
