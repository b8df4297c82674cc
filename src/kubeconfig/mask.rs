//! A kubeconfig as it may be seen: every value is masked, unless it is known to be public by its place in
//! the file and has not the shape of a secret.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::BuildHasher;
use std::ops::Range;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::os::own_name;
use crate::secret::redact;
use crate::yaml::{NodeKind, TOP, Tree};

/// What callers know of arguments and variables.
pub(crate) struct Public {
    /// What follows a flag of `get-token`, which is given as people type it; `None` if it is none of these.
    pub(crate) option: fn(&str) -> Option<Takes>,
    /// Whether the value of a variable may be seen.
    pub(crate) variable: fn(&str) -> bool,
}

/// What follows a flag.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Takes {
    Nothing,
    Public,
    Secret,
}

/// What a node is by its path. A list has the role of its items.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Role {
    File,
    Preferences,
    Cluster,
    ClusterFields,
    Context,
    ContextFields,
    /// An entry of `users`.
    User,
    UserFields,
    Exec,
    Args,
    /// The arguments of `get-token`.
    OurArgs,
    Env,
    Provider,
    AzureConfig,
    /// A public text.
    Text,
    /// The same, which is treated as comments are.
    Prose,
    /// A name that may be seen if it is a plain word.
    Word,
    Program,
    Address,
    /// What a public option or variable says.
    Value,
    Certificate,
    Hidden,
}

/// Which values may be seen; all others are hidden.
const KEYS: [(Role, &str, Role); 30] = [
    (Role::File, "apiVersion kind current-context", Role::Text),
    (Role::File, "preferences", Role::Preferences),
    (Role::File, "clusters", Role::Cluster),
    (Role::File, "contexts", Role::Context),
    (Role::File, "users", Role::User),
    (Role::Cluster, "name", Role::Text),
    (Role::Cluster, "cluster", Role::ClusterFields),
    (Role::ClusterFields, "server proxy-url", Role::Address),
    (Role::ClusterFields, "certificate-authority tls-server-name", Role::Text),
    (Role::ClusterFields, "insecure-skip-tls-verify disable-compression", Role::Text),
    (Role::ClusterFields, "certificate-authority-data", Role::Certificate),
    (Role::Context, "name", Role::Text),
    (Role::Context, "context", Role::ContextFields),
    (Role::ContextFields, "cluster user namespace", Role::Text),
    (Role::User, "name", Role::Text),
    (Role::User, "user", Role::UserFields),
    (Role::UserFields, "client-certificate client-key tokenFile as as-uid as-groups username", Role::Text),
    (Role::UserFields, "client-certificate-data", Role::Certificate),
    (Role::UserFields, "exec", Role::Exec),
    (Role::UserFields, "auth-provider", Role::Provider),
    (Role::Exec, "apiVersion interactiveMode provideClusterInfo", Role::Text),
    (Role::Exec, "command", Role::Program),
    (Role::Exec, "args", Role::Args),
    (Role::Exec, "env", Role::Env),
    (Role::Exec, "installHint", Role::Prose),
    (Role::Env, "name", Role::Word),
    (Role::Env, "value", Role::Value),
    (Role::Provider, "name", Role::Text),
    (Role::Provider, "config", Role::AzureConfig),
    (Role::AzureConfig, "apiserver-id client-id tenant-id environment config-mode expires-on expires-in", Role::Text),
];

/// Their values are lists of addresses.
const PROXIES: [&str; 4] = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"];

/// Two texts, masked alike: the same secret by the same mask, another one by another mask. What is shown of
/// them goes through [`numbered`].
pub(super) fn both(sides: [(&Tree, Role); 2], public: &Public) -> [String; 2] {
    let mut masks = Masks::default();
    let found = sides.map(|(tree, role)| {
        let (seen, found) = (HashSet::new(), BTreeMap::new());
        let mut walk = Walk { tree, public, masks: &mut masks, todo: vec![(TOP, role)], seen, found };
        walk.run();
        walk.found
    });
    let [old, new] = found;
    // Copies of all secrets are known by now.
    [masks.text(sides[0].0, old), masks.text(sides[1].0, new)]
}

/// `text` with names for its masks, in the order in which they are seen: `***` if there is but one.
pub(super) fn numbered(text: &str) -> String {
    let mut numbers = HashMap::new();
    for (mask, _) in text.split(BEGIN).skip(1).filter_map(split_mask) {
        let next = numbers.len() + 1;
        numbers.entry(mask).or_insert(next);
    }
    let name = |mask: &str| if numbers.len() == 1 { "***".into() } else { format!("***{}", numbers[mask]) };
    let shown = |piece: &str| split_mask(piece).map_or(piece.into(), |(mask, rest)| name(mask) + rest);
    let (first, rest) = text.split_once(BEGIN).unwrap_or((text, ""));
    first.to_owned() + &rest.split(BEGIN).map(shown).collect::<String>()
}

/// The mask that `piece` begins with, and what follows it.
fn split_mask(piece: &str) -> Option<(&str, &str)> {
    piece.split_once(END).filter(|(mask, _)| mask.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Goes through every node in every role that it has: by its place and by all its aliases.
struct Walk<'a, 'm> {
    tree: &'a Tree,
    public: &'m Public,
    masks: &'m mut Masks<'a>,
    todo: Vec<(usize, Role)>,
    seen: HashSet<(usize, Role)>,
    found: Found,
}

/// The place of each scalar without its quotes, and what is seen there.
type Found = BTreeMap<usize, (Range<usize>, String)>;

impl<'a> Walk<'a, '_> {
    fn run(&mut self) {
        while let Some((node, role)) = self.todo.pop() {
            let node = self.tree.resolve(node);
            if !self.seen.insert((node, role)) {
                continue;
            }
            match (self.tree.kind(node), role) {
                (Some(NodeKind::Mapping { .. }), _) => self.mapping(node, role),
                (Some(NodeKind::List { .. }), Role::Args | Role::OurArgs) => self.args(node, role),
                (Some(NodeKind::List { .. }), _) => {
                    self.todo.extend(self.tree.items(node).into_iter().map(|item| (item, role)));
                }
                _ => self.scalar(node, role),
            }
        }
    }

    fn mapping(&mut self, mapping: usize, role: Role) {
        for (key, value) in self.tree.members(mapping) {
            match self.tree.scalar(key) {
                Some("<<") => self.todo.push((value, role)),
                Some(name) => self.todo.extend([(key, Role::Word), (value, self.member(mapping, role, name))]),
                None => self.todo.extend([(key, Role::Hidden), (value, Role::Hidden)]),
            }
        }
    }

    fn member(&self, mapping: usize, role: Role, key: &str) -> Role {
        let is_row = |row: &&(Role, &str, Role)| row.0 == role && row.1.split(' ').any(|name| name == key);
        let is_proxy = |name: &str| PROXIES.iter().any(|proxy| proxy.eq_ignore_ascii_case(name));
        match KEYS.iter().find(is_row).map(|row| row.2) {
            _ if role == Role::Preferences => Role::Preferences,
            Some(Role::Args) if self.all_say(mapping, "command", |name| own_name(name).is_some()) => Role::OurArgs,
            Some(Role::Value) if self.all_say(mapping, "name", is_proxy) => Role::Address,
            Some(Role::Value) if !self.all_say(mapping, "name", self.public.variable) => Role::Hidden,
            Some(Role::AzureConfig) if !self.all_say(mapping, "name", |name| name == "azure") => Role::Hidden,
            role => role.unwrap_or(Role::Hidden),
        }
    }

    /// Whether every member `key` passes the test, and there is one. What is merged may say something else.
    fn all_say(&self, mapping: usize, key: &str, test: impl Fn(&str) -> bool) -> bool {
        let named = |wanted| {
            let members = self.tree.members(mapping);
            members.filter(move |(name, _)| self.tree.scalar(*name) == Some(wanted)).map(|(_, value)| value)
        };
        let passes = |value| self.tree.scalar(value).is_some_and(&test);
        named("<<").next().is_none() && named(key).next().is_some() && named(key).all(passes)
    }

    fn scalar(&mut self, node: usize, role: Role) {
        let Some(text) = self.tree.scalar(node) else { return };
        let shown = match role {
            _ if self.tree.is_null(node) => text.into(),
            Role::Word if is_word(text) => text.into(),
            Role::Preferences if matches!(text, "true" | "false") || text.parse::<f64>().is_ok() => text.into(),
            Role::Certificate if is_certificate(text) => text.into(),
            Role::Text | Role::Prose | Role::Program | Role::Address | Role::Value => self.masks.open(text, role),
            _ => self.masks.mask(text),
        };
        if role != Role::Prose || shown != text {
            self.show(node, text, shown);
        }
    }

    fn args(&mut self, list: usize, role: Role) {
        let mut next = Next::Word;
        for item in self.tree.items(list) {
            let item = self.tree.resolve(item);
            match self.tree.scalar(item) {
                Some(text) => {
                    let (shown, then) = self.argument(text, next, role);
                    self.show(item, text, shown);
                    next = then;
                }
                None => self.todo.push((item, Role::Hidden)),
            }
        }
    }

    /// What is seen of an argument.
    fn argument(&mut self, text: &'a str, this: Next, role: Role) -> (String, Next) {
        match this {
            Next::Word | Next::SecretUnlessFlag if text == "--" => return (text.into(), Next::Rest),
            Next::SecretUnlessFlag if text.starts_with('-') => {}
            Next::Word => {}
            Next::Public => return (self.masks.open(text, Role::Value), Next::Word),
            Next::Secret | Next::SecretUnlessFlag => return (self.masks.mask(text), Next::Word),
            Next::Rest => return (self.masks.mask(text), Next::Rest),
        }
        let dashes = text.len() - text.trim_start_matches('-').len();
        let name = text.len() - text.trim_start_matches(is_of_word).len();
        let (name, rest) = text.split_at(if dashes == 1 { name.min(2) } else { name });
        let value = rest.trim_start_matches(|c: char| matches!(c, '=' | ':') || c.is_whitespace());
        let shown = &text[..text.len() - value.len()];
        // What is glued to a flag may belong to another one with one dash too few.
        let is_alone = rest.is_empty() || rest.starts_with('=');
        let takes = (self.public.option)(name).filter(|_| role == Role::OurArgs && is_alone);
        match takes {
            _ if !is_word(&name[dashes..]) => (self.masks.mask(text), Next::of(dashes)),
            _ if dashes == 0 && is_plain(text) => (text.into(), Next::Word),
            _ if dashes == 0 && !rest.starts_with('=') => (self.masks.mask(text), Next::Word),
            Some(Takes::Public) if rest.is_empty() => (text.into(), Next::Public),
            Some(Takes::Secret) if rest.is_empty() => (text.into(), Next::Secret),
            Some(Takes::Nothing) if matches!(value, "" | "true" | "false") => (text.into(), Next::Word),
            Some(Takes::Public) => (shown.to_owned() + &self.masks.open(value, Role::Value), Next::Word),
            None if value.is_empty() && !rest.starts_with('=') => (text.into(), Next::SecretUnlessFlag),
            _ => (shown.to_owned() + &self.masks.mask(value), Next::Word),
        }
    }

    /// The scalar `text` is seen like this: not at all where that differs by its roles, or where it is not
    /// written as it reads.
    fn show(&mut self, node: usize, text: &'a str, shown: String) {
        let (start, end) = (self.tree.start(node), self.tree.end(node));
        let raw = self.tree.text().get(start..end).unwrap_or_default();
        let quoted = ['"', '\''].into_iter().find_map(|quote| raw.strip_prefix(quote)?.strip_suffix(quote));
        let (start, content) = quoted.map_or((start, raw), |content| (start + 1, content));
        let mut seen = match shown == text {
            true => content.to_owned(),
            false if content == text && !text.contains(['\r', '\n']) => shown,
            false => self.masks.lines(content, text),
        };
        if self.found.get(&node).is_some_and(|(_, other)| *other != seen) {
            seen = self.masks.lines(content, text);
        }
        self.found.insert(node, (start..start + content.len(), seen));
    }
}

/// What an argument says of the next one.
#[derive(Clone, Copy)]
enum Next {
    Word,
    Public,
    Secret,
    /// The flag is not known: it may be a switch.
    SecretUnlessFlag,
    /// What follows `--` is another program's.
    Rest,
}

impl Next {
    /// What an argument says that begins with so many dashes and is not understood.
    fn of(dashes: usize) -> Self {
        if dashes == 0 { Self::Word } else { Self::SecretUnlessFlag }
    }
}

fn is_secret_by_shape(text: &str) -> bool {
    text.contains("-----BEGIN") || redact(text) != text
}

/// Whether it is no secret that a program has made.
fn is_word(text: &str) -> bool {
    let digits = text.chars().filter(char::is_ascii_digit).count();
    !text.is_empty() && text.len() <= 48 && digits < 4 && text.chars().all(is_of_word) && !is_secret_by_shape(text)
}

/// The same of an argument that no flag explains: the name of a command.
fn is_plain(text: &str) -> bool {
    is_word(text) && text.len() <= 24 && !text.contains(|c: char| c.is_ascii_uppercase())
}

fn is_of_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/')
}

/// A certificate is public; what lies beside it in the same file may not be.
fn is_certificate(text: &str) -> bool {
    let text: String = text.split_whitespace().collect();
    STANDARD.decode(text).is_ok_and(|data| !data.windows(11).any(|part| part == b"PRIVATE KEY"))
}

/// Around a mask until its number is known. No text has them: they are no characters.
const BEGIN: char = '\u{fdd0}';
const END: char = '\u{fdd1}';
/// Shorter copies of a masked value are not looked for: they are words.
const SHORTEST: usize = 8;

/// What is masked in both texts.
#[derive(Default)]
struct Masks<'a> {
    state: RandomState,
    /// Lines of secrets, by what they begin with.
    copies: HashMap<[u8; SHORTEST], HashSet<&'a str>>,
}

impl<'a> Masks<'a> {
    fn mask(&mut self, secret: &'a str) -> String {
        for line in secret.split(['\r', '\n']).map(str::trim).filter(|line| line.chars().count() >= SHORTEST) {
            if let Some(beginning) = line.as_bytes().first_chunk() {
                self.copies.entry(*beginning).or_default().insert(line);
            }
        }
        self.name(secret)
    }

    fn name(&self, secret: &str) -> String {
        if secret.is_empty() { String::new() } else { format!("{BEGIN}{}{END}", self.state.hash_one(secret)) }
    }

    /// A mask in every line of `text`, which says `secret`.
    fn lines(&mut self, text: &str, secret: &'a str) -> String {
        let mask = self.mask(secret);
        let shown = |line: &str| match line.trim() {
            "" => line.to_owned(),
            content => line.replacen(content, &mask, 1),
        };
        text.split_inclusive(['\r', '\n']).map(shown).collect()
    }

    /// A text that may be seen, without what has the shape of a token or key, user, password and query of an
    /// address, and the arguments of a program.
    fn open(&mut self, text: &'a str, role: Role) -> String {
        if is_secret_by_shape(text) {
            return self.mask(text);
        }
        let scheme = text.find("://").map_or(0, |at| at + 3);
        let is_address = scheme > 0 || role == Role::Address;
        let end = match (role, text.strip_prefix("command:")) {
            (Role::Program, _) => text.find(" -").into_iter().chain(text.find('=')).min().map(|at| at + 1),
            (Role::Value, Some(program)) => {
                // A list of JSON ends its first word with a comma.
                let words = program.trim_start().split_once(|c: char| c.is_whitespace() || c == ',');
                words.map(|(_, arguments)| text.len() - arguments.trim_start().len())
            }
            _ => text[scheme..].find(['?', '#']).map(|at| scheme + at + 1).filter(|_| is_address),
        };
        let end = end.unwrap_or(text.len());
        // A password may have an `@` in it; without a scheme it may be the name of a person.
        let at = text[scheme..].rfind('@').map(|at| scheme + at);
        let at = at.filter(|at| is_address || role == Role::Value && text[..*at].contains(':')).unwrap_or(scheme);
        if end <= at {
            let (shown, hidden) = text.split_at(scheme.min(end));
            return shown.to_owned() + &self.mask(hidden);
        }
        let (user, query) = (self.mask(&text[scheme..at]), self.mask(&text[end..]));
        [&text[..scheme], &user, &text[at..end], &query].concat()
    }

    fn text(&mut self, tree: &'a Tree, found: Found) -> String {
        let mut shown = String::with_capacity(tree.text().len());
        let mut done = 0;
        for (place, value) in found.into_values() {
            shown += &self.comments(tree.text().get(done..place.start).unwrap_or_default());
            shown += &value;
            done = place.end;
        }
        shown + &self.comments(&tree.text()[done..])
    }

    /// What stands between values. Beside a private key all of it is masked: what follows may be its lines.
    fn comments(&mut self, text: &'a str) -> String {
        let has_key = text.contains("-----BEGIN");
        let mut shown = String::new();
        for line in text.split_inclusive(['\r', '\n']) {
            let comment = line.find('#');
            let words = line[comment.unwrap_or(0)..].trim_start_matches(['#', ' ', '\t']);
            let (before, words) = (&line[..line.len() - words.len()], words.trim_end());
            let is_key = has_key && comment.is_some();
            let open = if is_key { self.mask(words) } else { self.open(words, Role::Text) };
            shown += &self.without_copies(&[before, &open, &line[before.len() + words.len()..]].concat());
        }
        shown
    }

    fn without_copies(&self, text: &str) -> String {
        let mut shown = String::with_capacity(text.len());
        let mut hidden = 0;
        for (at, c) in text.char_indices() {
            let rest = &text[at..];
            let copies = rest.as_bytes().first_chunk().and_then(|beginning| self.copies.get(beginning));
            let copies = copies.into_iter().flatten().filter(|copy| rest.starts_with(**copy));
            if let Some(copy) = copies.max_by_key(|copy| copy.len()) {
                if at >= hidden {
                    shown += &self.name(copy);
                }
                hidden = hidden.max(at + copy.len());
            }
            if at >= hidden {
                shown.push(c);
            }
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::super::document::fragment;
    use super::*;
    use crate::undo::public::PUBLIC;
    use crate::yaml::tests::Random;

    fn two(old: &str, new: &str) -> [String; 2] {
        let [old, new] = [old, new].map(|text| fragment(text, 0).unwrap());
        both([(&old, Role::File), (&new, Role::File)], &PUBLIC).map(|text| text.strip_suffix('\n').unwrap().to_owned())
    }

    /// What is seen of a file.
    fn seen(text: &str) -> String {
        numbered(&two(text, "")[0])
    }

    /// What is seen of `value` in the place of `@@`, with no numbers.
    fn within(place: &str, value: &str) -> String {
        let (before, after) = place.split_once("@@").unwrap();
        let text = two(&format!("{before}{value}{after}"), "")[0].clone();
        let mut masks = text.split(BEGIN);
        let first = masks.next().unwrap().to_owned();
        let text = masks.fold(first, |text, mask| text + "***" + mask.split_once(END).unwrap().1);
        let value = text.strip_prefix(before).and_then(|text| text.strip_suffix(after));
        value.map_or(format!("{text:?}"), String::from)
    }

    fn cases(place: &str, cases: &[(&str, &str)]) {
        for (value, shown) in cases {
            assert_eq!(within(place, value), *shown, "{value} in {place}");
        }
    }

    const JWT: &str = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJtZSJ9.c2ln";

    #[test]
    fn the_top() {
        cases(
            "@@\n",
            &[
                (
                    "apiVersion: v1\nkind: Config\ncurrent-context: c d",
                    "apiVersion: v1\nkind: Config\ncurrent-context: c d",
                ),
                (
                    "preferences: {colors: true, editor: vi, n: 1, n: ~}",
                    "preferences: {colors: true, editor: ***, n: 1, n: ~}",
                ),
                ("extensions: [{name: a, extension: {b: 1}}]", "extensions: [{name: ***, extension: {b: ***}}]"),
                (
                    "x: {token: t, t0k3n-1-2: t, ? [a] : b, 'a b': c}",
                    "x: {token: ***, ***: ***, ? [***] : ***, '***': ***}",
                ),
                ("kind: {a: secret}", "kind: {a: ***}"),
                ("x: null", "x: null"),
                ("x: \"\"", "x: \"\""),
                ("current-context: eyJh.b", "current-context: ***"),
                ("kind: |\n  -----BEGIN PRIVATE KEY-----\n  MII\n", "kind: |\n  ***\n  ***\n"),
            ],
        );
    }

    #[test]
    fn clusters_and_contexts() {
        let list = "clusters:\n- name: a\n  cluster: {@@}\n";
        cases(
            list,
            &[
                ("server: 'https://k:443/p'", "server: 'https://k:443/p'"),
                ("server: 'https://me:p@w/x@k/p?q=1'", "server: 'https://***@k/p?***'"),
                ("server: 'https://me:p?w@k'", "server: 'https://***'"),
                ("server: 'https://k?a=b@c'", "server: 'https://***'"),
                ("server: 'https://k#canary'", "server: 'https://k#***'"),
                ("proxy-url: \"http://me@p\"", "proxy-url: \"http://***@p\""),
                ("proxy-url: token@p", "proxy-url: ***@p"),
                ("proxy-url: \"http:/\\/me@p\"", "proxy-url: \"***\""),
                ("certificate-authority: /a b, tls-server-name: n", "certificate-authority: /a b, tls-server-name: n"),
                (
                    "insecure-skip-tls-verify: true, disable-compression: no",
                    "insecure-skip-tls-verify: true, disable-compression: no",
                ),
                ("certificate-authority-data: Y2E=", "certificate-authority-data: Y2E="),
                ("certificate-authority-data: '%%'", "certificate-authority-data: '***'"),
                ("certificate-authority-data: LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0t", "certificate-authority-data: ***"),
                ("extensions: [a], unknown: 1, server: {a: b}", "extensions: [***], unknown: ***, server: {a: ***}"),
            ],
        );
        let context = "contexts: [{name: n, context: {@@}, more: {}}]\n";
        cases(context, &[("cluster: a, user: b, namespace: c, x: d", "cluster: a, user: b, namespace: c, x: ***")]);
    }

    #[test]
    fn users() {
        let long = "x".repeat(201);
        cases(
            "users: [{name: n, user: {@@}}]\n",
            &[
                ("token: t, password: p, client-key-data: k", "token: ***, password: ***, client-key-data: ***"),
                ("token: t, token: null, token: ''", "token: ***, token: null, token: ''"),
                (
                    "username: me, tokenFile: /t, client-key: k.pem, as: a",
                    "username: me, tokenFile: /t, client-key: k.pem, as: a",
                ),
                (
                    "as-uid: 1, as-groups: [a, b], as-user-extra: {a: [b]}",
                    "as-uid: 1, as-groups: [a, b], as-user-extra: {a: [***]}",
                ),
                (
                    "client-certificate: /c, client-certificate-data: Y2E=",
                    "client-certificate: /c, client-certificate-data: Y2E=",
                ),
                (&format!("username: {JWT}"), "username: ***"),
                (&format!("client-key: {long}"), "client-key: ***"),
                (
                    "auth-provider: {name: azure, config: {client-id: c, tenant-id: t, access-token: a, x: y}}",
                    "auth-provider: {name: azure, config: {client-id: c, tenant-id: t, access-token: ***, x: ***}}",
                ),
                (
                    "auth-provider: {name: oidc, config: {client-id: c, idp-issuer-url: i}}",
                    "auth-provider: {name: oidc, config: {client-id: ***, idp-issuer-url: ***}}",
                ),
                (
                    "auth-provider: {name: azure, name: oidc, config: {client-id: c}}",
                    "auth-provider: {name: azure, name: oidc, config: {client-id: ***}}",
                ),
            ],
        );
    }

    #[test]
    fn programs() {
        cases(
            "users: [{name: n, user: {exec: {@@}}}]\n",
            &[
                (
                    "command: /my tools/aws, apiVersion: v1, interactiveMode: Never, provideClusterInfo: false",
                    "command: /my tools/aws, apiVersion: v1, interactiveMode: Never, provideClusterInfo: false",
                ),
                ("command: aws --key x, command: A=b aws", "command: aws ***, command: A=***"),
                (
                    "installHint: see https://a.example/b, installHint: go to https://a.example/?k=1",
                    "installHint: see https://a.example/b, installHint: go to https://a.example/?***",
                ),
                ("other: x, apiVersion: [eyJh]", "other: ***, apiVersion: [***]"),
                (
                    "command: kubelogin, <<: {command: aws}, args: [-t, x]",
                    "command: kubelogin, <<: {command: aws}, args: [-t, ***]",
                ),
                (
                    "command: kubelogin, command: aws, args: [-t, x]",
                    "command: kubelogin, command: aws, args: [-t, ***]",
                ),
                ("args: {a: b}, env: x", "args: {a: ***}, env: ***"),
            ],
        );
    }

    #[test]
    fn our_arguments() {
        let place = "users: [{name: n, user: {exec: {command: /bin/kubelogin, args: [@@]}}}]\n";
        let same = [
            "get-token, --login, spn, -t, t, --legacy, -l=x, --client-id=c d, --username, me@b.example",
            "--legacy=true, -v, '5'",
        ];
        cases(place, &same.map(|args| (args, args)));
        cases(
            place,
            &[
                ("--client-secret, a, '--password=b', -t, c", "--client-secret, ***, '--password=***', -t, c"),
                ("--client-secret, --login, --login, spn", "--client-secret, ***, --login, spn"),
                (
                    "'--client-secret canary', '--client-secret:x', --Client_Secret=x",
                    "'--client-secret ***', '--client-secret:***', --Client_Secret=***",
                ),
                ("'--client-secret ', x, --password=, y", "'--client-secret ', ***, --password=, y"),
                ("-client-secret=x, -secret=x, -tx", "-c***, -s***, -t***"),
                (
                    "--future, x, --future=x, --legacy=x, --context, x",
                    "--future, ***, --future=***, --legacy=***, --context, ***",
                ),
                ("\"--client-secret\\u003dx\"", "\"***\""),
                ("'--client-secret', 'it''s'", "'--client-secret', '***'"),
                ("--, --client-id, x", "--, ***, ***"),
                ("--client-id, eyJh.b, --server-id=eyJh.b", "--client-id, ***, --server-id=***"),
                (
                    "--federated-token-source, 'url:https://me@x/t?k=1'",
                    "--federated-token-source, 'url:https://***@x/t?***'",
                ),
                (
                    "--federated-token-source, 'command:foo  --what S', --federated-token-source=command:foo",
                    "--federated-token-source, 'command:foo  ***', --federated-token-source=command:foo",
                ),
                (
                    "'--federated-token-source=command:[\"foo\",\"S\"]'",
                    "'--federated-token-source=command:[\"foo\",***'",
                ),
                ("--authority-host, 'me:p@h'", "--authority-host, '***@h'"),
                ("Hunter, a b, {a: b}, [c]", "***, ***, {a: ***}, [***]"),
                ("'--é', -é, '-', ---, '', \"\\0\"", "'***', ***, '***', ***, '', \"***\""),
            ],
        );
    }

    #[test]
    fn arguments_of_others() {
        cases(
            "users: [{name: n, user: {exec: {args: [@@], command: aws}}}]\n",
            &[
                (
                    "eks, get-token, --cluster-name, c, --region=r, --output, json",
                    "eks, get-token, --cluster-name, ***, --region=***, --output, ***",
                ),
                ("-u, me:pw, -ume:pw, '-u me:pw', --user, x:y", "-u, ***, -u***, '-u ***', --user, ***"),
                (
                    "'Authorization: Bearer x', --header, 'Authorization: x', '--header=A: b'",
                    "'***', --header, ***, '--header=***'".replace("--header, ***", "--header, '***'").as_str(),
                ),
                ("-c, 'X=1 kubelogin --client-secret x', X=1, 'a b=c'", "-c, '***', X=***, '***'"),
                ("--client-id, c, -t, t, --token-only, -i, y", "--client-id, ***, -t, ***, --token-only, -i, ***"),
                ("https://me@x/, /etc/X1234, Abcdef, a1b2c3d4", "***, ***, ***, ***"),
            ],
        );
    }

    #[test]
    fn variables() {
        cases(
            "users: [{name: n, user: {exec: {env: [@@]}}}]\n",
            &[
                (
                    "{name: AZURE_TENANT_ID, value: t}, {name: KUBECONFIG, value: /a}",
                    "{name: AZURE_TENANT_ID, value: t}, {name: KUBECONFIG, value: /a}",
                ),
                (
                    "{name: AZURE_CLIENT_SECRET, value: x}, {name: OTHER, value: x}",
                    "{name: AZURE_CLIENT_SECRET, value: ***}, {name: OTHER, value: ***}",
                ),
                (
                    "{name: https_proxy, value: 'http://me:p@h:1'}, {name: HTTPS_PROXY, value: me@h}",
                    "{name: https_proxy, value: 'http://***@h:1'}, {name: HTTPS_PROXY, value: ***@h}",
                ),
                (
                    "{name: HOME, name: X, value: a}, {value: a}, {<<: {name: X}, name: HOME, value: a}",
                    "{name: HOME, name: X, value: ***}, {value: ***}, {<<: {name: X}, name: HOME, value: ***}",
                ),
                (
                    "{name: 'A=canary', value: a}, {name: HOME, value: b, other: c}, x",
                    "{name: '***', value: ***}, {name: HOME, value: b, other: ***}, ***",
                ),
            ],
        );
    }

    #[test]
    fn aliases_and_merged_members() {
        cases(
            "@@\n",
            &[
                (
                    "clusters: [{name: &n abc}]\nusers: [{name: x, user: {token: *n}}]",
                    "clusters: [{name: &n ***}]\nusers: [{name: x, user: {token: *n}}]",
                ),
                (
                    "x: &u {exec: {command: c}}\nusers: [{name: x, user: *u}]",
                    "x: &u {exec: {command: ***}}\nusers: [{name: x, user: *u}]",
                ),
                (
                    "users: [{name: x, user: {exec: &e {command: c, args: [a, -b, c]}}}, {name: y, user: {exec: {<<: *e, args: [d]}}}]",
                    "users: [{name: x, user: {exec: &e {command: c, args: [a, -b, ***]}}}, {name: y, user: {exec: {<<: *e, args: [d]}}}]",
                ),
                (
                    "users: [{name: x, user: &u {<<: *u, token: t}}]",
                    "users: [{name: x, user: &u {<<: *u, token: ***}}]",
                ),
            ],
        );
        let link = |n: usize| format!("m{n}: &m{n} {{<<: *m{}}}\n", n - 1);
        let chain = (1..20_000).map(link).collect::<Vec<_>>().concat();
        let text = format!("m0: &m0 {{token: secret}}\n{chain}users: [{{name: n, user: *m19999}}]\n");
        assert!(!seen(&text).contains("secret"));
    }

    #[test]
    fn secrets_of_several_lines_keep_their_number_and_indentation() {
        let text = "users:\n- user:\n    token: |+ # c\r\n      a\r\n\r\n       b c\r\n    password: \"x\n      y\\\n      z\"\n    client-key-data: >-\n      # q\n";
        let shown = "users:\n- user:\n    token: |+ # c\r\n      ***1\r\n\r\n       ***1\r\n    password: \"***2\n      ***2\n      ***2\"\n    client-key-data: >-\n      ***3\n";
        assert_eq!(seen(text), shown);
    }

    #[test]
    fn comments() {
        let comment = |comment: &str| {
            let shown =
                seen(&format!("# {comment}\nusers: [{{name: n, user: {{token: 'canary long', password: canary}}}}]\n"));
            shown.lines().next().unwrap().to_owned()
        };
        let key = "-----BEGIN RSA PRIVATE KEY-----";
        for (text, shown) in [
            ("see https://a.example/b, canary", "# see https://a.example/b, canary"),
            ("a canary longer", "# a ***1er"),
            ("was https://me:p@h/?q", "# was https://***1@h/?***2"),
            (JWT, "# ***1"),
            (&format!("the key is {key}"), "# ***1"),
        ] {
            assert_eq!(comment(text), shown);
        }
        let text = format!("a: b # x\n# {key}\n#  MIIabc\n# -----END RSA PRIVATE KEY-----\n# after\n");
        assert_eq!(seen(&text), "a: ***1 # ***2\n# ***3\n#  ***4\n# ***5\n# ***6\n");
    }

    #[test]
    fn overlapping_copies_leave_no_rest() {
        let text = "a: AAAABBBBCCCC\nb: BBBBCCCCDDDD\nc: CCCCDDDDEEEE # AAAABBBBCCCCDDDDEEEE.\n";
        assert_eq!(seen(text), "a: ***1\nb: ***2\nc: ***3 # ***1.\n");
    }

    #[test]
    fn one_secret_is_one_mask_in_both_texts() {
        let user = |token: &str| format!("users: [{{name: n, user: {{token: {token}}}}}] # canary-9\n");
        let shown = |old: &str, new: &str| numbered(&two(&user(old), &user(new)).concat());
        let expected = |old: &str, new: &str, comment: &str| (user(old) + &user(new)).replace("canary-9", comment);
        assert_eq!(shown("canary-9", "'canary-9'"), expected("***", "'***'", "***"));
        assert_eq!(shown("a", "b"), expected("***1", "***2", "canary-9"));
        assert_eq!(
            shown("a", "canary-9"),
            "users: [{name: n, user: {token: ***1}}] # ***2\nusers: [{name: n, user: {token: ***2}}] # ***2\n"
        );
        assert_eq!(numbered(&two("# \u{fdd0}1\u{fdd0}\n", "")[0]), "# 1\n");
    }

    /// In every place that is not public, in every style.
    #[test]
    fn no_secret_is_seen() {
        const PLACES: [&str; 26] = [
            "users: [{user: {token: @@}}]",
            "users: [{user: {password: @@, client-key-data: @@}}]",
            "users: [{user: {as-user-extra: {a: [b, @@]}}}]",
            "users: [{user: {unknown: {deep: [{er: @@}]}}}]",
            "users: [{user: {auth-provider: {name: oidc, config: {client-id: @@}}}}]",
            "users: [{user: {auth-provider: {name: azure, config: {access-token: @@, apiserver-id: a}}}}]",
            "users: [{user: {exec: {command: kubelogin, args: [get-token, --client-secret, @@]}}}]",
            "users: [{user: {exec: {command: kubelogin, args: [get-token, --future, @@]}}}]",
            "users: [{user: {exec: {command: curl, args: [-u, @@, x]}}}]",
            "users: [{user: {exec: {command: curl, args: [--header, @@]}}}]",
            "users: [{user: {exec: {env: [{name: X, value: @@}]}}}]",
            "users: [{user: {exec: {env: [{value: @@, name: AZURE_CLIENT_SECRET}]}}}]",
            "users: [{user: {exec: {extra: @@}, exec: {command: {a: @@}}}}]",
            "extensions: [{name: @@, extension: @@}]",
            "clusters: [{cluster: {extensions: [{extension: {a: @@}}]}}]",
            "x: &x @@\nusers: [{name: *x}]",
            "users: [{name: &x @@, user: {token: *x}}]",
            "x: &x {token: @@}\nusers: [{user: {<<: *x}}]",
            "users: [{user: {token: @@, token: ~}}]",
            "preferences: {a: @@}",
            "x: !!str @@ # c",
            "x:\n  ? - @@\n  : y",
            "users:\n- user:\n    token: @@\n    password: @@\n",
            "users:\n- user:\n    exec:\n      command: kubelogin\n      args:\n      - --password\n      - @@\n      - -l\n",
            "users:\n- user:\n    exec:\n      env:\n      - name: A\n        value: @@\n",
            "users:\n- @@\n",
        ];
        let mut random = Random(3);
        let mut read = 0;
        for round in 0..6000 {
            let mut half = || (0..7).map(|_| char::from(b"QXZJqxzj479@?#=:/%' \\\"-{}"[random.below(25)])).collect();
            let (one, other): (String, String) = (half(), half());
            let secret = format!("Q{one}X{other}Z");
            let escape = |c: char| match random.below(3) {
                0 => format!("\\x{:02x}", u32::from(c)),
                _ if "\\\"".contains(c) => format!("\\{c}"),
                _ => c.into(),
            };
            let escaped: String = secret.chars().map(escape).collect();
            let value = match round % 6 {
                0 => format!("'{}'", secret.replace('\'', "''")),
                1 => format!("\"{escaped}\""),
                2 => format!("\"x\n   {escaped}\\\n   y\""),
                3 => format!("|-\n           {secret}\n\n            {secret}"),
                4 => format!(">2\n           {secret}\n           # {secret}"),
                _ => secret.clone(),
            };
            let text = PLACES[random.below(PLACES.len())].replace("@@", &value);
            let Some(tree) = fragment(&text, 0) else { continue };
            // A plain text may mean something else in YAML.
            if round % 6 == 5 && !(0..text.len()).any(|node| tree.scalar(node).is_some_and(|text| text == secret)) {
                continue;
            }
            read += 1;
            for shown in both([(&tree, Role::File), (&tree, Role::File)], &PUBLIC) {
                assert!(!shown.contains(&one) && !shown.contains(&other), "{text}\n{shown}");
            }
        }
        assert!(read > 3000, "{read}");
    }
}
