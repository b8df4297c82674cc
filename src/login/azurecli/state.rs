//! What `az` is signed in to, as far as its files tell without it being started: everything that
//! makes one sign-in another, and nothing that changes while the sign-in stays the same.
//!
//! Seen in az 2.91: `get-access-token` itself writes `msal_token_cache.*`, `msal_http_cache.bin`, a
//! log and, where they are missing, `config` with the default cloud and, for its telemetry, the
//! `installationId` of `azureProfile.json`. It does not touch the accounts. `az login`, `az logout`,
//! `az account set` and `az account clear` do; `az cloud set` changes `config`.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::cache_key::CacheKey;
use crate::login::tool::{directory, text_of};
use crate::os::env::Env;

/// Where az keeps its sign-in, and what of the environment decides about its tokens.
pub(in crate::login) struct AzDirectory {
    directory: PathBuf,
    /// Whether a variable names the directory.
    named: bool,
    cloud: Option<String>,
    surroundings: Vec<(&'static str, String)>,
}

/// The variable that names the directory.
pub(super) const DIRECTORY: &str = "AZURE_CONFIG_DIR";

/// Variables that make another token: an agent's session is marked in it, Cloud Shell and App
/// Service give tokens of their own.
const SURROUNDINGS: [&str; 7] = [
    "COPILOT_AGENT_SESSION_ID",
    "AZURE_IDENTITY_DISABLE_CP1",
    "ACC_CLOUD",
    "MSI_ENDPOINT",
    "IDENTITY_ENDPOINT",
    "IMDS_ENDPOINT",
    "AZURE_POD_IDENTITY_AUTHORITY_HOST",
];

/// Files whose being there tells a sign-in. Their content changes with every token.
const TOKEN_FILES: [&str; 4] = [
    "msal_token_cache.json",
    "msal_token_cache.bin",
    "service_principal_entries.json",
    "service_principal_entries.bin",
];

/// The cloud where nobody has chosen one.
const DEFAULT_CLOUD: &str = "AzureCloud";

/// The sign-in at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::login) struct AzState {
    cloud: String,
    /// The accounts and subscriptions of `azureProfile.json`, and which is the default.
    accounts: String,
    /// `clouds.config`: endpoints of clouds that az does not know by itself.
    clouds: String,
    token_files: Vec<&'static str>,
}

impl AzDirectory {
    /// The place that `env` means, if it means one.
    pub(in crate::login) fn of(env: &Env) -> Option<Self> {
        Some(Self {
            directory: directory(env, DIRECTORY, ".azure")?,
            named: env.get(DIRECTORY).is_some(),
            cloud: env.get("AZURE_CLOUD_NAME").map(String::from),
            surroundings: SURROUNDINGS.into_iter().filter_map(|name| Some((name, env.get(name)?.to_owned()))).collect(),
        })
    }

    /// The directory as a variable for az, where one is set. az does not run in our directory, so
    /// that a relative path would mean another place.
    pub(super) fn variable(&self) -> Option<(&'static str, String)> {
        self.named.then(|| (DIRECTORY, self.directory.to_string_lossy().into_owned()))
    }

    /// az's configuration directory.
    pub(in crate::login) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Reads the files.
    pub(in crate::login) fn state(&self) -> AzState {
        let text = |name| text_of(&self.directory.join(name));
        let chosen = || cloud_of(&text("config"));
        let profile = text("azureProfile.json");
        AzState {
            cloud: self.cloud.clone().or_else(chosen).unwrap_or_else(|| DEFAULT_CLOUD.into()),
            accounts: accounts(&profile).unwrap_or(&profile).to_owned(),
            clouds: text("clouds.config"),
            token_files: TOKEN_FILES.into_iter().filter(|name| self.directory.join(name).exists()).collect(),
        }
    }

    /// Writes what tells `state` from any other into `identity`.
    pub(in crate::login) fn add_to_key(&self, state: &AzState, key: &mut CacheKey) {
        key.field("az directory", &self.directory.to_string_lossy());
        for (name, value) in &self.surroundings {
            key.field(name, value);
        }
        key.field("az cloud", &state.cloud);
        key.field("az accounts", &state.accounts);
        key.field("az clouds", &state.clouds);
        for name in &state.token_files {
            key.field("az file", name);
        }
        if state.is_of_a_machine() {
            key.field("machine", &crate::managed_identity::machine().unwrap_or_default());
        }
    }
}

impl AzState {
    /// Whether the same account of the same cloud is meant; token files come and go with tokens.
    pub(in crate::login) fn is_same_account(&self, other: &Self) -> bool {
        (&self.cloud, &self.accounts, &self.clouds) == (&other.cloud, &other.accounts, &other.clouds)
    }

    /// Whether there is an account of the active cloud.
    pub(in crate::login) fn signed_in(&self) -> bool {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct AzAccount {
            environment_name: String,
        }
        let accounts = serde_json::from_str::<Vec<AzAccount>>(&self.accounts).unwrap_or_default();
        accounts.iter().any(|account| account.environment_name == self.cloud)
    }

    /// Whether az hands out tokens of a managed identity: the same files on another machine then mean
    /// another identity.
    pub(in crate::login) fn is_of_a_machine(&self) -> bool {
        self.accounts.contains("AssignedIdentity")
    }

    /// az's active cloud.
    pub(super) fn cloud(&self) -> &str {
        &self.cloud
    }
}

/// The accounts of a profile, letter by letter; az writes it with a byte order mark.
fn accounts(profile: &str) -> Option<&str> {
    #[derive(Deserialize)]
    struct Profile<'a> {
        #[serde(borrow)]
        subscriptions: &'a RawValue,
    }
    let profile: Profile = serde_json::from_str(profile.strip_prefix('\u{feff}').unwrap_or(profile)).ok()?;
    Some(profile.subscriptions.get())
}

/// The `name` of the section `cloud`, by the rules of Python's configparser.
fn cloud_of(config: &str) -> Option<String> {
    let mut lines = config.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';']));
    lines.find(|line| *line == "[cloud]")?;
    lines.take_while(|line| !line.starts_with('[')).find_map(|line| {
        let (key, value) = line.split_once(['=', ':'])?;
        key.trim().eq_ignore_ascii_case("name").then(|| value.trim().to_owned())
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// As az 2.91 writes it.
    const PROFILE: &str = "\u{feff}{\"installationId\": \"x\", \"subscriptions\": [{\"id\": \"1\", \"name\": \"One\", \
        \"user\": {\"name\": \"alice\", \"type\": \"user\"}, \"isDefault\": true, \"environmentName\": \"AzureCloud\"}]}";

    struct Home(tempfile::TempDir);

    impl Home {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        #[expect(clippy::disallowed_methods, reason = "az is played here")]
        fn write(&self, name: &str, text: &str) -> &Self {
            fs::write(self.0.path().join(name), text).unwrap();
            self
        }

        fn place(&self, cloud: &str) -> AzDirectory {
            let directory = self.0.path().display().to_string();
            AzDirectory::of(&Env::from([("AZURE_CONFIG_DIR", directory.as_str()), ("AZURE_CLOUD_NAME", cloud)]))
                .unwrap()
        }

        fn state(&self) -> AzState {
            self.place("").state()
        }
    }

    #[test]
    fn what_az_writes_by_itself_changes_nothing() {
        let home = Home::new();
        let before = home.write("azureProfile.json", &PROFILE.replace("\"installationId\": \"x\", ", "")).state();
        let after = home.write("azureProfile.json", PROFILE).write("config", "[cloud]\nname = AzureCloud\n").state();
        assert_eq!(before, after);
        let with_tokens = home.write("msal_token_cache.json", "{}").state();
        assert!(with_tokens != after && with_tokens.is_same_account(&after));
        assert_eq!(home.write("msal_token_cache.json", "{\"more\": 1}").state(), with_tokens);
    }

    #[test]
    fn another_sign_in_is_another_state() {
        let home = Home::new();
        let alice = home.write("azureProfile.json", PROFILE).state();
        for change in [PROFILE.replace("alice", "bob"), PROFILE.replace("true", "false"), "\u{feff}{".into()] {
            assert!(!home.write("azureProfile.json", &change).state().is_same_account(&alice), "{change}");
        }
        home.write("azureProfile.json", PROFILE);
        assert!(!home.place("AzureUSGovernment").state().is_same_account(&alice));
        home.write("config", "[core]\nname = x\n[cloud]\n# name = y\nName: AzureChinaCloud\n");
        assert!(!home.state().is_same_account(&alice));
        assert_eq!(home.state().cloud(), "AzureChinaCloud");
    }

    #[test]
    fn an_account_of_the_active_cloud_means_signed_in() {
        let home = Home::new();
        assert!(!home.state().signed_in());
        assert!(!home.write("azureProfile.json", "\u{feff}{\"subscriptions\": []}").state().signed_in());
        assert!(!home.write("azureProfile.json", "junk").state().signed_in());
        assert!(home.write("azureProfile.json", PROFILE).state().signed_in());
        assert!(!home.place("AzureChinaCloud").state().signed_in());
    }

    #[test]
    fn without_a_home_there_is_no_place() {
        assert!(AzDirectory::of(&Env::default()).is_none());
        let place = AzDirectory::of(&Env::from([("AZURE_CONFIG_DIR", "relative")])).unwrap();
        assert!(place.directory().is_absolute());
    }
}
