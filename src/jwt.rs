//! Reading a JWT, for display and for the cache's keys, and never for trust: only the one who accepts it checks
//! its signature. (Proof-of-possession tokens are written in `entra::pop`.)

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;

/// The claims of `token` as `T`; nothing where it is no JWT, or claims of another form.
pub(crate) fn claims<T: DeserializeOwned>(token: &str) -> Option<T> {
    decode(token.split('.').nth(1)?)
}

/// When `token` ends, in seconds since 1970 (`exp`, RFC 7519, section 4.1.4); nothing where it is no JWT.
pub(crate) fn end(token: &str) -> Option<u64> {
    #[derive(serde::Deserialize)]
    struct Claims {
        exp: serde_json::Value,
    }
    let Claims { exp } = claims(token)?;
    exp.as_u64().or_else(|| exp.as_str()?.trim().parse().ok())
}

/// What a part of a JWT holds: JSON in base64url (RFC 7515, section 2), padded or not.
pub(crate) fn decode<T: DeserializeOwned>(base64url: &str) -> Option<T> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(base64url.trim_end_matches('=')).ok()?;
    serde_json::from_slice(&bytes).ok()
}
