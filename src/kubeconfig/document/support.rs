//! Files and helpers for the tests.

use super::{Auth, Document, DocumentError, Edit, EditedDocument, Exec, ExecChange, NewExec, Variable};

pub(super) const AKS: &str = "\
# mine
apiVersion: v1
clusters: # here
- cluster:
    server: https://a.example:443
  name: a
contexts:
- context:
    cluster: a
    user: u
  name: a
current-context: a
kind: Config
preferences: {}
users:
- name: u # the user
  user:
    exec:
      apiVersion: client.authentication.k8s.io/v1beta1
      args: # old
      # inside
      - get-token
      - --login
      - devicecode
      # after
      command: kubelogin # c
      env: null
      installHint: |2

        Not installed.
      provideClusterInfo: false
";

pub(super) const PROVIDER: &str = "\
users:
- name: u
  user:
    auth-provider: # legacy
      config:
        apiserver-id: SRV
        config-mode: \"1\" # one
      name: azure
    # after
    token: t # static
";

pub(super) fn parse(text: &str) -> Document {
    Document::parse(text.to_owned()).unwrap()
}

pub(super) fn error(text: &str) -> String {
    Document::parse(text.to_owned()).unwrap_err().to_string()
}

pub(super) fn strings(list: &[&str]) -> Vec<String> {
    list.iter().map(|&text| text.to_owned()).collect()
}

pub(super) fn args(text: &str, new: &[&str]) -> Result<String, String> {
    edited(text, &[(0, new_args(strings(new)))]).map_err(|error| error.to_string())
}

/// The text after `edits`, from which the old one can be made again.
pub(super) fn edited(text: &str, edits: &[(usize, Edit)]) -> Result<String, DocumentError> {
    let EditedDocument { document, touched } = parse(text).edit(edits)?;
    let new = document.text();
    let mut back = new.to_owned();
    for place in touched.iter().rev() {
        back.replace_range(place.new.clone(), &text[place.old.clone()]);
        let line = &text[..place.old.start].rsplit(['\n', '\r']).next().unwrap();
        assert_eq!(line.trim_start_matches('\u{feff}').chars().count(), place.column, "{text}");
    }
    assert_eq!(back, text, "{new}");
    Ok(new.to_owned())
}

pub(super) fn new_args(args: Vec<String>) -> Edit {
    Edit::Exec(ExecChange { args, ..ExecChange::default() })
}

pub(super) fn variables(list: &[(&str, &str)]) -> Vec<Variable> {
    list.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The text after the variable `X` of the first user is set.
pub(super) fn set_env(text: &str, value: &str) -> Result<String, String> {
    let change =
        ExecChange { args: exec_of(text).args, variables: variables(&[("X", value)]), ..ExecChange::default() };
    edited(text, &[(0, Edit::Exec(change))]).map_err(|error| error.to_string())
}

/// The entry of the first user.
pub(super) fn exec_of(text: &str) -> Exec {
    match &parse(text).users()[0].auth {
        Auth::Exec(exec) => exec.clone(),
        other => panic!("{other:?}"),
    }
}

pub(super) fn new_exec() -> NewExec {
    NewExec {
        api_version: "client.authentication.k8s.io/v1beta1".to_owned(),
        args: strings(&["get-token", "--server-id", "SRV"]),
        command: "kubelogin".to_owned(),
        env: vec![],
        install_hint: "\nNot installed.\nSee https://a.example\n".to_owned(),
        interactive_mode: "IfAvailable".to_owned(),
    }
}

pub(super) fn convert(text: &str) -> Result<String, String> {
    let edits = [(0, Edit::ProviderToExec(new_exec()))];
    edited(text, &edits).map_err(|error| error.to_string())
}

/// A small generator, so that failures repeat.
pub(in crate::kubeconfig) struct Random(pub(in crate::kubeconfig) u64);

impl Random {
    pub(in crate::kubeconfig) fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }

    pub(super) fn text(&mut self) -> String {
        const PARTS: [&str; 44] = [
            "a", "B", "0", "1", "7", "9", "e", "x", "o", "-", "--", "_", ".", ":", ": ", " ", " #", "#", "'", "\"",
            "\\", "\n", "\r", "\t", ",", "[", "]", "{", "}", "&", "*", "!", "|", ">", "%", "@", "?", "=", "~", "\u{0}",
            "\u{85}", "\u{2028}", "é", "😀",
        ];
        (0..self.below(7)).map(|_| PARTS[self.below(PARTS.len())]).collect()
    }

    pub(super) fn perhaps(&mut self) -> Option<String> {
        (self.below(2) == 0).then(|| self.text())
    }

    pub(super) fn args(&mut self) -> Vec<String> {
        (0..self.below(5)).map(|_| self.text()).collect()
    }

    /// Some of the variables A, B and C.
    pub(super) fn variables(&mut self) -> Vec<Variable> {
        let names = ["A", "B", "C"].into_iter().filter(|_| self.below(2) == 0).collect::<Vec<_>>();
        names.into_iter().map(|name| (name.to_owned(), self.text())).collect()
    }
}
