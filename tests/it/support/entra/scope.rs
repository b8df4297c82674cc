//! What a request asks for: `scope` in v2, `resource` in v1, either at AD FS.

use super::State;
use super::directory::GRAPH;
use super::grants::{Call, Flavour};
use super::refusal::Refusal;

/// What a request asks for.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) resource: String,
    /// v2 scopes of the resource as sent, e.g. `SRV/.default`.
    scopes: Vec<String>,
    pub(super) openid: bool,
    pub(super) offline: bool,
}

impl Wanted {
    /// The scopes as asked; `.default` is always among them, or MSAL never finds its own tokens.
    pub(super) fn granted_scope(&self) -> String {
        let default = format!("{}/.default", self.resource);
        let mut scopes = self.scopes.clone();
        if !scopes.iter().any(|scope| scope.ends_with("/.default")) {
            scopes.push(default);
        }
        scopes.join(" ")
    }
}

/// What the request asks for, or `earlier` if it says nothing.
pub(super) fn wanted(state: &State, call: &Call<'_>, earlier: Option<&Wanted>) -> Result<Wanted, Refusal> {
    let (scope, resource) = (call.form.get("scope"), call.form.get("resource"));
    let named = match (call.flavour, scope, resource) {
        (Flavour::V2, _, Some(_)) => return Err(Refusal::resource_on_v2()),
        (_, scope, Some(resource)) => Some(of_resource(resource, scope)),
        (Flavour::V2 | Flavour::Adfs, Some(scope), None) => Some(scoped(scope)?),
        (_, _, None) => earlier.cloned(),
    };
    let by_which = if call.flavour == Flavour::V2 { "scope" } else { "resource" };
    let mut wanted = named.ok_or_else(|| Refusal::missing(by_which))?;
    let known = state.directory.resource(&wanted.resource);
    wanted.resource = known.ok_or_else(|| Refusal::unknown_resource(&wanted.resource, call.tenant))?.to_owned();
    Ok(wanted)
}

/// v1: always with a refresh token, and with an id token if `scope` says `openid`.
fn of_resource(resource: &str, scope: Option<&str>) -> Wanted {
    Wanted {
        resource: resource.to_owned(),
        scopes: Vec::new(),
        openid: scope.is_some_and(|scope| scope.split(' ').any(|word| word == "openid")),
        offline: true,
    }
}

/// v2: OpenID's own scopes beside the scopes of one resource; none means Microsoft Graph.
fn scoped(scope: &str) -> Result<Wanted, Refusal> {
    let (oidc, scopes) = split_scope(scope);
    let mut resources: Vec<&str> = scopes.iter().map(|scope| resource_of(scope)).collect();
    resources.dedup();
    let mixed = scopes.len() > 1 && scopes.iter().any(|scope| scope.ends_with("/.default"));
    if resources.len() > 1 || mixed || scope.split(' ').any(str::is_empty) {
        return Err(Refusal::bad_scope(scope));
    }
    Ok(Wanted {
        resource: (*resources.first().unwrap_or(&GRAPH)).to_owned(),
        openid: oidc.contains(&"openid"),
        offline: oidc.contains(&"offline_access"),
        scopes: scopes.iter().map(ToString::to_string).collect(),
    })
}

fn split_scope(scope: &str) -> (Vec<&str>, Vec<&str>) {
    scope
        .split(' ')
        .filter(|word| !word.is_empty())
        .partition(|word| ["openid", "profile", "email", "offline_access"].contains(word))
}

/// Everything before the last slash; a bare permission belongs to Graph.
fn resource_of(scope: &str) -> &str {
    scope.rsplit_once('/').map_or(GRAPH, |(resource, _)| resource)
}

/// 1002012 or 70011 unless the scope is one `…/.default`, OpenID's own aside.
pub(super) fn only_default_scope(call: &Call<'_>) -> Result<(), Refusal> {
    let scope = call.form.require("scope")?;
    match split_scope(scope).1.as_slice() {
        [one] if one.ends_with("/.default") => Ok(()),
        [] | [_] => Err(Refusal::needs_default_scope(scope)),
        _ => Err(Refusal::bad_scope(scope)),
    }
}
