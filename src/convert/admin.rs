//! The static credentials that AKS hands out: a certificate of `system:masters` that all admins share, lives
//! for two years and cannot be revoked by itself. They are not converted but replaced: by the entry that
//! AKS hands out for Entra.

use crate::azure::cloud;
use crate::shell;

use crate::kubeconfig::context::ContextIndex;
use crate::kubeconfig::document::User;

use super::skip_reason::SkipReason;

/// Why `user` is not converted and the command that replaces it, if it is such a credential.
pub(super) fn of_aks(user: &User, routes: &ContextIndex) -> Option<SkipReason> {
    if !user.has_client_certificate {
        return None;
    }
    if let Some(names) = user.name.strip_prefix("clusterAdmin_") {
        return Some(admin(&cluster(names, user, routes)));
    }
    if let Some(names) = user.name.strip_prefix("clusterUser_") {
        return Some(without_entra(&cluster(names, user, routes)));
    }
    leads_to_aks(user, routes).then(|| admin(&cluster("", user, routes)))
}

fn admin(cluster: &Cluster) -> SkipReason {
    SkipReason {
        why: "it is the admin certificate of an AKS cluster, which signs in without Entra".into(),
        instead: Some(format!("fetch the entry that replaces it with `az aks get-credentials {cluster}`")),
    }
}

/// A cluster without Entra hands out the admin's certificate as its user's (aks.md, 3.3). That
/// `--enable-aad` is all it takes was not tried on a live cluster.
fn without_entra(cluster: &Cluster) -> SkipReason {
    SkipReason {
        why: "it is the certificate of an AKS cluster without Entra".into(),
        instead: Some(format!(
            "turn Entra on with `az aks update {cluster} --enable-aad` and fetch the kubeconfig again"
        )),
    }
}

/// A cluster as az wants it named.
struct Cluster {
    group: String,
    name: String,
}

impl std::fmt::Display for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "-g {} -n {}", self.group, self.name)
    }
}

/// `names` is `GROUP_NAME`, and both may hold underscores: the cluster of the user's context tells where
/// the name begins.
fn cluster(names: &str, user: &User, routes: &ContextIndex) -> Cluster {
    let by_context = routes.to(user).iter().find_map(|context| {
        let group = names.strip_suffix(context.cluster.as_str())?.strip_suffix('_')?;
        Some((group, context.cluster.as_str()))
    });
    let known = by_context.or_else(|| names.split_once('_').filter(|(_, name)| !name.contains('_')));
    // A kubeconfig may come from anywhere, and the command will be pasted.
    match known.filter(|(group, name)| is_azure_name(group) && is_azure_name(name)) {
        Some((group, name)) => Cluster { group: shell::word(group), name: shell::word(name) },
        None => Cluster { group: "GROUP".into(), name: "NAME".into() },
    }
}

/// What may stand in the name of a resource group or a cluster, without the letters of other scripts.
fn is_azure_name(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.()".contains(c);
    !text.is_empty() && !text.starts_with('-') && text.chars().all(allowed)
}

fn leads_to_aks(user: &User, routes: &ContextIndex) -> bool {
    routes.to(user).iter().filter_map(|context| routes.server_of(context)).any(cloud::is_aks_server)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::convert::skip_reason::not_convertible;
    use crate::kubeconfig::KubeconfigFile;

    fn instead(user: &str, cluster: &str, server: &str) -> Option<String> {
        let text = format!(
            "clusters: [{{name: {cluster}, cluster: {{server: {server}}}}}]\n\
             contexts: [{{name: c-admin, context: {{cluster: {cluster}, user: {user}}}}}]\n\
             users: [{{name: {user}, user: {{client-certificate-data: Yw==, token: t}}}}]\n"
        );
        let files = [KubeconfigFile::new(PathBuf::new(), text).unwrap()];
        not_convertible(&files[0].document.users()[0], &ContextIndex::new(&files)).unwrap().instead
    }

    #[test]
    fn the_command_names_group_and_cluster() {
        let get = |names: &str| Some(format!("fetch the entry that replaces it with `az aks get-credentials {names}`"));
        let other = "https://example";
        assert_eq!(instead("clusterAdmin_rg_prod", "prod", other), get("-g rg -n prod"));
        assert_eq!(instead("clusterAdmin_my_rg_eu_prod_1", "prod_1", other), get("-g my_rg_eu -n prod_1"));
        assert_eq!(instead("clusterAdmin_rg_prod", "renamed", other), get("-g rg -n prod"));
        assert_eq!(instead("clusterAdmin_my_rg_prod", "renamed", other), get("-g GROUP -n NAME"));
        assert_eq!(instead("\"clusterAdmin_rg(1)_prod\"", "prod", other), get("-g 'rg(1)' -n prod"));
        assert_eq!(instead("\"clusterAdmin_$(id)_prod\"", "prod", other), get("-g GROUP -n NAME"));
        assert_eq!(
            instead("clusterUser_rg_prod", "prod", other),
            Some("turn Entra on with `az aks update -g rg -n prod --enable-aad` and fetch the kubeconfig again".into())
        );
    }

    #[test]
    fn a_renamed_admin_is_known_by_its_server() {
        assert!(instead("boss", "x", "https://a-1.hcp.westeurope.azmk8s.io:443").is_some());
        assert_eq!(instead("boss", "x", "https://azmk8s.io.example"), None);
        assert_eq!(instead("boss", "x", "https://notazmk8s.io"), None);
    }
}
