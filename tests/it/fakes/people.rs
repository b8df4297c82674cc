//! Grants of people, and tokens that are bound to a key, at the fake Entra.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::{Fakes, Reply, fakes, v2};
use crate::support::entra::directory::{
    AKS_CLIENT, AKS_SERVER, ALICE, ALICE_GUEST_OID, APP, APP_SECRET, ARM, BOB, OTHER_TENANT, TENANT,
};
use crate::support::entra::{Realm, Rotation};

pub const SCOPE: &str = "6dae42f8-4368-4678-94ff-3960e28e3630/.default openid offline_access profile";
/// The thumbprint of RFC 7638 §3.1.
pub const KID: &str = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs";

/// `more` replaces what is there by that name; an empty value takes it away.
pub fn with<'a>(pairs: &[(&'a str, &'a str)], more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut all = pairs.to_vec();
    all.retain(|(name, _)| more.iter().all(|(new, _)| new != name));
    all.extend(more.iter().filter(|(_, value)| !value.is_empty()));
    all
}

/// The claims of the token in an answer.
pub fn claims(fakes: &Fakes, reply: &Reply, name: &str) -> Value {
    let token = reply.json()[name].as_str().unwrap_or_else(|| panic!("{}", reply.body)).to_owned();
    fakes.world.entra.claims(&token).unwrap()
}

fn password_grant() -> Vec<(&'static str, &'static str)> {
    vec![
        ("grant_type", "password"),
        ("client_id", AKS_CLIENT),
        ("username", ALICE),
        ("password", "pa&ss wörd+"),
        ("scope", SCOPE),
        ("client_info", "1"),
    ]
}

pub fn req_cnf(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

#[test]
fn passwords() {
    let fakes = fakes();
    let (entra, all) = (&fakes.world.entra, password_grant());
    assert_eq!(fakes.token(&v2(), &all).code(), 50_126, "nobody has a password at first");
    entra.password(ALICE, "pa&ss wörd+").password(BOB, "b");
    let answer = fakes.token(&v2(), &all);
    assert_eq!(claims(&fakes, &answer, "access_token")["upn"], ALICE);
    assert_eq!(claims(&fakes, &answer, "id_token")["preferred_username"], ALICE);
    assert!(answer.json()["refresh_token"].is_string() && answer.json()["client_info"].is_string());
    let answer = |path: &str, more: &[(&'static str, &'static str)]| fakes.token(path, &with(&all, more));
    for (code, more) in [
        (50_126, ("password", "pa&ss wörd")),
        (50_034, ("username", "carol@contoso.onmicrosoft.com")),
        (900_144, ("username", "")),
        (900_144, ("password", "")),
        (900_144, ("scope", "")),
        (700_016, ("client_id", "elsewhere")),
        (700_025, ("client_secret", "x")),
        (901_002, ("resource", AKS_SERVER)),
        (9_002_313, ("redirect_uri", "http://localhost")),
    ] {
        assert_eq!(answer(&v2(), &[more]).code(), code, "{more:?}");
    }
    assert_eq!(answer(&v2(), &[("username", "ALICE@Contoso.onmicrosoft.com")]).status, 200);
    assert_eq!(answer("/common/oauth2/v2.0/token", &[]).code(), 9_001_023);
    assert_eq!(answer("/consumers/oauth2/v2.0/token", &[]).code(), 9_001_023);
    assert_eq!(answer("/organizations/oauth2/v2.0/token", &[]).status, 200);
    let elsewhere = format!("/{OTHER_TENANT}/oauth2/v2.0/token");
    assert_eq!(answer(&elsewhere, &[]).code(), 50_034, "a guest's password is not known there");
    let v1 = format!("/{TENANT}/oauth2/token");
    let legacy = [("scope", ""), ("resource", AKS_SERVER)];
    assert_eq!(answer(&v1, &legacy).json()["expires_in"], "3600");
    let spn = claims(&fakes, &answer(&format!("{v1}?api-version=1.0"), &legacy), "access_token");
    assert_eq!(spn["aud"], format!("spn:{AKS_SERVER}"));
    let app = [("client_id", APP), ("client_secret", APP_SECRET)];
    assert_eq!(answer(&v2(), &app).status, 200, "a confidential app may ask too, with its secret");

    entra.password_needs_mfa(Some("{\"access_token\":{}}"));
    let refused = answer(&v2(), &[]).json();
    assert_eq!((&refused["error"], &refused["error_codes"][0]), (&json!("invalid_grant"), &json!(50_076)));
    assert_eq!((&refused["suberror"], &refused["claims"]), (&json!("basic_action"), &json!("{\"access_token\":{}}")));
    assert_eq!(answer(&v2(), &[("password", "wrong")]).code(), 50_126, "the password first");
}

#[test]
fn realms() {
    let fakes = fakes();
    let ask = |path: &str| fakes.entra_get(path);
    let managed = ask(&format!("/common/UserRealm/{ALICE}?api-version=1.0")).json();
    assert_eq!(
        (&managed["account_type"], &managed["domain_name"]),
        (&json!("Managed"), &json!("contoso.onmicrosoft.com"))
    );
    assert_eq!(managed["cloud_audience_urn"], "urn:federation:MicrosoftOnline");
    let unknown = ask("/common/userrealm/who%2Bever%40example.test?api-version=1.0").json();
    assert_eq!((&unknown["account_type"], &unknown["domain_name"]), (&json!("Unknown"), &Value::Null));
    let federated = Realm::Federated {
        protocol: "WSTrust".to_owned(),
        metadata_url: "https://adfs.example.test/mex".to_owned(),
        active_auth_url: "https://adfs.example.test/trust".to_owned(),
    };
    fakes.world.entra.realm("who+ever@example.test", federated.clone()).realm(ALICE, federated);
    let answer = ask("/Common/USERREALM/who%2bever@example.test?api-version=1.0").json();
    assert_eq!((&answer["account_type"], &answer["federation_protocol"]), (&json!("Federated"), &json!("WSTrust")));
    assert_eq!(answer["federation_metadata_url"], "https://adfs.example.test/mex");
    assert_eq!(answer["federation_active_auth_url"], "https://adfs.example.test/trust");
    fakes.world.entra.password(ALICE, "pa&ss wörd+");
    assert_eq!(fakes.token(&v2(), &password_grant()).code(), 50_126, "Entra has no password of hers now");
    for bad in ["a@b", "a@b?api-version=2.0", "nobody?api-version=1.0", "a%zz@b?api-version=1.0"] {
        assert_eq!(ask(&format!("/common/UserRealm/{bad}")).code(), 9_002_313, "{bad}");
    }
    assert_eq!(ask("/organizations/UserRealm/a@b?api-version=1.0").status, 404);
}

#[test]
fn tokens_bound_to_a_key() {
    let fakes = fakes();
    fakes.world.entra.password(ALICE, "pa&ss wörd+");
    let app = [("grant_type", "client_credentials"), ("client_id", APP), ("client_secret", APP_SECRET)];
    let app = with(&app, &[("scope", "6dae42f8-4368-4678-94ff-3960e28e3630/.default")]);
    let (named, stored) = (req_cnf(&json!({"kid": KID})), req_cnf(&json!({"kid": KID, "xms_ksl": "sw"})));
    for grant in [app.clone(), password_grant()] {
        let plain = fakes.token(&v2(), &grant);
        assert_eq!(claims(&fakes, &plain, "access_token")["cnf"], Value::Null);
        for cnf in [&named, &stored] {
            let bound = fakes.token(&v2(), &with(&grant, &[("token_type", "pop"), ("req_cnf", cnf)]));
            assert_eq!(bound.json()["token_type"], "pop");
            assert_eq!(claims(&fakes, &bound, "access_token")["cnf"]["kid"], KID);
        }
    }
    let refresh = fakes.token(&v2(), &password_grant()).json()["refresh_token"].as_str().unwrap().to_owned();
    let grant = [("grant_type", "refresh_token"), ("client_id", AKS_CLIENT), ("refresh_token", &refresh)];
    let bound = fakes.token(&v2(), &with(&grant, &[("scope", SCOPE), ("token_type", "pop"), ("req_cnf", &stored)]));
    assert_eq!(claims(&fakes, &bound, "access_token")["cnf"]["kid"], KID, "a refresh token is not bound itself");

    let asked =
        fakes.token(&format!("/{TENANT}/oauth2/v2.0/devicecode"), &[("client_id", AKS_CLIENT), ("scope", SCOPE)]);
    let device_code = asked.json()["device_code"].as_str().unwrap().to_owned();
    fakes.world.entra.approve(BOB);
    let kind = "urn:ietf:params:oauth:grant-type:device_code";
    let poll = [("grant_type", kind), ("client_id", AKS_CLIENT), ("device_code", &device_code), ("token_type", "pop")];
    assert_eq!(fakes.token(&v2(), &poll).code(), 900_144, "half of it, and the code is still good");
    let bound = fakes.token(&v2(), &with(&poll, &[("req_cnf", &named)]));
    assert_eq!(claims(&fakes, &bound, "access_token")["cnf"]["kid"], KID);

    let padded = format!("{named}=");
    for (code, more) in [
        (900_144, [("token_type", "pop"), ("req_cnf", "")]),
        (900_144, [("token_type", ""), ("req_cnf", &named)]),
        (9_002_313, [("token_type", "PoP"), ("req_cnf", &named)]),
        (9_002_313, [("token_type", "pop"), ("req_cnf", &padded)]),
        (9_002_313, [("token_type", "pop"), ("req_cnf", &req_cnf(&json!({"kid": "short"})))]),
        (9_002_313, [("token_type", "pop"), ("req_cnf", &req_cnf(&json!({"kid": KID, "jwk": {}})))]),
        (9_002_313, [("token_type", "pop"), ("req_cnf", &req_cnf(&json!({"xms_ksl": "sw"})))]),
        (9_002_313, [("token_type", "pop"), ("req_cnf", &req_cnf(&json!(KID)))]),
    ] {
        assert_eq!(fakes.token(&v2(), &with(&app, &more)).code(), code, "{more:?}");
    }
    let v1 = with(&app, &[("scope", ""), ("resource", AKS_SERVER), ("token_type", "pop"), ("req_cnf", &named)]);
    assert_eq!(fakes.token(&format!("/{TENANT}/oauth2/token"), &v1).code(), 9_002_313);
    let code = [("client_id", AKS_CLIENT), ("scope", SCOPE), ("token_type", "pop"), ("req_cnf", &named)];
    assert_eq!(fakes.token(&format!("/{TENANT}/oauth2/v2.0/devicecode"), &code).code(), 9_002_313);
}

#[test]
fn refresh_tokens_serve_other_tenants_and_resources() {
    let fakes = fakes();
    fakes.world.entra.password(ALICE, "a").password(BOB, "b").rotate(Rotation::Off).app("second", true, &[]);
    let sign_in = |user, password| {
        let grant = with(&password_grant(), &[("username", user), ("password", password)]);
        fakes.token(&v2(), &grant).json()["refresh_token"].as_str().unwrap().to_owned()
    };
    let (alice, bob) = (sign_in(ALICE, "a"), sign_in(BOB, "b"));
    let refresh = |path: &str, token: &str, more: &[(&'static str, &'static str)]| {
        let grant = [("grant_type", "refresh_token"), ("client_id", AKS_CLIENT), ("scope", SCOPE)];
        let grant = with(&grant, more).into_iter().chain([("refresh_token", token)]).collect::<Vec<_>>();
        fakes.token(path, &grant)
    };
    let other = format!("/{OTHER_TENANT}/oauth2/v2.0/token");
    let there = claims(&fakes, &refresh(&other, &alice, &[]), "access_token");
    assert_eq!((&there["tid"], &there["oid"]), (&json!(OTHER_TENANT), &json!(ALICE_GUEST_OID)));
    let arm = [("scope", "https://management.core.windows.net//.default")];
    assert_eq!(claims(&fakes, &refresh(&v2(), &alice, &arm), "access_token")["aud"], ARM);
    let v1 = [("scope", ""), ("resource", AKS_SERVER)];
    let legacy = refresh(&format!("/{OTHER_TENANT}/oauth2/token?api-version=1.0"), &alice, &v1);
    assert_eq!(claims(&fakes, &legacy, "access_token")["aud"], format!("spn:{AKS_SERVER}"));
    assert_eq!(legacy.json()["refresh_token"], alice.as_str());
    assert_eq!(refresh(&other, &bob, &[]).code(), 50_020);
    assert_eq!(refresh(&v2(), &bob, &[("client_id", "second")]).json()["suberror"], "client_mismatch");
    assert_eq!(refresh(&v2(), &bob, &[("scope", "elsewhere/.default")]).code(), 500_011);
    assert_eq!(refresh(&v2(), "1.unknown", &[]).json()["suberror"], "bad_token");
}
