//! Connects container runtimes with the agent.

fn main() {}
