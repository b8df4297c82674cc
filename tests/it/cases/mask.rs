//! What differs from run to run, replaced by what it is: `{token}`, `{time}`, `{id}`, `{code}` …
//! Carriage returns and the byte order mark become visible.

use super::stage::Stage;

/// `text` as it stands in a transcript.
pub fn mask(text: &str, stage: &Stage) -> String {
    let mut text = text.to_owned();
    for (name, value) in &stage.placeholders {
        text = text.replace(value, name);
    }
    text = words(&text);
    for (before, name) in AFTER {
        text = next_word(&text, before, name);
    }
    // A token that ends after midnight has a date.
    text = text.replace("valid until {date} {time}", "valid until {time}");
    if text.starts_with("kubelogin version") {
        for (before, name) in IN_VERSION {
            text = next_word(&text, before, name);
        }
    }
    text.replace('\r', "␍").replace('\u{feff}', "{BOM}")
}

/// Texts that stand before something that changes, and what that is.
const AFTER: [(&str, &str); 4] = [
    ("enter the code ", "{code}"),
    ("a sign-in failed ", "{n}"),
    ("the next one is possible in ", "{n}"),
    ("our clock is ", "{n}"),
];

/// The same in the output of `--version`.
const IN_VERSION: [(&str, &str); 5] = [
    ("git hash: ", "{version}"),
    ("Build time: ", "{time}"),
    ("Platform: ", "{platform}"),
    ("kubentra: ", "{version},"),
    ("rustc ", "{version}"),
];

/// Replaces the word after every `before`.
fn next_word(text: &str, before: &str, name: &str) -> String {
    let mut parts = text.split(before);
    let mut masked = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|c: char| !c.is_whitespace());
        masked.extend([before, name, rest]);
    }
    masked
}

/// Replaces the words that show by their form what they are.
fn words(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|c| !in_word(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        // A full stop ends a sentence, not a word.
        let bare = word.trim_end_matches(['.', ':']);
        masked.push_str(form(bare).unwrap_or(bare));
        masked.push_str(&word[bare.len()..]);
        let separator = after.find(in_word).unwrap_or(after.len());
        masked.push_str(&after[..separator]);
        rest = &after[separator..];
    }
    masked
}

fn in_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':')
}

fn form(word: &str) -> Option<&'static str> {
    let digits = |pattern: &str| {
        word.len() == pattern.len()
            && word.chars().zip(pattern.chars()).all(|(c, p)| if p == '0' { c.is_ascii_digit() } else { c == p })
    };
    if word.starts_with("eyJ") && word.matches('.').count() == 2 {
        Some("{token}")
    } else if digits("0000-00-00T00:00:00Z") || digits("00:00:00Z") || digits("00:00") {
        Some("{time}")
    } else if digits("0000-00-00") {
        Some("{date}")
    } else if is_guid(word) {
        Some("{id}")
    } else {
        None
    }
}

/// The GUIDs of the fake's directory are placeholders by now, or keep a digit eight times.
fn is_guid(word: &str) -> bool {
    let parts: Vec<&str> = word.split('-').collect();
    parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12])
        && word.chars().all(|c| c.is_ascii_hexdigit() || c == '-')
        && parts[0].chars().any(|c| !parts[0].starts_with(c))
}
