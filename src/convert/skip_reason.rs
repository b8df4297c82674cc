//! Why a user of a kubeconfig is left alone.

use crate::kubeconfig::context::ContextIndex;
use crate::kubeconfig::document::{Auth, Exec, User};
use crate::os::own_name;

use super::admin;

/// Why an exec entry is none of ours, if it isn't.
pub(crate) fn foreign(exec: &Exec) -> Option<&'static str> {
    if own_name(&exec.command).is_none() {
        return Some("it runs another program");
    }
    // int128/kubelogin shares the name; its flags begin with --oidc.
    let others = exec.args.iter().any(|arg| arg.starts_with("--oidc-") || arg == "oidc-login");
    others.then_some("it belongs to int128/kubelogin, another program of the same name")
}

/// Why a user is left alone, and what would help.
pub(crate) struct SkipReason {
    /// Why it is not converted.
    pub why: String,
    /// What leads to an entry for Entra, if that is known, as a remedy.
    pub instead: Option<String>,
}

impl SkipReason {
    /// What to do about it where an entry for Entra is wanted.
    pub(crate) fn remedy(self) -> String {
        let any = || "fetch the cluster's Entra kubeconfig (az aks get-credentials without --admin)".into();
        self.instead.unwrap_or_else(any)
    }

    fn because(why: impl Into<String>) -> Self {
        Self { why: why.into(), instead: None }
    }
}

/// Why a user is none that signs in with Entra and us, or could after a conversion, if it isn't.
pub(crate) fn not_convertible(user: &User, routes: &ContextIndex) -> Option<SkipReason> {
    match &user.auth {
        Auth::Exec(exec) => foreign(exec).map(SkipReason::because),
        Auth::Provider { name, .. } if name == "azure" => None,
        Auth::Provider { name, .. } => Some(SkipReason::because(format!("its auth-provider is {name}"))),
        Auth::Both => Some(SkipReason::because("it has both exec and auth-provider, which kubectl refuses")),
        Auth::Neither => Some(admin::of_aks(user, routes).unwrap_or_else(|| SkipReason::because(without_entra(user)))),
    }
}

fn without_entra(user: &User) -> &'static str {
    if user.has_client_certificate {
        "it signs in with a client certificate and not with Entra"
    } else if user.has_token {
        "it signs in with a fixed token and not with Entra"
    } else {
        "it has nothing to convert"
    }
}
