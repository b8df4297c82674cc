//! What each edit does to the text.

use std::collections::HashMap;

use granit_parser::ScalarStyle;

use super::edit::Plan;
use super::source::Splice;
use super::tree::{Member, Tree};
use super::write::{Layout, Part, exec_lines};
use super::{Exec, ExecChange, NewExec, Result};

impl Tree {
    pub(super) fn plan_change(&self, (_, fields): Member, old: &Exec, change: &ExecChange) -> Result<Plan> {
        let exec = self.member_to_edit(fields, "exec")?;
        // Members that come to the same place keep this order.
        let mut plan = self.plan_text(exec, "apiVersion", old.api_version.as_ref(), change.api_version.as_ref())?;
        if old.args != change.args {
            plan.extend(self.plan_args(exec, &change.args)?);
        }
        plan.extend(self.plan_text(exec, "command", Some(&old.command), change.command.as_ref())?);
        plan.extend(self.plan_variables(exec, &old.env, &change.variables)?);
        let modes = (old.interactive_mode.as_ref(), change.interactive_mode.as_ref());
        plan.extend(self.plan_text(exec, "interactiveMode", modes.0, modes.1)?);
        Ok(plan)
    }

    fn plan_args(&self, exec: Member, new: &[String]) -> Result<Plan> {
        let splices = match self.own_member(exec.1, "args")? {
            None => vec![self.add_args(exec, new)?],
            Some(args) => {
                self.detached(args.1)?;
                self.replace_args(exec.1, args, new)?
            }
        };
        Ok(Plan::member(exec.1, ("args", "args"), splices))
    }

    /// Adds `args`, unless a merge key brings them behind the new ones, so that kubectl would take those.
    fn add_args(&self, exec: Member, new: &[String]) -> Result<Splice> {
        let splice = self.add_part(exec, Part::Args(new))?;
        let mut merges = self.members(exec.1).filter(|member| self.is_merge(member.0));
        let hidden = self.get_or_null(exec.1, "args").is_some();
        if hidden && merges.any(|merge| self.start(merge.0) >= splice.0.start) {
            return Err(self.merged_in(exec.1, "args"));
        }
        Ok(splice)
    }

    /// Adds a member to `exec`, where kubectl's order has it if the members do.
    pub(super) fn add_part(&self, (name, exec): Member, part: Part) -> Result<Splice> {
        let find = |key: &&str| self.members(exec).find(|member| self.scalar(member.0) == Some(key));
        match (part.followers().iter().find_map(find), self.members(exec).last()) {
            (Some(next), _) => self.add_before(exec, next.0, part),
            (None, Some(last)) => self.add_behind(exec, last, part),
            (None, None) => {
                let start = self.end(exec).saturating_sub(1);
                let layout = Layout::line(self, name);
                Ok((start..start, layout.key(part.key()) + &layout.value(part)))
            }
        }
    }

    fn add_before(&self, exec: usize, next: usize, part: Part) -> Result<Splice> {
        let start = self.start(next);
        if self.is_flow(exec) {
            let (member, gap) = self.flow_member(exec, next, part);
            return Ok((start..start, format!("{member},{gap}")));
        }
        let indent = self.block_indent(start)?;
        let lines = part.lines(self.dash_step());
        Ok((start..start, self.join(&lines, indent) + self.eol + indent))
    }

    fn add_behind(&self, exec: usize, (key, value): Member, part: Part) -> Result<Splice> {
        // An empty value may stand before its colon.
        let end = self.end(value).max(self.after_colon(key)?);
        if self.is_flow(exec) {
            let (member, gap) = self.flow_member(exec, key, part);
            return Ok((end..end, format!(",{gap}{member}")));
        }
        let end = self.comment_end(end);
        let indent = self.block_indent(self.start(key))?;
        let lines = part.lines(self.dash_step());
        Ok((end..end, format!("{}{indent}{}", self.eol, self.join(&lines, indent))))
    }

    /// A member laid out as the one of `key`, and what stands between the two.
    fn flow_member(&self, exec: usize, key: usize, part: Part) -> (String, String) {
        let layout = Layout::nested(self, exec, key);
        let gap = match self.indent_at(self.start(key)) {
            Some(indent) if layout.lines.is_some() => format!("{}{indent}", self.eol),
            _ => layout.gap().to_owned(),
        };
        (layout.key(part.key()) + &layout.value(part), gap)
    }

    /// Writes a list where `null`, nothing or `[]` was.
    pub(super) fn fill_list(&self, exec: usize, member: Member, list: Part) -> Result<Vec<Splice>> {
        if self.is_flow(exec) {
            let layout = Layout::nested(self, exec, member.0);
            Ok(vec![self.replace_by_flow(member, &layout, &layout.value(list))?])
        } else {
            self.fill_block(member, list)
        }
    }

    fn replace_args(&self, exec: usize, args: Member, new: &[String]) -> Result<Vec<Splice>> {
        let old = self.items(args.1);
        if old.is_empty() {
            self.fill_list(exec, args, Part::Args(new))
        } else if self.is_flow(args.1) {
            Ok(vec![self.replace_flow_args(exec, args, &old, new)?])
        } else {
            Ok(vec![self.replace_block_args(args, &old, new)?])
        }
    }

    fn replace_flow_args(&self, exec: usize, (key, value): Member, old: &[usize], new: &[String]) -> Result<Splice> {
        let mut layout = Layout::nested(self, exec, key);
        layout.lines = self.lines(value);
        layout.quoted |= self.all_quoted(old);
        let list = layout.list(&self.items_text(old, new, &layout));
        self.replace_by_flow((key, value), &layout, &list)
    }

    /// Puts a value on the line of its key.
    pub(super) fn replace_by_flow(&self, (key, value): Member, layout: &Layout, new: &str) -> Result<Splice> {
        if self.is_flow(value) {
            return Ok((self.start(value)..self.end(value), new.to_owned()));
        }
        let start = self.after_colon(key)?;
        Ok((start..self.end(value).max(start), format!("{}{new}", layout.gap())))
    }

    fn fill_block(&self, (key, value): Member, list: Part) -> Result<Vec<Splice>> {
        let indent = self.block_indent(self.start(key))?;
        let start = self.after_colon(key)?;
        let end = self.end(value).max(start);
        let mut lines = list.lines(self.dash_step());
        // The key is there already, and a comment after its value stays there.
        if let Some(key) = lines.first_mut() {
            key.clear();
        }
        let line_end = self.line_end(end);
        Ok(vec![(start..end, String::new()), (line_end..line_end, self.join(&lines, indent))])
    }

    fn replace_block_args(&self, (key, value): Member, old: &[usize], new: &[String]) -> Result<Splice> {
        let end = self.comment_end(self.end(value));
        if new.is_empty() {
            return Ok((self.after_colon(key)?..end, " []".to_owned()));
        }
        let dash = self.first_dash(key)?;
        let layout = Layout::block(self.all_quoted(old));
        let items = self.items_text(old, new, &layout);
        let lines: Vec<_> = items.iter().map(|item| format!("- {item}")).collect();
        Ok((dash..end, self.join(&lines, self.block_indent(dash)?)))
    }

    /// The new items as source; one that was there in quotes keeps them.
    fn items_text(&self, old: &[usize], new: &[String], layout: &Layout) -> Vec<String> {
        let keep = |item: &&usize| match self.style(**item) {
            Some(ScalarStyle::DoubleQuoted) => true,
            Some(ScalarStyle::SingleQuoted) => !layout.quoted,
            _ => false,
        };
        let source = |&item: &usize| Some((self.scalar(item)?, self.raw(item)));
        let kept = old.iter().filter(keep).filter_map(source);
        let kept: HashMap<_, _> = kept.filter(|(_, raw)| !raw.contains(['\r', '\n'])).collect();
        let text = |item: &String| match kept.get(item.as_str()) {
            Some(&raw) => raw.to_owned(),
            None => layout.text(item),
        };
        new.iter().map(text).collect()
    }

    pub(super) fn plan_exec(&self, (user, fields): Member, new: &NewExec) -> Result<Plan> {
        let provider = self.member_to_edit(fields, "auth-provider")?;
        self.detached(provider.1)?;
        let splices = if self.is_flow(fields) {
            self.flow_exec(fields, provider, new)
        } else if self.is_flow(provider.1) {
            self.unfold_exec(user, provider, new)?
        } else {
            self.block_exec(provider, new)?
        };
        Ok(Plan::member(fields, ("auth-provider", "exec"), splices))
    }

    fn flow_exec(&self, fields: usize, (key, value): Member, new: &NewExec) -> Vec<Splice> {
        let mut layout = Layout::nested(self, fields, key);
        layout.lines = self.lines(value);
        let name = if layout.quoted { "\"exec\"" } else { "exec" };
        vec![(self.start(key)..self.end(key), name.to_owned()), (self.start(value)..self.end(value), layout.exec(new))]
    }

    /// Writes a block where a flow mapping stood in a block.
    fn unfold_exec(&self, user: usize, (key, value): Member, new: &NewExec) -> Result<Vec<Splice>> {
        let indent = self.block_indent(self.start(key))?;
        let step = (indent.len() + 1).saturating_sub(self.place(user).column);
        let indent = " ".repeat(indent.len() + step.clamp(1, 8));
        let lines = exec_lines(new, self.dash_step());
        let line_end = self.line_end(self.end(value));
        let body = format!("{}{indent}{}", self.eol, self.join(&lines, &indent));
        Ok(vec![(self.start(key)..self.end(value), "exec:".to_owned()), (line_end..line_end, body)])
    }

    fn block_exec(&self, (key, value): Member, new: &NewExec) -> Result<Vec<Splice>> {
        self.block_indent(self.start(key))?;
        let indent = self.block_indent(self.start(value))?;
        let body = self.join(&exec_lines(new, self.dash_step()), indent);
        Ok(vec![
            (self.start(key)..self.end(key), "exec".to_owned()),
            (self.start(value)..self.comment_end(self.end(value)), body),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::super::support::{AKS, PROVIDER, args, convert};

    #[test]
    fn replaces_a_block_list() {
        let new = args(AKS, &["get-token", "--tenant", "yes", "x"]).unwrap();
        assert_eq!(
            new,
            AKS.replace(
                "      - get-token\n      - --login\n      - devicecode\n",
                "      - get-token\n      - --tenant\n      - \"yes\"\n      - x\n"
            )
        );
        let indented = AKS.replace("      - ", "        - ").replace("devicecode", "devicecode # x");
        let new = args(&indented, &["a"]).unwrap();
        assert_eq!(
            new,
            indented.replace("        - get-token\n        - --login\n        - devicecode # x\n", "        - a\n")
        );
        let crlf = AKS.replace('\n', "\r\n");
        assert_eq!(args(&crlf, &["a", "b"]).unwrap(), args(AKS, &["a", "b"]).unwrap().replace('\n', "\r\n"));
        assert_eq!(
            args(AKS, &[]).unwrap(),
            AKS.replace(
                "args: # old\n      # inside\n      - get-token\n      - --login\n      - devicecode\n",
                "args: []\n"
            )
        );
    }

    #[test]
    fn replaces_lists_of_every_form() {
        let with = |args: &str| format!("users:\n- name: u\n  user:\n    exec:\n      {args}\n      command: c");
        let cases = [
            ("args: null # c", "args: # c\n      - a\n      - b"),
            ("args: # c", "args: # c\n      - a\n      - b"),
            ("args: ~", "args:\n      - a\n      - b"),
            ("args:", "args:\n      - a\n      - b"),
            ("args: &x", "args:\n      - a\n      - b"),
            ("args: []   # c", "args:   # c\n      - a\n      - b"),
            ("args: [x, y] # c", "args: [a, b] # c"),
            ("args: [\n        x\n      ]", "args: [\n        a,\n        b\n      ]"),
            ("args: [x,\n        y]", "args: [a, b]"),
            ("\"args\": [\"x\"]", "\"args\": [\"a\", \"b\"]"),
            ("\"args\":\n      - \"x\"", "\"args\":\n      - \"a\"\n      - \"b\""),
            ("args:\n      - 'a'\n      - \"b\" # c\n      - c", "args:\n      - 'a'\n      - \"b\""),
            ("args: &x # c\n      -\n        x", "args: &x # c\n      - a\n      - b"),
            ("args:\n      - |\n        x\n        # y\n\n      # z", "args:\n      - a\n      - b\n\n      # z"),
            ("env: null", "env: null\n      args:\n      - a\n      - b"),
        ];
        for (old, new) in cases {
            assert_eq!(args(&with(old), &["a", "b"]).unwrap(), with(new), "{old}");
        }
    }

    #[test]
    fn follows_the_indentation_of_the_file() {
        let file = "users:\n    - user:\n          auth-provider: {}\n      name: u\n";
        let exec = "          exec:\n              apiVersion: client.authentication.k8s.io/v1beta1\n              args:\n                  - get-token\n                  - --server-id\n                  - SRV\n              command";
        let converted = convert(file).unwrap();
        assert!(converted.contains(exec), "{converted}");
        let missing = "users:\n    - user:\n        exec:\n          command: c\n";
        let added = "users:\n    - user:\n        exec:\n          args:\n              - a\n          command: c\n";
        assert_eq!(args(missing, &["a"]).unwrap(), added);
    }

    #[test]
    fn edits_the_last_line_without_a_newline() {
        let file = |args: &str| format!("users:\n- name: u\n  user:\n    exec:\n      args:{args}");
        assert_eq!(args(&file(""), &["a"]).unwrap(), file("\n      - a"));
        assert_eq!(args(&file("\n      - x"), &["a"]).unwrap(), file("\n      - a"));
        assert_eq!(args(&file(" null"), &["a"]).unwrap(), file("\n      - a"));
    }

    #[test]
    fn edits_flow_mappings() {
        let with = |exec: &str| format!("users:\n  - {{name: u, user: {{exec: {exec}}}}} # c\n");
        let cases = [
            ("{command: c}", "{args: [a, \"b,c\", \"x:y\"], command: c}"),
            ("{}", "{args: [a, \"b,c\", \"x:y\"]}"),
            ("{ args: [], command: c }", "{ args: [a, \"b,c\", \"x:y\"], command: c }"),
            ("{args: null, command: c}", "{args: [a, \"b,c\", \"x:y\"], command: c}"),
            ("{args: , command: c}", "{args: [a, \"b,c\", \"x:y\"] , command: c}"),
            ("{command: c, args: [\"x\", \"y\"]}", "{command: c, args: [\"a\", \"b,c\", \"x:y\"]}"),
        ];
        for (old, new) in cases {
            assert_eq!(args(&with(old), &["a", "b,c", "x:y"]).unwrap(), with(new), "{old}");
        }
    }

    #[test]
    fn json_stays_json() {
        let pretty = "{\n\t\"users\": [\n\t\t{\n\t\t\t\"name\": \"u\",\n\t\t\t\"user\": {\n\t\t\t\t\"exec\": {\n\t\t\t\t\t\"command\": \"c\",\n\t\t\t\t\t\"args\": ARGS\n\t\t\t\t}\n\t\t\t}\n\t\t}\n\t]\n}\n";
        let new = "[\n\t\t\t\t\t\t\"a\",\n\t\t\t\t\t\t\"\\\"\"\n\t\t\t\t\t]";
        for old in ["[]", "null", "[\n\t\t\t\t\t\t\"x\"\n\t\t\t\t\t]"] {
            assert_eq!(args(&pretty.replace("ARGS", old), &["a", "\""]).unwrap(), pretty.replace("ARGS", new), "{old}");
        }
        let missing = pretty.replace(",\n\t\t\t\t\t\"args\": ARGS", "");
        let added = pretty
            .replace(",\n\t\t\t\t\t\"args\": ARGS", "")
            .replace("\"command\"", &format!("\"args\": {new},\n\t\t\t\t\t\"command\""));
        assert_eq!(args(&missing, &["a", "\""]).unwrap(), added);
        let tight = "{\"users\":[{\"name\":\"u\",\"user\":{\"exec\":{\"args\":[],\"command\":\"c\"}}}]}";
        assert_eq!(args(tight, &["a", "b"]).unwrap(), tight.replace("[]", "[\"a\",\"b\"]"));
        assert_eq!(
            args(&tight.replace("\"args\":[],", ""), &["a", "b"]).unwrap(),
            tight.replace("[]", "[\"a\",\"b\"]")
        );
        let empty = "{\"users\":[{\"name\":\"u\",\"user\":{\"exec\":{}}}]}";
        assert_eq!(args(empty, &["a"]).unwrap(), empty.replace("{}", "{\"args\":[\"a\"]}"));
    }

    #[test]
    fn turns_a_block_provider_into_exec() {
        let expected = "\
users:
- name: u
  user:
    exec: # legacy
      apiVersion: client.authentication.k8s.io/v1beta1
      args:
      - get-token
      - --server-id
      - SRV
      command: kubelogin
      env: null
      installHint: |2

        Not installed.
        See https://a.example
      interactiveMode: IfAvailable
      provideClusterInfo: false
    # after
    token: t # static
";
        assert_eq!(convert(PROVIDER).unwrap(), expected);
        assert_eq!(convert(&PROVIDER.replace('\n', "\r\n")).unwrap(), expected.replace('\n', "\r\n"));
        let flow = "users:\n- name: u\n  user:\n    auth-provider: {name: azure,\n      config: {a: b}} # legacy\n    # after\n    token: t # static\n";
        assert_eq!(convert(flow).unwrap(), expected);
        let last = "users:\n- name: u\n  user:\n    auth-provider:\n      name: azure\n      config:";
        let converted = convert(last).unwrap();
        assert!(
            converted.ends_with("      interactiveMode: IfAvailable\n      provideClusterInfo: false"),
            "{converted}"
        );
    }

    #[test]
    fn turns_a_flow_provider_into_exec() {
        let tight = "{\"users\":[{\"user\":{\"auth-provider\":{\"name\":\"azure\",\"config\":{}},\"token\":\"t\"},\"name\":\"u\"}]}";
        let exec = "{\"apiVersion\":\"client.authentication.k8s.io/v1beta1\",\"args\":[\"get-token\",\"--server-id\",\"SRV\"],\"command\":\"kubelogin\",\"env\":null,\"installHint\":\"\\nNot installed.\\nSee https://a.example\\n\",\"interactiveMode\":\"IfAvailable\",\"provideClusterInfo\":false}";
        assert_eq!(
            convert(tight).unwrap(),
            format!("{{\"users\":[{{\"user\":{{\"exec\":{exec},\"token\":\"t\"}},\"name\":\"u\"}}]}}")
        );
        let yaml = convert("users: [{name: u, user: {auth-provider: {name: azure}}}]").unwrap();
        assert!(yaml.starts_with("users: [{name: u, user: {exec: {apiVersion: client.authentication.k8s.io/v1beta1, args: [get-token, --server-id, SRV], command: kubelogin, env: null, installHint: \"\\n"), "{yaml}");
        let pretty = convert("{\"users\": [\n  {\"name\": \"u\", \"user\": {\n    \"auth-provider\": {\n      \"name\": \"azure\"\n    }\n  }}\n]}").unwrap();
        assert!(pretty.contains("    \"exec\": {\n      \"apiVersion\": \"client.authentication.k8s.io/v1beta1\",\n      \"args\": [\n        \"get-token\",\n"), "{pretty}");
        assert!(pretty.ends_with("      \"provideClusterInfo\": false\n    }\n  }}\n]}"), "{pretty}");
    }
}
