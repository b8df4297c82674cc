//! What may be seen of arguments and variables in the diff of a kubeconfig.

use crate::kubeconfig::mask::{Public, Takes};
use crate::options::args::is_flag_of;
use crate::options::{OptionSet, TABLE, ValueKind};

/// As the table of options has it.
pub(crate) const PUBLIC: Public = Public { option, variable };

/// They name files and directories; `KUBECONFIG` may name several.
const PATHS: [&str; 6] = ["AZURE_CONFIG_DIR", "HOME", "KUBECONFIG", "SSL_CERT_DIR", "SSL_CERT_FILE", "USERPROFILE"];

fn option(flag: &str) -> Option<Takes> {
    let decl = OptionSet::TOKEN.find(|decl| is_flag_of(flag, decl))?;
    Some(match decl.takes {
        ValueKind::Nothing => Takes::Nothing,
        _ if decl.secret.is_some() => Takes::Secret,
        _ => Takes::Public,
    })
}

fn variable(name: &str) -> bool {
    let mut public = TABLE.iter().filter(|decl| decl.secret.is_none()).flat_map(|decl| decl.vars);
    PATHS.contains(&name) || public.any(|var| var.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_public() {
        for decl in TABLE.iter().filter(|decl| decl.secret.is_some()) {
            assert_eq!(option(&decl.flag()), Some(Takes::Secret), "{}", decl.name);
            assert!(decl.vars.iter().all(|var| !variable(var.name)), "{}", decl.name);
        }
        assert_eq!(
            ["-t", "--tenant-id", "--legacy", "--context", "-t=", "t"].map(option),
            [Some(Takes::Public), Some(Takes::Public), Some(Takes::Nothing), None, None, None]
        );
        assert!(variable("AZURE_TENANT_ID") && variable("HOME") && !variable("KUBENTRA_TRUSTED_COMMANDS"));
    }
}
