//! The rules of `/token`: who gets what, and what is refused.

use super::State;
use super::assertion::{self, Presented};
use super::code::redeem;
use super::device::approved;
use super::directory::{App, Member, User};
use super::form::Form;
use super::password;
use super::pop::{POP, confirmation};
use super::refusal::Refusal;
use super::scope::{Wanted, only_default_scope, wanted};
use super::tokens::{Lifetime, Signer, Subject, access_claims, client_info, id_claims, random_text};
use serde_json::{Value, json};

/// The parameters by which a client proves who it is.
const PROOF: [&str; 3] = ["client_secret", "client_assertion", "client_assertion_type"];
const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// Which generation of the protocol a request speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flavour {
    /// `/oauth2/…`; with `?api-version=1.0` the audience of a GUID gets the prefix `spn:`.
    V1 { spn: bool },
    /// `/oauth2/v2.0/…`
    V2,
    /// `/adfs/oauth2/…`
    Adfs,
}

/// A request to one of the two endpoints, past the checks that concern HTTP.
pub(super) struct Call<'a> {
    pub(super) flavour: Flavour,
    /// The tenant as written in the path.
    pub(super) tenant: &'a str,
    /// The host that was asked, with its port.
    pub(super) authority: &'a str,
    /// The URL that was asked, without its query.
    pub(super) endpoint: String,
    pub(super) form: Form,
    /// The server's idea of the time.
    pub(super) now: i64,
}

/// A refresh token that was given out.
#[derive(Clone, Debug)]
pub(super) struct Grant {
    pub(super) revoked: Option<Refusal>,
    client_id: String,
    upn: String,
    wanted: Wanted,
}

/// Answers `/token`.
pub(super) fn token(state: &mut State, signer: &Signer, call: &Call<'_>) -> Result<Value, Refusal> {
    let grant_type = call.form.require("grant_type")?;
    let known = match (grant_type, call.flavour) {
        ("client_credentials", _) => client_credentials,
        (DEVICE_CODE, Flavour::V2 | Flavour::Adfs) => poll,
        ("device_code", Flavour::V1 { .. } | Flavour::Adfs) => poll,
        ("refresh_token", _) => refresh,
        ("authorization_code", _) => authorization_code,
        ("password", _) => by_password,
        _ => return Err(Refusal::unsupported_grant(grant_type)),
    };
    known(state, signer, call)
}

/// RFC 6749 §4.4 with a secret or an assertion. No refresh token and no id token, whatever is asked.
fn client_credentials(state: &mut State, signer: &Signer, call: &Call<'_>) -> Result<Value, Refusal> {
    allow(call, &PROOF)?;
    let tenant = tenant(state, call)?.ok_or_else(Refusal::no_tenant)?;
    let app = client(state, call.form.require("client_id")?, Some(&tenant))?;
    if matches!(Presented::of(call)?, Presented::Nothing) {
        return Err(Refusal::credential_required());
    }
    authenticate(state, &app, call)?;
    let wanted = wanted(state, call, None)?;
    if call.flavour == Flavour::V2 {
        only_default_scope(call)?;
    }
    let subject = Subject::App(&app, &tenant);
    answer(state, signer, call, &app, &subject, &wanted, None)
}

/// One poll with a device code (RFC 8628 §3.4).
fn poll(state: &mut State, signer: &Signer, call: &Call<'_>) -> Result<Value, Refusal> {
    // MSAL Python sends the code under both names.
    allow(call, &["device_code", "code", "client_secret"])?;
    let name = match call.flavour {
        Flavour::V1 { .. } => "code",
        Flavour::V2 | Flavour::Adfs => "device_code",
    };
    let device_code = call.form.require(name)?;
    let tenant = tenant(state, call)?;
    let app = client(state, call.form.require("client_id")?, tenant.as_deref())?;
    authenticate(state, &app, call)?;
    confirmation(call)?;
    let (upn, wanted) = approved(state, call, device_code)?;
    let member = member(state, &upn, tenant.as_deref(), &app.client_id)?;
    person_answer(state, signer, call, &app, &member, &wanted, None)
}

/// RFC 6749 §6. A refresh token belongs to user and client, not to tenant or resource.
fn refresh(state: &mut State, signer: &Signer, call: &Call<'_>) -> Result<Value, Refusal> {
    allow(call, &[&["refresh_token"], PROOF.as_slice()].concat())?;
    let refresh_token = call.form.require("refresh_token")?;
    let tenant = tenant(state, call)?;
    let app = client(state, call.form.require("client_id")?, tenant.as_deref())?;
    authenticate(state, &app, call)?;
    let grant = usable_grant(state, refresh_token, &app)?;
    let wanted = wanted(state, call, Some(&grant.wanted))?;
    let member = member(state, &grant.upn, tenant.as_deref(), &app.client_id)?;
    let subject = Subject::Person(&member);
    let mut answer = answer(state, signer, call, &app, &subject, &wanted, None)?;
    if wanted.offline && state.knobs.refresh_tokens {
        let next = rotated(state, refresh_token, &app, &member, &wanted);
        answer["refresh_token"] = json!(next);
    }
    Ok(answer)
}

/// RFC 6749 §4.1.3 with the verifier of RFC 7636.
fn authorization_code(state: &mut State, signer: &Signer, call: &Call<'_>) -> Result<Value, Refusal> {
    allow(call, &[&["code", "redirect_uri", "code_verifier"], PROOF.as_slice()].concat())?;
    let tenant = tenant(state, call)?;
    let app = client(state, call.form.require("client_id")?, tenant.as_deref())?;
    authenticate(state, &app, call)?;
    confirmation(call)?;
    let redeemed = redeem(state, call)?;
    let member = member(state, &redeemed.upn, tenant.as_deref(), &app.client_id)?;
    person_answer(state, signer, call, &app, &member, &redeemed.wanted, redeemed.nonce.as_deref())
}

/// RFC 6749 §4.3.
fn by_password(state: &mut State, signer: &Signer, call: &Call<'_>) -> Result<Value, Refusal> {
    allow(call, &[&["username", "password"], PROOF.as_slice()].concat())?;
    password::check_tenant(call)?;
    let tenant = tenant(state, call)?;
    let app = client(state, call.form.require("client_id")?, tenant.as_deref())?;
    authenticate(state, &app, call)?;
    let wanted = wanted(state, call, None)?;
    let upn = password::sign_in(state, call, tenant.as_deref())?;
    let member = member(state, &upn, tenant.as_deref(), &app.client_id)?;
    person_answer(state, signer, call, &app, &member, &wanted, None)
}

/// The answer to somebody who has just signed in, with a new refresh token if it was asked for.
fn person_answer(
    state: &mut State,
    signer: &Signer,
    call: &Call<'_>,
    app: &App,
    member: &Member,
    wanted: &Wanted,
    nonce: Option<&str>,
) -> Result<Value, Refusal> {
    let mut answer = answer(state, signer, call, app, &Subject::Person(member), wanted, nonce)?;
    if wanted.offline && state.knobs.refresh_tokens {
        answer["refresh_token"] = json!(new_grant(state, app, member, wanted));
    }
    Ok(answer)
}

fn usable_grant(state: &State, refresh_token: &str, app: &App) -> Result<Grant, Refusal> {
    let grant = state.grants.get(refresh_token).ok_or_else(Refusal::bad_refresh_token)?;
    if grant.client_id != app.client_id {
        return Err(Refusal::client_mismatch());
    }
    match &grant.revoked {
        Some(refusal) => Err(refusal.clone()),
        None => Ok(grant.clone()),
    }
}

/// What a refresh does to the refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// The same one comes back.
    Off,
    /// A new one comes back and the old one stays good, as with Entra.
    On,
    /// A new one comes back and the old one is dead at once, which shows lost races.
    SingleUse,
}

fn rotated(state: &mut State, refresh_token: &str, app: &App, member: &Member, wanted: &Wanted) -> String {
    if state.knobs.rotation == Rotation::Off {
        return refresh_token.to_owned();
    }
    if state.knobs.rotation == Rotation::SingleUse {
        state.grants.remove(refresh_token);
    }
    new_grant(state, app, member, wanted)
}

fn new_grant(state: &mut State, app: &App, member: &Member, wanted: &Wanted) -> String {
    let refresh_token = format!("1.{}", random_text(180));
    let grant =
        Grant { revoked: None, client_id: app.client_id.clone(), upn: member.upn.clone(), wanted: wanted.clone() };
    state.grants.insert(refresh_token.clone(), grant);
    refresh_token
}

/// The parameters of every token request, and `more`.
fn allow(call: &Call<'_>, more: &[&str]) -> Result<(), Refusal> {
    let common = ["grant_type", "client_id", "scope", "resource", "client_info", "claims"];
    let allowed: Vec<&str> = common.iter().chain(&POP).chain(more).copied().collect();
    call.form.only(&allowed)?;
    match call.form.get("client_info") {
        None | Some("1") => Ok(()),
        Some(_) => Err(Refusal::malformed("`client_info` can only be 1")),
    }
}

/// The tenant's GUID; `None` for `organizations` and `common`, which mean the user's own.
pub(super) fn tenant(state: &State, call: &Call<'_>) -> Result<Option<String>, Refusal> {
    if call.flavour == Flavour::Adfs {
        // An AD FS is one directory: the default tenant's.
        return Ok(state.directory.tenants.first().map(|tenant| tenant.id.clone()));
    }
    if ["organizations", "common"].contains(&call.tenant) {
        return Ok(None);
    }
    match state.directory.tenant(call.tenant) {
        Some(tenant) => Ok(Some(tenant.id.clone())),
        None => Err(Refusal::unknown_tenant(call.tenant)),
    }
}

/// The app, if it exists in the tenant (700016 if not).
pub(super) fn client(state: &State, client_id: &str, tenant: Option<&str>) -> Result<App, Refusal> {
    let anywhere = || state.directory.tenants.iter().map(|tenant| tenant.id.as_str());
    let app = match tenant {
        Some(tenant) => state.directory.app(client_id, tenant),
        None => anywhere().find_map(|tenant| state.directory.app(client_id, tenant)),
    };
    app.cloned().ok_or_else(|| Refusal::unknown_client(client_id, tenant.unwrap_or("common")))
}

/// Checks the client's secret or assertion, or that it needs none.
fn authenticate(state: &mut State, app: &App, call: &Call<'_>) -> Result<(), Refusal> {
    match Presented::of(call)? {
        Presented::Nothing if app.public => Ok(()),
        Presented::Nothing => Err(Refusal::not_public()),
        _ if app.public => Err(Refusal::public_with_secret()),
        Presented::Secret(presented) => check_secret(app, presented),
        Presented::Assertion(presented) => assertion::check(state, app, call, presented),
    }
}

fn check_secret(app: &App, presented: &str) -> Result<(), Refusal> {
    match app.secrets.iter().find(|secret| secret.value == presented) {
        None => Err(Refusal::wrong_secret(&app.client_id)),
        Some(secret) if secret.expired => Err(Refusal::expired_secret(&app.client_id)),
        Some(_) => Ok(()),
    }
}

pub(super) fn member(state: &State, upn: &str, tenant: Option<&str>, client_id: &str) -> Result<Member, Refusal> {
    let user: Option<&User> = state.directory.user(upn);
    let tenant = tenant.or(user.map(|user| user.home_tenant.as_str())).unwrap_or("common");
    user.and_then(|user| user.in_tenant(tenant)).ok_or_else(|| Refusal::not_a_member(upn, tenant, client_id))
}

/// The token answer, still without a refresh token.
fn answer(
    state: &State,
    signer: &Signer,
    call: &Call<'_>,
    app: &App,
    subject: &Subject<'_>,
    wanted: &Wanted,
    nonce: Option<&str>,
) -> Result<Value, Refusal> {
    let confirmation = confirmation(call)?;
    let life = Lifetime { from: call.now, seconds: state.knobs.token_lifetime };
    let issuer = (call.flavour == Flavour::Adfs).then(|| format!("https://{}/adfs", call.authority));
    let audience = audience(call.flavour, &wanted.resource);
    let mut claims = access_claims(subject, issuer.as_deref(), app, &audience, life);
    let token_type = if confirmation.is_some() { "pop" } else { "Bearer" };
    if let Some(confirmation) = confirmation {
        claims["cnf"] = confirmation;
    }
    let mut answer = json!({
        "token_type": token_type,
        "expires_in": life.seconds,
        "ext_expires_in": life.seconds,
        "access_token": signer.sign(&claims),
    });
    if let Some(refresh_in) = state.knobs.refresh_in {
        answer["refresh_in"] = json!(refresh_in);
    }
    if let Subject::Person(member) = subject {
        describe_person(&mut answer, signer, call, member, wanted, life, nonce);
    }
    finish(&mut answer, call, wanted, life);
    Ok(answer)
}

fn audience(flavour: Flavour, resource: &str) -> String {
    match flavour {
        Flavour::V1 { spn: true } if !resource.contains(':') => format!("spn:{resource}"),
        _ => resource.to_owned(),
    }
}

fn describe_person(
    answer: &mut Value,
    signer: &Signer,
    call: &Call<'_>,
    member: &Member,
    wanted: &Wanted,
    life: Lifetime,
    nonce: Option<&str>,
) {
    let v2 = call.flavour == Flavour::V2;
    if v2 {
        answer["scope"] = json!(wanted.granted_scope());
    } else {
        answer["scope"] = json!("user_impersonation");
    }
    if wanted.openid {
        let client_id = call.form.get("client_id").unwrap_or_default();
        answer["id_token"] = json!(signer.sign(&id_claims(member, v2, client_id, life, nonce)));
    }
    if call.flavour != Flavour::Adfs && call.form.get("client_info").is_some() {
        answer["client_info"] = json!(client_info(member));
    }
}

/// The differences between the generations: v1 adds times and writes numbers as strings.
fn finish(answer: &mut Value, call: &Call<'_>, wanted: &Wanted, life: Lifetime) {
    if call.flavour == Flavour::V2 {
        return;
    }
    answer["resource"] = json!(wanted.resource);
    if let Flavour::V1 { .. } = call.flavour {
        answer["expires_on"] = json!(life.from + life.seconds);
        answer["not_before"] = json!(life.from);
        let numbers = ["expires_in", "ext_expires_in", "expires_on", "not_before", "refresh_in"];
        as_strings(answer, &numbers);
    }
}

/// Writes numbers the way v1 does.
pub(super) fn as_strings(answer: &mut Value, names: &[&str]) {
    for name in names {
        if let Some(number) = answer.get(name).and_then(Value::as_i64) {
            answer[*name] = json!(number.to_string());
        }
    }
}
