//! Service Fabric: TLS without names, an identity fixed at deployment.

use super::identity::{Shape, ok};
use super::{Answer, IDENTITY_HEADER, Response, Times, Visit};
use serde_json::json;

pub(super) fn answer(visit: &mut Visit<'_>) -> Answer {
    if visit.request.method != "GET" || visit.has_body() {
        return Err(refusal(405, "MethodNotAllowed", "Only a GET without a body is allowed."));
    }
    match visit.header("secret") {
        Some(IDENTITY_HEADER) => {}
        Some(_) => return Err(refusal(401, "ManagedIdentityNotFound", "The authentication code is not known.")),
        None => return Err(refusal(400, "SecretHeaderNotFound", "Secret is not found in the request headers.")),
    }
    let query = visit.query().map_err(|why| refusal(400, "ArgumentNullOrEmpty", &why))?;
    query.only(&["api-version", "resource"]).map_err(|why| refusal(400, "ArgumentNullOrEmpty", &why))?;
    if query.get("api-version") != Some("2019-07-01-preview") {
        return Err(refusal(400, "InvalidApiVersion", "The api-version is not supported."));
    }
    let resource = visit.resource(query.get("resource"));
    let resource = resource.ok_or_else(|| refusal(400, "ArgumentNullOrEmpty", "The resource is not known."))?;
    let none = |_| refusal(404, "ManagedIdentityNotFound", "Managed identity not found for the service.");
    let identity = visit.identity(None).map_err(none)?;
    let mut body = visit.token(identity, &resource, Shape { times: Times::Number, expires_in: false });
    body.as_object_mut().expect("an object").remove("not_before");
    ok(&body)
}

fn refusal(status: u16, code: &str, message: &str) -> Response {
    let correlation_id = "1a2b3c4d-0000-4000-8000-000000000000";
    let error = json!({"code": code, "message": message, "correlationId": correlation_id});
    Response::json(status, &json!({"error": error}))
}
