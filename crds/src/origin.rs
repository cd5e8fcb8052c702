//! Where a policy comes from.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

/// Where a policy comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// A file.
    File(PathBuf),
    /// A client's call.
    Grpc,
    /// An object of the cluster.
    Kubernetes,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Grpc => f.write_str("the policy sent by gRPC"),
            Self::Kubernetes => f.write_str("the cluster's policy"),
        }
    }
}
