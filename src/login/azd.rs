//! The Azure Developer CLI is signed in already and hands out a token.
//!
//! What is known of azd comes from its source (azure-dev, `cli/azd`: `cmd/auth_token.go`,
//! `pkg/auth/manager.go`, `pkg/auth/errors.go`, `pkg/config`), not from a run of the program:
//! which files tell a sign-in, which variables decide about a token, and the texts of its errors.

use std::cell::OnceCell;
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::cache_key::CacheKey;
use crate::entra::{Session, TokenResponse};
use crate::error::{Error, ErrorKind};
use crate::options::{Inputs, TENANT_ID};
use crate::os::BoxFuture;
use crate::os::env::Env;
use crate::secret::Secret;

use super::azurecli;
use super::tool::{self, Tenant, Tool, text_of};
use super::{Acquire, Login, Method, WriteRule};

/// `--login azd`.
pub(super) static METHOD: Method = Method {
    name: "azd",
    about: "the account that the Azure Developer CLI is signed in to",
    arguments: &[WriteRule::FlagOnly.of(&TENANT_ID)],
    variables: &[],
    parse,
};

const AZD: Tool =
    Tool { name: "azd", title: "Azure Developer CLI", home: "https://aka.ms/azd", login: "azd auth login" };

/// The login, if azd is signed in as far as its files and variables tell, which are read once; for
/// choosing a method.
pub(super) fn if_signed_in(inputs: &Inputs) -> Result<Option<Login>, Error> {
    let Some(place) = AzdDirectory::of(inputs.env) else { return Ok(None) };
    let state = place.state();
    let signed_in = match &state.az {
        Some(az) => az.signed_in(),
        None => state.user.is_some() || place.surroundings.iter().any(|(name, _)| *name == "AZD_IN_CLOUDSHELL"),
    };
    if !signed_in {
        return Ok(None);
    }
    login(inputs, Some(place), OnceCell::from(state)).map(Some)
}

struct Azd {
    scope: String,
    tenant: Option<Tenant>,
    /// Where azd keeps its sign-in; unknown without a home directory, and where another program
    /// signs in for azd.
    place: Option<AzdDirectory>,
    state: OnceCell<AzdState>,
}

fn parse(inputs: &Inputs) -> Result<Login, Error> {
    login(inputs, AzdDirectory::of(inputs.env), OnceCell::new())
}

fn login(inputs: &Inputs, place: Option<AzdDirectory>, state: OnceCell<AzdState>) -> Result<Login, Error> {
    let (scope, tenant) = (tool::scope(inputs)?, tool::tenant(inputs.values)?);
    let azd = Azd { scope, tenant, place, state };
    Ok(Login { cacheable: azd.cacheable(), ..Login::new(azd.key(), azd) })
}

impl Acquire for Azd {
    fn acquire<'a>(&'a self, session: &'a Session<'a>) -> BoxFuture<'a, TokenResponse> {
        Box::pin(self.ask(session))
    }
}

impl Azd {
    fn key(&self) -> CacheKey {
        let mut key = METHOD.key();
        key.field("scope", &self.scope);
        if let Some(tenant) = &self.tenant {
            key.field("tenant", tenant.id.as_str());
        }
        if let Some((place, state)) = self.place.as_ref().zip(self.state()) {
            place.add_to_key(state, &mut key);
        }
        key
    }

    /// Without a place there is nothing that the token could be bound to, nor is there for a managed
    /// identity of a machine that can't be told from others.
    fn cacheable(&self) -> bool {
        let of_unknown_machine =
            || self.state().is_some_and(AzdState::is_of_a_machine) && crate::managed_identity::machine().is_none();
        self.place.is_some() && !of_unknown_machine()
    }

    async fn ask(&self, session: &Session<'_>) -> Result<TokenResponse, Error> {
        let sys = session.sys;
        let azd = AZD.find(&sys.env)?;
        let before = self.state();
        let ended = AZD.run(session, &azd, self.arguments(), self.variables()).await?;
        if ended.code != Some(0) {
            return Err(self.explain(ended.code, &ended.stderr));
        }
        if let Some((place, before)) = self.place.as_ref().zip(before)
            && !place.state().is_same_account(before)
        {
            return Err(AZD.sign_in_changed());
        }
        let answer: AzdToken = AZD.read(&ended.stdout)?;
        AZD.grant(answer.token, answer.expires_on.as_deref().and_then(moment), sys.clock.now())
    }

    fn arguments(&self) -> impl Iterator<Item = &str> {
        let fixed = ["auth", "token", "--output", "json", "--no-prompt", "--scope", &self.scope];
        fixed.into_iter().chain(self.tenant.iter().flat_map(|tenant| ["--tenant-id", tenant.id.as_str()]))
    }

    fn variables(&self) -> Vec<(&'static str, String)> {
        let mut variables = vec![
            ("NO_COLOR", "1".into()),
            ("AZURE_DEV_COLLECT_TELEMETRY", "no".into()),
            ("AZD_SKIP_UPDATE_CHECK", "true".into()),
        ];
        variables.extend(self.place.as_ref().and_then(AzdDirectory::variable));
        variables
    }

    /// What azd complains of, and the way out.
    fn explain(&self, code: Option<i32>, stderr: &str) -> Error {
        let complaint = AzdMessage::read(stderr);
        let text = complaint.text.as_str();
        if text.to_ascii_lowercase().contains("not logged in") {
            let error = Error::new(ErrorKind::ToolSignedOut, "azd is not signed in").remedy("run `azd auth login`");
            return match &self.place {
                Some(place) => error.from_source(place.directory.display()),
                None => error,
            };
        }
        AZD.refused_by_entra(text, complaint.command()).or_else(|| AZD.unreachable(text)).unwrap_or_else(|| {
            let words = Some(text).filter(|text| !text.is_empty());
            AZD.failed(code, words, "azd auth login --check-status")
        })
    }

    fn state(&self) -> Option<&AzdState> {
        let place = self.place.as_ref()?;
        Some(self.state.get_or_init(|| place.state()))
    }
}

/// What azd prints; the time is UTC.
#[derive(Deserialize)]
struct AzdToken {
    token: Option<Secret>,
    #[serde(rename = "expiresOn")]
    expires_on: Option<String>,
}

fn moment(text: &str) -> Option<u64> {
    u64::try_from(OffsetDateTime::parse(text, &Rfc3339).ok()?.unix_timestamp()).ok()
}

/// What azd says on stderr: JSON in one of two forms, or text.
#[derive(Default)]
struct AzdMessage {
    text: String,
    suggestion: String,
}

impl AzdMessage {
    fn read(stderr: &str) -> Self {
        let mut complaint = Self::default();
        // From 1.24 one object, perhaps over several lines; before, a message a line.
        let objects = serde_json::Deserializer::from_str(stderr).into_iter::<Value>().map_while(Result::ok);
        for object in objects.collect::<Vec<_>>() {
            let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
            for said in [text("/message"), text("/data/message")].iter().filter(|said| !said.trim().is_empty()) {
                complaint.hear(said);
            }
            if complaint.text.is_empty() {
                complaint.hear(&text("/error"));
            }
            complaint.suggestion.push_str(&text("/suggestion"));
        }
        if complaint.text.is_empty() {
            complaint.hear(stderr);
        }
        complaint
    }

    /// Takes a message in; the one that is marked as an error is the one that counts.
    fn hear(&mut self, message: &str) {
        if let Some((_, suggestion)) = message.split_once("Suggestion:") {
            suggestion.trim().clone_into(&mut self.suggestion);
        }
        let message = message.split("Suggestion:").next().unwrap_or_default().trim();
        match message.split_once("ERROR:") {
            Some((_, error)) => error.trim().clone_into(&mut self.text),
            None if self.text.is_empty() => message.clone_into(&mut self.text),
            None => {}
        }
    }

    /// The sign-in that azd suggests.
    fn command(&self) -> Option<&str> {
        let quoted = self.suggestion.split('`').skip(1).step_by(2);
        quoted.into_iter().find(|command| command.starts_with("azd auth login"))
    }
}

/// Where azd keeps its sign-in, and what of the environment decides about its tokens.
struct AzdDirectory {
    directory: PathBuf,
    /// Whether a variable names the directory.
    named: bool,
    surroundings: Vec<(&'static str, String)>,
    /// az, which azd can be told to ask.
    az: Option<azurecli::AzDirectory>,
}

const DIRECTORY: &str = "AZD_CONFIG_DIR";

/// Without a tenant azd takes that of the subscription in the environment.
const SURROUNDINGS: [&str; 3] = ["AZURE_SUBSCRIPTION_ID", "AZD_IN_CLOUDSHELL", "IDENTITY_ENDPOINT"];

/// Tokens, on Windows in `.bin`. Their content changes with every token.
const TOKEN_FILES: [&str; 2] = ["auth/msal/cache.json", "auth/msal/cache.bin"];

/// The sign-in at one moment.
#[derive(PartialEq, Eq)]
struct AzdState {
    /// `auth.account.currentUser`, of `auth.json` or, in old versions, of `config.json`.
    user: Option<Value>,
    /// `cloud` of `config.json`.
    cloud: Option<Value>,
    /// az's state, where azd leaves signing in to az (`auth.useAzCliAuth`).
    az: Option<azurecli::AzState>,
    token_files: Vec<&'static str>,
}

impl AzdDirectory {
    fn of(env: &Env) -> Option<Self> {
        // Another program, an editor mostly, answers for azd: whose tokens those are is not known.
        if env.get("AZD_AUTH_ENDPOINT").is_some() {
            return None;
        }
        Some(Self {
            directory: tool::directory(env, DIRECTORY, ".azd")?,
            named: env.get(DIRECTORY).is_some(),
            surroundings: SURROUNDINGS.into_iter().filter_map(|name| Some((name, env.get(name)?.to_owned()))).collect(),
            az: azurecli::AzDirectory::of(env),
        })
    }

    /// The directory as a variable for azd, where one is set: azd does not run in our directory.
    fn variable(&self) -> Option<(&'static str, String)> {
        self.named.then(|| (DIRECTORY, self.directory.to_string_lossy().into_owned()))
    }

    fn state(&self) -> AzdState {
        let json = |name: &str| {
            let text = text_of(&self.directory.join(name));
            serde_json::from_str(&text).unwrap_or(Value::String(text))
        };
        let (auth, config) = (json("auth.json"), json("config.json"));
        let user = |value: &Value| value.pointer("/auth/account/currentUser").cloned();
        let asks_az = config.pointer("/auth/useAzCliAuth").is_some_and(is_true);
        AzdState {
            user: user(&auth).or_else(|| user(&config)),
            cloud: config.get("cloud").cloned(),
            az: self.az.as_ref().filter(|_| asks_az).map(azurecli::AzDirectory::state),
            token_files: TOKEN_FILES.into_iter().filter(|name| self.directory.join(name).exists()).collect(),
        }
    }

    fn add_to_key(&self, state: &AzdState, key: &mut CacheKey) {
        key.field("azd directory", &self.directory.to_string_lossy());
        for (name, value) in &self.surroundings {
            key.field(name, value);
        }
        let text = |value: &Option<Value>| value.as_ref().map(ToString::to_string).unwrap_or_default();
        key.field("azd user", &text(&state.user));
        key.field("azd cloud", &text(&state.cloud));
        for name in &state.token_files {
            key.field("azd file", name);
        }
        if state.is_of_a_machine() {
            key.field("machine", &crate::managed_identity::machine().unwrap_or_default());
        }
        if let Some((place, state)) = self.az.as_ref().zip(state.az.as_ref()) {
            place.add_to_key(state, key);
        }
    }
}

impl AzdState {
    /// Whether azd hands out tokens of a managed identity (`azd auth login --managed-identity`): the
    /// same files on another machine then mean another identity.
    fn is_of_a_machine(&self) -> bool {
        let managed = self.user.as_ref().and_then(|user| user.get("managedIdentity"));
        managed == Some(&Value::Bool(true)) || self.az.as_ref().is_some_and(azurecli::AzState::is_of_a_machine)
    }

    fn is_same_account(&self, other: &Self) -> bool {
        let az = match (&self.az, &other.az) {
            (Some(one), Some(other)) => one.is_same_account(other),
            (one, other) => one.is_none() == other.is_none(),
        };
        az && (&self.user, &self.cloud) == (&other.user, &other.cloud)
    }
}

/// As Go reads a truth out of a text.
fn is_true(value: &Value) -> bool {
    value.as_str().is_some_and(|text| crate::options::types::go_bool(text).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn azd(env: &Env) -> Azd {
        Azd { scope: "r/.default".into(), tenant: None, place: AzdDirectory::of(env), state: OnceCell::new() }
    }

    fn explain(stderr: &str) -> String {
        azd(&Env::default()).explain(Some(1), stderr).to_string()
    }

    #[test]
    fn a_moment_is_utc() {
        assert_eq!(moment("2026-01-02T03:04:05Z"), Some(1_767_323_045));
        assert_eq!(moment("2026-01-02 03:04:05"), None);
        let answer: AzdToken = AZD.read(&Secret::new(r#"{"token":"t","expiresOn":"2026-01-02T03:04:05Z"}"#)).unwrap();
        let grant = AZD.grant(answer.token, answer.expires_on.as_deref().and_then(moment), 1_000).unwrap();
        assert_eq!(grant.token.expires_on, 1_767_323_045);
    }

    #[test]
    fn complaints_in_all_forms() {
        const RUN_LOGIN: &str = "azd is not signed in; run `azd auth login`";
        for (stderr, line) in [
            ("ERROR: not logged in, run `azd auth login` to login\n", RUN_LOGIN),
            (
                "{\"type\":\"consoleMessage\",\"timestamp\":\"t\",\"data\":{\"message\":\"\\nERROR: not logged in, run `azd auth login` to login\\n\"}}\n",
                RUN_LOGIN,
            ),
            (
                "{\n \"error\": \"NotLoggedIn\",\n \"message\": \"not logged in, run `azd auth login` to login\",\n \"suggestion\": \"x\"\n}\n",
                RUN_LOGIN,
            ),
            (
                "{\"error\":\"x\",\"message\":\"fetching token: AADSTS70043: expired. Trace ID: t\",\"suggestion\":\"login expired, run `azd auth login --scope r/.default` to acquire a new token.\"}",
                "the earlier sign-in is no longer valid, AADSTS70043, says azd; run `azd auth login --scope r/.default`",
            ),
            (
                "ERROR: fetching token: AADSTS50076: mfa\nTrace ID: t\n\nSuggestion: reauthentication required, run `azd auth login --scope r/.default` to acquire a new token.\n",
                "Entra wants another factor (MFA), AADSTS50076, says azd; run `azd auth login --scope r/.default`",
            ),
            ("", "azd failed with exit code 1 and said nothing; see whether `azd auth login --check-status` works"),
            ("panic: x", "azd failed: panic: x; see whether `azd auth login --check-status` works"),
            ("{\"error\":\"boom\"}", "azd failed: boom; see whether `azd auth login --check-status` works"),
            (
                "ERROR: fetching token: Post \"https://login.microsoftonline.com/x\": dial tcp: lookup login.microsoftonline.com: no such host\n",
                "azd cannot find the address of Entra; ask whoever runs the network to check the DNS of this machine, or set HTTPS_PROXY if the network needs a proxy",
            ),
        ] {
            assert_eq!(explain(stderr), line, "{stderr}");
        }
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "azd is played here")]
    fn another_sign_in_is_another_state() {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().display().to_string();
        let env = Env::from([("HOME", directory.as_str()), ("AZD_CONFIG_DIR", directory.as_str())]);
        let write = |name: &str, text: &str| fs::write(home.path().join(name), text).unwrap();
        let state = || AzdDirectory::of(&env).unwrap().state();
        let nobody = state();
        write("auth.json", r#"{"auth":{"account":{"currentUser":{"homeAccountId":"a"}}}}"#);
        let alice = state();
        assert!(!alice.is_same_account(&nobody) && alice.user.is_some() && nobody.user.is_none());
        write("config.json", r#"{"defaults":{"location":"x"}}"#);
        assert!(state().is_same_account(&alice));
        write("config.json", r#"{"auth":{"useAzCliAuth":"true"}}"#);
        assert!(!state().is_same_account(&alice) && state().az.is_some());
        write("config.json", r#"{"cloud":{"name":"AzureUSGovernment"}}"#);
        assert!(!state().is_same_account(&alice));
    }

    #[test]
    fn tokens_of_who_knows_whom_are_not_kept() {
        let env = Env::from([("HOME", "/nowhere"), ("AZD_AUTH_ENDPOINT", "http://127.0.0.1:1"), ("AZD_AUTH_KEY", "k")]);
        assert!(!azd(&env).cacheable());
        assert!(!azd(&Env::default()).cacheable());
        assert!(azd(&Env::from([("HOME", "/nowhere")])).cacheable());
    }
}
