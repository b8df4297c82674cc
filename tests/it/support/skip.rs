//! The one way for a test not to run. The unit tests of the library take this file too.

#![allow(unreachable_pub, reason = "in a library nobody else reaches it")]
#![allow(clippy::disallowed_methods, clippy::expect_used, reason = "whether every test has to run")]

use std::io::Write;

/// Says that a test is skipped, and why; fails it where every test has to run.
pub fn skip(why: &str) {
    assert!(std::env::var_os("KUBENTRA_TEST_ALL").is_none_or(|all| all != "1"), "not skipped: {why}");
    // Not `eprintln!`, which the test harness swallows.
    writeln!(std::io::stderr(), "skipped: {why}").expect("stderr");
}

/// The same for want of a tool.
pub fn missing(tool: &str) {
    skip(&format!("{tool} is missing"));
}
