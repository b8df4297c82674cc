//! The instance metadata service of virtual machines, and NMI, which stood in for it in clusters.

use super::identity::{NoIdentity, Shape, ok};
use super::query::Query;
use super::{Answer, Response, Times, Visit};
use serde_json::{Value, json};

pub(super) fn answer(visit: &mut Visit<'_>) -> Answer {
    if visit.state.nmi { nmi(visit) } else { imds(visit) }
}

fn imds(visit: &mut Visit<'_>) -> Answer {
    if visit.request.method != "GET" {
        return Err(refusal(405, "method_not_allowed", "Method not allowed"));
    }
    check_headers(visit)?;
    let query = visit.query().map_err(|why| invalid(&why))?;
    let known = ["api-version", "resource", "client_id", "object_id", "msi_res_id", "mi_res_id"];
    query.only(&known).map_err(|why| invalid(&why))?;
    match query.get("api-version") {
        Some("2018-02-01") => {}
        Some(_) => return Err(refusal(400, "bad_request_104", "Invalid api-version")),
        None => return Err(refusal(400, "bad_request_103", "Required api-version not specified")),
    }
    let body = token(visit, &query)?;
    ok(&body)
}

fn check_headers(visit: &Visit<'_>) -> Result<(), Response> {
    if visit.header("x-forwarded-for").is_some() && !visit.host.takes_forwarded() {
        return Err(refusal(400, "bad_request_105", "X-Forwarded-For is not allowed"));
    }
    match visit.header("metadata") {
        Some("true") => {}
        Some(_) => return Err(invalid("the metadata header is not 'true'")),
        None => return Err(refusal(400, "bad_request_102", "Required metadata header not specified")),
    }
    if visit.header("authorization").is_some() {
        return Err(invalid("nobody asked for authorization"));
    }
    if visit.has_body() { Err(invalid("a GET with a body")) } else { Ok(()) }
}

fn token(visit: &mut Visit<'_>, query: &Query) -> Result<Value, Response> {
    let Some(resource) = visit.resource(query.get("resource")) else {
        let why = format!(
            "AADSTS500011: The resource principal named {} was not found in the tenant.",
            query.get("resource").unwrap_or_default()
        );
        return Err(refusal(400, "invalid_resource", &why));
    };
    let who = query.who(&["client_id"], &["object_id"], &["msi_res_id", "mi_res_id"]).map_err(|why| invalid(&why))?;
    let identity = visit.identity(who.as_ref()).map_err(|why| match why {
        NoIdentity::Unknown => invalid("Identity not found"),
        NoIdentity::Several => {
            invalid("Multiple user assigned identities exist, please specify the clientId / resourceId of the identity")
        }
    })?;
    let mut body = visit.token(identity, &resource, Shape { times: Times::Text, expires_in: true });
    body["client_id"] = json!(identity.client_id);
    body["refresh_token"] = json!("");
    Ok(body)
}

/// NMI answers like IMDS, but complains in plain text.
fn nmi(visit: &mut Visit<'_>) -> Answer {
    if visit.request.method != "GET" || visit.header("metadata") != Some("true") {
        return Err(Response::text(400, "metadata header is required\n"));
    }
    let query = visit.query().map_err(|why| Response::text(400, &why))?;
    let known = ["api-version", "resource", "client_id", "msi_res_id"];
    query.only(&known).map_err(|why| Response::text(400, &why))?;
    if query.get("resource").unwrap_or_default().is_empty() {
        return Err(Response::text(400, "parameter resource cannot be empty\n"));
    }
    let resource = visit.resource(query.get("resource"));
    let resource = resource.ok_or_else(|| Response::text(403, "failed to get service principal token\n"))?;
    let who = query.who(&["client_id"], &[], &["msi_res_id"]).map_err(|why| Response::text(400, &why))?;
    // Without a selector the first bound identity is taken, whatever it is.
    let bound = match who {
        None => visit.state.identities.first().copied(),
        Some(_) => visit.identity(who.as_ref()).ok(),
    };
    let identity = bound.ok_or_else(|| Response::text(404, "no azure identity found for request clientID\n"))?;
    let body = visit.token(identity, &resource, Shape { times: Times::Text, expires_in: true });
    ok(&body)
}

pub(super) fn invalid(description: &str) -> Response {
    refusal(400, "invalid_request", description)
}

pub(super) fn refusal(status: u16, error: &str, description: &str) -> Response {
    Response::json(status, &json!({"error": error, "error_description": description}))
}
