//! The binary as users run it, against an agent on a real connection.

mod agent;
mod containers;
mod cri;
mod events;
mod management;
mod policies;
mod tetra;
