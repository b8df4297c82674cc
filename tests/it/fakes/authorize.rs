//! The fake Entra as a browser sees it, and the codes it gives out.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::people::{KID, SCOPE, claims, req_cnf, with};
use super::{Fakes, Reply, fakes, form, v2};
use crate::support::entra::BrowserPerson;
use crate::support::entra::directory::{
    AKS_CLIENT, AKS_SERVER, ALICE, ALICE_GUEST_OID, APP, BOB, GRAPH, OTHER_TENANT, TENANT,
};

const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
/// Of [`VERIFIER`]: both stand in RFC 7636, appendix B.
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const REDIRECT: &str = "http://localhost:4711";

pub type Pairs = Vec<(&'static str, &'static str)>;

pub fn question() -> Pairs {
    vec![
        ("client_id", AKS_CLIENT),
        ("response_type", "code"),
        ("redirect_uri", REDIRECT),
        ("scope", SCOPE),
        ("state", "s&t=a+t é"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
        ("client_info", "1"),
        ("nonce", "n-1"),
    ]
}

fn redemption(code: &str) -> Vec<(&str, &str)> {
    vec![
        ("grant_type", "authorization_code"),
        ("client_id", AKS_CLIENT),
        ("code", code),
        ("redirect_uri", REDIRECT),
        ("code_verifier", VERIFIER),
        ("scope", SCOPE),
        ("client_info", "1"),
    ]
}

impl Fakes {
    fn authorize(&self, tenant: &str, pairs: &[(&str, &str)]) -> Reply {
        self.entra_get(&format!("/{tenant}/oauth2/v2.0/authorize?{}", form(pairs)))
    }

    /// A code for Alice.
    fn code(&self) -> String {
        self.world.entra.approve_in_browser(ALICE);
        let reply = self.authorize(TENANT, &question());
        returned(&reply)["code"].clone()
    }

    fn last_refusal(&self) -> String {
        self.world.entra.requests().pop().unwrap().refusal.unwrap_or_default()
    }
}

fn location(reply: &Reply) -> Option<&str> {
    reply.head.lines().find_map(|line| line.strip_prefix("Location: "))
}

/// The parameters that a redirect brings back.
fn returned(reply: &Reply) -> BTreeMap<String, String> {
    let location = location(reply).unwrap_or_else(|| panic!("{}\n{}", reply.head, reply.body));
    let query = location.strip_prefix("http://localhost:4711/?").unwrap_or_else(|| panic!("{location}"));
    form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}

#[test]
fn a_code_is_redeemed_once() {
    let fakes = fakes();
    assert_eq!(URL_SAFE_NO_PAD.encode(digest(&SHA256, VERIFIER.as_bytes())), CHALLENGE);
    fakes.world.entra.approve_in_browser(ALICE);
    let back = returned(&fakes.authorize(TENANT, &question()));
    assert_eq!(back["state"], "s&t=a+t é");
    assert_eq!(back.keys().collect::<Vec<_>>(), ["client_info", "code", "session_state", "state"]);
    let answer = fakes.token(&v2(), &redemption(&back["code"]));
    let json = answer.json();
    assert!(json["refresh_token"].is_string() && json["client_info"].is_string(), "{json}");
    assert_eq!((&json["client_info"], &json["token_type"]), (&json!(back["client_info"]), &json!("Bearer")));
    assert_eq!(claims(&fakes, &answer, "access_token")["upn"], ALICE);
    assert_eq!(claims(&fakes, &answer, "id_token")["nonce"], "n-1");
    assert_eq!(fakes.token(&v2(), &redemption(&back["code"])).code(), 54_005);
    assert_eq!(fakes.world.entra.requests()[0].query_param("state").as_deref(), Some("s&t=a+t é"));
}

#[test]
fn a_code_is_bound_to_everything() {
    let fakes = fakes();
    fakes.world.entra.app("second", true, &[]);
    let (code, cnf) = (fakes.code(), req_cnf(&json!({"kid": KID})));
    let all = redemption(&code);
    let long = "a".repeat(129);
    for (expected, more) in [
        (501_481, ("code_verifier", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXj")),
        (501_481, ("code_verifier", "short")),
        (501_481, ("code_verifier", &long)),
        (501_481, ("code_verifier", "dBjftJeZ4CVP+mB92K27uhbUJU1p1r/wW1gFWFOEjXk")),
        (501_481, ("code_verifier", "")),
        (50_011, ("redirect_uri", "http://localhost:4712")),
        (50_011, ("redirect_uri", "http://localhost:4711/")),
        (900_144, ("redirect_uri", "")),
        (900_144, ("code", "")),
        (70_000, ("code", "1.unknown")),
        (70_000, ("client_id", "second")),
        (70_000, ("scope", "https://graph.microsoft.com/.default")),
        (700_025, ("client_secret", "x")),
        (900_144, ("token_type", "pop")),
    ] {
        assert_eq!(fakes.token(&v2(), &with(&all, &[more])).code(), expected, "{more:?}");
    }
    let elsewhere = fakes.token(&format!("/{OTHER_TENANT}/oauth2/v2.0/token"), &all);
    assert_eq!(elsewhere.code(), 700_005);
    let bound = fakes.token(&v2(), &with(&all, &[("token_type", "pop"), ("req_cnf", &cnf)]));
    assert_eq!(claims(&fakes, &bound, "access_token")["cnf"]["kid"], KID, "none of these used the code up");
    let late = fakes.code();
    fakes.world.entra.clock_skew(601);
    assert_eq!(fakes.token(&v2(), &redemption(&late)).code(), 70_008);
}

#[test]
fn without_a_known_address_nothing_is_sent_back() {
    let fakes = fakes();
    fakes.world.entra.approve_in_browser(ALICE).app("mine", true, &[]).redirect_uri("mine", "http://localhost/path");
    for (code, more) in [
        (50_011, vec![("redirect_uri", "http://localhost:4711/")]),
        (50_011, vec![("redirect_uri", "http://localhost:4711/path")]),
        (50_011, vec![("redirect_uri", "http://localhost:0")]),
        (50_011, vec![("redirect_uri", "http://localhost:65536")]),
        (50_011, vec![("redirect_uri", "http://localhost.example.test")]),
        (50_011, vec![("redirect_uri", "http://127.0.0.1:4711")]),
        (50_011, vec![("redirect_uri", "https://localhost:4711")]),
        (50_011, vec![("client_id", APP)]),
        (50_011, vec![("client_id", "mine"), ("redirect_uri", "http://localhost:4711/Path")]),
        (900_144, vec![("redirect_uri", "")]),
        (900_144, vec![("client_id", "")]),
        (700_016, vec![("client_id", "unknown")]),
    ] {
        let reply = fakes.authorize(TENANT, &with(&question(), &more));
        assert_eq!((reply.status, location(&reply)), (400, None), "{more:?}");
        assert!(fakes.last_refusal().starts_with(&format!("AADSTS{code}: ")), "{more:?}: {}", fakes.last_refusal());
        assert!(reply.body.contains(&format!("<p id=\"error\">AADSTS{code}: ")), "{}", reply.body);
    }
    assert_eq!(fakes.authorize("nowhere.example.test", &question()).status, 400);
    assert!(fakes.last_refusal().starts_with("AADSTS90002: "));
    let registered = with(&question(), &[("client_id", "mine"), ("redirect_uri", "http://localhost:4711/path")]);
    let reply = fakes.authorize(TENANT, &registered);
    assert!(location(&reply).unwrap().starts_with("http://localhost:4711/path?code="));
    fakes.world.entra.approve_in_browser(BOB);
    let reply = fakes.authorize(OTHER_TENANT, &question());
    assert_eq!((reply.status, location(&reply)), (400, None), "Bob is told, the program is not");
    assert!(fakes.last_refusal().starts_with("AADSTS50020: "));
    assert_eq!(fakes.world.entra.no_redirect_uri("mine").traffic().len(), 15);
    assert!(location(&fakes.authorize(TENANT, &registered)).is_none());
}

#[test]
fn what_is_wrong_with_a_question_is_sent_back() {
    let fakes = fakes();
    fakes.world.entra.approve_in_browser(ALICE);
    for (code, error, more) in [
        (900_144, "invalid_request", ("response_type", "")),
        (9_002_313, "invalid_request", ("response_type", "token")),
        (9_002_313, "invalid_request", ("response_mode", "fragment")),
        (900_144, "invalid_request", ("code_challenge", "")),
        (900_144, "invalid_request", ("code_challenge_method", "")),
        (9_002_313, "invalid_request", ("code_challenge_method", "plain")),
        (501_491, "invalid_request", ("code_challenge", "short")),
        (9_002_313, "invalid_request", ("prompt", "please")),
        (9_002_313, "invalid_request", ("claims", "{")),
        (9_002_313, "invalid_request", ("claims", "[]")),
        (9_002_313, "invalid_request", ("client_info", "2")),
        (9_002_313, "invalid_request", ("req_cnf", "x")),
        (9_002_313, "invalid_request", ("token_type", "pop")),
        (9_002_313, "invalid_request", ("api-version", "1.0")),
        (901_002, "invalid_request", ("resource", AKS_SERVER)),
        (900_144, "invalid_request", ("scope", "")),
        (500_011, "invalid_resource", ("scope", "elsewhere/.default")),
    ] {
        let back = returned(&fakes.authorize(TENANT, &with(&question(), &[more])));
        assert_eq!((back["error"].as_str(), back["state"].as_str()), (error, "s&t=a+t é"), "{more:?}");
        assert!(back["error_description"].starts_with(&format!("AADSTS{code}: ")), "{more:?} {back:?}");
        assert!(fakes.last_refusal().starts_with(&format!("AADSTS{code}: ")), "{}", fakes.last_refusal());
    }
    let back = returned(&fakes.authorize(TENANT, &with(&question(), &[("state", "")])));
    assert_eq!((back["error"].as_str(), back.get("state")), ("invalid_request", None));
    for more in [("claims", "{\"access_token\":{}}"), ("prompt", "select_account"), ("domain_hint", "contoso.test")] {
        assert!(returned(&fakes.authorize(TENANT, &with(&question(), &[more]))).contains_key("code"), "{more:?}");
    }
}

#[test]
fn the_person_decides() {
    let fakes = fakes();
    let entra = &fakes.world.entra;
    let ask = |more: &[(&'static str, &'static str)]| fakes.authorize(TENANT, &with(&question(), more));
    assert_eq!(returned(&ask(&[("prompt", "none")]))["error"], "login_required");
    let page = ask(&[("login_hint", "BOB@contoso.onmicrosoft.com")]);
    assert_eq!((page.status, location(&page)), (200, None));
    let links: Vec<&str> = page.body.lines().filter(|line| line.contains("id=\"account-")).collect();
    assert_eq!(links.len(), 2, "{}", page.body);
    assert!(links[0].contains(&format!("id=\"account-{BOB}\"")) && links[0].contains("class=\"selected\""));
    assert!(!links[1].contains("selected"));

    let target = links[1].split("href=\"").nth(1).unwrap().split('"').next().unwrap().replace("&amp;", "&");
    let back = returned(&fakes.entra_get(&target));
    let answer = fakes.token(&v2(), &redemption(&back["code"]));
    assert_eq!(claims(&fakes, &answer, "access_token")["upn"], ALICE);
    assert_eq!(fakes.entra_get(&target).status, 400, "a page is good for one click");

    entra.browser_person(BrowserPerson::Decline);
    let back = returned(&ask(&[]));
    assert_eq!((back["error"].as_str(), back["error_subcode"].as_str()), ("access_denied", "cancel"));
    assert_eq!(back["state"], "s&t=a+t é");
    let description = "Access has been <blocked> by \"Conditional Access\".".to_owned();
    entra.browser_person(BrowserPerson::Refuse { error: "access_denied".to_owned(), code: 53_003, description });
    let page = ask(&[("response_mode", "form_post")]);
    assert_eq!((page.status, location(&page)), (200, None));
    assert!(page.body.contains("action=\"http://localhost:4711\""), "{}", page.body);
    assert!(page.body.contains("AADSTS53003: Access has been &lt;blocked&gt; by &quot;"), "{}", page.body);
    assert!(fakes.last_refusal().starts_with("AADSTS53003: "));
}

#[test]
fn older_generations_and_other_tenants() {
    let fakes = fakes();
    fakes.world.entra.approve_in_browser(ALICE);
    let v1 = with(&question(), &[("scope", "openid"), ("resource", AKS_SERVER)]);
    let redeem_v1 = |path: &str, code: &str| {
        let grant = with(&redemption(""), &[("scope", ""), ("resource", AKS_SERVER), ("code", "")]);
        fakes.token(path, &grant.into_iter().chain([("code", code)]).collect::<Vec<_>>())
    };
    let v1_token = format!("/{TENANT}/oauth2/token");
    let code = |path: &str| returned(&fakes.entra_get(&format!("{path}?{}", form(&v1))))["code"].clone();
    let first = code(&format!("/{TENANT}/oauth2/authorize"));
    assert_eq!(redeem_v1(&v2(), &first).code(), 700_005, "a code of v1 is none of v2");
    let legacy = redeem_v1(&format!("{v1_token}?api-version=1.0"), &first);
    assert_eq!(claims(&fakes, &legacy, "access_token")["aud"], format!("spn:{AKS_SERVER}"));
    assert_eq!(legacy.json()["expires_in"], "3600");
    let second = fakes.code();
    assert_eq!(redeem_v1(&v1_token, &second).code(), 700_005);

    let back = returned(&fakes.entra_get(&format!("/adfs/oauth2/authorize/?{}", form(&v1))));
    assert_eq!(back.keys().collect::<Vec<_>>(), ["code", "state"]);
    let adfs = redeem_v1("/adfs/oauth2/token", &back["code"]);
    let issuer = claims(&fakes, &adfs, "access_token")["iss"].clone();
    assert_eq!(issuer, "https://localhost/adfs");

    for (tenant, oid) in [("organizations", None), (OTHER_TENANT, Some(ALICE_GUEST_OID))] {
        let back = returned(&fakes.authorize(tenant, &question()));
        let answer = fakes.token(&format!("/{tenant}/oauth2/v2.0/token"), &redemption(&back["code"]));
        let token = claims(&fakes, &answer, "access_token");
        assert_eq!(token["oid"].as_str(), oid.or(token["oid"].as_str()));
        assert_eq!(token["tid"], if oid.is_some() { OTHER_TENANT } else { TENANT });
    }
    let openid = with(&question(), &[("scope", "openid")]);
    let back = returned(&fakes.authorize(TENANT, &openid));
    let answer = fakes.token(&v2(), &with(&redemption(&back["code"]), &[("scope", "openid")]));
    assert_eq!(
        (&answer.json()["refresh_token"], &claims(&fakes, &answer, "access_token")["aud"]),
        (&Value::Null, &json!(GRAPH))
    );
    let more = fakes.token(&v2(), &redemption(&returned(&fakes.authorize(TENANT, &openid))["code"]));
    assert_eq!(more.code(), 70_000, "more than the person was asked for");
}
