//! What kubectl's own preferences say of credential plugins. They are YAML too.

use crate::yaml::{NodeKind, Result, TOP, Tree, YamlError};

/// The part of a kuberc that is about credential plugins, as it stands there.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(in crate::kubeconfig) struct Preference {
    /// `credentialPluginPolicy`, empty where nothing is said.
    pub(in crate::kubeconfig) policy: String,
    /// `credentialPluginAllowlist`.
    pub(in crate::kubeconfig) allowlist: Vec<Allowed>,
}

/// A program of the list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::kubeconfig) struct Allowed {
    /// The key that names it: `command`, or `name` as of kubectl 1.35.
    pub(in crate::kubeconfig) key: &'static str,
    /// Its name or path.
    pub(in crate::kubeconfig) command: String,
}

impl Preference {
    /// Reads a kuberc.
    pub(in crate::kubeconfig) fn parse(text: String) -> Result<Self> {
        let tree = Tree::parse(text)?;
        if !matches!(tree.kind(TOP), None | Some(NodeKind::Mapping { .. })) && !tree.is_null(TOP) {
            return Err(YamlError::new("it is not a mapping"));
        }
        let policy = tree.text_at(TOP, "credentialPluginPolicy")?.unwrap_or_default();
        let entries = tree.list_at(TOP, "credentialPluginAllowlist")?;
        let allowlist = entries.into_iter().map(|entry| tree.allowed(entry)).collect::<Result<_>>()?;
        Ok(Self { policy, allowlist })
    }
}

impl Tree {
    fn allowed(&self, entry: usize) -> Result<Allowed> {
        let named = |key| Ok(self.text_at(entry, key)?.map(|command| Allowed { key, command }));
        let found = named("command")?.map_or_else(|| named("name"), |found| Ok(Some(found)))?;
        found.ok_or_else(|| self.wrong(entry, "an entry of `credentialPluginAllowlist` names no command"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<(String, Vec<(&'static str, String)>)> {
        let preference = Preference::parse(text.to_owned())?;
        let allowlist = preference.allowlist.into_iter().map(|allowed| (allowed.key, allowed.command));
        Ok((preference.policy, allowlist.collect()))
    }

    #[test]
    fn both_keys_are_read() {
        let text = "apiVersion: kubectl.config.k8s.io/v1beta1\nkind: Preference\ncredentialPluginPolicy: Allowlist\ncredentialPluginAllowlist:\n- command: a\n- {name: /b}\n- {name: old, command: new}\n";
        let list = [("command", "a"), ("name", "/b"), ("command", "new")];
        assert_eq!(parsed(text), Ok(("Allowlist".into(), list.map(|(key, command)| (key, command.into())).into())));
        for empty in ["", "# nothing\n", "kind: Preference\n", "credentialPluginPolicy:\n"] {
            assert_eq!(parsed(empty), Ok((String::new(), vec![])), "{empty}");
        }
    }

    #[test]
    fn what_is_malformed_is_refused() {
        for text in ["- a", "a: b: c", "credentialPluginAllowlist: x", "credentialPluginAllowlist: [kubelogin]"] {
            assert!(parsed(text).is_err(), "{text}");
        }
    }
}
