//! The wire contract with kubectl: `KUBERNETES_EXEC_INFO` in, one `ExecCredential` line out.

use serde::Deserialize;

use crate::error::{Error, ErrorKind};
use crate::os::clock::rfc3339;
use crate::os::env::Env;
use crate::secret::Secret;

/// The versions that client-go still speaks; both have the same fields.
pub(crate) const VERSIONS: [&str; 2] = ["client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"];

/// Whether a client such as kubectl, helm or terraform made this call: they say so in a variable, which may be
/// nonsense.
pub(crate) fn is_called_by_client(env: &Env) -> bool {
    exec_info(env).is_some()
}

fn exec_info(env: &Env) -> Option<&str> {
    env.get("KUBERNETES_EXEC_INFO").filter(|text| !text.trim().is_empty())
}

/// What kubectl says about the call.
#[derive(Debug, PartialEq, Eq)]
pub struct ExecInfo {
    version: &'static str,
    /// Whether a client such as kubectl, helm or terraform made this call, and not a person.
    pub called_by_client: bool,
    /// The cluster that the call is for, where the entry has `provideClusterInfo: true`.
    pub cluster: Option<Cluster>,
}

/// What kubectl says about a cluster.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub struct Cluster {
    /// The address of its API server.
    #[serde(default)]
    pub server: String,
    /// The extension `client.authentication.k8s.io/exec` of the cluster's stanza, whatever it holds.
    #[serde(default)]
    pub config: serde_json::Value,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Wire {
    api_version: Option<String>,
    kind: Option<String>,
    spec: Option<WireSpec>,
}

#[derive(Deserialize)]
struct WireSpec {
    #[serde(default)]
    cluster: Option<Cluster>,
}

/// A call by a person.
impl Default for ExecInfo {
    fn default() -> Self {
        Self { version: VERSIONS[1], called_by_client: false, cluster: None }
    }
}

impl ExecInfo {
    /// Reads `KUBERNETES_EXEC_INFO`; without it the answer is v1beta1, as by Azure/kubelogin.
    ///
    /// # Errors
    /// Text that isn't an `ExecCredential`, or a version that isn't spoken here.
    pub fn from_env(env: &Env) -> Result<Self, Error> {
        let Some(text) = exec_info(env) else {
            return Ok(Self::default());
        };
        let wire: Wire = serde_json::from_str(text).map_err(|error| not_understood(&error.to_string()))?;
        if !text.trim_start().starts_with('{') {
            return Err(not_understood("it is not an object"));
        }
        if !matches!(wire.kind.as_deref().unwrap_or_default(), "" | "ExecCredential") {
            return Err(not_understood(&format!("its kind is {}", wire.kind.unwrap_or_default())));
        }
        let asked = wire.api_version.unwrap_or_default();
        let version = match asked.as_str() {
            "" => Some(VERSIONS[1]),
            asked => VERSIONS.into_iter().find(|version| *version == asked),
        };
        let version = version.ok_or_else(|| {
            Error::new(ErrorKind::ExecInfo, format!("api version: {asked} is not supported"))
                .from_source("KUBERNETES_EXEC_INFO")
        })?;
        let cluster = wire.spec.and_then(|spec| spec.cluster);
        Ok(Self { version, called_by_client: true, cluster })
    }

    /// A call by a person about an exec entry, which lets kubectl tell its `cluster`.
    pub fn of_entry(cluster: Option<Cluster>) -> Self {
        Self { cluster, ..Self::default() }
    }

    /// The line for kubectl: key order and escaping as Azure/kubelogin prints them. The expiry is
    /// RFC 3339 in UTC with whole seconds, of `expires_on` in seconds since the Unix epoch.
    pub fn respond(&self, access_token: &Secret, expires_on: u64) -> Secret {
        Secret::new(format!(
            "{{\"kind\":\"ExecCredential\",\"apiVersion\":\"{}\",\"spec\":{{\"interactive\":false}},\
             \"status\":{{\"expirationTimestamp\":\"{}\",\"token\":{}}}}}\n",
            self.version,
            rfc3339(expires_on),
            json_string(access_token.expose())
        ))
    }
}

fn not_understood(why: &str) -> Error {
    let what = format!("cannot unmarshal KUBERNETES_EXEC_INFO to ExecCredential: {why}");
    Error::new(ErrorKind::ExecInfo, what)
}

/// A JSON string as Go's encoder writes it: `<`, `>`, `&` and the two line separators escaped.
fn json_string(text: &str) -> String {
    // A JWT has nothing to escape, and to look for it costs more than the rest of a warm call's output.
    if text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')) {
        return format!("\"{text}\"");
    }
    let plain = serde_json::Value::from(text).to_string();
    if !plain.contains(['<', '>', '&', '\u{2028}', '\u{2029}']) {
        return plain;
    }
    plain
        .replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029")
}

#[cfg(test)]
mod tests {
    use proptest::option::of;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    fn version(info: &str) -> Result<&'static str, String> {
        let env = Env::from([("KUBERNETES_EXEC_INFO", info)]);
        ExecInfo::from_env(&env).map(|info| info.version).map_err(|error| error.to_string())
    }

    #[test]
    fn the_version_asked_for_is_the_version_answered() {
        assert_eq!(
            version(r#"{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential"}"#),
            Ok(VERSIONS[0])
        );
        assert_eq!(version(r#"{"apiVersion":"client.authentication.k8s.io/v1beta1"}"#), Ok(VERSIONS[1]));
        for absent in ["", "{}", r#"{"apiVersion":""}"#, r#"{"apiVersion":null}"#, " \n"] {
            assert_eq!(version(absent), Ok(VERSIONS[1]), "{absent}");
        }
    }

    #[test]
    fn what_is_not_spoken_here_is_refused() {
        let alpha = version(r#"{"apiVersion":"client.authentication.k8s.io/v1alpha1"}"#).unwrap_err();
        assert!(alpha.starts_with(
            "api version: client.authentication.k8s.io/v1alpha1 is not supported (KUBERNETES_EXEC_INFO);"
        ));
        assert!(version("junk").unwrap_err().starts_with("cannot unmarshal"));
        assert!(version(r#"{"kind":"Pod"}"#).is_err());
        assert!(version("[]").is_err());
    }

    #[test]
    fn the_answer_byte_for_byte() {
        let info = ExecInfo::from_env(&Env::default()).unwrap();
        assert_eq!(
            info.respond(&Secret::new("ey.<&>"), 1_795_296_000).expose(),
            "{\"kind\":\"ExecCredential\",\"apiVersion\":\"client.authentication.k8s.io/v1beta1\",\"spec\":{\"interactive\":false},\
             \"status\":{\"expirationTimestamp\":\"2026-11-21T21:20:00Z\",\"token\":\"ey.\\u003c\\u0026\\u003e\"}}\n"
        );
    }

    /// What kubectl may say, or somebody in its name: members that are there or not, and right or not.
    fn exec_info() -> impl Strategy<Value = String> {
        let odd = || {
            select(vec![
                "null",
                "1",
                "\"\"",
                "[]",
                "{}",
                "\"x\"",
                "{\"server\":1}",
                "{\"cluster\":{\"server\":[]}}",
                "",
            ])
        };
        let version = prop_oneof![
            select(VERSIONS.map(|version| format!("\"{version}\"")).to_vec()),
            select(vec!["\"client.authentication.k8s.io/v1alpha1\"".to_owned()]),
            odd().prop_map(String::from),
        ];
        let kind = prop_oneof![select(vec!["\"ExecCredential\"", "\"Pod\""]), odd()];
        let cluster = prop_oneof![
            select(vec![r#"{"interactive":true}"#, r#"{"cluster":{"server":"https://a","config":{"b":[1]}}}"#]),
            odd(),
        ];
        let cut = prop_oneof![4 => Just(usize::MAX), 1 => 0..120_usize];
        (of(version), of(kind), of(cluster), cut).prop_map(|(version, kind, spec, cut)| {
            let members = [("apiVersion", version), ("kind", kind.map(String::from)), ("spec", spec.map(String::from))];
            let members = members.into_iter().filter_map(|(name, value)| Some(format!("\"{name}\":{}", value?)));
            let text = format!("{{{}}}", members.collect::<Vec<_>>().join(","));
            text.chars().take(cut).collect()
        })
    }

    proptest! {
        /// It is answered in the version that it names, or refused in one line that says where it came from.
        #[test]
        fn every_exec_info_is_answered_or_refused(text in prop_oneof![9 => exec_info(), 1 => any::<String>()]) {
            match version(&text) {
                Ok(answered) => {
                    let json: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
                    let named = json["apiVersion"].as_str().filter(|named| !named.is_empty());
                    prop_assert_eq!(answered, named.unwrap_or(VERSIONS[1]), "{}", text);
                    prop_assert!(json["kind"].as_str().is_none_or(|kind| kind.is_empty() || kind == "ExecCredential"));
                }
                Err(why) => prop_assert!(why.contains("KUBERNETES_EXEC_INFO"), "{}: {}", text, why),
            }
        }
    }
}
