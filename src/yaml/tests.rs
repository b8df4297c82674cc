//! What holds of every text and every operation on it.

/// A small generator, so that failures repeat.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }

    pub(crate) fn text(&mut self) -> String {
        const PARTS: [&str; 44] = [
            "a", "B", "0", "1", "7", "9", "e", "x", "o", "-", "--", "_", ".", ":", ": ", " ", " #", "#", "'", "\"",
            "\\", "\n", "\r", "\t", ",", "[", "]", "{", "}", "&", "*", "!", "|", ">", "%", "@", "?", "=", "~", "\u{0}",
            "\u{85}", "\u{2028}", "é", "😀",
        ];
        (0..self.below(7)).map(|_| PARTS[self.below(PARTS.len())]).collect()
    }
}

#[path = "../../tests/it/conversions/reader.rs"]
#[allow(dead_code, unreachable_pub, clippy::cast_possible_truncation, reason = "shared with the tests of conversions")]
mod reader;

use serde_json::{Map, Value as Json, json};

use super::confirm::confirm_whole;
use super::scalar::{is_typed, scalar_text};
use super::{Op, Patch, TOP, Tree, Value, apply, confirm};

const KEYS: [&str; 9] = ["a", "b", "c", "d", "e", "name", "x y", "yes", "ü"];

impl Random {
    fn chance(&mut self, of: usize) -> bool {
        self.below(of) == 0
    }

    fn value(&mut self, depth: usize) -> Value {
        match self.below(if depth == 0 { 4 } else { 9 }) {
            0 => Value::Plain(["null", "true", "12", "0x1f"][self.below(4)].to_owned()),
            1..4 => Value::text(self.text()),
            4..6 => Value::List((0..self.below(4)).map(|_| self.value(depth - 1)).collect()),
            _ => {
                let keys = KEYS.into_iter().filter(|_| self.chance(3)).collect::<Vec<_>>();
                Value::map(keys.into_iter().map(|key| (key, self.value(depth - 1))))
            }
        }
    }

    /// A text that says `value`, in any style.
    fn write(&mut self, value: &Value, out: &mut String, indent: usize, flow: bool) {
        let flow = flow || self.chance(6);
        let space = if flow && self.chance(3) { "\n            " } else { " " };
        match value {
            Value::List(items) if flow || items.is_empty() => {
                let items: Vec<_> = items.iter().map(|item| self.one_line(item)).collect();
                out.extend([" [", &items.join(&format!(",{space}")), "]"]);
            }
            Value::Map(members) if flow || members.is_empty() => {
                let quoted = self.chance(2);
                let member = |(key, value): &(String, Value)| {
                    format!("{}: {}", scalar_text(key, true, quoted), self.one_line(value))
                };
                let members: Vec<_> = members.iter().map(member).collect();
                out.extend([" {", &members.join(&format!(",{space}")), "}"]);
            }
            Value::List(items) => {
                for item in items {
                    self.line(out, indent);
                    *out += "-";
                    match item {
                        Value::List(_) | Value::Map(_) if self.chance(2) => out.extend([" ", &self.one_line(item)]),
                        _ => self.write(item, out, indent + 2, false),
                    }
                }
            }
            Value::Map(members) => {
                for (key, value) in members {
                    self.line(out, indent);
                    out.extend([&scalar_text(key, false, false), ":"]);
                    let step = if matches!(value, Value::List(_)) && self.chance(2) { 0 } else { 1 + self.below(4) };
                    self.write(value, out, indent + step, false);
                }
            }
            _ => out.extend([" ", &self.one_line(value)]),
        }
    }

    fn one_line(&mut self, value: &Value) -> String {
        let mut out = String::new();
        match value {
            Value::Text(text) if self.chance(4) && text.chars().all(|c| c.is_ascii_graphic()) => {
                format!("'{}'", text.replace('\'', "''"))
            }
            Value::Text(text) => scalar_text(text, true, self.chance(2)),
            Value::Plain(text) => text.clone(),
            Value::Raw(..) => unreachable!(),
            other => {
                self.write(other, &mut out, 0, true);
                out.trim().to_owned()
            }
        }
    }

    fn line(&mut self, out: &mut String, indent: usize) {
        if self.chance(8) && !out.is_empty() {
            *out += " # behind";
        }
        *out += "\n";
        if self.chance(10) {
            out.extend([&" ".repeat(self.below(6)), "# before: 'x\n"]);
        }
        if self.chance(12) {
            *out += "\n";
        }
        *out += &" ".repeat(indent);
    }

    fn document(&mut self) -> String {
        let value = loop {
            match self.value(4) {
                Value::Map(members) if !members.is_empty() => break Value::Map(members),
                _ => {}
            }
        };
        let flow = self.chance(5);
        let mut text = String::new();
        self.write(&value, &mut text, 0, flow);
        let text = text.trim_start().to_owned() + if self.chance(4) { "" } else { "\n" };
        match self.below(8) {
            0 => text.replace('\n', "\r\n"),
            1 => format!("\u{feff}{text}"),
            2 => format!("# first\n---\n{text}"),
            _ => text,
        }
    }

    fn op(&mut self, tree: &Tree) -> Op {
        let node = self.below(tree.nodes());
        let value = self.value(2);
        match self.below(4) {
            0 if tree.is_mapping(node) => Op::Insert { map: node, key: format!("{}2", KEYS[self.below(9)]), value },
            1 if tree.is_list(node) => Op::Append { list: node, value },
            2 if matches!(tree.position(node), super::node::Position::Key | super::node::Position::Item) => {
                Op::Remove(node)
            }
            _ if tree.position(node) == super::node::Position::Key => Op::Replace(node, Value::text(self.text())),
            _ => Op::Replace(node, value),
        }
    }
}

/// What a value says, the order of members aside.
fn said(value: &Value) -> Json {
    match value {
        Value::Text(text) => json!(text),
        Value::Plain(text) => json!({ "plain": text }),
        Value::List(items) => items.iter().map(said).collect(),
        Value::Map(members) => {
            json!([members.iter().map(|(key, value)| (key.clone(), said(value))).collect::<Map<_, _>>()])
        }
        Value::Raw(..) => unreachable!(),
    }
}

/// What `node` says after `ops`.
fn meant(tree: &Tree, node: usize, ops: &[Op]) -> Json {
    let replaced = ops.iter().find(|op| matches!(op, Op::Replace(at, _) if *at == node));
    if let Some(Op::Replace(_, value)) = replaced {
        return said(value);
    }
    let stays = |at: &usize| !ops.iter().any(|op| matches!(op, Op::Remove(gone) if gone == at));
    if tree.is_list(node) {
        let come = ops.iter().filter_map(|op| match op {
            Op::Append { list, value } if *list == node => Some(said(value)),
            _ => None,
        });
        return tree.children(node).filter(stays).map(|item| meant(tree, item, ops)).chain(come).collect();
    }
    if tree.is_mapping(node) {
        let come = ops.iter().filter_map(|op| match op {
            Op::Insert { map, key, value } if *map == node => Some((key.clone(), said(value))),
            _ => None,
        });
        let stay = tree.members(node).filter(|member| stays(&member.0)).map(|(key, value)| {
            let key = meant(tree, key, ops);
            (key.as_str().map_or_else(|| key.to_string(), str::to_owned), meant(tree, value, ops))
        });
        return json!([stay.chain(come).collect::<Map<_, _>>()]);
    }
    said(&Value::of(tree, node).expect("no alias here"))
}

/// What libyaml reads.
fn read(node: &reader::Node) -> Json {
    match &node.value {
        reader::Value::Scalar(text, _, true) if text.is_empty() || is_typed(text) => json!({ "plain": text }),
        reader::Value::Scalar(text, ..) => json!(text),
        reader::Value::List(items) => items.iter().map(read).collect(),
        reader::Value::Map(members) => {
            let name = |key: &reader::Node| key.text().unwrap_or_default().to_owned();
            json!([members.iter().map(|(key, value)| (name(key), read(value))).collect::<Map<_, _>>()])
        }
        reader::Value::Alias(name) => json!({ "alias": name }),
    }
}

/// The old text, of what stays and what went.
fn undone(patch: &Patch, old: &str) -> String {
    let (mut text, mut rest, mut done) = (String::new(), patch.text.as_str(), 0);
    for splice in &patch.splices {
        let (stays, new) = rest.split_at(splice.range.start - done);
        text += stays;
        text += &old[splice.range.clone()];
        rest = new.strip_prefix(splice.text.as_str()).unwrap();
        done = splice.range.end;
    }
    text + rest
}

/// Random operations on random texts: what is accepted says what was meant to libyaml too, all other bytes stay,
/// and the parts that were read again say no more than the whole.
#[test]
fn operations_do_what_they_say_and_nothing_else() {
    let mut random = Random(8);
    let (mut accepted, mut refused) = (0, 0);
    for _ in 0..6_000 {
        let text = random.document();
        let tree = Tree::parse(text.clone()).unwrap_or_else(|error| panic!("{error}\n{text}"));
        assert_eq!(apply(&tree, &[]).unwrap().text, text);
        let ops: Vec<_> = (0..=random.below(3)).map(|_| random.op(&tree)).collect();
        let done = apply(&tree, &ops).and_then(|patch| confirm(&tree, &ops, &patch).map(|()| patch));
        let Ok(patch) = done else {
            refused += usize::from(ops.len() == 1);
            continue;
        };
        assert_eq!(undone(&patch, &text), text);
        accepted += usize::from(ops.len() == 1);
        let shown = || format!("{ops:?}\n--- old\n{text}\n--- new\n{}", patch.text);
        assert_eq!(confirm_whole(&tree, &ops, &patch), Ok(()), "{}", shown());
        let libyaml = reader::read(&patch.text).unwrap_or_else(|error| panic!("{error} {}", shown()));
        assert_eq!(read(&libyaml), meant(&tree, TOP, &ops), "{}", shown());
    }
    assert!(accepted > 12 * refused, "{accepted} accepted, {refused} refused");
}

#[test]
fn only_a_document_with_something_in_it_is_a_second_one() {
    for (text, second) in [
        ("---\na: 1\n", None),
        ("a: 1\n---\n", None),
        ("---\na: 1\n---\n# nothing\n", None),
        ("a: 1\n---\n---\n", None),
        ("a: 1\n...\n", None),
        ("a: 1\n---\nb: 1\n", Some("line 2, column 1")),
        ("---\n---\na: 1\n", Some("line 2, column 1")),
        ("a: 1\n---\n---\n- b\n", Some("line 3, column 1")),
        ("a: 1\n--- null\n", Some("line 2, column 1")),
    ] {
        let error = Tree::parse(text.to_owned()).err().map(|error| error.to_string());
        let expected = second.map(|place| format!("a second document begins at {place}"));
        assert_eq!(error, expected, "{text:?}");
        if second.is_none() {
            let tree = Tree::parse(text.to_owned()).unwrap();
            let ops = [Op::Insert { map: TOP, key: "b".into(), value: Value::text("x") }];
            let patch = apply(&tree, &ops).unwrap();
            assert_eq!(patch.text, text.replace("a: 1\n", "a: 1\nb: x\n"));
            assert_eq!(confirm(&tree, &ops, &patch), Ok(()));
        }
    }
}

/// Who looks up a few keys in every mapping looks at a member some forty times at most, whatever merges what.
#[test]
fn merge_keys_cost_no_more_than_the_text_is_long() {
    let merges: String = (1..4_000)
        .map(|index| format!("m{index}: &m{index} {{<<: *m{}, k{index}: v}}\n", index - 1))
        .collect::<Vec<_>>()
        .concat();
    let text = format!("m0: &m0 {{k: v}}\n{merges}");
    let tree = Tree::parse(text).unwrap();
    let found = tree.members(TOP).filter(|(_, value)| tree.get(*value, "k").is_some()).count();
    assert!(found < 4_000);
    assert!(tree.check_lookups().is_err());
    let shared: String =
        (0..2_000).map(|index| format!("m{index}: {{<<: *base, own: {index}}}\n")).collect::<Vec<_>>().concat();
    let tree = Tree::parse(format!("base: &base {{k: v, l: w}}\n{shared}")).unwrap();
    let found = tree.members(TOP).filter(|(_, value)| tree.get(*value, "k").is_some()).count();
    assert_eq!((found, tree.check_lookups()), (2_001, Ok(())));
}

/// A text that says something else than it should is found out, wherever that stands.
#[test]
fn a_text_that_says_something_else_is_refused() {
    let text = "a:\n- x: 1\n- y: 2\nb: [1, 2]\nc: {d: e}\n";
    let tree = Tree::parse(text.to_owned()).unwrap();
    let e = tree.own(tree.own(TOP, "c").unwrap().1, "d").unwrap().1;
    let ops = [Op::Replace(e, Value::text("f"))];
    let patch = apply(&tree, &ops).unwrap();
    assert_eq!(
        (patch.text.as_str(), confirm(&tree, &ops, &patch)),
        ("a:\n- x: 1\n- y: 2\nb: [1, 2]\nc: {d: f}\n", Ok(()))
    );
    for wrong in [
        "a:\n- x: 1\n- y: 3\nb: [1, 2]\nc: {d: f}\n",
        "a:\n- x: 1\n- y: 2\nb: [1, 2]\nc: {d: g}\n",
        "a:\n- x: 1\n- y: 2\nb: [1, 2]\nc: {d: f}\nd: 1\n",
        "a:\n- x: 1\n- y: 2\nb: [1]\nc: {d: f}\n",
        "a:\n- y: 2\nb: [1, 2]\nc: {d: f}\n",
        "a:\n- x: '1'\n- y: 2\nb: [1, 2]\nc: {d: f}\n",
        "a:\n- x: 1\n- y: 2\nb: [1, 2]\nc: {d: f\n",
        "",
    ] {
        let patch = Patch { text: wrong.to_owned(), splices: patch.splices.clone() };
        assert!(confirm(&tree, &ops, &patch).is_err(), "{wrong}");
    }
}

/// An empty key reaches to the next line (found by fuzzing): without its line break the text cannot be read,
/// although its own lines can.
#[test]
fn a_change_that_takes_a_line_break_with_it_is_refused() {
    let tree = Tree::parse("a:\n    ? \nb: 1\n".to_owned()).unwrap();
    let ops = [Op::Replace(tree.own(TOP, "a").unwrap().1, Value::map([("k", Value::text("v"))]))];
    let refused = apply(&tree, &ops).and_then(|patch| confirm(&tree, &ops, &patch));
    assert!(refused.is_err());
}
