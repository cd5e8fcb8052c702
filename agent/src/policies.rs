//! Tracing policies in the agent: which are loaded, what they do in the kernel, what their events mean.
//!
//! ```text
//! policy records --> arguments --> joining (entry and return) --> call: the payload of an event
//!                        ^                                      ^
//! engine --> catalogue --'                             stacks --'
//! ```

pub mod arguments;
pub mod call;
pub mod catalogue;
pub mod engine;
pub mod joining;
pub mod stacks;
mod text;

pub use call::Call;
pub use catalogue::{Catalogue, PlanInfo};
