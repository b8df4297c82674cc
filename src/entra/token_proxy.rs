//! AKS identity bindings: token requests of a pod go to a proxy of the cluster, which lifts the limit
//! of twenty federated credentials per identity. (Preview; unverified against a live cluster.)

use std::path::{Path, PathBuf};

use url::Url;

use crate::error::{Error, ErrorKind, io_words};
use crate::os::env::Env;
use crate::sys::http::{Server, ServerProxy, Transport};

const PROXY: &str = "AZURE_KUBERNETES_TOKEN_PROXY";
const SERVER_NAME: &str = "AZURE_KUBERNETES_SNI_NAME";
const CA_FILE: &str = "AZURE_KUBERNETES_CA_FILE";
const CA_DATA: &str = "AZURE_KUBERNETES_CA_DATA";

const WAY_OUT: &str = "ask Entra itself with --disable-token-proxy";

/// The proxy that a pod's token requests go to.
#[derive(Debug)]
pub(crate) struct TokenProxy {
    url: Url,
    name: Option<String>,
    ca: Ca,
}

#[derive(Debug)]
enum Ca {
    /// Read anew for each request: the cluster rotates it.
    File(PathBuf),
    Data(String),
    /// That of any public host.
    System,
}

impl TokenProxy {
    /// The proxy that the AKS webhook has named in `env`, if it has.
    ///
    /// # Errors
    /// An address that isn't one, two CAs, or a CA or server name without a proxy.
    pub(crate) fn from_env(env: &Env) -> Result<Option<Self>, Error> {
        let Some(text) = env.get(PROXY) else {
            let lost = [SERVER_NAME, CA_FILE, CA_DATA].into_iter().find(|name| env.get(name).is_some());
            let half =
                |name| unusable(format!("{name} is set and {PROXY} is not"), &format!("set {PROXY}, or {WAY_OUT}"));
            return lost.map_or(Ok(None), |name| Err(half(name)));
        };
        let ca = match (env.get(CA_FILE), env.get(CA_DATA)) {
            (Some(_), Some(_)) => {
                let what = format!("{CA_FILE} and {CA_DATA} are both set");
                return Err(unusable(what, &format!("unset one of them, or {WAY_OUT}")));
            }
            (Some(file), None) => Ca::File(file.into()),
            (None, Some(data)) => Ca::Data(data.to_owned()),
            (None, None) if env.get(SERVER_NAME).is_some() => {
                let what = format!("{SERVER_NAME} is set, and neither {CA_FILE} nor {CA_DATA} is");
                return Err(unusable(what, &format!("set one of them, or {WAY_OUT}")));
            }
            (None, None) => Ca::System,
        };
        Ok(Some(Self { url: address(text)?, name: env.get(SERVER_NAME).map(String::from), ca }))
    }

    /// Where a request for `endpoint` goes: the endpoint's path below the proxy's, its query kept.
    pub(crate) fn url(&self, endpoint: &Url) -> Url {
        let mut url = self.url.clone();
        url.set_path(&format!("{}{}", self.url.path().trim_end_matches('/'), endpoint.path()));
        url.set_query(endpoint.query());
        url
    }

    /// How the proxy is recognised.
    ///
    /// # Errors
    /// A CA file that can't be read.
    pub(crate) fn way(&self) -> Result<Transport, Error> {
        let roots = match &self.ca {
            Ca::System => return Ok(Transport::Direct),
            Ca::Data(text) => text.clone().into_bytes(),
            Ca::File(path) => read(path)?,
        };
        let server = Server::new("the token proxy", ServerProxy::Direct);
        let server = Server { roots: Some(roots), name: self.name.clone(), ..server };
        Ok(Transport::Server(Box::new(server)))
    }

    /// `error` of a request to the proxy: neither the certificates nor the proxies of this machine have
    /// a part in it.
    pub(crate) fn explain(&self, error: Error) -> Error {
        let remedy = if matches!(error.kind(), ErrorKind::Tls | ErrorKind::TlsName | ErrorKind::TlsClientCertificate) {
            let ca = if matches!(self.ca, Ca::Data(_)) { CA_DATA } else { CA_FILE };
            format!("correct {ca} or {SERVER_NAME}, or {WAY_OUT}")
        } else if error.kind().is_unreachable() {
            format!("look whether the token proxy runs, or {WAY_OUT}")
        } else {
            return error;
        };
        error.from_source(format!("the token proxy of {PROXY}")).remedy(remedy)
    }

    /// The proxy's address, for what tells one sign-in from another.
    pub(crate) fn address(&self) -> &str {
        self.url.as_str()
    }
}

fn address(text: &str) -> Result<Url, Error> {
    let url = Url::parse(text).ok().filter(|url| url.scheme() == "https" && url.has_host());
    let plain = |url: &Url| {
        url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none()
    };
    url.filter(plain).ok_or_else(|| {
        Error::new(ErrorKind::OptionInvalid, "the token proxy is not an https URL without user, query and fragment")
            .from_source(PROXY)
            .remedy(format!("correct {PROXY}; AKS sets it for pods with an identity binding"))
    })
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    crate::os::files::read_text(path, 1024 * 1024).map(String::into_bytes).map_err(|error| {
        Error::new(ErrorKind::File, format!("the CA of the token proxy cannot be read: {}", io_words(&error)))
            .from_source(format!("{}, named by {CA_FILE}", path.display()))
            .remedy(format!("correct {CA_FILE}"))
    })
}

fn unusable(what: String, remedy: &str) -> Error {
    Error::new(ErrorKind::OptionInvalid, what)
        .remedy(format!("{remedy} (AKS sets these variables for pods with an identity binding)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_endpoint_goes_below_the_proxys_path() {
        let proxy = |url| TokenProxy::from_env(&Env::from([(PROXY, url)])).unwrap().unwrap();
        let endpoint = Url::parse("https://login.microsoftonline.com/T/oauth2/v2.0/token?x=1").unwrap();
        let below = |url| proxy(url).url(&endpoint).to_string();
        assert_eq!(below("https://p.example:8443"), "https://p.example:8443/T/oauth2/v2.0/token?x=1");
        assert_eq!(below("https://p.example/a/"), "https://p.example/a/T/oauth2/v2.0/token?x=1");
    }

    #[test]
    fn half_a_binding_is_refused() {
        assert!(TokenProxy::from_env(&Env::default()).unwrap().is_none());
        let lost = TokenProxy::from_env(&Env::from([(CA_FILE, "/ca")])).unwrap_err().to_string();
        assert!(lost.starts_with("AZURE_KUBERNETES_CA_FILE is set and AZURE_KUBERNETES_TOKEN_PROXY is not;"), "{lost}");
        let two = Env::from([(PROXY, "https://p"), (CA_FILE, "/ca"), (CA_DATA, "PEM")]);
        assert!(TokenProxy::from_env(&two).is_err());
        for bad in ["http://p", "https://u:p@p", "https://p?q", "https://p#f", "p"] {
            assert!(TokenProxy::from_env(&Env::from([(PROXY, bad)])).is_err(), "{bad}");
        }
    }
}
