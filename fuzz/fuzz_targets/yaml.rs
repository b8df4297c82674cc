//! Any YAML and any operations on its nodes: they are refused, or the new text says what they mean and nothing else
//! has changed.
//!
//! The text up to the first line break holds the operations, separated by blanks: `r3=text`, `m3` and `l3` put a
//! text, a mapping or a list in the place of node 3; `i3=key` and `a3` add to it; `d3` removes it.

#![no_main]

use kubentra::internal::{Op, Tree, Value, apply, confirm};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let Some((ops, text)) = text.split_once('\n') else { return };
    let Ok(tree) = Tree::parse(text.to_owned()) else { return };
    assert!(apply(&tree, &[]).is_ok_and(|patch| patch.text == text), "nothing done is nothing changed");
    let ops: Vec<Op> = ops.split(' ').take(6).filter_map(op).collect();
    let Ok(patch) = apply(&tree, &ops) else { return };
    if confirm(&tree, &ops, &patch).is_err() {
        return;
    }
    let new = Tree::parse(patch.text.clone()).expect("what is confirmed can be read");
    assert!(confirm(&new, &[], &apply(&new, &[]).expect("nothing")).is_ok(), "it says what it says");
    // One letter less is something else, unless it is of a comment, or of the name of an anchor or tag.
    let letter = patch.text.char_indices().filter(|(_, c)| c.is_ascii_alphanumeric()).last();
    if let Some((at, _)) = letter.filter(|_| !patch.text.contains(['#', '&', '!', '%', '|', '>'])) {
        let mut wrong = patch;
        wrong.text.remove(at);
        assert!(confirm(&tree, &ops, &wrong).is_err(), "a letter is missing, and nobody notices");
    }
});

fn op(word: &str) -> Option<Op> {
    let (head, text) = word.split_once('=').unwrap_or((word, "v"));
    let node = head.get(1..)?.parse().ok()?;
    let value = Value::text(text);
    Some(match head.get(..1)? {
        "r" => Op::Replace(node, value),
        "m" => Op::Replace(node, Value::map([("k", value)])),
        "l" => Op::Replace(node, Value::List(vec![value])),
        "i" => Op::Insert { map: node, key: text.to_owned(), value: Value::List(vec![Value::map([("k", value)])]) },
        "a" => Op::Append { list: node, value: Value::map([("k", value)]) },
        "d" => Op::Remove(node),
        _ => return None,
    })
}
