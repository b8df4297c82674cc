//! Reads users and contexts from the tree.

use std::collections::HashMap;

use crate::yaml::{NodeKind, Result, TOP, Tree, YamlError};

use super::{Auth, Context, Exec, User};

impl Tree {
    pub(super) fn check_top(&self) -> Result<()> {
        match self.kind(TOP) {
            None | Some(NodeKind::Mapping { .. }) => Ok(()),
            Some(_) if self.is_null(TOP) => Ok(()),
            Some(_) => Err(self.wrong(TOP, "a kubeconfig must be a mapping, and something else begins")),
        }
    }

    /// The entries of a list at the top. Each has a name of its own: kubectl
    /// does not load a file that has two of one name.
    pub(super) fn entries<T>(
        &self,
        list: &str,
        read: fn(&Tree, usize) -> Result<T>,
        name: fn(&T) -> &String,
    ) -> Result<Vec<T>> {
        let nodes = self.list_at(TOP, list)?;
        let mut entries = Vec::with_capacity(nodes.len());
        for &node in &nodes {
            self.check_entry(node, list)?;
            entries.push(read(self, node)?);
        }
        let mut first = HashMap::with_capacity(nodes.len());
        for (entry, &node) in entries.iter().zip(&nodes) {
            let (name, line) = (name(entry), self.place(node).line);
            if let Some(first) = first.insert(name, line) {
                return Err(YamlError::new(format!(
                    "`{list}` has two entries named `{name}`, at lines {first} and {line}"
                )));
            }
        }
        Ok(entries)
    }

    /// An entry has to be a mapping; kubectl takes null for an empty one.
    fn check_entry(&self, node: usize, list: &str) -> Result<()> {
        match self.kind(self.resolve(node)) {
            Some(NodeKind::Mapping { .. }) => Ok(()),
            _ if self.is_null(node) => Ok(()),
            _ => Err(self.wrong(node, format!("an entry of `{list}` is not a mapping"))),
        }
    }

    pub(super) fn user(&self, entry: usize) -> Result<User> {
        let fields = self.mapping_at(entry, "user")?;
        let has = |key| fields.is_some_and(|fields| self.has(fields, key));
        Ok(User {
            name: self.text_at(entry, "name")?.unwrap_or_default(),
            line: self.place(entry).line,
            auth: fields.map_or(Ok(Auth::Neither), |fields| self.auth(fields))?,
            has_client_certificate: has("client-certificate") || has("client-certificate-data"),
            has_token: has("token") || has("tokenFile"),
        })
    }

    fn auth(&self, fields: usize) -> Result<Auth> {
        let exec = self.mapping_at(fields, "exec")?;
        let provider = self.mapping_at(fields, "auth-provider")?;
        match (exec, provider) {
            (Some(_), Some(_)) => Ok(Auth::Both),
            (Some(exec), None) => Ok(Auth::Exec(self.exec(exec)?)),
            (None, Some(provider)) => self.provider(provider),
            (None, None) => Ok(Auth::Neither),
        }
    }

    fn exec(&self, exec: usize) -> Result<Exec> {
        let args = self.list_at(exec, "args")?;
        let env = self.list_at(exec, "env")?;
        let cluster_info = self.text_at(exec, "provideClusterInfo")?;
        Ok(Exec {
            command: self.text_at(exec, "command")?.unwrap_or_default(),
            args: args.iter().map(|&arg| self.text_of(arg, || "an item of `args`".into())).collect::<Result<_, _>>()?,
            api_version: self.text_at(exec, "apiVersion")?,
            env: env.iter().map(|&variable| self.variable(variable)).collect::<Result<_, _>>()?,
            provide_cluster_info: cluster_info.as_deref().is_some_and(is_true),
            interactive_mode: self.text_at(exec, "interactiveMode")?,
            install_hint: self.text_at(exec, "installHint")?,
        })
    }

    fn variable(&self, node: usize) -> Result<(String, String)> {
        self.check_entry(node, "env")?;
        let name = self.text_at(node, "name")?.unwrap_or_default();
        Ok((name, self.text_at(node, "value")?.unwrap_or_default()))
    }

    fn provider(&self, provider: usize) -> Result<Auth> {
        let name = self.text_at(provider, "name")?.unwrap_or_default();
        let config = self.mapping_at(provider, "config")?;
        let members = config.map(|config| self.all_members(config)).unwrap_or_default();
        let text = |(key, value)| {
            let key = self.text_of(key, || "a key of `config`".into())?;
            Ok((key, self.text_of(value, || "a value of `config`".into())?))
        };
        let config = members.into_iter().map(text).collect::<Result<_>>()?;
        Ok(Auth::Provider { name, config })
    }

    pub(super) fn context(&self, entry: usize) -> Result<Context> {
        let fields = self.mapping_at(entry, "context")?;
        let text = |key| match fields {
            Some(fields) => Ok(self.text_at(fields, key)?.unwrap_or_default()),
            None => Ok(String::new()),
        };
        let name = self.text_at(entry, "name")?.unwrap_or_default();
        Ok(Context { name, user: text("user")?, cluster: text("cluster")? })
    }

    fn has(&self, mapping: usize, key: &str) -> bool {
        self.get(mapping, key).and_then(|value| self.scalar(value)).is_some_and(|text| !text.is_empty())
    }

    fn mapping_at(&self, mapping: usize, key: &str) -> Result<Option<usize>> {
        let Some(value) = self.get(mapping, key) else {
            return Ok(None);
        };
        match self.kind(value) {
            Some(NodeKind::Mapping { .. }) => Ok(Some(value)),
            _ => Err(self.wrong(value, format!("`{key}` is not a mapping"))),
        }
    }

    pub(super) fn list_at(&self, mapping: usize, key: &str) -> Result<Vec<usize>> {
        let Some(value) = self.get(mapping, key) else {
            return Ok(vec![]);
        };
        match self.kind(value) {
            Some(NodeKind::List { .. }) => Ok(self.items(value)),
            _ => Err(self.wrong(value, format!("`{key}` is not a list"))),
        }
    }

    pub(super) fn text_at(&self, mapping: usize, key: &str) -> Result<Option<String>> {
        let value = self.get(mapping, key);
        value.map(|value| self.text_of(value, || format!("`{key}`"))).transpose()
    }

    /// A scalar's text, whatever type YAML would give it; empty for null.
    fn text_of(&self, node: usize, what: impl Fn() -> String) -> Result<String> {
        match self.scalar(node) {
            Some(_) if self.is_null(self.resolve(node)) => Ok(String::new()),
            Some(text) => Ok(text.to_owned()),
            None => Err(self.wrong(node, format!("{} is not a string", what()))),
        }
    }
}

/// What YAML 1.1 reads as true.
fn is_true(text: &str) -> bool {
    ["true", "yes", "on", "y"].iter().any(|word| text.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::super::tests::support::{AKS, PROVIDER, args, edit, error, exec_of, new_args, parse, strings};
    use super::*;

    #[test]
    fn reads_an_aks_file() {
        let document = parse(AKS);
        assert_eq!(document.current_context(), Some("a"));
        let text = |text: &str| text.to_owned();
        assert_eq!(document.contexts(), [Context { name: text("a"), user: text("u"), cluster: text("a") }]);
        let exec = Exec {
            command: text("kubelogin"),
            args: strings(&["get-token", "--login", "devicecode"]),
            api_version: Some(text("client.authentication.k8s.io/v1beta1")),
            install_hint: Some(text("\nNot installed.\n")),
            ..Exec::default()
        };
        let user =
            User { name: text("u"), line: 16, auth: Auth::Exec(exec), has_client_certificate: false, has_token: false };
        assert_eq!(document.users(), [user]);
    }

    #[test]
    fn reads_a_provider() {
        let document = parse(PROVIDER);
        let config = [("apiserver-id", "SRV"), ("config-mode", "1")];
        let config = config.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        assert_eq!(document.users()[0].auth, Auth::Provider { name: "azure".to_owned(), config });
        assert!(document.users()[0].has_token);
    }

    #[test]
    fn reads_files_without_users() {
        for text in [
            "",
            "# only\n",
            "null\n",
            "---\n...\n# x\n",
            "\u{feff}",
            "{}",
            "users:\n",
            "users: null",
            "users: []\n",
            "---\n",
        ] {
            let document = parse(text);
            assert!(document.users().is_empty(), "{text:?}");
            assert_eq!(document.change(&[]).unwrap().text, text);
        }
    }

    #[test]
    fn reads_entries_that_lack_things() {
        let document = parse(
            "users:\n- name: a\n- name: b\n  user:\n- name: 123\n  user: {}\n- ~\n- name: both\n  user: {exec: {command: c, env: [{name: A}]}, auth-provider: {}}\n",
        );
        let names: Vec<_> = document.users().iter().map(|user| user.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "123", "", "both"]);
        assert_eq!(document.users()[3].auth, Auth::Neither);
        assert_eq!(document.users()[4].auth, Auth::Both);
    }

    #[test]
    fn reads_aliases_and_merge_keys() {
        let document = parse(
            "base: &base\n  exec: &exec\n    command: c\n    args: &args [x, &y z]\nother: &other {exec: {args: [o]}, token: secret}\nusers:\n- name: a\n  user: *base\n- name: b\n  user: {exec: *exec}\n- name: c\n  user: {exec: {command: d, args: *args}}\n- name: d\n  user:\n    <<: *base\n- name: e\n  user: {exec: {args: [*y]}}\n- name: f\n  user: {<<: [*other, *base]}\n- name: g\n  user: {<<: *base, exec: null}\n- name: i\n  user: {\"<<\": *base}\n",
        );
        let arguments = document.users().iter().map(|user| match &user.auth {
            Auth::Exec(exec) => exec.args.join(" "),
            _ => "none".to_owned(),
        });
        let arguments: Vec<_> = arguments.collect();
        assert_eq!(arguments, ["x z", "x z", "x z", "x z", "z", "o", "none", "none"]);
        let edit = edit(&document, &[(3, new_args(vec![]))]).unwrap_err();
        assert_eq!(
            edit.to_string(),
            "`exec` cannot be edited because a merge key brings it to the mapping at line 15, column 5"
        );
        let itself = "users:\n- name: h\n  user: &h {<<: *h}\n";
        assert_eq!(error(itself), "aliases and merge keys make too much of it");
        let merged = "x: &x {args: [a]}\nusers: [{name: a, user: {exec: {<<: *x, command: c}}}]\n";
        assert_eq!(args(merged, &["b"]).unwrap(), merged.replace("command: c", "args: [b], command: c"));
        let config = parse("x: &x {a: b, c: d}\nusers: [{user: {auth-provider: {name: n, config: {<<: *x, a: z}}}}]\n");
        let expected = [("a", "z"), ("c", "d")].map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(config.users()[0].auth, Auth::Provider { name: "n".to_owned(), config: expected.into() });
    }

    /// kubectl 1.32: `config view` of such a file shows what was merged.
    #[test]
    fn what_is_merged_behind_a_member_hides_it() {
        let arguments = |exec: &str| {
            let text = format!("x: &x {{args: [x]}}\ny: &y {{args: [y], a: b}}\nusers: [{{user: {{exec: {exec}}}}}]\n");
            let read = exec_of(&text).args.join(" ");
            (read, args(&text, &["new"]).map(|text| text.lines().last().unwrap_or_default().to_owned()))
        };
        let refused =
            || Err("`args` cannot be edited because a merge key brings it to the mapping at line 3, column 23".into());
        assert_eq!(arguments("{args: [own], <<: *x}"), ("x".into(), refused()));
        assert_eq!(arguments("{command: c, <<: [*x, *y]}"), ("x".into(), refused()));
        let (read, edited) = arguments("{<<: *x, args: [own]}");
        assert_eq!((read.as_str(), edited.as_deref()), ("own", Ok("users: [{user: {exec: {<<: *x, args: [new]}}}]")));
        assert_eq!(arguments("{<<: *y, <<: *x}").0, "x");
        let config = parse("x: &x {a: b, c: d}\nusers: [{user: {auth-provider: {config: {a: z, <<: *x, c: e}}}}]\n");
        let expected = [("a", "b"), ("c", "e")].map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(config.users()[0].auth, Auth::Provider { name: String::new(), config: expected.into() });
    }

    #[test]
    fn deep_nesting_is_an_error_and_no_crash() {
        for open in ["[", "{a: ", "- ", "a:\n", "? "] {
            let file = |times: usize| format!("x: {}", open.repeat(times));
            assert!(!error(&file(100_000)).is_empty(), "{open}");
        }
        let block: Vec<_> = (0..1_000).map(|depth| format!("{:depth$}a:\n", "")).collect();
        assert!(error(&block.concat()).starts_with("it nests more than 200 levels deep"));
        let nested = format!("x: {}{}\n", "[".repeat(150), "]".repeat(150));
        let file = format!("{nested}users: [{{name: u, user: {{exec: {{args: [x]}}}}}}]\n");
        assert_eq!(args(&file, &["new"]).unwrap(), file.replace("[x]", "[new]"));
    }

    #[test]
    fn aliases_of_aliases_do_not_grow() {
        let level = |level: usize| {
            let below = format!("*m{}", level - 1);
            format!("m{level}: &m{level} {{<<: [{below}, {below}], x: [{below}, {below}]}}\n")
        };
        let levels = (1..30).map(level).collect::<Vec<_>>().concat();
        let text = format!("m0: &m0 {{exec: {{args: [a]}}}}\n{levels}users: [{{name: u, user: *m29}}]\n");
        // kubectl 1.32: "document contains excessive aliasing".
        assert_eq!(error(&text), "aliases and merge keys make too much of it");
    }

    #[test]
    fn tabs_in_values_stay() {
        let text = "users:\n- name: u\t\n  user:\n    exec:\n      args: [x]\t# c\td\n      command:\ta\tb\n      installHint: \"a\tb\"\n      env: [{name: A,\tvalue: 'b\tc'}]\n    token: |\n      t\t1\n      \tt2\n";
        let exec = exec_of(text);
        assert_eq!((exec.command.as_str(), exec.install_hint.as_deref()), ("a\tb", Some("a\tb")));
        assert_eq!(exec.env, [("A".to_owned(), "b\tc".to_owned())]);
        assert_eq!(args(text, &["new"]).unwrap(), text.replace("[x]", "[new]"));
    }

    #[test]
    fn errors_name_the_place() {
        assert_eq!(error("a: 1\nb: c: d\n"), "mapping values are not allowed in this context at line 2, column 5");
        assert_eq!(error("a: 1\n---\nb: 1\n"), "a second document begins at line 2, column 1");
        assert_eq!(error("- a\n"), "a kubeconfig must be a mapping, and something else begins at line 1, column 1");
        assert_eq!(
            error("users:\n- name: a\n- name: b\n- name: a\n"),
            "`users` has two entries named `a`, at lines 2 and 4"
        );
        assert_eq!(error("users: x\n"), "`users` is not a list at line 1, column 8");
        assert_eq!(error("users:\n- x\n"), "an entry of `users` is not a mapping at line 2, column 3");
        assert_eq!(
            error("users:\n- user: {exec: {args: [[a]]}}\n"),
            "an item of `args` is not a string at line 2, column 24"
        );
        assert_eq!(error("users:\n- user: {exec: 1}\n"), "`exec` is not a mapping at line 2, column 16");
        assert_eq!(error("users:\n- name: {}\n"), "`name` is not a string at line 2, column 9");
    }
}
