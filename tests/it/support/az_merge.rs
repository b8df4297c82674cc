//! What `az aks get-credentials --overwrite-existing` makes of a kubeconfig before it calls us: it reads
//! both files by PyYAML, replaces entries of the same name, and has PyYAML write everything anew.
//!
//! Of PyYAML as much as kubeconfigs without anchors and in ASCII need; it panics at anything else.

use granit_parser::{Event, Parser, ScalarStyle};
use serde_json::Value;

/// Where PyYAML breaks a line at the next blank.
const WIDTH: usize = 80;

/// The kubeconfig that az writes for `existing` (which may be empty) when it has fetched `fetched`.
pub fn merge(existing: &str, fetched: &str) -> String {
    let fetched = load(fetched);
    let mut merged = load(existing);
    if merged.is_null() {
        return dump(&fetched);
    }
    for list in ["clusters", "users", "contexts"] {
        let entries = merged[list].as_array_mut().expect("a list");
        for new in fetched[list].as_array().expect("a list") {
            entries.retain(|known| known["name"] != new["name"]);
            entries.push(new.clone());
        }
    }
    merged["current-context"] = fetched["current-context"].clone();
    dump(&merged)
}

/// Whether az then starts kubelogin: it looks at the first user of what it has fetched.
pub fn calls_kubelogin(fetched: &str) -> bool {
    let exec = &load(fetched)["users"][0]["user"]["exec"];
    let words = exec["args"].as_array().into_iter().flatten().map(|word| word.as_str().expect("a string"));
    let arguments = words.collect::<Vec<_>>().join(" ");
    exec["command"].as_str().is_some_and(|command| command.contains("kubelogin"))
        && (arguments.contains("--login devicecode") || arguments.contains("-l devicecode"))
}

fn load(yaml: &str) -> Value {
    let mut events = Parser::new_from_str(yaml)
        .map(|event| event.expect("YAML").0)
        .filter(|event| !matches!(event, Event::StreamStart | Event::DocumentStart(..) | Event::Comment(..)));
    next_value(&mut events).unwrap_or(Value::Null)
}

/// The next value; `None` at the end of the list, mapping or file.
fn next_value<'a>(events: &mut impl Iterator<Item = Event<'a>>) -> Option<Value> {
    match events.next().expect("an event") {
        Event::Scalar(text, ScalarStyle::Plain, 0, None) => Some(resolved(&text)),
        Event::Scalar(text, _, 0, None) => Some(Value::String(text.into_owned())),
        Event::SequenceStart(_, 0, None) => Some(std::iter::from_fn(|| next_value(events)).collect()),
        Event::MappingStart(_, 0, None) => {
            let mut members = serde_json::Map::new();
            while let Some(key) = next_value(events) {
                let key = key.as_str().expect("a key of text").to_owned();
                members.insert(key, next_value(events).expect("a value"));
            }
            Some(Value::Object(members))
        }
        Event::SequenceEnd | Event::MappingEnd | Event::DocumentEnd | Event::StreamEnd => None,
        other => panic!("the imitation doesn't know {other:?}"),
    }
}

/// A scalar without quotes, as YAML 1.1 takes it.
fn resolved(text: &str) -> Value {
    match text.to_ascii_lowercase().as_str() {
        "" | "~" | "null" => Value::Null,
        "true" | "yes" | "on" => Value::Bool(true),
        "false" | "no" | "off" => Value::Bool(false),
        _ => {
            assert!(!is_number(text), "the imitation doesn't know numbers: {text}");
            Value::String(text.to_owned())
        }
    }
}

fn is_number(text: &str) -> bool {
    let unsigned = text.trim_start_matches(['+', '-']);
    let all = |allowed: &str| !unsigned.is_empty() && unsigned.chars().all(|c| allowed.contains(c));
    let hex = unsigned.strip_prefix("0x").is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let date = text.len() == 10
        && text
            .bytes()
            .enumerate()
            .all(|(at, byte)| if [4, 7].contains(&at) { byte == b'-' } else { byte.is_ascii_digit() });
    hex || date || (all("0123456789_.:") && unsigned.starts_with(|c: char| c.is_ascii_digit()))
}

fn dump(value: &Value) -> String {
    let mut text = String::new();
    write_members(&mut text, value, 0);
    text
}

/// The members of a mapping in the order of their keys; the first where the text ends, the others on
/// lines of their own.
fn write_members(text: &mut String, mapping: &Value, indent: usize) {
    let mut members: Vec<_> = mapping.as_object().expect("a mapping").iter().collect();
    members.sort_by_key(|(key, _)| key.as_str());
    for (number, (key, value)) in members.into_iter().enumerate() {
        if number > 0 {
            text.push_str(&" ".repeat(indent));
        }
        write_scalar(text, key, indent);
        text.push(':');
        match value {
            Value::Array(items) if !items.is_empty() => {
                text.push('\n');
                items.iter().for_each(|item| write_item(text, item, indent));
            }
            Value::Object(members) if !members.is_empty() => {
                text.push('\n');
                text.push_str(&" ".repeat(indent + 2));
                write_members(text, value, indent + 2);
            }
            other => write_small(text, other, indent + 2),
        }
    }
}

/// An item of a list stands as far left as the key of the list.
fn write_item(text: &mut String, item: &Value, indent: usize) {
    text.push_str(&" ".repeat(indent));
    text.push('-');
    if item.as_object().is_some_and(|members| !members.is_empty()) {
        text.push(' ');
        write_members(text, item, indent + 2);
    } else {
        write_small(text, item, indent + 2);
    }
}

/// A blank, what takes no block, and the end of the line.
fn write_small(text: &mut String, value: &Value, indent: usize) {
    text.push(' ');
    match value {
        Value::Null => text.push_str("null"),
        Value::Bool(truth) => text.push_str(if *truth { "true" } else { "false" }),
        Value::String(string) => write_scalar(text, string, indent),
        Value::Array(items) if items.is_empty() => text.push_str("[]"),
        Value::Object(members) if members.is_empty() => text.push_str("{}"),
        other => panic!("the imitation doesn't know {other}"),
    }
    text.push('\n');
}

/// A string: plain if that is the same string again, else in single quotes; folded at blanks.
fn write_scalar(text: &mut String, string: &str, indent: usize) {
    let printable = string.bytes().all(|byte| matches!(byte, b'\n' | b' '..=b'~'));
    let blanks = string.contains(" \n") || string.contains("\n ");
    assert!(printable && !blanks, "the imitation doesn't know double quotes: {string}");
    let quoted = !is_plain(string);
    if quoted {
        text.push('\'');
    }
    let (mut rest, mut first) = (string, true);
    while let Some(c) = rest.chars().next() {
        let same = |other: char| if [' ', '\n'].contains(&c) { other == c } else { ![' ', '\n'].contains(&other) };
        let length = rest.find(|other| !same(other)).unwrap_or(rest.len());
        let (run, after) = rest.split_at(length);
        match c {
            '\n' => {
                text.push_str(&"\n".repeat(length + 1));
                text.push_str(&" ".repeat(indent));
            }
            ' ' if length == 1 && column(text) > WIDTH && !first && !after.is_empty() => {
                text.push('\n');
                text.push_str(&" ".repeat(indent));
            }
            _ if quoted => text.push_str(&run.replace('\'', "''")),
            _ => text.push_str(run),
        }
        (rest, first) = (after, false);
    }
    if quoted {
        text.push('\'');
    }
}

fn column(text: &str) -> usize {
    text.len() - text.rfind('\n').map_or(0, |end| end + 1)
}

fn is_plain(string: &str) -> bool {
    let starts =
        string.starts_with(['#', ',', '[', ']', '{', '}', '&', '*', '!', '|', '>', '\'', '"', '%', '@', '`', '=']);
    let dash = ["-", "?", ":"].contains(&string) || string.starts_with("- ") || string.starts_with("---");
    let inside = string.contains(": ") || string.contains(" #") || string.ends_with(':') || string.contains('\n');
    let edges = string.is_empty() || string.starts_with(' ') || string.ends_with(' ');
    !(starts || dash || inside || edges || is_number(string)) && resolved(string).is_string()
}
