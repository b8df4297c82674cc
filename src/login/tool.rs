//! What `az` and `azd` have in common: which arguments they are given, how their answers are read,
//! and how what they complain of becomes one line with a way out.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use crate::azure::id::TenantId;
use crate::entra::entra_error::code_in;
use crate::entra::{Audience, Session, Token, TokenResponse};
use crate::error::{Error, ErrorKind, one_line};
use crate::jwt;
use crate::options::{Inputs, SERVER_ID, TENANT_ID, Values};
use crate::os::env::Env;
use crate::os::process::{ProgramCall, ProgramOutput};
use crate::secret::{Secret, redact};

/// A tool that hands out tokens, for messages.
pub(super) struct Tool {
    /// Its program.
    pub(super) name: &'static str,
    /// What people know it as.
    pub(super) title: &'static str,
    /// Where to get it.
    pub(super) home: &'static str,
    /// How people sign in to it.
    pub(super) login: &'static str,
}

impl Tool {
    /// Where it lies.
    ///
    /// # Errors
    /// It is not installed.
    pub(super) fn find(&self, env: &Env) -> Result<PathBuf, Error> {
        crate::os::process::find(env, self.name).ok_or_else(|| {
            Error::new(ErrorKind::ToolMissing, format!("the {} ({}) is not on PATH", self.title, self.name))
                .remedy(format!("install it ({}), or use another --login", self.home))
        })
    }

    /// Runs it at `program` for a token.
    ///
    /// # Errors
    /// It can't be run, or the time is over.
    pub(super) async fn run(
        &self,
        session: &Session<'_>,
        program: &Path,
        arguments: impl Iterator<Item = &str>,
        variables: Vec<(&'static str, String)>,
    ) -> Result<ProgramOutput, Error> {
        let sys = session.sys;
        let arguments = arguments.map(String::from).collect();
        let call = ProgramCall { program: program.to_owned(), arguments, variables };
        sys.terminal.detail(1, || format!("asking {} for a token", program.display()));
        sys.programs.run(&call, session.deadline.left(&*sys.clock), &*sys.clock).await
    }

    /// The token would be kept for a sign-in that it may not be of.
    pub(super) fn sign_in_changed(&self) -> Error {
        let what = format!("the sign-in of {} has changed while it was asked", self.name);
        Error::new(ErrorKind::ToolAccount, what).remedy("run the command again")
    }

    /// The answer that `stdout` holds. Nothing of it is quoted: it may hold a token.
    ///
    /// # Errors
    /// Anything but a JSON object with the fields of `T`.
    pub(super) fn read<T: DeserializeOwned>(&self, stdout: &Secret) -> Result<T, Error> {
        let mut json = serde_json::Deserializer::from_str(stdout.expose());
        let answer = serde_path_to_error::deserialize(&mut json).map_err(|error| {
            let path = error.path().to_string();
            match error.inner() {
                _ if stdout.expose().trim().is_empty() => self.odd("is empty"),
                inner if !inner.is_data() => self.odd("is not JSON"),
                _ if path == "." => self.odd("has other fields than expected"),
                _ => self.odd(&format!("has another kind of {path} than expected")),
            }
        })?;
        json.end().map(|()| answer).map_err(|_| self.odd("is not JSON alone"))
    }

    /// The grant of an answer; without `expires_on` the token itself says when it ends.
    ///
    /// # Errors
    /// A token that is missing, or whose end is, or has passed.
    pub(super) fn grant(
        &self,
        token: Option<Secret>,
        expires_on: Option<u64>,
        now: u64,
    ) -> Result<TokenResponse, Error> {
        let access_token = token.filter(|token| !token.is_empty()).ok_or_else(|| self.odd("holds no token"))?;
        let expires_on = expires_on.or_else(|| jwt::end(access_token.expose()));
        let expires_on = expires_on.ok_or_else(|| self.odd("does not say how long the token lasts"))?;
        if expires_on <= now {
            return Err(self.odd("holds a token that has ended already").remedy("check the clock of this machine"));
        }
        // The tool keeps its own tokens and would give the same one until shortly before its end.
        let token = Token { access_token, expires_on, refresh_on: None };
        Ok(TokenResponse { token, refresh_token: None, account: None })
    }

    fn odd(&self, what: &str) -> Error {
        Error::new(ErrorKind::ToolAnswer, format!("the answer of {} {what}", self.name))
            .remedy(format!("look whether `{}` is the {}, and update it", self.name, self.title))
    }

    /// The error for a refusal of Entra's that the tool has passed on; `command` is what it suggests.
    pub(super) fn refused_by_entra(&self, complaint: &str, command: Option<&str>) -> Option<Error> {
        let code = code_in(complaint)?;
        let kind = ErrorKind::of_code(code).unwrap_or(ErrorKind::Refused);
        let error = Error::new(kind, format!("{}, AADSTS{code}, says {}", kind.meaning(), self.name)).detail(format!(
            "{} says: {}",
            self.name,
            sentence(complaint)
        ));
        Some(match command {
            _ if kind.sign_in_helps() => error.remedy(format!("run `{}`", command.unwrap_or(self.login))),
            Some(command) => error.also(&format!("{} suggests `{command}`", self.name)),
            None => error,
        })
    }

    /// The error for a network that the tool could not get through.
    pub(super) fn unreachable(&self, complaint: &str) -> Option<Error> {
        let said = |words: &[&str]| words.iter().any(|word| complaint.contains(word));
        let host = complaint.split_once("host='").and_then(|(_, rest)| rest.split_once('\'')).map(|(host, _)| host);
        let host = host.map_or_else(|| "Entra".to_owned(), one_line);
        let name = self.name;
        let error = if said(&["CERTIFICATE_VERIFY_FAILED", "x509: "]) {
            Error::new(ErrorKind::Tls, format!("{name} does not trust the certificate of {host}"))
                .remedy("tell it the CA of the proxy in between (REQUESTS_CA_BUNDLE for az, SSL_CERT_FILE for azd)")
        } else if said(&["Failed to resolve", "Name or service not known", "getaddrinfo failed", "no such host"]) {
            Error::new(ErrorKind::NameNotFound, format!("{name} cannot find the address of {host}"))
        } else if said(&[
            "Max retries exceeded",
            "Connection refused",
            "connection refused",
            "ProxyError",
            "i/o timeout",
        ]) {
            Error::new(ErrorKind::ConnectionBroken, format!("{name} cannot reach {host}"))
        } else {
            return None;
        };
        Some(error.detail(format!("{name} says: {}", sentence(complaint))))
    }

    /// The error for anything else: the tool's own last word.
    pub(super) fn failed(&self, code: Option<i32>, last_word: Option<&str>, command: &str) -> Error {
        let name = self.name;
        let what = match (last_word, code) {
            (Some(word), _) => format!("{name} failed: {}", sentence(word)),
            (None, Some(code)) => format!("{name} failed with exit code {code} and said nothing"),
            (None, None) => format!("{name} was ended by a signal"),
        };
        Error::new(ErrorKind::ToolFailed, what).remedy(format!("see whether `{command}` works"))
    }
}

/// The scope of the audience, as an argument for a tool.
///
/// # Errors
/// Characters that are not passed on: on Windows a tool may be a batch file.
pub(super) fn scope(inputs: &Inputs) -> Result<String, Error> {
    let server = inputs.audience()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | ':' | '/');
    if !server.chars().all(plain) || server.starts_with('-') {
        return Err(inputs.values.invalid(&SERVER_ID, "invalid server-id: it is the ID or the URI of an application"));
    }
    let (Audience::Scope(scope) | Audience::Resource(scope)) = Audience::scope(&server);
    Ok(scope)
}

/// A tenant, and the flag or variable that names it.
pub(super) struct Tenant {
    pub(super) id: TenantId,
    pub(super) source: String,
}

/// The tenant, as an argument for a tool.
///
/// # Errors
/// A text that would be read as an option.
pub(super) fn tenant(values: &Values) -> Result<Option<Tenant>, Error> {
    let Some(id) = values.get(&TENANT_ID)? else { return Ok(None) };
    if id.as_str().starts_with('-') {
        return Err(values.invalid(&TENANT_ID, "invalid tenantID: a tenant is a GUID or a domain name"));
    }
    Ok(Some(Tenant { id, source: values.source_text(&TENANT_ID) }))
}

/// The home directory as Python and Go know it: on Windows `USERPROFILE` alone.
pub(super) fn home(env: &Env) -> Option<PathBuf> {
    env.get(if cfg!(windows) { "USERPROFILE" } else { "HOME" }).map(PathBuf::from)
}

/// The directory that `variable` names, made absolute, for the tool runs in another one; else
/// `default` below the home directory.
pub(super) fn directory(env: &Env, variable: &str, default: &str) -> Option<PathBuf> {
    match env.get(variable) {
        Some(given) => std::path::absolute(given).ok(),
        None => Some(home(env)?.join(default)),
    }
}

/// The text of a file of a tool: nothing where there is none. What cannot be read is told from what
/// is not there.
pub(super) fn text_of(path: &Path) -> String {
    const LIMIT: u64 = 16 * 1024 * 1024;
    match crate::os::files::read_text(path, LIMIT) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => format!("not readable: {:?}", error.kind()),
    }
}

/// What a tool says, as a part of a line: one line, not too long, and without anything that looks
/// like a token.
pub(super) fn sentence(text: &str) -> String {
    let line = redact(&one_line(text));
    let end = line.find(" Trace ID:").unwrap_or(line.len());
    let line = line[..end].trim_end_matches('.');
    match line.char_indices().nth(300) {
        Some((end, _)) => format!("{} …", &line[..end]),
        None => line.to_owned(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use base64::Engine;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD;

    use super::super::fake::with_inputs;
    use super::*;
    use crate::options::args::read;
    use crate::options::{OptionSet, ParsedArgs};

    const TOOL: Tool = Tool { name: "az", title: "Azure CLI", home: "https://aka.ms/azure-cli", login: "az login" };

    pub(crate) fn values<const N: usize>(line: &str, env: [(&str, &str); N]) -> (ParsedArgs, Values) {
        let args: Vec<_> = line.split_whitespace().map(String::from).collect();
        let given = read(&args, OptionSet::TOKEN).unwrap();
        let values = Values::resolve(&given, &Env::from(env));
        (given, values)
    }

    /// A JWT that ends at `exp`.
    pub(crate) fn jwt(exp: u64) -> String {
        format!("eyJhbGciOiJSUzI1NiJ9.{}.c2ln", BASE64_URL_SAFE_NO_PAD.encode(format!("{{\"exp\":{exp}}}")))
    }

    #[test]
    fn a_server_id_becomes_an_argument() {
        let scope_of = |server: &str| with_inputs(&format!("--server-id {server}"), [], scope);
        for server in ["api://x", "api://x/", "api://x/.default"] {
            assert_eq!(scope_of(server).unwrap(), "api://x/.default");
        }
        for bad in ["a&calc", "-x", "a\"b", "a%PATH%", "a|b", "a;b"] {
            let error = scope_of(bad).unwrap_err().to_string();
            assert_eq!(
                error,
                "invalid server-id: it is the ID or the URI of an application (--server-id); correct --server-id"
            );
        }
    }

    #[test]
    fn a_tenant_is_no_option() {
        let error = tenant(&values("", [("AZURE_TENANT_ID", "--debug")]).1).err().unwrap().to_string();
        assert!(error.ends_with("(AZURE_TENANT_ID); correct AZURE_TENANT_ID"), "{error}");
    }

    #[test]
    fn a_token_says_when_it_ends() {
        let secret = |text: &str| Secret::new(text);
        let end = |token: &str| crate::jwt::end(token);
        assert_eq!(end(&jwt(1_800_000_000)), Some(1_800_000_000));
        for other in ["opaque", "a.b.c", "a.e30.c", ""] {
            assert_eq!(end(other), None, "{other}");
        }
        let grant = TOOL.grant(Some(secret(&jwt(2000))), None, 1000).unwrap();
        assert_eq!(grant.token.expires_on, 2000);
        let what = |token: &str, expires_on| TOOL.grant(Some(secret(token)), expires_on, 1000).unwrap_err();
        assert_eq!(what("", Some(2000)).what(), "the answer of az holds no token");
        assert_eq!(what("opaque", None).what(), "the answer of az does not say how long the token lasts");
        assert_eq!(what("opaque", Some(1000)).what(), "the answer of az holds a token that has ended already");
    }

    #[test]
    fn codes_lead_to_their_words() {
        let refused = |text, command| TOOL.refused_by_entra(text, command).unwrap().to_string();
        assert_eq!(
            refused("AADSTS50076: MFA. Trace ID: t", Some("az login --tenant \"t\"")),
            "Entra wants another factor (MFA), AADSTS50076, says az; run `az login --tenant \"t\"`"
        );
        assert_eq!(
            refused("AADSTS65001: no consent", Some("az login")),
            "nobody has consented to this app for that resource, AADSTS65001, says az; \
             ask an administrator of the tenant to grant admin consent to the app; az suggests `az login`"
        );
        assert!(refused("AADSTS1: new", None).ends_with("; run `az login`"));
        assert!(TOOL.refused_by_entra("nothing of the kind", None).is_none());
    }

    #[test]
    fn what_a_tool_says_is_tamed() {
        assert_eq!(sentence("AADSTS1: bad.\r\nTrace ID: x"), "AADSTS1: bad");
        let with_token = format!("got {} from it", jwt(1_800_000_000));
        assert_eq!(sentence(&with_token), "got <token> from it");
        assert_eq!(sentence(&"x".repeat(5000)), "<token>");
        assert_eq!(sentence(&"x ".repeat(5000)).chars().count(), 302);
    }
}
