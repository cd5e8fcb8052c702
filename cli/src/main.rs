//! Placeholder until the first commit of this room.
fn main() {}
