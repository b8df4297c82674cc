//! Federated credentials: other issuers whose tokens stand for an app.

use super::super::clock::unix_now;
use super::super::listener::lock;
use super::State;
use super::assertion::Jwt;
use super::refusal::Refusal;
use super::tokens::Signer;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

/// A credential registered with an app: all three must be equal, to the letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FederatedCredential {
    pub(super) issuer: String,
    pub(super) subject: String,
    pub(super) audience: String,
}

/// Every issuer of tokens that is not Entra: GitHub, a cluster, … They share a key, which is not
/// Entra's.
#[derive(Clone, Default)]
pub struct FakeIssuer {
    minted: Arc<Mutex<Vec<String>>>,
}

/// What an assertion says.
#[derive(Clone, Debug)]
pub struct Claims<'a> {
    /// `iss`
    pub issuer: &'a str,
    /// `sub`
    pub subject: &'a str,
    /// `aud`; with a comma it is a list, as in Kubernetes' tokens.
    pub audience: &'a str,
    /// Seconds from now to `exp`; negative for one that has expired.
    pub lifetime: i64,
}

impl FakeIssuer {
    /// A signed assertion, unlike every other one.
    pub fn mint(&self, claims: &Claims<'_>) -> String {
        self.keep(|number| issuers_key().sign(&claims.json(number)))
    }

    /// An assertion whose signature belongs to other claims.
    pub fn forge(&self, claims: &Claims<'_>) -> String {
        self.keep(|number| {
            let (good, other) = (issuers_key().sign(&claims.json(number)), issuers_key().sign(&json!({})));
            let signature = other.rsplit_once('.').map_or("", |(_, signature)| signature);
            let signed = good.rsplit_once('.').map_or("", |(signed, _)| signed);
            format!("{signed}.{signature}")
        })
    }

    /// All assertions so far. They are secrets.
    pub fn minted(&self) -> Vec<String> {
        lock(&self.minted).clone()
    }

    fn keep(&self, make: impl FnOnce(usize) -> String) -> String {
        let mut minted = lock(&self.minted);
        let assertion = make(minted.len() + 1);
        minted.push(assertion.clone());
        assertion
    }
}

impl Claims<'_> {
    fn json(&self, number: usize) -> Value {
        let now = unix_now();
        // One that has expired was good for five minutes.
        let from = now.min(now + self.lifetime - 300);
        let audience = match self.audience.contains(',') {
            true => json!(self.audience.split(',').filter(|one| !one.is_empty()).collect::<Vec<_>>()),
            false => json!(self.audience),
        };
        json!({
            "iss": self.issuer, "sub": self.subject, "aud": audience, "jti": format!("assertion-{number}"),
            "iat": from, "nbf": from, "exp": now + self.lifetime,
        })
    }
}

fn issuers_key() -> &'static Signer {
    Signer::of_other_issuers()
}

/// Issuer, subject, audience, signature and time, in the order in which Entra complains.
pub(super) fn check(state: &mut State, known: &[FederatedCredential], now: i64, jwt: &Jwt<'_>) -> Result<(), Refusal> {
    let (issuer, subject) = (jwt.claim("iss")?, jwt.claim("sub")?);
    let audiences = audiences(&jwt.claims["aud"])?;
    if known.is_empty() {
        return Err(Refusal::no_credential(issuer, subject, &audiences.join(" ")));
    }
    let of_issuer: Vec<_> = known.iter().filter(|known| known.issuer == issuer).collect();
    if of_issuer.is_empty() {
        return Err(Refusal::unknown_issuer(issuer));
    }
    if state.knobs.federated_after > 0 {
        state.knobs.federated_after -= 1;
        return Err(Refusal::unknown_subject(subject));
    }
    let of_subject: Vec<_> = of_issuer.iter().filter(|known| known.subject == subject).collect();
    if of_subject.is_empty() {
        let near = of_issuer.iter().any(|known| known.subject.eq_ignore_ascii_case(subject));
        return Err(if near { Refusal::other_case(subject) } else { Refusal::unknown_subject(subject) });
    }
    if !of_subject.iter().any(|known| audiences.contains(&known.audience.as_str())) {
        return Err(Refusal::unknown_audience(&audiences.join(" ")));
    }
    if issuers_key().open(jwt.text()).is_none() {
        return Err(Refusal::bad_assertion("the issuer's key did not sign it"));
    }
    jwt.check_time(now)
}

fn audiences(claim: &Value) -> Result<Vec<&str>, Refusal> {
    let audiences: Option<Vec<&str>> = match claim {
        Value::String(one) => Some(vec![one]),
        Value::Array(several) => several.iter().map(Value::as_str).collect(),
        _ => None,
    };
    audiences.ok_or_else(|| Refusal::bad_assertion("`aud` is no text"))
}

const MORE: &str = "https://learn.microsoft.com/entra/workload-id/workload-identity-federation";

impl Refusal {
    /// 70021
    fn no_credential(issuer: &str, subject: &str, audience: &str) -> Self {
        let text = format!(
            "No matching federated identity record found for presented assertion. Assertion Issuer: '{issuer}'. \
             Assertion Subject: '{subject}'. Assertion Audience: '{audience}'. {MORE}"
        );
        Self::new("invalid_client", 70_021, text)
    }

    /// 700211
    fn unknown_issuer(issuer: &str) -> Self {
        Self::unmatched(700_211, &format!("issuer '{issuer}'"))
    }

    /// 700212
    fn unknown_audience(audience: &str) -> Self {
        Self::unmatched(700_212, &format!("audience '{audience}'"))
    }

    /// 700213
    fn unknown_subject(subject: &str) -> Self {
        Self::unmatched(700_213, &format!("subject '{subject}'"))
    }

    fn unmatched(code: u32, what: &str) -> Self {
        let text = format!(
            "No matching federated identity record found for presented assertion {what}. Check your federated \
             identity credential Subject, Audience and Issuer against the presented assertion. {MORE}"
        );
        Self::new("invalid_client", code, text)
    }

    /// 7002138
    fn other_case(subject: &str) -> Self {
        let text = format!(
            "No matching federated identity record found for presented assertion subject '{subject}'. The subject \
             matches with case-insensitive comparison, but not with case-sensitive comparison. {MORE}"
        );
        Self::new("invalid_client", 7_002_138, text)
    }
}
