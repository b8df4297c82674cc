//! The fake cluster as an Arc cluster: signed requests, rule by rule.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::people::{KID, req_cnf, with};
use super::{Fakes, fakes, speak, text, tls, v2};
use crate::support::entra::directory::{ALICE, APP, APP_OID, APP_SECRET, TENANT};
use crate::support::pop::thumbprint;

const CLUSTER: &str = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Kubernetes/connectedClusters/arc";

/// A client's key.
struct Key {
    pair: RsaKeyPair,
    jwk: Value,
    kid: String,
}

impl Key {
    fn new() -> Self {
        let pkcs8 = KeyPair::generate(KeySize::Rsa2048).unwrap().as_der().unwrap();
        let pair = RsaKeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
        let public = pair.public_key();
        let e = URL_SAFE_NO_PAD.encode(public.exponent().big_endian_without_leading_zero());
        let n = URL_SAFE_NO_PAD.encode(public.modulus().big_endian_without_leading_zero());
        let kid = thumbprint(&e, &n);
        let jwk = json!({"e": e, "kty": "RSA", "n": n, "alg": "RS256", "kid": kid});
        Self { pair, jwk, kid }
    }

    /// A signed request around `access_token`, made now, after `change` of header and claims.
    fn sign(&self, access_token: &str, change: impl FnOnce(&mut Value, &mut Value)) -> String {
        self.sign_as(&RSA_PKCS1_SHA256, access_token, change)
    }

    fn sign_as(
        &self,
        padding: &'static dyn RsaEncoding,
        access_token: &str,
        change: impl FnOnce(&mut Value, &mut Value),
    ) -> String {
        let mut header = json!({"typ": "pop", "alg": "RS256", "kid": self.kid});
        let cnf = json!({"jwk": self.jwk});
        let mut claims = json!({"at": access_token, "ts": now(), "u": CLUSTER, "cnf": cnf, "nonce": "0"});
        change(&mut header, &mut claims);
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(&header), part(&claims));
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair.sign(padding, &SystemRandom::new(), message.as_bytes(), &mut signature).unwrap();
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64
}

impl Fakes {
    /// A token of the app, bound to that key.
    fn bound(&self, kid: &str) -> String {
        let cnf = req_cnf(&json!({"kid": kid}));
        let app = [("grant_type", "client_credentials"), ("client_id", APP), ("client_secret", APP_SECRET)];
        let scope = ("scope", "6dae42f8-4368-4678-94ff-3960e28e3630/.default");
        let answer = self.token(&v2(), &with(&app, &[scope, ("token_type", "pop"), ("req_cnf", &cnf)]));
        answer.json()["access_token"].as_str().unwrap().to_owned()
    }

    /// Who the cluster takes the bearer for, or why it does not.
    fn user(&self, token: &str) -> Result<String, String> {
        let api = &self.world.api;
        let stream = tls(api.addr(), "localhost", self.world.authority.client_config());
        let reply = speak(stream, &text("GET", "/version", &[&format!("Authorization: Bearer {token}")], ""));
        let user = api.requests().pop().unwrap().user;
        assert_eq!(reply.status, if user.is_ok() { 200 } else { 401 });
        user
    }
}

#[test]
fn thumbprints() {
    // RFC 7638 §3.1.
    let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCi\
             FV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb\
             9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls\
             1jF44-csFCur-kEgU8awapJzKnqDKgw";
    assert_eq!(thumbprint("AQAB", n), KID);
}

#[test]
fn an_arc_cluster_checks_signed_requests() {
    let fakes = fakes();
    let key = Key::new();
    let (token, api) = (fakes.bound(&key.kid), &fakes.world.api);
    let plain = fakes.world.entra.mint(ALICE, TENANT, "6dae42f8-4368-4678-94ff-3960e28e3630");
    assert_eq!(fakes.user(&plain).as_deref(), Ok(ALICE));
    assert_eq!(fakes.user(&token), Err("a token that is bound to a key, without the key".to_owned()));
    api.pop(CLUSTER);
    assert_eq!(fakes.user(&key.sign(&token, |_, _| {})).as_deref(), Ok(APP_OID));
    assert!(fakes.user(&plain).unwrap_err().contains("typ. Expected 'pop' having 'JWT'"));
    type Change = fn(&mut Value, &mut Value);
    let good: [Change; 5] = [
        |header, _| header["typ"] = json!("PoP"),
        |_, claims| claims["ts"] = json!(now().to_string()),
        |_, claims| claims["ts"] = json!(now() + 1_000_000),
        |_, claims| claims["u"] = json!(CLUSTER.to_uppercase()),
        |_, claims| claims["nonce"] = Value::Null,
    ];
    for change in good {
        assert_eq!(fakes.user(&key.sign(&token, change)).as_deref(), Ok(APP_OID));
    }
    let bad: [(&str, Change); 15] = [
        ("No KeyID found", |header, _| header["kid"] = json!("")),
        ("Wrong algorithm found in PoP token header, expected 'RS256' having 'PS256'", |header, _| {
            header["alg"] = json!("PS256");
        }),
        ("'typ' claim is missing", |header, _| header["typ"] = Value::Null),
        ("'typ' claim should be of string", |header, _| header["typ"] = json!(1)),
        ("Wrong typ. Expected 'pop' having 'JWT'", |header, _| header["typ"] = json!("JWT")),
        ("'ts' claim is missing", |_, claims| claims["ts"] = Value::Null),
        ("Token is expired. Now: ", |_, claims| claims["ts"] = json!("soon")),
        ("'u' claim is missing", |_, claims| claims["u"] = Value::Null),
        ("'u' claim should be of string", |_, claims| claims["u"] = json!(["x"])),
        ("due to host mismatch. Expected: \"/subscriptions/", |_, claims| claims["u"] = json!(&CLUSTER[1..])),
        ("parsing 'jwk' claim in PoP token : e", |_, claims| claims["cnf"] = Value::Null),
        ("parsing 'jwk' claim in PoP token : n", |_, claims| claims["cnf"]["jwk"]["n"] = json!("")),
        ("'at' claim is missing", |_, claims| claims["at"] = Value::Null),
        ("'cnf' claim mismatch", |_, claims| claims["cnf"]["jwk"]["e"] = json!("AQAD")),
        ("Could not parse the access token", |_, claims| claims["at"] = json!("x.y.z")),
    ];
    for (reason, change) in bad {
        let refused = fakes.user(&key.sign(&token, change)).unwrap_err();
        assert!(refused.contains(reason), "{refused}");
    }
    let order = key.sign(&token, |header, claims| (header["typ"], claims["u"]) = (json!("x"), json!("x")));
    assert!(fakes.user(&order).unwrap_err().starts_with("Wrong typ"), "the header first");
}

#[test]
fn signed_requests_age_and_belong_to_their_key() {
    let fakes = fakes();
    let (key, other) = (Key::new(), Key::new());
    let (token, api) = (fakes.bound(&key.kid), &fakes.world.api);
    api.pop(CLUSTER);
    let signed = key.sign(&token, |_, _| {});
    // Two seconds for the test itself, whose own clock goes on.
    for (ahead, good) in [(0, true), (15 * 60 - 2, true), (15 * 60 + 1, false), (-10, false), (0, true)] {
        api.clock_ahead(ahead);
        assert_eq!(fakes.user(&signed).is_ok(), good, "{ahead}");
    }
    api.pop_validity(300).clock_ahead(301);
    assert!(fakes.user(&signed).unwrap_err().starts_with("Token is expired. Now: "));
    api.clock_ahead(3601);
    let late = key.sign(&token, |_, claims| claims["ts"] = json!(now() + 3601));
    assert!(fakes.user(&late).unwrap_err().starts_with("expired at "), "the token inside has its own end");
    api.clock_ahead(0);

    assert!(fakes.user(&other.sign(&token, |_, _| {})).unwrap_err().contains("'cnf' claim mismatch"));
    let stolen = other.sign(&token, |_, claims| claims["cnf"]["jwk"] = key.jwk.clone());
    assert!(fakes.user(&stolen).unwrap_err().starts_with("RSA verify err"));
    assert!(fakes.user(&key.sign_as(&RSA_PSS_SHA256, &token, |_, _| {})).unwrap_err().starts_with("RSA verify err"));
    let forged = format!("{}.{}", signed.rsplit_once('.').unwrap().0, "AAAA");
    assert!(fakes.user(&forged).unwrap_err().starts_with("RSA verify err"));
    for (bad, length) in [("a.b", 2), ("a..c", 3), ("a.b.c.d", 4)] {
        assert_eq!(fakes.user(bad), Err(format!("PoP token invalid schema. Token length: {length}")));
    }
    assert_eq!(fakes.user("a.b.c"), Err("Could not parse PoP token: signature".to_owned()));
    let plain = fakes.world.entra.mint_app(APP, TENANT, "6dae42f8-4368-4678-94ff-3960e28e3630");
    assert!(fakes.user(&key.sign(&plain, |_, _| {})).unwrap_err().contains("'cnf' claim of the access token"));
    let (head, rest) = token.split_once('.').unwrap();
    let tampered = format!("{head}.{}.{}", rest.split_once('.').unwrap().0, "AAAA");
    assert_eq!(fakes.user(&key.sign(&tampered, |_, _| {})), Err("not signed by the trusted Entra".to_owned()));
    assert!(fakes.user(&key.sign(&token, |_, _| {})).is_ok());
    api.revoke(&token);
    assert_eq!(fakes.user(&key.sign(&token, |_, _| {})), Err("revoked".to_owned()));
}
