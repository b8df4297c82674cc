//! Any kubeconfig with any flags, for every method: the conversion is refused, or done once and for all.
//!
//! The text up to the first line break holds flags for all methods, separated by blanks; what
//! `convert-kubeconfig` reads and writes by itself (`--kubeconfig`) has no meaning here.

#![no_main]

#[allow(dead_code, reason = "shared with the tests")]
#[path = "../../tests/it/conversions/rules.rs"]
mod rules;

use kubentra::internal::METHODS;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let Some((flags, text)) = text.split_once('\n') else { return };
    let flags: Vec<&str> = flags.split(' ').filter(|flag| !flag.is_empty()).collect();
    for method in METHODS {
        let all = [&flags[..], &["--login", method.name]].concat();
        rules::converts_once(text, &all);
    }
});
