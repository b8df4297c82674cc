//! `az` and `azd` on PATH, as far as somebody who wants a token notices: scripts that read the
//! files of a sign-in, which the functions here write as the real programs do.
//!
//! Facts about az were seen in az 2.91; those about azd come from its source.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A fake program on PATH, its configuration directory and the log of its starts. Cloning gives
/// another handle to the same one.
#[derive(Clone, Debug)]
pub struct FakeTool {
    program: PathBuf,
    config: PathBuf,
    log: PathBuf,
}

/// One start of a fake program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Started {
    /// The working directory.
    pub directory: PathBuf,
    /// The arguments, the program's name not among them.
    pub arguments: Vec<String>,
}

/// What a fake program does instead of answering as it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Answers, after some lines on stderr.
    Warnings,
    /// az before 2.54: no `expires_on`.
    Old,
    /// Answers after so many seconds.
    Slow(u32),
    /// Never ends by itself and ignores SIGTERM, as does its child.
    Stubborn,
    /// Entra wants another factor; a sign-in is suggested.
    Aadsts,
    /// The same, with a claims challenge in the suggested sign-in (az only).
    Claims,
    /// The name of Entra has no address; a traceback.
    Offline,
    /// Somebody else signs in while it answers.
    Switching,
    /// An error that quotes the token.
    Leaky,
    /// Exit code 127, as where Python is missing.
    Broken,
    /// Exit code 3 and not a word.
    Silent,
    /// HTML with the token in it, and exit code 0.
    Html,
    /// The first half of an answer.
    Truncated,
    /// JSON whose fields are of other kinds.
    Types,
    /// Nothing at all, and exit code 0.
    Empty,
    /// Five megabytes.
    Huge,
}

/// Who is signed in to az.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AzAccount<'a> {
    /// A person.
    User(&'a str),
    /// A service principal.
    Principal(&'a str),
    /// The system-assigned identity of the machine: no other tenant can be asked for.
    ManagedIdentity,
    /// A person in Cloud Shell: no other tenant either.
    CloudShell(&'a str),
}

/// A subscription that az knows.
#[derive(Clone, Copy, Debug)]
pub struct AzSubscription<'a> {
    /// Its id.
    pub id: &'a str,
    /// Its name; no underlines.
    pub name: &'a str,
    /// Its tenant.
    pub tenant: &'a str,
}

impl FakeTool {
    /// `az` in the directory `bin`, with its files in `config`.
    pub fn az(bin: &Path, config: &Path) -> Self {
        Self::install(bin, "az", include_str!("az.sh"), config)
    }

    /// `azd` in the directory `bin`, with its files in `config`.
    pub fn azd(bin: &Path, config: &Path) -> Self {
        Self::install(bin, "azd", include_str!("azd.sh"), config)
    }

    fn install(bin: &Path, name: &str, script: &str, config: &Path) -> Self {
        let (program, log) = (bin.join(name), bin.join(format!("{name}.log")));
        fs::create_dir_all(config.join(".fake")).expect("a directory");
        // Not written where it will lie: a process that is forked meanwhile would keep it busy.
        let new = bin.join(format!("{name}.new"));
        fs::write(&new, script.replace("@LOG@", &log.display().to_string())).expect("a script");
        fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).expect("a mode");
        fs::rename(new, &program).expect("a script");
        Self { program, config: config.to_owned(), log }
    }

    /// Takes the program off PATH.
    pub fn uninstall(&self) {
        fs::remove_file(&self.program).expect("it is installed");
    }

    /// Where its files lie: `AZURE_CONFIG_DIR`, `AZD_CONFIG_DIR`.
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// The token that it hands out from now on, and when that ends, in seconds since 1970.
    pub fn token(&self, token: &str, expires_on: u64) -> &Self {
        self.write(".fake/token", token);
        self.write(".fake/expires_on", &expires_on.to_string())
    }

    /// Another token where this tenant is asked for, or (az) this subscription is meant.
    pub fn token_for(&self, tenant_or_subscription: &str, token: &str) -> &Self {
        self.write(&format!(".fake/token.{tenant_or_subscription}"), token)
    }

    /// What it does from now on.
    pub fn mode(&self, mode: Mode) -> &Self {
        let name = match mode {
            Mode::Slow(seconds) => {
                self.write(".fake/seconds", &seconds.to_string());
                "slow".into()
            }
            other => format!("{other:?}").to_lowercase(),
        };
        self.write(".fake/mode", &name)
    }

    /// It works again.
    pub fn well(&self) -> &Self {
        self.remove(".fake/mode")
    }

    /// Every start so far, in order.
    pub fn starts(&self) -> Vec<Started> {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let started = |line: &str| {
            let mut words = line.split('\t').map(String::from);
            Started { directory: words.next().unwrap_or_default().into(), arguments: words.collect() }
        };
        log.lines().map(started).collect()
    }

    /// How often it was started.
    pub fn count(&self) -> usize {
        self.starts().len()
    }

    /// The arguments of the last start, separated by blanks.
    pub fn last(&self) -> String {
        self.starts().last().map(|started| started.arguments.join(" ")).unwrap_or_default()
    }

    /// `az login`: the profile with the byte order mark that az writes, and the files with tokens.
    /// The first subscription is the default one.
    pub fn az_login(&self, account: AzAccount, subscriptions: &[AzSubscription]) -> &Self {
        let (kind, user) = match account {
            AzAccount::User(name) => ("user", format!("{{\"name\": \"{name}\", \"type\": \"user\"}}")),
            AzAccount::Principal(id) => ("principal", format!("{{\"name\": \"{id}\", \"type\": \"servicePrincipal\"}}")),
            AzAccount::ManagedIdentity => (
                "managed",
                "{\"name\": \"systemAssignedIdentity\", \"type\": \"servicePrincipal\", \"assignedIdentityInfo\": \"MSI\"}".into(),
            ),
            AzAccount::CloudShell(name) => {
                ("shell", format!("{{\"name\": \"{name}\", \"type\": \"user\", \"cloudShellID\": true}}"))
            }
        };
        self.write(".fake/kind", kind);
        if let AzAccount::User(name) | AzAccount::Principal(name) | AzAccount::CloudShell(name) = account {
            self.write(".fake/user", name);
        }
        self.write(".fake/entity", &user);
        self.write(
            ".fake/known",
            &subscriptions.iter().map(|s| format!("{}\t{}\t{}\n", s.id, s.name, s.tenant)).collect::<String>(),
        );
        match account {
            AzAccount::User(_) => _ = self.write("msal_token_cache.json", "{}"),
            AzAccount::Principal(_) => {
                self.write("msal_token_cache.json", "{}").write("service_principal_entries.json", "[]");
            }
            AzAccount::ManagedIdentity | AzAccount::CloudShell(_) => {}
        }
        self.az_account_set(subscriptions.first().map_or("", |first| first.id))
    }

    /// `az account set`: another default subscription, by its id; none at all for an unknown one.
    pub fn az_account_set(&self, default: &str) -> &Self {
        let known = fs::read_to_string(self.config.join(".fake/known")).expect("a sign-in");
        let entity = fs::read_to_string(self.config.join(".fake/entity")).expect("a sign-in");
        let (mut accounts, mut lines) = (Vec::new(), String::new());
        for line in known.lines() {
            let mut fields = line.split('\t');
            let [id, name, tenant] = [(); 3].map(|()| fields.next().expect("a field"));
            accounts.push(format!(
                "{{\"id\": \"{id}\", \"name\": \"{name}\", \"state\": \"Enabled\", \"user\": {entity}, \"isDefault\": {}, \
                 \"tenantId\": \"{tenant}\", \"environmentName\": \"AzureCloud\", \"homeTenantId\": \"{tenant}\", \"managedByTenants\": []}}",
                id == default
            ));
            let star = if id == default { "*" } else { "-" };
            lines.push_str(&format!("{id} {} {tenant} {star}\n", name.replace(' ', "_")));
        }
        self.write(".fake/subscriptions", &lines);
        self.write("azureProfile.json", &format!("\u{feff}{{\"subscriptions\": [{}]}}", accounts.join(", ")));
        self.write("clouds.config", &format!("[AzureCloud]\nsubscription = {default}\n\n"))
    }

    /// `az logout`: no account is left, the token file stays and is empty.
    pub fn az_logout(&self) -> &Self {
        self.write("azureProfile.json", "\u{feff}{\"subscriptions\": []}").write("msal_token_cache.json", "{}")
    }

    /// `az account clear`: the files with tokens go too.
    pub fn az_account_clear(&self) -> &Self {
        self.az_logout().remove("msal_token_cache.json").remove("service_principal_entries.json")
    }

    /// `az cloud set`.
    pub fn az_cloud_set(&self, cloud: &str) -> &Self {
        self.write("config", &format!("[cloud]\nname = {cloud}\n\n"))
    }

    /// What az's telemetry adds to the profile when it finds none: nobody has signed in or out.
    pub fn az_installation_id(&self) -> &Self {
        let profile = fs::read_to_string(self.config.join("azureProfile.json")).expect("a sign-in");
        self.write("azureProfile.json", &profile.replacen('{', "{\"installationId\": \"5a5a\", ", 1))
    }

    /// `azd auth login` of a person.
    pub fn azd_login(&self, home_account: &str) -> &Self {
        self.write(
            "auth.json",
            &format!("{{\"auth\":{{\"account\":{{\"currentUser\":{{\"homeAccountId\":\"{home_account}\"}}}}}}}}"),
        )
    }

    /// `azd auth logout`.
    pub fn azd_logout(&self) -> &Self {
        self.write("auth.json", "{\"auth\":{\"account\":{}}}")
    }

    /// The form in which azd complains: text, or from 1.24 an object, or before a message a line.
    pub fn azd_complains_in(&self, form: &str) -> &Self {
        self.write(".fake/form", form)
    }

    /// Writes one of its files.
    pub fn write(&self, name: &str, text: &str) -> &Self {
        fs::write(self.config.join(name), text).expect("a file");
        self
    }

    /// Removes one of its files, if it is there.
    pub fn remove(&self, name: &str) -> &Self {
        let _ = fs::remove_file(self.config.join(name));
        self
    }
}
