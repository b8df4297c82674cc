//! Tokens that are bound to a key: Signed HTTP Requests in Microsoft's shape, as the API servers of
//! Arc clusters want them (draft-ietf-oauth-signed-http-request-03; not `DPoP`, RFC 9449).
//!
//! Entra binds an access token to the thumbprint of our key. What goes to kubectl is that token inside
//! a statement which the key has signed just now, and for one cluster.

use aws_lc_rs::digest;
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use serde::Serialize;
use serde_json::Value;

use crate::entra::pop_claims::PopClaims;
use crate::error::{Error, ErrorKind};
use crate::exec_credential::Cluster;
use crate::secret::Secret;

/// To what a token is bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenBinding {
    /// To nothing: whoever bears it may use it.
    Bearer,
    /// To a key of this machine.
    Pop(PopHost),
}

/// The claim `u`: for which cluster a token is signed. Guard compares it with the cluster's own name,
/// in any case of letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PopHost(String);

impl std::fmt::Display for PopHost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl PopHost {
    /// The cluster that is called `name`.
    pub fn new(name: String) -> Self {
        Self(name)
    }

    /// What the cluster's extension says (`u`, or `pop-claims` as on the command line, or the ARM id itself),
    /// else the host of its address (the draft's section 3). That a hosted Arc cluster compares with the
    /// host is unverified.
    pub fn of_cluster(cluster: &Cluster) -> Option<Self> {
        let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(String::from);
        let claims = |value: &Value| PopClaims::parse(value.as_str()?).ok().map(|claims| claims.host);
        let config = &cluster.config;
        let said = text(&config["u"]).or_else(|| claims(&config["pop-claims"])).or_else(|| claims(config));
        let said = said.or_else(|| text(config).filter(|text| text.starts_with('/')));
        let host = || {
            let url = url::Url::parse(&cluster.server).ok()?;
            let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
            Some(format!("{}{port}", url.host_str()?))
        };
        said.or_else(host).map(Self)
    }
}

/// A key that tokens are bound to: RSA with 2048 bits and the exponent 65537, for guard reads an
/// exponent of three bytes only.
pub struct PopKey {
    pair: RsaKeyPair,
    /// The public half in the form that its thumbprint is made of (RFC 7638).
    jwk: Jwk,
    kid: String,
}

#[derive(Serialize)]
struct Jwk {
    e: String,
    kty: &'static str,
    n: String,
}

impl PopKey {
    /// A new key; takes about a tenth of a second.
    ///
    /// # Errors
    /// The machine has no random numbers.
    pub fn generate() -> Result<Self, Error> {
        RsaKeyPair::generate(KeySize::Rsa2048).ok().and_then(Self::of).ok_or_else(|| {
            Error::new(ErrorKind::Key, "a key for proof-of-possession tokens cannot be made").remedy("try again")
        })
    }

    /// The key that [`Self::stored`] has written; nothing, if that is none of ours.
    pub fn load(stored: &Secret) -> Option<Self> {
        let der = zeroize::Zeroizing::new(BASE64_STANDARD.decode(stored.expose()).ok()?);
        RsaKeyPair::from_pkcs8(&der).ok().and_then(Self::of)
    }

    /// The key as PKCS #8 in base64.
    pub fn stored(&self) -> Option<Secret> {
        let der = AsDer::<Pkcs8V1Der<'_>>::as_der(&self.pair).ok()?;
        Some(Secret::new(BASE64_STANDARD.encode(der.as_ref())))
    }

    fn of(pair: RsaKeyPair) -> Option<Self> {
        let public = pair.public_key();
        let number = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        let jwk = Jwk {
            e: number(public.exponent().big_endian_without_leading_zero()),
            kty: "RSA",
            n: number(public.modulus().big_endian_without_leading_zero()),
        };
        let kid = thumbprint(&jwk)?;
        Some(Self { pair, jwk, kid })
    }

    /// The thumbprint, by which Entra and the API server know the key.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The parameter `req_cnf`, by which Entra is asked to bind a token to this key.
    pub fn req_cnf(&self) -> String {
        // `sw`: the key lives in software, as MSAL says of its own.
        BASE64_URL_SAFE_NO_PAD.encode(format!(r#"{{"kid":"{}","xms_ksl":"sw"}}"#, self.kid))
    }

    /// What an API server believes for a few minutes from `now` (seconds since the epoch): a compact
    /// JWS with `access_token` in it, for the cluster `host`.
    ///
    /// # Errors
    /// The key cannot sign.
    pub fn sign(&self, access_token: &Secret, host: &PopHost, now: u64) -> Result<Secret, Error> {
        let cannot = || Error::new(ErrorKind::Key, "the key cannot sign").remedy("run the command again");
        let header = Header { typ: "pop", alg: "RS256", kid: &self.kid };
        let key = PublicKey { jwk: &self.jwk, alg: "RS256", kid: &self.kid };
        let payload = Payload {
            at: access_token.expose(),
            ts: now,
            u: &host.0,
            cnf: Confirmation { jwk: key },
            nonce: uuid::Uuid::new_v4().simple().to_string(),
        };
        let text = Secret::new(format!(
            "{}.{}",
            encoded(&header).ok_or_else(cannot)?.expose(),
            encoded(&payload).ok_or_else(cannot)?.expose()
        ));
        let mut signature = vec![0; self.pair.public_modulus_len()];
        let signed = self.pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.expose().as_bytes(), &mut signature);
        signed.map_err(|_| cannot())?;
        Ok(Secret::new(format!("{}.{}", text.expose(), BASE64_URL_SAFE_NO_PAD.encode(&signature))))
    }
}

impl std::fmt::Debug for PopKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PopKey({})", self.kid)
    }
}

/// RFC 7638: the SHA-256 of the members that a key must have, in the order of their names.
fn thumbprint(jwk: &Jwk) -> Option<String> {
    let text = serde_json::to_string(jwk).ok()?;
    Some(BASE64_URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, text.as_bytes())))
}

#[derive(Serialize)]
struct Header<'a> {
    typ: &'static str,
    alg: &'static str,
    kid: &'a str,
}

#[derive(Serialize)]
struct Payload<'a> {
    at: &'a str,
    ts: u64,
    u: &'a str,
    cnf: Confirmation<'a>,
    nonce: String,
}

#[derive(Serialize)]
struct Confirmation<'a> {
    jwk: PublicKey<'a>,
}

#[derive(Serialize)]
struct PublicKey<'a> {
    #[serde(flatten)]
    jwk: &'a Jwk,
    alg: &'static str,
    kid: &'a str,
}

fn encoded(part: &impl Serialize) -> Option<Secret> {
    let json = zeroize::Zeroizing::new(serde_json::to_vec(part).ok()?);
    Some(Secret::new(BASE64_URL_SAFE_NO_PAD.encode(&*json)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thumbprint_of_rfc_7638() {
        let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
        let jwk = Jwk { e: "AQAB".into(), kty: "RSA", n: n.into() };
        assert_eq!(thumbprint(&jwk).unwrap(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    }

    #[test]
    fn a_signed_token_is_what_guard_reads() {
        let key = PopKey::generate().unwrap();
        let host = PopHost("/subscriptions/\"x\"".into());
        let signed = key.sign(&Secret::new("at"), &host, 1_767_323_045).unwrap();
        let parts: Vec<_> = signed.expose().split('.').collect();
        let text = |part: &str| String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
        assert_eq!(text(parts[0]), format!(r#"{{"typ":"pop","alg":"RS256","kid":"{}"}}"#, key.kid()));
        let payload = text(parts[1]);
        let start =
            r#"{"at":"at","ts":1767323045,"u":"/subscriptions/\"x\"","cnf":{"jwk":{"e":"AQAB","kty":"RSA","n":""#;
        assert!(payload.starts_with(start), "{payload}");
        let nonce = payload.split(r#""nonce":""#).nth(1).unwrap();
        assert!(nonce.len() == 34 && nonce[..32].bytes().all(|b| b.is_ascii_hexdigit()), "{nonce}");
        let public = key.pair.public_key();
        let verifier =
            aws_lc_rs::signature::UnparsedPublicKey::new(&aws_lc_rs::signature::RSA_PKCS1_2048_8192_SHA256, public);
        let signature = BASE64_URL_SAFE_NO_PAD.decode(parts[2]).unwrap();
        let text = format!("{}.{}", parts[0], parts[1]);
        verifier.verify(text.as_bytes(), &signature).unwrap();
    }

    #[test]
    fn a_stored_key_is_the_same_key() {
        let key = PopKey::generate().unwrap();
        let again = PopKey::load(&key.stored().unwrap()).unwrap();
        assert_eq!((again.kid(), again.req_cnf()), (key.kid(), key.req_cnf()));
        for bad in ["", "AA==", "not base64"] {
            assert!(PopKey::load(&Secret::new(bad)).is_none(), "{bad}");
        }
    }
}
