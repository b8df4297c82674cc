//! What a change of a kubeconfig is as operations on its YAML.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use crate::yaml::{Member, NodeKind, Op, Patch, Result, Splice, TOP, Tree, Value, YamlError, apply, confirm};

use super::{Auth, Change, Document, EditedDocument, EditedSpan, Exec, Section, User, Variable};

impl Section {
    /// Its key at the top of the file.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Section::Clusters => "clusters",
            Section::Contexts => "contexts",
            Section::Users => "users",
            Section::CurrentContext => "current-context",
        }
    }

    /// The key of an entry's body.
    fn body(self) -> &'static str {
        match self {
            Section::Clusters => "cluster",
            Section::Contexts => "context",
            Section::Users => "user",
            Section::CurrentContext => "",
        }
    }
}

impl Change {
    /// The entry that it is about, by its list and name.
    pub(crate) fn entry(&self) -> Option<(Section, &str)> {
        match self {
            Change::Set(section, name, _) | Change::Rename(section, name, _) | Change::Remove(section, name) => {
                Some((*section, name))
            }
            Change::User(..) | Change::UseContext(_) => None,
        }
    }
}

impl Document {
    /// Whether there is an entry of this name.
    pub(crate) fn has(&self, section: Section, name: &str) -> bool {
        self.entry_named(section, name).is_ok_and(|entry| entry.is_some())
    }

    /// The file after `changes`.
    ///
    /// The new text is read again and compared with what was meant: what was named must say what was asked and
    /// all else what it said before.
    ///
    /// # Errors
    /// A member that is shared through an anchor with somebody who is not to change, an entry that is not there,
    /// a text that is written in a way that cannot be edited.
    pub fn change(&self, changes: &[Change]) -> Result<EditedDocument> {
        let mut wanted = Wanted::new();
        for change in changes {
            if let Change::User(user, exec) = change
                && wanted.insert(*user, exec).is_some()
            {
                return Err(YamlError::new("one user was to be edited twice"));
            }
        }
        let shared = self.shared(&wanted)?;
        let mut ops: Vec<Op> = Vec::new();
        let mut owners = Vec::new();
        for (index, change) in changes.iter().enumerate() {
            let new = match change {
                Change::User(user, exec) => self.ops_of(*user, exec, &shared)?,
                other => self.ops_of_entry(other)?,
            };
            for op in new {
                if !joined(&mut ops, &op) {
                    owners.push(index);
                    ops.push(op);
                }
            }
        }
        let patch = apply(&self.tree, &ops)?;
        confirm(&self.tree, &ops, &patch)?;
        if self.tree.has_aliases() {
            self.confirm_users(&wanted, &patch.text)?;
        }
        let touched = self.touched(changes, &owners, &patch);
        Ok(EditedDocument { text: patch.text, touched })
    }

    /// For each user that has its text by an alias, or whose text others have so: all who have that text. All of
    /// them must be to change in the same way, and nothing else may refer to it.
    fn shared(&self, wanted: &Wanted) -> Result<Shared> {
        if !self.tree.has_aliases() {
            return Ok(Shared::new());
        }
        let mut by_text: HashMap<usize, Vec<(usize, Path)>> = HashMap::new();
        for user in 0..self.users.len() {
            if let Ok(path) = self.path(user) {
                by_text.entry(path.value).or_default().push((user, path));
            }
        }
        let mut shared = Shared::new();
        for group in by_text.into_values() {
            self.check_group(&group, wanted)?;
            let users: Vec<usize> = group.iter().map(|(user, _)| *user).collect();
            shared.extend(users.iter().filter(|_| users.len() > 1).map(|user| (*user, users.clone())));
        }
        Ok(shared)
    }

    fn check_group(&self, group: &[(usize, Path)], wanted: &Wanted) -> Result<()> {
        let Some(exec) = group.iter().find_map(|(user, _)| wanted.get(user)) else { return Ok(()) };
        let has_exec = |user: usize| matches!(self.users.get(user).map(|user| &user.auth), Some(Auth::Exec(_)));
        let all = group.iter().all(|(user, _)| has_exec(*user) && wanted.get(user) == Some(exec));
        let passed: HashSet<usize> =
            group.iter().flat_map(|(_, path)| &path.aliases).copied().filter(|_| all).collect();
        for (_, path) in group.iter().filter(|(user, _)| wanted.contains_key(user)) {
            path.aliases
                .iter()
                .filter(|alias| !passed.contains(alias))
                .try_for_each(|alias| self.tree.untied(*alias))?;
            for &node in &path.nodes {
                if let Some(alias) = self.tree.aliases_of(node).rfind(|alias| !passed.contains(alias)) {
                    return Err(self.tree.shared(node, alias));
                }
            }
        }
        Ok(())
    }

    /// The way to the `exec` or `auth-provider` of a user.
    fn path(&self, user: usize) -> Result<Path> {
        let tree = &self.tree;
        let list = tree.own_member(TOP, "users")?.ok_or_else(|| YamlError::new("there is no such user"))?;
        tree.untied(TOP)?;
        tree.untied(list.1)?;
        let mut path = Path { key: TOP, value: TOP, aliases: vec![], nodes: vec![] };
        path.follow(tree, self.entries.get(user).copied().unwrap_or_default());
        let (_, fields) = tree.member_to_edit(path.value, "user")?;
        path.follow(tree, fields);
        let key = match self.users.get(user).map(|user| &user.auth) {
            Some(Auth::Provider { .. }) => "auth-provider",
            _ => "exec",
        };
        let (key, value) = tree.member_to_edit(path.value, key)?;
        path.follow(tree, value);
        path.key = key;
        Ok(path)
    }

    /// What gives a user this `exec`; nothing if it comes with that of another user.
    fn ops_of(&self, index: usize, new: &Exec, shared: &Shared) -> Result<Vec<Op>> {
        let user = self.users.get(index).ok_or_else(|| YamlError::new("there is no such user"))?;
        if shared.get(&index).is_some_and(|users| users.first() != Some(&index)) {
            return Ok(vec![]);
        }
        match &user.auth {
            Auth::Exec(old) => self.tree.ops_of_exec(self.path(index)?.value, old, new),
            Auth::Provider { .. } => {
                let path = self.path(index)?;
                self.tree.detached(path.value)?;
                Ok(vec![Op::Replace(path.key, Value::text("exec")), Op::Replace(path.value, new.value())])
            }
            Auth::Both => Err(user.refuse("has both `exec` and `auth-provider`")),
            Auth::Neither => Err(user.refuse("has neither `exec` nor `auth-provider`")),
        }
    }

    /// What a change of a whole entry is as operations.
    fn ops_of_entry(&self, change: &Change) -> Result<Vec<Op>> {
        let tree = &self.tree;
        let there = |section: Section, name: &str| {
            let missing = || YamlError::new(format!("`{}` has no entry named `{name}`", section.key()));
            self.entry_named(section, name)?.ok_or_else(missing)
        };
        Ok(match change {
            Change::User(..) => vec![],
            Change::UseContext(name) => vec![tree.set_member(TOP, "current-context", Value::text(name))?],
            Change::Remove(section, name) => {
                let entry = there(*section, name)?;
                tree.untied(entry)?;
                tree.detached(entry)?;
                vec![Op::Remove(entry)]
            }
            Change::Rename(section, from, to) => {
                if self.entry_named(*section, to)?.is_some() {
                    return Err(YamlError::new(format!("`{}` has an entry named `{to}` already", section.key())));
                }
                let entry = there(*section, from)?;
                tree.untied(entry)?;
                vec![tree.set_member(entry, "name", Value::text(to))?]
            }
            Change::Set(section, name, body) => match self.entry_named(*section, name)? {
                Some(entry) => {
                    tree.untied(entry)?;
                    vec![tree.set_member(entry, section.body(), body.clone())?]
                }
                None => self.new_entry(*section, name, body)?,
            },
        })
    }

    /// Adds an entry, its members in the order in which kubectl writes them.
    fn new_entry(&self, section: Section, name: &str, body: &Value) -> Result<Vec<Op>> {
        let tree = &self.tree;
        let mut members = [("name", Value::text(name)), (section.body(), body.clone())];
        members.sort_by_key(|(key, _)| *key);
        let value = Value::map(members);
        if let Some((_, list)) = tree.own_member(TOP, section.key())? {
            tree.untied(list)?;
            return Ok(vec![Op::Append { list, value }]);
        }
        if tree.get_or_null(TOP, section.key()).is_some() {
            return Err(tree.merged_in(TOP, section.key()));
        }
        let mut ops = Vec::new();
        if tree.members(TOP).next().is_none() {
            let member =
                |(key, value): (&str, &str)| Op::Insert { map: TOP, key: key.into(), value: Value::text(value) };
            ops.extend([("apiVersion", "v1"), ("kind", "Config")].map(member));
        }
        ops.push(Op::Insert { map: TOP, key: section.key().into(), value: Value::List(vec![value]) });
        Ok(ops)
    }

    /// The entry of a list that has this name; the last one, where there are several.
    fn entry_named(&self, section: Section, name: &str) -> Result<Option<usize>> {
        let tree = &self.tree;
        let is_it = |entry: &usize| tree.get(*entry, "name").and_then(|at| tree.scalar(at)) == Some(name);
        Ok(tree.list_at(TOP, section.key())?.into_iter().filter(is_it).last())
    }

    /// That users read as they are meant to, and all others as before.
    fn confirm_users(&self, wanted: &Wanted, text: &str) -> Result<()> {
        let unexpected = || YamlError::new("the edited file would not read back as intended");
        let new = Document::parse(text.to_owned()).map_err(|_| unexpected())?;
        let done = self.users.iter().zip(&new.users).enumerate().all(|(index, (old, new))| match wanted.get(&index) {
            Some(exec) => matches!(&new.auth, Auth::Exec(new) if new == *exec),
            None => new.auth == old.auth,
        });
        if done && self.users.len() == new.users.len() { Ok(()) } else { Err(unexpected()) }
    }

    /// What a change is about, and the node of it that is there already.
    fn named(&self, change: &Change) -> (Section, String, Option<usize>) {
        match change {
            Change::User(user, _) => {
                let name = self.users.get(*user).map(|user| user.name.clone()).unwrap_or_default();
                (Section::Users, name, self.entries.get(*user).copied())
            }
            Change::UseContext(_) => (Section::CurrentContext, Section::CurrentContext.key().into(), None),
            Change::Set(section, name, _) | Change::Rename(section, name, _) | Change::Remove(section, name) => {
                let now = if let Change::Rename(_, _, to) = change { to } else { name };
                (*section, now.to_owned(), self.entry_named(*section, name).ok().flatten())
            }
        }
    }

    /// Each entry that changes, with all bytes that change for it; one that changes by an alias has none of its own.
    fn touched(&self, changes: &[Change], owners: &[usize], patch: &Patch) -> Vec<EditedSpan> {
        let mut of_change: Vec<Vec<&Splice>> = changes.iter().map(|_| Vec::new()).collect();
        for splice in &patch.splices {
            if let Some(own) = owners.get(splice.op).and_then(|change| of_change.get_mut(*change)) {
                own.push(splice);
            }
        }
        let mut spans: Vec<(EditedSpan, usize, usize)> = Vec::new();
        for (change, own) in changes.iter().zip(of_change) {
            let gone = own.iter().map(|splice| splice.range.len()).sum();
            let come = own.iter().map(|splice| splice.text.len()).sum();
            let (section, name, node) = self.named(change);
            let entry = node.map(|node| self.tree.start(node)..self.tree.comment_end(self.tree.end(node)));
            let holds = |entry: &Range<usize>| {
                own.iter().all(|splice| entry.start <= splice.range.start && splice.range.end <= entry.end)
            };
            let ranges = own.iter().map(|splice| splice.range.clone()).chain(entry.filter(holds));
            let Some(old) = ranges.reduce(|one, other| one.start.min(other.start)..one.end.max(other.end)) else {
                continue;
            };
            let is_entry = node.filter(|&node| self.tree.start(node) == old.start);
            let column = is_entry.map_or(0, |node| self.tree.place(node).column.saturating_sub(1));
            spans.push((EditedSpan { section, name, new: old.clone(), old, column }, gone, come));
        }
        spans.sort_by_key(|(span, ..)| span.old.start);
        let (mut gone, mut come) = (0, 0);
        for (span, goes, comes) in &mut spans {
            let start = span.old.start + come - gone;
            (gone, come) = (gone + *goes, come + *comes);
            span.new = start..span.old.end + come - gone;
        }
        spans.into_iter().map(|(span, ..)| span).collect()
    }
}

/// Whether `op` adds to a list, or a file, that an operation of `ops` makes.
fn joined(ops: &mut [Op], op: &Op) -> bool {
    let Op::Insert { map: TOP, key, value } = op else { return false };
    let made = ops.iter_mut().find_map(|op| match op {
        Op::Insert { map: TOP, key: made, value } if made == key => Some(value),
        _ => None,
    });
    match (made, value) {
        (None, _) => return false,
        (Some(Value::List(made)), Value::List(more)) => made.extend_from_slice(more),
        // Every file begins with the same.
        (Some(_), _) => {}
    }
    true
}

/// The `exec` that users are to have.
type Wanted<'c> = HashMap<usize, &'c Exec>;

/// For each user that shares its text with others: all of them, in the order of the file.
type Shared = HashMap<usize, Vec<usize>>;

/// The way to the text of a user.
struct Path {
    /// The key of the last member.
    key: usize,
    /// What it leads to.
    value: usize,
    /// The aliases on the way.
    aliases: Vec<usize>,
    /// The entry, its body, and the value.
    nodes: Vec<usize>,
}

impl Path {
    fn follow(&mut self, tree: &Tree, node: usize) {
        self.value = tree.resolve(node);
        self.aliases.extend(Some(node).filter(|&node| node != self.value));
        self.nodes.push(self.value);
    }
}

impl Exec {
    fn value(&self) -> Value {
        let text = |text: &Option<String>| Value::text(text.as_deref().unwrap_or_default());
        Value::map([
            ("apiVersion", text(&self.api_version)),
            ("args", texts(&self.args)),
            ("command", Value::text(&self.command)),
            ("env", if self.env.is_empty() { Value::null() } else { variables(&self.env) }),
            ("installHint", text(&self.install_hint)),
            ("interactiveMode", text(&self.interactive_mode)),
            ("provideClusterInfo", Value::Plain(self.provide_cluster_info.to_string())),
        ])
    }
}

fn texts(texts: &[String]) -> Value {
    Value::List(texts.iter().map(Value::text).collect())
}

fn variables(variables: &[Variable]) -> Value {
    Value::List(variables.iter().map(variable).collect())
}

fn variable((name, value): &Variable) -> Value {
    Value::map([("name", Value::text(name)), ("value", Value::text(value))])
}

impl User {
    fn refuse(&self, reason: &str) -> YamlError {
        YamlError::new(format!("user `{}` at line {} {reason}", self.name, self.line))
    }
}

impl Tree {
    /// Sets what differs from `old`.
    fn ops_of_exec(&self, exec: usize, old: &Exec, new: &Exec) -> Result<Vec<Op>> {
        let mut ops = Vec::new();
        let text = |key, old: Option<&String>, new: Option<&String>| {
            let new = new.filter(|new| Some(*new) != old);
            new.map(|new| self.set_member(exec, key, Value::text(new))).transpose()
        };
        ops.extend(text("apiVersion", old.api_version.as_ref(), new.api_version.as_ref())?);
        if old.args != new.args {
            ops.push(self.set_member(exec, "args", texts(&new.args))?);
        }
        ops.extend(text("command", Some(&old.command), Some(&new.command))?);
        ops.extend(self.ops_of_env(exec, &old.env, &new.env)?);
        ops.extend(text("interactiveMode", old.interactive_mode.as_ref(), new.interactive_mode.as_ref())?);
        Ok(ops)
    }

    fn ops_of_env(&self, exec: usize, old: &[Variable], new: &[Variable]) -> Result<Vec<Op>> {
        let list = self.own_member(exec, "env")?.map(|member| member.1);
        let items = list.map(|list| self.items(list)).unwrap_or_default();
        let Some(list) = list.filter(|_| !items.is_empty() && old != new) else {
            return if old == new { Ok(vec![]) } else { Ok(vec![self.set_member(exec, "env", variables(new))?]) };
        };
        self.untied(list)?;
        let mut ops = Vec::new();
        for index in (0..items.len().max(new.len())).filter(|index| old.get(*index) != new.get(*index)) {
            match (items.get(index), new.get(index)) {
                (Some(&item), Some((name, value))) => {
                    self.untied(item)?;
                    if old.get(index).is_none_or(|old| old.0 != *name) {
                        ops.push(self.set_member(item, "name", Value::text(name))?);
                    }
                    ops.push(self.set_member(item, "value", Value::text(value))?);
                }
                (Some(&item), None) => ops.push(Op::Remove(item)),
                (None, new) => ops.extend(new.map(|new| Op::Append { list, value: variable(new) })),
            }
        }
        Ok(ops)
    }

    /// Gives the member `key` of a mapping this value, or adds it.
    fn set_member(&self, map: usize, key: &str, value: Value) -> Result<Op> {
        if let Some((_, old)) = self.own_member(map, key)? {
            self.untied(old)?;
            self.detached(old)?;
            if matches!(self.kind(old), Some(NodeKind::Scalar { tagged: true, .. })) {
                return Err(self.wrong(old, format!("`{key}` is written in a way that cannot be edited")));
            }
            return Ok(Op::Replace(old, value));
        }
        // What is merged before the new member gives way to it.
        let merges_behind =
            || self.members(map).skip_while(|member| self.is_merge(member.0)).any(|member| self.is_merge(member.0));
        if self.get_or_null(map, key).is_some() && merges_behind() {
            return Err(self.merged_in(map, key));
        }
        Ok(Op::Insert { map, key: key.into(), value })
    }

    fn member_to_edit(&self, mapping: usize, key: &str) -> Result<Member> {
        self.own_member(mapping, key)?.ok_or_else(|| self.merged_in(mapping, key))
    }

    fn merged_in(&self, mapping: usize, key: &str) -> YamlError {
        self.wrong(mapping, format!("`{key}` cannot be edited because a merge key brings it to the mapping"))
    }

    /// The key and value of a member that is there once and that no merge key hides.
    fn own_member(&self, mapping: usize, key: &str) -> Result<Option<Member>> {
        let mut named = self.members(mapping).filter(|(name, _)| self.says(*name, key));
        let Some((name, value)) = named.next() else {
            return Ok(None);
        };
        if let Some((again, _)) = named.next() {
            let (first, second) = (self.place(name).line, self.place(again).line);
            return Err(YamlError::new(format!(
                "`{key}` cannot be edited because it is there twice, at lines {first} and {second}"
            )));
        }
        if self.get_or_null(mapping, key) != Some(self.resolve(value)) {
            return Err(self.merged_in(mapping, key));
        }
        Ok(Some((name, value)))
    }

    /// That no alias ties a node to another place.
    fn untied(&self, node: usize) -> Result<()> {
        let line = self.place(node).line;
        if let Some(NodeKind::Alias(target)) = self.kind(node) {
            let target = self.place(target as usize).line;
            return Err(YamlError::new(format!(
                "the alias at line {line} cannot be edited without what it refers to at line {target}"
            )));
        }
        match self.aliases_of(node).next_back() {
            Some(alias) => Err(self.shared(node, alias)),
            None => Ok(()),
        }
    }

    /// That nothing inside a value is referred to from outside it.
    fn detached(&self, value: usize) -> Result<()> {
        match self.alias_into(value) {
            Some((target, alias)) => Err(self.shared(target, alias)),
            None => Ok(()),
        }
    }

    fn shared(&self, target: usize, alias: usize) -> YamlError {
        let (target, alias) = (self.place(target).line, self.place(alias).line);
        YamlError::new(format!(
            "the value at line {target} cannot be edited because the alias at line {alias} refers to it"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::support::{
        AKS, PROVIDER, Random, args, convert, edit, edited, exec_of, new_args, new_exec, parse, set_env, strings, to,
        with_variables,
    };
    use super::*;

    #[test]
    fn several_edits_at_once() {
        let text = format!("{AKS}{}", PROVIDER.replace("users:\n", "").replace("name: u", "name: v"));
        let both = edited(&text, &[(1, to(new_exec())), (0, new_args(strings(&["a"])))]).unwrap();
        let one = edited(&text, &[(0, new_args(strings(&["a"])))]).unwrap();
        assert_eq!(edited(&one, &[(1, to(new_exec()))]).unwrap(), both);
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
        assert_eq!(args(swapped, &["z"]).unwrap(), swapped.replace("{command", "{args: [z], command"));
        let inside = "users:\n- name: a\n  user:\n    exec:\n      args:\n      - &x y\n      command: *x\n";
        assert_eq!(
            args(inside, &["y", "z"]).unwrap_err(),
            "the value at line 6 cannot be edited because the alias at line 7 refers to it"
        );
        let both = "users:\n- name: a\n  user: {exec: {}, auth-provider: {}}\n";
        assert_eq!(args(both, &["y"]).unwrap_err(), "user `a` at line 2 has both `exec` and `auth-provider`");
        let neither = "users:\n- name: a\n  user: {token: t}\n";
        assert_eq!(args(neither, &["y"]).unwrap_err(), "user `a` at line 2 has neither `exec` nor `auth-provider`");
        let twice = "users:\n- name: a\n  user:\n    exec: {args: [a], args: [b]}\n";
        assert_eq!(
            args(twice, &["y"]).unwrap_err(),
            "`args` cannot be edited because it is there twice, at lines 4 and 4"
        );
        let odd = "users:\n- name: a\n  user:\n    ? exec\n    : args:\n      - a\n";
        assert_eq!(args(odd, &["y"]).err(), None);
        let odd = odd.replace("\n      - a", " null");
        assert_eq!(args(&odd, &["z"]).unwrap(), odd.replace(" null", "\n      - z"));
    }

    /// Two users: an anchor in the first, its alias in the second.
    #[test]
    fn anchors_used_elsewhere_are_kept_or_refused() {
        let file =
            |first: &str, second: &str| format!("users:\n- name: a\n  user: {first}\n- name: b\n  user: {second}\n");
        let tied = Some("the value at line 3 cannot be edited because the alias at line 5 refers to it");
        let alias = Some("the alias at line 5 cannot be edited without what it refers to at line 3");
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
            ("{exec: {? &x args : [old]}}", "{exec: {*x : [old]}}", None, None),
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
        assert_eq!(edit(&parse(&file("null")), &edits).unwrap().text, file("[\"new\"]"));
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
            let new = edited(file, &edits).unwrap_or_else(|error| panic!("{error}"));
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
            let mut exec = Exec { args: random.args(), ..with_variables(random.variables())(exec_of(file)) };
            exec.interactive_mode = random.perhaps().or(exec.interactive_mode);
            exec.api_version = random.perhaps().or(exec.api_version);
            let edits = [(0, to(exec.clone()))];
            let new = edited(file, &edits).unwrap_or_else(|error| panic!("{error} {file} {exec:?}"));
            assert_eq!(edited(&new, &edits).unwrap(), new);
            assert_eq!(exec_of(&new), exec);
            let stays = |line: &&str| !line.contains("args") && !line.contains("value");
            let mut lines = new.lines();
            let kept = file.lines().filter(stays).all(|line| lines.any(|new| new == line));
            let comments = ["# one", "# a", "# b"].iter().all(|comment| new.contains(comment));
            assert!(!file.contains("# env") || kept && comments, "{new}");
        }
    }
}
