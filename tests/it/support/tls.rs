//! A certificate authority made for one run, and the server certificates it signs.

use ::aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ResolvesServerCertUsingSni, WantsServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, ServerConfig};
use std::sync::{Arc, OnceLock};

/// A private CA. Nothing outside the run trusts it; a program under test gets it as a PEM file.
#[derive(Clone)]
pub struct Authority {
    issuer: Arc<CertifiedIssuer<'static, KeyPair>>,
}

/// Which certificate a server shows: a good one, or one with exactly one fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaf {
    /// Valid, for the names asked for.
    Good,
    /// Valid until 2002.
    Expired,
    /// Valid from 2100.
    NotYetValid,
    /// Valid, but for `wrong.example.test` only.
    WrongName,
    /// Right names and dates, signed by a CA that nobody was told of.
    OtherAuthority,
}

impl Authority {
    /// A CA with a fresh key.
    pub fn new() -> Self {
        let key = KeyPair::generate().expect("a P-256 key can be made");
        let issuer = CertifiedIssuer::self_signed(ca_params(), key).expect("the CA signs itself");
        Self { issuer: Arc::new(issuer) }
    }

    /// The CA certificate, as the text of a PEM file.
    pub fn ca_pem(&self) -> String {
        self.issuer.pem()
    }

    /// What a server needs to be trusted for `names` (DNS names or IP addresses).
    pub fn server_config(&self, names: &[&str]) -> Arc<ServerConfig> {
        self.server_config_with(Leaf::Good, names)
    }

    /// Like [`server_config`](Self::server_config), with a fault of choice in the certificate.
    pub fn server_config_with(&self, leaf: Leaf, names: &[&str]) -> Arc<ServerConfig> {
        match leaf {
            Leaf::Good => self.sign(leaf_params(names)),
            Leaf::WrongName => self.sign(leaf_params(&["wrong.example.test"])),
            Leaf::OtherAuthority => Self::new().sign(leaf_params(names)),
            Leaf::Expired => self.sign(valid_between(names, 2001, 2002)),
            Leaf::NotYetValid => self.sign(valid_between(names, 2100, 2101)),
        }
    }

    /// What a server needs that answers to one name and hangs up on every other.
    pub fn server_config_for_sni(&self, name: &str) -> Arc<ServerConfig> {
        let (chain, key) = self.leaf(leaf_params(&[name]));
        let provider = aws_lc_rs::default_provider();
        let key = CertifiedKey::from_der(chain, key, &provider).expect("the key belongs to the leaf");
        let mut names = ResolvesServerCertUsingSni::new();
        names.add(name, key).expect("the leaf has the name");
        Arc::new(versions(provider).with_cert_resolver(Arc::new(names)))
    }

    /// A client that trusts this CA and nothing else, for tests that speak to a fake directly.
    pub fn client_config(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).expect("the CA certificate is well formed");
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider has the default versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Arc::new(config)
    }

    fn sign(&self, params: CertificateParams) -> Arc<ServerConfig> {
        let (chain, key) = self.leaf(params);
        server_config(chain, key)
    }

    fn leaf(&self, params: CertificateParams) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let key = KeyPair::generate().expect("a P-256 key can be made");
        let leaf = params.signed_by(&key, &self.issuer).expect("the CA signs a leaf");
        (vec![leaf.der().clone()], pkcs8(&key))
    }
}

/// A certificate that nobody signed but its own key, for servers that are known by its hash.
pub(super) struct SelfSigned {
    pub(super) config: Arc<ServerConfig>,
    /// SHA-1 of the certificate, in hex.
    pub(super) thumbprint: String,
}

impl SelfSigned {
    /// The one of this process. Its name and dates are wrong, which must not matter.
    pub(super) fn shared() -> &'static Self {
        static SHARED: OnceLock<SelfSigned> = OnceLock::new();
        SHARED.get_or_init(|| {
            let key = KeyPair::generate().expect("a P-256 key can be made");
            let params = valid_between(&["wrong.example.test"], 2001, 2002);
            let leaf = params.self_signed(&key).expect("the key signs");
            let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, leaf.der());
            Self {
                config: server_config(vec![leaf.der().clone()], pkcs8(&key)),
                thumbprint: hash.as_ref().iter().map(|byte| format!("{byte:02X}")).collect(),
            }
        })
    }
}

fn pkcs8(key: &KeyPair) -> PrivateKeyDer<'static> {
    PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()))
}

fn server_config(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Arc<ServerConfig> {
    let config = versions(aws_lc_rs::default_provider()).with_single_cert(chain, key);
    let mut config = config.expect("the key belongs to the leaf");
    // Go and curl offer h2 too; saying http/1.1 keeps them from guessing.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}

fn versions(provider: CryptoProvider) -> ConfigBuilder<ServerConfig, WantsServerCert> {
    let builder = ServerConfig::builder_with_provider(Arc::new(provider)).with_safe_default_protocol_versions();
    builder.expect("the provider has the default versions").with_no_client_auth()
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

fn ca_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "fake world CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = date_time_ymd(2000, 1, 1);
    params.not_after = date_time_ymd(2200, 1, 1);
    params
}

/// A server certificate valid for one fixed span of years around any plausible test run.
///
/// Go, OpenSSL and rustls set no limit on the lifetime of a leaf below a private CA.
fn leaf_params(names: &[&str]) -> CertificateParams {
    valid_between(names, 2020, 2090)
}

fn valid_between(names: &[&str], from: i32, to: i32) -> CertificateParams {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names).expect("names are DNS names or addresses");
    params.distinguished_name.push(DnType::CommonName, "fake world server");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    params.not_before = date_time_ymd(from, 1, 1);
    params.not_after = date_time_ymd(to, 1, 1);
    params
}
