//! Processes: what is known of each, and the table that finds them.
//!
//! ```text
//! exec, fork, exit records --> table --> info (encoded once, shared by all events about it and its children)
//! task iterator + /proc ----> scan ----^
//! ```

pub mod belonging;
pub mod credentials;
pub mod describe;
pub mod flags;
pub mod info;
pub mod procfs;
pub mod scan;
pub mod table;
pub mod text;

pub use belonging::Belonging;
pub use describe::Describer;
pub use info::ProcessInfo;
pub use table::Table;
