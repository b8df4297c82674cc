//! Buildkite gives a job tokens over its agent's API, as `buildkite-agent oidc request-token` asks
//! for them (buildkite/agent, pull request 3784 for the subject).

use ::url::Url;
use serde_json::json;

use crate::cache_key::CacheKey;
use crate::error::Error;
use crate::net;
use crate::os::BoxFuture;
use crate::os::clock::Deadline;
use crate::secret::Secret;
use crate::sys::Sys;
use crate::sys::http::{Request, TOKEN_GIVER};

use super::github::request_url;
use super::{AssertionSource, DetectedSource, SourceRequest, refused, token_answered};

const ENDPOINT: &str = "BUILDKITE_AGENT_ENDPOINT";
const JOB: &str = "BUILDKITE_JOB_ID";
const TOKEN: &str = "BUILDKITE_AGENT_ACCESS_TOKEN";
/// The agent's own variable for the claim that the subject is made of.
const SUBJECT: &str = "BUILDKITE_OIDC_TOKEN_SUBJECT_CLAIM";

/// Buildkite's usual subject names commit and step, and no federated credential could match the next
/// build: the pipeline is asked for.
const USUAL_SUBJECT: &str = "pipeline_id";

struct Buildkite {
    url: Url,
    token: Secret,
    audience: String,
    subject: String,
}

/// Buildkite, where the agent has told the job how to reach it.
pub(super) fn found(request: &SourceRequest) -> DetectedSource {
    let env = request.env;
    let (Some(endpoint), Some(job), Some(token)) = (env.get(ENDPOINT), env.get(JOB), env.get(TOKEN)) else {
        return Ok(None);
    };
    Ok(Some(Box::new(Buildkite {
        url: request_url(ENDPOINT, &format!("{}/jobs/{job}/oidc/tokens", endpoint.trim_end_matches('/')))?,
        token: Secret::new(token),
        audience: (request.audience)()?,
        subject: env.get(SUBJECT).unwrap_or(USUAL_SUBJECT).to_owned(),
    })))
}

impl Buildkite {
    fn request(&self) -> Request {
        let question = json!({ "audience": self.audience, "subject_claim": self.subject });
        Request::json(self.url.clone(), &question, &TOKEN_GIVER)
            .header("Authorization", format!("Token {}", self.token.expose()))
    }
}

impl AssertionSource for Buildkite {
    fn asks_for_an_audience(&self) -> bool {
        true
    }

    fn add_to_key(&self, key: &mut CacheKey) {
        key.field("request-url", self.url.as_str());
        key.field("request-audience", &self.audience);
        key.field("request-subject", &self.subject);
    }

    fn fetch<'a>(&'a self, sys: &'a Sys, deadline: Deadline) -> BoxFuture<'a, Secret> {
        Box::pin(async move {
            let response = net::send(sys, &self.request(), &net::TOKEN_ENDPOINT, deadline).await?;
            let token = match response.status {
                200..=299 => token_answered("Buildkite", &response),
                _ => Err(refused("Buildkite", &response)),
            };
            token.map_err(|error: Error| {
                let other = "name a variable with --federated-token-source env:NAME";
                error.from_source(ENDPOINT).remedy(format!("look whether the job is still running, or {other}"))
            })
        })
    }

    fn described(&self) -> String {
        format!("Buildkite ({ENDPOINT})")
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::{World, answer, chosen, described, key_of, token};
    use super::*;

    const AGENT: [(&str, &str); 3] = [(ENDPOINT, "https://agent.example/v3/"), (JOB, "j1"), (TOKEN, "at")];

    #[test]
    fn the_request() {
        let world = World::answering(vec![answer(200, &format!(r#"{{"token":"{}"}}"#, token("s", "x")))]);
        assert_eq!(world.fetch(&*chosen("", AGENT)), Ok(token("s", "x")));
        assert_eq!(
            world.requests(),
            [
                "Post https://agent.example/v3/jobs/j1/oidc/tokens | Content-Type: application/json | Authorization: Token at"
            ]
        );
        assert_eq!(world.forms(), [r#"{"audience":"api://AzureADTokenExchange","subject_claim":"pipeline_id"}"#]);
    }

    #[test]
    fn another_subject_is_another_identity() {
        let [endpoint, job, token] = AGENT;
        let cluster = chosen("", [endpoint, job, token, (SUBJECT, "cluster_id")]);
        assert!(key_of(&*cluster) != key_of(&*chosen("", AGENT)));
        assert_eq!(described("", [endpoint, job]), "");
    }

    #[test]
    fn a_refusal() {
        let world = World::answering(vec![answer(401, "canary")]);
        assert_eq!(
            world.fetch(&*chosen("", AGENT)).unwrap_err(),
            "Buildkite answered HTTP 401 (BUILDKITE_AGENT_ENDPOINT); look whether the job is still running, \
             or name a variable with --federated-token-source env:NAME"
        );
    }
}
