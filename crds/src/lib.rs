//! Tracing policies and other custom resources.
