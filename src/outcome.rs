//! How a command ends that could do its work.

use serde::Serialize;

use crate::error::{Error, ErrorKind, turns_text};
use crate::secret::Secret;

/// How a command ended that could do its work.
#[derive(Debug)]
pub struct Outcome {
    /// What stdout shall say.
    pub stdout: Secret,
    /// What the work has found to be wrong: it is told, and the exit code says so.
    pub problem: Option<Error>,
}

impl Outcome {
    /// Nothing for stdout: what there was to say went to stderr.
    pub fn silent() -> Self {
        Secret::new("").into()
    }
}

impl From<Secret> for Outcome {
    fn from(stdout: Secret) -> Self {
        Self { stdout, problem: None }
    }
}

/// A report as one object.
///
/// # Errors
/// None that is known of.
pub(crate) fn json(report: &impl Serialize) -> Result<String, Error> {
    let json = serde_json::to_string_pretty(report);
    let json = json.map_err(|error| Error::new(ErrorKind::File, format!("no report can be made: {error}")))?;
    Ok(without_steering(&json) + "\n")
}

/// JSON in which a name from a file does not steer a terminal: serde escapes what it has to only.
fn without_steering(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        if (c.is_control() && c != '\n') || turns_text(c) {
            text.extend(format!("\\u{:04x}", u32::from(c)).chars());
        } else {
            text.push(c);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_steers_no_terminal_and_means_the_same() {
        let name = "a\u{9b}2J\u{202e}\u{1b}\u{e9}";
        let json = without_steering(&serde_json::to_string(name).unwrap());
        assert_eq!(json, "\"a\\u009b2J\\u202e\\u001b\u{e9}\"");
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), name);
    }
}
