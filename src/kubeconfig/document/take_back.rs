//! Takes edits back, also where another program has written the file since.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use super::edit::Differences;
use super::source::Splice;
use super::tree::{Kind, TOP, Tree};
use super::{Document, DocumentError, Result};

/// What an edit did to the entry of one user; see [`Touched`](super::Touched).
#[derive(Clone, Copy)]
pub struct PastEdit<'a> {
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
    /// It reads as the edit left it, but stands in a flow collection now, where lines of a block
    /// cannot.
    InFlow,
}

/// A file after edits were taken back.
#[cfg_attr(test, derive(Debug))]
pub struct TakenBack {
    /// The new text, read again.
    pub document: Document,
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

impl Document {
    /// Puts back what stood in each entry before its edit, where it still says what the edit left
    /// there. What another program rewrote gets the old bytes with its own indentation and line
    /// endings.
    ///
    /// The new text is read again: those entries must say what they said before the edit and all
    /// else what it says now. Where that fails nothing is returned.
    pub fn take_back(&self, edits: &[PastEdit]) -> Result<TakenBack> {
        let users: HashMap<_, _> =
            self.users.iter().enumerate().map(|(index, user)| (user.name.as_str(), index)).collect();
        let found: Vec<_> = edits.iter().map(|edit| self.find_edit(edit, users.get(edit.name).copied())).collect();
        let standings = found.iter().map(|(standing, _)| *standing).collect();
        let mut returns: Vec<_> = found.into_iter().filter_map(|(_, found)| found).collect();
        let splices = returns.iter_mut().map(|found| std::mem::take(&mut found.splice)).collect();
        let document = self.confirm_return(self.tree.splice(splices)?, &returns)?;
        Ok(TakenBack { document, standings })
    }

    /// How the entry stands to an edit, without taking it back.
    pub fn standing(&self, edit: &PastEdit) -> Standing {
        self.find_edit(edit, self.users.iter().position(|user| user.name == edit.name)).0
    }

    fn find_edit<'a>(&self, edit: &PastEdit<'a>, user: Option<usize>) -> (Standing, Option<Return<'a>>) {
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
            None => (Standing::InFlow, None),
        }
    }

    /// Where the bytes that the edit left stand, if they do.
    fn as_left(&self, entry: usize, edit: &PastEdit) -> Option<Range<usize>> {
        let (start, end) = (self.tree.start(entry), self.tree.end(entry));
        let left = start..start + edit.as_left.len();
        let equal = self.text().get(left.clone()) == Some(edit.as_left);
        // A comment behind the entry may have become longer.
        let whole = left.end == end || left.end > end && self.tree.line_end(left.end) == left.end;
        (equal && whole).then_some(left)
    }

    fn confirm_return(&self, text: String, returns: &[Return]) -> Result<Document> {
        let unexpected = || DocumentError::new("the file would not read back as it was before the edit");
        let new = Document::parse(text).map_err(|_| unexpected())?;
        let entries = returns.iter().filter_map(|back| self.entry_node(back.user)).collect();
        let reads_back = |back: &Return| {
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
pub(super) fn fragment(text: &str, column: usize) -> Option<Tree> {
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
        let lines: Vec<_> = before.text.get(start..end)?.split('\n').map(|line| line.trim_end_matches('\r')).collect();
        let text = if before.is_flow(TOP) {
            lines.join(self.eol)
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
        (Some(Kind::Scalar { .. }), Some(Kind::Scalar { .. })) => {
            old.is_null(left) == new.is_null(right) && (old.is_null(left) || old.scalar(left) == new.scalar(right))
        }
        (Some(Kind::List { .. }), Some(Kind::List { .. })) => {
            let (left, right) = (old.items(left), new.items(right));
            let both = left.iter().zip(&right);
            left.len() == right.len()
                && both.into_iter().all(|(&left, &right)| same(old, left, new, right, level.of("")))
        }
        (Some(Kind::Mapping { .. }), Some(Kind::Mapping { .. })) => {
            let (Some(left), Some(right)) = (said(old, left, level), said(new, right, level)) else {
                return false;
            };
            let also = |(key, &left): (&&str, &usize)| {
                right.get(key).is_some_and(|&right| same(old, left, new, right, level.of(key)))
            };
            left.len() == right.len() && left.iter().all(also)
        }
        (Some(Kind::Alias(target)), Some(Kind::Alias(new_target))) => {
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
    use super::super::{Change, Edit, Touched};
    use super::*;

    /// An edit of a file, as a journal keeps it.
    struct Kept {
        name: String,
        as_left: String,
        before: String,
        column: usize,
    }

    impl Kept {
        fn past(&self) -> PastEdit<'_> {
            PastEdit { name: &self.name, as_left: &self.as_left, before: &self.before, column: self.column }
        }
    }

    /// The text after the edits, and what is kept of them.
    fn keep(text: &str, edits: &[(usize, Edit)]) -> (String, Vec<Kept>) {
        let old = parse(text);
        let edited = old.edit(edits).unwrap();
        let new = edited.document.text();
        let kept = |Touched { user, old: before, new: left, column }: &Touched| Kept {
            name: old.users()[*user].name.clone(),
            as_left: new[left.clone()].to_owned(),
            before: text[before.clone()].to_owned(),
            column: *column,
        };
        (new.to_owned(), edited.touched.iter().map(kept).collect())
    }

    fn back(text: &str, kept: &[Kept]) -> Result<(String, Vec<Standing>)> {
        let past: Vec<_> = kept.iter().map(Kept::past).collect();
        let document = parse(text);
        let taken = document.take_back(&past)?;
        assert!(past.iter().map(|edit| document.standing(edit)).eq(taken.standings.iter().copied()));
        Ok((taken.document.text().to_owned(), taken.standings))
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
            assert_eq!(back(&new, &kept).unwrap(), (text.to_owned(), vec![Standing::AsLeft]));
            let elsewhere = new.replacen("users", "x: [1]\nusers", 1);
            if text != json {
                assert_eq!(back(&elsewhere, &kept).unwrap().0, text.replacen("users", "x: [1]\nusers", 1));
            }
        }
        let two = json.replace("\"exec\": {}", "\"exec\": {\"args\": [\"b\"]}");
        let (new, kept) = keep(&two, &[(0, new_args(strings(&["a"]))), (1, new_args(strings(&["long"])))]);
        assert_eq!(back(&new, &kept).unwrap(), (two, vec![Standing::AsLeft; 2]));
        let (new, kept) = keep(PROVIDER, &[(0, Edit::ProviderToExec(new_exec()))]);
        assert_eq!(back(&new, &kept).unwrap(), (PROVIDER.to_owned(), vec![Standing::AsLeft]));
    }

    #[test]
    fn a_large_file_on_one_line_comes_back() {
        let entry = |index| {
            format!("{{\"name\":\"u{index}\",\"user\":{{\"exec\":{{\"args\":null}},\"token\":\"{index:0200}\"}}}}")
        };
        let text = format!("{{\"users\":[{}]}}", (0..1_000).map(entry).collect::<Vec<_>>().join(","));
        let edits: Vec<_> = (0..1_000).map(|user| (user, new_args(strings(&["a"])))).collect();
        let (new, kept) = keep(&text, &edits);
        assert_eq!(back(&new, &kept).unwrap(), (text.clone(), vec![Standing::AsLeft; 1_000]));
        let spaced = new.replace("\"args\":", "\"args\": ");
        assert_eq!(back(&spaced, &kept).unwrap(), (text, vec![Standing::Rewritten; 1_000]));
    }

    #[test]
    fn random_edits_come_back() {
        let flow = "users: [{name: u, user: {exec: {args: [x], command: c}}}]\n";
        let files = [AKS.to_owned(), AKS.replace('\n', "\r\n"), flow.to_owned()];
        let mut random = Random(5);
        for round in 0..1_000 {
            let file = &files[round % files.len()];
            let change = Change {
                args: random.args(),
                variables: random.variables(),
                command: random.perhaps(),
                ..Change::default()
            };
            let (new, kept) = keep(file, &[(0, Edit::Exec(change))]);
            assert_eq!(back(&new, &kept).unwrap(), (file.clone(), vec![Standing::AsLeft]));
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
        assert_eq!(back(REWRITTEN, &kept).unwrap(), (expected.clone(), vec![Standing::Rewritten]));
        let indented = |text: &str| {
            let (head, users) = text.split_once("users:\n").unwrap();
            let lines = users.lines().map(|line| if line.is_empty() { "\n".into() } else { format!("    {line}\n") });
            format!("{head}users:\n{}", lines.collect::<String>())
        };
        assert_eq!(back(&indented(REWRITTEN), &kept).unwrap().0, indented(&expected));
        let crlf = |text: &str| text.replace('\n', "\r\n");
        assert_eq!(back(&crlf(REWRITTEN), &kept).unwrap().0, crlf(&expected));
        let (_, deep) = keep(&indented(AKS), &to_a());
        assert_eq!(back(REWRITTEN, &deep).unwrap().0, expected);
        let (_, windows) = keep(&crlf(AKS), &to_a());
        assert_eq!(back(REWRITTEN, &windows).unwrap().0, expected);
    }

    #[test]
    fn members_in_another_order_and_style_are_the_same() {
        let (new, kept) = keep("users:\n- name: u\n  user:\n    exec: {command: c, args: null} # c\n", &to_a());
        assert!(new.contains("args: [a]"), "{new}");
        let now = "users:\n- user: {\"exec\": {\"args\": ['a'], \"command\": \"c\"}}\n  name: u # mine\n";
        let expected = "users:\n- name: u\n  user:\n    exec: {command: c, args: null} # mine\n";
        assert_eq!(back(now, &kept).unwrap(), (expected.to_owned(), vec![Standing::Rewritten]));
    }

    #[test]
    fn a_comment_that_was_taken_along_comes_back() {
        let old = "users:\n- name: u\n  user:\n    exec:\n      command: c\n      args:\n      - x # last\n";
        let (new, kept) = keep(old, &to_a());
        assert_eq!(new, old.replace("x # last", "a"));
        assert_eq!(back(&new, &kept).unwrap().0, old);
        let commented = new.replace("- a", "- a # now");
        assert_eq!(back(&commented, &kept).unwrap(), (old.replace("last", "last # now"), vec![Standing::AsLeft]));
        let rewritten = "users:\n- user:\n    exec:\n      command: c\n      args: [a]\n  name: u\n";
        assert_eq!(back(rewritten, &kept).unwrap(), (old.to_owned(), vec![Standing::Rewritten]));
        let commented = rewritten.replace("name: u", "name: u # now");
        assert_eq!(back(&commented, &kept).unwrap().0, old.replace("last", "now"));
        let (new, kept) = keep("users:\n- name: u\n  user:\n    exec:\n      args: # c\n", &to_a());
        let longer = new.replace("# c", "# cc");
        assert_eq!(back(&longer, &kept).unwrap().1, [Standing::Rewritten]);
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
            assert_eq!(back(&now, &kept).unwrap(), (now.clone(), vec![Standing::Changed]), "{now}");
        }
        let v1 = AKS.replace("v1beta1", "v1");
        let (_, kept) = keep(&v1, &to_a());
        assert_eq!(back(&REWRITTEN.replace("v1beta1", "v1"), &kept).unwrap().1, [Standing::Changed]);
        let gone = "users:\n- name: w\n";
        assert_eq!(back(gone, &kept).unwrap(), (gone.to_owned(), vec![Standing::Gone]));
        assert_eq!(back("", &kept).unwrap().1, [Standing::Gone]);
        assert_eq!(back("users: [~]", &kept).unwrap().1, [Standing::Gone]);
        assert_eq!(back("x: &x {name: u}\nusers: [*x]", &kept).unwrap().1, [Standing::Changed]);
    }

    #[test]
    fn one_that_changed_does_not_keep_the_others() {
        let text = "users:\n- name: u\n  user:\n    exec: {command: c}\n- name: v\n  user:\n    exec: {command: c}\n";
        let (new, kept) = keep(text, &[(0, new_args(strings(&["a"]))), (1, new_args(strings(&["b"])))]);
        let now = new.replace("[b]", "[c]");
        let expected = text.replace("v\n  user:\n    exec: {command", "v\n  user:\n    exec: {args: [c], command");
        assert_eq!(back(&now, &kept).unwrap(), (expected, vec![Standing::AsLeft, Standing::Changed]));
        let twice = [&kept[0], &kept[0]].map(Kept::past);
        assert_eq!(parse(&new).take_back(&twice).unwrap_err().to_string(), "two edits change the same text");
    }

    #[test]
    fn lines_of_a_block_do_not_go_into_a_flow_collection() {
        let text = "users:\n- name: u\n  user:\n    exec:\n      command: c\n";
        let (_, kept) = keep(text, &to_a());
        let json = "{\"users\": [{\"name\": \"u\", \"user\": {\"exec\": {\"args\": [\"a\"], \"command\": \"c\"}}}]}";
        assert_eq!(back(json, &kept).unwrap(), (json.to_owned(), vec![Standing::InFlow]));
        let entry = "users:\n  - {\"name\": \"u\", \"user\": {\"exec\": {\"args\": [\"a\"], \"command\": \"c\"}}}\n";
        let expected = "users:\n  - name: u\n    user:\n      exec:\n        command: c\n";
        assert_eq!(back(entry, &kept).unwrap().0, expected);
        let (_, flow) = keep(&json.replace("[\"a\"]", "null"), &to_a());
        assert_eq!(back(REWRITTEN, &flow).unwrap().1, [Standing::Changed]);
        let (block, _) = keep(text, &to_a());
        let expected = "users:\n- {\"name\": \"u\", \"user\": {\"exec\": {\"args\": null, \"command\": \"c\"}}}\n";
        assert_eq!(back(&block, &flow).unwrap(), (expected.to_owned(), vec![Standing::Rewritten]));
    }

    #[test]
    fn anchors_outlive_it_or_it_is_refused() {
        let text = "users:\n- name: u\n  user: {exec: {args: [&x x, *x], command: c}}\n";
        let (new, kept) = keep(text, &to_a());
        assert_eq!(back(&new, &kept).unwrap().0, text);
        let shared = "x: &x x\nusers:\n- name: u\n  user: {exec: {args: [*x], command: c}}\ny: *x\n";
        let (new, kept) = keep(shared, &to_a());
        assert_eq!(back(&new, &kept).unwrap().0, shared);
        assert!(back(&new.replace("x: &x x", "x: x").replace("*x", "x"), &kept).is_err());
        let other = "users:\n- name: u\n  user: {exec: {args: [x], command: c}}\n";
        let (new, kept) = keep(other, &to_a());
        let tied = new.replace("[a]", "&x [a]") + "x: *x\n";
        assert!(back(&tied, &kept).is_err());
        let redefined = "x: &x 1\n".to_owned() + &keep(text, &to_a()).0 + "y: *x\n";
        assert!(back(&redefined, &keep(text, &to_a()).1).is_err());
    }
}
