//! Behaviour, through the binary, in a fake world. `support/` is that world; `env.rs` runs the
//! program in it; the other files are tests by theme. `cases.rs` runs the directories under
//! `tests/cases/`, which are the first place for a new test.

#![expect(missing_docs, reason = "tests speak for themselves")]
#![expect(clippy::disallowed_methods, reason = "tests start programs, write files and wait for them")]

mod env;
mod get_token;
mod support;
