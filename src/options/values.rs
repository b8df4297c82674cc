//! Option texts with their sources: the only place that knows precedence.

use std::fmt;
use std::rc::Rc;

use super::{
    AUTHORITY_HOST, Condition, DISABLE_ENVIRONMENT_OVERRIDE, Decl, FEDERATED_TOKEN_SOURCE, LOGIN, Opt, OptionSet,
    ParsedArgs, ParsedFlag, Precedence, SERVER_ID, TABLE, USE_AZURERM_ENV_VARS, Var,
};
use crate::error::{Error, ErrorKind};
use crate::exec_credential::ExecInfo;
use crate::federated::without_keys;
use crate::net::trust::without_password;
use crate::os::env::Env;
use crate::secret::Secret;

/// Where a text came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ValueSource {
    /// This flag, as it was typed.
    Flag(String),
    /// This variable.
    Variable(&'static str),
    /// Nobody gave one.
    Default,
}

impl fmt::Display for ValueSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ValueSource::Flag(flag) => f.write_str(flag),
            ValueSource::Variable(name) => f.write_str(name),
            ValueSource::Default => f.write_str("default"),
        }
    }
}

/// The effective text of every option, for one run of `get-token`.
#[derive(Debug, Clone)]
pub struct Values {
    /// Shared, so that whoever keeps them costs the warm path nothing.
    found: Rc<Vec<Value>>,
    azurerm: bool,
    contract_env: bool,
}

/// What a login is parsed from.
pub struct Inputs<'a> {
    /// What was typed, or what the exec entry says.
    pub given: &'a ParsedArgs,
    /// The options.
    pub values: &'a Values,
    /// The environment, for what no option stands for.
    pub env: &'a Env,
    /// Who made the call, and for which cluster.
    pub exec: &'a ExecInfo,
    /// The application that the token is for, where it is another than `--server-id` says: ARM's, for instance.
    pub audience: Option<&'a str>,
}

impl Inputs<'_> {
    /// The application that the token is for, its id or URI.
    ///
    /// # Errors
    /// Nothing says so.
    pub fn audience(&self) -> Result<String, Error> {
        self.audience.map_or_else(|| self.values.require(&SERVER_ID, "server-id is required"), |named| Ok(named.into()))
    }

    /// Whether the user says `option`, by hand or in the environment, and not just an exec entry: whoever
    /// writes a kubeconfig decides neither what is run nor who sees a secret.
    pub fn says_user<T>(&self, option: &Opt<T>) -> bool {
        match self.values.source(option) {
            Some(ValueSource::Variable(name)) => self.env.trusted(name).is_some(),
            Some(ValueSource::Flag(_)) => !self.in_entry(&option.decl),
            Some(ValueSource::Default) | None => false,
        }
    }

    /// Whether the flag for `decl` stands in an exec entry: kubectl has passed it, or a command has read it.
    pub fn in_entry(&self, decl: &Decl) -> bool {
        self.exec.called_by_client || self.given.last(decl).is_some_and(|typed| typed.in_entry)
    }
}

#[derive(Debug)]
struct Value {
    decl: &'static Decl,
    text: Secret,
    source: ValueSource,
}

impl Values {
    /// Resolves `given` and `env` by the rules of the table: variables that win over flags, flags,
    /// fallbacks, variables that replace a default, defaults. An empty text is no value.
    pub fn resolve(given: &ParsedArgs, env: &Env) -> Self {
        Self::resolve_for(given, env, None)
    }

    /// The same as if `login` were the method, whatever `given` and `env` say it is: `auto` looks at
    /// each method's own variables.
    pub fn resolve_for(given: &ParsedArgs, env: &Env, login: Option<&str>) -> Self {
        let azurerm = is_on(given, &USE_AZURERM_ENV_VARS.decl);
        let contract_env = !is_on(given, &DISABLE_ENVIRONMENT_OVERRIDE.decl);
        let mut lookup = Lookup { given, env, azurerm, contract_env, login: String::new() };
        let named = || lookup.value(&LOGIN.decl).map(|value| value.text.expose().to_owned()).unwrap_or_default();
        lookup.login = login.map_or_else(named, String::from);
        let found = TABLE.iter().filter_map(|decl| lookup.value(decl)).collect();
        Self { found: Rc::new(found), azurerm, contract_env }
    }

    /// The parsed value of `option`, if it has one.
    ///
    /// # Errors
    /// A text that does not parse; the error names its source.
    pub fn get<T>(&self, option: &Opt<T>) -> Result<Option<T>, Error> {
        let Some(value) = self.find(&option.decl) else { return Ok(None) };
        (option.parse)(value.text.expose()).map(Some).map_err(|why| invalid(&value.source, why))
    }

    /// The parsed value of `option`; without one, `missing` begins the error.
    ///
    /// # Errors
    /// A text that does not parse, or none.
    pub fn require<T>(&self, option: &Opt<T>, missing: &str) -> Result<T, Error> {
        self.get(option)?.ok_or_else(|| {
            let variable = self.variable(&option.decl).map(|name| format!(" or set {name}")).unwrap_or_default();
            Error::new(ErrorKind::OptionMissing, missing).remedy(format!("give {}{variable}", option.decl.flag()))
        })
    }

    /// Whether the text of `decl` parses, if it has one.
    ///
    /// # Errors
    /// A text that does not; the error names its source.
    pub fn check(&self, decl: &Decl) -> Result<(), Error> {
        let Some(value) = self.find(decl) else { return Ok(()) };
        (decl.check)(value.text.expose()).map_err(|why| invalid(&value.source, why))
    }

    /// The text of `decl`, if it has one.
    pub(crate) fn text(&self, decl: &Decl) -> Option<String> {
        self.find(decl).map(|value| value.text.expose().to_owned())
    }

    /// Whether a switch is on.
    pub fn is_on(&self, option: &Opt<bool>) -> bool {
        self.get(option).ok().flatten().unwrap_or_default()
    }

    /// Where the value of `option` came from, if it has one.
    pub fn source<T>(&self, option: &Opt<T>) -> Option<&ValueSource> {
        self.find(&option.decl).map(|value| &value.source)
    }

    /// The same for messages; empty where there is no value.
    pub fn source_text<T>(&self, option: &Opt<T>) -> String {
        self.source(option).map(ValueSource::to_string).unwrap_or_default()
    }

    /// That `what` is wrong with the value of `option`.
    pub fn invalid<T>(&self, option: &Opt<T>, what: impl Into<String>) -> Error {
        invalid(self.source_text(option), what)
    }

    /// A line for each value with its source, for `-v 1`; secrets are not shown.
    pub fn explain(&self) -> impl Iterator<Item = String> {
        let own = self.found.iter().filter(|value| OptionSet::TOKEN.has(value.decl));
        own.map(|Value { decl, text, source }| {
            format!("--{} is {} ({source})", decl.name, crate::error::one_line(&shown(decl, text)))
        })
    }

    /// The variables that win over a flag of `given` which says something else, each with that flag.
    pub fn overruled<'g>(&self, given: &'g ParsedArgs) -> Vec<(&'static str, &'g ParsedFlag)> {
        let overruled = |value: &Value| match (&value.source, given.last(value.decl)) {
            (ValueSource::Variable(name), Some(flag)) if flag.text != value.text => Some((*name, flag)),
            _ => None,
        };
        self.found.iter().filter_map(overruled).collect()
    }

    /// The strongest variable that could give `decl` a value in this run, for advice.
    pub fn variable(&self, decl: &Decl) -> Option<&'static str> {
        let counts = |var: &&Var| match var.when {
            Condition::Always => true,
            Condition::WithoutAzurerm => !self.azurerm,
            Condition::WithAzurerm => self.azurerm,
            Condition::Login(_) => false,
        };
        let heard = |var: &&Var| self.contract_env || var.rank == Precedence::Default;
        decl.vars.iter().rev().filter(counts).find(heard).map(|var| var.name)
    }

    /// Which of flags and variables wins, in words.
    pub fn precedence(&self) -> String {
        let flag = DISABLE_ENVIRONMENT_OVERRIDE.decl.flag();
        if self.contract_env {
            format!("variables win over flags; {flag} turns that off")
        } else {
            format!("variables do not win over flags ({flag})")
        }
    }

    fn find(&self, decl: &Decl) -> Option<&Value> {
        self.found.iter().find(|value| value.decl == decl)
    }
}

/// The text of an option as it may be seen: without what is secret in it.
pub(crate) fn shown(decl: &Decl, text: &Secret) -> String {
    match text.expose() {
        _ if decl.secret.is_some() => "<secret>".into(),
        url if *decl == AUTHORITY_HOST.decl => without_password(url),
        source if *decl == FEDERATED_TOKEN_SOURCE.decl => without_keys(source),
        text => text.to_owned(),
    }
}

fn invalid(source: impl fmt::Display, what: impl Into<String>) -> Error {
    Error::new(ErrorKind::OptionInvalid, what).remedy(format!("correct {source}")).from_source(source)
}

fn is_on(given: &ParsedArgs, decl: &Decl) -> bool {
    given.last(decl).is_some_and(|typed| super::types::go_bool(typed.text.expose()).unwrap_or_default())
}

struct Lookup<'a> {
    given: &'a ParsedArgs,
    env: &'a Env,
    azurerm: bool,
    contract_env: bool,
    login: String,
}

impl Lookup<'_> {
    fn value(&self, decl: &'static Decl) -> Option<Value> {
        let over = |var: &&Var| match var.rank {
            Precedence::OverFlag => self.contract_env,
            Precedence::OverFlagIfValid => self.contract_env && self.is_duration(var),
            Precedence::Fallback | Precedence::Default => false,
        };
        let fallback = |var: &&Var| var.rank == Precedence::Fallback && self.contract_env;
        let default = |var: &&Var| var.rank == Precedence::Default;
        self.variable(decl, over)
            .or_else(|| self.flag(decl))
            .or_else(|| self.variable(decl, fallback))
            .or_else(|| self.variable(decl, default))
            .or_else(|| Some(Value { decl, text: Secret::new(decl.default?), source: ValueSource::Default }))
    }

    fn flag(&self, decl: &'static Decl) -> Option<Value> {
        let typed = self.given.last(decl).filter(|typed| !typed.text.is_empty())?;
        Some(Value { decl, text: typed.text.clone(), source: ValueSource::Flag(typed.flag.clone()) })
    }

    /// The strongest variable of `decl` that `wanted` accepts and that is set.
    fn variable(&self, decl: &'static Decl, wanted: impl Fn(&&Var) -> bool) -> Option<Value> {
        let mut strongest_first = decl.vars.iter().rev().filter(wanted).filter(|var| self.applies(var.when));
        strongest_first.find_map(|var| {
            let text = Secret::new(self.env.get(var.name)?);
            Some(Value { decl, text, source: ValueSource::Variable(var.name) })
        })
    }

    fn applies(&self, when: Condition) -> bool {
        match when {
            Condition::Always => true,
            Condition::WithoutAzurerm => !self.azurerm,
            Condition::WithAzurerm => self.azurerm,
            Condition::Login(method) => self.login == method,
        }
    }

    /// Azure/kubelogin passes over an `AZURE_CLI_TIMEOUT` that is no duration.
    fn is_duration(&self, var: &Var) -> bool {
        self.env.get(var.name).is_some_and(|text| super::types::GoDuration::parse(text).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::super::args::read;
    use super::super::{CACHE_DIR, CLIENT_ID, CLIENT_SECRET, LOGIN_TIMEOUT, OptionSet, TENANT_ID, TIMEOUT};
    use super::*;

    fn resolved<const N: usize>(line: &str, env: [(&str, &str); N]) -> Values {
        let args: Vec<_> = line.split_whitespace().map(String::from).collect();
        Values::resolve(&read(&args, OptionSet::TOKEN).unwrap(), &Env::from(env))
    }

    fn client<const N: usize>(line: &str, env: [(&str, &str); N]) -> Option<(String, String)> {
        let values = resolved(line, env);
        let id = values.get(&CLIENT_ID).unwrap()?;
        Some((id.to_string(), values.source(&CLIENT_ID).unwrap().to_string()))
    }

    #[expect(clippy::unnecessary_wraps, reason = "compared with what may be nothing")]
    fn pair(value: &str, source: &str) -> Option<(String, String)> {
        Some((value.into(), source.into()))
    }

    #[test]
    fn the_environment_wins_over_flags() {
        let both = [("AZURE_CLIENT_ID", "az"), ("AAD_SERVICE_PRINCIPAL_CLIENT_ID", "aad")];
        assert_eq!(client("--client-id flag", both), pair("az", "AZURE_CLIENT_ID"));
        assert_eq!(client("--client-id flag", []), pair("flag", "--client-id"));
        let aad = [("AAD_SERVICE_PRINCIPAL_CLIENT_ID", "aad")];
        assert_eq!(client("--client-id flag", aad), pair("aad", "AAD_SERVICE_PRINCIPAL_CLIENT_ID"));
    }

    #[test]
    fn the_override_can_be_turned_off() {
        let line = "--client-id flag --disable-environment-override --timeout 2s";
        assert_eq!(client(line, [("AZURE_CLIENT_ID", "az")]), pair("flag", "--client-id"));
        assert_eq!(client("--disable-environment-override", [("AZURE_CLIENT_ID", "az")]), None);
        let values = resolved(line, [("AZURE_CLI_TIMEOUT", "9s")]);
        assert_eq!(values.source(&TIMEOUT), Some(&ValueSource::Flag("--timeout".into())));
        let values = resolved("--disable-environment-override", [("AAD_LOGIN_METHOD", "spn")]);
        assert_eq!(values.get(&LOGIN).unwrap().as_deref(), Some("devicecode"));
    }

    #[test]
    fn an_empty_variable_does_not_wipe_a_flag() {
        assert_eq!(client("--client-id flag", [("AZURE_CLIENT_ID", "")]), pair("flag", "--client-id"));
    }

    #[test]
    fn azurerm_names_replace_the_others() {
        let both = [("AZURE_CLIENT_ID", "az"), ("ARM_CLIENT_ID", "arm"), ("AZURE_TENANT_ID", "t")];
        assert_eq!(client("--use-azurerm-env-vars", both), pair("arm", "ARM_CLIENT_ID"));
        assert_eq!(resolved("--use-azurerm-env-vars", both).source(&TENANT_ID), None);
        let line = "--use-azurerm-env-vars --login workloadidentity";
        assert_eq!(client(line, both), pair("az", "AZURE_CLIENT_ID"));
    }

    #[test]
    fn fallbacks_count_only_where_nothing_else_was_given() {
        let env = [("AZURESUBSCRIPTION_CLIENT_ID", "sub"), ("AAD_LOGIN_METHOD", "azurepipelines")];
        assert_eq!(client("", env), pair("sub", "AZURESUBSCRIPTION_CLIENT_ID"));
        assert_eq!(client("--client-id flag", env), pair("flag", "--client-id"));
        assert_eq!(client("--client-id=", env), pair("sub", "AZURESUBSCRIPTION_CLIENT_ID"));
        assert_eq!(client("-l spn", [("AZURESUBSCRIPTION_CLIENT_ID", "sub")]), None);
    }

    #[test]
    fn our_own_options_follow_flag_environment_default() {
        let own = |line, env| resolved::<1>(line, env).source(&LOGIN_TIMEOUT).cloned().unwrap().to_string();
        assert_eq!(own("--login-timeout 9s", [("KUBENTRA_LOGIN_TIMEOUT", "1s")]), "--login-timeout");
        assert_eq!(own("", [("KUBENTRA_LOGIN_TIMEOUT", "1s")]), "KUBENTRA_LOGIN_TIMEOUT");
        assert_eq!(own("", [("OTHER", "1s")]), "default");
        let dirs = [("KUBENTRA_CACHE_DIR", "/k"), ("KUBECACHEDIR", "/c")];
        let dir = |line| resolved(line, dirs).source(&CACHE_DIR).cloned().unwrap().to_string();
        assert_eq!(dir(""), "KUBENTRA_CACHE_DIR");
        assert_eq!(dir("--token-cache-dir /x"), "--token-cache-dir");
        assert_eq!(dir("--disable-environment-override"), "KUBENTRA_CACHE_DIR");
    }

    #[test]
    fn a_timeout_that_is_no_duration_is_passed_over() {
        assert_eq!(resolved("", [("AZURE_CLI_TIMEOUT", "soon")]).source(&TIMEOUT), None);
        let values = resolved("--timeout 2s", [("AZURE_CLI_TIMEOUT", "9s")]);
        assert_eq!(values.source(&TIMEOUT), Some(&ValueSource::Variable("AZURE_CLI_TIMEOUT")));
    }

    #[test]
    fn explain_names_sources_and_hides_secrets() {
        let values = resolved("-t T", [("AZURE_CLIENT_SECRET", "canary")]);
        let lines: Vec<_> = values.explain().collect();
        assert!(lines.contains(&"--tenant-id is T (-t)".into()), "{lines:?}");
        assert!(lines.contains(&"--client-secret is <secret> (AZURE_CLIENT_SECRET)".into()));
        assert!(!format!("{lines:?}{values:?}").contains("canary"));
        assert!(values.get(&CLIENT_SECRET).unwrap().is_some());
    }

    #[test]
    fn errors_name_what_the_user_typed() {
        let error = resolved("-t ../x", []).get(&TENANT_ID).unwrap_err().to_string();
        assert_eq!(error, "invalid tenantID: a tenant is a GUID or a domain name (-t); correct -t");
        let error = resolved("", []).require(&CLIENT_ID, "client ID cannot be empty").unwrap_err().to_string();
        assert_eq!(error, "client ID cannot be empty; give --client-id or set AZURE_CLIENT_ID");
    }
}
