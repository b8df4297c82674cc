//! The source of federated tokens that somebody has named.

use url::Url;

use crate::net::trust::{local_or_https, without_password};

/// Where the federated tokens of a workload come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FederatedTokenSource {
    /// The file of `--federated-token-file`.
    File,
    /// GitHub Actions.
    GitHub,
    /// The service connection of an Azure Pipelines job.
    AzurePipelines,
    /// This variable.
    Variable(String),
    /// A GET of this address: https, or plain http on this machine.
    Url(Url),
    /// What this program prints. The text is kept as it was given: it is what a user allows.
    Command {
        /// The text after `command:`.
        text: String,
        /// Program and arguments.
        words: Vec<String>,
    },
}

impl FederatedTokenSource {
    /// `file`, `github`, `azure-pipelines`, `env:NAME`, `url:URL`, or `command:` with either words
    /// between blanks or a JSON list of texts.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        match text.split_once(':').map_or((text, ""), |(kind, rest)| (kind, rest.trim())) {
            ("file", "") => Ok(Self::File),
            ("github", "") => Ok(Self::GitHub),
            ("azure-pipelines", "") => Ok(Self::AzurePipelines),
            ("env", name) if !name.is_empty() && !name.contains(['=', ' ']) => Ok(Self::Variable(name.to_owned())),
            ("url", url) => local_or_https(url)
                .map(Self::Url)
                .map_err(|why| format!("the address for federated tokens cannot be used: {why}")),
            ("command", command) => words(command).map(|words| Self::Command { text: command.to_owned(), words }),
            _ => Err("the federated token source is not one of file, github, azure-pipelines, env:NAME, url:URL and command:PROGRAM ARGUMENTS".into()),
        }
    }
}

/// `text` of a source for people: an address without user, password and query, which may hold keys.
pub(crate) fn without_keys(text: &str) -> String {
    let Some(address) = text.strip_prefix("url:") else { return text.to_owned() };
    let address = without_password(address);
    match address.split_once(['?', '#']) {
        Some((address, _)) => format!("url:{address}?***"),
        None => format!("url:{address}"),
    }
}

fn words(command: &str) -> Result<Vec<String>, String> {
    let words: Vec<String> = if command.starts_with('[') {
        serde_json::from_str(command).map_err(|_| "the command is not a JSON list of texts".to_owned())?
    } else {
        command.split_whitespace().map(String::from).collect()
    };
    if words.first().is_none_or(String::is_empty) {
        return Err("the command names no program".into());
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_sources() {
        let words = |text| match FederatedTokenSource::parse(text) {
            Ok(FederatedTokenSource::Command { words, .. }) => words,
            other => panic!("{other:?}"),
        };
        assert_eq!(words("command:gcloud  print  token"), ["gcloud", "print", "token"]);
        assert_eq!(words(r#"command:["a b", "c"]"#), ["a b", "c"]);
        for (text, shown) in [
            ("url:https://x.example/t?key=canary", "url:https://x.example/t?***"),
            ("url:https://x.example/t#canary", "url:https://x.example/t?***"),
            ("url:https://canary:canary?canary@x.example/", "url:https://***@x.example/"),
            ("url:https://x.example/t", "url:https://x.example/t"),
            ("command:a b?c", "command:a b?c"),
        ] {
            assert_eq!(without_keys(text), shown);
        }
        assert_eq!(FederatedTokenSource::parse("env:JWT"), Ok(FederatedTokenSource::Variable("JWT".into())));
        for bad in ["", "env:", "env", "files", "file:x", "command:", "command:[1]", "url:http://example.com/", "url:x"]
        {
            assert!(FederatedTokenSource::parse(bad).is_err(), "{bad}");
        }
        for local in ["http://localhost:1/x", "http://127.0.0.2/", "http://[::1]/", "http://169.254.129.2:80/t"] {
            assert!(local_or_https(local).is_ok(), "{local}");
        }
        assert!(!local_or_https("https://user:canary@x/").unwrap_err().contains("canary"));
    }
}
