//! A client certificate with its private key: read from PEM or PFX, chosen, checked, and put to use
//! as the signer of the assertion that a token request carries instead of a secret (RFC 7523).

mod pem;
mod pfx;
#[cfg(test)]
mod tests;

use std::fmt;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use aws_lc_rs::signature::{KeyPair, RsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use pkcs8::der::Decode;
use pkcs8::{ObjectIdentifier, PrivateKeyInfoRef};
use serde::Serialize;
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind, one_line};
use crate::os::clock::rfc3339;
use crate::secret::Secret;

/// A client certificate with its RSA key.
pub(crate) struct Certificate {
    subject: String,
    /// DER, each issuer after what it issued; the first is ours.
    chain: Vec<Vec<u8>>,
    /// Wipes itself.
    key: EncodingKey,
}

/// How an assertion is signed, and how it names its certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signing {
    /// PS256, and the certificate's SHA-256 thumbprint. What Entra documents today.
    Modern,
    /// RS256, and the SHA-1 thumbprint. All that AD FS knows.
    Legacy,
}

impl Certificate {
    /// Reads a certificate file; what kind of file it is, its content tells. `shown` names the file
    /// and where its name came from, for messages; `now` is our clock.
    ///
    /// # Errors
    /// The file is of another kind or damaged, needs another password, lacks a part, has a key that
    /// Entra does not accept, or its certificate isn't valid now.
    pub(crate) fn parse(bytes: &[u8], password: Option<&Secret>, shown: &str, now: u64) -> Result<Self, Error> {
        let password = password.filter(|password| !password.is_empty());
        let (certificate, validity) = Self::read(bytes, password, now).map_err(|error| error.from_source(shown))?;
        validity.check(&certificate, shown, now)?;
        Ok(certificate)
    }

    fn read(bytes: &[u8], password: Option<&Secret>, now: u64) -> Result<(Self, Validity), Error> {
        let contents = if pem::is_pem(bytes) { pem::read(bytes, password)? } else { pfx::read(bytes, password)? };
        contents.choose(now)
    }

    /// The signed JWT for client authentication at `audience`, the token endpoint's URL. Every one
    /// is new (`jti`), and lives for ten minutes.
    ///
    /// # Errors
    /// The key can't sign; `parse` has seen to it that this doesn't happen.
    pub(crate) fn assertion(&self, signing: Signing, audience: &str, client: &str, now: u64) -> Result<Secret, Error> {
        // A clock that is ahead of Entra's makes an assertion of the future: AADSTS700024.
        let from = now.saturating_sub(300);
        let claims = Claims {
            aud: audience,
            iss: client,
            sub: client,
            jti: uuid::Uuid::new_v4().to_string(),
            nbf: from,
            iat: from,
            exp: now + 600,
        };
        jsonwebtoken::encode(&self.header(signing), &claims, &self.key)
            .map(Secret::new)
            .map_err(|why| file_error("the client certificate's key cannot sign", NEW_KEY).detail(why.to_string()))
    }

    /// Whom the certificate names.
    pub(crate) fn subject(&self) -> &str {
        &self.subject
    }

    /// `x5c` is for apps that trust a subject and issuer instead of a thumbprint; the others don't mind.
    fn header(&self, signing: Signing) -> Header {
        let leaf = self.chain.first().map_or(&[][..], Vec::as_slice);
        // RFC 7515, 4.1.6: base64 with padding and not base64url, of the DER.
        let x5c = Some(self.chain.iter().map(|der| STANDARD.encode(der)).collect());
        let thumbprint = |algorithm| Some(URL_SAFE_NO_PAD.encode(digest(algorithm, leaf)));
        match signing {
            Signing::Modern => Header { x5t_s256: thumbprint(&SHA256), x5c, ..Header::new(Algorithm::PS256) },
            Signing::Legacy => {
                Header { x5t: thumbprint(&SHA1_FOR_LEGACY_USE_ONLY), x5c, ..Header::new(Algorithm::RS256) }
            }
        }
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Certificate").field(&self.subject).finish()
    }
}

/// Numeric dates are whole numbers: some servers refuse fractions.
#[derive(Serialize)]
struct Claims<'a> {
    aud: &'a str,
    iss: &'a str,
    sub: &'a str,
    jti: String,
    nbf: u64,
    iat: u64,
    exp: u64,
}

/// What lies in a file, in its order.
#[derive(Default)]
struct Contents {
    keys: Vec<Key>,
    /// DER.
    certificates: Vec<Vec<u8>>,
}

/// A private key.
enum Key {
    /// PKCS#1, which is what jsonwebtoken signs with; PKCS#8 it would take, and fail later.
    Rsa(Zeroizing<Vec<u8>>),
    /// Of a kind that Entra doesn't accept, and its name.
    Other(String),
}

impl Key {
    /// For RSA the wrapped key is PKCS#1 (RFC 8017, A.1.2).
    fn from_pkcs8(der: &[u8]) -> Result<Self, pkcs8::der::Error> {
        let info = PrivateKeyInfoRef::from_der(der)?;
        Ok(match kind(info.algorithm.oid) {
            None => Self::Rsa(Zeroizing::new(info.private_key.as_bytes().to_vec())),
            Some(kind) => Self::Other(kind),
        })
    }
}

/// The name of any kind of key but RSA.
fn kind(algorithm: ObjectIdentifier) -> Option<String> {
    let oid = algorithm.to_string();
    let name = match oid.as_str() {
        "1.2.840.113549.1.1.1" => return None,
        "1.2.840.113549.1.1.10" => "RSA-PSS",
        "1.2.840.10045.2.1" => "EC",
        "1.2.840.10040.4.1" => "DSA",
        "1.3.101.112" => "Ed25519",
        "1.3.101.113" => "Ed448",
        other => other,
    };
    Some(name.to_owned())
}

impl Contents {
    /// The certificate that belongs to the key, with its issuers.
    fn choose(&self, now: u64) -> Result<(Certificate, Validity), Error> {
        let certificates = self.parsed()?;
        if self.keys.is_empty() {
            return Err(file_error("the client certificate's file holds no private key", BOTH));
        }
        if certificates.is_empty() {
            return Err(file_error("the client certificate's file holds a private key and no certificate", BOTH));
        }
        for key in self.rsa_keys()? {
            if let Some(leaf) = leaf(&key.public, &certificates, now) {
                let chain = chain(leaf, &certificates);
                return Ok((Certificate { subject: subject(leaf), chain, key: key.signing }, Validity::of(leaf)));
            }
        }
        Err(self.no_pair(&certificates))
    }

    fn parsed(&self) -> Result<Vec<X509Certificate<'_>>, Error> {
        let all =
            self.certificates.iter().map(|der| X509Certificate::from_der(der).map(|(_, certificate)| certificate));
        all.collect::<Result<_, _>>().map_err(|why| damaged("a certificate").detail(why.to_string()))
    }

    fn rsa_keys(&self) -> Result<Vec<RsaKey>, Error> {
        let keys = self.keys.iter().filter_map(|key| match key {
            Key::Rsa(der) => Some(RsaKey::from_pkcs1(der)),
            Key::Other(_) => None,
        });
        keys.collect()
    }

    fn no_pair(&self, certificates: &[X509Certificate]) -> Error {
        let other = self.keys.iter().find_map(|key| match key {
            Key::Other(kind) => Some(kind),
            Key::Rsa(_) => None,
        });
        if let Some(kind) = other {
            let leaves = subjects(certificates.iter().filter(|one| !issued_another(one, certificates)));
            let what = format!("the client certificate {leaves} has a key of the kind {kind}");
            return file_error(what, &format!("Entra accepts RSA only: {NEW_KEY}"));
        }
        let found = subjects(certificates.iter());
        let what = format!("the private key in the client certificate's file does not belong to {found}");
        file_error(what, "put the certificate that was made for this key into the file")
    }
}

fn issued_another(issuer: &X509Certificate, certificates: &[X509Certificate]) -> bool {
    let mut others = certificates.iter().filter(|one| one.subject().as_raw() != issuer.subject().as_raw());
    others.any(|other| other.issuer().as_raw() == issuer.subject().as_raw())
}

/// An RSA key that can sign, and what its certificate holds of it.
struct RsaKey {
    signing: EncodingKey,
    /// PKCS#1.
    public: Vec<u8>,
}

impl RsaKey {
    fn from_pkcs1(der: &[u8]) -> Result<Self, Error> {
        let pair = RsaKeyPair::from_der(der).map_err(|why| unusable(&why.to_string()))?;
        Ok(Self { signing: EncodingKey::from_rsa_der(der), public: pair.public_key().as_ref().to_vec() })
    }
}

/// aws-lc tells its reasons in these words only.
fn unusable(why: &str) -> Error {
    let reason = if why == "TooSmall" { "has less than 2048 bits" } else { "cannot sign" };
    file_error(format!("the client certificate's RSA key {reason}"), NEW_KEY).detail(why)
}

/// The certificate with this public key. Ids and names inside of files often don't tell, or lie. A
/// key that was certified again has more than one: then the one that is valid, else the newest.
fn leaf<'a, 'der>(
    public: &[u8],
    certificates: &'a [X509Certificate<'der>],
    now: u64,
) -> Option<&'a X509Certificate<'der>> {
    let same_key = certificates.iter().filter(|one| one.public_key().subject_public_key.data.as_ref() == public);
    same_key.max_by_key(|one| {
        let validity = Validity::of(one);
        (validity.includes(now), validity.until)
    })
}

/// `leaf` and its issuers, as far as `certificates` has them.
fn chain(leaf: &X509Certificate, certificates: &[X509Certificate]) -> Vec<Vec<u8>> {
    let mut chain = vec![leaf];
    while let Some(issuer) = issuer(&chain, certificates) {
        chain.push(issuer);
    }
    chain.iter().map(|one| one.as_raw().to_vec()).collect()
}

/// Who issued the last one of `chain`; nobody else issued a root.
fn issuer<'a, 'der>(
    chain: &[&X509Certificate],
    certificates: &'a [X509Certificate<'der>],
) -> Option<&'a X509Certificate<'der>> {
    let issued = chain.last().filter(|last| last.issuer().as_raw() != last.subject().as_raw())?;
    let mut issuers = certificates.iter().filter(|one| one.subject().as_raw() == issued.issuer().as_raw());
    issuers.find(|one| chain.iter().all(|known| known.as_raw() != one.as_raw()))
}

fn subjects<'a>(certificates: impl Iterator<Item = &'a X509Certificate<'a>>) -> String {
    let named = |certificate: &X509Certificate| {
        let until = u64::try_from(certificate.validity().not_after.timestamp()).unwrap_or_default();
        format!("{} (until {})", subject(certificate), rfc3339(until))
    };
    certificates.map(named).collect::<Vec<_>>().join(" and ")
}

fn subject(certificate: &X509Certificate) -> String {
    let subject = one_line(&certificate.subject().to_string());
    if subject.is_empty() { "without a subject".into() } else { subject }
}

/// From when until when, in seconds since the epoch.
struct Validity {
    from: u64,
    until: u64,
}

impl Validity {
    fn of(certificate: &X509Certificate) -> Self {
        let seconds = |time: x509_parser::time::ASN1Time| u64::try_from(time.timestamp()).unwrap_or_default();
        let validity = certificate.validity();
        Self { from: seconds(validity.not_before), until: seconds(validity.not_after) }
    }

    /// RFC 5280, 4.1.2.5: both ends belong to it.
    fn includes(&self, now: u64) -> bool {
        (self.from..=self.until).contains(&now)
    }

    /// Told before any request is made, with the file and the dates, which Entra does not know.
    fn check(&self, certificate: &Certificate, shown: &str, now: u64) -> Result<(), Error> {
        if self.includes(now) {
            return Ok(());
        }
        let name = &certificate.subject;
        let dates = format!("{shown}, valid from {} until {}", rfc3339(self.from), rfc3339(self.until));
        Err(if now > self.until {
            Error::new(ErrorKind::CertificateExpired, format!("the client certificate {name} has expired"))
                .from_source(dates)
        } else {
            Error::new(ErrorKind::CertificateExpired, format!("the client certificate {name} is not valid yet"))
                .from_source(format!("{dates}, this machine's clock says {}", rfc3339(now)))
                .remedy("set the clock if it is wrong, else use the certificate that is valid now")
        })
    }
}

const BOTH: &str = "give a PFX file, or a PEM file with the certificate and its private key";
const NEW_KEY: &str = "make a certificate with an RSA key of 2048 bits or more";

fn file_error(what: impl Into<String>, remedy: &str) -> Error {
    Error::new(ErrorKind::CertificateFile, what).remedy(remedy)
}

fn damaged(part: &str) -> Error {
    file_error(format!("{part} in the client certificate's file is damaged"), "export the file again")
}

/// For a file that the `password` that was given, if any, does not open.
fn not_opened(password: Option<&Secret>) -> Error {
    let what = match password {
        Some(_) => "the password does not open the client certificate's file",
        None => "the client certificate's file needs a password",
    };
    Error::new(ErrorKind::CertificatePassword, what)
}
