//! The directives after `> hosts`: a small language over the knobs of [`FakeHosts`].
//!
//! ```text
//! HOST FAULT                 the next request meets it      HOST status N [N…]   the next requests do
//! HOST always FAULT | none   every request does             HOST lifetime SECONDS
//! HOST times text | number | date | date12                  HOST assertions ISS SUB [AUD]
//! identities [system] [user] [twin] | none                  imds nmi
//! arc challenge CHALLENGE    arc selects on | off           cloud-shell user alice | bob
//! token-url key NAME | none
//! ```
//!
//! A HOST is one of `imds`, `app-service`, `azure-ml`, `service-fabric`, `arc`, `cloud-shell`, `github`,
//! `pipelines` and `token-url`.
//!
//! A FAULT is one of `status N`, `throttle SECONDS`, `status N after SECONDS`, `answer STATUS BODY`,
//! `html`, `unreachable`, `not-json`, `huge BYTES`, `reset`, `truncated`, `slow SECONDS`,
//! `missing FIELD`, `field NAME JSON` and `redirect STATUS URL`.
//!
//! A CHALLENGE is one of `good`, `no-header`, `no-realm`, `bearer`, `dot-dot`, `extension`, `too-big`,
//! `symlink`, `directory`, `outside`, `below`, `missing`, `empty`, `skipped` and `path PATH`.

use std::time::Duration;

use super::entra::{number, user};
use crate::support::hosts::identity::{Identity, SYSTEM, TWIN, USER};
use crate::support::hosts::{Challenge, FakeHosts, Fault, Host, Times};

pub fn direct(hosts: &FakeHosts, words: &[&str]) -> Result<(), String> {
    match words {
        ["identities", names @ ..] => _ = hosts.identities(&identities(names)?),
        ["imds", "nmi"] => _ = hosts.nmi(true),
        ["arc", "challenge", rest @ ..] => _ = hosts.arc_challenge(challenge(rest)?),
        ["arc", "selects", on] => _ = hosts.arc_selects(*on == "on"),
        ["cloud-shell", "user", name] => _ = hosts.cloud_shell_user(user(name)?),
        ["token-url", "key", "none"] => _ = hosts.token_url_key(None),
        ["token-url", "key", name] => _ = hosts.token_url_key(Some(name)),
        [name, rest @ ..] => return of_host(hosts, host(name)?, rest),
        [] => return Err("which host?".to_owned()),
    }
    Ok(())
}

fn of_host(hosts: &FakeHosts, host: Host, words: &[&str]) -> Result<(), String> {
    match words {
        ["lifetime", seconds] => _ = hosts.lifetime(host, number(seconds)?),
        ["times", times] => _ = hosts.times(host, self::times(times)?),
        ["assertions", issuer, subject] => _ = hosts.assertions(host, issuer, subject, None),
        ["assertions", issuer, subject, audience] => _ = hosts.assertions(host, issuer, subject, Some(audience)),
        ["always", "none"] => _ = hosts.always(host, None),
        ["always", rest @ ..] => _ = hosts.always(host, Some(fault(rest)?)),
        ["status", several @ ..] if several.iter().all(|status| status.parse::<u16>().is_ok()) => {
            for status in several {
                hosts.inject(host, Fault::Status(number(status)?));
            }
        }
        _ => _ = hosts.inject(host, fault(words)?),
    }
    Ok(())
}

fn host(name: &str) -> Result<Host, String> {
    let known = Host::NAMES.into_iter().find(|(_, known)| *known == name);
    known.map(|(host, _)| host).ok_or_else(|| format!("not a host: {name}"))
}

fn identities(names: &[&str]) -> Result<Vec<&'static Identity>, String> {
    let names = names.iter().filter(|name| **name != "none");
    let identity = |name: &&str| match *name {
        "system" => Ok(&SYSTEM),
        "user" => Ok(&USER),
        "twin" => Ok(&TWIN),
        _ => Err(format!("no identity is called {name}")),
    };
    names.map(identity).collect()
}

fn times(name: &str) -> Result<Times, String> {
    Ok(match name {
        "text" => Times::Text,
        "number" => Times::Number,
        "date" => Times::Date,
        "date12" => Times::Date12,
        _ => return Err(format!("times are not written as {name}")),
    })
}

fn challenge(words: &[&str]) -> Result<Challenge, String> {
    Ok(match words {
        ["good"] => Challenge::Good,
        ["no-header"] => Challenge::NoHeader,
        ["no-realm"] => Challenge::NoRealm,
        ["bearer"] => Challenge::Bearer,
        ["dot-dot"] => Challenge::DotDot,
        ["extension"] => Challenge::Extension,
        ["too-big"] => Challenge::TooBig,
        ["symlink"] => Challenge::Symlink,
        ["directory"] => Challenge::Directory,
        ["outside"] => Challenge::Outside,
        ["below"] => Challenge::Below,
        ["missing"] => Challenge::Missing,
        ["empty"] => Challenge::Empty,
        ["skipped"] => Challenge::Skipped,
        ["path", path] => Challenge::Path((*path).to_owned()),
        _ => return Err(format!("not a challenge: {}", words.join(" "))),
    })
}

fn fault(words: &[&str]) -> Result<Fault, String> {
    Ok(match words {
        ["status", status] => Fault::Status(number(status)?),
        ["status", status, "after", seconds] => Fault::StatusAfter(number(status)?, number(seconds)?),
        ["throttle", seconds] => Fault::StatusAfter(429, number(seconds)?),
        ["answer", status, body] => Fault::Answer(number(status)?, (*body).to_owned()),
        ["html"] => Fault::Html,
        ["unreachable"] => Fault::Unreachable,
        ["not-json"] => Fault::NotJson,
        ["huge", bytes] => Fault::Huge(number(bytes)?),
        ["reset"] => Fault::Reset,
        ["truncated"] => Fault::Truncated,
        ["slow", seconds] => Fault::Slow(Duration::from_secs_f32(number(seconds)?)),
        ["missing", field] => Fault::Missing((*field).to_owned()),
        ["field", name, json] => {
            Fault::Field((*name).to_owned(), serde_json::from_str(json).map_err(|error| format!("{json}: {error}"))?)
        }
        ["redirect", status, url] => Fault::Redirect(number(status)?, (*url).to_owned()),
        _ => return Err(format!("not a fault: {}", words.join(" "))),
    })
}
