//! Assertions for what runs in CI: GitHub Actions, Azure Pipelines, and a URL that just has one.

use super::super::entra::Claims;
use super::identity::ok;
use super::{Answer, GITHUB_TOKEN, Host, PIPELINES_TOKEN, Response, SERVICE_CONNECTION, Visit};
use serde_json::json;
use std::collections::HashMap;

/// What a system says in its assertions.
pub(super) struct Said {
    issuer: String,
    subject: String,
    /// Instead of the one that was asked for.
    audience: Option<String>,
}

impl Said {
    pub(super) fn new(issuer: &str, subject: &str, audience: Option<&str>) -> Self {
        Self { issuer: issuer.to_owned(), subject: subject.to_owned(), audience: audience.map(str::to_owned) }
    }
}

const AUDIENCE: &str = "api://AzureADTokenExchange";

/// What they say unless a test says otherwise.
pub(super) fn said() -> HashMap<Host, Said> {
    let github = Said::new("https://token.actions.githubusercontent.com", "repo:contoso/app:ref:refs/heads/main", None);
    let organisation = "https://vstoken.dev.azure.com/99999999-9999-4999-8999-999999999999";
    let pipelines = Said::new(organisation, "sc://contoso/project/connection", Some(AUDIENCE));
    let url = Said::new("https://issuer.example.test", "workload", Some(AUDIENCE));
    HashMap::from([(Host::GitHub, github), (Host::Pipelines, pipelines), (Host::TokenUrl, url)])
}

impl Visit<'_> {
    fn say(&mut self, asked: &str, usual_life: i64) -> String {
        let lifetime = self.lifetime(usual_life);
        let said = &self.state.said[&self.host];
        let claims = Claims {
            issuer: &said.issuer.clone(),
            subject: &said.subject.clone(),
            audience: &said.audience.clone().unwrap_or_else(|| asked.to_owned()),
            lifetime,
        };
        self.assertion(&claims)
    }

    /// What follows `Bearer`.
    fn bearer(&self) -> Option<&str> {
        let (scheme, token) = self.header("authorization")?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token)
    }
}

/// The URL that a job is given has a query already, which must survive.
pub(super) fn github(visit: &mut Visit<'_>) -> Answer {
    let refuse = |status, why: &str| Response::json(status, &json!({"message": why}));
    if visit.request.method != "GET" || visit.has_body() {
        return Err(refuse(405, "only a GET without a body"));
    }
    if visit.bearer() != Some(GITHUB_TOKEN) {
        return Err(refuse(401, "the request token is missing or wrong"));
    }
    let accept = visit.header("accept").unwrap_or_default();
    if !(accept.contains("application/json") && accept.contains("api-version=2.0")) {
        return Err(refuse(400, "accept is not 'application/json; api-version=2.0'"));
    }
    let query = visit.query().map_err(|why| refuse(400, &why))?;
    query.only(&["existing", "audience"]).map_err(|why| refuse(400, &why))?;
    let audience = query.get("audience").filter(|audience| !audience.is_empty());
    match (query.get("existing"), audience) {
        (Some("1"), Some(audience)) => {
            let value = visit.say(audience, 300);
            ok(&json!({"count": value.len(), "value": value}))
        }
        (Some("1"), None) => Err(refuse(400, "no audience")),
        _ => Err(refuse(404, "the query of the URL got lost")),
    }
}

/// A bad token is sent to a page to sign in at.
pub(super) fn pipelines(visit: &mut Visit<'_>) -> Answer {
    let refuse = |status, why: &str| {
        let body = json!({"$id": "1", "message": why, "typeKey": "InvalidRequest", "errorCode": 0});
        traced(Response::json(status, &body))
    };
    if visit.request.method != "POST" {
        return Err(refuse(405, "The requested resource does not support this method."));
    }
    let suppressed = visit.header("x-tfs-fedauthredirect") == Some("Suppress");
    if !suppressed || visit.bearer() != Some(PIPELINES_TOKEN) {
        let page = Response::html(302, "<html><head><title>Object moved</title></head></html>");
        return Err(traced(page.header("Location", "https://spsprodeus.vssps.visualstudio.com/_signin")));
    }
    if visit.header("content-length") != Some("0") || visit.has_body() {
        return Err(refuse(411, "HTTP Error 411. The request must be chunked or have a content length."));
    }
    if visit.header("content-type") != Some("application/json") {
        return Err(refuse(415, "The content type is not application/json."));
    }
    let query = visit.query().map_err(|why| refuse(400, &why))?;
    query.only(&["api-version", "serviceConnectionId"]).map_err(|why| refuse(400, &why))?;
    if query.get("api-version") != Some("7.1") {
        return Err(refuse(400, "No api-version was supplied that is known here."));
    }
    if !query.get("serviceConnectionId").is_some_and(|id| id.eq_ignore_ascii_case(SERVICE_CONNECTION)) {
        return Err(refuse(404, "The service connection was not found or the job may not use it."));
    }
    let token = visit.say(AUDIENCE, 600);
    ok(&json!({"oidcToken": token})).map(traced)
}

/// The headers that support asks for.
fn traced(response: Response) -> Response {
    response.header("x-vss-e2eid", "e2e-of-the-fake").header("x-msedge-ref", "Ref A: fake")
}

pub(super) fn token_url(visit: &mut Visit<'_>) -> Answer {
    if visit.request.method != "GET" || visit.has_body() {
        return Err(Response::text(405, "only a GET without a body\n"));
    }
    let token = visit.say(AUDIENCE, 300);
    match visit.state.token_url_key.clone() {
        None => Ok(Response::text(200, &format!("{token}\n"))),
        Some(key) => ok(&json!({key: token})),
    }
}
