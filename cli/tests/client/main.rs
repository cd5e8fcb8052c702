//! The binary as users run it, against an agent on a real connection.

mod agent;
mod events;
mod management;
mod tetra;
