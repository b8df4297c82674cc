//! App Service and its relatives, and Azure ML, which still speaks its old language.

use super::identity::{Shape, ok};
use super::{Answer, IDENTITY_HEADER, MSI_SECRET, Response, Times, Visit};
use serde_json::json;

/// Both generations; which one, `api-version` says.
pub(super) fn answer(visit: &mut Visit<'_>) -> Answer {
    match visit.query().map_err(|why| refusal(400, &why))?.get("api-version") {
        Some("2019-08-01") => answer_2019(visit),
        Some("2017-09-01") => of_2017(visit, Times::Date),
        _ => Err(refusal(400, "The parameter api-version is not one of 2019-08-01 and 2017-09-01.")),
    }
}

/// Azure ML knows only the old one, with times in seconds.
pub(super) fn answer_2017(visit: &mut Visit<'_>) -> Answer {
    let query = visit.query().map_err(|why| refusal(400, &why))?;
    match query.get("api-version") {
        Some("2017-09-01") => of_2017(visit, Times::Text),
        _ => Err(refusal(400, "The parameter api-version is not 2017-09-01.")),
    }
}

fn answer_2019(visit: &mut Visit<'_>) -> Answer {
    check(visit, "x-identity-header", IDENTITY_HEADER)?;
    let query = visit.query().map_err(|why| refusal(400, &why))?;
    let known = ["api-version", "resource", "client_id", "principal_id", "object_id", "mi_res_id"];
    query.only(&known).map_err(|why| refusal(400, &why))?;
    let resource = visit.resource(query.get("resource")).ok_or_else(unknown_resource)?;
    let who = query.who(&["client_id"], &["principal_id", "object_id"], &["mi_res_id"]);
    let who = who.map_err(|why| refusal(400, &why))?;
    let identity = visit.identity_or_system(who.as_ref()).map_err(|_| unknown_identity())?;
    let mut body = visit.token(identity, &resource, Shape { times: Times::Text, expires_in: false });
    body["client_id"] = json!(identity.client_id);
    ok(&body)
}

fn of_2017(visit: &mut Visit<'_>, times: Times) -> Answer {
    check(visit, "secret", MSI_SECRET)?;
    let query = visit.query().map_err(|why| refusal(400, &why))?;
    query.only(&["api-version", "resource", "clientid"]).map_err(|why| refusal(400, &why))?;
    let resource = visit.resource(query.get("resource")).ok_or_else(unknown_resource)?;
    let who = query.who(&["clientid"], &[], &[]).map_err(|why| refusal(400, &why))?;
    let identity = visit.identity_or_system(who.as_ref()).map_err(|_| unknown_identity())?;
    let mut body = visit.token(identity, &resource, Shape { times, expires_in: false });
    body.as_object_mut().expect("an object").remove("not_before");
    ok(&body)
}

/// Method, body, `Metadata` (which Azure Automation wants) and the secret of the generation.
fn check(visit: &Visit<'_>, name: &str, secret: &str) -> Result<(), Response> {
    if visit.request.method != "GET" || visit.has_body() {
        return Err(refusal(405, "Only a GET without a body is allowed."));
    }
    if visit.header("metadata").is_some_and(|value| value != "true") {
        return Err(refusal(400, "The header Metadata is not 'true'."));
    }
    match visit.header(name) {
        Some(presented) if presented == secret => Ok(()),
        Some(_) => Err(refusal(401, "The identity header does not match.")),
        None => Err(refusal(400, "The identity header is missing.")),
    }
}

fn unknown_identity() -> Response {
    refusal(400, "No User Assigned or Delegated Managed Identity found for specified ClientId/ResourceId/PrincipalId.")
}

fn unknown_resource() -> Response {
    refusal(500, "AADSTS500011: The resource principal was not found in the tenant.")
}

pub(super) fn refusal(status: u16, message: &str) -> Response {
    let correlation_id = "1a2b3c4d-0000-4000-8000-000000000000";
    Response::json(status, &json!({"statusCode": status, "message": message, "correlationId": correlation_id}))
}
