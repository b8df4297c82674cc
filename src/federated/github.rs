//! GitHub Actions gives a job tokens over HTTP (docs.github.com, `OpenID` Connect reference): a GET of
//! the request URL, which has a query already, with the audience added to it.

use ::url::Url;

use crate::cache_key::CacheKey;
use crate::error::{Error, ErrorKind};
use crate::net;
use crate::net::trust::local_or_https;
use crate::os::BoxFuture;
use crate::os::clock::Deadline;
use crate::os::env::Env;
use crate::secret::Secret;
use crate::sys::Sys;
use crate::sys::http::{Request, TOKEN_GIVER};

use super::{AssertionSource, DetectedSource, SourceRequest, refused, token_answered};

const URL: &str = "ACTIONS_ID_TOKEN_REQUEST_URL";
const TOKEN: &str = "ACTIONS_ID_TOKEN_REQUEST_TOKEN";

/// Without it GitHub sets neither variable.
pub(super) const PERMISSION: &str =
    "give the job `permissions: id-token: write` (GitHub grants it to no pull request from a fork)";

pub(super) struct GitHub {
    url: Url,
    token: Secret,
    audience: String,
    /// The variable with the request URL.
    named_by: &'static str,
}

/// GitHub, where it has given the job both of its variables.
pub(super) fn found(request: &SourceRequest) -> DetectedSource {
    let Some((url, token)) = request.env.get(URL).zip(request.env.get(TOKEN)) else { return Ok(None) };
    Ok(Some(Box::new(GitHub::new(URL, url, token, request)?)))
}

/// Which variable is missing, where GitHub was named explicitly.
pub(super) fn missing(env: &Env) -> Error {
    let variable = if env.get(URL).is_none() { URL } else { TOKEN };
    Error::new(ErrorKind::OptionMissing, format!("{variable} is not set")).remedy(PERMISSION)
}

impl GitHub {
    /// # Errors
    /// An address that can't be used.
    pub(super) fn new(named_by: &'static str, url: &str, token: &str, request: &SourceRequest) -> Result<Self, Error> {
        let url = request_url(named_by, url)?;
        Ok(Self { url, token: Secret::new(token), audience: (request.audience)()?, named_by })
    }

    fn request(&self) -> Request {
        let mut url = self.url.clone();
        url.query_pairs_mut().append_pair("audience", &self.audience);
        Request::get(url, &TOKEN_GIVER)
            .header("Authorization", format!("bearer {}", self.token.expose()))
            .header("Accept", "application/json; api-version=2.0")
    }
}

/// The address in `variable`, which a token is sent to.
///
/// # Errors
/// It is neither https nor on this machine.
pub(super) fn request_url(variable: &str, text: &str) -> Result<Url, Error> {
    local_or_https(text).map_err(|why| {
        Error::new(ErrorKind::OptionInvalid, format!("the address for federated tokens cannot be used: {why}"))
            .from_source(variable)
            .remedy(format!("correct {variable}"))
    })
}

impl AssertionSource for GitHub {
    fn asks_for_an_audience(&self) -> bool {
        true
    }

    fn add_to_key(&self, key: &mut CacheKey) {
        key.field("request-url", self.url.as_str());
        key.field("request-audience", &self.audience);
    }

    fn fetch<'a>(&'a self, sys: &'a Sys, deadline: Deadline) -> BoxFuture<'a, Secret> {
        Box::pin(async move {
            let response = net::send(sys, &self.request(), &net::TOKEN_ENDPOINT, deadline).await?;
            let token =
                match response.status {
                    200 => token_answered("GitHub", &response),
                    401 | 403 => Err(refused("GitHub", &response)
                        .remedy(format!("{PERMISSION}; the request token ends with the job"))),
                    _ => Err(refused("GitHub", &response)),
                };
            token.map_err(|error| error.from_source(self.named_by))
        })
    }

    fn described(&self) -> String {
        format!("GitHub Actions ({})", self.named_by)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::{World, answer, chosen, chosen_with, token};

    const REQUEST: [(&str, &str); 2] = [
        ("ACTIONS_ID_TOKEN_REQUEST_URL", "https://gh.example/idtoken?api-version=2.0"),
        ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "rt"),
    ];

    fn fetched(answers: Vec<(u16, &str)>) -> (World, Result<String, String>) {
        let world = World::answering(answers.into_iter().map(|(status, body)| answer(status, body)).collect());
        let token = world.fetch(&*chosen("", REQUEST));
        (world, token)
    }

    #[test]
    fn the_request() {
        let (world, given) = fetched(vec![(200, &format!(r#"{{"count":1,"value":"{}"}}"#, token("s", "x")))]);
        assert_eq!(given, Ok(token("s", "x")));
        assert_eq!(
            world.requests(),
            ["Get https://gh.example/idtoken?api-version=2.0&audience=api%3A%2F%2FAzureADTokenExchange \
              | Authorization: bearer rt | Accept: application/json; api-version=2.0"]
        );
    }

    #[test]
    fn another_audience() {
        let world = World::answering(vec![answer(200, &token("s", "x"))]);
        let source = chosen_with(REQUEST, |request| request.audience = Box::new(|| Ok("https://a?b&c".into())));
        world.fetch(&*source).unwrap();
        assert!(world.requests()[0].contains("&audience=https%3A%2F%2Fa%3Fb%26c "));
    }

    #[test]
    fn a_busy_server_is_asked_again() {
        let (world, given) = fetched(vec![(503, ""), (429, ""), (200, &token("s", "x"))]);
        assert_eq!((given, world.seconds()), (Ok(token("s", "x")), 3));
    }

    #[test]
    fn refusals_and_odd_answers() {
        let (_, refused) = fetched(vec![(403, "canary")]);
        assert_eq!(
            refused.unwrap_err(),
            "GitHub answered HTTP 403 (ACTIONS_ID_TOKEN_REQUEST_URL); give the job `permissions: id-token: write` \
             (GitHub grants it to no pull request from a fork); the request token ends with the job"
        );
        let (_, elsewhere) = fetched(vec![(404, "")]);
        assert_eq!(
            elsewhere.unwrap_err(),
            "GitHub answered HTTP 404 (ACTIONS_ID_TOKEN_REQUEST_URL); run the command again with -v 1 to see what it says"
        );
        for odd in ["", "<html>canary", r#"{"value":"canary"}"#, r#"{"message":"canary"}"#] {
            let (_, odd) = fetched(vec![(200, odd)]);
            assert_eq!(
                odd.unwrap_err(),
                "the answer of GitHub, HTTP 200, holds no JWT (ACTIONS_ID_TOKEN_REQUEST_URL); \
                 look for a proxy or login page between this machine and it"
            );
        }
    }
}
