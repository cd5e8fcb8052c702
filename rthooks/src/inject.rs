//! The OCI hook that a container gets, so that somebody is asked about it even if this plugin is no more.

use std::path::Path;

use nri_plugin::api::{ContainerAdjustment, Hook, Hooks};

/// A `createRuntime` hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Injection {
    path: String,
    args: Vec<String>,
}

impl Injection {
    /// The hook at `path` on the host, with what it needs to decide as this plugin does.
    pub(crate) fn new(path: &Path, hook_args: &[String]) -> Self {
        let path = path.display().to_string();
        let mut args = vec![path.clone(), "createRuntime".to_owned()];
        args.extend_from_slice(hook_args);
        Self { path, args }
    }

    /// What the runtime is asked to add.
    pub(crate) fn adjustment(&self) -> ContainerAdjustment {
        // Without a time limit: the hook has its own, and decides what happens then.
        let hook = Hook { path: self.path.clone(), args: self.args.clone(), ..Hook::default() };
        let hooks = Hooks { create_runtime: vec![hook], ..Hooks::default() };
        ContainerAdjustment { hooks: Some(hooks), ..ContainerAdjustment::default() }
    }
}
