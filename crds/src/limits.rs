//! What a policy may contain at most. A policy beyond a limit is refused, never cut.

/// Selectors of a hook.
pub const SELECTORS: usize = 5;
/// Arguments of a hook, those included that only tell another one's size.
pub const ARGS: usize = 5;
/// The last argument of a function that can be read.
pub const LAST_ARG: u32 = 4;
/// The greatest `sizeArgIndex`.
pub const SIZE_ARG_INDEX: u32 = 15;
/// Entries of `matchArgs`, and of `matchReturnArgs`.
pub const ARG_FILTERS: usize = 5;
/// Entries of `matchPIDs`, `matchCapabilities` and `matchCapabilityChanges`. The reference evaluates one.
pub const PROCESS_FILTERS: usize = 4;
/// Entries of `matchNamespaces`.
pub const NAMESPACE_FILTERS: usize = 10;
/// Values of an entry of `matchNamespaces`.
pub const NAMESPACE_VALUES: usize = 4;
/// Entries of `matchNamespaceChanges`, and of `matchBinaries`.
pub const SINGLE: usize = 1;
/// Entries of `matchActions`, and of `matchReturnActions`.
pub const ACTIONS: usize = 3;
/// Bytes of a value that is compared as a whole.
pub const WHOLE_VALUE: usize = 4096;
/// Bytes of a value that is compared with a beginning.
pub const PREFIX_VALUE: usize = 256;
/// Bytes of a value that is compared with an end.
pub const POSTFIX_VALUE: usize = 127;
/// Bytes of a program's path.
pub const BINARY_PATH: usize = 255;
/// Enforcers of a policy.
pub const ENFORCERS: usize = 1;
/// Bytes of a message; it is cut with a warning.
pub const MESSAGE: usize = 256;
/// Bytes of a tag; it is cut with a warning.
pub const TAG: usize = 128;
/// Bytes of a message or a tag, at least.
pub const SHORTEST_NOTE: usize = 2;
