//! Certificates of apps: read, compared, and made for a test.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, PKCS_RSA_SHA256, date_time_ymd,
};
use rustls::pki_types::PrivatePkcs8KeyDer;
use std::sync::OnceLock;
use x509_parser::prelude::{ASN1Time, FromDer, Pem, X509Certificate};

/// A certificate, well formed and otherwise unchecked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Certificate {
    der: Vec<u8>,
}

impl Certificate {
    /// `None` unless it is one certificate and nothing else.
    pub(super) fn from_der(der: &[u8]) -> Option<Self> {
        let (rest, _) = X509Certificate::from_der(der).ok()?;
        rest.is_empty().then(|| Self { der: der.to_owned() })
    }

    /// The certificates of a PEM file, or of a DER file the one.
    pub(super) fn all_of(file: &[u8]) -> Vec<Self> {
        if let Some(one) = Self::from_der(file) {
            return vec![one];
        }
        let blocks = Pem::iter_from_buffer(file).filter_map(Result::ok);
        blocks
            .filter(|block| block.label == "CERTIFICATE")
            .filter_map(|block| Self::from_der(&block.contents))
            .collect()
    }

    pub(super) fn sha1(&self) -> Vec<u8> {
        digest(&SHA1_FOR_LEGACY_USE_ONLY, &self.der).as_ref().to_owned()
    }

    pub(super) fn sha256(&self) -> Vec<u8> {
        digest(&SHA256, &self.der).as_ref().to_owned()
    }

    /// The key as it stands in the certificate, without its algorithm.
    pub(super) fn public_key(&self) -> Vec<u8> {
        self.parsed().public_key().subject_public_key.data.to_vec()
    }

    pub(super) fn common_name(&self) -> String {
        let certificate = self.parsed();
        let name = certificate.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
        name.unwrap_or_default().to_owned()
    }

    pub(super) fn is_valid_at(&self, unix: i64) -> bool {
        ASN1Time::from_timestamp(unix).is_ok_and(|time| self.parsed().validity().is_valid_at(time))
    }

    /// Whether the key of `issuer`, a CA, made the signature.
    pub(super) fn is_signed_by(&self, issuer: &Self) -> bool {
        let (subject, authority) = (self.parsed(), issuer.parsed());
        let algorithm: &'static dyn VerificationAlgorithm =
            match subject.signature_algorithm.algorithm.to_id_string().as_str() {
                "1.2.840.113549.1.1.11" => &RSA_PKCS1_2048_8192_SHA256,
                "1.2.840.10045.4.3.2" => &ECDSA_P256_SHA256_ASN1,
                _ => return false,
            };
        let key = UnparsedPublicKey::new(algorithm, issuer.public_key());
        authority.is_ca() && key.verify(subject.tbs_certificate.as_ref(), &subject.signature_value.data).is_ok()
    }

    fn parsed(&self) -> X509Certificate<'_> {
        X509Certificate::from_der(&self.der).expect("parsed once already").1
    }
}

/// What a made-up certificate is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Signed with its own key, good for many years.
    SelfSigned,
    /// The same, good until 2002.
    Expired,
    /// Signed by a CA of the run, whose certificate follows.
    Chained,
}

/// A PEM file with an RSA key (of this run) and a certificate for it.
///
/// The key is always the same one, for making one takes longer than a test.
pub fn pem_file(common_name: &str, kind: Kind) -> String {
    let key = shared_key();
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, common_name);
    let (from, to) = if kind == Kind::Expired { (2001, 2002) } else { (2020, 2090) };
    (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(to, 1, 1));
    let certificates = if kind == Kind::Chained {
        let authority = shared_authority();
        let leaf = params.signed_by(&key, authority).expect("the CA signs");
        format!("{}{}", leaf.pem(), authority.pem())
    } else {
        params.self_signed(&key).expect("the key signs").pem()
    };
    format!("{}{certificates}", key.serialize_pem())
}

fn shared_key() -> KeyPair {
    static KEY: OnceLock<Vec<u8>> = OnceLock::new();
    let pkcs8 = KEY.get_or_init(|| {
        let pair = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).expect("an RSA key can be made");
        pair.as_der().expect("an RSA key can be written").as_ref().to_owned()
    });
    let pkcs8 = PrivatePkcs8KeyDer::from(pkcs8.as_slice());
    KeyPair::from_pkcs8_der_and_sign_algo(&pkcs8, &PKCS_RSA_SHA256).expect("our own PKCS #8")
}

fn shared_authority() -> &'static CertifiedIssuer<'static, KeyPair> {
    static AUTHORITY: OnceLock<CertifiedIssuer<'static, KeyPair>> = OnceLock::new();
    AUTHORITY.get_or_init(|| {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "fake CA for apps");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        (params.not_before, params.not_after) = (date_time_ymd(2000, 1, 1), date_time_ymd(2200, 1, 1));
        CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a P-256 key")).expect("the CA signs itself")
    })
}
