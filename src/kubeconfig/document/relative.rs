//! Paths that mean another place once the file lies elsewhere.

use std::path::Path;

use crate::yaml::{TOP, Tree};

use super::Document;

/// A path that kubectl resolves against the directory of the kubeconfig.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RelativePath {
    /// The field that says it, such as `certificate-authority` or `exec.command`.
    pub field: &'static str,
    /// The line of the path, counted from 1.
    pub line: usize,
}

/// Fields of a cluster and of a user, and the field that wins over each.
const OF_CLUSTERS: [(&str, Option<&str>); 1] = [("certificate-authority", Some("certificate-authority-data"))];
const OF_USERS: [(&str, Option<&str>); 3] = [
    ("client-certificate", Some("client-certificate-data")),
    ("client-key", Some("client-key-data")),
    ("tokenFile", None),
];

impl Document {
    /// The paths that are relative to the directory of the file: those of clusters, then those of users.
    pub fn relative_paths(&self) -> Vec<RelativePath> {
        let tree = &self.tree;
        let of_clusters = tree.each("clusters", "cluster").flat_map(|cluster| tree.relative(cluster, &OF_CLUSTERS));
        let of_users = tree.each("users", "user").flat_map(|user| {
            let command = tree.get(user, "exec").and_then(|exec| tree.path(exec, "command"));
            let command = command.filter(|(path, _)| path.contains(std::path::is_separator));
            let command = command.map(|(_, line)| RelativePath { field: "exec.command", line });
            tree.relative(user, &OF_USERS).chain(command)
        });
        of_clusters.chain(of_users).collect()
    }
}

impl Tree {
    /// The mappings `member` of the entries of `list`.
    fn each(&self, list: &str, member: &'static str) -> impl Iterator<Item = usize> {
        let entries = self.list_at(TOP, list).unwrap_or_default();
        entries.into_iter().filter_map(move |entry| self.get(entry, member))
    }

    fn relative(&self, mapping: usize, fields: &'static [(&str, Option<&str>)]) -> impl Iterator<Item = RelativePath> {
        let counts = move |stronger: Option<&str>| {
            stronger.and_then(|key| self.scalar(self.get(mapping, key)?)).is_none_or(str::is_empty)
        };
        let counting = fields.iter().filter(move |(_, stronger)| counts(*stronger));
        counting.filter_map(move |&(field, _)| Some(RelativePath { field, line: self.path(mapping, field)?.1 }))
    }

    /// The relative path that `field` says, and its line.
    fn path(&self, mapping: usize, field: &str) -> Option<(&str, usize)> {
        let value = self.get(mapping, field)?;
        let path = self.scalar(value).filter(|path| !path.is_empty() && Path::new(path).is_relative())?;
        Some((path, self.place(value).line))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::support::parse;

    fn found(text: &str) -> Vec<(&'static str, usize)> {
        parse(text).relative_paths().into_iter().map(|path| (path.field, path.line)).collect()
    }

    #[test]
    fn paths_of_clusters_and_users() {
        let text = "clusters:\n- name: c\n  cluster:\n    certificate-authority: ca.crt\n- name: d\n  cluster: {certificate-authority: ../ca, server: x}\nusers:\n- name: u\n  user:\n    client-certificate: a\n    client-key: b/c\n    tokenFile: t\n    exec:\n      command: bin/kubelogin\n";
        let expected = [
            ("certificate-authority", 4),
            ("certificate-authority", 6),
            ("client-certificate", 10),
            ("client-key", 11),
            ("tokenFile", 12),
            ("exec.command", 14),
        ];
        assert_eq!(found(text), expected);
    }

    #[test]
    #[cfg(unix)]
    fn absolute_paths_names_and_what_data_wins_over_are_none() {
        let text = "clusters:\n- cluster: {certificate-authority: ca.crt, certificate-authority-data: Y2E=}\n- cluster: {certificate-authority: /ca.crt}\n- cluster: {certificate-authority: }\nusers:\n- {name: a, user: {client-key: '', exec: {command: kubelogin}}}\n- {name: b, user: {exec: {command: /bin/kubelogin}, client-key: null}}\n- {name: c, user: }\n";
        assert_eq!(found(text), []);
        assert_eq!(found(""), []);
    }
}
