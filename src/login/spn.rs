//! An application signs in with its secret or its certificate.

use std::rc::Rc;

use zeroize::Zeroizing;

use crate::azure::id::ClientId;
use crate::cache_key::CacheKey;
use crate::entra::certificate::{Certificate, Signing};
use crate::entra::token::{ClientCredential, client_credentials};
use crate::entra::{Audience, Session, TokenRequest, TokenResponse};
use crate::error::{Error, ErrorKind, io_words};
use crate::options::{
    CLIENT_CERTIFICATE, CLIENT_CERTIFICATE_PASSWORD, CLIENT_CERTIFICATE_PASSWORD_FILE, CLIENT_ID, CLIENT_SECRET,
    CLIENT_SECRET_FILE, DISABLE_ENVIRONMENT_OVERRIDE, ENVIRONMENT, Inputs, LEGACY, POP_CLAIMS, POP_ENABLED, TENANT_ID,
    ValueSource, Values,
};
use crate::os::BoxFuture;
use crate::secret::Secret;

use super::secret_option::SecretValue;
use super::token_request::token_request;
use super::{Acquire, Login, Method, WriteRule, secret_option};

/// `--login spn`.
pub(super) static METHOD: Method = Method {
    name: "spn",
    about: "an application signs in with its secret or certificate",
    arguments: &[
        WriteRule::Required.of(&CLIENT_ID),
        WriteRule::Required.of(&TENANT_ID),
        WriteRule::Inherited.of(&ENVIRONMENT),
        WriteRule::FlagOnly.of(&CLIENT_SECRET),
        WriteRule::FlagOnly.of(&CLIENT_CERTIFICATE),
        WriteRule::FlagOnly.of(&CLIENT_CERTIFICATE_PASSWORD),
        WriteRule::Inherited.of(&LEGACY),
        WriteRule::Inherited.of(&POP_ENABLED),
        WriteRule::Inherited.of(&POP_CLAIMS),
        WriteRule::Inherited.of(&DISABLE_ENVIRONMENT_OVERRIDE),
        WriteRule::Inherited.of(&CLIENT_SECRET_FILE).unless(&CLIENT_SECRET),
        // Worth nothing without the certificate, which kubelogin does not carry over.
        WriteRule::FlagOnly.of(&CLIENT_CERTIFICATE_PASSWORD_FILE).unless(&CLIENT_CERTIFICATE_PASSWORD),
    ],
    variables: &[],
    parse,
};

/// No file with a key and its chain comes near this many bytes.
const CERTIFICATE_LIMIT: u64 = 1024 * 1024;

const CHECK_CERTIFICATE: &str =
    "check the clock of this machine, and that the app registration shows this very certificate";

/// An application with its proof.
struct Application {
    request: Rc<TokenRequest>,
    client: ClientId,
    proof: SpnCredential,
}

/// What an application holds to prove itself.
enum SpnCredential {
    Secret(SecretValue),
    Certificate(CertificateFile),
}

/// A certificate that is read and not yet understood: the warm path needs its bytes to find the
/// token in the cache, and opening a PFX takes up to 50 ms.
struct CertificateFile {
    bytes: Zeroizing<Vec<u8>>,
    password: Option<SecretValue>,
    /// How a password can be given in this run.
    password_advice: String,
    /// The path, and what named it.
    shown: String,
}

/// What gives an application's proof, if one is given at all.
pub(super) fn given_by(values: &Values) -> Option<&ValueSource> {
    let certificate = values.source(&CLIENT_CERTIFICATE);
    certificate.or(values.source(&CLIENT_SECRET_FILE)).or(values.source(&CLIENT_SECRET))
}

fn parse(inputs: &Inputs) -> Result<Login, Error> {
    let client = inputs.values.require(&CLIENT_ID, "client ID cannot be empty")?;
    let request = Rc::new(token_request(inputs)?);
    let proof = match CertificateFile::find(inputs.values)? {
        Some(certificate) => SpnCredential::Certificate(certificate),
        None => SpnCredential::Secret(secret(inputs.values)?),
    };
    // One that stands in the exec entry may go where that entry says.
    let secret_in_entry =
        matches!(&proof, SpnCredential::Secret(given) if given.typed) && inputs.in_entry(&CLIENT_SECRET.decl);
    let application = Application { request: request.clone(), client, proof };
    Ok(Login { request: Some(request), secret_in_entry, ..Login::new(application.key(), application) })
}

fn secret(values: &Values) -> Result<SecretValue, Error> {
    secret_option::find(&CLIENT_SECRET, values)?.ok_or_else(|| {
        Error::new(ErrorKind::OptionMissing, "client secret cannot be empty").remedy(format!(
            "{}, or a certificate with {}",
            secret_option::advice(&CLIENT_SECRET, values),
            CLIENT_CERTIFICATE.decl.flag()
        ))
    })
}

impl CertificateFile {
    /// The certificate, if one is given; it wins over a secret, as by Azure/kubelogin.
    fn find(values: &Values) -> Result<Option<Self>, Error> {
        let Some(path) = values.get(&CLIENT_CERTIFICATE)? else { return Ok(None) };
        let source = values.source(&CLIENT_CERTIFICATE).cloned().unwrap_or(ValueSource::Default);
        let shown = format!("{}, named by {source}", path.0.display());
        let bytes = crate::os::files::read_bytes(&path.0, CERTIFICATE_LIMIT).map(Zeroizing::new).map_err(|error| {
            Error::new(ErrorKind::File, format!("the client certificate cannot be read: {}", io_words(&error)))
                .from_source(&shown)
                .remedy(format!("correct {source}"))
        })?;
        let password = secret_option::find(&CLIENT_CERTIFICATE_PASSWORD, values)?;
        Ok(Some(Self {
            bytes,
            password,
            password_advice: secret_option::advice(&CLIENT_CERTIFICATE_PASSWORD, values),
            shown,
        }))
    }

    fn password(&self) -> Option<&Secret> {
        self.password.as_ref().map(|given| &given.secret)
    }

    fn assertion(&self, session: &Session<'_>, request: &TokenRequest, client: &ClientId) -> Result<Secret, Error> {
        let now = session.sys.clock.now();
        let certificate = Certificate::parse(&self.bytes, self.password(), &self.shown, now)
            .map_err(|error| self.blame_password(error))?;
        session.sys.terminal.detail(1, || format!("the client certificate is {}", certificate.subject()));
        certificate.assertion(signing(request), request.token_endpoint().as_str(), client.as_str(), now)
    }

    /// What Entra says of an assertion is about the file that signed it.
    fn blame(&self, error: Error) -> Error {
        if error.kind() == ErrorKind::CertificateName {
            error.also("the file has to hold the certificates of its issuers too").from_source(&self.shown)
        } else if error.kind() == ErrorKind::AssertionInvalid {
            error.remedy(CHECK_CERTIFICATE).from_source(&self.shown)
        } else if error.kind() == ErrorKind::CertificateUnknown || error.kind() == ErrorKind::ClockSkew {
            error.from_source(&self.shown)
        } else {
            error
        }
    }

    /// A variable may have given another password than the one that was typed.
    fn blame_password(&self, error: Error) -> Error {
        if error.kind() != ErrorKind::CertificatePassword {
            return error;
        }
        error.remedy(match &self.password {
            Some(given) => format!("correct the password, which comes from {}", given.source),
            None => self.password_advice.clone(),
        })
    }
}

/// Entra's v2 endpoint knows today's signatures. The v1 endpoint, AD FS and whatever else a custom
/// authority is are given the older kind, which all of them understand.
fn signing(request: &TokenRequest) -> Signing {
    let today = request.authority.is_entra() && matches!(request.audience, Audience::Scope(_));
    if today { Signing::Modern } else { Signing::Legacy }
}

impl Acquire for Application {
    fn acquire<'a>(&'a self, session: &'a Session<'a>) -> BoxFuture<'a, TokenResponse> {
        Box::pin(async {
            match &self.proof {
                SpnCredential::Secret(given) => self.sign_in(session, ClientCredential::Secret(&given.secret)).await,
                SpnCredential::Certificate(file) => {
                    let assertion = file.assertion(session, &self.request, &self.client)?;
                    self.sign_in(session, ClientCredential::Assertion(&assertion)).await
                }
            }
        })
    }
}

impl Application {
    fn key(&self) -> CacheKey {
        let mut key = METHOD.key();
        self.request.add_to_key(&mut key);
        key.field("client", self.client.as_str());
        match &self.proof {
            SpnCredential::Secret(given) => key.field("secret", given.secret.expose()),
            SpnCredential::Certificate(file) => {
                key.bytes("certificate", &file.bytes);
                key.field("password", file.password().map(Secret::expose).unwrap_or_default());
            }
        }
        key
    }

    async fn sign_in(&self, session: &Session<'_>, proof: ClientCredential<'_>) -> Result<TokenResponse, Error> {
        let answer = client_credentials(session, &self.request, &self.client, proof, None).await;
        answer.map_err(|failure| self.blame(failure.into()))
    }

    /// A proof that is refused is named by where it came from.
    fn blame(&self, error: Error) -> Error {
        let about_secret = error.kind() == ErrorKind::SecretWrong || error.kind() == ErrorKind::SecretExpired;
        match &self.proof {
            SpnCredential::Secret(given) if about_secret => error.from_source(&given.source),
            SpnCredential::Certificate(file) => file.blame(error),
            SpnCredential::Secret(_) => error,
        }
    }
}
