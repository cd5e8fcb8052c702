//! From a policy to what is attached where: plain data that can be printed and tested without loading anything.
//!
//! [`Kernel`] answers what policies leave to the kernel: which functions there are and what they take, what the fields
//! of a tracepoint are, which functions can be traced. [`compile`] follows lists, resolves types and names what is
//! needed; [`Program`] is the result.

mod compile;
mod explain;
mod kernel;
mod memory;
mod program;

pub use compile::compile;
pub use kernel::{Field, Format, FormatError, Kernel, Parameter, ParameterType};
pub use memory::FEW;
pub use program::{Attach, Capture, HookProgram, Need, Program, Reader, Source};
