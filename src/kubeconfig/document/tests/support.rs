//! Files and helpers for the tests.

use crate::yaml::YamlError;
pub(in crate::kubeconfig) use crate::yaml::tests::Random;

use std::rc::Rc;

use super::super::{Auth, Change, Document, EditedDocument, Exec, Variable};

pub(in crate::kubeconfig) const AKS: &str = "\
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

pub(in crate::kubeconfig) const PROVIDER: &str = "\
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

pub(in crate::kubeconfig) fn parse(text: &str) -> Document {
    Document::parse(text.to_owned()).unwrap()
}

pub(in crate::kubeconfig) fn error(text: &str) -> String {
    Document::parse(text.to_owned()).unwrap_err().to_string()
}

pub(in crate::kubeconfig) fn strings(list: &[&str]) -> Vec<String> {
    list.iter().map(|&text| text.to_owned()).collect()
}

pub(in crate::kubeconfig) fn args(text: &str, new: &[&str]) -> Result<String, String> {
    edited(text, &[(0, new_args(strings(new)))]).map_err(|error| error.to_string())
}

/// The `exec` that a user is to have, made of the one it has.
pub(in crate::kubeconfig) type Edit = Rc<dyn Fn(Exec) -> Exec>;

/// The file after `edits` of users.
pub(in crate::kubeconfig) fn edit(document: &Document, edits: &[(usize, Edit)]) -> Result<EditedDocument, YamlError> {
    let change = |(user, edit): &(usize, Edit)| match &document.users()[*user].auth {
        Auth::Exec(exec) => Change::User(*user, edit(exec.clone())),
        _ => Change::User(*user, edit(Exec::default())),
    };
    document.change(&edits.iter().map(change).collect::<Vec<_>>())
}

/// The text after `edits`, from which the old one can be made again.
pub(in crate::kubeconfig) fn edited(text: &str, edits: &[(usize, Edit)]) -> Result<String, YamlError> {
    let EditedDocument { text: new, touched } = edit(&parse(text), edits)?;
    let mut back = new.clone();
    for place in touched.iter().rev() {
        back.replace_range(place.new.clone(), &text[place.old.clone()]);
        let line = &text[..place.old.start].rsplit(['\n', '\r']).next().unwrap();
        // Of a text that is shared by aliases no column is told.
        let column =
            if text.contains('*') { place.column } else { line.trim_start_matches('\u{feff}').chars().count() };
        assert_eq!(column, place.column, "{text}");
    }
    assert_eq!(back, text, "{new}");
    Ok(new)
}

pub(in crate::kubeconfig) fn new_args(args: Vec<String>) -> Edit {
    Rc::new(move |exec| Exec { args: args.clone(), ..exec })
}

pub(in crate::kubeconfig) fn variables(list: &[(&str, &str)]) -> Vec<Variable> {
    list.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The text after the variable `X` of the first user is set.
pub(in crate::kubeconfig) fn set_env(text: &str, value: &str) -> Result<String, String> {
    edited(text, &[(0, with_variables(variables(&[("X", value)])))]).map_err(|error| error.to_string())
}

/// Sets variables, all others stay.
pub(in crate::kubeconfig) fn with_variables(new: Vec<Variable>) -> Edit {
    Rc::new(move |exec| {
        let is_new = |(name, _): &&Variable| !exec.env.iter().any(|(known, _)| known == name);
        let come = new.iter().filter(is_new).cloned();
        let now = |(name, old): &Variable| {
            let value = new.iter().find(|(known, _)| known == name).map_or(old, |(_, value)| value);
            (name.clone(), value.clone())
        };
        let env = exec.env.iter().map(now).chain(come).collect();
        Exec { env, ..exec }
    })
}

/// The entry of the first user.
pub(in crate::kubeconfig) fn exec_of(text: &str) -> Exec {
    match &parse(text).users()[0].auth {
        Auth::Exec(exec) => exec.clone(),
        other => panic!("{other:?}"),
    }
}

pub(in crate::kubeconfig) fn new_exec() -> Exec {
    Exec {
        api_version: Some("client.authentication.k8s.io/v1beta1".to_owned()),
        args: strings(&["get-token", "--server-id", "SRV"]),
        command: "kubelogin".to_owned(),
        env: vec![],
        install_hint: Some("\nNot installed.\nSee https://a.example\n".to_owned()),
        interactive_mode: Some("IfAvailable".to_owned()),
        provide_cluster_info: false,
    }
}

/// Whatever it has.
pub(in crate::kubeconfig) fn to(exec: Exec) -> Edit {
    Rc::new(move |_| exec.clone())
}

pub(in crate::kubeconfig) fn convert(text: &str) -> Result<String, String> {
    edited(text, &[(0, to(new_exec()))]).map_err(|error| error.to_string())
}

impl Random {
    pub(in crate::kubeconfig) fn perhaps(&mut self) -> Option<String> {
        (self.below(2) == 0).then(|| self.text())
    }

    pub(in crate::kubeconfig) fn args(&mut self) -> Vec<String> {
        (0..self.below(5)).map(|_| self.text()).collect()
    }

    /// Some of the variables A, B and C.
    pub(in crate::kubeconfig) fn variables(&mut self) -> Vec<Variable> {
        let names = ["A", "B", "C"].into_iter().filter(|_| self.below(2) == 0).collect::<Vec<_>>();
        names.into_iter().map(|name| (name.to_owned(), self.text())).collect()
    }
}
