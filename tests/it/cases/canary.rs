//! No secret in any output, at any verbosity.

use super::transcript::{Played, Ran};
use crate::support::entra::directory::{APP_EXPIRED_SECRET, APP_SECRET};

/// Compares the two runs of a case and looks for secrets in both.
pub fn check(plain: &Played, loud: &Played) -> Result<(), String> {
    for (quiet, loud) in plain.runs.iter().zip(&loud.runs) {
        if quiet.run.code != loud.run.code {
            let (one, other) = (quiet.run.code, loud.run.code);
            return Err(format!("{}: exit {one}, but {other} at -v 10\n{}", quiet.command, loud.run.stderr));
        }
        if quiet.shown != loud.shown {
            return Err(format!("{}: another stdout at -v 10\n{}", quiet.command, loud.shown));
        }
    }
    leaks(plain)?;
    leaks(loud)
}

fn leaks(played: &Played) -> Result<(), String> {
    let tokens: Vec<String> = played.runs.iter().filter_map(token).collect();
    let fixed = [APP_SECRET, APP_EXPIRED_SECRET].map(String::from);
    let secrets = fixed.iter().chain(&played.secrets).chain(&tokens).filter(|secret| !secret.is_empty());
    let secrets: Vec<String> = secrets.flat_map(|secret| [secret.clone(), encoded(secret)]).collect();
    for ran in &played.runs {
        let stdout = token(ran).map_or_else(|| ran.run.stdout.clone(), |token| ran.run.stdout.replacen(&token, "", 1));
        for (name, output) in [("stdout", &stdout), ("stderr", &ran.run.stderr)] {
            if let Some(secret) = secrets.iter().find(|secret| output.contains(secret.as_str())) {
                return Err(format!("{}: {name} shows the secret {secret}\n{output}", ran.command));
            }
        }
    }
    Ok(())
}

/// The token of an ExecCredential.
fn token(ran: &Ran) -> Option<String> {
    let json: serde_json::Value = serde_json::from_str(&ran.run.stdout).ok()?;
    Some(json["status"]["token"].as_str()?.to_owned())
}

fn encoded(secret: &str) -> String {
    form_urlencoded::byte_serialize(secret.as_bytes()).collect()
}
