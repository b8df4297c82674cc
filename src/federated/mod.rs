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
mod source_request;
mod url;
mod variable;

use serde::Deserialize;

use crate::cache_key::CacheKey;
use crate::error::{Error, ErrorKind, one_line};
use crate::os::BoxFuture;
use crate::os::clock::Deadline;
use crate::os::env::Env;
use crate::secret::{Secret, redact};
use crate::sys::Sys;
use crate::sys::http::Response;

pub(crate) use assertion::AssertionClaims;
pub(crate) use azure_pipelines::{access_token, is_pipelines_job, required as azure_pipelines};
pub(crate) use exchange::Exchange;
pub(crate) use named_source::{FederatedTokenSource, without_keys};
pub(crate) use source_request::{NamedSource, SourceRequest};

/// The option that names a source, and the one that names a file, for messages.
const SOURCE_FLAG: &str = "--federated-token-source";
const FILE_FLAG: &str = "--federated-token-file";

/// Where federated tokens come from.
pub(crate) trait AssertionSource {
    /// Writes whom the tokens stand for into `key`, without asking anybody (design, 3.5): a token
    /// that is there already by issuer, subject and audience, others by what they are asked with, and
    /// by the machine where that decides who answers.
    fn add_to_key(&self, key: &mut CacheKey);

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
static RECOGNISED: [fn(&SourceRequest) -> DetectedSource; 7] = [
    file::found,
    azurerm::found,
    github::found,
    azure_pipelines::found,
    variable::found,
    gitlab::found,
    buildkite::found,
];

/// The source that `request` names, else the first one that is there; nothing where there is none.
///
/// # Errors
/// A named source that lacks something, or an address that can't be used.
pub(crate) fn choose(request: &SourceRequest) -> DetectedSource {
    if let Some(source) = &request.named {
        return named(source, request).map(Some);
    }
    for recognise in RECOGNISED {
        if let Some(source) = recognise(request)? {
            return Ok(Some(source));
        }
    }
    Ok(None)
}

fn named(named: &NamedSource, request: &SourceRequest) -> Result<Box<dyn AssertionSource>, Error> {
    let (env, named_by) = (request.env, &named.named_by);
    match &named.source {
        FederatedTokenSource::File => file::found(request)?.ok_or_else(|| absent(request).from_source(named_by)),
        FederatedTokenSource::GitHub => {
            github::found(request)?.ok_or_else(|| github::missing(env).from_source(named_by))
        }
        FederatedTokenSource::AzurePipelines => azure_pipelines::required(env, request.service_connection.as_ref()),
        FederatedTokenSource::Variable(name) => variable::required(name, env, named_by),
        FederatedTokenSource::Url(address) => Ok(Box::new(url::Address(address.clone()))),
        FederatedTokenSource::Command { text, words } => command::allowed(text, words, named, env),
    }
}

/// What to say where [`choose`] found nothing.
pub(crate) fn absent(request: &SourceRequest) -> Error {
    let error = Error::new(ErrorKind::OptionMissing, "federated token file cannot be empty");
    let variable = if request.azurerm { azurerm::FILE } else { "AZURE_FEDERATED_TOKEN_FILE" };
    let general = format!("give {FILE_FLAG} or set {variable}, or name another source of tokens with {SOURCE_FLAG}");
    match missing_setup(request) {
        Some((variable, way)) => error.from_source(format!("{variable} is set")).remedy(format!("{way}, or {general}")),
        None => error.remedy(general),
    }
}

/// What would give this job a token, where it runs in a build system that has them.
pub(crate) fn hint(request: &SourceRequest) -> Option<String> {
    missing_setup(request).map(|(_, way)| way)
}

fn missing_setup(request: &SourceRequest) -> Option<(&'static str, String)> {
    let (variable, way) = BUILD_SYSTEMS.iter().find(|(variable, _)| request.env.get(variable).is_some())?;
    Some((variable, way(request.env, &(request.audience)().unwrap_or_default())))
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

/// Writes whom the token `text` stands for: a renewed one finds the same place in the cache. What is
/// no JWT stands for nobody but itself.
fn identify_token(key: &mut CacheKey, text: &str) {
    let Some(claims) = AssertionClaims::of(text) else { return key.field("token", text) };
    for (name, value) in [("issuer", &claims.issuer), ("subject", &claims.subject)] {
        if let Some(value) = value {
            key.field(name, value);
        }
    }
    for audience in &claims.audiences {
        key.field("token-audience", audience);
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
    let line = redact(&one_line(text));
    match line.char_indices().nth(LENGTH) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::fake::{chosen, chosen_with, described, jwt, key_of, source, token, with_request};
    use super::*;

    const GITHUB: [(&str, &str); 2] =
        [("ACTIONS_ID_TOKEN_REQUEST_URL", "https://gh.example/t?x=1"), ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "rt")];
    const PIPELINES: [(&str, &str); 2] =
        [("SYSTEM_OIDCREQUESTURI", "https://ado.example/o"), ("SYSTEM_ACCESSTOKEN", "at")];

    fn of_connection<const N: usize>(id: &str, env: [(&str, &str); N]) -> Box<dyn AssertionSource> {
        chosen_with(env, |request| request.service_connection = Some(("-x".into(), id.into())))
    }

    #[test]
    fn the_order_of_what_is_recognised() {
        let env = [GITHUB[0], GITHUB[1], PIPELINES[0], PIPELINES[1], ("TFC_WORKLOAD_IDENTITY_TOKEN", "t")];
        let all = |request: &mut SourceRequest| {
            request.file = Some(("-f".into(), "/y".into()));
            request.service_connection = Some(("-x".into(), "SC".into()));
        };
        assert_eq!(chosen_with(env, all).described(), "the file /y (-f)");
        assert_eq!(of_connection("SC", env).described(), "GitHub Actions (ACTIONS_ID_TOKEN_REQUEST_URL)");
        let [url, _, uri, access, terraform] = env;
        let described = |env: [(&str, &str); 4]| of_connection("SC", env).described();
        assert_eq!(described([url, uri, access, terraform]), "the service connection SC of Azure Pipelines (-x)");
        assert_eq!(described([url, uri, terraform, terraform]), "the variable TFC_WORKLOAD_IDENTITY_TOKEN");
    }

    #[test]
    fn others_are_known_by_what_they_are_asked_with() {
        let known = |url: &str, audience: &'static str| {
            let env = [(GITHUB[0].0, url), GITHUB[1]];
            key_of(&*chosen_with(env, |request| request.audience = Box::new(move || Ok(audience.into()))))
        };
        let usual = || known("https://gh.example/1", "one");
        assert!(usual() == known("https://gh.example/1", "one"));
        assert!(usual() != known("https://gh.example/2", "one"));
        assert!(usual() != known("https://gh.example/1", "two"));
        let of_job = |id| key_of(&*of_connection(id, PIPELINES));
        assert!(of_job("A") == of_job("A") && of_job("A") != of_job("B"));
        let address = |url: &str| key_of(&*chosen(&format!("url:{url}"), []));
        assert!(address("https://a/?x=1") != address("https://a/?x=2"));
    }

    #[test]
    fn a_named_source_says_what_it_lacks() {
        let error = |kind: &str| source(kind, []).err().unwrap();
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
        let vault = chosen_with(env, |request| request.audience = Box::new(|| Ok("https://vault.example".into())));
        assert_eq!(vault.described(), "the variable A");
        assert_eq!(described("", [ci[1], ("Y", &right)]), "");
    }

    #[test]
    fn nothing_there_is_told_with_the_ways_to_get_it() {
        let error = |env: (&str, &str)| with_request([env], |_| (), |request| absent(request).to_string());
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
        let with = |token: &str| key_of(&*chosen("env:JWT", [("JWT", token)]));
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
