//! Whether a user can be edited, and whether an edit did what it should.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use super::source::Splice;
use super::tree::{Member, NodeKind, TOP, Tree};
use super::{Auth, Document, DocumentError, Edit, EditedSpan, Exec, Result, User};

/// What edits do to the text.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) splices: Vec<Splice>,
    pub(super) differences: Differences,
}

/// Where the new tree may differ from the old one, by nodes of the old one.
#[derive(Default)]
pub(super) struct Differences {
    /// Keys of a mapping that go, and those that come.
    keys: HashMap<usize, Vec<Keys>>,
    /// How many items come at the end of a list.
    items: HashMap<usize, usize>,
    /// Nodes that may become anything else.
    entries: HashSet<usize>,
}

/// The key that goes and the key that comes.
type Keys = (&'static str, &'static str);

impl Differences {
    pub(super) fn of_entries(entries: HashSet<usize>) -> Differences {
        Differences { entries, ..Differences::default() }
    }
}

impl Plan {
    /// Splices that leave nothing of one member of `mapping` but perhaps its key.
    pub(super) fn member(mapping: usize, keys: Keys, splices: Vec<Splice>) -> Plan {
        let keys = HashMap::from([(mapping, vec![keys])]);
        Plan { splices, differences: Differences { keys, ..Differences::default() } }
    }

    /// A splice that puts `count` items at the end of `list`.
    pub(super) fn items(list: usize, count: usize, splice: Splice) -> Plan {
        let items = HashMap::from([(list, count)]);
        Plan { splices: vec![splice], differences: Differences { items, ..Differences::default() } }
    }

    pub(super) fn extend(&mut self, other: Plan) {
        self.splices.extend(other.splices);
        for (mapping, keys) in other.differences.keys {
            self.differences.keys.entry(mapping).or_default().extend(keys);
        }
        self.differences.items.extend(other.differences.items);
    }
}

/// How far an edit reaches: the entry of its user and all that is spliced for it.
pub(super) struct Reach {
    user: usize,
    old: Range<usize>,
    /// How many bytes of it go, and how many come.
    gone: usize,
    come: usize,
}

impl Reach {
    pub(super) fn of(user: usize, entry: Range<usize>, splices: &[Splice]) -> Reach {
        let mut reach = Reach { user, old: entry, gone: 0, come: 0 };
        for (range, new) in splices {
            reach.old = reach.old.start.min(range.start)..reach.old.end.max(range.end);
            reach.gone += range.len();
            reach.come += new.len();
        }
        reach
    }
}

impl Edit {
    /// What the user's `auth` must be afterwards.
    fn outcome(&self, old: Option<&Auth>) -> Option<Auth> {
        match (self, old) {
            (Edit::Exec(change), Some(Auth::Exec(exec))) => Some(Auth::Exec(exec.changed(change))),
            (Edit::ProviderToExec(new), _) => Some(Auth::Exec(Exec {
                command: new.command.clone(),
                args: new.args.clone(),
                env: new.env.clone(),
                api_version: Some(new.api_version.clone()),
                interactive_mode: Some(new.interactive_mode.clone()),
                install_hint: Some(new.install_hint.clone()),
                ..Exec::default()
            })),
            _ => None,
        }
    }
}

impl Document {
    /// The node of a user's entry.
    pub(super) fn entry_node(&self, user: usize) -> Option<usize> {
        self.entries.get(user).copied()
    }

    pub(super) fn touched(&self, mut reaches: Vec<Reach>) -> Vec<EditedSpan> {
        reaches.sort_by_key(|reach| reach.old.start);
        let (mut gone, mut come) = (0, 0);
        let touched = |Reach { user, old, gone: goes, come: comes }: Reach| {
            let start = old.start + come - gone;
            (gone, come) = (gone + goes, come + comes);
            let new = start..old.end + come - gone;
            let column = self.entry_node(user).map_or(0, |node| self.tree.place(node).column.saturating_sub(1));
            EditedSpan { user, old, new, column }
        };
        reaches.into_iter().map(touched).collect()
    }

    pub(super) fn plan(&self, index: usize, edit: &Edit) -> Result<Plan> {
        let user = self.users.get(index).ok_or_else(|| DocumentError::new("there is no such user"))?;
        let entry = self.entry_node(index).unwrap_or_default();
        let fields = self.tree.fields_to_edit(entry)?;
        match (edit, &user.auth) {
            (Edit::Exec(change), Auth::Exec(exec)) => self.tree.plan_change(fields, exec, change),
            (Edit::ProviderToExec(new), Auth::Provider { .. }) => self.tree.plan_exec(fields, new),
            (_, Auth::Both) => Err(user.refuse("has both `exec` and `auth-provider`")),
            (Edit::Exec(_), _) => Err(user.refuse("has no `exec`")),
            (Edit::ProviderToExec(_), _) => Err(user.refuse("has no `auth-provider`")),
        }
    }

    /// Reads the new text again; an edit that did not do exactly what it should
    /// is dropped.
    pub(super) fn confirm(&self, text: String, edits: &[(usize, Edit)], differences: Differences) -> Result<Document> {
        let unexpected = || DocumentError::new("the edited file would not read back as intended");
        let new = Document::parse(text).map_err(|_| unexpected())?;
        let same = self.differs_only(&new, differences);
        let done = edits.iter().all(|(index, edit)| {
            let old = self.users.get(*index).map(|user| &user.auth);
            new.users.get(*index).is_some_and(|user| Some(&user.auth) == edit.outcome(old).as_ref())
        });
        if same && done { Ok(new) } else { Err(unexpected()) }
    }

    /// Whether another document says the same but for `differences`.
    pub(super) fn differs_only(&self, new: &Document, differences: Differences) -> bool {
        Comparison { old: &self.tree, new: &new.tree, differences, twins: HashMap::new() }.same(TOP, TOP)
    }
}

impl User {
    fn refuse(&self, reason: &str) -> DocumentError {
        DocumentError::new(format!("user `{}` at line {} {reason}", self.name, self.line))
    }
}

impl Tree {
    /// The `user` mapping of an entry, if no anchor or alias ties it, or what
    /// it stands in, to another place.
    fn fields_to_edit(&self, entry: usize) -> Result<Member> {
        self.untied(TOP)?;
        self.member_to_edit(TOP, "users")?;
        self.untied(entry)?;
        self.member_to_edit(entry, "user")
    }

    pub(super) fn member_to_edit(&self, mapping: usize, key: &str) -> Result<Member> {
        self.own_member(mapping, key)?.ok_or_else(|| self.merged_in(mapping, key))
    }

    pub(super) fn merged_in(&self, mapping: usize, key: &str) -> DocumentError {
        self.wrong(mapping, format!("`{key}` cannot be edited because a merge key brings it to the mapping"))
    }

    /// The key and value of a member, its value not tied to another place.
    pub(super) fn own_member(&self, mapping: usize, key: &str) -> Result<Option<Member>> {
        let mut named = self.members(mapping).filter(|(name, _)| self.scalar(*name) == Some(key));
        let Some((name, value)) = named.next() else {
            return Ok(None);
        };
        if let Some((again, _)) = named.next() {
            let (first, second) = (self.place(name).line, self.place(again).line);
            return Err(DocumentError::new(format!(
                "`{key}` cannot be edited because it is there twice, at lines {first} and {second}"
            )));
        }
        self.untied(value)?;
        if self.get_or_null(mapping, key) != Some(value) {
            return Err(self.merged_in(mapping, key));
        }
        Ok(Some((name, value)))
    }

    /// That no alias ties a node to another place.
    pub(super) fn untied(&self, node: usize) -> Result<()> {
        let line = self.place(node).line;
        if let Some(NodeKind::Alias(target)) = self.kind(node) {
            let target = self.place(target as usize).line;
            return Err(DocumentError::new(format!(
                "the alias at line {line} cannot be edited without what it refers to at line {target}"
            )));
        }
        match self.alias_to(node) {
            Some(alias) => Err(self.shared(node, alias)),
            None => Ok(()),
        }
    }

    /// That nothing inside a value is referred to from outside it.
    pub(super) fn detached(&self, value: usize) -> Result<()> {
        match self.alias_into(value) {
            Some((target, alias)) => Err(self.shared(target, alias)),
            None => Ok(()),
        }
    }

    fn shared(&self, target: usize, alias: usize) -> DocumentError {
        let (target, alias) = (self.place(target).line, self.place(alias).line);
        DocumentError::new(format!(
            "the value at line {target} cannot be edited because the alias at line {alias} refers to it"
        ))
    }
}

/// Walks the old and the new tree side by side.
struct Comparison<'a> {
    old: &'a Tree,
    new: &'a Tree,
    differences: Differences,
    /// For each anchored node of the old tree, the same node in the new one.
    twins: HashMap<usize, usize>,
}

impl Comparison<'_> {
    fn same(&mut self, old: usize, new: usize) -> bool {
        if self.differences.entries.contains(&old) {
            return true;
        }
        if self.old.alias_to(old).is_some() {
            self.twins.insert(old, new);
        }
        match (self.old.kind(old), self.new.kind(new)) {
            (Some(NodeKind::Mapping { flow }), Some(NodeKind::Mapping { flow: new_flow })) => {
                flow == new_flow && self.same_members(old, new)
            }
            (Some(NodeKind::List { flow }), Some(NodeKind::List { flow: new_flow })) => {
                flow == new_flow && self.same_items(old, new)
            }
            (Some(NodeKind::Alias(target)), Some(NodeKind::Alias(new_target))) => {
                self.twins.get(&(target as usize)) == Some(&(new_target as usize))
            }
            (
                Some(NodeKind::Scalar { style, tagged, .. }),
                Some(NodeKind::Scalar { style: new_style, tagged: new_tagged, .. }),
            ) => (style, tagged) == (new_style, new_tagged) && self.old.scalar(old) == self.new.scalar(new),
            (None, None) => true,
            _ => false,
        }
    }

    fn same_members(&mut self, old: usize, new: usize) -> bool {
        let keys = self.differences.keys.get(&old).cloned().unwrap_or_default();
        let (old_tree, new_tree) = (self.old, self.new);
        let goes = |key: &Member| keys.iter().any(|(go, _)| old_tree.scalar(key.0) == Some(go));
        let comes = |key: &Member| keys.iter().any(|(_, come)| new_tree.scalar(key.0) == Some(come));
        let mut old = old_tree.members(old).filter(|member| !goes(member));
        let mut new = new_tree.members(new).filter(|member| !comes(member));
        loop {
            match (old.next(), new.next()) {
                (Some(old), Some(new)) if self.same(old.0, new.0) && self.same(old.1, new.1) => {}
                (old, new) => return old.is_none() && new.is_none(),
            }
        }
    }

    fn same_items(&mut self, old: usize, new: usize) -> bool {
        let come = self.differences.items.get(&old).copied().unwrap_or_default();
        let (old, new) = (self.old.items(old), self.new.items(new));
        old.len() + come == new.len() && old.into_iter().zip(new).all(|(old, new)| self.same(old, new))
    }
}

#[cfg(test)]
mod tests {
    use super::super::ExecChange;
    use super::super::support::{
        AKS, PROVIDER, Random, args, convert, edited, exec_of, new_args, new_exec, parse, set_env, strings,
    };
    use super::*;

    #[test]
    fn several_edits_at_once() {
        let text = format!("{AKS}{}", PROVIDER.replace("users:\n", "").replace("name: u", "name: v"));
        let both = edited(&text, &[(1, Edit::ProviderToExec(new_exec())), (0, new_args(strings(&["a"])))]).unwrap();
        let one = edited(&text, &[(0, new_args(strings(&["a"])))]).unwrap();
        assert_eq!(edited(&one, &[(1, Edit::ProviderToExec(new_exec()))]).unwrap(), both);
        let twice = edited(&text, &[(0, new_args(vec![])), (0, new_args(vec![]))]);
        assert!(twice.is_err());
    }

    #[test]
    fn refuses_what_it_cannot_edit() {
        let shared = "users:\n- name: a\n  user: &base\n    exec:\n      command: c\n      args: [x]\n- name: b\n  user: *base\n";
        assert_eq!(
            args(shared, &["y"]).unwrap_err(),
            "the value at line 4 cannot be edited because the alias at line 8 refers to it"
        );
        let swapped = "base: &b {exec: {command: c}}\nusers:\n- name: b\n  user: *b\n";
        assert_eq!(
            args(swapped, &["y"]).unwrap_err(),
            "the alias at line 4 cannot be edited without what it refers to at line 1"
        );
        let inside = "users:\n- name: a\n  user:\n    exec:\n      args:\n      - &x y\n      command: *x\n";
        assert_eq!(
            args(inside, &["y", "z"]).unwrap_err(),
            "the value at line 6 cannot be edited because the alias at line 7 refers to it"
        );
        let both = "users:\n- name: a\n  user: {exec: {}, auth-provider: {}}\n";
        assert_eq!(args(both, &["y"]).unwrap_err(), "user `a` at line 2 has both `exec` and `auth-provider`");
        assert_eq!(convert(AKS).unwrap_err(), "user `u` at line 16 has no `auth-provider`");
        assert_eq!(args(PROVIDER, &[]).unwrap_err(), "user `u` at line 2 has no `exec`");
        let twice = "users:\n- name: a\n  user:\n    exec: {args: [a], args: [b]}\n";
        assert_eq!(
            args(twice, &["y"]).unwrap_err(),
            "`args` cannot be edited because it is there twice, at lines 4 and 4"
        );
        let odd = "users:\n- name: a\n  user:\n    ? exec\n    : args:\n      - a\n";
        assert_eq!(args(odd, &["y"]).err(), None);
        assert_eq!(
            args("users:\n- name: a\n  user:\n    ? exec\n    : args: null\n", &["y"]).unwrap_err(),
            "line 5 is written in a way that cannot be edited"
        );
    }

    /// Two users: an anchor in the first, its alias in the second.
    #[test]
    fn anchors_used_elsewhere_are_kept_or_refused() {
        let file =
            |first: &str, second: &str| format!("users:\n- name: a\n  user: {first}\n- name: b\n  user: {second}\n");
        let tied = Some("the value at line 3 cannot be edited because the alias at line 5 refers to it");
        let alias = Some("the alias at line 5 cannot be edited without what it refers to at line 3");
        let unread = Some("the edited file would not read back as intended");
        // The anchor and the alias, and why the args of each of the two cannot be set, if they cannot.
        let cases = [
            ("{exec: {args: &x [old]}}", "{exec: {args: *x}}", tied, alias),
            ("{exec: {args: [&x old]}}", "{exec: {args: [*x]}}", tied, None),
            ("{exec: {args: [&x old, *x]}}", "{exec: {args: [old]}}", None, None),
            ("{exec: &x {args: [old]}}", "{exec: *x}", tied, alias),
            ("&x {exec: {args: [old]}}", "*x", tied, alias),
            ("{exec: {args: [old], env: &x [{name: A}]}}", "{exec: {args: [old], env: *x}}", None, None),
            ("{exec: {args: [old], command: &x c}}", "{exec: {args: [old], command: *x}}", None, None),
            ("{exec: {args: [old]}, token: &x t}", "{exec: {args: [old]}, token: *x}", None, None),
            ("{exec: {? &x args : [old]}}", "{exec: {*x : [old]}}", unread, None),
        ];
        for (first, second, first_error, second_error) in cases {
            let text = file(first, second);
            let set = |user| edited(&text, &[(user, new_args(strings(&["new"])))]).map_err(|error| error.to_string());
            match first_error {
                Some(error) => assert_eq!(set(0), Err(error.to_owned()), "{text}"),
                None => assert_eq!(set(0).map(|new| new.contains(&second.replace("&x ", ""))), Ok(true), "{text}"),
            }
            match second_error {
                Some(error) => assert_eq!(set(1), Err(error.to_owned()), "{text}"),
                None => assert_eq!(set(1).map(|new| new.contains(first)), Ok(true), "{text}"),
            }
        }
    }

    #[test]
    fn anchors_of_entries_and_providers_are_kept_or_refused() {
        let set = |text: &str| args(text, &["new"]);
        let entry = "users:\n- &x {name: a, user: {exec: {args: [old]}}}\nx: *x\n";
        assert!(set(entry).unwrap_err().starts_with("the value at line 2 cannot be edited"));
        let list = "users: &x\n- {name: a, user: {exec: {args: [old]}}}\nx: *x\n";
        assert!(set(list).unwrap_err().starts_with("the value at line 2 cannot be edited"));
        let key = "x: &x exec\nusers:\n- {name: a, user: {*x : {args: [old]}}}\n";
        assert_eq!(set(key).unwrap(), key.replace("old", "new"));
        let provider = |config: &str| {
            format!(
                "c: &c {{apiserver-id: S}}\nusers:\n- name: a\n  user:\n    auth-provider:\n      name: azure\n      config: {config}\n"
            )
        };
        let used = |config: &str| provider(config) + "x: *x\n";
        let tied = "the value at line 7 cannot be edited because the alias at line 8 refers to it";
        for config in ["&x {a: b}", "{a: &x b}", "{&x a: b}"] {
            assert_eq!(convert(&used(config)).unwrap_err(), tied);
        }
        let converted = convert(&provider("*c")).unwrap();
        assert!(
            converted.starts_with("c: &c {apiserver-id: S}\nusers:\n- name: a\n  user:\n    exec:\n"),
            "{converted}"
        );
        let again = provider("&c {a: b}") + "x: &c 1\ny: *c\n";
        assert!(convert(&again).unwrap().ends_with("provideClusterInfo: false\nx: &c 1\ny: *c\n"));
    }

    /// An anchor that goes would let the alias behind it mean the one of the same name before it.
    #[test]
    fn an_alias_never_changes_its_meaning() {
        let text = "a: &x 1\nusers:\n- {name: a, user: {exec: {args: [&x old]}}}\nb: *x\n";
        assert!(args(text, &["new"]).is_err());
    }

    #[test]
    fn a_large_file_on_one_line_is_edited_in_no_time() {
        let blob = "A".repeat(2_000);
        let entry = |index: usize, args: &str| {
            format!(
                "{{\"name\":\"u{index}\",\"user\":{{\"token\":\"{blob}\",\"exec\":{{\"args\":{args},\"command\":\"c\"}}}}}}"
            )
        };
        let file = |args: &str| {
            let users: Vec<_> = (0..1_000).map(|index| entry(index, args)).collect();
            format!("{{\"users\":[{}]}}", users.join(","))
        };
        let edits: Vec<_> = (0..1_000).map(|user| (user, new_args(strings(&["new"])))).collect();
        assert_eq!(parse(&file("null")).edit(&edits).unwrap().document.text(), file("[\"new\"]"));
    }

    /// A width in `format!` has a limit.
    #[test]
    fn no_indentation_is_too_deep() {
        let dash = " ".repeat(70_000);
        let file = |env: &str| {
            format!(
                "users:\n{dash}- name: u\n{dash}  user:\n{dash}    exec:\n{dash}      env:\n{dash}      - name: X\n{env}{dash}      command: c\n"
            )
        };
        let value = format!("{dash}        value: /d\n");
        assert_eq!(set_env(&file(""), "/d").unwrap(), file(&value));
        let new = args(&file(""), &["a"]).unwrap();
        assert_eq!(exec_of(&new).args, ["a"]);
    }

    #[test]
    fn unrelated_anchors_survive() {
        let text =
            "x: &x {a: &x 1, b: *x}\nusers:\n- name: a\n  user: {exec: {args: [&y z], command: c}}\ny: &z 1\nz: *z\n";
        assert_eq!(args(text, &["a"]).unwrap(), text.replace("&y z", "a"));
    }

    #[test]
    fn a_bom_and_document_marks_stay() {
        let text = "\u{feff}---\nusers:\n- name: a\n  user:\n    exec:\n      args:\n      - x\n...\n# end\n";
        assert_eq!(args(text, &["z"]).unwrap(), text.replace("- x", "- z"));
        let text = "\u{feff}{\"users\": [{\"name\": \"a\", \"user\": {\"exec\": {\"args\": [\"x\"]}}}]}";
        assert_eq!(args(text, &["y"]).unwrap(), text.replace("\"x\"", "\"y\""));
    }

    #[test]
    fn edits_touch_nothing_else_and_repeat() {
        let json = "{\n  \"users\": [\n    {\"name\": \"u\", \"user\": {\"exec\": {\n      \"args\": [\"x\"],\n      \"command\": \"c\"\n    }}}\n  ]\n}";
        let files = [
            AKS.to_owned(),
            AKS.replace('\n', "\r\n"),
            json.to_owned(),
            "users: [{name: u, user: {exec: {args: [x], command: c}}}]\n".to_owned(),
        ];
        let mut random = Random(2);
        for round in 0..2_000 {
            let file = &files[round % files.len()];
            let args = random.args();
            let edits = [(0, new_args(args.clone()))];
            let new = edited(file, &edits).unwrap();
            assert_eq!(edited(&new, &edits).unwrap(), new);
            let exec = file.find("args").unwrap();
            assert_eq!(new[..exec], file[..exec]);
            let rest = &file[file.find("command").unwrap()..];
            assert!(new.ends_with(rest), "{new}");
            assert_eq!(edited(&new, &[(0, new_args(random.args()))]).map(|text| text.ends_with(rest)), Ok(true));
        }
    }

    #[test]
    fn variables_change_and_nothing_else() {
        let block = "users:\n- name: u\n  user:\n    exec:\n      args: [x]\n      command: c # c\n      env: # env\n      - name: Z # z\n        value: 1 # one\n        extra: [1, 2]\n      - {value: b, name: A} # a\n      - name: B\n        value: 'it''s' # b\n      # end\n      installHint: i\n";
        let json = "{\"users\": [{\"name\": \"u\", \"user\": {\"exec\": {\n  \"env\": [\n    {\"name\": \"B\"},\n    {\"value\": \"1\", \"name\": \"A\"}\n  ],\n  \"args\": null,\n  \"command\": \"c\"}}}]}";
        let files = [
            AKS.to_owned(),
            AKS.replace('\n', "\r\n"),
            AKS.replace("      env: null\n", ""),
            block.to_owned(),
            block.replace('\n', "\r\n"),
            json.to_owned(),
            "users: [{name: u, user: {exec: {env: [], args: [x], command: c}}}]\n".to_owned(),
        ];
        let mut random = Random(4);
        for round in 0..4_000 {
            let file = &files[round % files.len()];
            let mut change = ExecChange { args: random.args(), variables: random.variables(), ..ExecChange::default() };
            change.interactive_mode = random.perhaps();
            change.api_version = random.perhaps();
            let edits = [(0, Edit::Exec(change.clone()))];
            let new = edited(file, &edits).unwrap();
            assert_eq!(edited(&new, &edits).unwrap(), new);
            assert_eq!(exec_of(&new), exec_of(file).changed(&change));
            let stays = |line: &&str| !line.contains("args") && !line.contains("value");
            let mut lines = new.lines();
            let kept = file.lines().filter(stays).all(|line| lines.any(|new| new == line));
            let comments = ["# one", "# a", "# b"].iter().all(|comment| new.contains(comment));
            assert!(!file.contains("# env") || kept && comments, "{new}");
        }
    }
}
