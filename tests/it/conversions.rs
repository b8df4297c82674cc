//! Conversions as a whole: the contract's table, what holds of every file, and what the fuzzer found.

mod beside_kubectl;
mod contract;
mod matrix;
mod reader;
pub mod rules;
mod texts;

use proptest::prelude::*;

use reader::{Node, read};

/// Whole kubeconfigs are costly to try; failures are kept in no file.
fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(200))]

    #[test]
    fn converting_twice_is_converting_once(text in texts::kubeconfig(), flags in texts::flags()) {
        rules::converts_once(&text, &flags);
    }

    #[test]
    fn an_edit_changes_what_is_meant(text in texts::kubeconfig()) {
        rules::edits_only_what_is_meant(&text);
    }

    /// By another reader of YAML: all is as it was but for the planned places.
    #[test]
    fn another_reader_sees_the_planned_changes_and_no_others(text in texts::kubeconfig(), flags in texts::flags()) {
        let old = read(&text).expect("a text of ours");
        if let Ok(new) = rules::convert(&text, &flags) {
            let new = read(&new).unwrap_or_else(|why| panic!("{why}: {new}"));
            only_what_is_planned(&old, &new);
        }
    }

    /// To another method and back: not a byte outside of the arguments is another.
    #[test]
    fn there_and_back_changes_arguments_only(text in texts::convertible("devicecode"), flags in texts::flags()) {
        let back = ["-ldevicecode", "--client-id=C", "--tenant-id=T", "--server-id=S"];
        let method = flags.iter().rfind(|flag| flag.contains("-l")).expect("a method");
        let there = |text: &str| rules::convert(text, &[&back[1..], &[method]].concat());
        let Ok(away) = there(&text) else { return Ok(()) };
        let home = rules::convert(&away, &back).expect("the way back");
        prop_assert_eq!(outside_of_arguments(&home), outside_of_arguments(&text));
        let again = there(&home).and_then(|away| rules::convert(&away, &back));
        prop_assert_eq!(again.as_ref(), Ok(&home));
    }
}

/// Users may have another `exec` and no `auth-provider`; in an exec the arguments may differ, and its
/// `interactiveMode` may be said.
fn only_what_is_planned(old: &Node, new: &Node) {
    assert_eq!(old.without(&["users"]), new.without(&["users"]));
    let users = |root: &Node| root.get("users").expect("users").items().to_vec();
    let (old, new) = (users(old), users(new));
    assert_eq!(old.len(), new.len());
    for (old, new) in old.iter().zip(&new) {
        if old == new {
            continue;
        }
        assert_eq!(old.without(&["user"]), new.without(&["user"]));
        let (old, new) = (old.get("user").expect("a user"), new.get("user").expect("a user"));
        assert_eq!(old.without(&["exec", "auth-provider"]), new.without(&["exec", "auth-provider"]));
        let entry = new.get("exec").expect("an exec entry");
        match old.get("exec") {
            // kubectl refuses v1 without it.
            Some(before) if before.get("interactiveMode").is_none() && entry.get("interactiveMode").is_some() => {
                assert_eq!(entry.get("interactiveMode").and_then(Node::text), Some("IfAvailable"));
                assert_eq!(entry.get("apiVersion").and_then(Node::text), Some("client.authentication.k8s.io/v1"));
                assert_eq!(before.without(&["args"]), entry.without(&["args", "interactiveMode"]));
            }
            Some(before) => assert_eq!(before.without(&["args"]), entry.without(&["args"])),
            None => assert!(old.get("auth-provider").is_some() && new.get("auth-provider").is_none()),
        }
        let args = entry.get("args").expect("arguments").items();
        assert_eq!(args.first().and_then(Node::text), Some("get-token"));
    }
}

/// The text with nothing in the place of every list of arguments; a comment behind the last one is its own.
fn outside_of_arguments(text: &str) -> String {
    // The reader does not count it.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let root = read(text).expect("a kubeconfig");
    let mut rest = String::new();
    let mut from = 0;
    for user in root.get("users").expect("users").items() {
        let args = user.get("user").and_then(|user| user.get("exec")).and_then(|exec| exec.get("args"));
        let args = args.expect("arguments");
        rest.push_str(&text[from..args.start]);
        let line_end = text[args.end..].find('\n').map_or(text.len(), |at| args.end + at);
        from = if text[..args.end].ends_with(']') { args.end } else { line_end };
    }
    rest.push_str(&text[from..]);
    rest
}
