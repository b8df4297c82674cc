//! Behaviour, through the binary, in a fake world. `support/` is that world; `env.rs` runs the
//! program in it; the other files are tests by theme. `cases.rs` runs the directories under
//! `tests/cases/`, which are the first place for a new test.

#![allow(unreachable_pub, reason = "one crate; the demo and the benchmark include a part of it")]
#![allow(clippy::pedantic, reason = "the product's strictness would make tests longer, not better")]
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test may give up loudly anywhere")]
#![allow(clippy::disallowed_methods, reason = "tests start programs, write files and wait for them")]

mod accounts;
mod arc;
mod auto;
mod az_converts;
mod browser;
mod cases;
mod certificates;
mod chromium;
mod conversions;
mod convert_output;
mod env;
mod fakes;
mod get_token;
mod hostile;
mod interactive_parallel;
mod kills;
mod kubectl;
mod kubectl_hosts;
mod layers;
mod msi;
mod network;
mod parallel;
mod people;
mod prompts;
mod pty;
mod real_az;
mod support;
mod terminal;
mod tools;
mod undo;
