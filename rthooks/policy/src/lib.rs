//! Whether a container may start that the agent could not be told of.
