//! An application signs in with its secret.

use std::path::Path;

use crate::cache::Identity;
use crate::entra::token::{Proof, client_credentials};
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

use super::{Login, Method, Rule, both_given};

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
    variables: &[],
    parse,
};

/// An application with its proof. Certificates will be another kind of proof.
struct Application {
    request: TokenRequest,
    client: ClientId,
    secret: Secret,
    /// The flag, variable or file that the secret came from.
    source: String,
    typed: bool,
}

fn parse(choices: &Choices) -> Result<Box<dyn Login>, Error> {
    let client = choices.values.require(&CLIENT_ID, "client ID cannot be empty")?;
    let request = TokenRequest::parse(choices)?;
    let (secret, source, typed) = match secret_file(choices.values)? {
        Some((path, source)) => from_file(&path.0, &source)?,
        None => from_text(choices.values)?,
    };
    Ok(Box::new(Application { request, client, secret, source, typed }))
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

fn from_text(values: &Values) -> Result<(Secret, String, bool), Error> {
    let secret = values.require(&CLIENT_SECRET, "client secret cannot be empty").map_err(|error| {
        let variable = values.variable(&CLIENT_SECRET.decl).map(|name| format!("set {name}, or ")).unwrap_or_default();
        error.remedy(format!("{variable}name a file with {}", CLIENT_SECRET_FILE.decl.flag()))
    })?;
    let source = values.source(&CLIENT_SECRET).cloned().unwrap_or(Source::Default);
    let typed = matches!(source, Source::Flag(_));
    Ok((secret, source.to_string(), typed))
}

/// A secret is a line of text: one trailing line break is the editor's.
fn from_file(path: &Path, source: &Source) -> Result<(Secret, String, bool), Error> {
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
    Ok((Secret::new(line), shown, false))
}

impl Login for Application {
    fn identify(&self, identity: &mut Identity) {
        self.request.identify(identity);
        identity.field("client", self.client.as_str());
        identity.field("secret", self.secret.expose());
    }

    fn acquire<'a>(&'a self, session: &'a Session<'a>) -> Pending<'a, Grant> {
        Box::pin(async {
            let answer =
                client_credentials(session, &self.request, &self.client, Proof::Secret(&self.secret), None).await;
            answer.map_err(|failure| Error::from(failure).blame_secret(&self.source))
        })
    }

    fn request(&self) -> Option<&TokenRequest> {
        Some(&self.request)
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
