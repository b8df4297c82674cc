//! The handle's side of certificates and federated credentials.

use super::super::certificates::Certificate;
use super::super::http::{Request, Response};
use super::assertion::{Jwt, TrustedName};
use super::directory::APP;
use super::federation::{FakeIssuer, FederatedCredential};
use super::{FakeEntra, Recorded};
use serde_json::Value;

impl FakeEntra {
    /// Registers the first certificate of a PEM file (or a DER one) with [`APP`].
    pub fn certificate(&self, file: &[u8]) -> &Self {
        self.certificate_for(APP, file)
    }

    /// The same for any app.
    pub fn certificate_for(&self, client_id: &str, file: &[u8]) -> &Self {
        let certificate = Certificate::all_of(file).into_iter().next().expect("a certificate");
        self.arrange(|state| state.proofs.entry(client_id.to_owned()).or_default().certificates.push(certificate))
    }

    /// Lets [`APP`] use every certificate with that common name below the CA that comes last in
    /// `file`. The client must then show the chain (`x5c`).
    pub fn certificate_name(&self, common_name: &str, file: &[u8]) -> &Self {
        let authority = Certificate::all_of(file).pop().expect("a certificate");
        let name = TrustedName { common_name: common_name.to_owned(), authority };
        self.arrange(|state| state.proofs.entry(APP.to_owned()).or_default().names.push(name))
    }

    /// Gives [`APP`] a federated credential.
    pub fn federate(&self, issuer: &str, subject: &str, audience: &str) -> &Self {
        self.federate_for(APP, issuer, subject, audience)
    }

    /// The same for any app.
    pub fn federate_for(&self, client_id: &str, issuer: &str, subject: &str, audience: &str) -> &Self {
        let [issuer, subject, audience] = [issuer, subject, audience].map(str::to_owned);
        let credential = FederatedCredential { issuer, subject, audience };
        self.arrange(|state| state.proofs.entry(client_id.to_owned()).or_default().federated.push(credential))
    }

    /// The next `count` exchanges still find no such subject (700213): the credential is new.
    pub fn federated_after(&self, count: u32) -> &Self {
        self.arrange(|state| state.knobs.federated_after = count)
    }

    /// Whoever signs federated assertions.
    pub fn issuer(&self) -> &FakeIssuer {
        &self.service.issuer
    }

    /// The claims of all assertions that were accepted, in order.
    pub fn accepted_assertions(&self) -> Vec<Value> {
        self.state().accepted.clone()
    }

    /// The resource as the directory knows it.
    pub fn known_resource(&self, name: &str) -> Option<String> {
        self.state().directory.resource(name).map(str::to_owned)
    }

    /// Answers (and records) a request that came in by another door.
    pub fn forward(&self, request: &Request) -> Response {
        self.service.handle(request)
    }
}

impl Recorded {
    /// Header and claims of the assertion in the form, believed as they stand.
    pub fn assertion(&self) -> Option<(Value, Value)> {
        let jwt = Jwt::parse(self.param("client_assertion")?).ok()?;
        Some((jwt.header, jwt.claims))
    }
}
