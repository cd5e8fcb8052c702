//! The program that tests run and watch.
fn main() {}
