//! Where the browser comes back to.

use url::Url;

use crate::net::trust::without_password;

/// An address on this machine that a browser is sent back to with the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RedirectUrl {
    url: Url,
}

impl RedirectUrl {
    /// Reads an address. Entra registers `http://localhost` with any port; only a path has to be
    /// registered as it is (RFC 8252, section 7.3).
    ///
    /// # Errors
    /// Anything but plain HTTP on this machine, and what no redirect may have.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let invalid = |why: &str| format!("the redirect URL \"{}\" is not valid: {why}", without_password(text));
        let url = Url::parse(text).map_err(|error| invalid(&error.to_string()))?;
        let here = match url.host() {
            Some(url::Host::Domain(name)) => name == "localhost",
            Some(url::Host::Ipv4(address)) => address == std::net::Ipv4Addr::LOCALHOST,
            Some(url::Host::Ipv6(address)) => address == std::net::Ipv6Addr::LOCALHOST,
            None => false,
        };
        if url.scheme() != "http" || !here {
            return Err(invalid("it must begin with http://localhost, as the answer comes to this machine"));
        }
        if url.port() == Some(0) {
            return Err(invalid("0 is no port"));
        }
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
            return Err(invalid("it must have nothing but a port and a path"));
        }
        Ok(Self { url })
    }

    /// The port that it names; without one any free port will do.
    pub(crate) fn port(&self) -> Option<u16> {
        self.url.port()
    }

    /// The path, at least `/`.
    pub(crate) fn path(&self) -> &str {
        self.url.path()
    }

    /// The address with `port`, as Entra shall send the browser to it: without a path where there was
    /// none, since a path is compared letter by letter.
    pub(crate) fn with_port(&self, port: u16) -> String {
        let host = self.url.host_str().unwrap_or("localhost");
        let path = if self.url.path() == "/" { "" } else { self.url.path() };
        format!("http://{host}:{port}{path}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_stay_on_this_machine() {
        let with = |text| RedirectUrl::parse(text).map(|url| (url.port(), url.with_port(9)));
        assert_eq!(with("http://localhost"), Ok((None, "http://localhost:9".into())));
        assert_eq!(with("http://localhost:8400/"), Ok((Some(8400), "http://localhost:9".into())));
        assert_eq!(with("http://127.0.0.1:8400/Back"), Ok((Some(8400), "http://127.0.0.1:9/Back".into())));
        assert_eq!(with("http://[::1]:8400"), Ok((Some(8400), "http://[::1]:9".into())));
        for bad in [
            "https://localhost:1",
            "http://example.com:1",
            "http://localhost.example.com",
            "http://0.0.0.0:1",
            "http://10.0.0.1",
            "http://localhost:1?x=y",
            "http://localhost:1#x",
            "http://u:p@localhost",
            "http://localhost:0",
            "localhost:8400",
            "",
        ] {
            assert!(with(bad).is_err(), "{bad}");
        }
    }
}
