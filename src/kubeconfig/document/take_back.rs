//! Takes edits back, also where another program has written the file since.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use super::edit::Differences;
use super::source::Splice;
use super::tree::{NodeKind, TOP, Tree};
use super::{Document, DocumentError, Result};

/// What an edit did to the entry of one user; see [`EditedSpan`](super::EditedSpan).
#[derive(Clone, Copy)]
pub struct RecordedEdit<'a> {
    /// The user's name.
    pub name: &'a str,
    /// The bytes that the edit left.
    pub as_left: &'a str,
    /// The bytes that were there before.
    pub before: &'a str,
    /// How many characters stood before the entry on its line.
    pub column: usize,
}

/// How an entry stands to an edit of the past.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// As the edit left it, byte for byte.
    AsLeft,
    /// It reads as the edit left it, in other bytes: kubectl writes whole files anew in its own style.
    Rewritten,
    /// It says something else.
    Changed,
    /// There is no entry of that name.
    Gone,
    /// It reads as the edit left it, but its old bytes cannot stand in the file as it is now: lines of a
    /// block in a flow collection, an alias whose anchor is gone.
    NoPlace,
}

/// A file after edits were taken back.
#[cfg_attr(test, derive(Debug))]
pub struct Reverted {
    /// The new text, read again; none if nothing was taken back.
    pub document: Option<Document>,
    /// What was found for each edit; only [`Standing::AsLeft`] and [`Standing::Rewritten`] were taken
    /// back.
    pub standings: Vec<Standing>,
}

/// An entry that is to read as before again.
struct Return<'a> {
    user: usize,
    name: &'a str,
    splice: Splice,
    /// What it said, if its bytes can be read without the rest of the file: they may hold aliases.
    before: Option<Tree>,
}

/// With the place of its edit among all.
type Numbered<'a> = (usize, Return<'a>);

impl Document {
    /// Puts back what stood in each entry before its edit, where it still says what the edit left
    /// there. What another program rewrote gets the old bytes with its own indentation and line
    /// endings.
    ///
    /// The new text is read again: those entries must say what they said before the edit and all
    /// else what it says now. What fails at that is left alone.
    pub fn take_back(&self, edits: &[RecordedEdit]) -> Reverted {
        let users: HashMap<_, _> =
            self.users.iter().enumerate().map(|(index, user)| (user.name.as_str(), index)).collect();
        let found: Vec<_> = edits.iter().map(|edit| self.find_edit(edit, users.get(edit.name).copied())).collect();
        let mut standings: Vec<_> = found.iter().map(|(standing, _)| *standing).collect();
        let returns: Vec<_> =
            found.into_iter().enumerate().filter_map(|(edit, (_, found))| Some((edit, found?))).collect();
        let mut done = Vec::new();
        let document = self.carry_out(&returns, &mut done);
        let done: HashSet<_> = done.iter().map(|(edit, _)| *edit).collect();
        for (edit, _) in returns.iter().filter(|(edit, _)| !done.contains(edit)) {
            standings[*edit] = Standing::NoPlace;
        }
        Reverted { document, standings }
    }

    /// Adds those of `returns` to what is `done` with which the file reads back, and gives that file. Where
    /// all at once don't, each half is tried by itself.
    fn carry_out<'r>(&self, returns: &'r [Numbered<'r>], done: &mut Vec<&'r Numbered<'r>>) -> Option<Document> {
        if returns.is_empty() {
            return None;
        }
        let all: Vec<_> = done.iter().copied().chain(returns).collect();
        if let Ok(document) = self.with_returns(&all) {
            *done = all;
            return Some(document);
        }
        let (first, second) = returns.split_at(returns.len() / 2);
        if first.is_empty() {
            return None;
        }
        let first = self.carry_out(first, done);
        self.carry_out(second, done).or(first)
    }

    /// How the entry stands to an edit, without taking it back.
    pub fn standing(&self, edit: &RecordedEdit) -> Standing {
        self.find_edit(edit, self.users.iter().position(|user| user.name == edit.name)).0
    }

    fn find_edit<'a>(&self, edit: &RecordedEdit<'a>, user: Option<usize>) -> (Standing, Option<Return<'a>>) {
        let Some((user, entry)) = user.and_then(|user| Some((user, self.entry_node(user)?))) else {
            return (Standing::Gone, None);
        };
        let back = |splice, before| Some(Return { user, name: edit.name, splice, before });
        let before = fragment(edit.before, edit.column);
        if let Some(range) = self.as_left(entry, edit) {
            return (Standing::AsLeft, back((range, edit.before.to_owned()), before));
        }
        let as_left = fragment(edit.as_left, edit.column);
        let Some((as_left, before)) = as_left.zip(before) else {
            return (Standing::Changed, None);
        };
        if !same(&as_left, TOP, &self.tree, entry, Level::Entry) {
            return (Standing::Changed, None);
        }
        match self.tree.in_its_place(entry, &before, edit.column) {
            Some(splice) => (Standing::Rewritten, back(splice, Some(before))),
            None => (Standing::NoPlace, None),
        }
    }

    /// Where the bytes that the edit left stand, if they do.
    fn as_left(&self, entry: usize, edit: &RecordedEdit) -> Option<Range<usize>> {
        let (start, end) = (self.tree.start(entry), self.tree.end(entry));
        let left = start..start + edit.as_left.len();
        let equal = self.text().get(left.clone()) == Some(edit.as_left);
        // A comment behind the entry may have become longer.
        let whole = left.end == end || left.end > end && self.tree.line_end(left.end) == left.end;
        (equal && whole).then_some(left)
    }

    fn with_returns(&self, returns: &[&Numbered]) -> Result<Document> {
        let unexpected = || DocumentError::new("the file would not read back as it was before the edit");
        let text = self.tree.splice(returns.iter().map(|(_, back)| back.splice.clone()).collect())?;
        let new = Document::parse(text).map_err(|_| unexpected())?;
        let entries = returns.iter().filter_map(|(_, back)| self.entry_node(back.user)).collect();
        let reads_back = |(_, back): &&Numbered| {
            let named = new.users.get(back.user).is_some_and(|user| user.name == back.name);
            let entry = new.entry_node(back.user);
            let reads = |before| entry.is_some_and(|entry| same(before, TOP, &new.tree, entry, Level::Exact));
            named && back.before.as_ref().is_none_or(reads)
        };
        let done = returns.iter().all(reads_back);
        if done && self.differs_only(&new, Differences::of_entries(entries)) { Ok(new) } else { Err(unexpected()) }
    }
}

/// The bytes of an entry as a tree of their own.
pub(in crate::kubeconfig) fn fragment(text: &str, column: usize) -> Option<Tree> {
    // Where a flow mapping begins says nothing: its line may be the whole file.
    let indent = " ".repeat(if text.starts_with('{') { 0 } else { column });
    // What follows a block scalar decides whether it ends with a line break.
    Tree::parse(format!("{indent}{text}\n")).ok()
}

impl Tree {
    /// The bytes of `before` for the place where `entry` stands; none where they cannot stand there.
    fn in_its_place(&self, entry: usize, before: &Tree, old_column: usize) -> Option<Splice> {
        let (start, end) = (before.start(TOP), before.end(TOP));
        let in_flow = self.get(TOP, "users").is_some_and(|users| self.is_flow(users));
        if in_flow && !before.is_flow(TOP) {
            return None;
        }
        let text = before.text.get(start..end)?.replace("\r\n", "\n");
        let lines: Vec<_> = text.split(['\r', '\n']).collect();
        let text = if before.is_flow(TOP) {
            lines.iter().map(|line| without_tabs(line)).collect::<Vec<_>>().join(self.eol)
        } else {
            self.moved(&lines, old_column, self.place(entry).column.saturating_sub(1))?
        };
        // A comment at the end of the last line: there is room for one.
        let behind = before.text.get(end..).unwrap_or_default().trim_end();
        let now = self.end(entry);
        let rest = self.text.get(now..).unwrap_or_default().trim_start_matches([' ', '\t']);
        let behind = if rest.is_empty() || rest.starts_with(['\r', '\n']) { behind } else { "" };
        let until = if behind.is_empty() { now } else { self.text.len() - rest.len() };
        Some((self.start(entry)..until, text + behind))
    }

    /// Lines of a block that began in one column and shall begin in another; none where one has
    /// fewer blanks than have to go.
    fn moved(&self, lines: &[&str], old: usize, new: usize) -> Option<String> {
        let further = " ".repeat(new.saturating_sub(old));
        let mut text = String::new();
        for (index, line) in lines.iter().enumerate() {
            if index > 0 {
                text.push_str(self.eol);
            }
            if index == 0 || line.is_empty() {
                text.push_str(line);
                continue;
            }
            let (blanks, rest) = line.split_at(old.saturating_sub(new).min(line.len()));
            if !blanks.trim_matches(' ').is_empty() {
                return None;
            }
            text.push_str(&further);
            text.push_str(rest);
        }
        Some(text)
    }
}

/// A line of a flow collection: tabs may indent it in JSON, but not below a block.
fn without_tabs(line: &str) -> String {
    let text = line.trim_start_matches([' ', '\t']);
    let blanks = line.strip_suffix(text).unwrap_or_default();
    blanks.replace('\t', "    ") + text
}

/// Which part of an entry is compared: what kubectl adds when it writes a file counts as nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Entry,
    User,
    Exec,
    Inside,
    /// Nothing may differ but style and order.
    Exact,
}

impl Level {
    fn of(self, key: &str) -> Level {
        match (self, key) {
            (Level::Exact, _) => Level::Exact,
            (Level::Entry, "user") => Level::User,
            (Level::User, "exec") => Level::Exec,
            _ => Level::Inside,
        }
    }
}

/// Whether two values say the same, the order of members and the style aside.
fn same(old: &Tree, left: usize, new: &Tree, right: usize, level: Level) -> bool {
    match (old.kind(left), new.kind(right)) {
        (Some(NodeKind::Scalar { .. }), Some(NodeKind::Scalar { .. })) => {
            old.is_null(left) == new.is_null(right) && (old.is_null(left) || old.scalar(left) == new.scalar(right))
        }
        (Some(NodeKind::List { .. }), Some(NodeKind::List { .. })) => {
            let (left, right) = (old.items(left), new.items(right));
            let both = left.iter().zip(&right);
            left.len() == right.len()
                && both.into_iter().all(|(&left, &right)| same(old, left, new, right, level.of("")))
        }
        (Some(NodeKind::Mapping { .. }), Some(NodeKind::Mapping { .. })) => {
            let (Some(left), Some(right)) = (said(old, left, level), said(new, right, level)) else {
                return false;
            };
            let also = |(key, &left): (&&str, &usize)| {
                right.get(key).is_some_and(|&right| same(old, left, new, right, level.of(key)))
            };
            left.len() == right.len() && left.iter().all(also)
        }
        (Some(NodeKind::Alias(target)), Some(NodeKind::Alias(new_target))) => {
            level == Level::Exact && left.checked_sub(target as usize) == right.checked_sub(new_target as usize)
        }
        // What an alias stands for may stand outside of the entry.
        _ => false,
    }
}

/// The members of a mapping that say something; none if it is a mapping of an unusual kind.
fn said(tree: &Tree, mapping: usize, level: Level) -> Option<HashMap<&str, usize>> {
    let mut said = HashMap::new();
    let mut keys = HashSet::new();
    for (key, value) in tree.members(mapping) {
        let merges = tree.is_merge(key);
        let key = tree.scalar(key)?;
        if !keys.insert(key) || merges && level != Level::Exact {
            return None;
        }
        if level == Level::Exact || !(tree.is_null(value) || level == Level::Exec && is_assumed(tree, mapping, key)) {
            said.insert(key, value);
        }
    }
    Some(said)
}

/// Whether kubectl writes this member of `exec` where there was none.
fn is_assumed(tree: &Tree, exec: usize, key: &str) -> bool {
    let text = |key| tree.own(exec, key).and_then(|member| tree.scalar(member.1));
    match key {
        "provideClusterInfo" => text(key) == Some("false"),
        // v1 has no default.
        "interactiveMode" => {
            text(key) == Some("IfAvailable") && text("apiVersion").is_some_and(|version| version.contains("beta"))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::support::{AKS, PROVIDER, Random, new_args, new_exec, parse, strings};
    use super::super::{Edit, EditedSpan, ExecChange};
    use super::*;

    /// An edit of a file, as a journal keeps it.
    struct Kept {
        name: String,
        as_left: String,
        before: String,
        column: usize,
    }

    impl Kept {
        fn past(&self) -> RecordedEdit<'_> {
            RecordedEdit { name: &self.name, as_left: &self.as_left, before: &self.before, column: self.column }
        }
    }

    /// The text after the edits, and what is kept of them.
    fn keep(text: &str, edits: &[(usize, Edit)]) -> (String, Vec<Kept>) {
        let old = parse(text);
        let edited = old.edit(edits).unwrap();
        let new = edited.document.text();
        let kept = |EditedSpan { user, old: before, new: left, column }: &EditedSpan| Kept {
            name: old.users()[*user].name.clone(),
            as_left: new[left.clone()].to_owned(),
            before: text[before.clone()].to_owned(),
            column: *column,
        };
        (new.to_owned(), edited.touched.iter().map(kept).collect())
    }

    fn back(text: &str, kept: &[Kept]) -> (String, Vec<Standing>) {
        let past: Vec<_> = kept.iter().map(Kept::past).collect();
        let document = parse(text);
        let taken = document.take_back(&past);
        for (edit, standing) in past.iter().zip(&taken.standings) {
            assert!(*standing == Standing::NoPlace || document.standing(edit) == *standing);
        }
        (taken.document.as_ref().unwrap_or(&document).text().to_owned(), taken.standings)
    }

    fn to_a() -> Vec<(usize, Edit)> {
        vec![(0, new_args(strings(&["a"])))]
    }

    #[test]
    fn what_is_as_left_comes_back_byte_for_byte() {
        let json = "{\"users\": [{\"name\": \"u\", \"user\": {\"exec\": {\"args\": [], \"command\": \"c\"}}}, {\"name\": \"v\", \"user\": {\"exec\": {}}}]}";
        let last = "users:\n- name: u\n  user:\n    exec:\n      args: null # c";
        for text in [AKS, &AKS.replace('\n', "\r\n"), json, last] {
            let (new, kept) = keep(text, &to_a());
            assert_eq!(back(&new, &kept), (text.to_owned(), vec![Standing::AsLeft]));
            let elsewhere = new.replacen("users", "x: [1]\nusers", 1);
            if text != json {
                assert_eq!(back(&elsewhere, &kept).0, text.replacen("users", "x: [1]\nusers", 1));
            }
        }
        let two = json.replace("\"exec\": {}", "\"exec\": {\"args\": [\"b\"]}");
        let (new, kept) = keep(&two, &[(0, new_args(strings(&["a"]))), (1, new_args(strings(&["long"])))]);
        assert_eq!(back(&new, &kept), (two, vec![Standing::AsLeft; 2]));
        let (new, kept) = keep(PROVIDER, &[(0, Edit::ProviderToExec(new_exec()))]);
        assert_eq!(back(&new, &kept), (PROVIDER.to_owned(), vec![Standing::AsLeft]));
    }

    #[test]
    fn a_large_file_on_one_line_comes_back() {
        let entry = |index| {
            format!("{{\"name\":\"u{index}\",\"user\":{{\"exec\":{{\"args\":null}},\"token\":\"{index:0200}\"}}}}")
        };
        let text = format!("{{\"users\":[{}]}}", (0..1_000).map(entry).collect::<Vec<_>>().join(","));
        let edits: Vec<_> = (0..1_000).map(|user| (user, new_args(strings(&["a"])))).collect();
        let (new, kept) = keep(&text, &edits);
        assert_eq!(back(&new, &kept), (text.clone(), vec![Standing::AsLeft; 1_000]));
        let spaced = new.replace("\"args\":", "\"args\": ");
        assert_eq!(back(&spaced, &kept), (text, vec![Standing::Rewritten; 1_000]));
    }

    #[test]
    fn random_edits_come_back() {
        let flow = "users: [{name: u, user: {exec: {args: [x], command: c}}}]\n";
        let files = [AKS.to_owned(), AKS.replace('\n', "\r\n"), flow.to_owned()];
        let mut random = Random(5);
        for round in 0..1_000 {
            let file = &files[round % files.len()];
            let change = ExecChange {
                args: random.args(),
                variables: random.variables(),
                command: random.perhaps(),
                ..ExecChange::default()
            };
            let (new, kept) = keep(file, &[(0, Edit::Exec(change))]);
            assert_eq!(back(&new, &kept), (file.clone(), vec![Standing::AsLeft]));
        }
    }

    /// As kubectl writes [`AKS`] after the edit, with a context more.
    const REWRITTEN: &str = "\
apiVersion: v1
clusters: []
kind: Config
users:
- name: u
  user:
    exec:
      apiVersion: client.authentication.k8s.io/v1beta1
      args:
      - a
      command: kubelogin
      env: null
      installHint: |2

        Not installed.
      interactiveMode: IfAvailable
      provideClusterInfo: false
- name: v
  user: {}
";

    /// The entry of [`AKS`], with the comments that it had.
    fn entry() -> &'static str {
        AKS.split_once("users:\n").unwrap().1
    }

    #[test]
    fn what_kubectl_rewrote_comes_back_too() {
        let (_, kept) = keep(AKS, &to_a());
        let expected =
            format!("apiVersion: v1\nclusters: []\nkind: Config\nusers:\n{}- name: v\n  user: {{}}\n", entry());
        assert_eq!(back(REWRITTEN, &kept), (expected.clone(), vec![Standing::Rewritten]));
        let indented = |text: &str| {
            let (head, users) = text.split_once("users:\n").unwrap();
            let lines = users.lines().map(|line| if line.is_empty() { "\n".into() } else { format!("    {line}\n") });
            format!("{head}users:\n{}", lines.collect::<String>())
        };
        assert_eq!(back(&indented(REWRITTEN), &kept).0, indented(&expected));
        let crlf = |text: &str| text.replace('\n', "\r\n");
        assert_eq!(back(&crlf(REWRITTEN), &kept).0, crlf(&expected));
        let (_, deep) = keep(&indented(AKS), &to_a());
        assert_eq!(back(REWRITTEN, &deep).0, expected);
        let (_, windows) = keep(&crlf(AKS), &to_a());
        assert_eq!(back(REWRITTEN, &windows).0, expected);
    }

    #[test]
    fn members_in_another_order_and_style_are_the_same() {
        let (new, kept) = keep("users:\n- name: u\n  user:\n    exec: {command: c, args: null} # c\n", &to_a());
        assert!(new.contains("args: [a]"), "{new}");
        let now = "users:\n- user: {\"exec\": {\"args\": ['a'], \"command\": \"c\"}}\n  name: u # mine\n";
        let expected = "users:\n- name: u\n  user:\n    exec: {command: c, args: null} # mine\n";
        assert_eq!(back(now, &kept), (expected.to_owned(), vec![Standing::Rewritten]));
    }

    #[test]
    fn a_comment_that_was_taken_along_comes_back() {
        let old = "users:\n- name: u\n  user:\n    exec:\n      command: c\n      args:\n      - x # last\n";
        let (new, kept) = keep(old, &to_a());
        assert_eq!(new, old.replace("x # last", "a"));
        assert_eq!(back(&new, &kept).0, old);
        let commented = new.replace("- a", "- a # now");
        assert_eq!(back(&commented, &kept), (old.replace("last", "last # now"), vec![Standing::AsLeft]));
        let rewritten = "users:\n- user:\n    exec:\n      command: c\n      args: [a]\n  name: u\n";
        assert_eq!(back(rewritten, &kept), (old.to_owned(), vec![Standing::Rewritten]));
        let commented = rewritten.replace("name: u", "name: u # now");
        assert_eq!(back(&commented, &kept).0, old.replace("last", "now"));
        let (new, kept) = keep("users:\n- name: u\n  user:\n    exec:\n      args: # c\n", &to_a());
        let longer = new.replace("# c", "# cc");
        assert_eq!(back(&longer, &kept).1, [Standing::Rewritten]);
    }

    #[test]
    fn what_says_something_else_stays() {
        let (new, kept) = keep(AKS, &to_a());
        let other = [
            new.replace("- a\n", "- b\n"),
            new.replace("- a\n", "- a\n      - b\n"),
            new.replace("env: null", "env: [{name: A, value: b}]"),
            new.replace("env: null", "extra: 1"),
            new.replace("  user:\n    exec:", "  user:\n    token: t\n    exec:"),
            new.replace("      provideClusterInfo: false\n", "      provideClusterInfo: true\n"),
            new.replace("      env: null\n", "      interactiveMode: Never\n"),
            new.replace("v1beta1\n", "v1\n"),
            new.replace("      env: null\n", "      env: null\n      command: kubelogin\n"),
            new.replace("- a\n", "- null\n"),
            format!("{new}      <<: {{}}\n"),
        ];
        for now in other {
            assert_ne!(now, new);
            assert_eq!(back(&now, &kept), (now.clone(), vec![Standing::Changed]), "{now}");
        }
        let v1 = AKS.replace("v1beta1", "v1");
        let (_, kept) = keep(&v1, &to_a());
        assert_eq!(back(&REWRITTEN.replace("v1beta1", "v1"), &kept).1, [Standing::Changed]);
        let gone = "users:\n- name: w\n";
        assert_eq!(back(gone, &kept), (gone.to_owned(), vec![Standing::Gone]));
        assert_eq!(back("", &kept).1, [Standing::Gone]);
        assert_eq!(back("users: [~]", &kept).1, [Standing::Gone]);
        assert_eq!(back("x: &x {name: u}\nusers: [*x]", &kept).1, [Standing::Changed]);
    }

    #[test]
    fn one_that_changed_does_not_keep_the_others() {
        let text = "users:\n- name: u\n  user:\n    exec: {command: c}\n- name: v\n  user:\n    exec: {command: c}\n";
        let (new, kept) = keep(text, &[(0, new_args(strings(&["a"]))), (1, new_args(strings(&["b"])))]);
        let now = new.replace("[b]", "[c]");
        let expected = text.replace("v\n  user:\n    exec: {command", "v\n  user:\n    exec: {args: [c], command");
        assert_eq!(back(&now, &kept), (expected, vec![Standing::AsLeft, Standing::Changed]));
        let twice = [&kept[0], &kept[0]].map(Kept::past);
        assert_eq!(parse(&new).take_back(&twice).standings, [Standing::AsLeft, Standing::NoPlace]);
    }

    #[test]
    fn lines_of_a_block_do_not_go_into_a_flow_collection() {
        let text = "users:\n- name: u\n  user:\n    exec:\n      command: c\n";
        let (_, kept) = keep(text, &to_a());
        let json = "{\"users\": [{\"name\": \"u\", \"user\": {\"exec\": {\"args\": [\"a\"], \"command\": \"c\"}}}]}";
        assert_eq!(back(json, &kept), (json.to_owned(), vec![Standing::NoPlace]));
        let entry = "users:\n  - {\"name\": \"u\", \"user\": {\"exec\": {\"args\": [\"a\"], \"command\": \"c\"}}}\n";
        let expected = "users:\n  - name: u\n    user:\n      exec:\n        command: c\n";
        assert_eq!(back(entry, &kept).0, expected);
        let (_, flow) = keep(&json.replace("[\"a\"]", "null"), &to_a());
        assert_eq!(back(REWRITTEN, &flow).1, [Standing::Changed]);
        let (block, _) = keep(text, &to_a());
        let expected = "users:\n- {\"name\": \"u\", \"user\": {\"exec\": {\"args\": null, \"command\": \"c\"}}}\n";
        assert_eq!(back(&block, &flow), (expected.to_owned(), vec![Standing::Rewritten]));
    }

    #[test]
    fn anchors_outlive_it_or_it_is_left_alone() {
        let left = |now: &str, kept: &[Kept]| assert_eq!(back(now, kept), (now.to_owned(), vec![Standing::NoPlace]));
        let text = "users:\n- name: u\n  user: {exec: {args: [&x x, *x], command: c}}\n";
        let (new, kept) = keep(text, &to_a());
        assert_eq!(back(&new, &kept).0, text);
        let shared = "x: &x x\nusers:\n- name: u\n  user: {exec: {args: [*x], command: c}}\ny: *x\n";
        let (new, kept) = keep(shared, &to_a());
        assert_eq!(back(&new, &kept).0, shared);
        left(&new.replace("x: &x x", "x: x").replace("*x", "x"), &kept);
        let other = "users:\n- name: u\n  user: {exec: {args: [x], command: c}}\n";
        let (new, kept) = keep(other, &to_a());
        let tied = new.replace("[a]", "&x [a]") + "x: *x\n";
        left(&tied, &kept);
        let redefined = "x: &x 1\n".to_owned() + &keep(text, &to_a()).0 + "y: *x\n";
        left(&redefined, &keep(text, &to_a()).1);
    }

    #[test]
    fn one_without_a_place_does_not_keep_the_others() {
        let user =
            |index: usize, arg: &str| format!("- name: u{index}\n  user:\n    exec: {{args: [{arg}], command: c}}\n");
        let file = |args: [&str; 9]| {
            let users = args.iter().enumerate().map(|(index, arg)| user(index, arg));
            format!("x: &x x\nusers:\n{}", users.collect::<String>())
        };
        let all: Vec<_> = (0..9).map(|index| (index, new_args(strings(&["a"])))).collect();
        let (new, kept) = keep(&file(["b", "*x", "c", "d", "*x", "e", "f", "g", "*x"]), &all);
        let untied = |text: &str| text.replace("x: &x x", "x: x");
        let (text, standings) = back(&untied(&new), &kept);
        assert_eq!(text, untied(&file(["b", "a", "c", "d", "a", "e", "f", "g", "a"])));
        for (index, standing) in standings.into_iter().enumerate() {
            let expected = if [1, 4, 8].contains(&index) { Standing::NoPlace } else { Standing::AsLeft };
            assert_eq!(standing, expected, "{index}");
        }
    }

    #[test]
    fn json_with_tabs_comes_back_below_a_block() {
        let json = "{\n\t\"users\": [\n\t\t{\n\t\t\t\"name\": \"u\",\n\t\t\t\"user\": {\"exec\": {\n\t\t\t\t\"args\": [],\n\t\t\t\t\"command\": \"c\"\n\t\t\t}}\n\t\t}\n\t]\n}\n";
        let (new, kept) = keep(json, &to_a());
        assert_eq!(back(&new, &kept).0, json);
        let block = "users:\n- name: u\n  user:\n    exec:\n      args:\n      - a\n      command: c\n";
        let entry = json.split_once("\t\t{").unwrap().1.rsplit_once("\n\t]").unwrap().0.replace('\t', "    ");
        assert_eq!(back(block, &kept), (format!("users:\n- {{{entry}\n"), vec![Standing::Rewritten]));
    }

    #[test]
    fn every_line_break_of_yaml_ends_a_line() {
        let lf = "users:\n- name: u\n  user:\n    exec: {args: [x], command: c}\n    token: >\n      a\n\n      b\n";
        let block =
            "users:\n- name: u\n  user:\n    token: \"a\\nb\\n\"\n    exec:\n      args: [a]\n      command: c\n";
        for old in [lf.to_owned(), lf.replace('\n', "\r"), lf.replace("a\n\n", "a\r\r\n")] {
            let (_, kept) = keep(&old, &to_a());
            assert_eq!(back(block, &kept), (lf.to_owned(), vec![Standing::Rewritten]), "{old:?}");
        }
    }
}
