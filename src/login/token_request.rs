//! What the options ask of Entra.

use url::Url;

use crate::azure::cloud::{self, Cloud};
use crate::azure::id::TenantId;
use crate::azure::stack_file;
use crate::entra::authority::{Authority, Trust};
use crate::entra::pop::{PopHost, TokenBinding};
use crate::entra::{Audience, TokenRequest};
use crate::error::{Error, ErrorKind};
use crate::options::{AUTHORITY_HOST, ENVIRONMENT, Inputs, LEGACY, POP_CLAIMS, POP_ENABLED, TENANT_ID, Values};

/// What `inputs` ask for.
///
/// # Errors
/// A missing tenant or server id, an unknown cloud, an authority that can't be understood.
pub(super) fn token_request(inputs: &Inputs) -> Result<TokenRequest, Error> {
    let server = inputs.audience()?;
    let authority = authority(inputs)?;
    let audience = if inputs.values.is_on(&LEGACY) { Audience::Resource(server) } else { Audience::scope(&server) };
    Ok(TokenRequest::new(authority, audience, token_binding(inputs)?))
}

/// The authority that `inputs` ask for: `--authority-host` before `--environment`.
///
/// # Errors
/// A missing tenant, an unknown cloud, an Azure Stack file that can't be read.
pub(crate) fn authority(inputs: &Inputs) -> Result<Authority, Error> {
    let tenant = inputs.values.require(&TENANT_ID, "tenant ID cannot be empty")?;
    let cloud = inputs.values.require(&ENVIRONMENT, "environment cannot be empty")?;
    match inputs.values.get(&AUTHORITY_HOST)? {
        Some(host) => Ok(Authority::new(host.url().clone(), tenant, trust(host.url(), inputs))),
        None => of_cloud(cloud, tenant, inputs),
    }
}

fn of_cloud(cloud: Cloud, tenant: TenantId, inputs: &Inputs) -> Result<Authority, Error> {
    if let Some(host) = cloud.login_host() {
        let base = Url::parse(&format!("https://{host}/"));
        let base = base.map_err(|error| Error::new(ErrorKind::OptionInvalid, error.to_string()))?;
        return Ok(Authority::new(base, tenant, Trust::Known));
    }
    let base = stack_file::authority(inputs.env)?.url().clone();
    let by_user = inputs.env.trusted(stack_file::STACK_FILE).is_some();
    let trust = Trust::in_named(&base, by_user, stack_file::STACK_FILE, inputs.env);
    Ok(Authority::new(base, tenant, trust))
}

/// Whose word `--authority-host` is.
fn trust(authority: &Url, inputs: &Inputs) -> Trust {
    let is_known =
        authority.port().is_none() && authority.host_str().is_some_and(|h| cloud::of_login_host(h).is_some());
    if is_known {
        return Trust::Known;
    }
    let source = inputs.values.source_text(&AUTHORITY_HOST);
    Trust::in_named(authority, inputs.says_user(&AUTHORITY_HOST), &source, inputs.env)
}

/// To what the token shall be bound. Where the entry does not say for which cluster, what kubectl says of the
/// cluster does: its extension, else the host of its API server, as in the draft.
///
/// # Errors
/// Azure/kubelogin's texts for one of the two options without the other, and claims that cannot be
/// understood.
fn token_binding(inputs: &Inputs) -> Result<TokenBinding, Error> {
    let cluster = inputs.exec.cluster.as_ref().and_then(PopHost::of_cluster);
    check_binding(inputs.values, cluster.is_some())?;
    if !inputs.values.is_on(&POP_ENABLED) {
        return Ok(TokenBinding::Bearer);
    }
    let claims = inputs.values.get(&POP_CLAIMS)?;
    claims.map(|claims| PopHost::new(claims.host)).or(cluster).map(TokenBinding::Pop).ok_or_else(no_claims)
}

/// Whether the options for bound tokens fit together, where kubectl says of the cluster what is
/// needed of it, or does not.
///
/// # Errors
/// One option without the other, or beside `--legacy`.
pub(crate) fn check_binding(values: &Values, cluster_is_told: bool) -> Result<(), Error> {
    match (values.is_on(&POP_ENABLED), values.get(&POP_CLAIMS)?) {
        (false, Some(_)) => Err(claims_alone()),
        (true, None) if !cluster_is_told => Err(no_claims()),
        (true, _) if values.is_on(&LEGACY) => Err(legacy_is_unbound()),
        _ => Ok(()),
    }
}

fn legacy_is_unbound() -> Error {
    Error::new(ErrorKind::Usage, "a token of the v1 endpoint cannot be bound to a key").remedy(format!(
        "give {} or {}, not both",
        LEGACY.decl.flag(),
        POP_ENABLED.decl.flag()
    ))
}

fn claims_alone() -> Error {
    let what = "pop-enabled flag is required to use the PoP token feature. Please provide both pop-enabled and \
                pop-claims flags";
    Error::new(ErrorKind::OptionMissing, what).remedy(format!("give {}", POP_ENABLED.decl.flag()))
}

fn no_claims() -> Error {
    let what = "if enabling pop token mode, please provide the pop-claims flag containing the PoP token claims as a \
                comma-separated string: `u=popClaimHost,key1=val1`";
    Error::new(ErrorKind::OptionMissing, what)
        .remedy("give --pop-claims u=ARM_ID_OF_THE_CLUSTER, or set provideClusterInfo: true in the exec entry")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entra::authority::TRUSTED_AUTHORITIES;
    use crate::exec_credential::ExecInfo;
    use crate::options::OptionSet;
    use crate::options::args::read;
    use crate::os::env::Env;

    /// Resolves a command line; `env` decides whether kubectl is the caller.
    fn authority<const N: usize>(line: &str, env: [(&str, &str); N]) -> Result<Authority, String> {
        let env = Env::from(env);
        let args: Vec<_> = line.split_whitespace().map(String::from).collect();
        let given = read(&args, OptionSet::TOKEN).unwrap();
        let values = Values::resolve(&given, &env);
        let exec = ExecInfo::from_env(&env).unwrap();
        let inputs = Inputs { given: &given, values: &values, env: &env, exec: &exec, audience: None };
        super::authority(&inputs).map_err(|error| error.to_string())
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

    fn binding(line: &str, info: &str) -> Result<Option<String>, String> {
        let env = Env::from([("KUBERNETES_EXEC_INFO", info)]);
        let args: Vec<_> = line.split_whitespace().map(String::from).collect();
        let given = read(&args, OptionSet::TOKEN).unwrap();
        let (values, exec) = (Values::resolve(&given, &env), ExecInfo::from_env(&env).unwrap());
        let parsed = token_binding(&Inputs { given: &given, values: &values, env: &env, exec: &exec, audience: None });
        parsed.map_err(|error| error.to_string()).map(|binding| match binding {
            TokenBinding::Bearer => None,
            TokenBinding::Pop(host) => Some(host.to_string()),
        })
    }

    #[test]
    fn one_option_without_the_other() {
        assert_eq!(binding("", ""), Ok(None));
        assert_eq!(binding("--pop-enabled --pop-claims u=/x", ""), Ok(Some("/x".into())));
        assert!(binding("--pop-enabled", "").unwrap_err().starts_with("if enabling pop token mode, please provide"));
        assert!(binding("--pop-claims u=/x", "").unwrap_err().starts_with("pop-enabled flag is required"));
        let both = binding("--pop-enabled --pop-claims u=/x --legacy", "").unwrap_err();
        assert_eq!(
            both,
            "a token of the v1 endpoint cannot be bound to a key; give --legacy or --pop-enabled, not both"
        );
    }

    #[test]
    fn the_cluster_says_for_whom_a_token_is_signed() {
        let of = |cluster: &str| binding("--pop-enabled", &format!(r#"{{"spec":{{"cluster":{cluster}}}}}"#));
        assert_eq!(of(r#"{"config":{"u":"/arm"}}"#), Ok(Some("/arm".into())));
        assert_eq!(of(r#"{"config":{"pop-claims":"u=/arm,k=v"}}"#), Ok(Some("/arm".into())));
        assert_eq!(of(r#"{"config":"/arm"}"#), Ok(Some("/arm".into())));
        assert_eq!(of(r#"{"config":"u=/arm"}"#), Ok(Some("/arm".into())));
        assert_eq!(of(r#"{"server":"https://c.example:6443/x"}"#), Ok(Some("c.example:6443".into())));
        assert_eq!(of(r#"{"server":"https://c.example:443"}"#), Ok(Some("c.example".into())));
        assert!(of(r#"{"config":{"x":1}}"#).is_err());
        let said = r#"{"spec":{"cluster":{"config":"/other"}}}"#;
        assert_eq!(binding("--pop-enabled --pop-claims u=/own", said), Ok(Some("/own".into())), "the entry goes first");
    }
}
