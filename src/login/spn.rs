//! An application signs in with its secret.

use std::path::Path;

use crate::cache::Identity;
use crate::entra::token::client_credentials;
use crate::entra::{Grant, Session, TokenRequest};
use crate::error::{Error, io_words};
use crate::options::types::ClientId;
use crate::options::{
    CLIENT_ID, CLIENT_SECRET, CLIENT_SECRET_FILE, Choices, DISABLE_ENVIRONMENT_OVERRIDE, ENVIRONMENT, LEGACY, Source,
    TENANT_ID, Values,
};
use crate::secret::Secret;
use crate::situation;
use crate::sys::Pending;

use super::{Login, Method, Parsed, Rule, both_given};

/// `--login spn`.
pub(super) static METHOD: Method = Method {
    name: "spn",
    about: "an application signs in with its secret",
    arguments: &[
        Rule::Required.of(&CLIENT_ID),
        Rule::Required.of(&TENANT_ID),
        Rule::Carried.of(&ENVIRONMENT),
        Rule::Typed.of(&CLIENT_SECRET),
        Rule::Carried.of(&LEGACY),
        Rule::Carried.of(&DISABLE_ENVIRONMENT_OVERRIDE),
        Rule::Carried.of(&CLIENT_SECRET_FILE).unless(&CLIENT_SECRET),
    ],
    parse,
};

/// An application with its proof. Certificates will be another kind of proof.
struct Application {
    client: ClientId,
    secret: Secret,
    /// The flag, variable or file that the secret came from.
    source: String,
    typed: bool,
}

fn parse(choices: &Choices) -> Result<Parsed, Error> {
    let client = choices.values.require(&CLIENT_ID, "client ID cannot be empty")?;
    let request = TokenRequest::parse(choices)?;
    let application = match secret_file(choices.values)? {
        Some((path, source)) => from_file(client, &path.0, &source)?,
        None => from_text(client, choices.values)?,
    };
    Ok((Box::new(application), request))
}

/// The file that holds the secret, where it comes first: a file named by flag before any variable
/// with a secret, a file named by variable only where there is no secret.
fn secret_file(values: &Values) -> Result<Option<(crate::options::types::Path, Source)>, Error> {
    let Some(path) = values.get(&CLIENT_SECRET_FILE)? else { return Ok(None) };
    let source = values.source(&CLIENT_SECRET_FILE).cloned().unwrap_or(Source::Default);
    match (&source, values.source(&CLIENT_SECRET)) {
        (Source::Flag(file), Some(Source::Flag(text))) => Err(both_given(file, text)),
        (Source::Flag(_), _) | (_, None) => Ok(Some((path, source))),
        _ => Ok(None),
    }
}

fn from_text(client: ClientId, values: &Values) -> Result<Application, Error> {
    let secret = values.require(&CLIENT_SECRET, "client secret cannot be empty").map_err(|error| {
        let variable = values.variable(&CLIENT_SECRET.decl).map(|name| format!("set {name}, or ")).unwrap_or_default();
        error.remedy(format!("{variable}name a file with {}", CLIENT_SECRET_FILE.decl.flag()))
    })?;
    let source = values.source(&CLIENT_SECRET).cloned().unwrap_or(Source::Default);
    let typed = matches!(source, Source::Flag(_));
    Ok(Application { client, secret, source: source.to_string(), typed })
}

/// A secret is a line of text: one trailing line break is the editor's.
fn from_file(client: ClientId, path: &Path, source: &Source) -> Result<Application, Error> {
    let shown = format!("{}, named by {source}", path.display());
    let text = crate::files::read_text(path, 64 * 1024).map(Secret::new).map_err(|error| {
        Error::new(&situation::FILE, format!("the client secret file cannot be read: {}", io_words(&error)))
            .from_source(&shown)
            .remedy(format!("correct {source}"))
    })?;
    let line = text.expose().strip_suffix('\n').unwrap_or(text.expose());
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() {
        return Err(Error::new(&situation::OPTION_MISSING, "client secret cannot be empty")
            .from_source(&shown)
            .remedy("write the secret's value into the file"));
    }
    Ok(Application { client, secret: Secret::new(line), source: shown, typed: false })
}

impl Login for Application {
    fn identify(&self, identity: &mut Identity) {
        identity.field("client", self.client.as_str());
        identity.field("secret", self.secret.expose());
    }

    fn acquire<'a>(&'a self, session: &'a Session<'a>) -> Pending<'a, Grant> {
        Box::pin(async {
            let answer = client_credentials(session, &self.client, &self.secret).await;
            answer.map_err(|failure| Error::from(failure).blame_secret(&self.source))
        })
    }

    fn brings_own_secret(&self) -> bool {
        self.typed
    }
}

impl Error {
    /// A secret that is refused is named by where it came from.
    fn blame_secret(self, source: &str) -> Self {
        let about_secret = self.is(&situation::SECRET_WRONG) || self.is(&situation::SECRET_EXPIRED);
        if about_secret { self.from_source(source) } else { self }
    }
}
