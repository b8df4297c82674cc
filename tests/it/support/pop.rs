//! Signed requests (proof of possession) as the API server of an Arc cluster checks them.
//!
//! The rules and their order are those of kubeguard's verifier, which follows the expired
//! draft-ietf-oauth-signed-http-request-03 in Microsoft's shape.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::RSA_PKCS1_2048_8192_SHA256;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

/// How a cluster checks signed requests.
#[derive(Clone, Debug)]
pub(super) struct PopRules {
    /// What `u` must be, in any case: the ARM id of the cluster.
    pub(super) host: String,
    /// For how many seconds after `ts` a signed request is good.
    pub(super) validity: i64,
}

impl PopRules {
    /// The access token within the signed request; `Err` says what is wrong with the latter.
    pub(super) fn open(&self, token: &str, now: i64) -> Result<String, String> {
        let parts: Vec<&str> = token.split('.').collect();
        let [header, payload, signature] = parts.as_slice() else {
            return Err(format!("PoP token invalid schema. Token length: {}", parts.len()));
        };
        if parts.iter().any(|part| part.is_empty()) {
            return Err(format!("PoP token invalid schema. Token length: {}", parts.len()));
        }
        let unparsed = |what| format!("Could not parse PoP token: {what}");
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| unparsed("signature"))?;
        let (head, claims) = (json(header).ok_or(unparsed("header"))?, json(payload).ok_or(unparsed("claims"))?);
        check_header(&head)?;
        self.check_time(&claims["ts"], now)?;
        self.check_host(&claims["u"])?;
        let key = Key::of(&claims["cnf"]["jwk"])?;
        let access_token = claims["at"].as_str().ok_or("Invalid token. 'at' claim is missing")?;
        check_binding(access_token, &key)?;
        key.verify(format!("{header}.{payload}").as_bytes(), &signature)?;
        Ok(access_token.to_owned())
    }

    /// A `ts` in the future is nothing that the real verifier minds.
    fn check_time(&self, ts: &Value, now: i64) -> Result<(), String> {
        if ts.is_null() {
            return Err("Invalid token. 'ts' claim is missing".to_owned());
        }
        let number = ts.as_f64().map(|seconds| seconds as i64);
        // Like the real one: what is no number is 1970.
        let issued = number.or(ts.as_str().and_then(|text| text.parse().ok())).unwrap_or(0);
        let until = issued + self.validity;
        if until < now {
            return Err(format!("Token is expired. Now: {now}, Valid till: {until}"));
        }
        Ok(())
    }

    fn check_host(&self, host: &Value) -> Result<(), String> {
        let received = match host {
            Value::Null => return Err("Invalid token. 'u' claim is missing".to_owned()),
            host => host.as_str().ok_or("Invalid token. 'u' claim should be of string")?,
        };
        if received.to_lowercase() == self.host.to_lowercase() {
            return Ok(());
        }
        let expected = &self.host;
        Err(format!("Invalid Pop token due to host mismatch. Expected: {expected:?}, received: {received:?}"))
    }
}

fn check_header(header: &Value) -> Result<(), String> {
    if header["kid"].as_str().unwrap_or_default().is_empty() {
        return Err("No KeyID found in PoP token header".to_owned());
    }
    let algorithm = header["alg"].as_str().unwrap_or_default();
    if algorithm != "RS256" {
        return Err(format!("Wrong algorithm found in PoP token header, expected 'RS256' having '{algorithm}'"));
    }
    match &header["typ"] {
        Value::String(kind) if kind.eq_ignore_ascii_case("pop") => Ok(()),
        Value::String(kind) => Err(format!("Wrong typ. Expected 'pop' having '{kind}'")),
        Value::Null => Err("Invalid token. 'typ' claim is missing".to_owned()),
        _ => Err("Invalid token. 'typ' claim should be of string".to_owned()),
    }
}

/// The access token was made for this key.
fn check_binding(access_token: &str, key: &Key) -> Result<(), String> {
    let claims = access_token.split('.').nth(1).and_then(json);
    let claims = claims.ok_or("Could not parse the access token of the PoP token")?;
    match claims["cnf"]["kid"].as_str() {
        Some(kid) if kid == thumbprint(&key.e, &key.n) => Ok(()),
        Some(_) => Err("PoP token validate failed: 'cnf' claim mismatch".to_owned()),
        None => Err("Invalid token. 'cnf' claim of the access token is missing".to_owned()),
    }
}

/// The public key that a signed request shows.
struct Key {
    e: String,
    n: String,
}

impl Key {
    fn of(jwk: &Value) -> Result<Self, String> {
        let member = |name: &str| match jwk[name].as_str() {
            Some(value) if !value.is_empty() => Ok(value.to_owned()),
            _ => Err(format!("failed while parsing 'jwk' claim in PoP token : {name}")),
        };
        Ok(Self { e: member("e")?, n: member("n")? })
    }

    fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), String> {
        let bytes =
            |text| URL_SAFE_NO_PAD.decode(text).map_err(|_| "Failed to decode the key of the PoP token".to_owned());
        let (e, n) = (bytes(&self.e)?, bytes(&self.n)?);
        // The real verifier reads four bytes of which it supplies one.
        if e.len() != 3 {
            return Err(format!("an exponent of {} bytes", e.len()));
        }
        let key = PublicKeyComponents { n: &n, e: &e };
        let verified = key.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature);
        verified.map_err(|_| "RSA verify err: crypto/rsa: verification error".to_owned())
    }
}

/// RFC 7638 §3 for an RSA key whose members are given as a JWK has them.
pub fn thumbprint(e: &str, n: &str) -> String {
    let canonical = format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#);
    URL_SAFE_NO_PAD.encode(digest(&SHA256, canonical.as_bytes()))
}

fn json(part: &str) -> Option<Value> {
    let value: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()?;
    value.is_object().then_some(value)
}
