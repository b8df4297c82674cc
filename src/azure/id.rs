//! Ids of clients, tenants and subscriptions, and the address of an authority.

use std::fmt;

use url::Url;

/// The id of a client application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientId(String);

impl ClientId {
    /// Any text without blanks or control characters; Entra decides about the rest.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err("invalid client ID: it holds blanks or control characters".into());
        }
        Ok(Self(text.to_owned()))
    }

    /// The id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A tenant: GUID, verified domain, `organizations`, `common`, or `adfs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantId(String);

impl TenantId {
    /// Letters, digits, `.` and `-` only: it becomes part of a URL's path.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.chars().all(|c| c.is_ascii_alphanumeric() || c == '.' || c == '-') && !text.starts_with('.') {
            return Ok(Self(text.to_owned()));
        }
        Err("invalid tenantID: a tenant is a GUID or a domain name".into())
    }

    /// The tenant as given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A subscription, by its id or its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Subscription(String);

impl Subscription {
    /// Letters, digits, `.`, `_`, `-` and blanks, as in Azure/kubelogin: it becomes an argument of
    /// az, which on Windows is a batch file.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ' ');
        if text.chars().all(plain) && !text.starts_with('-') {
            return Ok(Self(text.to_owned()));
        }
        Err("invalid subscription: it holds characters that are not passed to az; its ID always works".into())
    }

    /// The subscription as given.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// A URL with a trailing slash under which tenants live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AuthorityHost(Url);

impl AuthorityHost {
    /// An https URL without user, query or fragment, with a trailing slash.
    ///
    /// # Errors
    /// The texts of Azure/kubelogin.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.contains('@') {
            return Err("authority host is not valid: it must hold no user name or password".into());
        }
        let url = Url::parse(text).ok().filter(Url::has_host);
        let url = url.ok_or_else(|| format!("authority host \"{text}\" is not valid"))?;
        if url.query().is_some() || url.fragment().is_some() {
            return Err(format!("authority host \"{text}\" is not valid: it must end with its path"));
        }
        if !text.ends_with('/') {
            return Err(format!("authority host \"{text}\" should have a trailing slash"));
        }
        if url.scheme() != "https" {
            return Err("cannot use an authority host without https".into());
        }
        Ok(Self(url))
    }

    /// The URL; its path ends with a slash.
    pub(crate) fn url(&self) -> &Url {
        &self.0
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_cannot_leave_its_place_in_the_path() {
        for bad in ["../x", "a/b", "a?b", "a#b", "a b", "..", "t\u{e9}"] {
            assert!(TenantId::parse(bad).is_err(), "{bad}");
        }
        assert!(TenantId::parse("contoso.onmicrosoft.com").is_ok());
    }

    #[test]
    fn a_subscription_is_one_plain_argument() {
        assert!(Subscription::parse("Pay-As-You-Go 2.0_x").is_ok());
        for bad in ["a&b", "a;b", "a\"b", "a%b%", "$(a)", "--debug", "a\nb", "a^b"] {
            assert!(Subscription::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn authority_hosts() {
        let refusal = |text| AuthorityHost::parse(text).unwrap_err();
        assert!(AuthorityHost::parse("https://adfs.contoso.com/adfs/").is_ok());
        assert_eq!(refusal("foo"), "authority host \"foo\" is not valid");
        assert_eq!(refusal("https://a"), "authority host \"https://a\" should have a trailing slash");
        assert_eq!(refusal("http://a/"), "cannot use an authority host without https");
        for with_password in ["https://user:canary@a/", "https://user:canary@a", "user:canary@a"] {
            assert!(!refusal(with_password).contains("canary"));
        }
    }
}
