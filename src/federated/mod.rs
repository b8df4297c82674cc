//! Tokens of other issuers, with which an application or a managed identity proves to be itself
//! (RFC 7523): where clusters, build systems and programs keep them. A source is one file here and
//! one line in `RECOGNISED` or `named`.

mod assertion;
mod azure_pipelines;
mod azurerm;
mod buildkite;
mod command;
mod exchange;
#[cfg(test)]
pub(crate) mod fake;
mod file;
mod github;
mod gitlab;
mod named_source;
mod url;
mod variable;

use serde::Deserialize;

use crate::cache_key::CacheKey;
use crate::error::{Error, ErrorKind, one_line};
use crate::options::{FEDERATED_AUDIENCE, FEDERATED_TOKEN_FILE, FEDERATED_TOKEN_SOURCE, Inputs};
use crate::os::BoxFuture;
use crate::os::clock::Deadline;
use crate::os::env::Env;
use crate::secret::Secret;
use crate::sys::Sys;
use crate::sys::http::Response;

pub use assertion::AssertionClaims;
pub use azure_pipelines::{access_token, is_pipelines_job, required as azure_pipelines};
pub use command::TRUSTED_COMMANDS;
pub use exchange::Exchange;
pub use named_source::{FederatedTokenSource, without_keys};

/// Where federated tokens come from.
pub trait AssertionSource {
    /// Writes whom the tokens stand for into `identity`, without asking anybody (design, 3.5): a token
    /// that is there already by issuer, subject and audience, others by what they are asked with, and
    /// by the machine where that decides who answers.
    fn add_to_key(&self, identity: &mut CacheKey);

    /// A token, as fresh as the source has it; it is asked for right before each exchange.
    ///
    /// # Errors
    /// Why none could be had.
    fn fetch<'a>(&'a self, sys: &'a Sys, deadline: Deadline) -> BoxFuture<'a, Secret>;

    /// The source for people: `the file /x (AZURE_FEDERATED_TOKEN_FILE)`.
    fn described(&self) -> String;

    /// Whether the tokens may be a pod's own, the only ones that the token proxy of a cluster takes.
    fn may_be_a_pods(&self) -> bool {
        false
    }

    /// Whether the tokens are for the audience that they are asked for, and not for one of their own.
    fn asks_for_an_audience(&self) -> bool {
        false
    }
}

/// A source, if what it needs is there.
type DetectedSource = Result<Option<Box<dyn AssertionSource>>, Error>;

/// The sources that are recognised by themselves, in this order. A file that somebody has named
/// comes before GitHub: a runner in a pod with workload identity has both.
static RECOGNISED: [fn(&Inputs) -> DetectedSource; 7] = [
    file::found,
    azurerm::found,
    github::found,
    azure_pipelines::found,
    variable::found,
    gitlab::found,
    buildkite::found,
];

/// The source that `choices` name, else the first one that is there; nothing where there is none.
///
/// # Errors
/// A named source that lacks something, or an address that can't be used.
pub fn choose(choices: &Inputs) -> DetectedSource {
    if let Some(source) = choices.values.get(&FEDERATED_TOKEN_SOURCE)? {
        return named(source, choices).map(Some);
    }
    for recognise in RECOGNISED {
        if let Some(source) = recognise(choices)? {
            return Ok(Some(source));
        }
    }
    Ok(None)
}

fn named(source: FederatedTokenSource, choices: &Inputs) -> Result<Box<dyn AssertionSource>, Error> {
    match source {
        FederatedTokenSource::File => {
            file::found(choices)?.ok_or_else(|| absent(choices).from_source(named_by(choices)))
        }
        FederatedTokenSource::GitHub => github::found(choices)?.ok_or_else(|| github::missing(choices)),
        FederatedTokenSource::AzurePipelines => azure_pipelines::required(choices),
        FederatedTokenSource::Variable(name) => variable::required(&name, choices),
        FederatedTokenSource::Url(address) => Ok(Box::new(url::Address(address))),
        FederatedTokenSource::Command { text, words } => command::allowed(text, words, choices),
    }
}

/// What names the source explicitly, for messages.
fn named_by(choices: &Inputs) -> String {
    choices.values.source(&FEDERATED_TOKEN_SOURCE).map(ToString::to_string).unwrap_or_default()
}

/// What to say where [`choose`] found nothing.
pub fn absent(choices: &Inputs) -> Error {
    let error = Error::new(ErrorKind::OptionMissing, "federated token file cannot be empty");
    let (file, source) = (FEDERATED_TOKEN_FILE.decl.flag(), FEDERATED_TOKEN_SOURCE.decl.flag());
    let variable = if azurerm::counts(choices) { azurerm::FILE } else { "AZURE_FEDERATED_TOKEN_FILE" };
    let general = format!("give {file} or set {variable}, or name another source of tokens with {source}");
    match missing_setup(choices) {
        Some((variable, way)) => error.from_source(format!("{variable} is set")).remedy(format!("{way}, or {general}")),
        None => error.remedy(general),
    }
}

/// What would give this job a token, where it runs in a build system that has them.
pub fn hint(choices: &Inputs) -> Option<String> {
    missing_setup(choices).map(|(_, way)| way)
}

fn missing_setup(choices: &Inputs) -> Option<(&'static str, String)> {
    let (variable, way) = BUILD_SYSTEMS.iter().find(|(variable, _)| choices.env.get(variable).is_some())?;
    Some((variable, way(choices.env, &audience(choices).unwrap_or_default())))
}

/// What makes a build system give tokens to a job, for an audience.
type SetupHint = fn(&Env, &str) -> String;

/// Build systems by a variable that all their jobs have, and what makes them give tokens to a job for
/// an audience.
const BUILD_SYSTEMS: [(&str, SetupHint); 5] = [
    ("GITHUB_ACTIONS", |_, _| github::PERMISSION.into()),
    ("TF_BUILD", |env, _| azure_pipelines::lacking(env)),
    ("GITLAB_CI", |_, audience| format!("declare `id_tokens` with `aud: {audience}` in the job")),
    ("BITBUCKET_BUILD_NUMBER", |_, _| "set `oidc: true` on the step".into()),
    ("TFC_RUN_ID", |_, audience| format!("set TFC_WORKLOAD_IDENTITY_AUDIENCE to {audience} in the workspace")),
];

/// For whom tokens are asked: as given, else what Entra expects in the cloud of the authority.
fn audience(choices: &Inputs) -> Result<String, Error> {
    match choices.values.get(&FEDERATED_AUDIENCE)? {
        Some(audience) => Ok(audience),
        None => Ok(crate::login::authority(choices)?.federated_audience().to_owned()),
    }
}

/// Writes whom the token `text` stands for: a renewed one finds the same place in the cache. What is
/// no JWT stands for nobody but itself.
fn identify_token(identity: &mut CacheKey, text: &str) {
    let Some(claims) = AssertionClaims::of(text) else { return identity.field("token", text) };
    for (name, value) in [("issuer", &claims.issuer), ("subject", &claims.subject)] {
        if let Some(value) = value {
            identity.field(name, value);
        }
    }
    for audience in &claims.audiences {
        identity.field("token-audience", audience);
    }
}

/// No token comes near this many bytes.
const TOKEN_LIMIT: usize = 64 * 1024;

/// `text` without the blanks around it, if it is a JWT.
fn jwt(text: &str) -> Option<Secret> {
    let token = text.trim();
    (token.len() <= TOKEN_LIMIT && AssertionClaims::of(token).is_some()).then(|| Secret::new(token))
}

/// The names under which services and programs give tokens as JSON: GitHub, Buildkite and
/// Kubernetes, Azure Pipelines, cloud tools.
#[derive(Deserialize, Default)]
#[serde(default)]
struct TokenJson {
    value: Option<Secret>,
    token: Option<Secret>,
    #[serde(rename = "oidcToken")]
    oidc_token: Option<Secret>,
    id_token: Option<Secret>,
    access_token: Option<Secret>,
}

/// The token in what a service or program gave: the JWT itself, or JSON that holds it.
fn token_in(answer: &str) -> Option<Secret> {
    let answer = answer.trim_start_matches('\u{feff}').trim();
    if !answer.starts_with('{') {
        return jwt(answer);
    }
    let TokenJson { value, token, oidc_token, id_token, access_token } = serde_json::from_str(answer).ok()?;
    let text = [value, token, oidc_token, id_token, access_token].into_iter().flatten().next()?;
    jwt(text.expose())
}

/// The token that `who` answered.
fn token_answered(who: &str, response: &Response) -> Result<Secret, Error> {
    std::str::from_utf8(&response.body).ok().and_then(token_in).ok_or_else(|| {
        Error::new(ErrorKind::AssertionSource, format!("the answer of {who}, HTTP {}, holds no JWT", response.status))
            .remedy("look for a proxy or login page between this machine and it")
    })
}

/// What `who` said instead of giving a token; its own words are for `-v`.
fn refused(who: &str, response: &Response) -> Error {
    let error = Error::new(ErrorKind::AssertionSource, format!("{who} answered HTTP {}", response.status))
        .remedy("run the command again with -v 1 to see what it says");
    match std::str::from_utf8(&response.body).ok().map(excerpt).filter(|words| !words.is_empty()) {
        Some(words) => error.detail(format!("it says: {words}")),
        None => error,
    }
}

/// The beginning of a text of others, on one line and without anything that looks like a JWT.
fn excerpt(text: &str) -> String {
    const LENGTH: usize = 300;
    let line = without_tokens(&one_line(text));
    match line.char_indices().nth(LENGTH) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// The header of every JWT is a JSON object, and so begins with `eyJ`.
fn without_tokens(text: &str) -> String {
    let is_of_token = |c: char| c.is_ascii_alphanumeric() || "-_.+/=".contains(c);
    let (mut clean, mut rest) = (String::new(), text);
    while let Some(start) = rest.find("eyJ") {
        clean.push_str(&rest[..start]);
        clean.push_str("<token>");
        rest = rest[start..].trim_start_matches(is_of_token);
    }
    clean + rest
}

#[cfg(test)]
mod tests {
    use super::fake::{choices, chosen, described, identity, jwt, source, token};
    use super::*;

    const GITHUB: [(&str, &str); 2] =
        [("ACTIONS_ID_TOKEN_REQUEST_URL", "https://gh.example/t?x=1"), ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "rt")];
    const PIPELINES: [(&str, &str); 3] = [
        ("SYSTEM_OIDCREQUESTURI", "https://ado.example/o"),
        ("SYSTEM_ACCESSTOKEN", "at"),
        ("AZURESUBSCRIPTION_SERVICE_CONNECTION_ID", "SC"),
    ];
    const TERRAFORM: (&str, &str) = ("TFC_WORKLOAD_IDENTITY_TOKEN", "t");
    const FILE: (&str, &str) = ("AZURE_FEDERATED_TOKEN_FILE", "/x");

    #[test]
    fn the_order_of_what_is_recognised() {
        let [url, token] = GITHUB;
        let [uri, access, connection] = PIPELINES;
        assert_eq!(
            described("", [FILE, url, token, uri, access, connection, TERRAFORM]),
            "the file /x (AZURE_FEDERATED_TOKEN_FILE)"
        );
        let typed = "--federated-token-file /y --disable-environment-override";
        assert_eq!(described(typed, [FILE, url, token]), "the file /y (--federated-token-file)");
        assert_eq!(
            described("", [url, token, uri, access, connection, TERRAFORM]),
            "GitHub Actions (ACTIONS_ID_TOKEN_REQUEST_URL)"
        );
        assert_eq!(
            described("", [url, uri, access, connection, TERRAFORM]),
            "the service connection SC of Azure Pipelines (AZURESUBSCRIPTION_SERVICE_CONNECTION_ID)"
        );
        assert_eq!(described("", [uri, access, TERRAFORM]), "the variable TFC_WORKLOAD_IDENTITY_TOKEN");
        let circle = [("CIRCLE_OIDC_TOKEN", "1"), ("CIRCLE_OIDC_TOKEN_V2", "2")];
        assert_eq!(described("", circle), "the variable CIRCLE_OIDC_TOKEN_V2");
        assert_eq!(
            described("", [("BITBUCKET_STEP_OIDC_TOKEN", "t"), circle[0]]),
            "the variable BITBUCKET_STEP_OIDC_TOKEN"
        );
        assert_eq!(described("", [token, uri, connection]), "");
    }

    #[test]
    fn a_named_source_comes_first() {
        let [url, token] = GITHUB;
        assert!(described("--federated-token-source github", [FILE, url, token]).starts_with("GitHub"));
        assert_eq!(described("--federated-token-source env:JWT", [FILE, ("JWT", "t")]), "the variable JWT");
        assert!(described("--federated-token-source file", [url, token, FILE]).starts_with("the file"));
        let by_variable = ("KUBENTRA_FEDERATED_TOKEN_SOURCE", "url:https://meta.example/t?key=canary");
        assert_eq!(described("", [url, token, by_variable]), "the address https://meta.example/t");
    }

    #[test]
    fn a_named_source_says_what_it_lacks() {
        let error = |kind: &str| source(&format!("--federated-token-source {kind}"), []).err().unwrap();
        assert_eq!(
            error("github"),
            "ACTIONS_ID_TOKEN_REQUEST_URL is not set (--federated-token-source); give the job \
             `permissions: id-token: write` (GitHub grants it to no pull request from a fork)"
        );
        assert_eq!(
            error("azure-pipelines"),
            "SYSTEM_ACCESSTOKEN environment variable not set; map the job's token into the step, \
             `env: SYSTEM_ACCESSTOKEN: $(System.AccessToken)`"
        );
        assert_eq!(
            error("env:JWT"),
            "the variable JWT is not set (--federated-token-source); set it to the federated token, or correct --federated-token-source"
        );
        assert!(error("file").starts_with(
            "federated token file cannot be empty (--federated-token-source); give --federated-token-file or set"
        ));
    }

    #[test]
    fn azurerm_names_count_where_they_are_asked_for() {
        let token = ("ARM_OIDC_TOKEN", "t");
        let file = ("ARM_OIDC_TOKEN_FILE_PATH", "/f");
        let (url, request) = (("ARM_OIDC_REQUEST_URL", "https://x.example/"), ("ARM_OIDC_REQUEST_TOKEN", "r"));
        let connection = ("ARM_ADO_PIPELINE_SERVICE_CONNECTION_ID", "SC");
        assert_eq!(described("", [token, file]), "");
        let azurerm = |env: [(&str, &str); 5]| described("--use-azurerm-env-vars", env);
        let unset = ("X", "");
        assert_eq!(azurerm([token, file, url, request, connection]), "the variable ARM_OIDC_TOKEN");
        assert_eq!(azurerm([unset, file, url, request, connection]), "the file /f (ARM_OIDC_TOKEN_FILE_PATH)");
        assert_eq!(
            azurerm([unset, unset, url, request, connection]),
            "the service connection SC of Azure Pipelines (ARM_ADO_PIPELINE_SERVICE_CONNECTION_ID)"
        );
        assert_eq!(azurerm([unset, unset, url, request, unset]), "GitHub Actions (ARM_OIDC_REQUEST_URL)");
        assert_eq!(azurerm([unset, unset, url, GITHUB[0], GITHUB[1]]), "GitHub Actions (ACTIONS_ID_TOKEN_REQUEST_URL)");
        let off = "--use-azurerm-env-vars --disable-environment-override";
        assert_eq!(described(off, [token]), "");
    }

    #[test]
    fn gitlab_is_recognised_by_the_token_itself() {
        let of =
            |issuer: &str, audience: &str| jwt(&format!(r#"{{"iss":"{issuer}","sub":"s","aud":"{audience}"}}"#), "x");
        let [right, other_audience, other_issuer] = [
            of("https://gitlab.example", "api://AzureADTokenExchange"),
            of("https://gitlab.example", "https://vault.example"),
            of("https://other.example", "api://AzureADTokenExchange"),
        ];
        let ci = [("GITLAB_CI", "true"), ("CI_SERVER_URL", "https://gitlab.example/")];
        let env = [ci[0], ci[1], ("A", &other_audience), ("B", &other_issuer), ("Z", &right), ("Y", &right)];
        assert_eq!(described("", env), "the variable Y");
        assert_eq!(described("--federated-audience https://vault.example", env), "the variable A");
        assert_eq!(described("", [ci[1], ("Y", &right)]), "");
    }

    #[test]
    fn nothing_there_is_told_with_the_ways_to_get_it() {
        let error = |env: (&str, &str)| choices(&[], [env], |choices| absent(choices).to_string());
        assert_eq!(
            error(("X", "")),
            "federated token file cannot be empty; give --federated-token-file or set AZURE_FEDERATED_TOKEN_FILE, \
             or name another source of tokens with --federated-token-source"
        );
        assert!(error(("GITHUB_ACTIONS", "true")).starts_with(
            "federated token file cannot be empty (GITHUB_ACTIONS is set); give the job `permissions: id-token: write`"
        ));
        assert!(error(("TF_BUILD", "True")).contains("map the job's token into the step"));
    }

    #[test]
    fn a_token_that_is_there_is_known_by_its_claims() {
        let with = |token: &str| identity(&*chosen("--federated-token-source env:JWT", [("JWT", token)]));
        assert!(with(&token("s", "one")) == with(&token("s", "two")));
        assert!(with(&token("s", "one")) == with(&format!("{}\n", token("s", "two"))));
        assert!(with(&token("s", "one")) != with(&token("S", "one")));
        let claims = |claims| with(&jwt(claims, "x"));
        let all = [
            r#"{"iss":"i","sub":"s","aud":"a"}"#,
            r#"{"iss":"i","sub":"s","aud":"b"}"#,
            r#"{"iss":"i","sub":"s","aud":["a","b"]}"#,
            r#"{"iss":"j","sub":"s","aud":"a"}"#,
            r#"{"iss":"i","sub":"t","aud":"a"}"#,
            r#"{"sub":"i"}"#,
            r#"{"iss":"i"}"#,
        ];
        for (index, one) in all.iter().enumerate() {
            for other in &all[index + 1..] {
                assert!(claims(one) != claims(other), "{one} {other}");
            }
        }
        assert!(with("no jwt") != with("no other jwt"));
    }

    #[test]
    fn others_are_known_by_what_they_are_asked_with() {
        let known = |line: &str, url: &str, audience: &str| {
            let env = [("ACTIONS_ID_TOKEN_REQUEST_URL", url), GITHUB[1], ("KUBENTRA_FEDERATED_AUDIENCE", audience)];
            identity(&*chosen(line, env))
        };
        let usual = || known("", "https://gh.example/1", "");
        assert!(
            usual() == known("--federated-token-source github", "https://gh.example/1", "api://AzureADTokenExchange")
        );
        assert!(usual() != known("", "https://gh.example/2", ""));
        assert!(usual() != known("", "https://gh.example/1", "other"));
        assert!(usual() != known("-e AzureChinaCloud", "https://gh.example/1", ""));
        let [uri, access, _] = PIPELINES;
        let connection =
            |id: &str| identity(&*chosen(&format!("--azure-pipelines-service-connection-id {id}"), [uri, access]));
        assert!(connection("A") == connection("A") && connection("A") != connection("B"));
        let address = |url: &str| identity(&*chosen(&format!("--federated-token-source url:{url}"), []));
        assert!(address("https://a/?x=1") != address("https://a/?x=2"));
    }

    #[test]
    fn tokens_bare_and_in_json() {
        let token = token("s", "x");
        let wrapped = |name: &str| format!("\u{feff} {{\"{name}\": \"{token}\", \"other\": 1}}\n");
        for answer in [
            format!(" {token}\n"),
            wrapped("value"),
            wrapped("token"),
            wrapped("oidcToken"),
            wrapped("id_token"),
            wrapped("access_token"),
        ] {
            assert_eq!(token_in(&answer).unwrap().expose(), token, "{answer}");
        }
        for answer in ["", "{}", "{", "[]", r#"{"value":1}"#, r#"{"value":"no jwt"}"#, "no jwt", &wrapped("other_name")]
        {
            assert!(token_in(answer).is_none(), "{answer}");
        }
        assert!(token_in(&jwt(&format!(r#"{{"a":"{}"}}"#, "x".repeat(70_000)), "x")).is_none());
    }

    #[test]
    fn excerpts_show_no_token() {
        let token = token("s", "canary");
        assert_eq!(excerpt(&format!("bad\n\ttoken=\"{token}\", {token}")), "bad token=\"<token>\", <token>");
        assert_eq!(excerpt(&"ä".repeat(400)), format!("{}…", "ä".repeat(300)));
    }

    #[test]
    fn addresses_that_a_secret_must_not_go_to() {
        let [_, token] = GITHUB;
        let error = source("", [("ACTIONS_ID_TOKEN_REQUEST_URL", "http://gh.example/"), token]).err().unwrap();
        assert_eq!(
            error,
            "the address for federated tokens cannot be used: it must be https, or lie on this machine \
             (ACTIONS_ID_TOKEN_REQUEST_URL); correct ACTIONS_ID_TOKEN_REQUEST_URL"
        );
    }
}
