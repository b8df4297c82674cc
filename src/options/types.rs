//! What option texts mean once they are parsed.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use crate::exec_credential::VERSIONS;

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
pub struct Subscription(String);

impl Subscription {
    /// Letters, digits, `.`, `_`, `-` and blanks, as in Azure/kubelogin: it becomes an argument of
    /// az, which on Windows is a batch file.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ' ');
        if text.chars().all(plain) && !text.starts_with('-') {
            return Ok(Self(text.to_owned()));
        }
        Err("invalid subscription: it holds characters that are not passed to az; its ID always works".into())
    }

    /// The subscription as given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A URL with a trailing slash under which tenants live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorityHost(Url);

impl AuthorityHost {
    /// An https URL without user, query or fragment, with a trailing slash.
    ///
    /// # Errors
    /// The texts of Azure/kubelogin.
    pub fn parse(text: &str) -> Result<Self, String> {
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
    pub fn url(&self) -> &Url {
        &self.0
    }
}

/// A path; empty texts never get here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilePath(pub PathBuf);

impl FilePath {
    /// Any text.
    ///
    /// # Errors
    /// A NUL, which no file system takes.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.contains('\0') { Err("a path holds no NUL".into()) } else { Ok(Self(text.into())) }
    }
}

/// A cloud of Azure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cloud {
    /// The worldwide one.
    Public,
    /// For the government of the United States.
    UsGovernment,
    /// China, run by 21Vianet.
    China,
    /// A private one, described by the file that `AZURE_ENVIRONMENT_FILEPATH` names.
    AzureStack,
}

/// The names of each cloud, compared without case; the first one is shown.
const CLOUDS: [(Cloud, &[&str]); 4] = [
    (Cloud::Public, &["AzurePublicCloud", "AzureCloud", "AzurePublic"]),
    (Cloud::UsGovernment, &["AzureUSGovernmentCloud", "AzureUSGovernment"]),
    (Cloud::China, &["AzureChinaCloud"]),
    (Cloud::AzureStack, &["AzureStackCloud"]),
];

impl Cloud {
    /// Reads a name. A typo must not end at the public cloud with another cloud's tenant and secret.
    ///
    /// # Errors
    /// The list of names.
    pub fn parse(text: &str) -> Result<Self, String> {
        let named = |names: &[&str]| names.iter().any(|name| name.eq_ignore_ascii_case(text));
        if let Some((cloud, _)) = CLOUDS.iter().find(|(_, names)| named(names)) {
            return Ok(*cloud);
        }
        let known = CLOUDS.map(|(_, names)| names[0]).join(", ");
        if text.eq_ignore_ascii_case("AzureGermanCloud") {
            return Err(format!("AzureGermanCloud was shut down in 2021, today's environments are {known}"));
        }
        Err(format!("the environment \"{text}\" is not known, the environments are {known}"))
    }
}

/// Where the federated tokens of a workload come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FederatedTokenSource {
    /// The file of `--federated-token-file`.
    File,
    /// GitHub Actions.
    GitHub,
    /// The service connection of an Azure Pipelines job.
    AzurePipelines,
    /// This variable.
    Variable(String),
    /// A GET of this address: https, or plain http on this machine.
    Url(Url),
    /// What this program prints. The text is kept as it was given: it is what a user allows.
    Command {
        /// The text after `command:`.
        text: String,
        /// Program and arguments.
        words: Vec<String>,
    },
}

impl FederatedTokenSource {
    /// `file`, `github`, `azure-pipelines`, `env:NAME`, `url:URL`, or `command:` with either words
    /// between blanks or a JSON list of texts.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text.split_once(':').map_or((text, ""), |(kind, rest)| (kind, rest.trim())) {
            ("file", "") => Ok(Self::File),
            ("github", "") => Ok(Self::GitHub),
            ("azure-pipelines", "") => Ok(Self::AzurePipelines),
            ("env", name) if !name.is_empty() && !name.contains(['=', ' ']) => Ok(Self::Variable(name.to_owned())),
            ("url", url) => local_or_https(url)
                .map(Self::Url)
                .map_err(|why| format!("the address for federated tokens cannot be used: {why}")),
            ("command", command) => words(command).map(|words| Self::Command { text: command.to_owned(), words }),
            _ => Err("the federated token source is not one of file, github, azure-pipelines, env:NAME, url:URL and command:PROGRAM ARGUMENTS".into()),
        }
    }
}

/// `text` of a source for people: an address without user, password and query, which may hold keys.
pub fn without_keys(text: &str) -> String {
    let Some(address) = text.strip_prefix("url:") else { return text.to_owned() };
    let address = without_password(address);
    match address.split_once(['?', '#']) {
        Some((address, _)) => format!("url:{address}?***"),
        None => format!("url:{address}"),
    }
}

/// `url` without the user and password in it, be they written well or badly.
pub fn without_password(url: &str) -> String {
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
pub fn local_or_https(text: &str) -> Result<Url, String> {
    https_or(is_local, "lie on this machine", text)
}

/// The same, or http to a private address (RFC 1918): App Service gives custom containers the address
/// of their host in its own network, such as `http://172.16.5.3:8081/msi/token/` (azure-cli #20196).
///
/// # Errors
/// What is wrong with it; passwords are not quoted.
pub fn private_or_https(text: &str) -> Result<Url, String> {
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
pub fn is_local(host: &url::Host<&str>) -> bool {
    match host {
        url::Host::Domain(name) => name.eq_ignore_ascii_case("localhost"),
        url::Host::Ipv4(address) => address.is_loopback() || address.is_link_local(),
        url::Host::Ipv6(address) => address.is_loopback() || address.is_unicast_link_local(),
    }
}

fn is_private(host: &url::Host<&str>) -> bool {
    is_local(host) || matches!(host, url::Host::Ipv4(address) if address.is_private())
}

fn words(command: &str) -> Result<Vec<String>, String> {
    let words: Vec<String> = if command.starts_with('[') {
        serde_json::from_str(command).map_err(|_| "the command is not a JSON list of texts".to_owned())?
    } else {
        command.split_whitespace().map(String::from).collect()
    };
    if words.first().is_none_or(String::is_empty) {
        return Err("the command names no program".into());
    }
    Ok(words)
}

/// How tokens are kept between runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// In sealed files.
    File,
    /// Not at all.
    None,
}

impl Storage {
    /// `file` or `none`.
    ///
    /// # Errors
    /// The list of kinds.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "file" => Ok(Self::File),
            "none" => Ok(Self::None),
            _ => Err(format!("the cache storage \"{text}\" is not known, the kinds are file and none")),
        }
    }
}

/// What a proof-of-possession token says of the cluster that it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PopClaims {
    /// The claim `u`: the ARM id of the cluster, letter by letter as the cluster knows it.
    pub host: String,
    /// Names of further claims; no server looks at them, and they are not sent.
    pub ignored: Vec<String>,
}

impl PopClaims {
    /// Reads `u=ARM_ID,name=value`. A value begins after the first `=`: Azure/kubelogin cuts it at the
    /// second.
    ///
    /// # Errors
    /// Azure/kubelogin's texts.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Err("failed to parse PoP token claims: no claims provided".into());
        }
        let malformed = "failed to parse PoP token claims. Ensure the claims are formatted as `key=value` with no \
                         extra whitespace";
        let (mut host, mut ignored) = (None, Vec::new());
        for claim in text.split(',') {
            let (name, value) = claim.split_once('=').ok_or(malformed)?;
            let (name, value) = (name.trim(), value.trim());
            if name.is_empty() || value.is_empty() {
                return Err(malformed.into());
            }
            if name == "u" { host = Some(value.to_owned()) } else { ignored.push(name.to_owned()) }
        }
        let host = host.ok_or(
            "required u-claim not provided for PoP token flow. Please provide the ARM ID of the cluster in the \
             format `u=<ARM_ID>`",
        )?;
        Ok(Self { host, ignored })
    }
}

/// An address on this machine that a browser is sent back to with the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedirectUrl {
    url: Url,
}

impl RedirectUrl {
    /// Reads an address. Entra registers `http://localhost` with any port; only a path has to be
    /// registered as it is (RFC 8252, section 7.3).
    ///
    /// # Errors
    /// Anything but plain HTTP on this machine, and what no redirect may have.
    pub fn parse(text: &str) -> Result<Self, String> {
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
    pub fn port(&self) -> Option<u16> {
        self.url.port()
    }

    /// The path, at least `/`.
    pub fn path(&self) -> &str {
        self.url.path()
    }

    /// The address with `port`, as Entra shall send the browser to it: without a path where there was
    /// none, since a path is compared letter by letter.
    pub fn with_port(&self, port: u16) -> String {
        let host = self.url.host_str().unwrap_or("localhost");
        let path = if self.url.path() == "/" { "" } else { self.url.path() };
        format!("http://{host}:{port}{path}")
    }
}

/// The form of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputFormat {
    /// Lines for people.
    Text,
    /// JSON for programs.
    Json,
}

impl OutputFormat {
    /// Reads a form.
    ///
    /// # Errors
    /// The forms that there are.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            other => Err(format!("unknown form \"{other}\": it must be text or json")),
        }
    }
}

/// Reads a version of the exec protocol, with or without its group.
///
/// # Errors
/// The versions that kubectl accepts.
pub fn exec_api_version(text: &str) -> Result<&'static str, String> {
    let named = |version: &&str| *version == text || version.rsplit('/').next() == Some(text);
    let version = VERSIONS.into_iter().find(named);
    version.ok_or_else(|| format!("unknown version \"{text}\": kubectl accepts v1 and v1beta1"))
}

/// A duration in Go's notation: `90s`, `1m0s`, `1.5h`, `0`, `-1s`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GoDuration {
    seconds: f64,
}

impl GoDuration {
    /// Reads Go's `time.ParseDuration` notation.
    ///
    /// # Errors
    /// Go's text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let invalid = || format!("time: invalid duration \"{text}\"");
        let (sign, mut rest) = match text.strip_prefix('-') {
            Some(rest) => (-1.0, rest),
            None => (1.0, text.strip_prefix('+').unwrap_or(text)),
        };
        if rest == "0" {
            return Ok(Self { seconds: 0.0 });
        }
        if rest.is_empty() {
            return Err(invalid());
        }
        let mut seconds = 0.0;
        while !rest.is_empty() {
            let (part, after) = duration_part(rest).ok_or_else(invalid)?;
            seconds += part;
            rest = after;
        }
        // Go counts nanoseconds in 64 bits: 292 years.
        if seconds > 9_223_372_036.0 {
            return Err(invalid());
        }
        Ok(Self { seconds: sign * seconds })
    }

    /// The duration, if it is longer than nothing.
    pub fn positive(self) -> Option<Duration> {
        Duration::try_from_secs_f64(self.seconds).ok().filter(|duration| !duration.is_zero())
    }
}

/// One number with its unit, in seconds, and what follows.
fn duration_part(text: &str) -> Option<(f64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, rest) = text.split_at(end);
    let number = if number == "." { return None } else { number.parse::<f64>().ok()? };
    let units =
        [("ns", 1e-9), ("us", 1e-6), ("µs", 1e-6), ("μs", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
    let (unit, factor) = units.into_iter().find(|(unit, _)| rest.starts_with(unit))?;
    Some((number * factor, &rest[unit.len()..]))
}

/// Go's `strconv.ParseBool`.
///
/// # Errors
/// Go's text.
pub fn go_bool(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err(format!("strconv.ParseBool: parsing \"{text}\": invalid syntax")),
    }
}

/// A verbosity. Numbers beyond 10 are 10, negative ones 0.
///
/// # Errors
/// Go's text.
pub fn level(text: &str) -> Result<u8, String> {
    let number: i32 = text.parse().map_err(|_| format!("strconv.ParseInt: parsing \"{text}\": invalid syntax"))?;
    Ok(u8::try_from(number.clamp(0, 10)).unwrap_or_default())
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
    fn durations_in_gos_notation() {
        let seconds = |text| GoDuration::parse(text).map(|d| d.seconds);
        assert_eq!(seconds("1m0s"), Ok(60.0));
        assert_eq!(seconds("1.5h"), Ok(5400.0));
        assert_eq!(seconds("300ms"), Ok(0.3));
        assert_eq!(seconds("-1s"), Ok(-1.0));
        assert_eq!(seconds("0"), Ok(0.0));
        for bad in ["", "5", "s", "1x", ".s", "1m 2s", "999999999999h", "-"] {
            assert_eq!(seconds(bad), Err(format!("time: invalid duration \"{bad}\"")), "{bad}");
        }
        assert_eq!(GoDuration::parse("-1s").unwrap().positive(), None);
        assert_eq!(GoDuration::parse("0").unwrap().positive(), None);
    }

    #[test]
    fn a_tenant_cannot_leave_its_place_in_the_path() {
        for bad in ["../x", "a/b", "a?b", "a#b", "a b", "..", "t\u{e9}"] {
            assert!(TenantId::parse(bad).is_err(), "{bad}");
        }
        assert!(TenantId::parse("contoso.onmicrosoft.com").is_ok());
    }

    #[test]
    fn claims_of_a_proof() {
        let host = |text| PopClaims::parse(text).map(|claims| claims.host);
        assert_eq!(host("u=/subscriptions/x/y"), Ok("/subscriptions/x/y".into()));
        assert_eq!(host(" u = /a=b , k=v"), Ok("/a=b".into()), "a value goes on after a second `=`");
        assert_eq!(PopClaims::parse("u=a,k=v,l=w").unwrap().ignored, ["k", "l"]);
        for (bad, text) in [
            ("", "no claims"),
            (" ", "no claims"),
            ("u", "key=value"),
            ("u=", "key=value"),
            ("k=v", "u-claim"),
            ("u=a,", "key=value"),
        ] {
            assert!(host(bad).unwrap_err().contains(text), "{bad}");
        }
    }

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

    #[test]
    fn token_sources() {
        let words = |text| match FederatedTokenSource::parse(text) {
            Ok(FederatedTokenSource::Command { words, .. }) => words,
            other => panic!("{other:?}"),
        };
        assert_eq!(words("command:gcloud  print  token"), ["gcloud", "print", "token"]);
        assert_eq!(words(r#"command:["a b", "c"]"#), ["a b", "c"]);
        for (text, shown) in [
            ("url:https://x.example/t?key=canary", "url:https://x.example/t?***"),
            ("url:https://x.example/t#canary", "url:https://x.example/t?***"),
            ("url:https://canary:canary?canary@x.example/", "url:https://***@x.example/"),
            ("url:https://x.example/t", "url:https://x.example/t"),
            ("command:a b?c", "command:a b?c"),
        ] {
            assert_eq!(without_keys(text), shown);
        }
        assert_eq!(FederatedTokenSource::parse("env:JWT"), Ok(FederatedTokenSource::Variable("JWT".into())));
        for bad in ["", "env:", "env", "files", "file:x", "command:", "command:[1]", "url:http://example.com/", "url:x"]
        {
            assert!(FederatedTokenSource::parse(bad).is_err(), "{bad}");
        }
        for local in ["http://localhost:1/x", "http://127.0.0.2/", "http://[::1]/", "http://169.254.129.2:80/t"] {
            assert!(local_or_https(local).is_ok(), "{local}");
        }
        assert!(!local_or_https("https://user:canary@x/").unwrap_err().contains("canary"));
    }

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
