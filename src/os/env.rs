//! The environment as a snapshot, and whose word each variable is.

/// What chooses the programs that are started and the CAs that are believed. Whoever writes a kubeconfig
/// does not choose them for `login`, which runs no command of an entry: these are looked up with
/// [`Env::user_value`].
pub(crate) const USER_ONLY: [&str; 6] =
    ["PATH", "BROWSER", "DISPLAY", "WAYLAND_DISPLAY", "SSL_CERT_FILE", "SSL_CERT_DIR"];

/// What the variables begin with by which a machine, a pod or a build job says where its own proof is
/// asked for: an entry that named another place would be sent it.
const MACHINE_ONLY: [&str; 11] = [
    "ACTIONS_ID_TOKEN_",
    "ARM_OIDC_REQUEST_",
    "AZURE_KUBERNETES_",
    "AZURE_POD_IDENTITY_",
    "BUILDKITE_AGENT_",
    "IDENTITY_",
    "IMDS_",
    "KUBERNETES_EXEC_INFO",
    "MSI_",
    "SYSTEM_ACCESSTOKEN",
    "SYSTEM_OIDC",
];

pub(crate) fn belongs_to_machine(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    MACHINE_ONLY.iter().any(|start| name.starts_with(start))
}

/// A snapshot of the environment. A variable that is set to the empty string counts as unset:
/// pipelines export empty secrets all the time.
///
/// A plain list: some twenty look-ups in some fifty variables cost less than building a map does.
#[derive(Default, Clone)]
pub struct Env {
    variables: Vec<(String, String)>,
    /// What an exec entry sets over them.
    of_entry: Vec<(String, String)>,
}

impl Env {
    /// The value of `name`, if it is set and not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        // Of two in an entry the later one wins, as by kubectl.
        match self.of_entry.iter().rfind(|(known, _)| is_same(known, name)) {
            Some((_, value)) => Some(value.as_str()).filter(|value| !value.is_empty()),
            None => self.user_value(name),
        }
    }

    /// The value that the user's own environment gives `name`, as if no exec entry set it.
    pub fn user_value(&self, name: &str) -> Option<&str> {
        let (_, value) = self.variables.iter().find(|(known, _)| is_same(known, name))?;
        Some(value.as_str()).filter(|value| !value.is_empty())
    }

    /// Whether an exec entry gives `name` another value than the user, so that [`Self::user_value`] passes
    /// something over.
    pub fn is_overridden(&self, name: &str) -> bool {
        self.get(name) != self.user_value(name)
    }

    /// The value of `name`, unless an exec entry says it: whoever writes a kubeconfig does not decide whom
    /// the user trusts.
    pub fn trusted(&self, name: &str) -> Option<&str> {
        if self.of_entry.iter().any(|(known, _)| is_same(known, name)) { None } else { self.get(name) }
    }

    /// The same with what an exec entry sets, but for what belongs to the machine.
    #[must_use]
    pub fn with_entry(&self, variables: &[(String, String)]) -> Self {
        let counts = variables.iter().filter(|(name, _)| !belongs_to_machine(name)).cloned();
        Self { of_entry: self.of_entry.iter().cloned().chain(counts).collect(), ..self.clone() }
    }

    /// What an exec entry sets, in its order.
    pub fn of_entry(&self) -> &[(String, String)] {
        &self.of_entry
    }

    /// The first of `names` that is set, with its value.
    pub fn first<'n>(&self, names: &[&'n str]) -> Option<(&'n str, &str)> {
        names.iter().find_map(|name| Some((*name, self.get(name)?)))
    }

    /// The same without `names`.
    #[must_use]
    pub fn without(&self, names: &[&str]) -> Self {
        let rest = |variables: &[(String, String)]| {
            let is_wanted = |known: &str| !names.iter().any(|name| is_same(known, name));
            variables.iter().filter(|(known, _)| is_wanted(known)).cloned().collect()
        };
        Self { variables: rest(&self.variables), of_entry: rest(&self.of_entry) }
    }

    /// Every variable that is set and not empty.
    pub fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        let said = |name: &str| self.of_entry.iter().any(|(known, _)| is_same(known, name));
        let own = self.variables.iter().filter(move |(name, _)| !said(name));
        let last = |index: usize, name: &str| !self.of_entry[index + 1..].iter().any(|(later, _)| is_same(later, name));
        let of_entry = self.of_entry.iter().enumerate().filter(move |(index, (name, _))| last(*index, name));
        let all = own.chain(of_entry.map(|(_, variable)| variable));
        all.map(|(name, value)| (name.as_str(), value.as_str())).filter(|(_, value)| !value.is_empty())
    }

    /// The user's home directory, found the way client-go finds it: `HOME`, and on Windows
    /// `HOMEDRIVE` with `HOMEPATH`, then `USERPROFILE`.
    pub fn home(&self) -> Option<std::path::PathBuf> {
        if let Some(home) = self.get("HOME") {
            return Some(home.into());
        }
        if !cfg!(windows) {
            return None;
        }
        let joined = self.get("HOMEDRIVE").zip(self.get("HOMEPATH")).map(|(drive, path)| format!("{drive}{path}"));
        joined.or_else(|| self.get("USERPROFILE").map(String::from)).map(Into::into)
    }
}

/// Whether two names mean one variable. Windows has `Path` and finds it as `PATH`.
fn is_same(known: &str, name: &str) -> bool {
    if cfg!(windows) { known.eq_ignore_ascii_case(name) } else { known == name }
}

impl FromIterator<(String, String)> for Env {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(variables: I) -> Self {
        Self { variables: variables.into_iter().collect(), of_entry: Vec::new() }
    }
}

impl<const N: usize> From<[(&str, &str); N]> for Env {
    fn from(pairs: [(&str, &str); N]) -> Self {
        let variables = pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        Self { variables, of_entry: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_variable_is_unset() {
        let env = Env::from([("A", ""), ("B", "b")]);
        assert_eq!(env.get("A"), None);
        assert_eq!(env.first(&["A", "B"]), Some(("B", "b")));
    }

    #[test]
    fn the_variables_of_an_entry_lie_over_the_own_ones() {
        let own = Env::from([("A", "own"), ("B", "own"), ("C", "own")]);
        let entry = [("A", "first"), ("A", "last"), ("C", ""), ("D", "new")];
        let env = own.with_entry(&entry.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(["A", "B", "C", "D"].map(|name| env.get(name)), [Some("last"), Some("own"), None, Some("new")]);
        assert_eq!(["A", "B", "C", "D"].map(|name| env.trusted(name)), [None, Some("own"), None, None]);
        assert_eq!(
            ["A", "B", "C", "D"].map(|name| env.user_value(name)),
            [Some("own"), Some("own"), Some("own"), None]
        );
        assert_eq!(["A", "B", "C", "D"].map(|name| env.is_overridden(name)), [true, false, true, true]);
        assert!(!own.with_entry(&[("A".into(), "own".into())]).is_overridden("A"), "it changes nothing");
        assert_eq!(env.all().collect::<Vec<_>>(), [("B", "own"), ("A", "last"), ("D", "new")]);
        assert_eq!(env.without(&["A"]).get("A"), None);
    }

    #[test]
    fn an_entry_does_not_say_where_a_machine_proves_itself() {
        let own = Env::from([("MSI_ENDPOINT", "http://127.0.0.1/")]);
        let names = ["MSI_ENDPOINT", "ACTIONS_ID_TOKEN_REQUEST_URL", "AZURE_KUBERNETES_TOKEN_PROXY", "AZURE_CLIENT_ID"];
        let env = own.with_entry(&names.map(|name| (name.into(), "x".into())));
        assert_eq!(names.map(|name| env.get(name)), [Some("http://127.0.0.1/"), None, None, Some("x")]);
    }
}
