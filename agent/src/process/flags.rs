//! The words of `process.flags`, in their fixed order.

/// Bits by the reference's numbers.
#[expect(missing_docs, reason = "the words below say it")]
pub mod bit {
    pub const EXECVE: u32 = 0x1;
    pub const PROC_FS: u32 = 0x4;
    pub const TRUNC_ARGS: u32 = 0x10;
    pub const AUID: u32 = 0x80;
    pub const ERROR_FILENAME: u32 = 0x100;
    pub const ERROR_ARGS: u32 = 0x200;
    pub const NO_CWD: u32 = 0x800;
    pub const ROOT_CWD: u32 = 0x1000;
    pub const ERROR_CWD: u32 = 0x2000;
    pub const CLONE: u32 = 0x4000;
    pub const ERROR_CGROUP_NAME: u32 = 0x1_0000;
    pub const ERROR_CGROUPS: u32 = 0x10_0000;
    pub const ERROR_CGROUP_ID: u32 = 0x20_0000;
    pub const ERROR_PATH_RESOLUTION_CWD: u32 = 0x40_0000;
    /// Not the reference's at this version: a process that is known only from its end.
    pub const UNKNOWN: u32 = 0x8000_0000;
}

const WORDS: [(u32, &str); 15] = [
    (bit::EXECVE, "execve"),
    (bit::PROC_FS, "procFS"),
    (bit::TRUNC_ARGS, "truncArgs"),
    (bit::AUID, "auid"),
    (bit::ERROR_FILENAME, "errorFilename"),
    (bit::ERROR_ARGS, "errorArgs"),
    (bit::NO_CWD, "nocwd"),
    (bit::ROOT_CWD, "rootcwd"),
    (bit::ERROR_CWD, "errorCWD"),
    (bit::CLONE, "clone"),
    (bit::ERROR_CGROUP_NAME, "errorCgroupName"),
    (bit::ERROR_CGROUP_ID, "errorCgroupID"),
    (bit::ERROR_CGROUPS, "errorCgroups"),
    (bit::ERROR_PATH_RESOLUTION_CWD, "errorPathResolutionCwd"),
    (bit::UNKNOWN, "unknown"),
];

/// The words of the set bits, with blanks between.
pub fn words(bits: u32) -> String {
    let mut text = String::with_capacity(32);
    for (bit, word) in WORDS {
        if bits & bit != 0 {
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(word);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_come_in_the_reference_order() {
        assert_eq!(words(bit::CLONE | bit::EXECVE | bit::ROOT_CWD), "execve rootcwd clone");
        assert_eq!(words(bit::PROC_FS | bit::AUID), "procFS auid");
        assert_eq!(words(0), "");
    }
}
