//! Client assertions (RFC 7523): what a confidential client shows instead of a secret.
//!
//! An assertion whose issuer is the client itself is signed with a registered certificate; every
//! other one comes from a foreign issuer (see [`super::federation`]).

use super::super::certificates::Certificate;
use super::super::clock::rfc3339;
use super::State;
use super::directory::App;
use super::federation::{self, FederatedCredential};
use super::grants::{Call, Flavour};
use super::refusal::Refusal;
use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, RsaParameters, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::Value;

/// The only `client_assertion_type` there is.
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// How far ahead an assertion's end may lie.
const LONGEST: i64 = 24 * 3600;

/// What an app has registered besides its secrets.
#[derive(Clone, Debug, Default)]
pub(super) struct Proofs {
    pub(super) certificates: Vec<Certificate>,
    pub(super) names: Vec<TrustedName>,
    pub(super) federated: Vec<FederatedCredential>,
}

/// Certificates registered by subject name and issuer.
#[derive(Clone, Debug)]
pub(super) struct TrustedName {
    pub(super) common_name: String,
    pub(super) authority: Certificate,
}

/// How a client proves in a request who it is.
pub(super) enum Presented<'a> {
    Nothing,
    Secret(&'a str),
    Assertion(&'a str),
}

impl<'a> Presented<'a> {
    /// One proof, whole, or none.
    pub(super) fn of(call: &'a Call<'_>) -> Result<Self, Refusal> {
        let kind = call.form.get("client_assertion_type");
        match (call.form.get("client_secret"), kind, call.form.get("client_assertion")) {
            (None, None, None) => Ok(Self::Nothing),
            (Some(secret), None, None) => Ok(Self::Secret(secret)),
            (None, Some(JWT_BEARER), Some(assertion)) => Ok(Self::Assertion(assertion)),
            (None, Some(_), Some(_)) => Err(Refusal::malformed("an unknown `client_assertion_type`")),
            (None, Some(_), None) => Err(Refusal::missing("client_assertion")),
            (None, None, Some(_)) => Err(Refusal::missing("client_assertion_type")),
            (Some(_), ..) => Err(Refusal::malformed("a secret and an assertion in one request")),
        }
    }
}

/// A JWT that nobody has believed yet.
pub(super) struct Jwt<'a> {
    pub(super) header: Value,
    pub(super) claims: Value,
    text: &'a str,
    signature: Vec<u8>,
}

impl<'a> Jwt<'a> {
    /// Takes it apart: base64url without padding, two JSON objects and a signature.
    pub(super) fn parse(text: &'a str) -> Result<Self, Refusal> {
        let parts: Vec<&str> = text.split('.').collect();
        let [header, claims, signature] = parts.as_slice() else {
            return Err(Refusal::bad_assertion("it has no three parts"));
        };
        let bytes = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| Refusal::bad_assertion("it is no base64url"));
        let object = |part: &str| {
            let value: Option<Value> = serde_json::from_slice(&bytes(part)?).ok();
            value.filter(Value::is_object).ok_or_else(|| Refusal::bad_assertion("a part is no JSON object"))
        };
        Ok(Self { header: object(header)?, claims: object(claims)?, text, signature: bytes(signature)? })
    }

    pub(super) fn text(&self) -> &'a str {
        self.text
    }

    /// A claim or header that has to be a text.
    pub(super) fn claim(&self, name: &str) -> Result<&str, Refusal> {
        self.claims[name].as_str().ok_or_else(|| Refusal::bad_assertion(&format!("`{name}` is no text")))
    }

    /// 700024 unless `now` lies in the times that are there; `exp` has to be.
    pub(super) fn check_time(&self, now: i64) -> Result<(), Refusal> {
        let (from, until) = (self.time("nbf")?, self.time("exp")?);
        let until = until.ok_or_else(|| Refusal::bad_assertion("`exp` is missing"))?;
        let early = [from, self.time("iat")?].into_iter().flatten().any(|from| from > now);
        if early || until <= now {
            return Err(Refusal::outside_validity(now, from.unwrap_or(now), until));
        }
        Ok(())
    }

    /// MSAL Python sends its times as floats, and Entra takes them.
    fn time(&self, name: &str) -> Result<Option<i64>, Refusal> {
        let value = match &self.claims[name] {
            Value::Null => return Ok(None),
            value => value.as_i64().or(value.as_f64().map(|seconds| seconds as i64)),
        };
        value.map(Some).ok_or_else(|| Refusal::bad_assertion(&format!("`{name}` is no number")))
    }

    fn only(&self, part: &Value, allowed: &[&str]) -> Result<(), Refusal> {
        let names = part.as_object().into_iter().flat_map(|object| object.keys());
        match names.into_iter().find(|name| !allowed.contains(&name.as_str())) {
            None => Ok(()),
            Some(name) => Err(Refusal::bad_assertion(&format!("nobody asked for `{name}`"))),
        }
    }

    fn verified_by(&self, certificate: &Certificate, rules: &'static RsaParameters) -> bool {
        let signed = self.text.rsplit_once('.').map_or("", |(signed, _)| signed);
        let key = UnparsedPublicKey::new(rules, certificate.public_key());
        key.verify(signed.as_bytes(), &self.signature).is_ok()
    }
}

/// Checks an assertion of `app`, and remembers it as used.
pub(super) fn check(state: &mut State, app: &App, call: &Call<'_>, assertion: &str) -> Result<(), Refusal> {
    let jwt = Jwt::parse(assertion)?;
    let proofs = state.proofs.get(&app.client_id).cloned().unwrap_or_default();
    if jwt.claims["iss"].as_str().is_some_and(|issuer| issuer.eq_ignore_ascii_case(&app.client_id)) {
        certificate(state, &proofs, call, &jwt)?;
    } else {
        federation::check(state, &proofs.federated, call.now, &jwt)?;
    }
    state.accepted.push(jwt.claims);
    Ok(())
}

fn certificate(state: &mut State, proofs: &Proofs, call: &Call<'_>, jwt: &Jwt<'_>) -> Result<(), Refusal> {
    jwt.only(&jwt.header, &["alg", "typ", "x5t", "x5t#S256", "x5c"])?;
    jwt.only(&jwt.claims, &["aud", "iss", "sub", "jti", "nbf", "iat", "exp"])?;
    if jwt.header["typ"] != "JWT" {
        return Err(Refusal::bad_assertion("`typ` is not JWT"));
    }
    check_signature(proofs, call, jwt)?;
    check_claims(call, jwt)?;
    let jti = jwt.claim("jti")?;
    if jti.is_empty() || !state.spent.insert(jti.to_owned()) {
        return Err(Refusal::bad_assertion("`jti` was used before"));
    }
    Ok(())
}

/// Which certificate signed it, and whether that is one of the app's.
fn check_signature(proofs: &Proofs, call: &Call<'_>, jwt: &Jwt<'_>) -> Result<(), Refusal> {
    let chain = chain(&jwt.header["x5c"])?;
    let (rules, is_meant) = algorithm(call.flavour, &jwt.header)?;
    if chain.first().is_some_and(|leaf| !is_meant(leaf)) {
        return Err(Refusal::bad_assertion("`x5c` begins with another certificate than the thumbprint's"));
    }
    let certificate = match (proofs.certificates.iter().find(|known| is_meant(known)), chain.first()) {
        (Some(registered), _) => registered,
        (None, Some(leaf)) if !proofs.names.is_empty() => named(proofs, &chain, leaf)?,
        (None, _) => return Err(Refusal::bad_signature("The key was not found.")),
    };
    if !jwt.verified_by(certificate, rules) {
        return Err(Refusal::bad_signature("Key was found, but use of the key to verify the signature failed."));
    }
    if !certificate.is_valid_at(call.now) {
        return Err(Refusal::bad_signature("The key used is expired."));
    }
    Ok(())
}

type IsMeant = Box<dyn Fn(&Certificate) -> bool>;

/// How the signature is checked, and which certificate the header names. SHA-1 and PKCS #1 v1.5
/// are the old way, and the only one at v1 and AD FS.
fn algorithm(flavour: Flavour, header: &Value) -> Result<(&'static RsaParameters, IsMeant), Refusal> {
    let (new, old) = (thumbprint(&header["x5t#S256"])?, thumbprint(&header["x5t"])?);
    match (header["alg"].as_str(), new, old) {
        (Some("PS256"), Some(wanted), None) if flavour == Flavour::V2 => {
            Ok((&RSA_PSS_2048_8192_SHA256, Box::new(move |known| known.sha256() == wanted)))
        }
        (Some("RS256"), None, Some(wanted)) => {
            Ok((&RSA_PKCS1_2048_8192_SHA256, Box::new(move |known| known.sha1() == wanted)))
        }
        _ => Err(Refusal::bad_assertion("`alg` and thumbprint do not belong together here")),
    }
}

/// A thumbprint in any of the base64 spellings that are about.
fn thumbprint(value: &Value) -> Result<Option<Vec<u8>>, Refusal> {
    let Some(text) = value.as_str() else { return Ok(None) };
    let bare = text.trim_end_matches('=');
    let decoded = URL_SAFE_NO_PAD.decode(bare).or_else(|_| STANDARD_NO_PAD.decode(bare));
    decoded.map(Some).map_err(|_| Refusal::bad_assertion("a thumbprint is no base64"))
}

/// The certificates of `x5c`: base64 (not base64url) of DER, possibly with line breaks.
fn chain(x5c: &Value) -> Result<Vec<Certificate>, Refusal> {
    let texts = match x5c {
        Value::Null => return Ok(Vec::new()),
        Value::Array(texts) if !texts.is_empty() => texts,
        _ => return Err(Refusal::bad_assertion("`x5c` is no list of certificates")),
    };
    let certificate = |text: &Value| {
        let text: String = text.as_str()?.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        Certificate::from_der(&STANDARD.decode(text).ok()?)
    };
    let chain: Option<Vec<Certificate>> = texts.iter().map(certificate).collect();
    chain.ok_or_else(|| Refusal::bad_assertion("`x5c` holds something that is no certificate"))
}

/// The leaf of `chain`, if it is registered by subject name and issuer (700030 if not).
fn named<'a>(proofs: &Proofs, chain: &[Certificate], leaf: &'a Certificate) -> Result<&'a Certificate, Refusal> {
    let linked = chain.windows(2).all(|pair| pair[0].is_signed_by(&pair[1]));
    let top = chain.last().expect("a leaf");
    let fits = |name: &TrustedName| {
        leaf.common_name() == name.common_name && (*top == name.authority || top.is_signed_by(&name.authority))
    };
    // A leaf alone does not say who issued it, so Entra wants its issuer too.
    let whole = chain.len() > 1 && linked;
    if whole && proofs.names.iter().any(fits) { Ok(leaf) } else { Err(Refusal::unknown_name()) }
}

fn check_claims(call: &Call<'_>, jwt: &Jwt<'_>) -> Result<(), Refusal> {
    let client_id = call.form.get("client_id");
    if jwt.claims["iss"].as_str() != client_id || jwt.claims["sub"].as_str() != client_id {
        return Err(Refusal::bad_assertion("`iss` and `sub` are not the client id"));
    }
    let v1 = matches!(call.flavour, Flavour::V1 { .. });
    let audience = jwt.claim("aud")?;
    let known = audience == call.endpoint || (v1 && audience == format!("{}?api-version=1.0", call.endpoint));
    if !known {
        return Err(Refusal::wrong_audience(audience));
    }
    jwt.check_time(call.now)?;
    match jwt.time("exp")? {
        Some(until) if until > call.now + LONGEST + 60 => Err(Refusal::bad_assertion("`exp` is too far ahead")),
        _ => Ok(()),
    }
}

impl Refusal {
    /// 50013, which stands for everything that no number of its own is known for.
    pub(super) fn bad_assertion(why: &str) -> Self {
        let text = format!("Assertion failed signature validation. (fake: {why})");
        Self::new("invalid_client", 50_013, text).status(400)
    }

    /// 50012
    fn wrong_audience(audience: &str) -> Self {
        let text = format!("Authentication failed. (fake: `aud` is '{audience}', not the endpoint asked)");
        Self::new("invalid_client", 50_012, text).status(400)
    }

    /// 700024
    fn outside_validity(now: i64, from: i64, until: i64) -> Self {
        let text = format!(
            "Client assertion is not within its valid time range. Current time: {}, assertion valid from {}, \
             expiry time of assertion {}. Review the documentation at \
             https://learn.microsoft.com/entra/identity-platform/certificate-credentials .",
            rfc3339(now),
            rfc3339(from),
            rfc3339(until)
        );
        Self::new("invalid_client", 700_024, text)
    }

    /// 700027; the real text goes on with the thumbprint and advice on how to list keys.
    fn bad_signature(reason: &str) -> Self {
        let text = format!("Client assertion failed signature validation. [Reason - {reason}]");
        Self::new("invalid_client", 700_027, text)
    }

    /// 700030
    fn unknown_name() -> Self {
        let text = "Invalid certificate - subject name in certificate is not authorized. SubjectNames/\
                    SubjectAlternativeNames (up to 10) in token certificate are not registered.";
        Self::new("invalid_client", 700_030, text)
    }
}
