//! What a test works with.

pub mod agent;
pub mod cgroups;
pub mod container;
mod env;
pub mod events;
pub mod expect;
pub mod hook;
pub mod ledger;
pub mod lives;
pub mod mounts;
pub mod oci;
pub mod podman;
pub mod process;
pub mod rpc;
mod shared;
pub mod truth;
mod watch;

pub use agent::{Agent, Launch};
pub use env::Env;
pub use events::{Event, EventExt, Events, Life, Silent};
pub use expect::{Expect, exec, exit};
pub use ledger::Ledger;
pub use process::{Ended, Reported};
pub(crate) use shared::SharedAgent;
pub use truth::{Fact, Truth};
pub use watch::Watch;
