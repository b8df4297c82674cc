//! The tokens that the fake signs, and random texts.

use super::directory::{App, Member};
use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde_json::{Value, json};
use std::sync::OnceLock;

/// The RSA key that signs every token of one fake Entra.
pub(super) struct Signer {
    key_id: String,
    encoding: EncodingKey,
    decoding: DecodingKey,
    modulus: String,
    exponent: String,
}

impl Signer {
    /// The RSA key of this process: making one takes longer than a test.
    pub(super) fn shared() -> &'static Self {
        static SIGNER: OnceLock<Signer> = OnceLock::new();
        SIGNER.get_or_init(Self::new)
    }

    /// The key of everybody else who signs tokens.
    pub(super) fn of_other_issuers() -> &'static Self {
        static SIGNER: OnceLock<Signer> = OnceLock::new();
        SIGNER.get_or_init(Self::new)
    }

    /// A fresh RSA key of 2048 bits.
    fn new() -> Self {
        let pair = KeyPair::generate(KeySize::Rsa2048).expect("an RSA key can be made");
        let pkcs8 = pair.as_der().expect("an RSA key can be written as PKCS#8");
        let public = pair.public_key();
        let modulus = public.modulus().big_endian_without_leading_zero();
        let exponent = public.exponent().big_endian_without_leading_zero();
        Self {
            key_id: random_text(20),
            encoding: EncodingKey::from_rsa_pem(pem(pkcs8.as_ref()).as_bytes()).expect("our own PKCS#8 is well formed"),
            decoding: DecodingKey::from_rsa_raw_components(modulus, exponent),
            modulus: URL_SAFE_NO_PAD.encode(modulus),
            exponent: URL_SAFE_NO_PAD.encode(exponent),
        }
    }

    /// A JWT with these claims, RS256.
    pub(super) fn sign(&self, claims: &Value) -> String {
        let mut header = Header::new(Algorithm::RS256);
        header.kid = Some(self.key_id.clone());
        // v1.0 tokens name the key twice.
        header.x5t = Some(self.key_id.clone());
        encode(&header, claims, &self.encoding).expect("claims can be signed")
    }

    /// The claims, if the signature is ours. Nothing else is checked here.
    pub(super) fn open(&self, token: &str) -> Option<Value> {
        let mut rules = Validation::new(Algorithm::RS256);
        rules.validate_exp = false;
        rules.validate_aud = false;
        rules.required_spec_claims.clear();
        let opened = decode::<Value>(token, &self.decoding, &rules);
        opened.ok().map(|token| token.claims)
    }

    /// The public key as a JWK set.
    pub(super) fn jwks(&self) -> Value {
        json!({"keys": [{
            "kty": "RSA", "use": "sig", "kid": self.key_id, "x5t": self.key_id,
            "n": self.modulus, "e": self.exponent,
        }]})
    }
}

/// When a token is made and for how long it is good.
#[derive(Clone, Copy)]
pub(super) struct Lifetime {
    pub(super) from: i64,
    pub(super) seconds: i64,
}

/// Who a token is about.
pub(super) enum Subject<'a> {
    /// A person who signed in.
    Person(&'a Member),
    /// An app on its own behalf, in that tenant.
    App(&'a App, &'a str),
}

/// The claims of an access token in v1.0 format, which AKS gets from both endpoints.
pub(super) fn access_claims(
    subject: &Subject<'_>,
    issuer: Option<&str>,
    client: &App,
    audience: &str,
    life: Lifetime,
) -> Value {
    let tenant = subject.tenant();
    let mut claims = json!({
        "aud": audience,
        "iss": issuer.map_or_else(|| v1_issuer(tenant), str::to_owned),
        "iat": life.from,
        "nbf": life.from,
        "exp": life.from + life.seconds,
        "appid": client.client_id,
        "appidacr": if client.public { "0" } else { "1" },
        "tid": tenant,
        "uti": random_text(16),
        "ver": "1.0",
    });
    match subject {
        Subject::Person(member) => describe_person(&mut claims, member),
        Subject::App(app, _) => describe_app(&mut claims, app),
    }
    claims
}

impl Subject<'_> {
    fn tenant(&self) -> &str {
        match self {
            Subject::Person(member) => &member.tenant,
            Subject::App(_, tenant) => tenant,
        }
    }
}

fn describe_person(claims: &mut Value, member: &Member) {
    claims["oid"] = json!(member.oid);
    claims["sub"] = json!(format!("sub-{}", member.oid));
    claims["idtyp"] = json!("user");
    claims["scp"] = json!("user.read");
    claims["unique_name"] = json!(member.upn);
    if member.guest {
        // In the tenant that invited them people have no `upn` claim.
        claims["email"] = json!(member.upn);
    } else {
        claims["upn"] = json!(member.upn);
    }
    if !member.groups.is_empty() {
        claims["groups"] = json!(member.groups);
    }
}

fn describe_app(claims: &mut Value, app: &App) {
    claims["oid"] = json!(app.oid);
    claims["sub"] = json!(app.oid);
    claims["idtyp"] = json!("app");
    if !app.groups.is_empty() {
        claims["groups"] = json!(app.groups);
    }
}

/// The claims of an id token: v2 has `preferred_username`, v1 and AD FS have `upn`.
pub(super) fn id_claims(member: &Member, v2: bool, client_id: &str, life: Lifetime, nonce: Option<&str>) -> Value {
    let tenant = &member.tenant;
    let mut claims = json!({
        "aud": client_id,
        "iat": life.from,
        "nbf": life.from,
        "exp": life.from + life.seconds,
        "oid": member.oid,
        "sub": format!("sub-{}", member.oid),
        "tid": tenant,
        "name": member.upn.split('@').next(),
    });
    if v2 {
        claims["iss"] = json!(format!("https://login.microsoftonline.com/{tenant}/v2.0"));
        claims["preferred_username"] = json!(member.upn);
        claims["ver"] = json!("2.0");
    } else {
        claims["iss"] = json!(v1_issuer(tenant));
        claims["upn"] = json!(member.upn);
        claims["unique_name"] = json!(member.upn);
        claims["ver"] = json!("1.0");
    }
    if let Some(nonce) = nonce {
        claims["nonce"] = json!(nonce);
    }
    claims
}

/// The issuer of v1.0 tokens, in every cloud.
pub(super) fn v1_issuer(tenant: &str) -> String {
    format!("https://sts.windows.net/{tenant}/")
}

/// `client_info`: base64url JSON with the home account's `uid` and `utid`.
pub(super) fn client_info(member: &Member) -> String {
    let (uid, utid) = &member.home;
    URL_SAFE_NO_PAD.encode(json!({"uid": uid, "utid": utid}).to_string())
}

/// A random GUID.
pub(super) fn guid() -> String {
    let hex: String = random::<16>().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-4{}-8{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..])
}

/// Random base64url text of `length` (at most 200) characters.
pub(super) fn random_text(length: usize) -> String {
    let mut text = URL_SAFE_NO_PAD.encode(random::<150>());
    text.truncate(length);
    text
}

/// A user code: nine characters without vowels and without those that look alike.
pub(super) fn user_code() -> String {
    const ALPHABET: &[u8] = b"BCDFGHJKLMNPQRSTVWXYZ23456789";
    random::<9>().iter().map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()])).collect()
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).expect("the system has random numbers");
    bytes
}

fn pem(pkcs8: &[u8]) -> String {
    let text = STANDARD.encode(pkcs8);
    let lines: Vec<&str> = text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    let body = lines.join("\n");
    format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n")
}
