//! Sets variables in the `env` of an entry.

use super::edit::Plan;
use super::source::Splice;
use super::tree::{Member, Tree};
use super::write::{Layout, Part, variable_lines};
use super::{DocumentError, Result, Variable};

/// The variables `old` after those of `new` are set.
pub(super) fn set(old: &[Variable], new: &[Variable]) -> Vec<Variable> {
    let mut all = old.to_vec();
    for variable in new {
        let mut there = false;
        for same in all.iter_mut().filter(|same| same.0 == variable.0) {
            same.1.clone_from(&variable.1);
            there = true;
        }
        if !there {
            all.push(variable.clone());
        }
    }
    all
}

impl Tree {
    pub(super) fn plan_variables(&self, exec: Member, old: &[Variable], new: &[Variable]) -> Result<Plan> {
        let differs = |variable: &&Variable| set(old, std::slice::from_ref(variable)) != old;
        let new: Vec<_> = new.iter().filter(differs).cloned().collect();
        if new.is_empty() {
            return Ok(Plan::default());
        }
        let list = Part::Variables(&new);
        let splices = match self.own_member(exec.1, "env")? {
            None if self.get(exec.1, "env").is_some() => return Err(self.merged_in(exec.1, "env")),
            None => vec![self.add_part(exec, list)?],
            Some(env) if self.items(env.1).is_empty() => self.fill_list(exec.1, env, list)?,
            Some(env) => return self.set_variables(env, &new),
        };
        Ok(Plan::member(exec.1, ("env", "env"), splices))
    }

    fn set_variables(&self, env: Member, new: &[Variable]) -> Result<Plan> {
        let mut plan = Plan::default();
        let mut missing = Vec::new();
        for variable in new {
            match self.variable_named(env.1, &variable.0)? {
                Some(item) => {
                    let splice = self.set_value(item, &variable.1)?;
                    plan.extend(Plan::member(item, ("value", "value"), vec![splice]));
                }
                None => missing.push(variable.clone()),
            }
        }
        if !missing.is_empty() {
            plan.extend(Plan::items(env.1, missing.len(), self.append_variables(env, &missing)?));
        }
        Ok(plan)
    }

    fn variable_named(&self, env: usize, name: &str) -> Result<Option<usize>> {
        let is_it = |item: &usize| self.get(*item, "name").and_then(|name| self.scalar(name)) == Some(name);
        let mut named = self.items(env).into_iter().filter(is_it);
        let (first, second) = (named.next(), named.next());
        if let Some((first, second)) = first.zip(second) {
            let (first, second) = (self.place(first).line, self.place(second).line);
            return Err(DocumentError::new(format!(
                "`env` has two variables named `{name}`, at lines {first} and {second}"
            )));
        }
        Ok(first)
    }

    fn set_value(&self, item: usize, new: &str) -> Result<Splice> {
        self.untied(item)?;
        match self.own_member(item, "value")? {
            Some(member) => self.set_text(item, member, "value", new),
            None => self.add_value(item, new),
        }
    }

    /// Adds the `value` that a variable lacks behind its name.
    fn add_value(&self, item: usize, new: &str) -> Result<Splice> {
        let unusual = || self.wrong(item, "a variable is written in a way that cannot be edited");
        let (key, name) = self.own(item, "name").ok_or_else(unusual)?;
        let layout = self.beside(item, key, self.all_quoted(&[name]));
        let member = layout.key("value") + &layout.text(new);
        if self.is_flow(item) {
            let end = self.end(name);
            return Ok((end..end, format!(",{}{member}", layout.gap())));
        }
        let end = self.comment_end(self.end(name));
        let indent = " ".repeat(self.place(key).column.saturating_sub(1));
        Ok((end..end, format!("{}{indent}{member}", self.eol)))
    }

    fn append_variables(&self, (key, env): Member, new: &[Variable]) -> Result<Splice> {
        let last = self.items(env).last().copied().unwrap_or_default();
        let end = self.end(last);
        if self.start(last) == end {
            return Err(self.wrong(last, "an item of `env` is written in a way that cannot be edited"));
        }
        if self.is_flow(env) {
            return Ok((end..end, self.flow_variables(key, env, last, new)));
        }
        let dash = self.first_dash(key)?;
        let values: Vec<_> = self.members(last).map(|member| member.1).collect();
        let mut lines = vec![String::new()];
        lines.extend(variable_lines(new, self.all_quoted(&values)));
        let end = self.comment_end(end);
        Ok((end..end, self.join(&lines, self.block_indent(dash)?)))
    }

    /// Items behind the last one of a flow list, laid out as that one.
    fn flow_variables(&self, key: usize, env: usize, last: usize, new: &[Variable]) -> String {
        let key = self.members(last).next().map_or(key, |member| member.0);
        let mut layout = Layout::line(self, key);
        layout.lines = self.lines(last);
        let comma = match self.lines(env) {
            Some((indent, _)) => format!(",{}{indent}", self.eol),
            None => format!(",{}", layout.gap()),
        };
        let items: Vec<_> = new.iter().map(|variable| layout.variable(variable)).collect();
        format!("{comma}{}", items.join(&comma))
    }
}

#[cfg(test)]
mod tests {
    use super::super::support::{AKS, args, edited, exec_of, new_exec, set_env, variables};
    use super::super::{Edit, ExecChange, NewExec};

    /// A user whose entry ends with `env`.
    fn block(env: &str) -> String {
        format!("users:\n- name: u\n  user:\n    exec:\n      command: c\n      {env}\n    # after\n    token: t\n")
    }

    #[test]
    fn sets_variables_in_a_block() {
        let cases = [
            ("env: null # c", "env: # c\n      - name: X\n        value: /d"),
            ("env: # c", "env: # c\n      - name: X\n        value: /d"),
            ("env: []   # c", "env:   # c\n      - name: X\n        value: /d"),
            ("env: ~", "env:\n      - name: X\n        value: /d"),
            (
                "env: # a\n      # b\n      - name: A # c\n        value: b # d\n      # e",
                "env: # a\n      # b\n      - name: A # c\n        value: b # d\n      - name: X\n        value: /d\n      # e",
            ),
            (
                "env:\n        - value: b\n          name: A",
                "env:\n        - value: b\n          name: A\n        - name: X\n          value: /d",
            ),
            (
                "env:\n      - name: \"A\"\n        value: \"b\"",
                "env:\n      - name: \"A\"\n        value: \"b\"\n      - name: \"X\"\n        value: \"/d\"",
            ),
            (
                "env:\n      - {name: A, value: b} # c",
                "env:\n      - {name: A, value: b} # c\n      - name: X\n        value: /d",
            ),
            (
                "env:\n      - name: A\n        value: |\n          b\n\n          c\n\n      # d",
                "env:\n      - name: A\n        value: |\n          b\n\n          c\n      - name: X\n        value: /d\n\n      # d",
            ),
            (
                "env: # a\n      - value: x # b\n        extra: 1\n        name: X # c\n      - name: B\n        value: '1'",
                "env: # a\n      - value: /d # b\n        extra: 1\n        name: X # c\n      - name: B\n        value: '1'",
            ),
            ("env:\n      - name: 'X'\n        value: \"x\"", "env:\n      - name: 'X'\n        value: \"/d\""),
            (
                "env:\n      - \"name\": \"X\"\n        \"value\": x",
                "env:\n      - \"name\": \"X\"\n        \"value\": /d",
            ),
            ("env:\n      - name: X\n        value: # c", "env:\n      - name: X\n        value: /d # c"),
            ("env:\n      - name: X\n        value: ~ # c", "env:\n      - name: X\n        value: /d # c"),
            ("env:\n      - name: X\n        value: one\n          two", "env:\n      - name: X\n        value: /d"),
            ("env:\n      - name: X\n        value: |\n          one", "env:\n      - name: X\n        value: /d"),
            (
                "env:\n      -   name: X # c\n          extra: 1",
                "env:\n      -   name: X # c\n          value: /d\n          extra: 1",
            ),
            ("env: [{name: X, value: x}] # c", "env: [{name: X, value: /d}] # c"),
            ("env: [{name: X}]", "env: [{name: X, value: /d}]"),
        ];
        for (old, new) in cases {
            assert_eq!(set_env(&block(old), "/d"), Ok(block(new)), "{old}");
            assert_eq!(set_env(&block(new), "/d"), Ok(block(new)), "{new}");
            let (old, new) = (block(old).replace('\n', "\r\n"), block(new).replace('\n', "\r\n"));
            assert_eq!(set_env(&old, "/d"), Ok(new), "{old}");
        }
    }

    #[test]
    fn values_are_quoted_where_they_must_be() {
        let file = |value: &str| block(&format!("env:\n      - name: X\n        value: {value}"));
        assert_eq!(set_env(&file("x # c"), "C:\\a b # x").unwrap(), file("\"C:\\\\a b # x\" # c"));
        assert_eq!(set_env(&file("'x'"), "yes").unwrap(), file("\"yes\""));
        let flow = |value: &str| block(&format!("env: [{{name: X, value: {value}}}]"));
        assert_eq!(set_env(&flow("x"), "a, b").unwrap(), flow("\"a, b\""));
    }

    #[test]
    fn a_missing_env_comes_where_kubectl_has_it() {
        let file = |env: &str| AKS.replace("      env: null\n", env);
        let new = "      env:\n      - name: X\n        value: /d\n";
        assert_eq!(set_env(&file(""), "/d").unwrap(), file(new));
        assert_eq!(set_env(AKS, "/d").unwrap(), file(new));
        let short = "users:\n- name: u\n  user:\n    exec:\n      command: c\n";
        let both =
            short.replace("command", "args:\n      - a\n      env:\n      - name: X\n        value: /d\n      command");
        let edit = Edit::Exec(ExecChange {
            args: vec!["a".to_owned()],
            variables: variables(&[("X", "/d")]),
            ..ExecChange::default()
        });
        assert_eq!(edited(short, &[(0, edit)]).unwrap(), both);
        let last = "users:\n- name: u\n  user:\n    exec:\n      command: c\n      env:";
        assert_eq!(set_env(last, "/d").unwrap(), format!("{last}\n      - name: X\n        value: /d"));
    }

    #[test]
    fn sets_variables_in_flow_mappings() {
        let with = |exec: &str| format!("users:\n  - {{name: u, user: {{exec: {exec}}}}} # c\n");
        let item = "{name: X, value: /d}";
        let cases = [
            ("{command: c}", format!("{{env: [{item}], command: c}}")),
            ("{}", format!("{{env: [{item}]}}")),
            ("{command: c, env: [] , x: y}", format!("{{command: c, env: [{item}] , x: y}}")),
            ("{env: null, command: c}", format!("{{env: [{item}], command: c}}")),
            ("{env: , command: c}", format!("{{env: [{item}] , command: c}}")),
            (
                "{env: [{name: A, value: b} ], command: c}",
                format!("{{env: [{{name: A, value: b}}, {item} ], command: c}}"),
            ),
            ("{env: [{name: A},], command: c}", format!("{{env: [{{name: A}}, {item},], command: c}}")),
            ("{env: [{value: x, name: X}], command: c}", "{env: [{value: /d, name: X}], command: c}".to_owned()),
            ("{env: [{name: X, value: }]}", "{env: [{name: X, value: /d }]}".to_owned()),
            ("{env: [{\"name\": \"X\", \"value\": null}]}", "{env: [{\"name\": \"X\", \"value\": \"/d\"}]}".to_owned()),
        ];
        for (old, new) in cases {
            assert_eq!(set_env(&with(old), "/d"), Ok(with(&new)), "{old}");
        }
    }

    #[test]
    fn json_stays_json() {
        let pretty = |env: &str| {
            format!(
                "{{\n\t\"users\": [\n\t\t{{\n\t\t\t\"name\": \"u\",\n\t\t\t\"user\": {{\n\t\t\t\t\"exec\": {{\n\t\t\t\t\t\"command\": \"c\",\n\t\t\t\t\t\"env\": {env}\n\t\t\t\t}}\n\t\t\t}}\n\t\t}}\n\t]\n}}\n"
            )
        };
        let item = |name: &str, value: &str| {
            format!(
                "\n\t\t\t\t\t\t{{\n\t\t\t\t\t\t\t\"name\": \"{name}\",\n\t\t\t\t\t\t\t\"value\": \"{value}\"\n\t\t\t\t\t\t}}"
            )
        };
        let list = |items: &[String]| format!("[{}\n\t\t\t\t\t]", items.join(","));
        let alone = list(&[item("X", "/d")]);
        let cases = [
            ("null".to_owned(), alone.clone()),
            ("[]".to_owned(), alone.clone()),
            (list(&[item("X", "old")]), alone.clone()),
            (list(&[item("A", "b")]), list(&[item("A", "b"), item("X", "/d")])),
            (
                "[{\"name\":\"A\",\"value\":\"b\"}]".to_owned(),
                "[{\"name\":\"A\",\"value\":\"b\"},{\"name\":\"X\",\"value\":\"/d\"}]".to_owned(),
            ),
        ];
        for (old, new) in cases {
            assert_eq!(set_env(&pretty(&old), "/d"), Ok(pretty(&new)), "{old}");
        }
        let missing = "{\"users\":[{\"name\":\"u\",\"user\":{\"exec\":{\"command\":\"c\"}}}]}";
        let added = missing.replace("\"command\"", "\"env\":[{\"name\":\"X\",\"value\":\"C:\\\\d\"}],\"command\"");
        assert_eq!(set_env(missing, "C:\\d").unwrap(), added);
        let missing = pretty("1").replace(",\n\t\t\t\t\t\"env\": 1", "");
        let added = missing.replace("\"command\"", &format!("\"env\": {alone},\n\t\t\t\t\t\"command\""));
        assert_eq!(set_env(&missing, "/d").unwrap(), added);
    }

    #[test]
    fn nothing_to_set_is_nothing_changed() {
        let tied = block("env: &e\n      - name: X\n        value: x\n      args: [a]\n      e: *e");
        assert_eq!(args(&tied, &["b"]).unwrap(), tied.replace("[a]", "[b]"));
        assert_eq!(set_env(&tied, "x").unwrap(), tied);
        let twice = block("env:\n      - {name: X, value: x}\n      - {name: X, value: x}");
        assert_eq!(set_env(&twice, "x").unwrap(), twice);
    }

    #[test]
    fn refuses_what_it_cannot_set() {
        let cases = [
            (
                "env:\n      - name: X\n        value: a\n      - {name: X, value: /d}",
                "`env` has two variables named `X`, at lines 7 and 9",
            ),
            (
                "env: &e\n      - name: X\n      e: *e",
                "the value at line 7 cannot be edited because the alias at line 8 refers to it",
            ),
            ("e: &e []\n      env: *e", "the alias at line 7 cannot be edited without what it refers to at line 6"),
            (
                "env: [&e {name: X}]\n      e: *e",
                "the value at line 6 cannot be edited because the alias at line 7 refers to it",
            ),
            (
                "e: &e {name: X}\n      env: [*e]",
                "the alias at line 7 cannot be edited without what it refers to at line 6",
            ),
            (
                "env: [{name: X, value: &e a}]\n      e: *e",
                "the value at line 6 cannot be edited because the alias at line 7 refers to it",
            ),
            (
                "env: [{name: X, value: a, value: b}]",
                "`value` cannot be edited because it is there twice, at lines 6 and 6",
            ),
            (
                "<<: {env: [{name: A, value: b}]}",
                "`env` cannot be edited because a merge key brings it to the mapping at line 5, column 7",
            ),
            ("env: [{<<: {name: X}}]", "a variable is written in a way that cannot be edited at line 6, column 13"),
            (
                "env: [{name: X, value: !!str a}]",
                "`value` is written in a way that cannot be edited at line 6, column 36",
            ),
            ("env:\n      - name: A\n      -", "an item of `env` is written in a way that cannot be edited"),
        ];
        for (env, error) in cases {
            let found = set_env(&block(env), "/d").unwrap_err();
            assert!(found.starts_with(error), "{env}: {found}");
        }
    }

    #[test]
    fn other_anchors_in_env_survive() {
        let file = block("env: [&a {name: A, value: &b b}, *a]\n      b: *b");
        let new = file.replace(", *a]", ", *a, {name: X, value: /d}]");
        assert_eq!(set_env(&file, "/d").unwrap(), new);
    }

    #[test]
    fn a_provider_becomes_an_entry_with_variables() {
        let new = NewExec { env: variables(&[("X", "/d"), ("Z", "a: b")]), ..new_exec() };
        let edits = [(0, Edit::ProviderToExec(new.clone()))];
        let block = "users:\n- name: u\n  user:\n    auth-provider:\n      name: azure\n";
        let block = edited(block, &edits).unwrap();
        let env = "      command: kubelogin\n      env:\n      - name: X\n        value: /d\n      - name: Z\n        value: \"a: b\"\n      installHint";
        assert!(block.contains(env), "{block}");
        let tight = "{\"users\":[{\"user\":{\"auth-provider\":{\"name\":\"azure\"}},\"name\":\"u\"}]}";
        let tight = edited(tight, &edits).unwrap();
        let env = "\"env\":[{\"name\":\"X\",\"value\":\"/d\"},{\"name\":\"Z\",\"value\":\"a: b\"}],";
        assert!(tight.contains(env), "{tight}");
        for text in [block, tight] {
            assert_eq!(exec_of(&text).env, new.env);
        }
    }
}
