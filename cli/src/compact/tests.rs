//! Whole lines for every row of the contract's table.

mod process;
mod sample;
mod trailer;

mod hooks;
