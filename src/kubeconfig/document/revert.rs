//! Takes edits back, also where another program has written the file since.

use std::collections::HashMap;

use crate::yaml::{Op, TOP, Tree, Value, apply, confirm};

use super::{Document, Section};

/// What an edit did to an entry; see [`EditedSpan`](super::EditedSpan).
#[derive(Clone, Copy)]
pub(crate) struct RecordedEdit<'a> {
    /// What it is an entry of.
    pub section: Section,
    /// The entry's name.
    pub name: &'a str,
    /// The bytes that the edit left; none where it removed the entry.
    pub as_left: &'a str,
    /// The bytes that were there before; none where it added the entry.
    pub before: &'a str,
    /// How many characters stood before the entry on its line.
    pub column: usize,
}

/// How an edit of the past stands in its file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum UndoState {
    /// It can be taken back: the entry reads as the edit left it, in its bytes or in others, as kubectl writes
    /// whole files anew in its own style.
    Possible,
    /// Nothing of it is there: the entry is what it was before.
    Undone,
    /// The entry says something else.
    Changed,
    /// There is no entry of that name.
    Gone,
    /// The entry reads as the edit left it, but its old text cannot stand in the file as it is now: an alias whose
    /// anchor is gone.
    NoPlace,
    /// There is no file.
    FileGone,
    /// The file cannot be read or understood.
    FileUnreadable,
}

/// An edit by its place among all, and what takes it back.
type Numbered = (usize, Op);

impl Document {
    /// Puts back what stood in each entry before its edit, where it still says what the edit left there: the old
    /// bytes in the place of ours, the old value in the place of what another program has written. Gives the new
    /// text, if anything is taken back, and what was found for each edit.
    ///
    /// The new text is read again. What fails at that is left alone.
    pub(crate) fn revert(&self, edits: &[RecordedEdit]) -> (Option<String>, Vec<UndoState>) {
        let mut states = Vec::new();
        let mut ops: Vec<Numbered> = Vec::new();
        let entries = Entries::of(self);
        for (index, edit) in edits.iter().enumerate() {
            let (state, op) = entries.find_edit(edit);
            states.push(state);
            ops.extend(op.map(|op| (index, op)));
        }
        let mut done = Vec::new();
        let text = self.carry_out(&ops, &mut done);
        let mut done = done.into_iter().map(|(index, _)| index).peekable();
        for (index, _) in &ops {
            if done.next_if_eq(index).is_none() {
                states[*index] = UndoState::NoPlace;
            }
        }
        (text, states)
    }

    /// Adds those of `ops` to what is `done` with which the file reads back, and gives that text. Where all at once
    /// do not, each half is tried by itself.
    fn carry_out(&self, ops: &[Numbered], done: &mut Vec<Numbered>) -> Option<String> {
        if ops.is_empty() {
            return None;
        }
        let all: Vec<Op> = done.iter().chain(ops).map(|(_, op)| op.clone()).collect();
        if let Ok(patch) = apply(&self.tree, &all)
            && confirm(&self.tree, &all, &patch).is_ok()
        {
            done.extend_from_slice(ops);
            return Some(patch.text);
        }
        let (first, second) = ops.split_at(ops.len() / 2);
        if first.is_empty() {
            return None;
        }
        let first = self.carry_out(first, done);
        self.carry_out(second, done).or(first)
    }
}

/// The entries of a file by their names.
struct Entries<'d> {
    tree: &'d Tree,
    named: HashMap<(Section, &'d str), usize>,
}

impl<'d> Entries<'d> {
    fn of(document: &'d Document) -> Self {
        let tree = &document.tree;
        let mut named = HashMap::new();
        for section in [Section::Clusters, Section::Contexts, Section::Users] {
            for entry in tree.list_at(TOP, section.key()).unwrap_or_default() {
                let name = tree.get(entry, "name").and_then(|at| tree.scalar(at)).unwrap_or_default();
                named.insert((section, name), entry);
            }
        }
        if let Some((_, value)) = tree.own(TOP, Section::CurrentContext.key()) {
            named.insert((Section::CurrentContext, Section::CurrentContext.key()), value);
        }
        Self { tree, named }
    }

    fn find_edit(&self, edit: &RecordedEdit) -> (UndoState, Option<Op>) {
        let entry = self.named.get(&(edit.section, edit.name)).copied();
        let Some(entry) = entry else {
            return if edit.as_left.is_empty() { self.bring_back(edit) } else { (UndoState::Gone, None) };
        };
        let (tree, before) = (self.tree, value_of(edit.before, edit.column));
        let bytes = tree.text().get(tree.start(entry)..tree.comment_end(tree.end(entry)));
        // What was no entry before was nothing, or a list that had none.
        let came = edit.section != Section::CurrentContext
            && (edit.before.is_empty() || matches!(before, Some(Value::List(_) | Value::Plain(_))));
        let back = |value: Option<Value>| match value {
            _ if came => Some(Op::Remove(entry)),
            value => Some(Op::Replace(entry, value?)),
        };
        if bytes == Some(edit.as_left) {
            let raw = Value::Raw(edit.before.to_owned(), before.map(Box::new));
            return (UndoState::Possible, back(Some(raw)));
        }
        let says = |text: &str| Some(as_kubectl_writes(value_of(text, edit.column)?));
        let now = Value::of(tree, entry).map(as_kubectl_writes);
        match says(edit.as_left) {
            Some(left) if now.as_ref() == Some(&left) => match back(before) {
                Some(op) => (UndoState::Possible, Some(op)),
                None => (UndoState::NoPlace, None),
            },
            _ if bytes == Some(edit.before) || now.is_some() && now == says(edit.before) => (UndoState::Undone, None),
            _ => (UndoState::Changed, None),
        }
    }

    /// Appends an entry that the edit removed.
    fn bring_back(&self, edit: &RecordedEdit) -> (UndoState, Option<Op>) {
        let list = self.tree.own(TOP, edit.section.key()).map(|member| member.1);
        match (list, value_of(edit.before, edit.column)) {
            (Some(list), Some(value)) => (UndoState::Possible, Some(Op::Append { list, value })),
            _ => (UndoState::NoPlace, None),
        }
    }
}

/// The bytes of an entry as a tree of their own; none where they cannot be read without the rest of the file.
pub(in crate::kubeconfig) fn fragment(text: &str, column: usize) -> Option<Tree> {
    // Where a flow mapping begins says nothing: its line may be the whole file.
    let indent = " ".repeat(if text.starts_with('{') { 0 } else { column });
    // What follows a block scalar decides whether it ends with a line break.
    Tree::parse(format!("{indent}{text}\n")).ok()
}

/// What an entry says that was written so; one that came or went has its dash with it.
fn value_of(text: &str, column: usize) -> Option<Value> {
    let text = text.trim_start_matches([',', '\r', '\n']);
    let is_item = text.trim_start_matches(' ').starts_with("- ");
    let tree = fragment(text, if is_item { 0 } else { column })?;
    match Value::of(&tree, TOP)? {
        Value::List(mut items) if is_item && items.len() == 1 => items.pop(),
        value => Some(value),
    }
}

/// A value as kubectl makes it of what it reads: it writes members in the order of the alphabet, none that is
/// null, and in `exec` what it assumes. Where a file ends in a block scalar without a line break, kubectl and our
/// parser differ about that break, so none counts.
fn as_kubectl_writes(value: Value) -> Value {
    match value {
        Value::List(items) => Value::List(items.into_iter().map(as_kubectl_writes).collect()),
        Value::Map(members) => {
            // v1 has no default of the mode.
            let is_beta = |(key, value): &(String, Value)| {
                key == "apiVersion" && matches!(value, Value::Text(version) if version.contains("beta"))
            };
            let assumes_mode = members.iter().any(is_beta);
            let is_assumed = |key: &str, value: &Value| match key {
                "provideClusterInfo" => *value == Value::Plain("false".into()),
                "interactiveMode" => assumes_mode && *value == Value::text("IfAvailable"),
                _ => false,
            };
            let said = members.into_iter().filter(|(key, value)| !value.is_null() && !is_assumed(key, value));
            let mut members: Vec<_> = said.map(|(key, value)| (key, as_kubectl_writes(value))).collect();
            members.sort_by(|one, other| one.0.cmp(&other.0));
            Value::Map(members)
        }
        Value::Text(text) => Value::Text(text.trim_end_matches('\n').to_owned()),
        value => value,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::support::{
        AKS, Edit, PROVIDER, Random, edit, exec_of, new_args, new_exec, parse, strings, to, with_variables,
    };
    use super::super::{EditedSpan, Exec};
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
            RecordedEdit {
                section: Section::Users,
                name: &self.name,
                as_left: &self.as_left,
                before: &self.before,
                column: self.column,
            }
        }
    }

    /// The text after the edits, and what is kept of them.
    fn keep(text: &str, edits: &[(usize, Edit)]) -> (String, Vec<Kept>) {
        let old = parse(text);
        let edited = edit(&old, edits).unwrap();
        let new = edited.text.as_str();
        let kept = |EditedSpan { name, old: before, new: left, column, .. }: &EditedSpan| Kept {
            name: name.clone(),
            as_left: new[left.clone()].to_owned(),
            before: text[before.clone()].to_owned(),
            column: *column,
        };
        (new.to_owned(), edited.touched.iter().map(kept).collect())
    }

    fn back(text: &str, kept: &[Kept]) -> (String, Vec<UndoState>) {
        let past: Vec<_> = kept.iter().map(Kept::past).collect();
        let document = parse(text);
        let (taken, states) = document.revert(&past);
        (taken.unwrap_or_else(|| document.text().to_owned()), states)
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
            assert_eq!(back(&new, &kept), (text.to_owned(), vec![UndoState::Possible]));
            let elsewhere = new.replacen("users", "x: [1]\nusers", 1);
            if text != json {
                assert_eq!(back(&elsewhere, &kept).0, text.replacen("users", "x: [1]\nusers", 1));
            }
        }
        let two = json.replace("\"exec\": {}", "\"exec\": {\"args\": [\"b\"]}");
        let (new, kept) = keep(&two, &[(0, new_args(strings(&["a"]))), (1, new_args(strings(&["long"])))]);
        assert_eq!(back(&new, &kept), (two, vec![UndoState::Possible; 2]));
        let (new, kept) = keep(PROVIDER, &[(0, to(new_exec()))]);
        assert_eq!(back(&new, &kept), (PROVIDER.to_owned(), vec![UndoState::Possible]));
    }

    #[test]
    fn a_large_file_on_one_line_comes_back() {
        let entry = |index| {
            format!("{{\"name\":\"u{index}\",\"user\":{{\"exec\":{{\"args\":null}},\"token\":\"{index:0200}\"}}}}")
        };
        let text = format!("{{\"users\":[{}]}}", (0..1_000).map(entry).collect::<Vec<_>>().join(","));
        let edits: Vec<_> = (0..1_000).map(|user| (user, new_args(strings(&["a"])))).collect();
        let (new, kept) = keep(&text, &edits);
        assert_eq!(back(&new, &kept), (text.clone(), vec![UndoState::Possible; 1_000]));
        let spaced = new.replace("\"args\":", "\"args\": ");
        assert_eq!(back(&spaced, &kept), (text, vec![UndoState::Possible; 1_000]));
    }

    #[test]
    fn random_edits_come_back() {
        let flow = "users: [{name: u, user: {exec: {args: [x], command: c}}}]\n";
        let files = [AKS.to_owned(), AKS.replace('\n', "\r\n"), flow.to_owned()];
        let mut random = Random(5);
        for round in 0..1_000 {
            let file = &files[round % files.len()];
            let mut exec = with_variables(random.variables())(exec_of(file));
            exec.command = random.perhaps().unwrap_or(exec.command);
            let (new, kept) = keep(file, &[(0, to(Exec { args: random.args(), ..exec }))]);
            assert_eq!(back(&new, &kept), (file.clone(), vec![UndoState::Possible]));
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

    /// The entry of [`AKS`], without the comments that it had.
    fn entry() -> String {
        let lines = AKS.split_once("users:\n").unwrap().1.lines().filter(|line| !line.trim().starts_with('#'));
        lines.map(|line| line.split(" #").next().unwrap_or_default().to_owned() + "\n").collect()
    }

    /// kubectl has dropped all comments already, so the old value comes back and not its bytes.
    #[test]
    fn what_kubectl_rewrote_comes_back_too() {
        let (_, kept) = keep(AKS, &to_a());
        let expected =
            format!("apiVersion: v1\nclusters: []\nkind: Config\nusers:\n{}- name: v\n  user: {{}}\n", entry());
        assert_eq!(back(REWRITTEN, &kept), (expected.clone(), vec![UndoState::Possible]));
        let crlf = |text: &str| text.replace('\n', "\r\n");
        assert_eq!(back(&crlf(REWRITTEN), &kept).0, crlf(&expected));
        let indented = |text: &str| {
            let (head, users) = text.split_once("users:\n").unwrap();
            let lines = users.lines().map(|line| if line.is_empty() { "\n".into() } else { format!("    {line}\n") });
            format!("{head}users:\n{}", lines.collect::<String>())
        };
        let (text, states) = back(&indented(REWRITTEN), &kept);
        assert_eq!((exec_of(&text), states), (exec_of(AKS), vec![UndoState::Possible]));
        for old in [indented(AKS), crlf(AKS)] {
            assert_eq!(back(REWRITTEN, &keep(&old, &to_a()).1).0, expected);
        }
    }

    #[test]
    fn members_in_another_order_and_style_are_the_same() {
        let (new, kept) = keep("users:\n- name: u\n  user:\n    exec: {command: c, args: null} # c\n", &to_a());
        assert!(new.contains("args: [a]"), "{new}");
        let now = "users:\n- user: {\"exec\": {\"args\": ['a'], \"command\": \"c\"}}\n  name: u # mine\n";
        let expected = "users:\n- name: u\n  user:\n    exec:\n      command: c\n      args: null\n";
        assert_eq!(back(now, &kept), (expected.to_owned(), vec![UndoState::Possible]));
    }

    #[test]
    fn a_comment_that_was_taken_along_comes_back() {
        let old = "users:\n- name: u\n  user:\n    exec:\n      command: c\n      args:\n      - x # last\n";
        let (new, kept) = keep(old, &to_a());
        assert_eq!(new, old.replace("x # last", "a"));
        assert_eq!(back(&new, &kept).0, old);
        let plain = old.replace(" # last", "");
        let commented = new.replace("- a", "- a # now");
        assert_eq!(back(&commented, &kept), (plain.clone(), vec![UndoState::Possible]));
        let rewritten = "users:\n- user:\n    exec:\n      command: c\n      args: [a]\n  name: u\n";
        assert_eq!(back(rewritten, &kept), (plain, vec![UndoState::Possible]));
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
            assert_eq!(back(&now, &kept), (now.clone(), vec![UndoState::Changed]), "{now}");
        }
        let v1 = AKS.replace("v1beta1", "v1");
        let (_, kept) = keep(&v1, &to_a());
        assert_eq!(back(&REWRITTEN.replace("v1beta1", "v1"), &kept).1, [UndoState::Changed]);
        let gone = "users:\n- name: w\n";
        assert_eq!(back(gone, &kept), (gone.to_owned(), vec![UndoState::Gone]));
        assert_eq!(back("", &kept).1, [UndoState::Gone]);
        assert_eq!(back("users: [~]", &kept).1, [UndoState::Gone]);
        assert_eq!(back("x: &x {name: u}\nusers: [*x]", &kept).1, [UndoState::Changed]);
    }

    #[test]
    fn one_that_changed_does_not_keep_the_others() {
        let text = "users:\n- name: u\n  user:\n    exec: {command: c}\n- name: v\n  user:\n    exec: {command: c}\n";
        let (new, kept) = keep(text, &[(0, new_args(strings(&["a"]))), (1, new_args(strings(&["b"])))]);
        let now = new.replace("[b]", "[c]");
        let expected = text.replace("v\n  user:\n    exec: {command", "v\n  user:\n    exec: {args: [c], command");
        assert_eq!(back(&now, &kept), (expected, vec![UndoState::Possible, UndoState::Changed]));
        let twice = [&kept[0], &kept[0]].map(Kept::past);
        assert_eq!(parse(&new).revert(&twice).1, [UndoState::Possible, UndoState::NoPlace]);
    }

    #[test]
    fn a_block_comes_back_into_a_flow_collection() {
        let text = "users:\n- name: u\n  user:\n    exec:\n      command: c\n";
        let (_, kept) = keep(text, &to_a());
        let json = "{\"users\": [{\"name\": \"u\", \"user\": {\"exec\": {\"args\": [\"a\"], \"command\": \"c\"}}}]}";
        let expected = json.replace("\"args\": [\"a\"], ", "");
        assert_eq!(back(json, &kept), (expected, vec![UndoState::Possible]));
        let entry = "users:\n  - {\"name\": \"u\", \"user\": {\"exec\": {\"args\": [\"a\"], \"command\": \"c\"}}}\n";
        let expected = "users:\n  - name: u\n    user:\n      exec:\n        command: c\n";
        assert_eq!(back(entry, &kept).0, expected);
        let (_, flow) = keep(&json.replace("[\"a\"]", "null"), &to_a());
        assert_eq!(back(REWRITTEN, &flow).1, [UndoState::Changed]);
        let (block, _) = keep(text, &to_a());
        let expected = "users:\n- name: u\n  user:\n    exec:\n      args: null\n      command: c\n";
        assert_eq!(back(&block, &flow), (expected.to_owned(), vec![UndoState::Possible]));
    }

    #[test]
    fn anchors_outlive_it_or_it_is_left_alone() {
        let left = |now: &str, kept: &[Kept]| assert_eq!(back(now, kept), (now.to_owned(), vec![UndoState::NoPlace]));
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
        let (text, states) = back(&untied(&new), &kept);
        assert_eq!(text, untied(&file(["b", "a", "c", "d", "a", "e", "f", "g", "a"])));
        for (index, state) in states.into_iter().enumerate() {
            let expected = if [1, 4, 8].contains(&index) { UndoState::NoPlace } else { UndoState::Possible };
            assert_eq!(state, expected, "{index}");
        }
    }

    #[test]
    fn json_with_tabs_comes_back_below_a_block() {
        let json = "{\n\t\"users\": [\n\t\t{\n\t\t\t\"name\": \"u\",\n\t\t\t\"user\": {\"exec\": {\n\t\t\t\t\"args\": [],\n\t\t\t\t\"command\": \"c\"\n\t\t\t}}\n\t\t}\n\t]\n}\n";
        let (new, kept) = keep(json, &to_a());
        assert_eq!(back(&new, &kept).0, json);
        let block = "users:\n- name: u\n  user:\n    exec:\n      args:\n      - a\n      command: c\n";
        assert_eq!(back(block, &kept), (block.replace(":\n      - a", ": []"), vec![UndoState::Possible]));
    }

    /// Its last text has no line break at its end then, for kubectl.
    #[test]
    fn a_file_may_end_with_a_block_scalar() {
        let old = "users:\n- name: u\n  user:\n    exec:\n      args: [x]\n      installHint: |\n        Go.";
        let (new, kept) = keep(old, &to_a());
        assert_eq!(back(&format!("# c\n{new}"), &kept), (format!("# c\n{old}"), vec![UndoState::Possible]));
        let block = "users:\n- name: u\n  user:\n    exec:\n      args:\n      - a\n      installHint: Go.\n";
        assert_eq!(back(block, &kept).1, [UndoState::Possible]);
    }

    #[test]
    fn every_line_break_of_yaml_ends_a_line() {
        let lf = "users:\n- name: u\n  user:\n    exec: {args: [x], command: c}\n    token: >\n      a\n\n      b\n";
        let block =
            "users:\n- name: u\n  user:\n    token: \"a\\nb\\n\"\n    exec:\n      args: [a]\n      command: c\n";
        for old in [lf.to_owned(), lf.replace('\n', "\r"), lf.replace("a\n\n", "a\r\r\n")] {
            let (_, kept) = keep(&old, &to_a());
            let (text, states) = back(block, &kept);
            assert_eq!((exec_of(&text), states), (exec_of(lf), vec![UndoState::Possible]), "{old:?}");
            assert!(text.contains("token: |\n      a\n      b\n"), "{text}");
        }
    }
}
