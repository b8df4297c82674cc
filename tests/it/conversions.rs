//! Conversions as a whole: the contract's table, what holds of every file, and what the fuzzer found.

mod contract;
pub mod rules;
