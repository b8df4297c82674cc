//! `status`: what is kept, and whether something needs a person.
//!
//! `--output json` prints one object, whose field names stay:
//!
//! | Field | Holds |
//! |---|---|
//! | `storage.kind` | `file`, or `none` where nothing is kept |
//! | `storage.directory` | where, or `null` |
//! | `storage.problem` | why nothing can be kept, or `null` |
//! | `signIns[]` | `account`, `tenant` (the account's home), `cloud`, `client`, `method`, `renewedOn`, `serves` (`every cluster` or `one cluster`) |
//! | `tokens[]` | `account`, `application`, `tenant`, `cloud`, `client`, `method`, `server`, `expiresOn`, `expired`, `renewsItself`, `boundToKey`, `failure` (`null`, or `on` and `what`) |
//! | `attention[]` | what needs somebody, in words; empty where all is well |
//!
//! What is not known is `null`; times are RFC 3339 in UTC. There is no token in it and no key.

use serde::Serialize;

use crate::cache::{Cache, RefreshTokenEntry, RequestSummary, SignInFailure, TokenEntry};
use crate::entra::access_token::AccessTokenClaims;
use crate::entra::{Account, CLUSTERS};
use crate::error::{Error, ErrorKind, one_line};
use crate::login;
use crate::options::types::OutputFormat as Form;
use crate::options::{CACHE_STORAGE, OUTPUT, ParsedArgs, Values};
use crate::os::clock::{rfc3339, was_within};
use crate::secret::Secret;
use crate::sys::Sys;

use crate::outcome::{Outcome, json};

/// A sign-in that failed longer ago than this, in seconds, is no news.
const LATELY: u64 = 600;

/// For the help.
pub(super) const NOTES: &str = "\
    Nothing is asked of Entra, and no token is shown. Times are UTC. The exit code is 1 where something needs a \
    person: a token that has expired and that no sign-in renews, a sign-in that failed in the last ten minutes, \
    a cache that is refused, entries that cannot be read.";

/// Reports on stdout; what needs somebody is the problem that the command ends with.
pub(super) fn run(sys: &Sys, given: &ParsedArgs) -> Result<Outcome, Error> {
    let values = Values::resolve(given, &sys.env);
    let form = values.require(&OUTPUT, "output cannot be empty")?;
    let report = StatusReport::make(sys, &values)?;
    let stdout = match form {
        Form::Text => report.text(),
        Form::Json => json(&report)?,
    };
    Ok(Outcome { stdout: Secret::new(stdout), problem: report.problem() })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StatusReport {
    storage: StorageStatus,
    sign_ins: Vec<SignInStatus>,
    tokens: Vec<TokenStatus>,
    attention: Vec<String>,
}

#[derive(Serialize)]
struct StorageStatus {
    kind: &'static str,
    directory: Option<String>,
    problem: Option<String>,
}

#[derive(Serialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "camelCase")]
struct SignInStatus {
    account: String,
    tenant: Option<String>,
    cloud: String,
    client: Option<String>,
    method: String,
    renewed_on: String,
    serves: &'static str,
}

#[derive(Serialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "camelCase")]
struct TokenStatus {
    account: Option<String>,
    application: Option<String>,
    tenant: Option<String>,
    cloud: Option<String>,
    method: Option<String>,
    server: Option<String>,
    client: Option<String>,
    expires_on: Option<String>,
    expired: bool,
    renews_itself: bool,
    bound_to_key: bool,
    failure: Option<FailureStatus>,
}

#[derive(Serialize, PartialEq, Eq, PartialOrd, Ord)]
struct FailureStatus {
    on: String,
    what: String,
    #[serde(skip)]
    remedy: String,
}

impl StatusReport {
    fn make(sys: &Sys, values: &Values) -> Result<Self, Error> {
        let at_rest = login::location_at_rest(values, &sys.env)?;
        let cache = Cache::open(&at_rest);
        let grants = cache.refresh_tokens();
        let mut sign_ins: Vec<SignInStatus> = grants.iter().map(SignInStatus::of).collect();
        sign_ins.sort();
        let now = sys.clock.now();
        let kept = cache.slots().into_iter().map(|slot| slot.read());
        let mut tokens: Vec<TokenStatus> = kept.filter_map(|kept| TokenStatus::of(&kept, &grants, now)).collect();
        tokens.sort();
        let none = login::location(values, &sys.env, true)?.is_off();
        let by = values.source(&CACHE_STORAGE).filter(|_| none).map(ToString::to_string);
        let storage = StorageStatus {
            kind: if none || cache.refused().is_some() { "none" } else { "file" },
            directory: at_rest.directory().map(|directory| directory.display().to_string()),
            problem: by.or_else(|| cache.refused().as_deref().map(one_line)),
        };
        let refused =
            cache.refused().map(|why| format!("the cache is not used: {}; check --cache-dir", one_line(&why)));
        let anew = "what is needed of that is fetched anew, remove-cache-dir clears the rest";
        let unreadable = match cache.unreadable() {
            0 => None,
            1 => Some(format!("1 entry of the cache cannot be read; {anew}")),
            count => Some(format!("{count} entries of the cache cannot be read; {anew}")),
        };
        let of_tokens = tokens.iter().flat_map(|token| token.attention(sys.called_as()));
        let attention = refused.into_iter().chain(unreadable).chain(of_tokens).collect();
        Ok(Self { storage, sign_ins, tokens, attention })
    }

    fn problem(&self) -> Option<Error> {
        let what = match self.attention.len() {
            0 => return None,
            1 => "one thing needs attention".to_owned(),
            count => format!("{count} things need attention"),
        };
        Some(Error::new(ErrorKind::NeedsAttention, what))
    }

    fn text(&self) -> String {
        let mut text = self.storage.text();
        if self.sign_ins.is_empty() && self.tokens.is_empty() {
            text.push_str("nothing is kept\n");
        }
        text.push_str(&section("signed in", self.sign_ins.iter().map(SignInStatus::text)));
        text.push_str(&section("tokens", self.tokens.iter().map(TokenStatus::text)));
        if !self.attention.is_empty() {
            text.push_str("\nattention:\n");
        }
        text.extend(self.attention.iter().map(|line| format!("  {line}\n")));
        text
    }
}

impl StorageStatus {
    fn text(&self) -> String {
        let directory = self.directory.as_deref().unwrap_or("no directory");
        match &self.problem {
            None => format!("storage: {directory} (sealed files)\n"),
            Some(why) if self.directory.is_none() => format!("storage: none ({why})\n"),
            Some(why) => format!("storage: none, {directory} is not used ({why})\n"),
        }
    }
}

impl SignInStatus {
    fn of(grant: &RefreshTokenEntry) -> Self {
        Self {
            account: one_line(&grant.account.username),
            tenant: home(&grant.account).or_else(|| known(grant.about.tenant.as_deref())),
            cloud: one_line(&grant.environment),
            client: known(grant.about.client.as_deref()),
            method: one_line(&grant.about.method),
            renewed_on: rfc3339(grant.renewed_on),
            serves: if grant.shared { "every cluster" } else { "one cluster" },
        }
    }

    fn text(&self) -> String {
        let client = self.client.as_deref().filter(|client| !client.eq_ignore_ascii_case(AKS_CLIENT));
        let rest = [
            Some(self.cloud.clone()),
            Some(format!("by {}", self.method)),
            client.map(|client| format!("with client {client}")),
            Some(format!("renewed {}", self.renewed_on)),
            Some(format!("for {}", self.serves)),
        ];
        entry(&self.account, self.tenant.as_deref(), rest)
    }
}

/// The tenant where an account is at home: an account's id is `uid.utid`.
fn home(account: &Account) -> Option<String> {
    let (_, tenant) = account.id.split_once('.')?;
    known(Some(tenant).filter(|tenant| uuid::Uuid::try_parse(tenant).is_ok()))
}

impl TokenStatus {
    /// What is to be told of `kept`; nothing, where it is but a memory of what was looked for in vain.
    fn of(kept: &TokenEntry, grants: &[RefreshTokenEntry], now: u64) -> Option<Self> {
        let lately = |on: u64| was_within(LATELY, on, now);
        let failure = kept.sign_in_failure.as_ref().filter(|failure| lately(failure.on));
        let failure = failure.map(FailureStatus::of);
        let token = kept.token.as_ref();
        // Without a word of what it was for it is the memory of a prompt that nobody wanted.
        if token.is_none() && (failure.is_none() || kept.about.is_none()) {
            return None;
        }
        let claims = token.map(|token| AccessTokenClaims::of(&token.access_token)).unwrap_or_default();
        let about = kept.about.clone().unwrap_or_default();
        let account = kept.account.as_ref().map(|account| account.username.as_str()).or(claims.person());
        let application = claims.application().filter(|_| account.is_none());
        Some(Self {
            account: known(account),
            application: known(application),
            tenant: known(claims.tid.as_deref()).or_else(|| known(about.tenant.as_deref())),
            cloud: known(about.cloud.as_deref()),
            method: known(Some(about.method.as_str())),
            server: known(about.server.as_deref()),
            client: known(about.client.as_deref()),
            expires_on: token.map(|token| rfc3339(token.expires_on)),
            expired: token.is_some_and(|token| token.left(now) == 0),
            renews_itself: token.is_some() && renews(kept.account.as_ref(), &about, grants),
            bound_to_key: kept.key.is_some(),
            failure,
        })
    }

    fn who(&self) -> String {
        let application = || self.application.as_ref().map(|id| format!("application {id}"));
        cell(self.account.clone().or_else(application).as_deref())
    }

    fn text(&self) -> String {
        let renewal = if self.renews_itself { "renews itself" } else { "then asks again" };
        let end = |on: &String| if self.expired { format!("expired {on}") } else { format!("until {on}") };
        let rest = [
            self.cloud.clone(),
            self.method.as_ref().map(|method| format!("by {method}")),
            self.server.as_deref().map(|server| format!("for {}", known_server(server))),
            self.expires_on.as_ref().map(end),
            self.expires_on.is_some().then(|| renewal.to_owned()),
            self.bound_to_key.then(|| "bound to a key".to_owned()),
            self.failure.as_ref().map(|failure| format!("failed {}", failure.on)),
        ];
        let nobody = self.account.is_none() && self.application.is_none();
        let who = if nobody { "nobody".to_owned() } else { self.who() };
        entry(&who, self.tenant.as_deref(), rest)
    }

    /// What needs somebody, and what to do.
    fn attention(&self, program: &str) -> Vec<String> {
        let (who, tenant, method) = (self.who(), cell(self.tenant.as_deref()), cell(self.method.as_deref()));
        let ended = (self.expired && !self.renews_itself).then(|| {
            let what = format!("the token of {who} (tenant {tenant}) has expired, and no sign-in renews it");
            format!("{what}; sign in again, `{program} login` does it ahead of kubectl")
        });
        let failed = self.failure.as_ref().map(|failure| {
            let what = format!("the last sign-in with {method} (tenant {tenant}) failed: {}", failure.what);
            if failure.remedy.is_empty() { what } else { format!("{what}; {}", failure.remedy) }
        });
        ended.into_iter().chain(failed).collect()
    }
}

impl FailureStatus {
    fn of(failure: &SignInFailure) -> Self {
        let (what, remedy) = (one_line(&failure.what), one_line(&failure.remedy));
        Self { on: rfc3339(failure.on), what, remedy }
    }
}

/// Whether no person is needed for the next token: one of the sign-ins brings it, or a machine does.
fn renews(account: Option<&Account>, about: &RequestSummary, grants: &[RefreshTokenEntry]) -> bool {
    let Some(account) = account else { return true };
    let client = |about: &RequestSummary| about.client.as_ref().map(|client| client.to_ascii_lowercase());
    grants.iter().any(|grant| {
        let same_place = grant.shared || grant.about == *about;
        grant.account.id == account.id
            && client(&grant.about) == client(about)
            && about.cloud.as_ref() == Some(&grant.environment)
            && same_place
    })
}

/// A text for a line, if there is one.
fn known(text: Option<&str>) -> Option<String> {
    text.map(one_line).filter(|text| !text.is_empty())
}

fn cell(text: Option<&str>) -> String {
    text.unwrap_or("-").to_owned()
}

/// The client that people sign in to AKS with.
const AKS_CLIENT: &str = "80faf920-1908-4b52-b5ef-a8e7bedfc67a";

/// What everybody calls the server application `id`.
fn known_server(id: &str) -> &str {
    let names = CLUSTERS.iter().zip(["AKS", "Arc"]);
    names.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(id)).map_or(id, |(_, name)| name)
}

/// Whose it is, and below that everything else: no terminal is as wide as all of it.
fn entry<const N: usize>(who: &str, tenant: Option<&str>, rest: [Option<String>; N]) -> String {
    let tenant = tenant.map(|tenant| format!(", tenant {tenant}")).unwrap_or_default();
    let rest = rest.into_iter().flatten().collect::<Vec<_>>().join(", ");
    format!("  {who}{tenant}\n      {rest}\n")
}

/// `entries` below a title; nothing without entries.
fn section(title: &str, entries: impl Iterator<Item = String>) -> String {
    let entries: String = entries.collect();
    if entries.is_empty() { entries } else { format!("\n{title}:\n{entries}") }
}
