//! The directives after `> entra`: a small language over the knobs of [`FakeEntra`].
//!
//! ```text
//! approve alice | bob        person decline | expire | wait     pending POLLS
//! interval SECONDS           code-expires SECONDS               lifetime SECONDS
//! refresh-in SECONDS | none  refresh-tokens on | off            rotate on | off | single-use
//! clock-skew SECONDS         revoke CODE [SUBERROR]             restore
//! password USER TEXT         password-needs-mfa CLAIMS
//! realm NAME managed | unknown | federated HOST
//! resource ID                federate ISS SUB AUD               federated-after COUNT
//! inject token | devicecode | any FAULT
//! ```
//!
//! A FAULT is one of `reset`, `status N`, `json N BODY`, `throttle SECONDS`, `slow SECONDS`, `html503`,
//! `truncated`, `huge BYTES`, `not-json`, `missing FIELD`, `clock-skew SECONDS`,
//! `redirect STATUS URL` and `aad CODE ERROR [SUBERROR [CLAIMS]]`. More about certificates and assertions:
//! [`super::proof`].

use std::str::FromStr;
use std::time::Duration;

use crate::support::entra::directory::{ALICE, BOB};
use crate::support::entra::{FakeEntra, Fault, Person, Realm, Rotation};

pub fn direct(entra: &FakeEntra, words: &[&str]) -> Result<(), String> {
    match words {
        ["approve", name] => entra.approve(user(name)?),
        ["person", "decline"] => entra.person(Person::Decline),
        ["person", "expire"] => entra.person(Person::Expire),
        ["person", "wait"] => entra.person(Person::Wait),
        ["pending", polls] => entra.pending_polls(number(polls)?),
        ["interval", seconds] => entra.interval(number(seconds)?),
        ["code-expires", seconds] => entra.code_expires_in(number(seconds)?),
        ["lifetime", seconds] => entra.token_lifetime(number(seconds)?),
        ["refresh-in", "none"] => entra.refresh_in(None),
        ["refresh-in", seconds] => entra.refresh_in(Some(number(seconds)?)),
        ["refresh-tokens", on] => entra.refresh_tokens(*on == "on"),
        ["rotate", "on"] => entra.rotate(Rotation::On),
        ["rotate", "off"] => entra.rotate(Rotation::Off),
        ["rotate", "single-use"] => entra.rotate(Rotation::SingleUse),
        ["clock-skew", seconds] => entra.clock_skew(number(seconds)?),
        ["revoke", code] => entra.revoke_with(number(code)?, None, None),
        ["revoke", code, suberror] => entra.revoke_with(number(code)?, Some(suberror), None),
        ["restore"] => entra.restore_grants(),
        ["password", name, password] => entra.password(user(name)?, password),
        ["password-needs-mfa", claims] => entra.password_needs_mfa(Some(claims)),
        ["realm", name, "managed"] => entra.realm(name, Realm::Managed),
        ["realm", name, "unknown"] => entra.realm(name, Realm::Unknown),
        ["realm", name, "federated", host] => entra.realm(name, federated(host)),
        ["resource", id] => entra.resource(id),
        ["federate", issuer, subject, audience] => entra.federate(issuer, subject, audience),
        ["federated-after", count] => entra.federated_after(number(count)?),
        ["inject", "any", rest @ ..] => entra.inject(fault(rest)?),
        ["inject", endpoint, rest @ ..] => entra.inject_on(endpoint, fault(rest)?),
        _ => return Err(format!("not a directive for Entra: {}", words.join(" "))),
    };
    Ok(())
}

fn federated(host: &str) -> Realm {
    Realm::Federated {
        protocol: "WSTrust".into(),
        metadata_url: format!("https://{host}/adfs/services/trust/mex"),
        active_auth_url: format!("https://{host}/adfs/services/trust/2005/usernamemixed"),
    }
}

fn fault(words: &[&str]) -> Result<Fault, String> {
    Ok(match words {
        ["reset"] => Fault::Reset,
        ["status", status] => Fault::status(number(status)?),
        ["json", status, body] => Fault::Status {
            status: number(status)?,
            headers: vec![("Content-Type".into(), "application/json".into())],
            body: (*body).to_owned(),
        },
        ["throttle", seconds] => Fault::ThrottleThen(number(seconds)?),
        ["slow", seconds] => Fault::Slow(Duration::from_secs_f32(number(seconds)?)),
        ["html503"] => Fault::Html503,
        ["truncated"] => Fault::Truncated,
        ["huge", bytes] => Fault::Huge(number(bytes)?),
        ["not-json"] => Fault::NotJson,
        ["missing", field] => Fault::Missing((*field).to_owned()),
        ["clock-skew", seconds] => Fault::ClockSkew(number(seconds)?),
        ["redirect", status, url] => Fault::Redirect { location: (*url).to_owned(), status: number(status)? },
        ["aad", code, error] => aad(code, error, None, None)?,
        ["aad", code, error, suberror] => aad(code, error, Some(suberror), None)?,
        ["aad", code, error, suberror, claims] => aad(code, error, Some(suberror), Some(claims))?,
        _ => return Err(format!("not a fault: {}", words.join(" "))),
    })
}

fn aad(code: &str, error: &str, suberror: Option<&str>, claims: Option<&str>) -> Result<Fault, String> {
    Ok(Fault::AadError {
        code: number(code)?,
        error: error.to_owned(),
        suberror: suberror.map(String::from),
        claims: claims.map(String::from),
        description: "This was planted by the test.".to_owned(),
    })
}

pub fn user(name: &str) -> Result<&'static str, String> {
    match name {
        "alice" => Ok(ALICE),
        "bob" => Ok(BOB),
        _ => Err(format!("nobody is called {name}")),
    }
}

pub fn number<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("not a number that fits: {text}"))
}
