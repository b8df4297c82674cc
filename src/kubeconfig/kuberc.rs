//! Which programs kubectl starts, from 1.35 on, as its own preferences in `~/.kube/kuberc` say it.
//!
//! The rules are client-go's (`plugin/pkg/client/auth/exec`): an entry of the list allows the command that
//! it equals, and the one that lies at the same place of the file system. Symlinks are not followed.

use std::io;
use std::path::{Component, Path, PathBuf};

use crate::error::io_words;
use crate::os::env::Env;
use crate::os::process;
use crate::sys::Sys;

use super::document::kuberc::{Allowed, Preference};

/// kubectl's policy about credential plugins, and the file that says it.
pub(crate) struct Policy {
    /// The file.
    pub path: PathBuf,
    rule: AllowRule,
}

enum AllowRule {
    DenyAll,
    Allowlist(Vec<Allowed>),
}

/// Why kubectl does not start a command.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PolicyRefusal {
    /// No plugin is started.
    All,
    /// It is not in the list, where this line would put it.
    NotListed(String),
}

/// Nobody has this many preferences.
const LIMIT: u64 = 1024 * 1024;

impl Policy {
    /// The policy that kubectl would find in this environment, if it is one that refuses anything. About a
    /// file that cannot be read, or that kubectl itself refuses, nothing is known.
    pub(crate) fn load(sys: &Sys) -> Option<Self> {
        let path = place(&sys.env)?;
        match read(&path) {
            Ok(rule) => Some(Self { rule: rule?, path }),
            Err(why) => {
                let path = path.display();
                sys.terminal.detail(1, || {
                    format!("whether kubectl starts the command is not known: {path}: {}", crate::error::one_line(&why))
                });
                None
            }
        }
    }

    /// Why kubectl would not start `command`, as [`configured`] gives it.
    pub(crate) fn refuses(&self, command: &str, env: &Env) -> Option<PolicyRefusal> {
        let list = match &self.rule {
            AllowRule::DenyAll => return Some(PolicyRefusal::All),
            AllowRule::Allowlist(list) => list,
        };
        let place = lookup(command, env);
        let allows = |allowed: &Allowed| {
            let is_place =
                || place.as_deref().is_some_and(|place| lookup(&allowed.command, env).as_deref() == Some(place));
            allowed.command == command || place.as_deref() == Some(Path::new(&allowed.command)) || is_place()
        };
        if list.iter().any(allows) {
            return None;
        }
        let key = list.first().map_or("command", |allowed| allowed.key);
        Some(PolicyRefusal::NotListed(format!("- {key}: {}", yaml(command))))
    }
}

/// The command of an exec entry in the kubeconfig at `file`, as kubectl takes it: a name, or a path without
/// detours that a relative one makes from the directory of the file.
pub(crate) fn configured(command: &str, file: &Path) -> String {
    if !command.contains(std::path::is_separator) {
        return command.to_owned();
    }
    let directory = std::path::absolute(file).ok().and_then(|file| file.parent().map(Path::to_owned));
    clean(&directory.unwrap_or_default().join(command)).display().to_string()
}

/// Where the program `command` lies, if there is one that may be started.
pub(crate) fn lookup(command: &str, env: &Env) -> Option<PathBuf> {
    let found = if command.contains(std::path::is_separator) {
        std::path::absolute(command).ok().filter(|path| process::runs(path))
    } else {
        let name = if cfg!(windows) { command.strip_suffix(".exe").unwrap_or(command) } else { command };
        process::find(env, name)
    };
    found.as_deref().map(clean)
}

/// `KUBERC` names the file or says `off`; `KUBECTL_KUBERC=false` says the latter too.
fn place(env: &Env) -> Option<PathBuf> {
    let off = env.get("KUBECTL_KUBERC").is_some_and(|value| value.eq_ignore_ascii_case("false"));
    match env.get("KUBERC") {
        _ if off => None,
        Some("off") => None,
        Some(path) => Some(path.into()),
        None => Some(env.home()?.join(".kube").join("kuberc")),
    }
}

fn read(path: &Path) -> Result<Option<AllowRule>, String> {
    let text = match crate::os::files::read_text(path, LIMIT) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(|error| io_words(&error))?,
    };
    rule(Preference::parse(text).map_err(|error| error.to_string())?)
}

/// kubectl refuses a policy that it does not know, a list that has no meaning, and an empty one that has.
fn rule(Preference { policy, allowlist }: Preference) -> Result<Option<AllowRule>, String> {
    let odd = |allowed: &&Allowed| clean(Path::new(&allowed.command)).as_os_str() != allowed.command.as_str();
    match (policy.as_str(), allowlist.as_slice()) {
        ("" | "AllowAll", []) => Ok(None),
        ("DenyAll", []) => Ok(Some(AllowRule::DenyAll)),
        ("Allowlist", []) => Err("credentialPluginAllowlist is empty".into()),
        ("Allowlist", list) => match list.iter().find(odd) {
            Some(odd) => Err(format!("\"{}\" in credentialPluginAllowlist is no clean path", odd.command)),
            None => Ok(Some(AllowRule::Allowlist(allowlist))),
        },
        ("" | "AllowAll" | "DenyAll", _) => Err(format!("credentialPluginAllowlist goes with no policy \"{policy}\"")),
        _ => Err(format!("no credentialPluginPolicy is called \"{policy}\"")),
    }
}

/// Go's `filepath.Clean`: the same path without `.`, `..` and repeated separators, as far as its text tells.
fn clean(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match (part, clean.components().next_back()) {
            (Component::CurDir, _) | (Component::ParentDir, Some(Component::RootDir)) => {}
            (Component::ParentDir, Some(Component::Normal(_))) => _ = clean.pop(),
            _ => clean.push(part),
        }
    }
    if clean.as_os_str().is_empty() { ".".into() } else { clean }
}

/// `text` as a scalar: plain where it holds nothing that YAML could take for something else.
fn yaml(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/');
    if begins && text.chars().all(plain) { text.to_owned() } else { serde_json::Value::from(text).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(text: &str) -> Policy {
        let rule = rule(Preference::parse(text.into()).unwrap()).unwrap().unwrap();
        Policy { path: "kuberc".into(), rule }
    }

    fn list(entries: &str) -> Policy {
        policy(&format!("credentialPluginPolicy: Allowlist\ncredentialPluginAllowlist: [{entries}]\n"))
    }

    #[test]
    #[cfg(unix)]
    fn what_an_entry_allows() {
        let bin = tempfile::tempdir().unwrap();
        let directory = bin.path().display();
        for name in ["kubentra", "target"] {
            let path = bin.path().join(name);
            crate::os::files::create(&path, b"#!/bin/sh\n").unwrap();
            std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        }
        std::os::unix::fs::symlink(bin.path().join("target"), bin.path().join("link")).unwrap();
        let path = format!("/nowhere:{directory}/.:relative");
        let env = Env::from([("PATH", path.as_str())]);
        let full = format!("{directory}/kubentra");
        let allows =
            |entry: &str, command: &str| list(&format!("{{command: {entry}}}")).refuses(command, &env).is_none();
        assert!(allows("kubentra", "kubentra") && allows("/not/there", "/not/there"), "the same text");
        assert!(allows(&full, "kubentra") && allows("kubentra", &full), "the same place");
        assert!(!allows("kubelogin", "kubentra") && !allows("/other/kubentra", "kubentra"));
        assert!(!allows("missing", "gone"), "two that are not there are not the same");
        assert!(!allows("target", "link"), "symlinks are not followed");
        assert_eq!(
            list("{command: a}").refuses("kubentra", &env),
            Some(PolicyRefusal::NotListed("- command: kubentra".into()))
        );
        let older = list("{name: a}, {command: b}").refuses("/my tools/x", &env);
        assert_eq!(older, Some(PolicyRefusal::NotListed("- name: \"/my tools/x\"".into())));
        assert_eq!(policy("credentialPluginPolicy: DenyAll").refuses(&full, &env), Some(PolicyRefusal::All));
    }

    #[test]
    fn policies_that_refuse_nothing_and_such_that_kubectl_refuses() {
        let judged = |text: &str| rule(Preference::parse(text.into()).unwrap()).map(|rule| rule.is_some());
        for text in ["", "credentialPluginPolicy: AllowAll", "credentialPluginPolicy: ''"] {
            assert_eq!(judged(text), Ok(false), "{text}");
        }
        for text in [
            "credentialPluginPolicy: Allowlist",
            "credentialPluginPolicy: allowlist",
            "credentialPluginAllowlist: [{command: a}]",
            "{credentialPluginPolicy: DenyAll, credentialPluginAllowlist: [{command: a}]}",
            "{credentialPluginPolicy: Allowlist, credentialPluginAllowlist: [{command: ''}]}",
            "{credentialPluginPolicy: Allowlist, credentialPluginAllowlist: [{command: /a/../b}]}",
            "{credentialPluginPolicy: Allowlist, credentialPluginAllowlist: [{command: a/}]}",
        ] {
            assert!(judged(text).is_err(), "{text}");
        }
    }

    #[test]
    #[cfg(unix)]
    fn commands_as_kubectl_takes_them() {
        let file = Path::new("/home/a/.kube/config");
        for (command, taken) in [
            ("kubentra", "kubentra"),
            ("/opt//bin/./kubentra", "/opt/bin/kubentra"),
            ("./kubentra", "/home/a/.kube/kubentra"),
            ("../bin/kubentra", "/home/a/bin/kubentra"),
            ("/../kubentra", "/kubentra"),
        ] {
            assert_eq!(configured(command, file), taken);
        }
        assert_eq!([clean(Path::new("../../a/..")), clean(Path::new("a/.."))], [Path::new("../.."), Path::new(".")]);
    }

    #[test]
    fn where_the_preferences_are() {
        let place = |pairs: [(&str, &str); 3]| place(&Env::from(pairs));
        assert_eq!(place([("HOME", "/h"), ("", ""), ("", "")]), Some("/h/.kube/kuberc".into()));
        assert_eq!(place([("HOME", "/h"), ("KUBERC", "/k"), ("KUBECTL_KUBERC", "true")]), Some("/k".into()));
        assert_eq!(place([("HOME", "/h"), ("KUBERC", "off"), ("", "")]), None);
        assert_eq!(place([("HOME", "/h"), ("KUBERC", "/k"), ("KUBECTL_KUBERC", "False")]), None);
    }
}
