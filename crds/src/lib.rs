//! Tracing policies: their form in the cluster, and the one way from a text to a policy that can be compiled.
//!
//! ```text
//! text ── source ──▶ tree ── schema ──▶ TracingPolicySpec ── check ──▶ Policy
//! ```
//!
//! [`load`] needs neither kernel nor cluster. It reports everything that is wrong with a policy at once, each with the
//! path of its field, its place in the text, the value, and what would be right.

mod check;
pub mod crd;
mod files;
pub mod limits;
mod load;
mod origin;
pub mod policy;
mod report;
mod schema;
mod source;
pub mod spec;
pub mod syscalls;

pub use check::predicate;
pub use files::{DirectoryErrors, load_directory, load_each, load_file, policy_files};
pub use load::{load, load_for, load_json};
pub use origin::Origin;
pub use policy::Policy;
pub use report::{Diagnostic, Errors, Path, Position, Segment, nearest};
