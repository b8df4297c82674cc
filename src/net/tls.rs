//! Whom we believe: the system's roots, those of `SSL_CERT_FILE` and `SSL_CERT_DIR` beside them,
//! bundled ones where a machine has none; and the memory of what was refused, for the error.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{AlertDescription, CertificateError, DigitallySignedStruct, SignatureScheme};
use url::Url;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::sys::http::{ClientCertificate, Server, Transport};

use super::host;
use crate::error::{Error, ErrorKind};
use crate::os::env::Env;

/// Certificates that the user names beside the system's own. Other tools let `SSL_CERT_FILE`
/// replace the system's roots; a file with nothing but the company's CA then breaks every public
/// host, so here they add up.
#[derive(Debug, Clone, Default)]
pub(super) struct ExtraRoots {
    file: Option<PathBuf>,
    directories: Vec<PathBuf>,
    /// The variable with which an exec entry names others. They do not count: with a proxy beside them
    /// the entry would read what is meant for the server.
    passed_over: Option<&'static str>,
}

impl ExtraRoots {
    pub(super) fn from_env(env: &Env) -> Self {
        const DIRECTORIES: &str = "SSL_CERT_DIR";
        const FILE: &str = "SSL_CERT_FILE";
        let directories = env.user_value(DIRECTORIES).map(|list| std::env::split_paths(list).collect());
        Self {
            file: env.user_value(FILE).map(PathBuf::from),
            directories: directories.unwrap_or_default(),
            passed_over: [FILE, DIRECTORIES].into_iter().find(|name| env.is_overridden(name)),
        }
    }

    /// What to do about a CA that is missing, where a variable has been set in vain.
    fn advice(&self) -> Option<String> {
        if let Some(file) = self.file.as_ref().filter(|file| certificates(file).is_empty()) {
            let why = format!("{} cannot be read or holds no certificate", file.display());
            return Some(format!("correct SSL_CERT_FILE: {why}"));
        }
        self.passed_over.map(|name| format!("if you trust it, set {name} yourself: the entry's does not count here"))
    }

    fn load(&self) -> Vec<CertificateDer<'static>> {
        let from_file = self.file.iter().flat_map(|file| certificates(file));
        from_file.chain(self.directories.iter().flat_map(|dir| certificates_in(dir))).collect()
    }
}

/// A client configuration for `way`, and where its refusals are kept.
pub(super) fn config(
    extra: &ExtraRoots,
    way: &Transport,
) -> Result<(rustls::ClientConfig, Arc<RejectedCertificates>), Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let trust = match way {
        Transport::Pinned { sha1, .. } => ServerTrust::Sha1(*sha1),
        Transport::Server(server) if server.insecure => ServerTrust::Anybody,
        _ => ServerTrust::Verifier(match given_roots(way) {
            Some((roots, server)) => bound(roots, server.called, &provider)?,
            None => verifier(extra, &provider).map_err(unusable)?,
        }),
    };
    let refusals = Arc::new(RejectedCertificates {
        last: Mutex::new(None),
        advice: advice(extra, way),
        pinned: if let Transport::Pinned { named_by, remedy, .. } = way { (named_by, remedy) } else { ("", "") },
    });
    let algorithms = provider.signature_verification_algorithms;
    let witness = RecordingVerifier { trust, algorithms, refusals: refusals.clone() };
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(error.to_string()))?
        .dangerous() // the witness refuses whatever its verifier refuses
        .with_custom_certificate_verifier(Arc::new(witness));
    let config = match way.server().and_then(|server| server.client.as_ref()) {
        Some(client) => with_client(config, client)?,
        None => config.with_no_client_auth(),
    };
    Ok((config, refusals))
}

/// The configuration of one who shows a certificate.
fn with_client(
    config: rustls::ConfigBuilder<rustls::ClientConfig, rustls::client::WantsClientCert>,
    client: &ClientCertificate,
) -> Result<rustls::ClientConfig, Error> {
    let wrong =
        |why: String| Error::new(ErrorKind::Tls, "the client certificate or its key cannot be used").detail(why);
    let chain = CertificateDer::pem_slice_iter(&client.certificates).filter_map(Result::ok).collect();
    let key =
        PrivateKeyDer::from_pem_slice(client.key.expose().as_bytes()).map_err(|error| wrong(error.to_string()))?;
    config.with_client_auth_cert(chain, key).map_err(|error| wrong(error.to_string()))
}

/// What to do about a CA that is not trusted: the variables have a part in that only where none is given.
fn advice(extra: &ExtraRoots, way: &Transport) -> Option<String> {
    match given_roots(way) {
        Some((_, server)) => Some(format!("correct the CA of {}", server.called)),
        None => extra.advice(),
    }
}

fn given_roots(way: &Transport) -> Option<(&[u8], &Server)> {
    let server = way.server()?;
    Some((server.roots.as_deref()?, server))
}

fn unusable(why: String) -> Error {
    Error::new(ErrorKind::Tls, "the trusted certificates could not be loaded")
        .remedy("check SSL_CERT_FILE and SSL_CERT_DIR")
        .detail(why)
}

/// These roots, and no others.
fn bound(
    roots: &[u8],
    called: &str,
    provider: &Arc<rustls::crypto::CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, Error> {
    let mut store = rustls::RootCertStore::empty();
    store.add_parsable_certificates(CertificateDer::pem_slice_iter(roots).filter_map(Result::ok));
    let built = rustls::client::WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider.clone()).build();
    built.map(|verifier| verifier as Arc<dyn ServerCertVerifier>).map_err(|error| {
        Error::new(ErrorKind::Tls, format!("the CA of {called} holds no usable certificate")).detail(error.to_string())
    })
}

/// Whose certificate is accepted.
#[derive(Debug)]
enum ServerTrust {
    /// One that this verifier takes.
    Verifier(Arc<dyn ServerCertVerifier>),
    /// The one with this SHA-1, whatever its name and issuer are.
    Sha1([u8; 20]),
    /// Anybody's.
    Anybody,
}

#[cfg(target_os = "linux")]
fn verifier(
    extra: &ExtraRoots,
    provider: &Arc<rustls::crypto::CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, String> {
    let roots = all_roots(system_roots(), extra.load());
    let builder = rustls::client::WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    builder.build().map(|verifier| verifier as Arc<dyn ServerCertVerifier>).map_err(|error| error.to_string())
}

#[cfg(not(target_os = "linux"))]
fn verifier(
    extra: &ExtraRoots,
    provider: &Arc<rustls::crypto::CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, String> {
    let verifier = rustls_platform_verifier::Verifier::new_with_extra_roots(extra.load(), provider.clone());
    verifier.map(|verifier| Arc::new(verifier) as Arc<dyn ServerCertVerifier>).map_err(|error| error.to_string())
}

/// The system's, or the bundled ones where it has none (scratch images), and the user's own.
#[cfg(target_os = "linux")]
fn all_roots(system: Vec<CertificateDer<'static>>, extra: Vec<CertificateDer<'static>>) -> rustls::RootCertStore {
    let mut roots = rustls::RootCertStore::empty();
    if system.is_empty() {
        roots.add_parsable_certificates(webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned());
    }
    roots.add_parsable_certificates(system.into_iter().chain(extra));
    roots
}

/// Where Linux distributions keep their bundle: Debian and Alpine, Fedora, SUSE, older RHEL, RHEL.
#[cfg(target_os = "linux")]
const BUNDLES: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

#[cfg(target_os = "linux")]
fn system_roots() -> Vec<CertificateDer<'static>> {
    let bundle = BUNDLES.iter().map(|path| certificates(Path::new(path))).find(|found| !found.is_empty());
    bundle.unwrap_or_else(|| certificates_in(Path::new("/etc/ssl/certs")))
}

fn certificates(file: &Path) -> Vec<CertificateDer<'static>> {
    let Ok(found) = CertificateDer::pem_file_iter(file) else { return Vec::new() };
    found.filter_map(Result::ok).collect()
}

fn certificates_in(directory: &Path) -> Vec<CertificateDer<'static>> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let mut files = entries.filter_map(|entry| Some(entry.ok()?.path())).collect::<Vec<_>>();
    files.sort();
    files.iter().flat_map(|file| certificates(file)).collect()
}

/// A verifier that remembers what it refused.
#[derive(Debug)]
struct RecordingVerifier {
    trust: ServerTrust,
    algorithms: WebPkiSupportedAlgorithms,
    refusals: Arc<RejectedCertificates>,
}

impl ServerCertVerifier for RecordingVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let sha1 = |der: &[u8]| digest(&SHA1_FOR_LEGACY_USE_ONLY, der);
        let verdict = match &self.trust {
            ServerTrust::Verifier(verifier) => verifier.verify_server_cert(leaf, chain, name, ocsp, now),
            ServerTrust::Sha1(expected) if sha1(leaf).as_ref() != expected => {
                Err(rustls::Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
            }
            ServerTrust::Sha1(_) | ServerTrust::Anybody => Ok(ServerCertVerified::assertion()),
        };
        if verdict.is_err() {
            self.refusals.remember(leaf, chain);
        }
        verdict
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, leaf, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, leaf, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// The last certificate that was refused.
#[derive(Debug, Default)]
pub(super) struct RejectedCertificates {
    /// What names the one certificate that is accepted, where there is but one, and what to do about another.
    pinned: (&'static str, &'static str),
    last: Mutex<Option<RejectedCertificate>>,
    /// What to do about a CA that is missing, where that is known.
    advice: Option<String>,
}

#[derive(Debug, Clone, Default)]
struct RejectedCertificate {
    subject: String,
    /// Who issued the last certificate of the chain: the CA that would have to be trusted.
    missing_ca: String,
    not_before: i64,
    not_after: i64,
}

impl RejectedCertificates {
    fn remember(&self, leaf: &CertificateDer<'_>, chain: &[CertificateDer<'_>]) {
        if let (Ok(mut last), Some(refused)) = (self.last.lock(), RejectedCertificate::read(leaf, chain)) {
            *last = Some(refused);
        }
    }

    /// The error for a TLS failure at `url`; `now` is our clock.
    pub(super) fn explain(&self, error: &rustls::Error, url: &Url, now: u64) -> Error {
        let refused = self.last.lock().ok().and_then(|last| last.clone()).unwrap_or_default();
        if let rustls::Error::AlertReceived(AlertDescription::CertificateRequired) = error {
            return Error::new(ErrorKind::TlsClientCertificate, format!("{} wants a client certificate", host(url)));
        }
        let rustls::Error::InvalidCertificate(why) = error else {
            return Error::new(ErrorKind::Tls, format!("no TLS connection to {}: {error}", host(url)))
                .remedy("look for a proxy or firewall in between that does not speak TLS");
        };
        let explained = refused.explain(why, self.pinned, url, now);
        let misses_ca = matches!(why, CertificateError::UnknownIssuer | CertificateError::BadSignature);
        match self.advice.as_ref().filter(|_| misses_ca) {
            Some(advice) => explained.remedy(advice),
            None => explained,
        }
    }
}

impl RejectedCertificate {
    fn read(leaf: &CertificateDer<'_>, chain: &[CertificateDer<'_>]) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(leaf).ok()?;
        let top = chain.last().and_then(|der| Some(X509Certificate::from_der(der).ok()?.1.issuer().to_string()));
        Some(Self {
            subject: parsed.subject().to_string(),
            missing_ca: top.unwrap_or_else(|| parsed.issuer().to_string()),
            not_before: parsed.validity().not_before.timestamp(),
            not_after: parsed.validity().not_after.timestamp(),
        })
    }

    fn explain(&self, why: &CertificateError, (pinned_by, remedy): (&str, &str), url: &Url, now: u64) -> Error {
        let Self { subject, missing_ca, .. } = self;
        let server = host(url);
        match why {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Error::new(
                ErrorKind::Tls,
                format!(
                    "the certificate of {server} ({subject}) comes from a CA that is not trusted here: {missing_ca}"
                ),
            )
            .remedy("if that CA is your company's, get its certificate and set SSL_CERT_FILE to the file"),
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                self.outside(&format!("the certificate of {server} ({subject}) has expired"), now)
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                self.outside(&format!("the certificate of {server} ({subject}) is not valid yet"), now)
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Error::new(ErrorKind::TlsName, format!("{server} shows a certificate for another name ({subject})"))
            }
            CertificateError::ApplicationVerificationFailure => Error::new(
                ErrorKind::Tls,
                format!("{server} shows another certificate ({subject}) than {pinned_by} says"),
            )
            .remedy(remedy),
            other => Error::new(ErrorKind::Tls, format!("the certificate of {server} ({subject}) is refused: {other}"))
                .remedy("have the server's certificate corrected"),
        }
    }

    fn outside(&self, what: &str, now: u64) -> Error {
        let moment = |seconds: i64| crate::os::clock::rfc3339(u64::try_from(seconds).unwrap_or_default());
        let (from, until, now) = (moment(self.not_before), moment(self.not_after), crate::os::clock::rfc3339(now));
        Error::new(ErrorKind::ClockSkew, what)
            .from_source(format!("valid from {from} until {until}, this machine's clock says {now}"))
            .remedy("set the clock if it is wrong, else ask whoever runs that host to renew its certificate")
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn named_roots_add_up_and_bundled_ones_replace_nothing() {
        let made = |name: &str| {
            let key = rcgen::KeyPair::generate().unwrap();
            let mut params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
            params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
            params.self_signed(&key).unwrap().der().clone()
        };
        assert_eq!(all_roots(vec![made("system")], vec![made("extra")]).len(), 2);
        let bundled = all_roots(Vec::new(), Vec::new()).len();
        assert!(bundled > 50, "a machine without roots has the bundled ones");
        assert_eq!(all_roots(Vec::new(), vec![made("extra")]).len(), bundled + 1);
    }
}
