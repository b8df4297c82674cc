//! Finds the secrets in the text.

use granit_parser::ScalarStyle;

use super::take_back::fragment;
use super::tree::{TOP, Tree};

const FIELDS: [&str; 3] = ["token", "password", "client-key-data"];
const CONFIG: [&str; 4] = ["access-token", "refresh-token", "id-token", "client-secret"];
const FLAGS: [&str; 3] = ["--client-secret", "--password", "--client-certificate-password"];
const WORDS: [&str; 3] = ["SECRET", "PASSWORD", "TOKEN"];

/// Masking fewer characters than these would hide half of a diff.
const SHORTEST: usize = 4;

/// The slices of the entry of one user that hold secrets, as [`Document::secrets`](super::Document::secrets)
/// finds them; `None` where the entry can't be read without the rest of its file.
pub fn secrets_of_entry(text: &str, column: usize) -> Option<Vec<String>> {
    let tree = fragment(text, column)?;
    let mut found = Vec::new();
    if let Some(user) = tree.get(TOP, "user") {
        tree.user_secrets(user, &mut found);
    }
    Some(found.into_iter().map(String::from).collect())
}

impl Tree {
    pub(super) fn user_secrets<'a>(&'a self, user: usize, found: &mut Vec<&'a str>) {
        self.field_secrets(user, &FIELDS, found);
        if let Some(config) = self.get(user, "auth-provider").and_then(|provider| self.get(provider, "config")) {
            self.field_secrets(config, &CONFIG, found);
        }
        if let Some(exec) = self.get(user, "exec") {
            self.arg_secrets(&self.list_at(exec, "args").unwrap_or_default(), found);
            self.env_secrets(&self.list_at(exec, "env").unwrap_or_default(), found);
        }
    }

    /// Every member counts here, even one that a later one of its name hides.
    fn field_secrets<'a>(&'a self, mapping: usize, keys: &[&str], found: &mut Vec<&'a str>) {
        for (key, value) in self.all_members(mapping) {
            if self.scalar(key).is_some_and(|name| keys.contains(&name)) {
                push_lines(self.content(value), found);
            }
        }
    }

    fn arg_secrets<'a>(&'a self, args: &[usize], found: &mut Vec<&'a str>) {
        let mut follows = false;
        for &arg in args {
            let text = self.scalar(arg).unwrap_or_default();
            let flag = text.split_once('=').map(|(flag, _)| flag);
            let content = self.content(arg);
            if follows {
                push_lines(content, found);
            } else if flag.is_some_and(|flag| FLAGS.contains(&flag)) {
                push_lines(content.split_once('=').map_or("", |(_, value)| value), found);
            } else if text.starts_with("url:") || text.contains("=url:") {
                // A source of federated tokens: what comes after the `?` may be its key.
                push_lines(content.split_once('?').map_or("", |(_, query)| query), found);
            }
            follows = !follows && FLAGS.contains(&text);
        }
    }

    fn env_secrets<'a>(&'a self, env: &[usize], found: &mut Vec<&'a str>) {
        for &variable in env {
            let name = self.get(variable, "name").and_then(|name| self.scalar(name)).unwrap_or_default();
            let name = name.to_ascii_uppercase();
            if WORDS.iter().any(|word| name.contains(word)) {
                self.field_secrets(variable, &["value"], found);
            }
        }
    }

    /// A scalar's source without its quotes; empty for null.
    fn content(&self, node: usize) -> &str {
        let node = self.resolve(node);
        let raw = self.raw(node);
        match self.style(node) {
            Some(ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted) => {
                raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default()
            }
            Some(_) if !self.is_null(node) => raw,
            _ => "",
        }
    }
}

/// Adds each line that is not too short to be masked.
fn push_lines<'a>(raw: &'a str, found: &mut Vec<&'a str>) {
    found.extend(raw.split(['\r', '\n']).map(str::trim).filter(|line| line.chars().count() >= SHORTEST));
}

#[cfg(test)]
mod tests {
    use super::super::support::parse;
    use super::secrets_of_entry;

    #[test]
    fn finds_secrets() {
        let text = "users:\n- name: a\n  user:\n    token: 't''t'\n    password: >-\n      line one\n      line two\n    client-key-data: a key\n    exec:\n      args: [--client-secret, arg1, '--password=arg2', \"--client-certificate-password=a=r3\", --login, interactive]\n      env:\n      - {name: my_secret, value: env4}\n      - {name: AZURE_CLIENT_ID, value: client}\n- name: b\n  user:\n    token: null\n    auth-provider: {config: {access-token: access, refresh-token: \"refresh\", client-id: client}}\n";
        let expected = ["t''t", "line one", "line two", "a key", "arg1", "arg2", "a=r3", "env4", "access", "refresh"];
        assert_eq!(parse(text).secrets(), expected);
    }

    #[test]
    fn finds_the_keys_of_token_sources() {
        let text = "users:\n- name: a\n  user:\n    exec:\n      args: [--federated-token-source, 'url:https://x/t?key=k1', '--federated-token-source=url:https://x/t?k2k2']\n";
        assert_eq!(parse(text).secrets(), ["key=k1", "k2k2"]);
    }

    #[test]
    fn finds_them_in_an_entry_by_itself() {
        let of = |text: &str, column| secrets_of_entry(text, column);
        assert_eq!(of("name: a\n    user:\n      token: canary", 4), Some(vec!["canary".to_owned()]));
        assert_eq!(of("{\"name\": \"a\", \"user\": {\"password\": \"word\"}}", 9), Some(vec!["word".to_owned()]));
        assert_eq!(of("name: a\n  user: *other", 2), None);
    }

    #[test]
    fn leaves_out_what_is_too_short_to_mask() {
        let text = "users:\n- name: a\n  user:\n    token: abc\n    password: \"ééé\"\n    client-key-data: |\n      four\n      ==\n    exec: {args: [--password=1, --client-secret, é234]}\n";
        assert_eq!(parse(text).secrets(), ["four", "é234"]);
    }
}
