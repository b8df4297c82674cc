//! The instance metadata service: virtual machines, scale sets, AKS nodes, Container Instances; and
//! what stands in its place, such as AAD Pod Identity (NMI) in pods of old clusters.

use std::time::Duration;

use crate::error::{Error, ErrorKind};
use crate::net::{self, Retry, is_busy};
use crate::os::env::Env;
use crate::sys::Sys;
use crate::sys::http::{Request, TOKEN_GIVER, Transport};

use super::{
    ELSEWHERE, Host, IdentityError, IdentityRequest, ManagedIdentitySource, OF_IMDS, address, question, unknown,
};

/// Another address of IMDS, as Microsoft's SDKs take it.
const AUTHORITY_HOST: &str = "AZURE_POD_IDENTITY_AUTHORITY_HOST";
const ADDRESS: &str = "http://169.254.169.254/";
const PATH: &str = "/metadata/identity/oauth2/token";

/// The instance metadata service.
pub(super) struct Imds(Host);

impl Imds {
    pub(super) fn from_env(env: &Env) -> Result<Self, Error> {
        let named = env.get(AUTHORITY_HOST);
        let mut endpoint = address(named.unwrap_or(ADDRESS), AUTHORITY_HOST)?;
        endpoint.set_path(&format!("{}{PATH}", endpoint.path().trim_end_matches('/')));
        Ok(Self(Host { name: "IMDS", endpoint, named_by: named.map(|_| AUTHORITY_HOST), parameters: OF_IMDS }))
    }
}

impl ManagedIdentitySource for Imds {
    fn host(&self) -> &Host {
        &self.0
    }

    fn request(&self, wanted: &IdentityRequest) -> Request {
        Request::get(question(&self.0, "2018-02-01", wanted), &TOKEN_GIVER)
            .header("Metadata", "true")
            .over(Transport::Direct)
    }

    fn is_certain(&self) -> bool {
        false
    }

    fn retry(&self) -> &'static Retry {
        &RETRY
    }

    /// A 410 may last 70 s, and NMI looks for a pod's identity for up to 100 s before it answers.
    fn default_timeout(&self) -> Duration {
        Duration::from_secs(150)
    }

    fn explain(&self, refusal: &IdentityError, wanted: &IdentityRequest) -> Option<Error> {
        let of_nmi = ["azureassignedidentity", "azure identity", "azureidentity"].iter().any(|part| refusal.says(part));
        match refusal.status {
            400 if refusal.says("multiple") => Some(several()),
            400 if refusal.says("identity not found") && wanted.selector.is_none() => Some(none()),
            400 if refusal.says("identity not found") => Some(unknown(wanted.selector.as_ref(), "machine")),
            401 if refusal.says("unknown_source") => Some(unknown_source()),
            403 if refusal.says("unreachable") => Some(docker_desktop()),
            403 if of_nmi => Some(not_bound(wanted)),
            404 if refusal.says("no azure identity found") => Some(not_bound(wanted)),
            404 if of_nmi => Some(not_bound_yet()),
            404 | 410 => Some(updating(refusal.status)),
            _ => None,
        }
    }

    fn absent(&self) -> Error {
        let host = net::host(&self.0.endpoint);
        let what = format!(
            "no managed identity service answers at {host}: this is no Azure VM or pod, or its network blocks it"
        );
        let error = Error::new(ErrorKind::NoIdentityHost, what);
        match self.0.named_by {
            None => error.remedy(ELSEWHERE),
            Some(variable) => error.from_source(variable).remedy(format!("unset {variable}, or {ELSEWHERE}")),
        }
    }
}

/// Five attempts, two seconds and doubling, for 404 (the endpoint is being updated), 429 and 5xx; a
/// 410 (an upgrade) is waited out for its 70 s. From "retry guidance" and "error handling" of
/// Microsoft's "How to use managed identities on an Azure VM to acquire an access token".
///
/// Container Instances are said to answer 400 for a while after their start (kubelogin #79). How long
/// is not known, and nothing reliable tells them from a machine without that identity: a 400 stands.
static RETRY: Retry = Retry {
    pauses: |status| {
        const PAUSES: [Duration; 4] = seconds([2, 4, 8, 16]);
        const UPGRADE: [Duration; 5] = seconds([5, 10, 20, 20, 20]);
        match status {
            410 => &UPGRADE,
            404 => &PAUSES,
            status if is_busy(status) => &PAUSES,
            _ => &[],
        }
    },
    ..super::RETRY
};

const fn seconds<const N: usize>(numbers: [u64; N]) -> [Duration; N] {
    let mut times = [Duration::ZERO; N];
    let mut index = 0;
    while index < N {
        times[index] = Duration::from_secs(numbers[index]);
        index += 1;
    }
    times
}

fn none() -> Error {
    let what = "this machine has no system-assigned identity, and not exactly one user-assigned";
    Error::new(ErrorKind::IdentityUnknown, what).remedy("assign one to the machine, or name one with --client-id")
}

fn several() -> Error {
    Error::new(ErrorKind::OptionMissing, "this machine has more than one user-assigned identity")
        .remedy("name one with --client-id")
}

fn unknown_source() -> Error {
    Error::new(ErrorKind::HostRefused, "IMDS does not know where the request came from")
        .remedy("run this on the machine itself, with nothing in between that forwards the request")
}

/// Docker Desktop's proxy takes connections for any address (azidentity treats its answer the same).
fn docker_desktop() -> Error {
    Error::new(ErrorKind::NoIdentityHost, "Docker Desktop answers in place of a managed identity service")
        .remedy(ELSEWHERE)
}

/// NMI answers 403 where it has found no identity, not even one that is about to be assigned
/// (aad-pod-identity, `pkg/nmi/server`).
fn not_bound(wanted: &IdentityRequest) -> Error {
    let which = wanted.selector.as_ref().map(|selector| format!(" with {} {}", selector.by.words(), selector.id));
    let what = format!("AAD Pod Identity has bound no identity{} to this pod", which.unwrap_or_default());
    let error = Error::new(ErrorKind::IdentityUnknown, what)
        .remedy("bind one (AzureIdentityBinding), or move to workload identity (-l workloadidentity)");
    match &wanted.selector {
        None => error,
        Some(selector) => error.from_source(&selector.source),
    }
}

/// And 404 where one was about to be assigned for 100 s.
fn not_bound_yet() -> Error {
    Error::new(ErrorKind::Unavailable, "AAD Pod Identity has not assigned the identity of this pod yet")
}

fn updating(status: u16) -> Error {
    Error::new(ErrorKind::Unavailable, format!("IMDS is being updated (HTTP {status})"))
}

/// No service on the machine itself takes longer; most of it is for the connection, see
/// [`Transport::Probe`].
const PROBE_LIMIT: Duration = Duration::from_millis(500);

/// What a probe has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProbeResult {
    /// IMDS is there.
    Imds,
    /// Something answers that may be IMDS at another time: it answers 404 and 5xx while it is being
    /// updated, as does many a proxy for whatever it does not know.
    Unclear,
    /// Somebody takes the connection and does not answer in time: IMDS on a busy machine, or a network
    /// that takes every connection.
    Slow,
    /// Nobody answers, or something else does.
    Nobody,
}

/// Whether IMDS is there, told within half a second: it refuses a request without the `Metadata`
/// header with 400, and asks for patience with 410 and 429. Nothing is asked twice.
pub(crate) async fn probe(sys: &Sys) -> ProbeResult {
    let Ok(imds) = Imds::from_env(&sys.env) else { return ProbeResult::Nobody };
    let mut url = imds.0.endpoint;
    url.query_pairs_mut().append_pair("api-version", "2018-02-01");
    let request = Request::get(url, &TOKEN_GIVER).over(Transport::Probe);
    let answer = sys.http.send(&request, PROBE_LIMIT, &*sys.clock).await;
    match answer.map(|answer| answer.status) {
        Ok(400 | 410 | 429) => ProbeResult::Imds,
        Ok(404 | 500..) => ProbeResult::Unclear,
        Err(error) if error.kind() == ErrorKind::Deadline => ProbeResult::Slow,
        _ => ProbeResult::Nobody,
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::{Answers, Outcome, answer, ask, by, granted};
    use super::*;
    use crate::managed_identity::IdKind;

    use crate::sys::http::fake::{FakeHttp, Recorded};
    use crate::sys::http::{Method, Response};

    fn imds(answers: Answers) -> Outcome {
        ask([], None, answers)
    }

    fn statuses(statuses: &[u16]) -> Outcome {
        imds(statuses.iter().map(|status| if *status == 200 { granted() } else { answer(*status, "") }).collect())
    }

    #[test]
    fn the_request() {
        let outcome = ask([], Some(by(IdKind::Client)), vec![granted()]);
        assert_eq!(outcome.result.unwrap().access_token.expose(), "TOKEN");
        let expected = Recorded {
            method: Method::Get,
            url: "http://169.254.169.254/metadata/identity/oauth2/token?api-version=2018-02-01&resource=6dae42f8&client_id=ID".into(),
            headers: vec![("Metadata", "true".into())],
            body: String::new(),
            way: Transport::Direct,
        };
        assert_eq!(outcome.requests, [expected]);
    }

    #[test]
    fn another_address_keeps_the_path() {
        for address in ["http://127.0.0.1:2579", "http://127.0.0.1:2579/", "http://127.0.0.1:2579/below/"] {
            let imds = Imds::from_env(&Env::from([(AUTHORITY_HOST, address)])).unwrap();
            let base = address.trim_end_matches('/');
            assert_eq!(imds.0.endpoint.as_str(), format!("{base}/metadata/identity/oauth2/token"));
        }
    }

    #[test]
    fn waits_between_attempts() {
        for (given, seconds) in [
            (&[404, 200][..], 2),
            (&[429, 500, 503, 504, 200], 30),
            (&[410, 410, 410, 410, 410, 200], 75),
            (&[404, 410, 410, 200], 32),
        ] {
            let outcome = statuses(given);
            assert!(outcome.result.is_ok());
            assert_eq!((outcome.requests.len(), outcome.seconds), (given.len(), seconds), "{given:?}");
        }
    }

    #[test]
    fn waits_end() {
        for (given, seconds, words) in [
            (&[404; 5][..], 30, "IMDS is being updated (HTTP 404); wait, then run the command again"),
            (&[503; 5], 30, "IMDS answered HTTP 503; wait, then run the command again"),
            (&[410; 6], 75, "IMDS is being updated (HTTP 410); wait, then run the command again"),
        ] {
            let outcome = statuses(given);
            assert!(outcome.is(ErrorKind::Unavailable));
            assert_eq!((outcome.seconds, outcome.error()), (seconds, words.into()));
        }
        let asked = Response { status: 503, retry_after: Some(Duration::from_secs(200)), ..Response::default() };
        assert!(imds(vec![Ok(asked)]).error().starts_with("IMDS answered HTTP 503 and asks to wait 200 s;"));
    }

    #[test]
    fn refusals() {
        let not_found = r#"{"error":"invalid_request","error_description":"Identity not found"}"#;
        let several = r#"{"error":"invalid_request","error_description":"Multiple user assigned identities exist, please specify the clientId / resourceId of the identity in the token request"}"#;
        let nmi = "no AzureAssignedIdentity found for pod:default/demo in assigned state\n";
        for (status, body, kind, words) in [
            (
                400,
                not_found,
                ErrorKind::IdentityUnknown,
                "this machine has no system-assigned identity, and not exactly one user-assigned; assign one to the machine, or name one with --client-id",
            ),
            (
                400,
                several,
                ErrorKind::OptionMissing,
                "this machine has more than one user-assigned identity; name one with --client-id",
            ),
            (
                401,
                r#"{"error":"unknown_source"}"#,
                ErrorKind::HostRefused,
                "IMDS does not know where the request came from; run this on the machine itself, with nothing in between that forwards the request",
            ),
            (
                403,
                "connecting to 169.254.169.254:80: connecting to 169.254.169.254:80: dial tcp 169.254.169.254:80: connectex: A socket operation was attempted to an unreachable network.",
                ErrorKind::NoIdentityHost,
                "Docker Desktop answers in place of a managed identity service; sign in in another way (-l azurecli, -l workloadidentity or -l spn)",
            ),
            (
                403,
                nmi,
                ErrorKind::IdentityUnknown,
                "AAD Pod Identity has bound no identity to this pod; bind one (AzureIdentityBinding), or move to workload identity (-l workloadidentity)",
            ),
            (
                400,
                r#"{"error":"bad_request_102","error_description":"Required metadata header not specified"}"#,
                ErrorKind::HostRefused,
                "IMDS gives no token: bad_request_102: Required metadata header not specified (HTTP 400); check the identity and --server-id",
            ),
        ] {
            let outcome = imds(vec![answer(status, body)]);
            assert!(outcome.is(kind), "{body}");
            assert_eq!((outcome.error().as_str(), outcome.seconds), (words, 0));
        }
        let named = ask([], Some(by(IdKind::Client)), vec![answer(400, not_found)]);
        assert_eq!(
            named.error(),
            "no identity with client ID ID is assigned to this machine (--client-id); \
             assign it to the machine, or correct --client-id"
        );
        assert_eq!(named.result.unwrap_err().details(), ["IMDS says: invalid_request: Identity not found (HTTP 400)"]);
        let yet = imds(vec![answer(404, nmi), answer(404, nmi), answer(404, nmi), answer(404, nmi), answer(404, nmi)]);
        assert!(yet.error().starts_with("AAD Pod Identity has not assigned the identity of this pod yet; wait, then"));
    }

    #[test]
    fn nobody_answers() {
        let gone = |kind| Err(Error::new(kind, "169.254.169.254 does not answer"));
        let broken = || gone(ErrorKind::ConnectionBroken);
        for answers in [vec![gone(ErrorKind::ConnectionRefused)], vec![broken(), broken(), broken()]] {
            let outcome = imds(answers);
            assert!(outcome.is(ErrorKind::NoIdentityHost));
            assert_eq!(
                outcome.error(),
                "no managed identity service answers at 169.254.169.254: this is no Azure VM or pod, or its network \
                 blocks it; sign in in another way (-l azurecli, -l workloadidentity or -l spn)"
            );
        }
    }

    fn probed(answer: Result<Response, Error>) -> (ProbeResult, Vec<Recorded>) {
        let http = FakeHttp::answering([answer]);
        let requests = http.requests.clone();
        let sys = Sys { http: Box::new(http), ..Sys::fake() };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        (runtime.block_on(probe(&sys)), requests.take())
    }

    #[test]
    fn a_probe_asks_once_and_without_the_header() {
        let (seen, requests) = probed(answer(400, ""));
        assert!(seen == ProbeResult::Imds && requests.len() == 1 && requests[0].headers.is_empty());
        assert_eq!(requests[0].url, "http://169.254.169.254/metadata/identity/oauth2/token?api-version=2018-02-01");
        let cases = [
            (ProbeResult::Imds, &[410, 429][..]),
            (ProbeResult::Unclear, &[404, 500, 503]),
            (ProbeResult::Nobody, &[200, 302, 401, 403]),
        ];
        for (seen, statuses) in cases {
            for status in statuses {
                assert_eq!(probed(answer(*status, "")).0, seen, "{status}");
            }
        }
        let (seen, requests) = probed(Err(Error::new(ErrorKind::ConnectionBroken, "broken")));
        assert!(seen == ProbeResult::Nobody && requests.len() == 1);
    }
}
