//! Words of later versions of the interface, so that "unknown" can be told from "not here".

const WORDS: &[&str] = &[
    // Sections and selectors.
    "usdts",
    "fentries",
    "hostSelector",
    "nodeSelector",
    "selectorsMacros",
    "macros",
    "matchWorkloads",
    "matchData",
    "matchParentBinaries",
    "label",
    // Hooks and arguments.
    "data",
    "ignore",
    "raw",
    "offsets",
    "addrs",
    "refCtrOffsets",
    "btfPath",
    "binaryDigests",
    "resolve",
    "source",
    "btfType",
    "btfTypeModule",
    "args",
    // Actions.
    "argIndex",
    "argValue",
    "argRegs",
    "argNewSymbol",
    "argNewAddr",
    "argNewOffset",
    "imaHash",
    "Set",
    "CleanupEnforcerNotification",
    // Types.
    "sint8",
    "sint16",
    "sint32",
    "sint64",
    "ulong",
    "long",
    "sockaddr",
    "socket",
    "sockaddr_un",
    "const_buf",
    "bpf_cmd",
    "dentry",
    "bpf_prog",
    // Operators.
    "InRange",
    "NotInRange",
    "SubString",
    "SubStringIgnCase",
    "FileType",
    "NotFileType",
    "CapabilitiesGained",
    "CelExpr",
];

/// Whether a later version of the interface knows the word.
pub(super) fn is_later(word: &str) -> bool {
    WORDS.contains(&word)
}
