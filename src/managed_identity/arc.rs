//! Azure Arc: the agent on a server outside of Azure. It proves that the caller may read a file of
//! its own: it names the file, and wants its content back.

use std::io;
use std::path::{Path, PathBuf};

use crate::entra::{Session, Token};
use crate::error::{Error, ErrorKind, io_words};
use crate::net;
use crate::os::BoxFuture;
use crate::os::env::Env;
use crate::os::files;
use crate::secret::Secret;
use crate::sys::http::{Request, TOKEN_GIVER, Transport};

use super::{
    ELSEWHERE, Host, IDENTITY_ENDPOINT, IdentityError, IdentityRequest, ManagedIdentitySource, OF_IMDS, Selector,
    accept, address, ask, question, refused, unknown,
};

/// Where the agent listens, unless the environment says otherwise.
const ADDRESS: &str = "http://127.0.0.1:40342/metadata/identity/oauth2/token";
/// A key is a few dozen bytes; Microsoft's SDKs have the same bound.
const KEY_LIMIT: u64 = 4096;

/// The agent.
pub(super) struct Arc {
    host: Host,
    /// The one directory from which a key is read.
    keys: PathBuf,
}

/// Whether the agent's program is on this machine. On Windows the SDKs disagree about the directory.
pub(super) fn is_installed(env: &Env) -> bool {
    if !cfg!(windows) {
        return Path::new("/opt/azcmagent/bin/himds").is_file();
    }
    let below = |variable| Some(Path::new(env.get(variable)?).join("AzureConnectedMachineAgent").join("himds.exe"));
    ["ProgramFiles", "ProgramData"].into_iter().filter_map(below).any(|path| path.is_file())
}

/// The directory of the agent's keys.
fn key_directory(env: &Env) -> PathBuf {
    // No door of a released program: whoever sets it chooses the keys that are read.
    if cfg!(debug_assertions)
        && let Some(directory) = env.get("KUBENTRA_TEST_ARC_KEYS")
    {
        return directory.into();
    }
    if !cfg!(windows) {
        return "/var/opt/azcmagent/tokens".into();
    }
    Path::new(env.get("ProgramData").unwrap_or("C:\\ProgramData")).join("AzureConnectedMachineAgent").join("Tokens")
}

impl Arc {
    /// The agent that the environment names.
    pub(super) fn from_env(env: &Env) -> Result<Self, Error> {
        Self::at(env.get(IDENTITY_ENDPOINT).unwrap_or_default(), Some(IDENTITY_ENDPOINT), env)
    }

    /// The agent that is installed.
    pub(super) fn installed(env: &Env) -> Result<Self, Error> {
        Self::at(ADDRESS, None, env)
    }

    fn at(text: &str, named_by: Option<&'static str>, env: &Env) -> Result<Self, Error> {
        let endpoint = address(text, IDENTITY_ENDPOINT)?;
        let host = Host { name: "the Azure Arc agent", endpoint, named_by, parameters: OF_IMDS };
        Ok(Self { host, keys: key_directory(env) })
    }

    /// Asks, proves that we may read the agent's key, and asks again.
    async fn ask_twice(&self, session: &Session<'_>, wanted: &IdentityRequest) -> Result<Token, Error> {
        let asked_on = session.sys.clock.now();
        let first = ask(self, session, &self.request(wanted)).await?;
        let key = match first.status {
            401 => self.key(first.challenge.as_deref().unwrap_or_default())?,
            200 => return Err(self.odd("does not ask for proof, which the agent always does")),
            _ => return Err(refused(self, &first, wanted)),
        };
        let request = self.request(wanted).header("Authorization", format!("Basic {}", key.expose()));
        let second = ask(self, session, &request).await?;
        let answer = accept(self, &second, wanted)?;
        match &wanted.selector {
            Some(selector) if !answer.names(selector.by, &selector.id) => Err(another_identity(selector)),
            _ => answer.token(self.host.name, asked_on),
        }
    }

    /// The content of the file that `challenge` names.
    fn key(&self, challenge: &str) -> Result<Secret, Error> {
        let path = realm(challenge).ok_or_else(|| self.odd("names no key file"))?;
        if !self.is_key(path) {
            return Err(self.odd(&format!("names a file that is no key in {}, and is not read", self.keys.display())));
        }
        let text = read_key(path).map_err(|error| key_unreadable(path, &error))?;
        let key = Secret::new(text.expose().trim_end());
        if key.is_empty() || !key.expose().chars().all(|c| c.is_ascii_graphic()) {
            return Err(self.odd("names a file that holds no key"));
        }
        Ok(key)
    }

    /// A `.key` in the agent's own directory and nowhere below or beside it. Whoever listens on the
    /// port could otherwise have any file that we may read.
    fn is_key(&self, path: &Path) -> bool {
        let climbs = path.components().any(|part| matches!(part, std::path::Component::ParentDir));
        let in_directory = path.parent().is_some_and(|parent| {
            let (parent, keys) = (parent.as_os_str(), self.keys.as_os_str());
            parent == keys || cfg!(windows) && parent.eq_ignore_ascii_case(keys)
        });
        path.is_absolute() && !climbs && in_directory && path.extension().is_some_and(|extension| extension == "key")
    }

    fn odd(&self, what: &str) -> Error {
        Error::new(ErrorKind::HostAnswer, format!("what answers in place of the Azure Arc agent {what}"))
            .remedy(format!("look at what listens on {}", net::host(&self.host.endpoint)))
    }
}

/// The path in `Basic realm=PATH`.
fn realm(challenge: &str) -> Option<&Path> {
    let (scheme, rest) = challenge.trim().split_once(' ')?;
    let path = rest.trim().strip_prefix("realm=")?.trim_matches('"');
    (scheme.eq_ignore_ascii_case("basic") && !path.is_empty()).then_some(Path::new(path))
}

fn read_key(path: &Path) -> io::Result<Secret> {
    let file = files::open_itself(path)?;
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is not a regular file"));
    }
    let bytes = files::read_bounded(file, KEY_LIMIT)?;
    String::from_utf8(bytes).map(Secret::new).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not text"))
}

/// The group is the agent's own; the names are those of its documentation.
fn key_unreadable(path: &Path, error: &io::Error) -> Error {
    let what = format!("the key of the Azure Arc agent cannot be read: {}", io_words(error));
    let remedy = match error.kind() {
        io::ErrorKind::PermissionDenied if cfg!(windows) => {
            "run as an administrator, or become a member of the group Hybrid agent extension applications"
        }
        io::ErrorKind::PermissionDenied => "become a member of the group himds, or run as root",
        _ => "try again; if it stays so, look at the agent (azcmagent check)",
    };
    Error::new(ErrorKind::HostRefused, what).from_source(path.display()).remedy(remedy)
}

/// Agents that know no user-assigned identities pass the selector over.
fn another_identity(selector: &Selector) -> Error {
    let (kind, Selector { id, source, .. }) = (selector.by.words(), selector);
    let what =
        format!("the Azure Arc agent gave a token that it does not say is that of {kind} {id}, so it is not used");
    Error::new(ErrorKind::HostAnswer, what)
        .from_source(source)
        .remedy(format!("update the agent, or leave {source} out to use the machine's own identity"))
}

impl ManagedIdentitySource for Arc {
    fn host(&self) -> &Host {
        &self.host
    }

    fn request(&self, wanted: &IdentityRequest) -> Request {
        Request::get(question(&self.host, "2020-06-01", wanted), &TOKEN_GIVER)
            .header("Metadata", "true")
            .over(Transport::Direct)
    }

    fn explain(&self, refusal: &IdentityError, wanted: &IdentityRequest) -> Option<Error> {
        match refusal.status {
            400 | 404 if refusal.says("identity not found") => Some(unknown(wanted.selector.as_ref(), "machine")),
            401 => Some(
                Error::new(ErrorKind::HostRefused, "the Azure Arc agent does not accept its own key")
                    .remedy("try again; if it stays so, look at the agent (azcmagent check)"),
            ),
            _ => None,
        }
    }

    fn absent(&self) -> Error {
        let what = format!("the Azure Arc agent does not answer at {}", net::host(&self.host.endpoint));
        let error = Error::new(ErrorKind::NoIdentityHost, what);
        match self.host.named_by {
            None => error.remedy(format!("start the agent (himds), or {ELSEWHERE}")),
            Some(variable) => error
                .from_source(variable)
                .remedy(format!("start the agent (himds), correct {variable}, or {ELSEWHERE}")),
        }
    }

    fn token<'a>(&'a self, session: &'a Session<'a>, wanted: &'a IdentityRequest) -> BoxFuture<'a, Token> {
        Box::pin(self.ask_twice(session, wanted))
    }
}

#[cfg(all(test, unix))]
mod tests {
    #![allow(clippy::unwrap_used, reason = "clippy's own exception does not see through the two conditions")]

    use std::fs;

    use super::super::fake::{Outcome, answer, ask_host, by, granted};
    use super::*;
    use crate::managed_identity::IdKind;
    use crate::sys::http::Response;

    /// An agent with a key of its own, and its challenge.
    struct Agent {
        directory: tempfile::TempDir,
    }

    impl Agent {
        fn with_key(content: &str) -> Self {
            let agent = Self { directory: tempfile::tempdir().unwrap() };
            fs::create_dir(agent.path("tokens")).unwrap();
            files::create(&agent.path("tokens/a.key"), content.as_bytes()).unwrap();
            agent
        }

        fn path(&self, name: &str) -> PathBuf {
            self.directory.path().join(name)
        }

        fn ask(&self, challenge: &str, selector: Option<Selector>, granted: Result<Response, Error>) -> Outcome {
            let arc = Arc { keys: self.path("tokens"), ..Arc::installed(&Env::default()).unwrap() };
            let challenge = Some(challenge.to_owned()).filter(|text| !text.is_empty());
            let first = Response { status: 401, challenge, ..Response::default() };
            ask_host(&arc, selector, vec![Ok(first), granted])
        }

        fn ask_for(&self, path: &str) -> Outcome {
            self.ask(&format!("Basic realm={}", self.path(path).display()), None, granted())
        }
    }

    #[test]
    fn the_key_is_read_and_sent() {
        let agent = Agent::with_key("KEY");
        for challenge in ["Basic realm=PATH", "basic  realm=\"PATH\""] {
            let challenge = challenge.replace("PATH", agent.path("tokens/a.key").to_str().unwrap());
            let outcome = agent.ask(&challenge, None, granted());
            assert_eq!(outcome.result.unwrap().access_token.expose(), "TOKEN");
            let url = format!("{ADDRESS}?api-version=2020-06-01&resource=6dae42f8");
            assert!(outcome.requests.iter().all(|request| request.url == url && request.way == Transport::Direct));
            let metadata = ("Metadata", "true".to_owned());
            assert_eq!(outcome.requests[0].headers, std::slice::from_ref(&metadata));
            assert_eq!(outcome.requests[1].headers, [metadata, ("Authorization", "Basic KEY".into())]);
            assert_eq!(outcome.requests.len(), 2);
        }
    }

    #[test]
    fn files_that_are_no_keys_are_not_read() {
        let agent = Agent::with_key("KEY");
        for name in ["b.key", "tokens/a.txt", "tokens/key", "tokens/.key"] {
            files::create(&agent.path(name), b"canary").unwrap();
        }
        fs::create_dir(agent.path("tokens/below")).unwrap();
        files::create(&agent.path("tokens/below/a.key"), b"canary").unwrap();
        fs::create_dir(agent.path("tokens2")).unwrap();
        files::create(&agent.path("tokens2/a.key"), b"canary").unwrap();
        for path in [
            "b.key",
            "tokens/../b.key",
            "tokens/../tokens/a.key",
            "tokens/a.txt",
            "tokens/key",
            "tokens/.key",
            "tokens/below/a.key",
            "tokens2/a.key",
            "tokens",
            "",
        ] {
            let outcome = agent.ask_for(path);
            assert!(outcome.is(ErrorKind::HostAnswer), "{path}");
            assert_eq!(outcome.requests.len(), 1, "{path}");
            assert_eq!(
                outcome.error(),
                format!(
                    "what answers in place of the Azure Arc agent names a file that is no key in {}, and is not read; \
                     look at what listens on 127.0.0.1:40342",
                    agent.path("tokens").display()
                )
            );
        }
        let relative = agent.ask("Basic realm=tokens/a.key", None, granted());
        assert!(relative.is(ErrorKind::HostAnswer));
    }

    #[test]
    fn keys_that_cannot_be_used() {
        let agent = Agent::with_key(&"k".repeat(5000));
        std::os::unix::fs::symlink(agent.path("tokens/a.key"), agent.path("tokens/link.key")).unwrap();
        fs::create_dir(agent.path("tokens/dir.key")).unwrap();
        files::create(&agent.path("tokens/empty.key"), b"\n").unwrap();
        files::create(&agent.path("tokens/lines.key"), b"a\r\nX-Evil: 1").unwrap();
        files::create(&agent.path("tokens/binary.key"), b"\xff\xfe").unwrap();
        files::create(&agent.path("tokens/full.key"), "k".repeat(4096).as_bytes()).unwrap();
        for (name, words) in [
            ("a.key", "it is larger than 4096 bytes"),
            ("link.key", "it is a symbolic link"),
            ("dir.key", "it is not a regular file"),
            ("gone.key", "no such file or directory"),
            ("binary.key", "it is not text"),
            ("empty.key", "names a file that holds no key"),
            ("lines.key", "names a file that holds no key"),
        ] {
            let outcome = agent.ask_for(&format!("tokens/{name}"));
            assert!(outcome.error().contains(words), "{name}: {}", outcome.error());
            assert_eq!(outcome.requests.len(), 1, "{name}");
        }
        assert!(agent.ask_for("tokens/full.key").result.is_ok());
    }

    #[test]
    fn a_key_that_may_not_be_read() {
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        assert_eq!(
            key_unreadable(Path::new("/k"), &denied).to_string(),
            "the key of the Azure Arc agent cannot be read: permission denied (/k); \
             become a member of the group himds, or run as root"
        );
    }

    #[test]
    fn challenges_that_are_none() {
        let agent = Agent::with_key("KEY");
        for challenge in ["", "Basic", "Basic realm=", "Basic realm=\"\"", "Bearer realm=/a.key", "realm=/a.key"] {
            let outcome = agent.ask(challenge, None, granted());
            assert!(outcome.error().starts_with("what answers in place of the Azure Arc agent names no key file;"));
        }
        let arc = Arc { keys: agent.path("tokens"), ..Arc::installed(&Env::default()).unwrap() };
        let outcome = ask_host(&arc, None, vec![granted()]);
        assert!(outcome.is(ErrorKind::HostAnswer) && outcome.requests.len() == 1, "no proof was asked for");
    }

    #[test]
    fn an_agent_that_passes_the_selector_over_is_not_believed() {
        let agent = Agent::with_key("KEY");
        let challenge = format!("Basic realm={}", agent.path("tokens/a.key").display());
        let with = |by_what, fields: &str| {
            let body = format!(r#"{{"access_token":"TOKEN","expires_in":60{fields}}}"#);
            agent.ask(&challenge, Some(by(by_what)), answer(200, &body))
        };
        for (by_what, fields) in [
            (IdKind::Client, r#","client_id":"id""#),
            (IdKind::Object, r#","object_id":"ID""#),
            (IdKind::Resource, r#","msi_res_id":"Id""#),
            (IdKind::Resource, r#","mi_res_id":"ID""#),
        ] {
            assert!(with(by_what, fields).result.is_ok(), "{fields}");
        }
        for (by_what, fields) in [
            (IdKind::Client, ""),
            (IdKind::Client, r#","client_id":"other""#),
            (IdKind::Client, r#","object_id":"ID""#),
            (IdKind::Object, r#","object_id":7"#),
            (IdKind::Resource, r#","client_id":"ID""#),
        ] {
            let outcome = with(by_what, fields);
            assert!(outcome.is(ErrorKind::HostAnswer), "{fields}");
        }
        assert_eq!(
            with(IdKind::Client, "").error(),
            "the Azure Arc agent gave a token that it does not say is that of client ID ID, so it is not used \
             (--client-id); update the agent, or leave --client-id out to use the machine's own identity"
        );
    }

    #[test]
    fn refusals() {
        let agent = Agent::with_key("KEY");
        let challenge = format!("Basic realm={}", agent.path("tokens/a.key").display());
        let again = agent.ask(&challenge, None, answer(401, ""));
        assert!(again.error().starts_with("the Azure Arc agent does not accept its own key;"));
        let arc = Arc { keys: agent.path("tokens"), ..Arc::installed(&Env::default()).unwrap() };
        let refused = Err(Error::new(ErrorKind::ConnectionRefused, "refused"));
        assert_eq!(
            ask_host(&arc, None, vec![refused]).error(),
            "the Azure Arc agent does not answer at 127.0.0.1:40342; start the agent (himds), \
             or sign in in another way (-l azurecli, -l workloadidentity or -l spn)"
        );
    }
}
