//! Azure Resource Manager: a subscription, and the kubeconfigs of its AKS clusters, as `az` asks for
//! them. It refuses what the real one refuses: no token, one for another audience, no `api-version`,
//! a resource that is not there.

use super::World;
use super::clock::unix_now;
use super::entra::FakeEntra;
use super::entra::directory::{ARM, TENANT};
use super::http::{Request, Response, Server};
use super::listener::lock;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

/// The one subscription, of the default tenant.
pub const SUBSCRIPTION: &str = "55555555-5555-4555-8555-555555555555";

/// A running ARM; it stops when it is dropped.
pub struct FakeArm {
    _server: Server,
    state: Arc<Mutex<State>>,
}

/// What ARM hands out for a cluster.
#[derive(Clone, Debug)]
pub struct ManagedCluster {
    /// Its resource group.
    pub group: String,
    /// Its name.
    pub name: String,
    /// The kubeconfig of `listClusterUserCredential`.
    pub user: String,
    /// The same for `format=azure`, which clusters before 1.24 answered with the legacy provider.
    pub legacy: String,
    /// The kubeconfig of `listClusterAdminCredential`; `None` where local accounts are off.
    pub admin: Option<String>,
}

#[derive(Default)]
struct State {
    clusters: Vec<ManagedCluster>,
    log: Vec<String>,
}

impl FakeArm {
    /// Starts without a cluster; `world` leads `management.azure.com` to it from now on.
    pub fn start(world: &World) -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let (shared, entra) = (Arc::clone(&state), world.entra.clone());
        let tls = world.authority.server_config(&["management.azure.com"]);
        let server = Server::start(Some(tls), move |request| handle(&shared, &entra, request));
        world.proxy.route("management.azure.com:443", server.addr());
        Self { _server: server, state }
    }

    /// Adds a cluster, or replaces the one of that group and name.
    pub fn cluster(&self, cluster: ManagedCluster) -> &Self {
        let mut state = lock(&self.state);
        state.clusters.retain(|known| (&known.group, &known.name) != (&cluster.group, &cluster.name));
        state.clusters.push(cluster);
        drop(state);
        self
    }

    /// `METHOD last-part-of-the-path?query -> status` of every request since the last call.
    pub fn take_log(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.state).log)
    }
}

fn handle(state: &Mutex<State>, entra: &FakeEntra, request: &Request) -> Response {
    let mut state = lock(state);
    let response = answer(&state, entra, request).unwrap_or_else(|refusal| refusal);
    let last = request.path.rsplit('/').next().unwrap_or_default();
    state.log.push(format!("{} {last}?{} -> {}", request.method, request.query, response.status));
    response
}

fn answer(state: &State, entra: &FakeEntra, request: &Request) -> Result<Response, Response> {
    admit(entra, request)?;
    let parameters = parameters(request)?;
    // ARM's paths are read in any case.
    let path = request.path.to_ascii_lowercase();
    let path: Vec<&str> = path.split('/').skip(1).collect();
    match (request.method.as_str(), path.as_slice()) {
        ("GET", ["subscriptions"]) => Ok(Response::json(200, &json!({ "value": [subscription()] }))),
        ("GET", ["tenants"]) => Ok(Response::json(200, &json!({ "value": [{ "tenantId": TENANT }] }))),
        (
            method,
            [
                "subscriptions",
                subscription,
                "resourcegroups",
                group,
                "providers",
                "microsoft.containerservice",
                "managedclusters",
                name,
                action,
            ],
        ) => {
            if *subscription != SUBSCRIPTION {
                return Err(refusal(404, "SubscriptionNotFound", "The subscription could not be found."));
            }
            if method != "POST" {
                return Err(refusal(405, "HttpMethodNotSupported", "The HTTP method is not supported."));
            }
            credentials(find(state, group, name)?, action, &parameters)
        }
        _ => Err(refusal(404, "InvalidResourceType", "The resource type could not be found.")),
    }
}

/// A token of the tenant for ARM, that is good now.
fn admit(entra: &FakeEntra, request: &Request) -> Result<(), Response> {
    let bearer = request.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
    let token = bearer.ok_or_else(|| refusal(401, "AuthenticationFailed", "The 'Authorization' header is missing."))?;
    let claims = entra
        .claims(token)
        .ok_or_else(|| refusal(401, "InvalidAuthenticationToken", "The access token is invalid."))?;
    let audience = claims["aud"].as_str().unwrap_or_default().trim_end_matches('/');
    if ![ARM.trim_end_matches('/'), "https://management.azure.com"].contains(&audience) {
        let message = format!("The access token has been obtained for wrong audience or resource '{audience}'.");
        return Err(refusal(401, "InvalidAuthenticationTokenAudience", &message));
    }
    if claims["tid"] != TENANT {
        return Err(refusal(401, "InvalidAuthenticationTokenTenant", "The access token is from the wrong issuer."));
    }
    if claims["exp"].as_i64().is_none_or(|end| end <= unix_now()) {
        return Err(refusal(
            401,
            "ExpiredAuthenticationToken",
            "The access token expiry is earlier than current time.",
        ));
    }
    Ok(())
}

/// The query, with an `api-version` in it and nothing that these calls don't have.
fn parameters(request: &Request) -> Result<Vec<(String, String)>, Response> {
    let parameters: Vec<(String, String)> =
        form_urlencoded::parse(request.query.as_bytes()).map(|(name, value)| (name.into(), value.into())).collect();
    for (name, _) in &parameters {
        if !["api-version", "format", "server-fqdn"].contains(&name.as_str()) {
            return Err(refusal(400, "InvalidQueryParameter", &format!("The parameter '{name}' is unknown.")));
        }
    }
    let Some(version) = find_parameter(&parameters, "api-version") else {
        return Err(refusal(400, "MissingApiVersionParameter", "The api-version query parameter is required."));
    };
    let date = version.strip_suffix("-preview").unwrap_or(version);
    let digits =
        |(index, byte): (usize, u8)| if [4, 7].contains(&index) { byte == b'-' } else { byte.is_ascii_digit() };
    if date.len() != 10 || !date.bytes().enumerate().all(digits) {
        return Err(refusal(400, "InvalidApiVersionParameter", &format!("The api-version '{version}' is invalid.")));
    }
    Ok(parameters)
}

fn find_parameter<'a>(parameters: &'a [(String, String)], name: &str) -> Option<&'a str> {
    parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

fn find<'a>(state: &'a State, group: &str, name: &str) -> Result<&'a ManagedCluster, Response> {
    let mut of_group = state.clusters.iter().filter(|cluster| cluster.group.eq_ignore_ascii_case(group)).peekable();
    if of_group.peek().is_none() {
        let message = format!("Resource group '{group}' could not be found.");
        return Err(refusal(404, "ResourceGroupNotFound", &message));
    }
    of_group.find(|cluster| cluster.name.eq_ignore_ascii_case(name)).ok_or_else(|| {
        let message = format!("The Resource 'Microsoft.ContainerService/managedClusters/{name}' was not found.");
        refusal(404, "ResourceNotFound", &message)
    })
}

fn credentials(cluster: &ManagedCluster, action: &str, parameters: &[(String, String)]) -> Result<Response, Response> {
    let format = find_parameter(parameters, "format");
    let (name, kubeconfig) = match (action, format) {
        ("listclusterusercredential", None | Some("exec")) => ("clusterUser", &cluster.user),
        ("listclusterusercredential", Some("azure")) => ("clusterUser", &cluster.legacy),
        ("listclusterusercredential", Some(other)) => {
            return Err(refusal(400, "InvalidParameter", &format!("The format '{other}' is invalid.")));
        }
        ("listclusteradmincredential", None) => {
            let off = "Getting static credential is not allowed because this cluster is set to disable local accounts.";
            ("clusterAdmin", cluster.admin.as_ref().ok_or_else(|| refusal(400, "BadRequest", off))?)
        }
        _ => return Err(refusal(404, "InvalidResourceType", "The resource type could not be found.")),
    };
    let value = STANDARD.encode(kubeconfig);
    Ok(Response::json(200, &json!({ "kubeconfigs": [{ "name": name, "value": value }] })))
}

fn subscription() -> Value {
    json!({
        "id": format!("/subscriptions/{SUBSCRIPTION}"), "subscriptionId": SUBSCRIPTION, "tenantId": TENANT,
        "displayName": "Contoso", "state": "Enabled", "managedByTenants": [],
    })
}

fn refusal(status: u16, code: &str, message: &str) -> Response {
    Response::json(status, &json!({ "error": { "code": code, "message": message } }))
}
