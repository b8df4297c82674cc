//! Cloud Shell hands out tokens of whoever sits in front of it.

use super::super::entra::directory::TENANT;
use super::identity::{Shape, ok};
use super::query::Query;
use super::{Answer, Response, Times, Visit};
use serde_json::json;

pub(super) fn answer(visit: &mut Visit<'_>) -> Answer {
    let form = visit.header("content-type").and_then(|kind| kind.split(';').next());
    if visit.request.method != "POST" || !visit.request.query.is_empty() {
        return Err(refusal(405, "MethodNotAllowed", "Only a POST without a query is allowed."));
    }
    if visit.header("metadata") != Some("true") {
        return Err(refusal(400, "BadRequest", "Required metadata header not specified."));
    }
    if form.map(str::trim) != Some("application/x-www-form-urlencoded") {
        return Err(refusal(400, "BadRequest", "The body is no form."));
    }
    let form = Query::parse(&String::from_utf8_lossy(&visit.request.body));
    let form = form.map_err(|why| refusal(400, "BadRequest", &why))?;
    form.only(&["resource"]).map_err(|why| refusal(400, "BadRequest", &why))?;
    let resource = visit.resource(form.get("resource"));
    let resource =
        resource.ok_or_else(|| refusal(400, "AudienceNotFound", "Audience is not a supported MSI token audience."))?;
    let token = visit.entra.mint(&visit.state.user, TENANT, &resource);
    let seconds = visit.entra.claims(&token).and_then(|claims| Some(claims["exp"].as_i64()? - claims["iat"].as_i64()?));
    let mut body =
        visit.describe(&token, &resource, seconds.unwrap_or(3600), Shape { times: Times::Text, expires_in: true });
    body["refresh_token"] = json!("");
    body["ext_expires_in"] = body["expires_in"].clone();
    ok(&body)
}

fn refusal(status: u16, code: &str, message: &str) -> Response {
    Response::json(status, &json!({"error": {"code": code, "message": message}}))
}
