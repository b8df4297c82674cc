//! The Azure CLI is signed in already and hands out a token.
//!
//! Starting az takes half a second to two, so what it gives is kept like any other token, bound to
//! the sign-in that it came from: after `az logout`, `az account set` or with another
//! `AZURE_CONFIG_DIR` az is asked again.

mod state;

use std::cell::OnceCell;
use std::path::Path;

use serde::Deserialize;

use crate::azure::id::Subscription;
use crate::cache_key::CacheKey;
use crate::entra::token::seconds;
use crate::entra::{Session, TokenResponse};
use crate::error::{Error, ErrorKind};
use crate::options::{AZURE_CONFIG_DIR, Inputs, SUBSCRIPTION, TENANT_ID, ValueSource};
use crate::os::BoxFuture;
use crate::os::process::ProgramOutput;
use crate::secret::Secret;

use super::tool::{self, Tenant, Tool, sentence};
use super::{Acquire, Login, Method, WriteRule};

pub(super) use state::{AzDirectory, AzState};

/// `--login azurecli`.
pub(super) static METHOD: Method = Method {
    name: "azurecli",
    about: "the account that the Azure CLI is signed in to",
    arguments: &[
        WriteRule::InheritedFromSameMethod.of(&TENANT_ID).unless(&SUBSCRIPTION),
        WriteRule::InheritedFromSameMethod.of(&SUBSCRIPTION).unless(&TENANT_ID),
    ],
    variables: &[(&AZURE_CONFIG_DIR.decl, state::DIRECTORY)],
    parse,
};

const AZ: Tool = Tool { name: "az", title: "Azure CLI", home: "https://aka.ms/azure-cli", login: "az login" };

/// The login, if az is signed in as far as its files tell, which are read once; for choosing a method.
pub(super) fn if_signed_in(inputs: &Inputs) -> Result<Option<Login>, Error> {
    let Some(place) = AzDirectory::of(inputs.env) else { return Ok(None) };
    let state = place.state();
    if !state.signed_in() {
        return Ok(None);
    }
    login(inputs, Some(place), OnceCell::from(state)).map(Some)
}

struct AzureCli {
    resource: String,
    whose: AccountSelector,
    /// Something about the choice that a person may want to know.
    note: Option<String>,
    /// Where az keeps its sign-in; unknown without a home directory.
    place: Option<AzDirectory>,
    /// The sign-in that this run is about, from when it was first looked at.
    state: OnceCell<AzState>,
}

/// Whose token az shall give; it takes a tenant or a subscription.
enum AccountSelector {
    DefaultAccounts,
    Tenants(Tenant),
    /// With the flag that named it.
    Subscriptions(Subscription, String),
}

fn parse(inputs: &Inputs) -> Result<Login, Error> {
    login(inputs, AzDirectory::of(inputs.env), OnceCell::new())
}

fn login(inputs: &Inputs, place: Option<AzDirectory>, state: OnceCell<AzState>) -> Result<Login, Error> {
    let (whose, note) = whose(inputs)?;
    let scope = tool::scope(inputs)?;
    let resource = scope.strip_suffix("/.default").unwrap_or(&scope).to_owned();
    let az = AzureCli { resource, whose, note, place, state };
    Ok(Login { cacheable: az.cacheable(), ..Login::new(az.key(), az) })
}

/// A subscription is always typed. A tenant that was typed too contradicts it, for az would refuse
/// both; one that only lies in the environment gives way.
fn whose(inputs: &Inputs) -> Result<(AccountSelector, Option<String>), Error> {
    let tenant = tool::tenant(inputs.values)?;
    let by = inputs.values.source_text(&SUBSCRIPTION);
    match (inputs.values.get(&SUBSCRIPTION)?, tenant) {
        (None, None) => Ok((AccountSelector::DefaultAccounts, None)),
        (None, Some(tenant)) => Ok((AccountSelector::Tenants(tenant), None)),
        (Some(subscription), None) => Ok((AccountSelector::Subscriptions(subscription, by), None)),
        (Some(subscription), Some(tenant)) => {
            if let Some(ValueSource::Flag(flag)) = inputs.values.source(&TENANT_ID) {
                return Err(Error::new(
                    ErrorKind::Usage,
                    format!("{flag} and {by} are both given, and az takes only one of them"),
                )
                .remedy(format!("give {by} alone: a subscription has one tenant")));
            }
            let note = format!("az is asked by {by}, which has a tenant of its own, and not by {}", tenant.source);
            Ok((AccountSelector::Subscriptions(subscription, by), Some(note)))
        }
    }
}

impl Acquire for AzureCli {
    fn acquire<'a>(&'a self, session: &'a Session<'a>) -> BoxFuture<'a, TokenResponse> {
        Box::pin(self.ask(session))
    }
}

impl AzureCli {
    fn key(&self) -> CacheKey {
        let mut key = METHOD.key();
        key.field("resource", &self.resource);
        match &self.whose {
            AccountSelector::DefaultAccounts => {}
            AccountSelector::Tenants(tenant) => key.field("tenant", tenant.id.as_str()),
            AccountSelector::Subscriptions(subscription, _) => key.field("subscription", subscription.as_str()),
        }
        if let Some((place, state)) = self.place.as_ref().zip(self.state()) {
            place.add_to_key(state, &mut key);
        }
        key
    }

    /// Without a place there is nothing that the token could be bound to, nor is there for a managed
    /// identity of a machine that can't be told from others.
    fn cacheable(&self) -> bool {
        let of_unknown_machine =
            || self.state().is_some_and(AzState::is_of_a_machine) && crate::managed_identity::machine().is_none();
        self.place.is_some() && !of_unknown_machine()
    }

    async fn ask(&self, session: &Session<'_>) -> Result<TokenResponse, Error> {
        let sys = session.sys;
        let az = AZ.find(&sys.env)?;
        let before = self.state();
        if let Some(note) = &self.note {
            sys.terminal.detail(1, || note.clone());
        }
        let answer = self.answer(session, &az).await.map_err(|error| self.with_place(error))?;
        if let Some((place, before)) = self.place.as_ref().zip(before)
            && !place.state().is_same_account(before)
        {
            return Err(AZ.sign_in_changed());
        }
        AZ.grant(answer.access_token, answer.expires_on, sys.clock.now())
    }

    async fn answer(&self, session: &Session<'_>, az: &Path) -> Result<AzToken, Error> {
        let ended = self.run(session, az, self.choice()).await?;
        let AccountSelector::Tenants(tenant) = &self.whose else { return self.read(&ended) };
        if ended.code == Some(0) || !takes_no_tenant(&ended.stderr) {
            return self.read(&ended);
        }
        session
            .sys
            .terminal
            .detail(1, || "the account of az has one tenant only; az is asked without naming one".into());
        let answer = self.read(&self.run(session, az, None).await?)?;
        match same_tenant(tenant, answer.tenant.as_deref()) {
            Some(true) => {}
            Some(false) => return Err(other_tenant(tenant, answer.tenant.as_deref().unwrap_or("another one"))),
            None => return Err(not_comparable(tenant, answer.tenant.as_deref())),
        }
        Ok(answer)
    }

    /// What az is asked by besides the resource.
    fn choice(&self) -> Option<(&'static str, &str)> {
        match &self.whose {
            AccountSelector::DefaultAccounts => None,
            AccountSelector::Tenants(tenant) => Some(("--tenant", tenant.id.as_str())),
            AccountSelector::Subscriptions(subscription, _) => Some(("--subscription", subscription.as_str())),
        }
    }

    async fn run(
        &self,
        session: &Session<'_>,
        az: &Path,
        choice: Option<(&str, &str)>,
    ) -> Result<ProgramOutput, Error> {
        let fixed = ["account", "get-access-token", "--output", "json", "--resource", &self.resource];
        let choice = choice.into_iter().flat_map(|(flag, value)| [flag, value]);
        AZ.run(session, az, fixed.into_iter().chain(choice), self.variables()).await
    }

    fn variables(&self) -> Vec<(&'static str, String)> {
        let mut variables = vec![
            ("AZURE_CORE_NO_COLOR", "true".into()),
            ("AZURE_CORE_COLLECT_TELEMETRY", "no".into()),
            // Where people let az update itself it would do so now, while kubectl waits.
            ("AZURE_AUTO-UPGRADE_ENABLE", "no".into()),
        ];
        variables.extend(self.place.as_ref().and_then(AzDirectory::variable));
        variables
    }

    fn read(&self, ended: &ProgramOutput) -> Result<AzToken, Error> {
        if ended.code == Some(0) { AZ.read(&ended.stdout) } else { Err(self.explain(ended.code, &ended.stderr)) }
    }

    /// What az complains of, and the way out.
    fn explain(&self, code: Option<i32>, stderr: &str) -> Error {
        let command = format!("az account get-access-token --output none --resource {}", self.resource);
        signed_out(stderr)
            .or_else(|| self.wrong_account(stderr))
            .or_else(|| AZ.refused_by_entra(last_word(stderr)?, suggested(stderr)).map(in_other_cloud))
            .or_else(|| AZ.unreachable(last_word(stderr)?))
            .unwrap_or_else(|| AZ.failed(code, last_word(stderr), &command))
    }

    fn wrong_account(&self, stderr: &str) -> Option<Error> {
        let error = |what: &str| Error::new(ErrorKind::ToolAccount, what);
        let (subscription, by) = match &self.whose {
            AccountSelector::Subscriptions(subscription, by) => (subscription.as_str(), by.as_str()),
            _ => ("", ""),
        };
        if stderr.contains("No subscription found.") {
            return Some(error("az has no active subscription").remedy("choose one with `az account set`"));
        }
        if stderr.contains("Check the spelling and casing") {
            return Some(
                error(&format!("az knows no subscription `{subscription}`"))
                    .from_source(by)
                    .remedy("give one that `az account list` shows, or sign in to its tenant with `az login`"),
            );
        }
        stderr.contains("Multiple subscriptions with the name").then(|| {
            error(&format!("az knows several subscriptions `{subscription}`"))
                .from_source(by)
                .remedy("give the subscription's ID")
        })
    }

    /// Which sign-in an error is about: a wrong `AZURE_CONFIG_DIR` or `HOME` looks like none.
    fn with_place(&self, error: Error) -> Error {
        let Some((place, state)) = self.place.as_ref().zip(self.state()) else { return error };
        let directory = place.directory().display();
        if error.kind() == ErrorKind::ToolSignedOut {
            return error.from_source(directory).detail(format!("the cloud of az is {}", state.cloud()));
        }
        error.detail(format!("az's directory is {directory}, its cloud is {}", state.cloud()))
    }

    fn state(&self) -> Option<&AzState> {
        let place = self.place.as_ref()?;
        Some(self.state.get_or_init(|| place.state()))
    }
}

/// What az prints. `expiresOn` is not read: it is a local time without a zone.
#[derive(Deserialize)]
struct AzToken {
    #[serde(rename = "accessToken")]
    access_token: Option<Secret>,
    #[serde(default, deserialize_with = "seconds")]
    expires_on: Option<u64>,
    tenant: Option<String>,
}

/// Managed identities and Cloud Shell have one tenant; az refuses to be told another one, older
/// versions any.
fn takes_no_tenant(stderr: &str) -> bool {
    stderr.contains("getting access token for non-current tenants is not supported")
        || stderr.contains("Tenant shouldn't be specified for")
}

/// Whether az's tenant is the one that was asked for; nothing where that was a name and not an id.
fn same_tenant(asked: &Tenant, answered: Option<&str>) -> Option<bool> {
    let asked = asked.id.as_str();
    let is_id = asked.len() == 36 && asked.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
    is_id.then(|| answered.is_some_and(|answered| asked.eq_ignore_ascii_case(answered)))
}

fn other_tenant(asked: &Tenant, answered: &str) -> Error {
    let what = format!("az is signed in to tenant {}, not to {}", sentence(answered), asked.id.as_str());
    Error::new(ErrorKind::ToolAccount, what)
        .remedy(format!("correct {}, or sign in to that tenant with `az login`", asked.source))
        .from_source(&asked.source)
}

fn not_comparable(asked: &Tenant, answered: Option<&str>) -> Error {
    let is = answered.map(sentence).unwrap_or_default();
    let what =
        format!("this account of az has one tenant, {is}, and whether that is {} is not known", asked.id.as_str());
    Error::new(ErrorKind::ToolAccount, what).remedy("give the tenant by its ID").from_source(&asked.source)
}

fn signed_out(stderr: &str) -> Option<Error> {
    let said = |words: &str| stderr.contains(words);
    let error = |what: &str| Error::new(ErrorKind::ToolSignedOut, what);
    if said("Please run 'az login'") {
        return Some(error("az is not signed in").remedy("run `az login`"));
    }
    if said("does not exist in MSAL token cache") || said("Can't find token from MSAL cache") {
        return Some(error("az has no tokens of its account any more").remedy("run `az login`"));
    }
    said("Could not retrieve credential from local cache for service principal").then(|| {
        error("az has no credential of its service principal any more").remedy("run `az login --service-principal`")
    })
}

/// What our own options would mend is a matter of az's cloud here.
fn in_other_cloud(error: Error) -> Error {
    let about_cloud = [ErrorKind::TenantUnknown, ErrorKind::OtherCloud];
    if about_cloud.contains(&error.kind()) {
        return error.remedy("check the tenant, and the cloud of az with `az cloud show`");
    }
    error
}

/// The line that says what is wrong: the last one that az marks as an error, else the last one that
/// is neither a warning nor the end of a traceback.
fn last_word(stderr: &str) -> Option<&str> {
    let lines = || stderr.lines().map(str::trim).filter(|line| !line.is_empty());
    let meaningful = |line: &&str| !line.starts_with("WARNING") && !line.starts_with("To check existing issues");
    let error = lines().filter_map(|line| line.strip_prefix("ERROR: ")).rfind(|line| !line.ends_with("traceback:"));
    error.or_else(|| lines().rfind(meaningful))
}

/// The sign-in that az suggests, with tenant, scope and claims.
fn suggested(stderr: &str) -> Option<&str> {
    stderr.lines().map(str::trim).find(|line| line.starts_with("az login"))
}

#[cfg(test)]
mod tests {
    use super::super::tool::tests::{jwt, values};
    use super::*;

    const TENANT: &str = "11111111-1111-4111-8111-111111111111";

    fn choose<const N: usize>(line: &str, env: [(&str, &str); N]) -> Result<AzureCli, Error> {
        let (given, values) = values(line, env);
        let env = crate::os::env::Env::from([("HOME", "/nowhere")]);
        let inputs = Inputs {
            given: &given,
            values: &values,
            env: &env,
            exec: &crate::exec_credential::ExecInfo::default(),
            audience: None,
        };
        let (whose, note) = whose(&inputs)?;
        let resource = "r".into();
        Ok(AzureCli { resource, whose, note, place: AzDirectory::of(&env), state: OnceCell::new() })
    }

    fn explain(stderr: &str) -> String {
        choose("--subscription Two", []).unwrap().explain(Some(1), stderr).to_string()
    }

    fn answer(stdout: &str) -> Result<TokenResponse, Error> {
        let answer: AzToken = AZ.read(&Secret::new(stdout))?;
        AZ.grant(answer.access_token, answer.expires_on, 1_000)
    }

    #[test]
    fn a_subscription_has_a_tenant_of_its_own() {
        let error = choose("--tenant-id t -s S", []).err().unwrap().to_string();
        assert_eq!(
            error,
            "--tenant-id and -s are both given, and az takes only one of them; give -s alone: a subscription has one tenant"
        );
        let by_variable = choose("-s S", [("AZURE_TENANT_ID", "t")]).unwrap();
        assert_eq!(by_variable.choice(), Some(("--subscription", "S")));
        assert!(by_variable.note.unwrap().contains("not by AZURE_TENANT_ID"));
        assert_eq!(choose("", [("AZURE_TENANT_ID", "t")]).unwrap().choice(), Some(("--tenant", "t")));
        assert_eq!(choose("", []).unwrap().choice(), None);
        let error = choose("-s a&b", []).err().unwrap().to_string();
        assert!(error.ends_with("its ID always works (-s); correct -s"), "{error}");
    }

    #[test]
    fn answers_of_all_ages() {
        let expires =
            |stdout: &str| answer(stdout).map(|grant| grant.token.expires_on).map_err(|e| e.what().to_owned());
        assert_eq!(expires(r#"{"accessToken":"t","expires_on":2000,"expiresOn":"x","tokenType":"Bearer"}"#), Ok(2000));
        assert_eq!(expires(r#"{"accessToken":"t","expires_on":"2000"}"#), Ok(2000));
        let old = format!(r#"{{"accessToken":"{}","expiresOn":"2026-01-02 03:04:05.000000"}}"#, jwt(3000));
        assert_eq!(expires(&old), Ok(3000));
        for (stdout, what) in [
            (r#"{"accessToken":"t","expiresOn":"2026-01-02 03:04:05"}"#, "does not say how long the token lasts"),
            (r#"{"expires_on":2000}"#, "holds no token"),
            (r#"{"accessToken":5,"expires_on":2000}"#, "has another kind of accessToken than expected"),
            ("[]", "has other fields than expected"),
            ("5", "has other fields than expected"),
            ("<html>canary</html>", "is not JSON"),
            (r#"{"accessToken":"canary"#, "is not JSON"),
            (r#"{"accessToken":"canary","expires_on":2000} canary"#, "is not JSON alone"),
            (" \n", "is empty"),
        ] {
            let error = answer(stdout).unwrap_err();
            assert_eq!(error.what(), format!("the answer of az {what}"), "{stdout}");
            assert!(!format!("{error} {error:?}").contains("canary"));
        }
    }

    #[test]
    fn complaints_of_az_have_a_way_out() {
        for (stderr, line) in [
            ("ERROR: Please run 'az login' to setup account.\n", "az is not signed in; run `az login`"),
            (
                "WARNING: x\nERROR: User 'alice@contoso.com' does not exist in MSAL token cache. Run `az login`.\n",
                "az has no tokens of its account any more; run `az login`",
            ),
            (
                "ERROR: Could not retrieve credential from local cache for service principal x. Run `az login` for this service principal.\n",
                "az has no credential of its service principal any more; run `az login --service-principal`",
            ),
            (
                "ERROR: No subscription found. Run 'az account set' to select a subscription.\n",
                "az has no active subscription; choose one with `az account set`",
            ),
            (
                "ERROR: Subscription 'Two' not found. Check the spelling and casing and try again.\n",
                "az knows no subscription `Two` (--subscription); give one that `az account list` shows, or sign in to its tenant with `az login`",
            ),
            (
                "ERROR: Multiple subscriptions with the name 'Two' found. Specify the subscription ID.\n",
                "az knows several subscriptions `Two` (--subscription); give the subscription's ID",
            ),
            (
                "ERROR: AADSTS50076: Due to a change. Trace ID: t\nRun the command below to authenticate interactively; additional arguments may be added as needed:\naz logout\naz login --tenant \"t\" --scope \"r/.default\" --claims-challenge \"e30=\"\n",
                "Entra wants another factor (MFA), AADSTS50076, says az; run `az login --tenant \"t\" --scope \"r/.default\" --claims-challenge \"e30=\"`",
            ),
            (
                "ERROR: AADSTS90002: Tenant 'x' not found.\naz logout\naz login --tenant \"x\"\n",
                "the tenant was not found, AADSTS90002, says az; check the tenant, and the cloud of az with `az cloud show`",
            ),
            (
                "ERROR: something new\n",
                "az failed: something new; see whether `az account get-access-token --output none --resource r` works",
            ),
            (
                "",
                "az failed with exit code 1 and said nothing; see whether `az account get-access-token --output none --resource r` works",
            ),
        ] {
            assert_eq!(explain(stderr), line, "{stderr}");
        }
    }

    #[test]
    fn a_traceback_is_told_by_its_cause() {
        let offline = "ERROR: The command failed with an unexpected error. Here is the traceback:\n\
            ERROR: HTTPSConnectionPool(host='login.microsoftonline.com', port=443): Max retries exceeded with url: /x (Caused by NameResolutionError(\"Failed to resolve 'login.microsoftonline.com'\"))\n\
            Traceback (most recent call last):\n  File \"x.py\", line 1, in y\n    raise\nrequests.exceptions.ConnectionError: x\n\
            To check existing issues, please visit: https://github.com/Azure/azure-cli/issues\n";
        assert!(explain(offline).starts_with("az cannot find the address of login.microsoftonline.com; "));
        let proxy = "ERROR: HTTPSConnectionPool(host='h', port=443): Max retries exceeded with url: /x (Caused by ProxyError('Unable to connect'))\n";
        assert!(explain(proxy).starts_with("az cannot reach h; "));
        let tls = "ERROR: HTTPSConnectionPool(host='h', port=443): Max retries exceeded with url: /x (Caused by SSLError(1, '[SSL: CERTIFICATE_VERIFY_FAILED]'))\nCertificate verification failed. This typically happens\n";
        assert!(explain(tls).starts_with("az does not trust the certificate of h; "));
    }

    #[test]
    fn tenants_are_compared_where_they_can_be() {
        let tenant = |id: &str| match choose(&format!("--tenant-id {id}"), []).unwrap().whose {
            AccountSelector::Tenants(tenant) => tenant,
            _ => panic!("a tenant"),
        };
        assert_eq!(same_tenant(&tenant(&TENANT.to_uppercase()), Some(TENANT)), Some(true));
        assert_eq!(same_tenant(&tenant("99999999-1111-4111-8111-111111111111"), Some(TENANT)), Some(false));
        assert_eq!(same_tenant(&tenant("contoso.com"), Some(TENANT)), None);
        assert_eq!(same_tenant(&tenant(TENANT), None), Some(false));
        for old_and_new in [
            "ERROR: For managed identity account, getting access token for non-current tenants is not supported. The specified tenant must be the current tenant x",
            "ERROR: Tenant shouldn't be specified for managed identity account",
            "ERROR: Tenant shouldn't be specified for Cloud Shell account",
        ] {
            assert!(takes_no_tenant(old_and_new));
        }
    }
}
