//! Where a fact comes from.

/// Who said so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// The path of a cgroup.
    Path,
    /// What hooks told an earlier run of the agent, or left for it.
    Journal,
    /// The container runtime, asked.
    Cri,
    /// A hook, before the container's cgroup exists.
    Announce,
    /// A hook, before the container's own program runs.
    Verify,
    /// A hook, of a container that runs already.
    Running,
    /// The Kubernetes API.
    Pod,
}

impl Source {
    /// Whose word counts where two contradict each other: the higher one's. The API knows labels as they are now,
    /// a hook as they were when the pod was made; a path knows no more than ids.
    pub fn rank(self) -> u8 {
        match self {
            Self::Path => 1,
            Self::Journal => 2,
            Self::Cri => 3,
            Self::Announce | Self::Verify | Self::Running => 4,
            Self::Pod => 5,
        }
    }

    /// Whether this source knows containers by more than their cgroup.
    pub fn is_authority(self) -> bool {
        self != Self::Path
    }

    /// As people see it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Journal => "journal",
            Self::Cri => "cri",
            Self::Announce => "announce",
            Self::Verify => "verify",
            Self::Running => "running",
            Self::Pod => "pod",
        }
    }
}
