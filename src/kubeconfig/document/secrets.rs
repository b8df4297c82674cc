//! Finds the secrets in the text.

use std::ops::Range;

use crate::options::TABLE;
use crate::yaml::{Style, TOP, Tree};

use super::revert::fragment;

const FIELDS: [&str; 3] = ["token", "password", "client-key-data"];
const CONFIG: [&str; 4] = ["access-token", "refresh-token", "id-token", "client-secret"];
/// What the names of variables, and of flags that are not ours, have in them where the value is secret.
const WORDS: [&str; 9] =
    ["SECRET", "PASSWORD", "PASSWD", "PASSPHRASE", "PWD", "TOKEN", "KEY", "CREDENTIAL", "CONNECTION_STRING"];

/// The bytes of `text`, the entry of one user, that hold secrets, as
/// [`Document::secrets`](super::Document::secrets) finds them; `None` where the entry can't be read without
/// the rest of its file.
pub(crate) fn secrets_of_entry(text: &str, column: usize) -> Option<Vec<Range<usize>>> {
    let tree = fragment(text, column)?;
    let before = tree.text().len() - 1 - text.len();
    let mut found = Vec::new();
    tree.user_secrets(TOP, &mut found);
    Some(found.into_iter().map(|place| place.start - before..place.end - before).collect())
}

impl Tree {
    /// Every member counts in what follows, even one that a later one of its name hides.
    pub(super) fn user_secrets(&self, entry: usize, found: &mut Vec<Range<usize>>) {
        for user in self.all(entry, &["user"]) {
            found.extend(self.all(user, &FIELDS).map(|value| self.content(value)));
            for provider in self.all(user, &["auth-provider"]) {
                for config in self.all(provider, &["config"]) {
                    found.extend(self.all(config, &CONFIG).map(|value| self.content(value)));
                }
            }
            for exec in self.all(user, &["exec"]) {
                self.all(exec, &["args"]).for_each(|args| self.arg_secrets(args, found));
                self.all(exec, &["env"]).for_each(|env| self.env_secrets(env, found));
            }
        }
    }

    /// A proxy may ask for a password.
    pub(super) fn cluster_secrets(&self, entry: usize, found: &mut Vec<Range<usize>>) {
        for cluster in self.all(entry, &["cluster"]) {
            self.all(cluster, &["proxy-url", "server"]).for_each(|url| self.parts(url, found));
        }
    }

    fn all(&self, mapping: usize, keys: &[&str]) -> impl Iterator<Item = usize> {
        let is_one = |key: usize| self.scalar(key).is_some_and(|name| keys.contains(&name));
        self.all_members(mapping).into_iter().filter(move |(key, _)| is_one(*key)).map(|(_, value)| self.resolve(value))
    }

    fn arg_secrets(&self, args: usize, found: &mut Vec<Range<usize>>) {
        let mut last = None;
        for arg in self.items(args) {
            let text = self.scalar(arg).unwrap_or_default();
            let is_value = match last {
                Some(Next::Value) => true,
                Some(Next::ValueUnlessFlag) => !text.starts_with('-'),
                None => false,
            };
            if is_value {
                found.push(self.content(arg));
                last = None;
            } else {
                self.parts(arg, found);
                last = flag_value(text).and_then(|value| value.next);
            }
        }
    }

    fn env_secrets(&self, env: usize, found: &mut Vec<Range<usize>>) {
        for variable in self.items(env) {
            let is_secret =
                self.all(variable, &["name"]).any(|name| names_secret(self.scalar(name).unwrap_or_default()));
            for value in self.all(variable, &["value"]) {
                if is_secret {
                    found.push(self.content(value));
                } else {
                    self.parts(value, found);
                }
            }
        }
    }

    /// What is secret within a scalar: all of it where it is not written as it reads.
    fn parts(&self, node: usize, found: &mut Vec<Range<usize>>) {
        let node = self.resolve(node);
        let Some(text) = self.scalar(node) else { return };
        let content = self.content(node);
        for part in secret_parts(text) {
            found.push(if self.says_its_bytes(node) {
                content.start + part.start..content.start + part.end
            } else {
                content.clone()
            });
        }
    }

    /// The place of a value without its quotes; empty for null.
    fn content(&self, node: usize) -> Range<usize> {
        let node = self.resolve(node);
        let (start, end) = (self.start(node), self.end(node));
        match self.style(node) {
            Some(Style::Single | Style::Double) if end - start > 1 => start + 1..end - 1,
            _ if self.is_null(node) => start..start,
            _ => start..end,
        }
    }
}

/// What a secret flag without a value in its argument says of the next one.
#[derive(Clone, Copy)]
enum Next {
    Value,
    /// The flag is another program's: it may be a switch.
    ValueUnlessFlag,
}

/// Where the value of a secret flag begins.
struct FlagValue {
    start: usize,
    next: Option<Next>,
}

/// What is secret in an argument or in a value that is not secret by its name.
fn secret_parts(text: &str) -> impl Iterator<Item = Range<usize>> {
    let to_the_end = [flag_value(text).map(|value| value.start), source_keys(text)];
    let to_the_end = to_the_end.into_iter().flatten().map(|start| start..text.len());
    to_the_end.chain(user_information(text)).filter(|part| !part.is_empty())
}

/// The value of the first secret flag or variable in `text`, which may be a line for a shell: behind
/// `=`, or in the same argument behind a blank, a common slip.
fn flag_value(text: &str) -> Option<FlagValue> {
    let blanks = text.char_indices().filter(|(_, c)| c.is_whitespace()).map(|(at, c)| at + c.len_utf8());
    std::iter::once(0).chain(blanks).find_map(|at| {
        let word = text[at..].trim_start_matches(['\'', '"']);
        let name = word.trim_start_matches('-');
        let is_flag = name.len() < word.len();
        let rest = name.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
        let name = &name[..name.len() - rest.len()];
        if !is_flag && !rest.starts_with('=') {
            return None;
        }
        let next = secret_flag(name)?;
        let value = rest.strip_prefix(|_| true).unwrap_or_default().trim_start();
        let next = Some(next).filter(|_| is_flag && value.is_empty() && !rest.starts_with('='));
        Some(FlagValue { start: text.len() - value.len(), next })
    })
}

/// How the flag `name` has its value in the next argument, if that is secret.
fn secret_flag(name: &str) -> Option<Next> {
    let flag = name.to_ascii_lowercase().replace('_', "-");
    match TABLE.iter().find(|decl| decl.answers_to(&flag)) {
        Some(decl) => decl.secret.map(|_| Next::Value),
        None => names_secret(name).then_some(Next::ValueUnlessFlag),
    }
}

fn names_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase().replace('-', "_");
    WORDS.iter().any(|word| name.contains(word))
}

/// Where the keys begin in a source of federated tokens: behind the `?` of an address, behind the
/// program of a command.
fn source_keys(text: &str) -> Option<usize> {
    let source = |kind: &str| {
        let at = text.find(kind)?;
        let first = text[..at].ends_with(|c: char| c == '=' || c.is_whitespace()) || at == 0;
        first.then(|| text[at + kind.len()..].trim_start())
    };
    let keys = match (source("url:"), source("command:")) {
        (Some(url), _) => url.split_once(['?', '#'])?.1,
        // A list of JSON ends its first word with a comma.
        (None, Some(command)) if command.starts_with('[') => command.split_once(',')?.1,
        (None, Some(command)) => command.split_once(char::is_whitespace)?.1,
        (None, None) => return None,
    };
    Some(text.len() - keys.trim_start().len())
}

/// The `user:password` of addresses, up to the last `@`: a password may have one in it.
fn user_information(text: &str) -> Option<Range<usize>> {
    let end = text.rfind('@')?;
    let before = &text[..end];
    if let Some(scheme) = before.find("://") {
        return Some(scheme + 3..end);
    }
    // Without a scheme it may be the name of a person.
    let start = before.find('=').filter(|_| before.starts_with('-')).map_or(0, |equals| equals + 1);
    before[start..].contains(':').then_some(start..end)
}

#[cfg(test)]
mod tests {
    use super::super::tests::support::parse;
    use super::secrets_of_entry;

    /// The text with the secrets in brackets.
    fn marked(text: &str) -> String {
        let mut places = parse(text).secrets();
        places.sort_unstable_by_key(|place| (place.start, place.end));
        let mut shown = String::new();
        let mut done = 0;
        for place in places.into_iter().filter(|place| !place.is_empty()) {
            let start = place.start.max(done);
            if start < place.end {
                shown.extend([&text[done..start], "‹", &text[start..place.end], "›"]);
                done = place.end;
            }
        }
        shown + &text[done..]
    }

    /// A user with these arguments.
    fn args(list: &str) -> String {
        let text = |list: &str| format!("users:\n- name: a\n  user:\n    exec:\n      args: {list}\n");
        let marked = marked(&text(list));
        let (start, end) = text("|").split_once('|').map(|(start, end)| (start.len(), end.len())).unwrap();
        marked[start..marked.len() - end].to_owned()
    }

    fn env(name: &str, value: &str) -> String {
        let text = format!(
            "users:\n- name: a\n  user:\n    exec:\n      env:\n      - name: {name}\n        value: {value}\n"
        );
        marked(&text).rsplit_once("value: ").unwrap().1.trim_end().to_owned()
    }

    #[test]
    fn finds_the_fields_of_users() {
        let text = "users:\n- name: a\n  user:\n    token: ‹t''t›\n    password: >-\n      ‹line one\n      line two›\n    client-key-data: ‹a key›\n    client-certificate-data: c\n- name: b\n  user:\n    token: null\n    password: ''\n    auth-provider: {config: {access-token: ‹access›, refresh-token: \"‹r›\", client-id: client}}\n";
        let text = text.replace("‹t''t›", "'‹t''t›'");
        assert_eq!(marked(&text.replace(['‹', '›'], "")), text);
    }

    #[test]
    fn finds_what_a_later_member_hides_or_an_alias_names() {
        let text = "x: &t ‹one›\nusers:\n- name: a\n  user:\n    token: ‹two›\n    token: *t\n    exec: {args: [--password=‹3›], args: []}\n";
        assert_eq!(marked(&text.replace(['‹', '›'], "")), text);
    }

    #[test]
    fn finds_the_values_of_secret_flags() {
        for list in [
            "[--client-secret, ‹a›, '--password=‹b›', \"--client-certificate-password=‹a=r3›\", --login, interactive]",
            "[--client-secret, ‹--login›, --login, spn]",
            "[--client-secret-file, f, --password-file=f, --federated-token-file, f, --token-cache-dir, d]",
            "[\"--client-secret ‹canary›\", --login, spn]",
            "['--client-secret:‹canary›', -client-secret=‹x›, --Client_Secret=‹x›, '--password  ‹x›']",
            "['--client-secret ', ‹x›, --password=, y]",
            "[-c, 'X=1 kubelogin get-token --login spn --client-secret ‹\"x\" --legacy›']",
            "[AZURE_CLIENT_SECRET=‹x›, kubelogin, get-token, client-secret]",
            "[--access-key, ‹x›, --token-only, -i, y, --api-key=‹z›]",
        ] {
            assert_eq!(args(&list.replace(['‹', '›'], "")), list);
        }
    }

    #[test]
    fn what_is_not_written_as_it_reads_is_secret_as_a_whole() {
        for list in [
            "[\"‹--client-secret\\u003dcanary-eq›\", x]",
            "['--client-secret', '‹it''s›']",
            "['‹--client-secret=it''s›']",
            "[‹--client-secret\n          canary›, x]",
            "\n      - >-\n        ‹--client-secret\n        canary›\n      - x",
            "[\"\\x2d-client-secret\", ‹x›]",
        ] {
            assert_eq!(args(&list.replace(['‹', '›'], "")), list);
        }
    }

    #[test]
    fn finds_the_keys_of_token_sources() {
        for list in [
            "[--federated-token-source, 'url:https://x/t?‹key=k1›', '--federated-token-source=url:https://x/t#‹k›']",
            "[--federated-token-source, 'command:foo  ‹--what S›', '--federated-token-source=command: foo ‹S›', x]",
            "['--federated-token-source command:foo ‹S›', '--federated-token-source=command:foo']",
            "['--federated-token-source=command:[\"foo\",‹\"S\"]›']",
        ] {
            assert_eq!(args(&list.replace(['‹', '›'], "")), list);
        }
    }

    #[test]
    fn finds_secret_variables() {
        for name in [
            "my_secret",
            "ARM_ACCESS_KEY",
            "AZURE_CREDENTIALS",
            "X_CREDENTIAL",
            "DB_PASSWD",
            "APP_PWD",
            "GITHUB_TOKEN",
            "AZURE_STORAGE_CONNECTION_STRING",
        ] {
            assert_eq!(env(name, "x"), "‹x›", "{name}");
        }
        assert_eq!(env("AZURE_CREDENTIALS", "'{\"clientSecret\":\"x\"}'"), "'‹{\"clientSecret\":\"x\"}›'");
        assert_eq!(env("AZURE_CLIENT_ID", "client"), "client");
        assert_eq!(env("OPTIONS", "--login spn --password x"), "--login spn --password ‹x›");
    }

    #[test]
    fn finds_the_passwords_of_addresses() {
        for value in [
            "http://‹me:pw›@proxy:8080",
            "http://‹me:p@w/x›@proxy",
            "‹me:pw›@proxy:8080",
            "http://‹me›@proxy",
            "me@example.com",
            "http://proxy:8080",
        ] {
            let plain = value.replace(['‹', '›'], "");
            assert_eq!(env("HTTPS_PROXY", &plain), value);
            assert_eq!(
                args(&format!("[--proxy, '{plain}', \"--proxy={plain}\"]")),
                format!("[--proxy, '{value}', \"--proxy={value}\"]")
            );
            let cluster = format!("clusters:\n- name: c\n  cluster: {{\"proxy-url\": \"{value}\"}}\n");
            assert_eq!(marked(&cluster.replace(['‹', '›'], "")), cluster);
        }
    }

    #[test]
    fn finds_them_in_an_entry_by_itself() {
        let of = |text: &str, column| {
            let places = secrets_of_entry(text, column)?;
            Some(places.into_iter().map(|place| text[place].to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(of("name: a\n    user:\n      token: canary", 4), Some(vec!["canary".to_owned()]));
        assert_eq!(of("{\"name\": \"a\", \"user\": {\"password\": \"w\"}}", 9), Some(vec!["w".to_owned()]));
        assert_eq!(of("name: a\n  user: *other", 2), None);
    }
}
