//! The options table: every option declared once. The command-line reader, clap's help and
//! completions, the environment, and the reading and writing of kubeconfig entries come from it.
//!
//! Names, variables, defaults and help follow Azure/kubelogin where it has the option.

pub mod args;
pub(crate) mod types;
pub(crate) mod values;

use std::collections::BTreeMap;

pub(crate) use args::{ParsedArgs, ParsedFlag};
pub use values::Values;
pub(crate) use values::{Inputs, ValueSource, shown};

use crate::azure::cloud::Cloud;
use crate::azure::id::{AuthorityHost, ClientId, Subscription, TenantId};
use crate::entra::browser::RedirectUrl;
use crate::entra::pop_claims::PopClaims;
use crate::federated::FederatedTokenSource;
use crate::secret::Secret;
use crate::store::Storage;
use types::{FilePath, GoDuration, OutputFormat};

/// An option whose text parses to `T`.
#[derive(Debug)]
pub struct Opt<T: 'static> {
    /// The table row.
    pub decl: Decl,
    /// Text to value; the error reads on from "invalid argument …: ".
    pub parse: fn(&str) -> Result<T, String>,
}

/// One row of the table.
#[derive(Debug)]
pub struct Decl {
    /// The long flag, without dashes.
    pub name: &'static str,
    /// The short flag.
    pub short: Option<char>,
    /// Old long flags that still work, with a notice.
    pub old_names: &'static [&'static str],
    /// Other long flags that say the same.
    pub other_names: &'static [&'static str],
    /// What follows the flag.
    pub takes: ValueKind,
    /// The value where nobody gives one; for help and resolution alike.
    pub default: Option<&'static str>,
    /// The variables, weakest first.
    pub vars: &'static [Var],
    /// The key in the retired `auth-provider: azure` block.
    pub legacy_key: Option<LegacyKey>,
    /// What it is about, and so which commands know it.
    pub scope: Scope,
    /// The option of a file that can hold it, where it is a secret: what that says must never be shown.
    pub secret: Option<&'static Opt<FilePath>>,
    /// One line for people.
    pub help: &'static str,
    /// What is wrong with a text that it does not take.
    pub check: fn(&str) -> Result<(), String>,
    /// Which row it is: two are called `--output`, a file of one command and a form of others.
    row: Option<Row>,
}

impl PartialEq for Decl {
    fn eq(&self, other: &Self) -> bool {
        self.row == other.row
    }
}

/// What follows a flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueKind {
    /// Nothing, or `=true`/`=false`.
    Nothing,
    /// A text, named so in the help.
    Text(&'static str),
    /// A Go duration such as `1m30s`.
    Duration,
    /// A whole number.
    Number,
}

/// Where the retired `auth-provider: azure` block says an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LegacyKey {
    /// As the text of this key.
    Text(&'static str),
    /// As a mode: on where this key is absent, empty or "0", off otherwise.
    OnUnlessSet(&'static str),
}

impl LegacyKey {
    /// The option's text, as the block `config` has it.
    pub fn read(self, config: &BTreeMap<String, String>) -> Option<String> {
        match self {
            LegacyKey::Text(key) => config.get(key).cloned(),
            LegacyKey::OnUnlessSet(key) => {
                let mode = config.get(key).map_or("", String::as_str);
                Some(matches!(mode, "" | "0").to_string())
            }
        }
    }
}

/// A variable that can give an option its value.
#[derive(Debug)]
pub struct Var {
    /// The variable's name.
    pub name: &'static str,
    /// Against what it wins.
    pub rank: Precedence,
    /// When it is looked at.
    pub when: Condition,
}

/// Against what a variable wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precedence {
    /// Wins over the flag: the rule of Azure/kubelogin (design, D1). `--disable-environment-override` turns it off.
    OverFlag,
    /// As `OverFlag`, but a text that does not parse is passed over.
    OverFlagIfValid,
    /// Looked at only where flag and other variables left the value empty. `--disable-environment-override` turns it off.
    Fallback,
    /// Replaces the default: options of our own and `KUBECACHEDIR`.
    Default,
}

/// When a variable is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// With every login.
    Always,
    /// Unless `--use-azurerm-env-vars` is given.
    WithoutAzurerm,
    /// With `--use-azurerm-env-vars` only.
    WithAzurerm,
    /// With this login method only.
    Login(&'static str),
}

/// What an option is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Whose token is wanted, for which server, and by what proof.
    Token,
    /// Who signs in at this machine and how, and what is kept here.
    Machine,
    /// One run: how much is said, and how long it may take.
    Run,
    /// Single commands, which list it; no exec entry says it.
    Command,
}

/// What every command knows.
static COMMON: [&Decl; 2] = [&VERBOSITY.decl, &LOGTOSTDERR.decl];

/// The options that a command knows.
#[derive(Debug, Clone, Copy)]
pub struct OptionSet {
    of_tokens: bool,
    own: &'static [&'static Decl],
}

impl OptionSet {
    /// Those of every command, and no others.
    pub const COMMON: Self = Self::common_and(&[]);
    /// Those of `get-token`, for it and for whatever reads or writes its command line.
    pub const TOKEN: Self = Self::token_and(&[]);

    /// Those of every command, and `own`.
    pub const fn common_and(own: &'static [&'static Decl]) -> Self {
        Self { of_tokens: false, own }
    }

    /// Those of `get-token`, and `own`.
    pub const fn token_and(own: &'static [&'static Decl]) -> Self {
        Self { of_tokens: true, own }
    }

    /// Whether `decl` is among them.
    pub fn has(self, decl: &Decl) -> bool {
        self.of_tokens && decl.scope != Scope::Command || self.own.contains(&decl) || COMMON.contains(&decl)
    }

    /// The first that `is_it` picks.
    pub fn find(self, is_it: impl Fn(&Decl) -> bool) -> Option<&'static Decl> {
        TABLE.iter().copied().find(|decl| is_it(decl) && self.has(decl))
    }

    /// All of them, in the order of the table.
    pub fn iter(self) -> impl Iterator<Item = &'static Decl> {
        TABLE.iter().copied().filter(move |decl| self.has(decl))
    }
}

impl Decl {
    const fn new(name: &'static str, takes: ValueKind, help: &'static str) -> Self {
        Self {
            name,
            short: None,
            old_names: &[],
            other_names: &[],
            takes,
            default: None,
            vars: &[],
            legacy_key: None,
            scope: Scope::Token,
            secret: None,
            help,
            check: |_| Ok(()),
            row: None,
        }
    }

    /// The flag as people type it: `--client-id`.
    pub fn flag(&self) -> String {
        format!("--{}", self.name)
    }

    /// What it is in a sentence: `client secret`.
    pub fn words(&self) -> String {
        self.name.replace('-', " ")
    }

    /// Whether `name` is one of this option's long flags, today's or an old one.
    pub fn answers_to(&self, name: &str) -> bool {
        self.name == name || self.old_names.contains(&name) || self.other_names.contains(&name)
    }
}

impl<T> Opt<T> {
    const fn new(decl: Decl, parse: fn(&str) -> Result<T, String>) -> Self {
        Self { decl, parse }
    }

    const fn in_row(mut self, row: Row, check: fn(&str) -> Result<(), String>) -> Self {
        self.decl.row = Some(row);
        self.decl.check = check;
        self
    }

    const fn short(mut self, short: char) -> Self {
        self.decl.short = Some(short);
        self
    }

    const fn old_names(mut self, names: &'static [&'static str]) -> Self {
        self.decl.old_names = names;
        self
    }

    const fn other_names(mut self, names: &'static [&'static str]) -> Self {
        self.decl.other_names = names;
        self
    }

    const fn default(mut self, text: &'static str) -> Self {
        self.decl.default = Some(text);
        self
    }

    const fn vars(mut self, vars: &'static [Var]) -> Self {
        self.decl.vars = vars;
        self
    }

    const fn legacy_key(mut self, key: &'static str) -> Self {
        self.decl.legacy_key = Some(LegacyKey::Text(key));
        self
    }

    const fn legacy_mode(mut self, key: &'static str) -> Self {
        self.decl.legacy_key = Some(LegacyKey::OnUnlessSet(key));
        self
    }

    const fn scope(mut self, scope: Scope) -> Self {
        self.decl.scope = scope;
        self
    }

    const fn secret(mut self, file: &'static Opt<FilePath>) -> Self {
        self.decl.secret = Some(file);
        self
    }
}

const fn text<T>(
    name: &'static str,
    placeholder: &'static str,
    parse: fn(&str) -> Result<T, String>,
    help: &'static str,
) -> Opt<T> {
    Opt::new(Decl::new(name, ValueKind::Text(placeholder), help), parse)
}

const fn switch(name: &'static str, help: &'static str) -> Opt<bool> {
    Opt::new(Decl::new(name, ValueKind::Nothing, help), types::go_bool)
}

const fn duration(name: &'static str, help: &'static str) -> Opt<GoDuration> {
    Opt::new(Decl::new(name, ValueKind::Duration, help), GoDuration::parse)
}

const fn var(name: &'static str, rank: Precedence, when: Condition) -> Var {
    Var { name, rank, when }
}

const fn over(name: &'static str, when: Condition) -> Var {
    var(name, Precedence::OverFlag, when)
}

const fn ours(name: &'static str) -> Var {
    var(name, Precedence::Default, Condition::Always)
}

#[expect(clippy::unnecessary_wraps, reason = "the signature of every parser in the table")]
fn any(text: &str) -> Result<String, String> {
    Ok(text.to_owned())
}

#[expect(clippy::unnecessary_wraps, reason = "the signature of every parser in the table")]
fn hidden(text: &str) -> Result<Secret, String> {
    Ok(Secret::new(text))
}

macro_rules! options {
    ($($(#[$doc:meta])* $name:ident: $type:ty = $row:expr;)*) => {
        $($(#[$doc])* pub(crate) static $name: Opt<$type> = $row.in_row(Row::$name, |text| ($name.parse)(text).map(drop));)*

        #[derive(Debug, Clone, Copy, PartialEq)]
        #[expect(non_camel_case_types, clippy::upper_case_acronyms, reason = "called as the statics are")]
        enum Row { $($name),* }

        /// The table, in the order in which help shows it.
        pub(crate) static TABLE: &[&Decl] = &[$(&$name.decl),*];
    };
}

options! {
    /// The login method.
    LOGIN: String = text("login", "METHOD", any, "Login method")
        .short('l').default("devicecode").vars(&[over("AAD_LOGIN_METHOD", Condition::Always)]);

    /// The AAD server application: the audience.
    SERVER_ID: String = text("server-id", "ID", any, "Entra server application ID: the audience of the token")
        .legacy_key("apiserver-id");

    /// The AAD client application.
    CLIENT_ID: ClientId = text("client-id", "ID", ClientId::parse, "Entra client application ID")
        .legacy_key("client-id")
        .vars(&[
            over("AAD_SERVICE_PRINCIPAL_CLIENT_ID", Condition::WithoutAzurerm),
            over("AZURE_CLIENT_ID", Condition::WithoutAzurerm),
            over("ARM_CLIENT_ID", Condition::WithAzurerm),
            over("AZURE_CLIENT_ID", Condition::Login("workloadidentity")),
            var("AZURESUBSCRIPTION_CLIENT_ID", Precedence::Fallback, Condition::Login("azurepipelines")),
        ]);

    /// The AAD tenant.
    TENANT_ID: TenantId = text("tenant-id", "ID", TenantId::parse, "Entra tenant ID")
        .short('t').legacy_key("tenant-id")
        .vars(&[
            over("AZURE_TENANT_ID", Condition::WithoutAzurerm),
            over("ARM_TENANT_ID", Condition::WithAzurerm),
            var("AZURESUBSCRIPTION_TENANT_ID", Precedence::Fallback, Condition::Login("azurepipelines")),
        ]);

    /// The secret of a confidential client.
    CLIENT_SECRET: Secret = text("client-secret", "SECRET", hidden,
        "Client application secret; prefer --client-secret-file or AZURE_CLIENT_SECRET")
        .secret(&CLIENT_SECRET_FILE)
        .vars(&[
            over("AAD_SERVICE_PRINCIPAL_CLIENT_SECRET", Condition::WithoutAzurerm),
            over("AZURE_CLIENT_SECRET", Condition::WithoutAzurerm),
            over("ARM_CLIENT_SECRET", Condition::WithAzurerm),
        ]);

    /// A file with the secret of a confidential client.
    CLIENT_SECRET_FILE: FilePath = text("client-secret-file", "FILE", FilePath::parse,
        "File that holds the client application secret; a trailing line break is not part of it")
        .vars(&[ours("KUBENTRA_CLIENT_SECRET_FILE")]);

    /// The certificate of a confidential client.
    CLIENT_CERTIFICATE: FilePath = text("client-certificate", "FILE", FilePath::parse,
        "File with the client application's certificate and private key, as PEM or PFX; wins over a secret")
        .vars(&[
            over("AAD_SERVICE_PRINCIPAL_CLIENT_CERTIFICATE", Condition::WithoutAzurerm),
            over("AZURE_CLIENT_CERTIFICATE_PATH", Condition::WithoutAzurerm),
            over("ARM_CLIENT_CERTIFICATE_PATH", Condition::WithAzurerm),
        ]);

    /// The password of the certificate's file.
    CLIENT_CERTIFICATE_PASSWORD: Secret = text("client-certificate-password", "PASSWORD", hidden,
        "Password of the certificate's file; prefer --client-certificate-password-file")
        .secret(&CLIENT_CERTIFICATE_PASSWORD_FILE)
        .vars(&[
            over("AAD_SERVICE_PRINCIPAL_CLIENT_CERTIFICATE_PASSWORD", Condition::WithoutAzurerm),
            over("AZURE_CLIENT_CERTIFICATE_PASSWORD", Condition::WithoutAzurerm),
            over("ARM_CLIENT_CERTIFICATE_PASSWORD", Condition::WithAzurerm),
        ]);

    /// A file with the password of the certificate's file.
    CLIENT_CERTIFICATE_PASSWORD_FILE: FilePath = text("client-certificate-password-file", "FILE", FilePath::parse,
        "File that holds the password of the certificate's file; a trailing line break is not part of it")
        .vars(&[ours("KUBENTRA_CLIENT_CERTIFICATE_PASSWORD_FILE")]);

    /// The person who signs in with a password.
    USERNAME: String = text("username", "NAME", any, "User who signs in with a password (ropc)")
        .vars(&[over("AAD_USER_PRINCIPAL_NAME", Condition::Always), over("AZURE_USERNAME", Condition::Always)]);

    /// Their password.
    PASSWORD: Secret = text("password", "PASSWORD", hidden,
        "Password of that user; prefer --password-file or AZURE_PASSWORD")
        .secret(&PASSWORD_FILE)
        .vars(&[over("AAD_USER_PRINCIPAL_PASSWORD", Condition::Always), over("AZURE_PASSWORD", Condition::Always)]);

    /// A file with their password.
    PASSWORD_FILE: FilePath = text("password-file", "FILE", FilePath::parse,
        "File that holds the password of that user; a trailing line break is not part of it")
        .vars(&[ours("KUBENTRA_PASSWORD_FILE")]);

    /// The person who shall sign in.
    LOGIN_HINT: String = text("login-hint", "NAME", any,
        "The only user who is meant; --account says the same")
        .other_names(&["account"]).scope(Scope::Machine)
        .vars(&[ours("KUBENTRA_ACCOUNT")]);

    /// Where the browser comes back to.
    REDIRECT_URL: RedirectUrl = text("redirect-url", "URL", RedirectUrl::parse,
        "Address on this machine that the browser comes back to, such as http://localhost:8400 (default: a free port)")
        .scope(Scope::Machine).vars(&[ours("KUBENTRA_REDIRECT_URL")]);

    /// A managed identity, by its place in Azure.
    IDENTITY_RESOURCE_ID: String = text("identity-resource-id", "ID", any,
        "Managed identity to use, by its Azure resource ID");

    /// A managed identity, by the object that stands for it in the tenant.
    IDENTITY_OBJECT_ID: String = text("identity-object-id", "ID", any,
        "Managed identity to use, by the object ID of its service principal")
        .vars(&[ours("KUBENTRA_IDENTITY_OBJECT_ID")]);

    /// The file with a federated token.
    FEDERATED_TOKEN_FILE: FilePath = text("federated-token-file", "FILE", FilePath::parse,
        "File with the federated token to exchange, as the workload identity webhook mounts it")
        .vars(&[over("AZURE_FEDERATED_TOKEN_FILE", Condition::Login("workloadidentity"))]);

    /// Where federated tokens come from.
    FEDERATED_TOKEN_SOURCE: FederatedTokenSource = text("federated-token-source", "SOURCE", FederatedTokenSource::parse,
        "Where the federated token comes from: file, github, azure-pipelines, env:NAME, url:URL or command:PROGRAM ARGUMENTS (default: found by itself)")
        .vars(&[ours("KUBENTRA_FEDERATED_TOKEN_SOURCE")]);

    /// For whom a federated token is asked.
    FEDERATED_AUDIENCE: String = text("federated-audience", "AUDIENCE", any,
        "Audience to ask federated tokens for (default: that of the cloud, api://AzureADTokenExchange)")
        .vars(&[ours("KUBENTRA_FEDERATED_AUDIENCE")]);

    /// No way around through the cluster.
    DISABLE_TOKEN_PROXY: bool = switch("disable-token-proxy",
        "Ask Entra itself in a pod with an AKS identity binding, and not the proxy of AZURE_KUBERNETES_TOKEN_PROXY");

    /// The connection of an Azure Pipelines job.
    AZURE_PIPELINES_SERVICE_CONNECTION_ID: String = text("azure-pipelines-service-connection-id", "ID", any,
        "ID of the service connection that an Azure Pipelines job signs in with")
        .vars(&[var("AZURESUBSCRIPTION_SERVICE_CONNECTION_ID", Precedence::Fallback, Condition::Always)]);

    /// The subscription that az shall use.
    SUBSCRIPTION: Subscription = text("subscription", "ID", Subscription::parse, "Azure CLI subscription whose account is used")
        .short('s');

    /// Where az keeps its state.
    AZURE_CONFIG_DIR: FilePath = text("azure-config-dir", "DIR", FilePath::parse,
        "Configuration directory of the Azure CLI, written into the entry's environment")
        .scope(Scope::Command);

    /// The cloud.
    ENVIRONMENT: Cloud = text("environment", "NAME", Cloud::parse, "Azure environment: AzurePublicCloud, AzureUSGovernmentCloud, AzureChinaCloud or AzureStackCloud")
        .short('e').default("AzurePublicCloud").legacy_key("environment");

    /// The v1 endpoint.
    LEGACY: bool = switch("legacy", "Ask the v1 endpoint for a token with the `spn:` audience")
        .legacy_mode("config-mode");

    /// Tokens that are bound to a key.
    POP_ENABLED: bool = switch("pop-enabled",
        "Ask for a proof-of-possession token, as Azure Arc clusters want it");

    /// For which cluster a signed token is.
    POP_CLAIMS: PopClaims = text("pop-claims", "CLAIMS", PopClaims::parse,
        "Claims of a proof-of-possession token: u=ARM_ID_OF_THE_CLUSTER");

    /// How long kubectl may use a signed token.
    POP_LIFETIME: GoDuration = duration("pop-lifetime",
        "How long kubectl uses a signed proof-of-possession token before it asks for the next (default: 4m0s)")
        .vars(&[ours("KUBENTRA_POP_LIFETIME")]);

    /// Another authority.
    AUTHORITY_HOST: AuthorityHost = text("authority-host", "URL", AuthorityHost::parse,
        "Entra authority to sign in at, with a trailing slash")
        .vars(&[over("AZURE_AUTHORITY_HOST", Condition::Login("workloadidentity"))]);

    /// Terraform's variable names.
    USE_AZURERM_ENV_VARS: bool = switch("use-azurerm-env-vars",
        "Use the environment variables of the Terraform azurerm provider (ARM_*)");

    /// Flags over the environment.
    DISABLE_ENVIRONMENT_OVERRIDE: bool = switch("disable-environment-override",
        "Do not let environment variables override flags");

    /// Accepted; instance discovery is never asked (design, D6).
    DISABLE_INSTANCE_DISCOVERY: bool = switch("disable-instance-discovery",
        "Accepted for compatibility: instance discovery is never asked");

    /// The time for everything.
    TIMEOUT: GoDuration = duration("timeout",
        "Time for the whole command, a person's sign-in included; without it 1m0s, and --login-timeout for people")
        .scope(Scope::Run).vars(&[var("AZURE_CLI_TIMEOUT", Precedence::OverFlagIfValid, Condition::Always)]);

    /// The time for a person.
    LOGIN_TIMEOUT: GoDuration = duration("login-timeout", "Time for a person to sign in")
        .default("5m0s").scope(Scope::Run).vars(&[ours("KUBENTRA_LOGIN_TIMEOUT")]);

    /// Where tokens are kept.
    CACHE_DIR: FilePath = text("cache-dir", "DIR", FilePath::parse,
        "Directory of the token cache (default: ~/.kube/cache/kubelogin/)")
        .old_names(&["token-cache-dir"]).scope(Scope::Machine)
        .vars(&[ours("KUBECACHEDIR"), ours("KUBENTRA_CACHE_DIR")]);

    /// How tokens are kept.
    CACHE_STORAGE: Storage = text("cache-storage", "KIND", Storage::parse,
        "How tokens are kept between runs: file or none")
        .default("file").scope(Scope::Machine).vars(&[ours("KUBENTRA_CACHE_STORAGE")]);

    /// Every account.
    ALL: bool = switch("all", "Forget every token and every sign-in")
        .scope(Scope::Command);

    /// The form of a report.
    OUTPUT: OutputFormat = text("output", "FORM", OutputFormat::parse, "Form of the report: text or json")
        .short('o').default("text").scope(Scope::Command);

    /// The program that entries name.
    COMMAND: String = text("command", "NAME|PATH", any,
        "Program that the entries run (default: what they run now; new ones the name this was called by)")
        .scope(Scope::Command);

    /// The version of the exec protocol that entries ask for.
    EXEC_API_VERSION: &'static str = text("exec-api-version", "VERSION", types::exec_api_version,
        "apiVersion of the entries: v1 or v1beta1 (default: what they have; new ones v1beta1)")
        .scope(Scope::Command);

    /// The file to convert.
    KUBECONFIG: FilePath = text("kubeconfig", "FILE", FilePath::parse,
        "Kubeconfig file (default: the files of KUBECONFIG, else ~/.kube/config; of undo, those of the newest edit)")
        .scope(Scope::Command);

    /// The context that is meant.
    CONTEXT: String = text("context", "NAME", any, "Context of the kubeconfig whose user is meant, and no other; convert-kubeconfig takes several")
        .scope(Scope::Command);

    /// Show and write nothing.
    DRY_RUN: bool = switch("dry-run", "Print the change as a diff and write nothing")
        .scope(Scope::Command);

    /// Keep no record.
    NO_UNDO: bool = switch("no-undo", "Keep nothing by which undo could take the change back")
        .scope(Scope::Command);

    /// Show what is kept.
    LIST: bool = switch("list", "List what can be taken back and write nothing")
        .scope(Scope::Command);

    /// Where the converted kubeconfig goes.
    OUTPUT_FILE: FilePath = text("output", "FILE", FilePath::parse,
        "Write the converted kubeconfig there and leave the original alone; - is stdout")
        .scope(Scope::Command);

    /// The form of a conversion's report; there `--output` names a file.
    REPORT: OutputFormat = text("report", "FORM", OutputFormat::parse, "Form of the report: text or json")
        .short('o').default("text").scope(Scope::Command);

    /// How much is said.
    VERBOSITY: u8 = Opt::new(Decl::new("v", ValueKind::Number, "How much is said on stderr, 0 to 10"), types::level)
        .short('v').default("0").scope(Scope::Run);

    /// Accepted; everything that is said goes to stderr.
    LOGTOSTDERR: bool = switch("logtostderr", "Accepted for compatibility: everything said goes to stderr")
        .default("true").scope(Scope::Run);
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// The layers below know no options; where their messages name a flag, there is one.
    #[test]
    fn messages_of_the_protocols_name_flags_that_are_there() {
        // Of az, in commands that people are told to run.
        const OF_AZ: [&str; 2] = ["id", "parameters"];
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut todo: Vec<_> =
            ["error", "net", "entra", "managed_identity", "federated", "obtain"].map(|name| source.join(name)).into();
        let mut seen = 0;
        while let Some(path) = todo.pop() {
            if path.is_dir() {
                todo.extend(path.read_dir().unwrap().map(|entry| entry.unwrap().path()));
                continue;
            }
            let is_code = path.extension().is_some_and(|extension| extension == "rs");
            let text = if is_code { std::fs::read_to_string(&path).unwrap() } else { String::new() };
            let code = text.split("#[cfg(test)]").next().unwrap_or_default().lines();
            let words =
                code.filter(|line| !line.trim_start().starts_with("//")).flat_map(|line| line.split("--").skip(1));
            let names =
                words.map(|word| word.split(|c: char| !c.is_ascii_lowercase() && c != '-').next().unwrap_or_default());
            for name in names.filter(|name| name.starts_with(|c: char| c.is_ascii_lowercase()) && !OF_AZ.contains(name))
            {
                seen += 1;
                assert!(
                    name == "help" || TABLE.iter().any(|decl| decl.answers_to(name)),
                    "--{name} in {}",
                    path.display()
                );
            }
        }
        assert!(seen > 20, "{seen}");
    }

    /// The command is looked for before it is known whose flags these are.
    #[test]
    fn flags_of_one_name_take_a_value_everywhere_or_nowhere() {
        let takes = |decl: &Decl| decl.takes != ValueKind::Nothing;
        for (one, other) in TABLE.iter().flat_map(|one| TABLE.iter().map(move |other| (one, other))) {
            let same = other.answers_to(one.name) || one.short.is_some() && one.short == other.short;
            assert!(!same || takes(one) == takes(other), "--{} and --{}", one.name, other.name);
        }
    }

    #[test]
    fn every_row_reads_well() {
        for decl in TABLE {
            assert!(!decl.help.is_empty() && !decl.help.ends_with('.'), "--{}", decl.name);
            assert!(decl.name.chars().all(|c| c.is_ascii_lowercase() || c == '-'), "--{}", decl.name);
            for var in decl.vars {
                assert!(var.name.chars().all(|c| c.is_ascii_uppercase() || c == '_'), "{}", var.name);
            }
        }
    }

    #[test]
    fn defaults_parse() {
        for (decl, text) in TABLE.iter().filter_map(|decl| Some((decl, decl.default?))) {
            assert_eq!((decl.check)(text), Ok(()), "{}", decl.flag());
        }
    }
}
