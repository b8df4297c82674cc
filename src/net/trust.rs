//! Which addresses may be asked for what proves an identity, and how an address is shown.

use url::Url;

/// `url` without the user and password in it, be they written well or badly.
pub(crate) fn without_password(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://***@{host}"),
        (None, Some((_, host))) => format!("***@{host}"),
        _ => url.to_owned(),
    }
}

/// A URL that may be asked for what proves an identity: https, or http to this machine and its host
/// (loopback and link-local addresses).
///
/// # Errors
/// What is wrong with it; passwords are not quoted.
pub(crate) fn local_or_https(text: &str) -> Result<Url, String> {
    https_or(is_local, "lie on this machine", text)
}

/// The same, or http to a private address (RFC 1918): App Service gives custom containers the address
/// of their host in its own network, such as `http://172.16.5.3:8081/msi/token/` (azure-cli #20196).
///
/// # Errors
/// What is wrong with it; passwords are not quoted.
pub(crate) fn private_or_https(text: &str) -> Result<Url, String> {
    https_or(is_private, "lie on this machine or at a private IPv4 address", text)
}

fn https_or(is_near: fn(&url::Host<&str>) -> bool, near: &str, text: &str) -> Result<Url, String> {
    let url = Url::parse(text).ok().filter(Url::has_host).ok_or("it is not a URL with a host")?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("it must hold no user name or password".into());
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if url.host().is_some_and(|host| is_near(&host)) => Ok(url),
        "http" => Err(format!("it must be https, or {near}")),
        _ => Err("it must be an http or https URL".into()),
    }
}

/// Whether `host` is this machine or lies on its link, where no proxy leads.
pub(crate) fn is_local(host: &url::Host<&str>) -> bool {
    match host {
        url::Host::Domain(name) => name.eq_ignore_ascii_case("localhost"),
        url::Host::Ipv4(address) => address.is_loopback() || address.is_link_local(),
        url::Host::Ipv6(address) => address.is_loopback() || address.is_unicast_link_local(),
    }
}

fn is_private(host: &url::Host<&str>) -> bool {
    is_local(host) || matches!(host, url::Host::Ipv4(address) if address.is_private())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_addresses_are_another_rule() {
        for near in
            ["http://172.16.5.3:8081/msi/token/", "http://10.0.0.4/", "http://192.168.1.1/", "http://127.0.0.1/"]
        {
            assert!(private_or_https(near).is_ok(), "{near}");
        }
        for far in ["http://172.32.0.1/", "http://192.169.1.1/", "http://8.8.8.8/", "http://100.64.0.1/", "http://x/"] {
            let why = "it must be https, or lie on this machine or at a private IPv4 address";
            assert_eq!(private_or_https(far), Err(why.into()), "{far}");
        }
        assert_eq!(private_or_https("http://[fd00::1]/").ok(), None);
        assert_eq!(local_or_https("http://10.0.0.4/"), Err("it must be https, or lie on this machine".into()));
    }
}
