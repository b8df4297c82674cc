//! Any text: the reader takes or refuses it, and an edit of what it takes changes what is meant.

#![no_main]

#[allow(dead_code, reason = "shared with the tests")]
#[path = "../../tests/it/conversions/rules.rs"]
mod rules;

libfuzzer_sys::fuzz_target!(|text: &str| rules::edits_only_what_is_meant(text));
