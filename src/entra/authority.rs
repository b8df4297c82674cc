//! Clouds, authority hosts, endpoints, and the rule that says which of them may see a secret.

use std::path::Path;

use serde::Deserialize;
use url::Url;

use crate::azure::cloud::Cloud;
use crate::azure::id::{AuthorityHost, TenantId};
use crate::cache_key::CacheKey;
use crate::error::{Error, ErrorKind};
use crate::net::host;
use crate::options::{AUTHORITY_HOST, ENVIRONMENT, Inputs, TENANT_ID, ValueSource};
use crate::os::env::Env;

use super::{Account, Audience};

/// Every host of Entra, grouped by cloud: the names in one group share their accounts and tokens,
/// the first one stands for all of them in the cache.
const KNOWN_HOSTS: [&[&str]; 6] = [
    &["login.microsoftonline.com", "login.windows.net", "login.microsoft.com", "sts.windows.net"],
    &["login.microsoftonline.us", "login.usgovcloudapi.net"],
    &["login.chinacloudapi.cn", "login.partner.microsoftonline.cn"],
    &["login.sovcloud-identity.fr"],
    &["login.sovcloud-identity.de"],
    &["login.sovcloud-identity.sg"],
];

/// The variable that names further authorities: hosts, with or without port, separated by commas.
pub const TRUSTED_AUTHORITIES: &str = "KUBENTRA_TRUSTED_AUTHORITIES";

/// A tenant of an authority.
#[derive(Debug, PartialEq, Eq)]
pub struct Authority {
    base: Url,
    tenant: TenantId,
    trust: Trust,
}

/// Who says that a secret may go to an authority.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Trust {
    /// It is one of Entra's.
    Known,
    /// The user named it.
    Named,
    /// Only the exec entry, that is, whoever wrote the kubeconfig.
    EntryOnly(ValueSource),
}

impl Authority {
    /// The authority that `choices` ask for: `--authority-host` before `--environment`.
    ///
    /// # Errors
    /// A missing tenant, an unknown cloud, an Azure Stack file that can't be read.
    pub fn resolve(choices: &Inputs) -> Result<Self, Error> {
        let tenant = choices.values.require(&TENANT_ID, "tenant ID cannot be empty")?;
        let cloud = choices.values.require(&ENVIRONMENT, "environment cannot be empty")?;
        if let Some(host) = choices.values.get(&AUTHORITY_HOST)? {
            let trust = trust(&host, choices);
            return Ok(Self { base: host.url().clone(), tenant, trust });
        }
        let known = |host| static_url(host).map(|url| (url, Trust::Known));
        let (base, trust) = match cloud {
            Cloud::Public => known("https://login.microsoftonline.com/")?,
            Cloud::UsGovernment => known("https://login.microsoftonline.us/")?,
            Cloud::China => known("https://login.chinacloudapi.cn/")?,
            Cloud::AzureStack => {
                let url = azure_stack(choices.env)?;
                let trust = trust_of_stack(&url, choices.env);
                (url, trust)
            }
        };
        Ok(Self { base, tenant, trust })
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
        let group = KNOWN_HOSTS.iter().find(|group| group.contains(&host.as_str()));
        group.map_or(host, |group| group[0].to_owned())
    }

    /// For whom Entra wants federated tokens to be, in this cloud. (That of the newer sovereign clouds
    /// and of private ones is unverified: the public one.)
    pub fn federated_audience(&self) -> &'static str {
        match self.environment().as_str() {
            "login.microsoftonline.us" => "api://AzureADTokenExchangeUSGov",
            "login.chinacloudapi.cn" => "api://AzureADTokenExchangeChina",
            _ => "api://AzureADTokenExchange",
        }
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

fn trust(authority: &AuthorityHost, choices: &Inputs) -> Trust {
    let name = authority.url().host_str().unwrap_or_default();
    let known = KNOWN_HOSTS.iter().any(|group| group.contains(&name)) && authority.url().port().is_none();
    if known {
        return Trust::Known;
    }
    if choices.says_user(&AUTHORITY_HOST) || named_in(choices.env, authority.url()) {
        return Trust::Named;
    }
    Trust::EntryOnly(choices.values.source(&AUTHORITY_HOST).cloned().unwrap_or(ValueSource::Default))
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

/// The one field that matters here of go-autorest's environment file.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StackFile {
    active_directory_endpoint: String,
}

/// The variable that names it.
const STACK_FILE: &str = "AZURE_ENVIRONMENT_FILEPATH";

fn trust_of_stack(authority: &Url, env: &Env) -> Trust {
    let named = env.trusted(STACK_FILE).is_some() || named_in(env, authority);
    if named { Trust::Named } else { Trust::EntryOnly(ValueSource::Variable(STACK_FILE)) }
}

fn azure_stack(env: &Env) -> Result<Url, Error> {
    let Some(path) = env.get(STACK_FILE) else {
        return Err(Error::new(ErrorKind::OptionMissing, "AzureStackCloud needs the file that describes the cloud")
            .remedy(format!("set {STACK_FILE} to it, or give --authority-host")));
    };
    let wrong = |why: String, remedy: &str| {
        Error::new(ErrorKind::File, format!("the Azure Stack file cannot be used: {why}"))
            .from_source(format!("{path}, named by {STACK_FILE}"))
            .remedy(remedy)
    };
    let mend = "write its activeDirectoryEndpoint as an https URL";
    let text = crate::os::files::read_text(Path::new(path), 1024 * 1024)
        .map_err(|error| wrong(crate::error::io_words(&error), &format!("correct {STACK_FILE}")))?;
    let file: StackFile =
        serde_json::from_str(text.trim_start_matches('\u{feff}')).map_err(|error| wrong(error.to_string(), mend))?;
    let mut endpoint = file.active_directory_endpoint;
    if !endpoint.ends_with('/') {
        endpoint.push('/');
    }
    AuthorityHost::parse(&endpoint).map(|host| host.url().clone()).map_err(|why| wrong(why, mend))
}

fn static_url(text: &str) -> Result<Url, Error> {
    Url::parse(text).map_err(|error| Error::new(ErrorKind::OptionInvalid, error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec_credential::ExecInfo;
    use crate::options::args::read;
    use crate::options::{Commands, Values};

    /// Resolves a command line; `env` decides whether kubectl is the caller.
    fn authority<const N: usize>(line: &str, env: [(&str, &str); N]) -> Result<Authority, String> {
        let env = Env::from(env);
        let args: Vec<_> = line.split_whitespace().map(String::from).collect();
        let given = read(&args, Commands::GET_TOKEN).unwrap();
        let values = Values::resolve(&given, &env);
        let exec = ExecInfo::from_env(&env).unwrap();
        let choices = Inputs { given: &given, values: &values, env: &env, exec: &exec };
        Authority::resolve(&choices).map_err(|error| error.to_string())
    }

    fn endpoint(line: &str, audience: &Audience) -> String {
        authority(line, []).unwrap().endpoint("token", audience).to_string()
    }

    const EXEC: (&str, &str) = ("KUBERNETES_EXEC_INFO", "{}");

    #[test]
    fn clouds_and_their_endpoints() {
        let v2 = Audience::Scope(String::new());
        let v1 = Audience::Resource(String::new());
        for (name, host) in [
            ("AzurePublicCloud", "login.microsoftonline.com"),
            ("azurecloud", "login.microsoftonline.com"),
            ("AZUREUSGOVERNMENT", "login.microsoftonline.us"),
            ("AzureChinaCloud", "login.chinacloudapi.cn"),
        ] {
            assert_eq!(endpoint(&format!("-t T -e {name}"), &v2), format!("https://{host}/T/oauth2/v2.0/token"));
            assert_eq!(
                endpoint(&format!("-t T -e {name}"), &v1),
                format!("https://{host}/T/oauth2/token?api-version=1.0")
            );
        }
    }

    #[test]
    fn a_user_name_is_one_segment_of_the_path() {
        let realm = |line: &str, name: &str| authority(line, []).unwrap().user_realm(name).map(String::from);
        let at = "https://login.microsoftonline.com/common/UserRealm/";
        for (name, segment) in
            [("a@b.c", "a@b.c"), ("a/b?c#d%@e f", "a%2Fb%3Fc%23d%25@e%20f"), ("jörg+x@b", "j%C3%B6rg+x@b")]
        {
            assert_eq!(realm("-t T", name), Some(format!("{at}{segment}?api-version=1.0")));
        }
        assert_eq!(realm("-t adfs --authority-host https://fs.contoso.com/adfs/", "a@b"), None);
    }

    #[test]
    fn an_unknown_cloud_is_an_error() {
        let error = authority("-t T -e AzurePublicClod", []).unwrap_err();
        assert_eq!(
            error,
            "the environment \"AzurePublicClod\" is not known, the environments are \
             AzurePublicCloud, AzureUSGovernmentCloud, AzureChinaCloud, AzureStackCloud (-e); correct -e"
        );
        assert!(authority("-t T -e AzureGermanCloud", []).unwrap_err().contains("shut down"));
    }

    #[test]
    fn adfs_has_neither_tenant_nor_version() {
        let v2 = Audience::Scope(String::new());
        for host in ["https://fs.contoso.com/adfs/", "https://fs.contoso.com/"] {
            let line = format!("-t adfs --authority-host {host}");
            assert_eq!(endpoint(&line, &v2), "https://fs.contoso.com/adfs/oauth2/token");
        }
    }

    #[test]
    fn azure_stack_takes_its_authority_from_the_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap();
        std::fs::copy("tests/cases/azure-stack.json", path).unwrap();
        let env = [("AZURE_ENVIRONMENT_FILEPATH", path), EXEC];
        let stack = authority("-t adfs -e AzureStackCloud", env).unwrap();
        assert_eq!(
            stack.endpoint("token", &Audience::Scope(String::new())).as_str(),
            "https://adfs.local.azurestack.external/adfs/oauth2/token"
        );
        stack.check_secret_allowed(false).unwrap();
        assert!(authority("-t T -e AzureStackCloud", []).unwrap_err().contains("AZURE_ENVIRONMENT_FILEPATH"));
    }

    #[test]
    fn a_foreign_authority_needs_the_users_word() {
        let line = "-t T --authority-host https://entra.example:8443/";
        let refusal = authority(line, [EXEC]).unwrap().check_secret_allowed(false).unwrap_err().to_string();
        assert_eq!(
            refusal,
            "entra.example:8443 is not a known Entra authority (--authority-host in the exec entry); \
             if it is yours, allow it with KUBENTRA_TRUSTED_AUTHORITIES=entra.example:8443"
        );
        authority(line, [EXEC]).unwrap().check_secret_allowed(true).unwrap();
        authority(line, []).unwrap().check_secret_allowed(false).unwrap();
        for allowed in ["entra.example", "a.b, ENTRA.example:8443"] {
            authority(line, [EXEC, (TRUSTED_AUTHORITIES, allowed)]).unwrap().check_secret_allowed(false).unwrap();
        }
        for other in ["example", "entra.example:443", "xentra.example"] {
            assert!(
                authority(line, [EXEC, (TRUSTED_AUTHORITIES, other)]).unwrap().check_secret_allowed(false).is_err(),
                "{other}"
            );
        }
        let by_host = [EXEC, ("AZURE_AUTHORITY_HOST", "https://entra.example:8443/")];
        authority(line, by_host).unwrap().check_secret_allowed(false).unwrap();
    }

    #[test]
    fn look_alikes_are_foreign() {
        for host in ["login.microsoftonline.com.evil.example", "login.microsoftonline.com:444", "evil.example"] {
            let line = format!("-t T --authority-host https://{host}/");
            assert!(authority(&line, [EXEC]).unwrap().check_secret_allowed(false).is_err(), "{host}");
        }
        let sovereign = "-t T --authority-host https://login.sovcloud-identity.fr/";
        authority(sovereign, [EXEC]).unwrap().check_secret_allowed(false).unwrap();
    }

    #[test]
    fn federated_audiences() {
        for (line, audience) in [
            ("-t T", "api://AzureADTokenExchange"),
            ("-t T -e AzureUSGovernment", "api://AzureADTokenExchangeUSGov"),
            ("-t T --authority-host https://login.partner.microsoftonline.cn/", "api://AzureADTokenExchangeChina"),
            ("-t T --authority-host https://entra.example/", "api://AzureADTokenExchange"),
        ] {
            assert_eq!(authority(line, []).unwrap().federated_audience(), audience, "{line}");
        }
    }

    #[test]
    fn aliases_of_a_cloud_share_their_place_in_the_cache() {
        let alias = authority("-t T --authority-host https://login.windows.net/", []).unwrap();
        assert_eq!(alias.environment(), authority("-t T", []).unwrap().environment());
    }
}
