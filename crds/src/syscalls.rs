//! System calls: their names, numbers and functions, for each binary interface of a machine.

use std::collections::HashMap;
use std::fmt;
use std::sync::LazyLock;

use serde::Serialize;
use syscalls::{aarch64, arm, x86, x86_64};

/// Set in the number of a 32-bit system call, to tell it from the 64-bit one.
pub const COMPAT_BIT: u32 = 1 << 31;

/// A machine architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Arch {
    /// AMD and Intel, 64 bits.
    X86_64,
    /// Arm, 64 bits.
    Aarch64,
}

impl Arch {
    /// The architecture that this program was built for.
    #[must_use]
    pub const fn current() -> Self {
        if cfg!(target_arch = "aarch64") { Self::Aarch64 } else { Self::X86_64 }
    }

    /// The interface of 64-bit programs.
    #[must_use]
    pub const fn native(self) -> Abi {
        match self {
            Self::X86_64 => Abi::X64,
            Self::Aarch64 => Abi::Arm64,
        }
    }

    /// The interface of 32-bit programs.
    #[must_use]
    pub const fn compat(self) -> Abi {
        match self {
            Self::X86_64 => Abi::I386,
            Self::Aarch64 => Abi::Arm32,
        }
    }
}

/// A binary interface between programs and kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Abi {
    /// 64-bit programs of x86.
    X64,
    /// 32-bit programs of x86.
    I386,
    /// 64-bit programs of Arm.
    Arm64,
    /// 32-bit programs of Arm.
    Arm32,
}

impl Abi {
    const ALL: [Self; 4] = [Self::X64, Self::I386, Self::Arm64, Self::Arm32];

    /// As policies spell it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::X64 => "x64",
            Self::I386 => "i386",
            Self::Arm64 => "arm64",
            Self::Arm32 => "arm32",
        }
    }

    /// What the kernel's functions for its calls begin with.
    #[must_use]
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::X64 => "__x64_",
            Self::I386 => "__ia32_",
            Self::Arm64 | Self::Arm32 => "__arm64_",
        }
    }

    const fn is_compat(self) -> bool {
        matches!(self, Self::I386 | Self::Arm32)
    }

    fn table(self) -> &'static Table {
        match self {
            Self::X64 => &X64,
            Self::I386 => &I386,
            Self::Arm64 => &ARM64,
            Self::Arm32 => &ARM32,
        }
    }

    /// The names of its calls, without `sys_`.
    pub fn names(self) -> impl Iterator<Item = &'static str> + Clone {
        self.table().keys().copied()
    }

    /// The number of a call, by its name without `sys_` or that of its function; with [`COMPAT_BIT`] if it is a
    /// 32-bit one.
    #[must_use]
    pub fn number(self, name: &str) -> Option<u32> {
        let table = self.table();
        let number = table.get(name).or_else(|| {
            let (call, _) = FUNCTIONS.iter().find(|(_, function)| *function == name)?;
            table.get(call)
        })?;
        Some(if self.is_compat() { number | COMPAT_BIT } else { *number })
    }
}

impl fmt::Display for Abi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

type Table = HashMap<&'static str, u32>;

/// Calls whose function is called otherwise.
const FUNCTIONS: &[(&str, &str)] = &[
    ("stat", "newstat"),
    ("fstat", "newfstat"),
    ("lstat", "newlstat"),
    ("uname", "newuname"),
    ("umount2", "umount"),
    ("sendfile", "sendfile64"),
];

macro_rules! table {
    ($arch:ident) => {
        LazyLock::new(|| {
            // There are no negative numbers.
            $arch::Sysno::iter().map(|call| (call.name(), call.id().unsigned_abs())).collect()
        })
    };
}

static X64: LazyLock<Table> = table!(x86_64);
static I386: LazyLock<Table> = table!(x86);
static ARM64: LazyLock<Table> = table!(aarch64);
static ARM32: LazyLock<Table> = table!(arm);

/// A system call as a policy names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct SyscallRef {
    /// The interface it belongs to.
    pub abi: Abi,
    /// Its name, without `sys_`.
    pub name: String,
    /// The kernel's function for it.
    pub symbol: String,
}

impl SyscallRef {
    /// Reads `sys_x`, `ABI/sys_x`, or a function's name such as `__x64_sys_x`.
    ///
    /// # Errors
    ///
    /// [`NotSyscall`] tells what would be right.
    pub fn parse(text: &str, arch: Arch) -> Result<Self, NotSyscall> {
        if let Some((abi, call)) = text.split_once('/') {
            let abi = Abi::ALL.into_iter().find(|it| it.name() == abi).ok_or(NotSyscall::Form)?;
            let name = call.strip_prefix("sys_").filter(|name| is_name(name)).ok_or(NotSyscall::Form)?;
            return Self::new(abi, name, arch);
        }
        if let Some(name) = text.strip_prefix("sys_").filter(|name| is_name(name)) {
            return Self::new(arch.native(), name, arch);
        }
        // Both interfaces of Arm share their functions; the 64-bit one is meant.
        let prefixed =
            |abi: Abi| text.strip_prefix(abi.prefix())?.strip_prefix("sys_").map(|name| (abi, name));
        match Abi::ALL.into_iter().find_map(prefixed).filter(|(_, name)| is_name(name)) {
            Some((abi, name)) => Self::new(abi, name, arch),
            None => Err(NotSyscall::Form),
        }
    }

    fn new(abi: Abi, name: &str, arch: Arch) -> Result<Self, NotSyscall> {
        if abi != arch.native() && abi != arch.compat() {
            return Err(NotSyscall::Foreign { found: abi, native: arch.native() });
        }
        Ok(Self { abi, name: name.to_owned(), symbol: format!("{}sys_{name}", abi.prefix()) })
    }

    /// Its number, with [`COMPAT_BIT`] if it is a 32-bit call; `None` if no such call is known.
    #[must_use]
    pub fn number(&self) -> Option<u32> {
        self.abi.number(&self.name)
    }
}

/// Why a text is not the name of a system call of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotSyscall {
    /// It has another form.
    #[error("not the name of a system call, such as sys_openat")]
    Form,
    /// It belongs to another architecture.
    #[error("a system call of {found}, but this machine has those of {native}")]
    Foreign {
        /// Where it belongs.
        found: Abi,
        /// What is here.
        native: Abi,
    },
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_the_numbers_of_their_interface() {
        for (abi, name, number) in [
            (Abi::X64, "openat", 257),
            (Abi::I386, "openat", 295 | COMPAT_BIT),
            (Abi::Arm64, "openat", 56),
            (Abi::Arm32, "openat", 322 | COMPAT_BIT),
            (Abi::X64, "newuname", 63),
            (Abi::X64, "uname", 63),
            (Abi::X64, "umount", 166),
        ] {
            assert_eq!(abi.number(name), Some(number), "{abi} {name}");
        }
        assert_eq!(Abi::Arm64.number("open"), None);
        assert!(Abi::X64.names().count() > 300);
    }

    #[test]
    fn every_notation_is_understood() {
        let parse = |text| SyscallRef::parse(text, Arch::X86_64);
        for text in ["sys_openat", "__x64_sys_openat", "x64/sys_openat"] {
            let call = parse(text).expect("a call");
            assert_eq!((call.symbol.as_str(), call.number()), ("__x64_sys_openat", Some(257)), "{text}");
        }
        for text in ["__ia32_sys_openat", "i386/sys_openat"] {
            let call = parse(text).expect("a call");
            assert_eq!(call.symbol, "__ia32_sys_openat");
            assert_eq!(call.number(), Some(295 | COMPAT_BIT), "{text}");
        }
        for text in ["openat", "sys_", "x86/sys_openat", "x64/openat", "sys_open at", "", "__x64_", "/"] {
            assert_eq!(parse(text), Err(NotSyscall::Form), "{text}");
        }
        let foreign = parse("__arm64_sys_openat").expect_err("foreign");
        assert_eq!(foreign.to_string(), "a system call of arm64, but this machine has those of x64");
        assert!(SyscallRef::parse("arm32/sys_openat", Arch::Aarch64).is_ok());
    }
}
