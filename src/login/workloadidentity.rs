//! An application or a managed identity signs in with the token of another issuer: a cluster, a build
//! system, a cloud.

use std::rc::Rc;

use crate::azure::id::ClientId;
use crate::cache_key::CacheKey;
use crate::entra::token_proxy::TokenProxy;
use crate::entra::{Session, TokenRequest, TokenResponse};
use crate::error::Error;
use crate::federated::{self, AssertionSource, Exchange};
use crate::options::{
    AUTHORITY_HOST, CLIENT_ID, DISABLE_TOKEN_PROXY, ENVIRONMENT, FEDERATED_AUDIENCE, FEDERATED_TOKEN_FILE,
    FEDERATED_TOKEN_SOURCE, Inputs, POP_CLAIMS, POP_ENABLED, TENANT_ID,
};
use crate::os::BoxFuture;

use super::federated_inputs::source_request;
use super::token_request::token_request;
use super::{Acquire, Login, Method, WriteRule};

/// `--login workloadidentity`.
pub(super) static METHOD: Method = Method {
    name: "workloadidentity",
    about: "a pod or a build job signs in with its own token",
    arguments: &[
        WriteRule::FlagOnly.of(&CLIENT_ID),
        WriteRule::FlagOnly.of(&TENANT_ID),
        WriteRule::Inherited.of(&AUTHORITY_HOST),
        WriteRule::FlagOnly.of(&FEDERATED_TOKEN_FILE),
        WriteRule::Inherited.of(&FEDERATED_TOKEN_SOURCE).replaced_by(&FEDERATED_TOKEN_FILE),
        WriteRule::Inherited.of(&FEDERATED_AUDIENCE),
        WriteRule::Inherited.of(&DISABLE_TOKEN_PROXY),
        WriteRule::InheritedUnlessDefault.of(&ENVIRONMENT),
        WriteRule::Inherited.of(&POP_ENABLED),
        WriteRule::Inherited.of(&POP_CLAIMS),
    ],
    variables: &[],
    parse,
};

/// An identity that trusts another issuer.
pub(super) struct Workload {
    client: ClientId,
    request: Rc<TokenRequest>,
    source: Box<dyn AssertionSource>,
    proxy: Option<TokenProxy>,
}

fn parse(inputs: &Inputs) -> Result<Login, Error> {
    let client = inputs.values.require(&CLIENT_ID, "client ID cannot be empty")?;
    let request = token_request(inputs)?;
    let wanted = source_request(inputs)?;
    let source = federated::choose(&wanted)?.ok_or_else(|| federated::absent(&wanted))?;
    let proxy = proxy(inputs, &*source)?;
    Ok(login(&METHOD, client, request, source, proxy))
}

/// The token proxy of a cluster takes its pods' own tokens and no others.
fn proxy(inputs: &Inputs, source: &dyn AssertionSource) -> Result<Option<TokenProxy>, Error> {
    if inputs.values.is_on(&DISABLE_TOKEN_PROXY) || !source.may_be_a_pods() {
        return Ok(None);
    }
    TokenProxy::from_env(inputs.env)
}

/// The login by `method` of `client` with what `source` gives.
pub(super) fn login(
    method: &Method,
    client: ClientId,
    request: TokenRequest,
    source: Box<dyn AssertionSource>,
    proxy: Option<TokenProxy>,
) -> Login {
    let request = Rc::new(request);
    let workload = Workload { client, request: request.clone(), source, proxy };
    Login { request: Some(request), ..Login::new(workload.key(method), workload) }
}

impl Acquire for Workload {
    fn acquire<'a>(&'a self, session: &'a Session<'a>) -> BoxFuture<'a, TokenResponse> {
        let Self { client, request, source, proxy } = self;
        Box::pin(
            async move { Exchange { session, request, client, source: &**source, proxy: proxy.as_ref() }.run().await },
        )
    }
}

impl Workload {
    fn key(&self, method: &Method) -> CacheKey {
        let mut key = method.key();
        self.request.add_to_key(&mut key);
        key.field("client", self.client.as_str());
        self.source.add_to_key(&mut key);
        if let Some(proxy) = &self.proxy {
            key.field("token-proxy", proxy.address());
        }
        key
    }
}

#[cfg(test)]
mod tests {
    use super::super::Spec;
    use super::super::fake::{EXEC, with_inputs};
    use crate::federated::fake::token;

    fn name_of(spec: &Spec) -> crate::cache_key::CacheKey {
        spec.login.key.clone()
    }

    /// What `then` makes of what the line asks for.
    fn parsed<const N: usize, T>(line: &str, env: [(&str, &str); N], then: fn(&Spec) -> T) -> Result<T, String> {
        let line = format!("-l workloadidentity --server-id SRV {line}");
        with_inputs(&line, env, |inputs| Spec::parse(inputs).map(|spec| then(&spec)).map_err(|error| error.to_string()))
    }

    const IDS: &str = "--client-id CID -t T";

    #[test]
    fn what_is_missing_in_the_order_of_kubelogin() {
        let error = |line| parsed(line, [], |_| ()).err().unwrap();
        assert_eq!(error(""), "client ID cannot be empty; give --client-id or set AZURE_CLIENT_ID");
        assert_eq!(error("--client-id CID"), "tenant ID cannot be empty; give --tenant-id or set AZURE_TENANT_ID");
        assert!(
            error(IDS)
                .starts_with("federated token file cannot be empty; give --federated-token-file or set AZURE_FED")
        );
    }

    #[test]
    fn identity_by_source_client_and_proxy() {
        let jwt = token("s", "x");
        let known = |line: &str, proxy: &str| {
            let file = tempfile::NamedTempFile::new().unwrap();
            crate::os::files::replace(file.path(), jwt.as_bytes()).unwrap();
            let path = file.path().to_str().unwrap();
            let env = [("AZURE_FEDERATED_TOKEN_FILE", path), ("AZURE_KUBERNETES_TOKEN_PROXY", proxy), ("JWT", &jwt)];
            parsed(line, env, name_of).unwrap()
        };
        let usual = || known(IDS, "");
        assert!(usual() == known(IDS, ""), "another file with a token for the same");
        assert!(usual() != known("--client-id OTHER -t T", ""));
        assert!(usual() != known(IDS, "https://proxy.example/"));
        assert!(usual() == known(&format!("{IDS} --disable-token-proxy"), "https://proxy.example/"));
        let of_a_job = format!("{IDS} --federated-token-source env:JWT");
        assert!(usual() == known(&of_a_job, "https://proxy.example/"), "the proxy takes tokens of pods only");
    }

    #[test]
    fn an_authority_that_only_the_kubeconfig_names_gets_no_assertion() {
        let line = format!("{IDS} --authority-host https://evil.example/ --federated-token-file /x");
        let outcome = |spec: &Spec| {
            let own = spec.login.secret_in_entry;
            (own, spec.login.request.as_ref().unwrap().authority.check_secret_allowed(own).is_err())
        };
        assert_eq!(parsed(&line, [EXEC], outcome), Ok((false, true)));
    }
}
