//! What a container runtime runs while it creates a container.

fn main() {}
