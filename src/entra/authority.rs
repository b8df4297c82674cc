//! Clouds, authority hosts, endpoints, and the rule that says which of them may see a secret.

use url::Url;

use crate::azure::cloud;
use crate::azure::id::TenantId;
use crate::cache_key::CacheKey;
use crate::error::{Error, ErrorKind};
use crate::net::host;
use crate::os::env::Env;

use super::{Account, Audience};

/// The variable that names further authorities: hosts, with or without port, separated by commas.
pub(crate) const TRUSTED_AUTHORITIES: &str = "KUBENTRA_TRUSTED_AUTHORITIES";

/// A tenant of an authority.
#[derive(Debug, PartialEq, Eq)]
pub struct Authority {
    base: Url,
    tenant: TenantId,
    trust: Trust,
}

/// Who says that a secret may go to an authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// It is one of Entra's.
    Known,
    /// The user named it.
    Named,
    /// Only the exec entry, that is, whoever wrote the kubeconfig; what named it there.
    EntryOnly(String),
}

impl Trust {
    /// Whose word `authority` is, where it is none of Entra's: the user's, who has named it by hand or in the
    /// environment, else that of the exec entry, in which `source` named it.
    pub fn in_named(authority: &Url, by_user: bool, source: &str, env: &Env) -> Self {
        if by_user || named_in(env, authority) { Self::Named } else { Self::EntryOnly(source.to_owned()) }
    }
}

impl Authority {
    /// The `tenant` of the authority at `base`, whose path ends with a slash.
    pub fn new(base: Url, tenant: TenantId, trust: Trust) -> Self {
        Self { base, tenant, trust }
    }

    /// Refuses an authority that only the exec entry names, before anything is sent to it.
    /// A secret that stands in that same entry may go where the entry says (`own_secret`).
    ///
    /// # Errors
    /// The refusal, with the line that would allow it.
    pub fn check_secret_allowed(&self, own_secret: bool) -> Result<(), Error> {
        let Trust::EntryOnly(source) = &self.trust else { return Ok(()) };
        if own_secret {
            return Ok(());
        }
        let host = host(&self.base);
        Err(Error::new(ErrorKind::UntrustedAuthority, format!("{host} is not a known Entra authority"))
            .from_source(format!("{source} in the exec entry"))
            .remedy(format!("if it is yours, allow it with {TRUSTED_AUTHORITIES}={host}")))
    }

    /// The endpoint `name` (`token`, `devicecode`) in the protocol version of `audience`.
    pub fn endpoint(&self, name: &str, audience: &Audience) -> Url {
        let mut url = self.base.clone();
        let version = match audience {
            Audience::Scope(_) if !self.is_adfs() => "v2.0/",
            _ => "",
        };
        url.set_path(&format!("{}oauth2/{version}{name}", self.tenant_path()));
        if matches!(audience, Audience::Resource(_)) && !self.is_adfs() {
            url.set_query(Some("api-version=1.0"));
        }
        url
    }

    /// Where Entra tells who checks the password of `username`; an AD FS knows its own users only.
    pub fn user_realm(&self, username: &str) -> Option<Url> {
        if self.is_adfs() {
            return None;
        }
        let mut url = self.base.clone();
        url.path_segments_mut().ok()?.pop_if_empty().extend(["common", "UserRealm", username]);
        url.set_query(Some("api-version=1.0"));
        Some(url)
    }

    /// The tenant that `account` is signed in to: the one that was given, and where that leaves it open,
    /// the home of the account.
    pub fn tenant_of<'a>(&'a self, account: Option<&'a Account>) -> &'a str {
        let given = self.tenant.as_str();
        let open = ["common", "organizations", "consumers"].iter().any(|word| given.eq_ignore_ascii_case(word));
        let home = account.and_then(|account| account.id.split_once('.')).map(|(_, home)| home);
        home.filter(|_| open).unwrap_or(given)
    }

    /// The host that stands for this cloud in the cache, whichever alias was used.
    pub fn environment(&self) -> String {
        let host = host(&self.base);
        let known = cloud::of_login_host(&host).and_then(|cloud| cloud.login_hosts.first());
        known.map_or(host, |first| (*first).to_owned())
    }

    /// For whom Entra wants federated tokens to be, in this cloud; in one that is not known (AD FS, Azure Stack) as
    /// in the public one, which is unverified.
    pub fn federated_audience(&self) -> &'static str {
        let cloud = cloud::of_login_host(&host(&self.base));
        cloud.map_or("api://AzureADTokenExchange", |cloud| cloud.federated_audience)
    }

    /// Writes what tells this authority from another into `identity`.
    pub fn add_to_key(&self, identity: &mut CacheKey) {
        identity.field("environment", &self.environment());
        identity.field("path", &self.tenant_path().to_ascii_lowercase());
    }

    /// Whether assertions are signed as Entra wants them today (PS256). Others, AD FS above all, know
    /// RS256 only.
    pub fn is_entra(&self) -> bool {
        self.trust == Trust::Known && !self.is_adfs()
    }

    /// AD FS has one tenant, literally `adfs`, and no versions in its paths.
    fn is_adfs(&self) -> bool {
        self.tenant_path().to_ascii_lowercase().ends_with("/adfs/")
    }

    /// `/TENANT/`; an authority that ends in `/adfs/` holds the tenant already.
    fn tenant_path(&self) -> String {
        let path = self.base.path();
        let tenant = self.tenant.as_str();
        if path.to_ascii_lowercase().ends_with("/adfs/") && tenant.eq_ignore_ascii_case("adfs") {
            return path.to_owned();
        }
        format!("{path}{tenant}/")
    }
}

/// Whether the user's environment names the host of `authority`.
fn named_in(env: &Env, authority: &Url) -> bool {
    let with_port =
        format!("{}:{}", authority.host_str().unwrap_or_default(), authority.port_or_known_default().unwrap_or(443));
    let is_it = |entry: &str| {
        entry.eq_ignore_ascii_case(&with_port) || authority.host_str().is_some_and(|h| entry.eq_ignore_ascii_case(h))
    };
    let listed = env.trusted(TRUSTED_AUTHORITIES).is_some_and(|list| list.split(',').any(|entry| is_it(entry.trim())));
    let same =
        |text: &str| Url::parse(text).is_ok_and(|url| url.host() == authority.host() && url.port() == authority.port());
    listed || env.trusted("AZURE_AUTHORITY_HOST").is_some_and(same)
}
