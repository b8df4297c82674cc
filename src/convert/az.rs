//! The call that `az aks get-credentials` makes by itself, once it has written a kubeconfig.

use std::path::{Component, Path, PathBuf};

use crate::kubeconfig;
use crate::os::env::Env;
use crate::sys::Sys;

/// Whether this is that call.
pub(super) fn is_calling(sys: &Sys) -> bool {
    sys.args.iter().skip(1).eq(["convert-kubeconfig", "-l", "azurecli"])
}

/// Whether it is az that has started us, as far as it can be known; what we print stands among its lines.
pub(super) fn has_started(sys: &Sys) -> bool {
    (sys.parent)().windows(2).any(|words| words == ["aks", "get-credentials"])
}

/// The kubeconfig that az has written, where our rules don't find it: az takes the first item of
/// `KUBECONFIG` and starts us in its directory, from where a relative item names nothing any more.
pub(super) fn written_kubeconfig(env: &Env) -> Option<PathBuf> {
    let item = kubeconfig::default_files(env).into_iter().next().filter(|item| item.is_relative())?;
    let here = Path::new(".").canonicalize().ok()?;
    let named: PathBuf = item.parent()?.components().filter(|part| matches!(part, Component::Normal(_))).collect();
    let file = here.join(item.file_name()?);
    (!item.exists() && here.ends_with(named) && file.is_file()).then_some(file)
}
