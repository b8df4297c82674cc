//! The clouds of Azure: one table of what is found where.
//!
//! Of the sovereign clouds without a name in `--environment` only the hosts are known; what is marked so was not
//! verified against a live cloud.

use url::Url;

/// A cloud that can be named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cloud {
    /// The worldwide one.
    Public,
    /// For the government of the United States.
    UsGovernment,
    /// China, run by 21Vianet.
    China,
    /// A private one, described by the file that `AZURE_ENVIRONMENT_FILEPATH` names.
    AzureStack,
}

/// What is found where in one cloud.
#[derive(Debug)]
pub(crate) struct Endpoints {
    /// Which cloud it is, where it can be named.
    cloud: Option<Cloud>,
    /// The names of the cloud, compared without case; the first one is shown.
    names: &'static [&'static str],
    /// The hosts of Entra. They share accounts and tokens; the first one stands for all of them in the cache, and
    /// is the one that is asked.
    pub login_hosts: &'static [&'static str],
    /// For whom Entra wants federated tokens to be. That of the newer sovereign clouds is unverified.
    pub federated_audience: &'static str,
    /// Azure Resource Manager, where it is known.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "what get-credentials will ask; today a token can be had for it")
    )]
    pub arm: Option<Arm>,
    /// The domains of AKS's API servers. Those of the US government and China are unverified.
    pub api_server_domains: &'static [&'static str],
}

/// Azure Resource Manager of a cloud.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Arm {
    /// Where it is asked, with a trailing slash.
    pub endpoint: &'static str,
    /// The audience of its tokens, as az asks for it.
    pub audience: &'static str,
}

const PUBLIC_FEDERATION: &str = "api://AzureADTokenExchange";

/// Every cloud.
pub(crate) static CLOUDS: &[Endpoints] = &[
    Endpoints {
        cloud: Some(Cloud::Public),
        names: &["AzurePublicCloud", "AzureCloud", "AzurePublic"],
        login_hosts: &["login.microsoftonline.com", "login.windows.net", "login.microsoft.com", "sts.windows.net"],
        federated_audience: PUBLIC_FEDERATION,
        arm: Some(Arm { endpoint: "https://management.azure.com/", audience: "https://management.core.windows.net/" }),
        api_server_domains: &["azmk8s.io"],
    },
    Endpoints {
        cloud: Some(Cloud::UsGovernment),
        names: &["AzureUSGovernmentCloud", "AzureUSGovernment"],
        login_hosts: &["login.microsoftonline.us", "login.usgovcloudapi.net"],
        federated_audience: "api://AzureADTokenExchangeUSGov",
        arm: Some(Arm {
            endpoint: "https://management.usgovcloudapi.net/",
            audience: "https://management.core.usgovcloudapi.net/",
        }),
        api_server_domains: &["aks.containerservice.azure.us"],
    },
    Endpoints {
        cloud: Some(Cloud::China),
        names: &["AzureChinaCloud"],
        login_hosts: &["login.chinacloudapi.cn", "login.partner.microsoftonline.cn"],
        federated_audience: "api://AzureADTokenExchangeChina",
        arm: Some(Arm {
            endpoint: "https://management.chinacloudapi.cn/",
            audience: "https://management.core.chinacloudapi.cn/",
        }),
        api_server_domains: &["service.azk8s.cn"],
    },
    Endpoints { cloud: Some(Cloud::AzureStack), names: &["AzureStackCloud"], ..unnamed(&[]) },
    unnamed(&["login.sovcloud-identity.fr"]),
    unnamed(&["login.sovcloud-identity.de"]),
    unnamed(&["login.sovcloud-identity.sg"]),
];

const fn unnamed(login_hosts: &'static [&'static str]) -> Endpoints {
    Endpoints {
        cloud: None,
        names: &[],
        login_hosts,
        federated_audience: PUBLIC_FEDERATION,
        arm: None,
        api_server_domains: &[],
    }
}

impl Cloud {
    /// Reads a name. A typo must not end at the public cloud with another cloud's tenant and secret.
    ///
    /// # Errors
    /// The list of names.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let is_called = |cloud: &&Endpoints| cloud.names.iter().any(|name| name.eq_ignore_ascii_case(text));
        if let Some(cloud) = CLOUDS.iter().find(is_called).and_then(|row| row.cloud) {
            return Ok(cloud);
        }
        let known: Vec<_> = CLOUDS.iter().filter_map(|cloud| cloud.names.first().copied()).collect();
        let known = known.join(", ");
        if text.eq_ignore_ascii_case("AzureGermanCloud") {
            return Err(format!("AzureGermanCloud was shut down in 2021, today's environments are {known}"));
        }
        Err(format!("the environment \"{text}\" is not known, the environments are {known}"))
    }

    /// The host of Entra in this cloud; a private one says it in its file.
    pub(crate) fn login_host(self) -> Option<&'static str> {
        CLOUDS.iter().find(|row| row.cloud == Some(self))?.login_hosts.first().copied()
    }
}

/// The cloud that `host` is Entra of, if it is one of Entra's.
pub(crate) fn of_login_host(host: &str) -> Option<&'static Endpoints> {
    CLOUDS.iter().find(|cloud| cloud.login_hosts.contains(&host))
}

/// Whether `server` is the address of an AKS API server, in any cloud.
pub(crate) fn is_aks_server(server: &str) -> bool {
    let Ok(url) = Url::parse(server) else { return false };
    let is_below = |host: &str, domain: &str| host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
    let mut domains = CLOUDS.iter().flat_map(|cloud| cloud.api_server_domains);
    url.host_str().is_some_and(|host| domains.any(|domain| is_below(host, domain)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_and_a_host_belong_to_one_cloud() {
        let names: Vec<_> = CLOUDS.iter().flat_map(|cloud| cloud.names).collect();
        let hosts: Vec<_> = CLOUDS.iter().flat_map(|cloud| cloud.login_hosts).collect();
        for all in [names, hosts] {
            for (index, one) in all.iter().enumerate() {
                assert!(!all[index + 1..].contains(one), "{one} stands in two clouds");
            }
        }
    }

    #[test]
    fn api_servers_by_their_domain() {
        for server in ["https://c-1.hcp.westeurope.azmk8s.io:443", "https://x.cx.aks.containerservice.azure.us"] {
            assert!(is_aks_server(server), "{server}");
        }
        for other in ["https://azmk8s.io", "https://evilazmk8s.io", "https://azmk8s.io.evil.example", "c.azmk8s.io", ""]
        {
            assert!(!is_aks_server(other), "{other}");
        }
    }
}
