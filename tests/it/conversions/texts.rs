//! Kubeconfigs at random: users of all kinds, each value in any of the forms that YAML has for it.

use proptest::prelude::*;
use proptest::sample::select;

use self::Node::{Bare, List, Map, Nothing, Text};

/// What a text says, before it has a form.
#[derive(Clone, Debug)]
enum Node {
    Text(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
    /// `true` or `false`.
    Bare(&'static str),
    Nothing,
}

/// A kubeconfig with users of all kinds; most are ours.
pub fn kubeconfig() -> impl Strategy<Value = String> {
    let users = prop::collection::vec((name(), user()), 1..6);
    (users, any::<u8>(), prop::collection::vec(any::<u8>(), 64))
        .prop_map(|(users, form, choices)| write(&tree(users), form, &choices))
}

/// The same, and all of its users are ours and say what every method needs.
pub fn convertible(login: &'static str) -> impl Strategy<Value = String> {
    let users = prop::collection::vec((name(), exec(complete(login), true)), 1..5);
    (users, any::<u8>(), prop::collection::vec(any::<u8>(), 64))
        .prop_map(|(users, form, choices)| write(&tree(users), form, &choices))
}

/// Flags for `convert-kubeconfig`.
pub fn flags() -> impl Strategy<Value = Vec<&'static str>> {
    let method = select(
        &[
            "--login=devicecode",
            "-linteractive",
            "-lspn",
            "-lropc",
            "-lmsi",
            "-lazurecli",
            "-lazd",
            "-lworkloadidentity",
            "-lazurepipelines",
            "-lauto",
        ][..],
    );
    let more = select(
        &[
            "--client-id=99999999-9999-9999-9999-999999999999",
            "--tenant-id=contoso.com",
            "--server-id=typed",
            "--environment=AzureChinaCloud",
            "--legacy",
            "--legacy=false",
            "--timeout=90s",
            "--cache-dir=/a dir: #1",
            "--login-hint=yes",
            "--client-secret=\"quoted\"",
            "--client-secret-file=/s",
            "--password=\t",
            "--username=a\u{301}",
            "--subscription=S",
            "--identity-resource-id=/r",
            "--federated-token-file=/t",
            "--disable-environment-override",
        ][..],
    );
    (method, prop::collection::vec(more, 0..4)).prop_map(|(method, more)| {
        let needed = ["--client-id=11111111-1111-1111-1111-111111111111", "--tenant-id=fabrikam.com", "--server-id=S"];
        // What is typed again wins.
        needed.into_iter().chain([method]).chain(more).collect()
    })
}

fn name() -> impl Strategy<Value = String> {
    const NAMES: &[&str] =
        &["u", "clusterUser_rg_prod", "a b", "yes", "123", "a: b", "#1", "ü\u{1F600}", "- x", "~", "0x1F", "'q'"];
    select(NAMES).prop_map(String::from)
}

fn user() -> impl Strategy<Value = Node> {
    prop_oneof![
        6 => exec(entry(), false),
        2 => provider(),
        1 => Just(Map(vec![("token".into(), Text("a\tb".into()))])),
        1 => Just(map(&[("client-certificate-data", "Y2VydA=="), ("client-key-data", "a2V5")])),
        1 => Just(Map(vec![("exec".into(), map(&[("command", "aws"), ("apiVersion", "client.authentication.k8s.io/v1")]))])),
        1 => Just(Map(Vec::new())),
        1 => Just(Nothing),
    ]
}

/// An exec entry with `args`, perhaps one that kubectl would refuse; the order of its members is that of
/// the file.
fn exec(args: impl Strategy<Value = Vec<String>>, valid: bool) -> impl Strategy<Value = Node> {
    let command = select(&["kubelogin", "kubentra", "/opt/a b/kubelogin", "C:\\x\\kubelogin.exe"][..]);
    let version = select(&["client.authentication.k8s.io/v1beta1", "client.authentication.k8s.io/v1"][..]);
    let hint = select(&["\nnot here\n\nsee there\n", "one line", "tab\tand \u{85} \"quotes\"", "trailing  \n\n"][..]);
    let env = prop_oneof![
        Just(Nothing),
        Just(List(Vec::new())),
        Just(List(vec![map(&[("name", "HTTPS_PROXY"), ("value", "http://p:1")])])),
        Just(List(vec![map(&[("value", ""), ("name", "A")]), map(&[("name", "AZURE_CONFIG_DIR"), ("value", "/az")])])),
    ];
    let members = (args, command, version, hint, env, any::<[bool; 5]>());
    let members = members.prop_map(move |(args, command, version, hint, env, mut has)| {
        // v1 wants it said.
        has[2] |= valid && version.ends_with("/v1");
        let mut members = vec![
            ("apiVersion".to_owned(), Text(version.into())),
            ("args".to_owned(), List(args.into_iter().map(Text).collect())),
            ("command".to_owned(), Text(command.into())),
        ];
        let more = [
            ("env", env),
            ("installHint", Text(hint.into())),
            ("interactiveMode", Text("IfAvailable".into())),
            ("provideClusterInfo", Bare("false")),
            ("x-unknown", List(vec![Map(vec![("a".into(), Nothing)]), Text("b".into())])),
        ];
        members
            .extend(more.into_iter().zip(has).filter(|(_, has)| *has).map(|((key, node), _)| (key.to_owned(), node)));
        members
    });
    (members.prop_shuffle(), any::<bool>()).prop_map(|(members, more)| {
        let mut user = vec![("exec".to_owned(), Map(members))];
        if more {
            user.insert(0, ("as".into(), Text("somebody".into())));
            user.push(("extensions".into(), List(vec![map(&[("name", "x"), ("extension", "y")])])));
        }
        Map(user)
    })
}

fn provider() -> impl Strategy<Value = Node> {
    let mode = select(&[None, Some(""), Some("0"), Some("1")][..]);
    let name = select(&["azure", "azure", "azure", "gcp"][..]);
    (mode, name, any::<bool>()).prop_map(|(mode, name, tokens)| {
        let mut config =
            vec![("apiserver-id", "S"), ("client-id", "C"), ("tenant-id", "T"), ("environment", "AzurePublicCloud")];
        config.extend(mode.map(|mode| ("config-mode", mode)));
        if tokens {
            config.extend([("access-token", "a.b.c"), ("expires-on", "1600000000"), ("refresh-token", "0.r")]);
        }
        let members = vec![("config".to_owned(), map(&config)), ("name".to_owned(), Text(name.into()))];
        Map(vec![("auth-provider".to_owned(), Map(members))])
    })
}

/// Arguments of an entry, in every spelling, some of them odd.
fn entry() -> impl Strategy<Value = Vec<String>> {
    let flag = prop_oneof![
        3 => spelled("server-id", "S"),
        3 => spelled("client-id", "11111111-1111-1111-1111-111111111111"),
        3 => spelled("tenant-id", "contoso.com"),
        1 => Just(vec!["-t".to_owned(), "contoso.com".to_owned()]),
        1 => spelled("environment", "AzureUSGovernmentCloud"),
        1 => spelled("pop-claims", "u=/sub: #1"),
        1 => spelled("client-secret", "s3cr3t \"x\""),
        1 => spelled("client-secret-file", "/a\\b"),
        1 => spelled("token-cache-dir", "/c"),
        1 => spelled("no-such-flag", ""),
        1 => select(&["--legacy", "--pop-enabled", "--", "-v5", "", "yes", "null"][..]).prop_map(|word| vec![word.to_owned()]),
    ];
    let login = select(&["devicecode", "spn", "azurecli", "auto", "no-such-method"][..]);
    (prop::collection::vec(flag, 0..8), login).prop_map(|(flags, login)| {
        let login = ["get-token", "--login", login].map(String::from);
        login.into_iter().chain(flags.into_iter().flatten()).collect()
    })
}

/// Arguments with all that any method needs and nothing that some method would leave out.
fn complete(login: &'static str) -> impl Strategy<Value = Vec<String>> {
    let needed =
        (spelled("server-id", "S"), spelled("client-id", "C"), spelled("tenant-id", "T"), spelled("timeout", "1m0s"));
    needed.prop_map(move |(server, client, tenant, timeout)| {
        let login = ["get-token", "--login", login].map(String::from);
        login.into_iter().chain([timeout, tenant, server, client].concat()).collect()
    })
}

fn spelled(flag: &'static str, text: &'static str) -> impl Strategy<Value = Vec<String>> {
    any::<bool>().prop_map(move |joined| {
        if joined { vec![format!("--{flag}={text}")] } else { vec![format!("--{flag}"), text.to_owned()] }
    })
}

fn map(members: &[(&str, &str)]) -> Node {
    Map(members.iter().map(|&(key, text)| (key.to_owned(), Text(text.to_owned()))).collect())
}

fn tree(users: Vec<(String, Node)>) -> Node {
    let mut named: Vec<(String, Node)> = Vec::new();
    for (name, user) in users {
        let again = named.iter().any(|(known, _)| *known == name);
        named.push((if again { format!("{name} {}", named.len()) } else { name }, user));
    }
    let contexts = named.iter().map(|(name, _)| {
        let members = vec![("cluster".to_owned(), Text("c".into())), ("user".to_owned(), Text(name.clone()))];
        Map(vec![("context".into(), Map(members)), ("name".into(), Text(format!("of {name}")))])
    });
    let contexts = List(contexts.collect());
    let users = named.into_iter().map(|(name, user)| Map(vec![("name".into(), Text(name)), ("user".into(), user)]));
    let cluster =
        Map(vec![("cluster".into(), map(&[("server", "https://c.example:443")])), ("name".into(), Text("c".into()))]);
    Map(vec![
        ("apiVersion".into(), Text("v1".into())),
        ("clusters".into(), List(vec![cluster])),
        ("contexts".into(), contexts),
        ("current-context".into(), Text("of u".into())),
        ("kind".into(), Text("Config".into())),
        ("preferences".into(), Map(Vec::new())),
        ("users".into(), List(users.collect())),
        ("x-of-somebody".into(), Map(vec![("a".into(), List(vec![Text("b".into()), Nothing]))])),
    ])
}

/// Writes a tree in forms that `choices` pick; the bits of `form` are about the whole file.
fn write(root: &Node, form: u8, choices: &[u8]) -> String {
    if form % 8 == 7 {
        return json(root, form / 8);
    }
    let mut writer = Writer { out: String::new(), choices: choices.iter().cycle(), anchors: 0 };
    if form & 8 != 0 {
        writer.out.push_str("# at the top\n---\n");
    }
    writer.members(root, 0, false);
    if form & 16 != 0 && writer.anchors > 0 {
        writer.out.push_str("x-alias: *a1\n");
    }
    let mut text = writer.out;
    if form & 32 != 0 {
        text = text.replace('\n', "\r\n");
    }
    if form & 64 != 0 {
        text.truncate(text.trim_end().len());
    }
    if form & 128 != 0 { format!("\u{feff}{text}") } else { text }
}

fn json(root: &Node, form: u8) -> String {
    let value = as_json(root);
    match form % 3 {
        0 => value.to_string(),
        1 => format!("{value:#}\n"),
        _ => format!("{value:#}\n").replace("  ", "\t"),
    }
}

fn as_json(node: &Node) -> serde_json::Value {
    match node {
        Text(text) => text.as_str().into(),
        Bare(text) => (*text == "true").into(),
        List(items) => items.iter().map(as_json).collect::<Vec<_>>().into(),
        Map(members) => {
            serde_json::Map::from_iter(members.iter().map(|(key, node)| (key.clone(), as_json(node)))).into()
        }
        Nothing => serde_json::Value::Null,
    }
}

struct Writer<'c> {
    out: String,
    choices: std::iter::Cycle<std::slice::Iter<'c, u8>>,
    anchors: usize,
}

impl Writer<'_> {
    /// One time in `times`.
    fn now_and_then(&mut self, times: u8) -> bool {
        self.choices.next().is_some_and(|choice| choice % times == times - 1)
    }

    /// The members of a block mapping; the first one may stand behind a dash.
    fn members(&mut self, node: &Node, indent: usize, behind_dash: bool) {
        let Map(members) = node else { panic!("no mapping") };
        for (at, (key, value)) in members.iter().enumerate() {
            if at > 0 || !behind_dash {
                if self.now_and_then(12) {
                    self.line(indent, "# a note: [odd\t\n");
                }
                if self.now_and_then(20) {
                    self.out.push('\n');
                }
                self.line(indent, "");
            }
            let key = if self.now_and_then(10) { quoted(key) } else { key.clone() };
            self.out.push_str(&key);
            self.out.push(':');
            self.value(value, indent);
        }
    }

    fn line(&mut self, indent: usize, text: &str) {
        self.out.push_str(&" ".repeat(indent));
        self.out.push_str(text);
    }

    /// What follows a key at `indent`, to the end of its last line.
    fn value(&mut self, node: &Node, indent: usize) {
        if !matches!(node, Nothing) && self.now_and_then(14) {
            self.anchors += 1;
            let anchor = format!(" &a{}", self.anchors);
            self.out.push_str(&anchor);
        }
        match node {
            Map(members) if !members.is_empty() && !self.now_and_then(5) => {
                self.end_of_line();
                let step = if self.now_and_then(6) { 4 } else { 2 };
                self.members(node, indent + step, false);
            }
            List(items) if !items.is_empty() && !self.now_and_then(5) => {
                self.end_of_line();
                let indent = if self.now_and_then(3) { indent + 2 } else { indent };
                items.iter().for_each(|item| self.item(item, indent));
            }
            Text(text) if text.contains('\n') && is_literal(text) && !self.now_and_then(4) => {
                self.literal(text, indent)
            }
            Nothing => {
                let nothing = if self.now_and_then(3) {
                    " null"
                } else if self.now_and_then(3) {
                    " ~"
                } else {
                    ""
                };
                self.out.push_str(nothing);
                self.end_of_line();
            }
            _ => {
                self.out.push(' ');
                self.flow(node, indent + 2);
                self.end_of_line();
            }
        }
    }

    fn item(&mut self, item: &Node, indent: usize) {
        if self.now_and_then(15) {
            self.line(indent, "# between\n");
        }
        self.line(indent, "- ");
        match item {
            Map(members) if !members.is_empty() && !self.now_and_then(6) => self.members(item, indent + 2, true),
            Nothing => self.out.push_str("null\n"),
            _ => {
                self.flow(item, indent + 2);
                self.end_of_line();
            }
        }
    }

    fn literal(&mut self, text: &str, indent: usize) {
        let keep = match text.len() - text.trim_end_matches('\n').len() {
            0 => "-",
            1 => "",
            _ => "+",
        };
        self.out.push_str(&format!(" |2{keep}\n"));
        for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
            if !line.is_empty() {
                self.line(indent + 2, line);
            }
            self.out.push('\n');
        }
    }

    fn flow(&mut self, node: &Node, indent: usize) {
        match node {
            Text(text) => {
                let text = self.scalar(text);
                self.out.push_str(&text);
            }
            Bare(text) => self.out.push_str(text),
            Nothing => self.out.push_str("null"),
            List(items) => self.collection("[", "]", items.iter().map(|item| (None, item)).collect(), indent),
            Map(members) => {
                let members = members.iter().map(|(key, value)| (Some(key.as_str()), value)).collect();
                self.collection("{", "}", members, indent);
            }
        }
    }

    fn collection(&mut self, open: &str, close: &str, members: Vec<(Option<&str>, &Node)>, indent: usize) {
        let over_lines = !members.is_empty() && self.now_and_then(5);
        let padded = !over_lines && !members.is_empty() && self.now_and_then(5);
        self.out.push_str(open);
        for (at, (key, value)) in members.iter().enumerate() {
            let comment = if over_lines && at > 0 && self.now_and_then(6) { " # inside" } else { "" };
            self.out.push_str(if at > 0 { "," } else { "" });
            self.out.push_str(comment);
            if over_lines {
                self.out.push('\n');
                self.line(indent, "");
            } else if at > 0 || padded {
                self.out.push(' ');
            }
            if let Some(key) = key {
                let key = if self.now_and_then(3) { quoted(key) } else { (*key).to_owned() };
                self.out.push_str(&format!("{key}: "));
            }
            self.flow(value, indent + 2);
        }
        if over_lines {
            self.out.push('\n');
            self.line(indent - 2, "");
        } else if padded {
            self.out.push(' ');
        }
        self.out.push_str(close);
    }

    fn scalar(&mut self, text: &str) -> String {
        let simple = text.chars().all(|c| !c.is_control() && c != '\u{feff}' && c != '\u{2028}');
        if is_plain(text) && !self.now_and_then(4) {
            text.to_owned()
        } else if simple && self.now_and_then(2) {
            format!("'{}'", text.replace('\'', "''"))
        } else {
            quoted(text)
        }
    }

    fn end_of_line(&mut self) {
        let end = if self.now_and_then(10) { " # it's\t{here\n" } else { "\n" };
        self.out.push_str(end);
    }
}

/// As JSON has it, which YAML takes too; what YAML takes for a line break is escaped.
fn quoted(text: &str) -> String {
    let json = serde_json::Value::from(text).to_string();
    json.replace('\u{85}', "\\N").replace('\u{2028}', "\\L").replace('\u{feff}', "\\uFEFF")
}

/// Whether a text may stand without quotes, by a rule stricter than YAML's.
fn is_plain(text: &str) -> bool {
    let start = text.trim_start_matches("--").trim_start_matches('/');
    let odd = ["yes", "null", "no", "on", "off", "true", "false", "y", "n"];
    start.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./=@".contains(c))
        && !odd.contains(&text)
}

/// Whether a text can stand in a literal block as it is.
fn is_literal(text: &str) -> bool {
    text.chars().all(|c| !c.is_control() || c == '\n') && !text.trim_matches('\n').is_empty()
}
