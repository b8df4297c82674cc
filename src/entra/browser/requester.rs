//! Who asked for the sign-in: the page names the command and the cluster, so that a person sees
//! whether it is the one they have just started.

use crate::error::one_line;
use crate::exec_credential::ExecInfo;
use crate::sys::Sys;

/// The command and the cluster that asked, as far as they are known.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Requester {
    /// Such as `kubectl get pods`.
    pub(super) command: Option<String>,
    /// The host of the cluster's API server.
    pub(super) cluster: Option<String>,
}

impl Requester {
    /// The program that has started us, and the cluster that it names.
    pub(super) fn of(sys: &Sys) -> Self {
        let cluster = ExecInfo::from_env(&sys.env).ok().and_then(|info| info.cluster);
        Self { command: command(&(sys.parent)()), cluster: cluster.and_then(|cluster| host_of(&cluster.server)) }
    }
}

/// After the program's name come at most this many words.
const WORDS: usize = 3;

/// A command line in words that hold no secret: the program, the words before the first flag, and the
/// context. Everything else may be a password.
fn command(line: &[String]) -> Option<String> {
    let (program, arguments) = line.split_first()?;
    let program = program.rsplit(['/', '\\']).next().filter(|name| !name.is_empty())?;
    let leading = arguments.iter().take_while(|word| is_plain(word)).take(WORDS).map(String::as_str);
    let mut words: Vec<&str> = std::iter::once(program).chain(leading).collect();
    if let Some(context) = context(arguments) {
        words.extend(["--context", context]);
    }
    Some(one_line(&words.join(" "))).filter(|command| !command.is_empty())
}

/// A verb, a resource or a name; `set image app=…` and `exec pod sh -c …` stop where values begin.
fn is_plain(word: &str) -> bool {
    !word.is_empty()
        && word.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | ','))
        && !word.starts_with('-')
}

fn context(arguments: &[String]) -> Option<&str> {
    let own = arguments.iter().take_while(|word| *word != "--");
    let (at, inline) = own.enumerate().find_map(|(at, word)| match word.strip_prefix("--context") {
        Some("") => Some((at, None)),
        Some(rest) => rest.strip_prefix('=').map(|value| (at, Some(value))),
        None => None,
    })?;
    inline.or_else(|| arguments.get(at + 1).map(String::as_str)).filter(|name| !name.is_empty())
}

/// The host of the API server at `address`.
fn host_of(address: &str) -> Option<String> {
    let address = url::Url::parse(address).ok()?;
    Some(crate::net::host(&address)).filter(|host| !host.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(line: &str) -> Option<String> {
        command(&line.split_whitespace().map(String::from).collect::<Vec<_>>())
    }

    #[test]
    fn a_command_without_what_may_be_secret() {
        for (line, expected) in [
            ("/usr/local/bin/kubectl get pods -n kube-system", "kubectl get pods"),
            ("kubectl --context prod get secret x", "kubectl --context prod"),
            ("kubectl get pods --context=prod --token=hunter2", "kubectl get pods --context prod"),
            ("kubectl create secret generic db --from-literal=p=hunter2", "kubectl create secret generic"),
            ("kubectl set env password=hunter2", "kubectl set env"),
            ("kubectl exec pod -- mysql --context hunter2", "kubectl exec pod"),
            ("k9s", "k9s"),
            ("kubectl --password hunter2 get pods", "kubectl"),
        ] {
            assert_eq!(shown(line).as_deref(), Some(expected), "{line}");
        }
        assert_eq!(command(&[]), None);
        assert_eq!(command(&[String::new()]), None);
    }

    #[test]
    fn the_cluster_is_its_host() {
        assert_eq!(host_of("https://aks.example:6443/x?y").as_deref(), Some("aks.example:6443"));
        assert_eq!(host_of("junk"), None);
        assert_eq!(host_of("data:x"), None);
    }
}
