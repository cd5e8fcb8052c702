//! Credentials, capabilities, user namespaces.

use tetragon_api::tetragon::kprobe_argument::Arg;
use tetragon_api::tetragon::{
    CapabilitiesType, KprobeCapability, Namespace, ProcessCredentials, UserNamespace,
};
use tetragon_bpf::plan::{CapturedCred, CapturedUserNs};

use crate::process::credentials::{capabilities, process_credentials};

/// All that credentials are made of.
pub(super) fn cred(it: &CapturedCred) -> Arg {
    Arg::ProcessCredentialsArg(ProcessCredentials {
        caps: Some(capabilities(&it.cred)),
        user_ns: Some(user_namespace(&it.user_ns)),
        ..process_credentials(&it.cred)
    })
}

/// A user namespace with its owner.
pub(super) fn user_namespace(it: &CapturedUserNs) -> UserNamespace {
    UserNamespace {
        level: Some(it.level),
        uid: Some(it.uid),
        gid: Some(it.gid),
        ns: Some(Namespace { inum: it.inode, is_host: it.level == 0 }),
    }
}

/// One capability; without name if it is newer than this build.
pub(super) fn capability(value: i32) -> Arg {
    let name = CapabilitiesType::try_from(value).map_or("", |it| it.as_str_name()).to_owned();
    Arg::CapabilityArg(KprobeCapability { value: Some(value), name })
}

/// A set of capabilities.
pub(super) fn mask(bits: u64) -> String {
    format!("{bits:016x}")
}
