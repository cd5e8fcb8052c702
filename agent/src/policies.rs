//! Tracing policies in the agent: which are loaded, what they do in the kernel, what their events mean.
//!
//! ```text
//! policy --> in_kernel (engine) --> encode --> plans, sets ─┐
//!                │         │                                ├─> kernel's matcher --> policy records
//!                │         └─> rules (by class of cgroup) ──┘                             │
//!                v                                                                        v
//!            catalogue ---------------------------------------------------------> arguments --> joining --> call
//!                                                                                     (stacks)
//! ```

pub mod arguments;
pub mod call;
pub mod catalogue;
pub mod encode;
pub mod engine;
pub mod in_kernel;
pub mod joining;
pub mod manager;
pub mod rules;
pub mod stacks;
#[cfg(test)]
pub(crate) mod test_engine;
mod text;

pub use call::Call;
pub use catalogue::{Catalogue, PlanInfo};
pub use manager::Manager;
