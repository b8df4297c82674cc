//! The directives about what an app proves itself with.
//!
//! ```text
//! assertion write PATH ISS SUB AUD [SECONDS] [forged]    assertion env NAME ISS SUB AUD [SECONDS] [forged]
//! certificate write PATH NAME [expired | chained]
//! entra certificate PATH                                 entra certificate-name NAME PATH
//! ```
//!
//! An AUD with a comma is a list. A certificate lies in a PEM file with its (RSA) key; `chained` adds
//! the CA that signed it. `entra certificate` registers the first certificate of a file;
//! `entra certificate-name` trusts that common name below the last one of a file.

use std::fs;

use super::entra::number;
use super::stage::Stage;
use crate::support::certificates::{Kind, pem_file};
use crate::support::entra::Claims;

/// Carries the directive out; `None` if it is not one of these.
pub fn direct(stage: &mut Stage, words: &[&str]) -> Option<Result<(), String>> {
    Some(match words {
        ["assertion", "write", path, claims @ ..] => {
            assertion(stage, claims).map(|assertion| stage.write(path, format!("{assertion}\n").as_bytes()))
        }
        ["assertion", "env", name, claims @ ..] => {
            assertion(stage, claims).map(|assertion| _ = stage.env.set(name, assertion))
        }
        ["certificate", "write", path, name] => certificate(stage, path, name, Kind::SelfSigned),
        ["certificate", "write", path, name, "expired"] => certificate(stage, path, name, Kind::Expired),
        ["certificate", "write", path, name, "chained"] => certificate(stage, path, name, Kind::Chained),
        ["entra", "certificate", path] => read(stage, path).map(|file| _ = stage.env.world.entra.certificate(&file)),
        ["entra", "certificate-name", name, path] => {
            read(stage, path).map(|file| _ = stage.env.world.entra.certificate_name(name, &file))
        }
        _ => return None,
    })
}

fn read(stage: &Stage, path: &str) -> Result<Vec<u8>, String> {
    fs::read(stage.env.home().join(path)).map_err(|error| format!("{path}: {error}"))
}

/// A fresh assertion of an issuer that Entra may or may not have been told of.
fn assertion(stage: &Stage, words: &[&str]) -> Result<String, String> {
    let (forged, words) = match words {
        [words @ .., "forged"] => (true, words),
        _ => (false, words),
    };
    let (issuer, subject, audience, lifetime) = match words {
        [issuer, subject, audience] => (issuer, subject, audience, 3600),
        [issuer, subject, audience, seconds] => (issuer, subject, audience, number(seconds)?),
        _ => return Err(format!("not ISS SUB AUD [SECONDS] [forged]: {}", words.join(" "))),
    };
    let claims = Claims { issuer, subject, audience, lifetime };
    let issuer = stage.env.world.entra.issuer();
    Ok(if forged { issuer.forge(&claims) } else { issuer.mint(&claims) })
}

/// The lines of the key are secrets.
fn certificate(stage: &mut Stage, path: &str, name: &str, kind: Kind) -> Result<(), String> {
    let pem = pem_file(name, kind);
    let key = pem.lines().take_while(|line| !line.starts_with("-----END"));
    let lines = key.map(str::trim).filter(|line| line.len() > 40 && !line.starts_with("-----"));
    stage.secrets.extend(lines.map(String::from));
    stage.write(path, pem.as_bytes());
    Ok(())
}
