//! What Entra tells about itself: OpenID metadata and instance discovery.

use super::refusal::Refusal;
use super::tokens::v1_issuer;
use super::{ADFS_HOST, Request, State, is_entra};
use serde_json::{Value, json};
use std::collections::HashMap;

/// OpenID metadata of a tenant, with endpoints on the host that was asked.
pub(super) fn tenant(state: &State, request: &Request, tenant: &str, version: &str) -> Result<Value, Refusal> {
    let base = format!("https://{}/{tenant}", request.authority());
    let known = state.directory.tenant(tenant).map(|known| known.id.as_str());
    let id = match tenant {
        "common" | "organizations" => "{tenantid}",
        _ => known.ok_or_else(|| Refusal::unknown_tenant(tenant).error("invalid_tenant"))?,
    };
    let issuer = match version {
        "" => v1_issuer(id),
        _ => format!("https://login.microsoftonline.com/{id}/v2.0"),
    };
    Ok(json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{base}/oauth2{version}/authorize"),
        "token_endpoint": format!("{base}/oauth2{version}/token"),
        "device_authorization_endpoint": format!("{base}/oauth2{version}/devicecode"),
        "jwks_uri": format!("{base}/discovery{version}/keys"),
        "response_types_supported": ["code"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "cloud_instance_name": "microsoftonline.com",
        "tenant_region_scope": "EU",
    }))
}

/// The same for AD FS, where the tenant is always `adfs`.
pub(super) fn adfs(authority: &str) -> Value {
    let base = format!("https://{authority}/adfs");
    json!({
        "issuer": base,
        "authorization_endpoint": format!("{base}/oauth2/authorize/"),
        "token_endpoint": format!("{base}/oauth2/token"),
        "device_authorization_endpoint": format!("{base}/oauth2/devicecode"),
        "jwks_uri": format!("{base}/discovery/keys"),
    })
}

/// Which names mean the same authority; 50049 for a host that Microsoft does not know.
pub(super) fn instances(request: &Request) -> Result<Value, Refusal> {
    let pairs: HashMap<_, _> = form_urlencoded::parse(request.query.as_bytes()).collect();
    let endpoint = pairs
        .get("authorization_endpoint")
        .ok_or_else(|| Refusal::malformed("instance discovery without authorization_endpoint"))?;
    let rest = endpoint.strip_prefix("https://").unwrap_or_default();
    let host = rest.split('/').next().unwrap_or_default();
    if !is_entra(host) || host == ADFS_HOST {
        let text = "Unknown or invalid instance.";
        return Err(Refusal::new("invalid_instance", 50_049, text));
    }
    let base = endpoint.split("/oauth2").next().unwrap_or_default();
    let networks: Vec<Value> = NETWORKS.iter().map(|aliases| network(aliases)).collect();
    Ok(json!({
        "tenant_discovery_endpoint": format!("{base}/v2.0/.well-known/openid-configuration"),
        "api-version": "1.1",
        "metadata": networks,
    }))
}

/// The clouds that instance discovery knows, each with its aliases; the second is the name that
/// caches go by.
const NETWORKS: [&[&str]; 3] = [
    &["login.microsoftonline.com", "login.windows.net", "login.microsoft.com", "sts.windows.net"],
    &["login.chinacloudapi.cn", "login.partner.microsoftonline.cn"],
    &["login.usgovcloudapi.net", "login.microsoftonline.us"],
];

fn network(aliases: &[&str]) -> Value {
    let cache = aliases[1];
    let preferred = if cache == "login.windows.net" { aliases[0] } else { cache };
    json!({"preferred_network": preferred, "preferred_cache": cache, "aliases": aliases})
}
