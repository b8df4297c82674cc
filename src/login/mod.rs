//! The login methods. A method is one file and one line in [`METHODS`].

mod auto;
mod azd;
mod azurecli;
mod azurepipelines;
mod devicecode;
mod interactive;
mod msi;
mod public_client;
mod ropc;
mod secret_option;
mod spn;
mod tool;
mod workloadidentity;

use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

pub use secret_option::SecretOptions;

use crate::cache::{Cache, CacheKey, RequestSummary};
use crate::entra::pop::TokenBinding;
use crate::entra::{Session, TokenRequest, TokenResponse, UserClient};
use crate::error::{Error, ErrorKind};
use crate::options::types::{GoDuration, Storage};
use crate::options::{
    AUTHORITY_HOST, CACHE_DIR, CACHE_STORAGE, CLIENT_ID, DISABLE_ENVIRONMENT_OVERRIDE, DISABLE_INSTANCE_DISCOVERY,
    Decl, ENVIRONMENT, Inputs, LOGIN, LOGIN_TIMEOUT, LOGTOSTDERR, Opt, POP_CLAIMS, POP_ENABLED, POP_LIFETIME,
    SERVER_ID, TENANT_ID, TIMEOUT, USE_AZURERM_ENV_VARS, VERBOSITY, ValueKind, ValueSource, Values, shown,
};
use crate::os::BoxFuture;
use crate::os::env::Env;
use crate::terminal::prompt_hidden;

pub use auto::UnavailableMethods;

/// Every login method, in the order of the messages that list them.
pub static METHODS: &[&Method] = &[
    &devicecode::METHOD,
    &interactive::METHOD,
    &spn::METHOD,
    &ropc::METHOD,
    &msi::METHOD,
    &azurecli::METHOD,
    &azd::METHOD,
    &workloadidentity::METHOD,
    &azurepipelines::METHOD,
    &auto::METHOD,
];

/// Every secret that can be typed, and so stand in a kubeconfig.
pub static SECRETS: &[SecretOptions] = &[spn::SECRET, spn::PASSWORD, ropc::SECRET];

/// A login method as data.
pub struct Method {
    /// The value of `--login`.
    pub name: &'static str,
    /// One line for people.
    pub about: &'static str,
    /// The options it reads besides the common ones, and how `convert-kubeconfig` writes each, in
    /// this order.
    pub arguments: &'static [EntryArgument],
    /// Options of `convert-kubeconfig` that become variables of the entry, each with the
    /// variable's name.
    pub variables: &'static [(&'static Decl, &'static str)],
    /// Makes a complete login of `choices`, or says what is missing.
    pub parse: fn(&Inputs) -> Result<Box<dyn Login>, Error>,
}

/// An option of a method in a kubeconfig entry.
pub struct EntryArgument {
    /// The option.
    pub decl: &'static Decl,
    /// Where `convert-kubeconfig` takes its value from.
    pub rule: WriteRule,
    /// Another option that says the same; only one of them is written, the typed one first.
    pub exclusive_with: Option<&'static Decl>,
    /// Another option that says the same and goes before: beside it this one is not written.
    pub overridden_by: Option<&'static Decl>,
    /// Another option that goes with it, and that means another thing than the source entry where it is typed
    /// alone: what the entry says is dropped then.
    pub replaced_by: Option<&'static Decl>,
}

impl EntryArgument {
    const fn unless<T>(mut self, rival: &'static Opt<T>) -> Self {
        self.exclusive_with = Some(&rival.decl);
        self
    }

    const fn replaced_by<T>(mut self, newer: &'static Opt<T>) -> Self {
        self.replaced_by = Some(&newer.decl);
        self
    }

    const fn behind<T>(mut self, stronger: &'static Opt<T>) -> Self {
        self.overridden_by = Some(&stronger.decl);
        self
    }
}

/// Where `convert-kubeconfig` takes a value from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteRule {
    /// The typed flag, else the source entry; without either the entry can't be converted.
    Required,
    /// The typed flag, else the source entry.
    Inherited,
    /// The same, unless it says what holds without it: kubelogin writes no environment for these
    /// methods, and in another cloud than the public one they need it.
    InheritedUnlessDefault,
    /// The typed flag, else the source entry if that is of the same method: az converts every entry
    /// again, without a flag, whenever it fetches another cluster's.
    InheritedFromSameMethod,
    /// The typed flag only: what a source entry says is dropped.
    FlagOnly,
}

impl WriteRule {
    const fn of<T>(self, option: &'static Opt<T>) -> EntryArgument {
        EntryArgument { decl: &option.decl, rule: self, exclusive_with: None, overridden_by: None, replaced_by: None }
    }
}

/// What every entry begins with, after `get-token --login METHOD`.
pub static COMMON_FIRST: &[EntryArgument] = &[WriteRule::Required.of(&SERVER_ID), WriteRule::Inherited.of(&CACHE_DIR)];

/// What every entry may end with. Azure/kubelogin accepts these and forgets to write them.
pub static COMMON_LAST: &[EntryArgument] = &[
    WriteRule::Inherited.of(&AUTHORITY_HOST),
    WriteRule::Inherited.of(&DISABLE_ENVIRONMENT_OVERRIDE),
    WriteRule::Inherited.of(&USE_AZURERM_ENV_VARS),
    WriteRule::Inherited.of(&DISABLE_INSTANCE_DISCOVERY),
    WriteRule::Inherited.of(&TIMEOUT),
    WriteRule::Inherited.of(&LOGIN_TIMEOUT),
    WriteRule::Inherited.of(&POP_LIFETIME),
    WriteRule::Inherited.of(&CACHE_STORAGE),
];

/// A parsed, complete way to sign in.
pub trait Login {
    /// Writes everything that tells this login and what it asks for from another, secrets included.
    fn add_to_key(&self, identity: &mut CacheKey);

    /// Signs in.
    fn acquire<'a>(&'a self, session: &'a Session<'a>) -> BoxFuture<'a, TokenResponse>;

    /// What is asked of Entra; nothing where the token comes from the machine or another program.
    fn request(&self) -> Option<&TokenRequest> {
        None
    }

    /// For methods whose sign-ins are renewed by refresh token: with what client one signs in, and who.
    fn user_client(&self) -> Option<UserClient<'_>> {
        None
    }

    /// Whether signing in asks a person, who has to be there.
    fn prompts(&self) -> bool {
        self.user_client().is_some()
    }

    /// Why nobody would see how this asks, or nothing where somebody may.
    fn prompt_hidden(&self, env: &Env) -> Option<String> {
        prompt_hidden(env)
    }

    /// To what its tokens are bound.
    fn binding(&self) -> &TokenBinding {
        self.request().map_or(&TokenBinding::Bearer, |request| &request.binding)
    }

    /// Whether the secret stands on the same command line as the authority, and so may go there.
    fn secret_in_entry(&self) -> bool {
        false
    }

    /// Looks around and settles on a way, for a login that leaves it open until a token is wanted;
    /// `before` is the way that it was last settled on.
    fn resolve<'a>(
        &'a self,
        _: &'a Session<'a>,
        _: &'a Cache,
        _before: Option<&'a str>,
    ) -> BoxFuture<'a, Option<Resolved>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    /// Whether a person may be asked, in the end.
    fn may_prompt(&self) -> bool {
        self.prompts()
    }

    /// How long a machine's sign-in may take where no `--timeout` says so (design, D3).
    fn default_timeout(&self) -> Duration {
        Duration::from_secs(60)
    }

    /// Whether enough is known of what makes this login the one it is for its tokens to be kept.
    fn cacheable(&self) -> bool {
        true
    }
}

/// The way that a login has settled on.
pub struct Resolved {
    /// What signs in from now on.
    pub login: Rc<dyn Login>,
    /// The way's name, to see whether it is another one than before.
    pub method: &'static str,
    /// The way and why it was taken, for people.
    pub reason: String,
    /// What trying this way has brought already.
    pub grant: Option<TokenResponse>,
    /// What stands before it and is not there.
    pub in_vain: UnavailableMethods,
}

/// How long kubectl may use a signed token where nobody says so. Guard believes a signature for 15
/// minutes, other verifiers for 5; which of them a hosted cluster has is unverified.
const POP_WINDOW: Duration = Duration::from_secs(240);

/// Everything that one run of `get-token` needs to know.
pub struct Spec<'c> {
    method: &'static Method,
    /// How to sign in.
    pub login: Box<dyn Login>,
    /// The time for everything, if one was given, and by which flag or variable.
    pub timeout: Option<(Duration, ValueSource)>,
    /// The time for a person.
    pub login_timeout: Duration,
    /// How tokens are kept.
    pub storage: Storage,
    /// Where, if there is a place.
    pub cache_dir: Option<PathBuf>,
    /// How long kubectl may use a signed token before it asks for the next.
    pub pop_lifetime: Duration,
    /// What it was parsed from.
    choices: &'c Inputs<'c>,
}

impl<'c> Spec<'c> {
    /// Parses `choices`, in the order of Azure/kubelogin's validation.
    ///
    /// # Errors
    /// The first thing that is missing or wrong.
    pub fn parse(choices: &'c Inputs<'c>) -> Result<Self, Error> {
        let values = choices.values;
        let method = Method::find(values)?;
        check(values)?;
        TokenBinding::check(values, choices.exec.cluster.is_some())?;
        values.require(&SERVER_ID, "server-id is required")?;
        let login = (method.parse)(choices)?;
        check_binding(values, method, &*login)?;
        Ok(Self {
            method,
            timeout: positive(values, &TIMEOUT)?.zip(values.source(&TIMEOUT).cloned()),
            login_timeout: positive(values, &LOGIN_TIMEOUT)?.unwrap_or_default(),
            storage: kept(&*login, values.require(&CACHE_STORAGE, "cache storage cannot be empty")?),
            cache_dir: cache_dir(values, choices.env)?,
            pop_lifetime: positive(values, &POP_LIFETIME)?.unwrap_or(POP_WINDOW),
            choices,
            login,
        })
    }

    /// What is asked for, in the words of the options.
    pub fn summary(&self) -> RequestSummary {
        let values = self.choices.values;
        RequestSummary {
            method: self.method.name.into(),
            cloud: self.login.request().map(|request| request.authority.environment()),
            tenant: values.get(&TENANT_ID).ok().flatten().map(|tenant| tenant.to_string()),
            client: values.get(&CLIENT_ID).ok().flatten().map(|client| client.to_string()),
            server: values.get(&SERVER_ID).ok().flatten(),
        }
    }

    /// The flag or variable that gives a person's sign-in its time, for messages.
    pub fn timeout_option(&self) -> String {
        self.timeout.as_ref().map_or_else(|| LOGIN_TIMEOUT.decl.flag(), |(_, source)| source.to_string())
    }

    /// The command with which a person signs in for the same by hand, without secrets.
    pub fn login_command(&self, program: &str) -> String {
        let given = self.choices.given;
        let flags = given
            .flags()
            .iter()
            .filter(|typed| !typed.decl.secret && !LEFT_OUT.iter().any(|out| std::ptr::eq(*out, typed.decl)));
        let words = flags.map(|typed| match (typed.decl.takes, typed.text.expose()) {
            (ValueKind::Nothing, "true") => typed.decl.flag(),
            (ValueKind::Nothing, text) => format!("{}={text}", typed.decl.flag()),
            _ => format!("{} {}", typed.decl.flag(), shell_word(&shown(typed.decl, &typed.text))),
        });
        // What kubectl has said of the cluster it does not say to a person.
        let claims = match self.login.binding() {
            TokenBinding::Pop(host) if given.last(&POP_CLAIMS.decl).is_none() => {
                Some(format!("{} {}", POP_CLAIMS.decl.flag(), shell_word(&format!("u={host}"))))
            }
            _ => None,
        };
        let words: Vec<_> = words.chain(claims).collect();
        format!("{program} login {}", words.join(" ")).trim_end().to_owned()
    }

    /// What names this request's place in the cache.
    pub fn cache_key(&self) -> CacheKey {
        let mut identity = CacheKey::new("token");
        identity.field("method", self.method.name);
        self.login.add_to_key(&mut identity);
        identity
    }
}

/// What has no part in a sign-in by hand.
static LEFT_OUT: [&Decl; 4] = [&VERBOSITY.decl, &LOGTOSTDERR.decl, &TIMEOUT.decl, &LOGIN_TIMEOUT.decl];

/// `text` as one word of a POSIX shell.
pub(crate) fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Azure/kubelogin hands out plain tokens without a word where a method has no other.
fn check_binding(values: &Values, method: &Method, login: &dyn Login) -> Result<(), Error> {
    if !values.is_on(&POP_ENABLED) || *login.binding() != TokenBinding::Bearer {
        return Ok(());
    }
    let what = format!("--login {} has no proof-of-possession tokens", method.name);
    let source = values.source(&POP_ENABLED).map(ToString::to_string).unwrap_or_default();
    Err(Error::new(ErrorKind::Usage, what)
        .from_source(source)
        .remedy("use interactive, devicecode, spn, ropc or workloadidentity, or leave out --pop-enabled"))
}

impl Method {
    /// The method that `--login` names.
    ///
    /// # Errors
    /// The list of methods.
    pub fn find(values: &Values) -> Result<&'static Self, Error> {
        let name = values.get(&LOGIN)?.unwrap_or_default();
        METHODS.iter().copied().find(|method| method.name == name).ok_or_else(|| {
            let source = values.source(&LOGIN).map(ToString::to_string).unwrap_or_default();
            let what = format!("'{name}' is not a supported login method. Supported method is one of {}", names());
            Error::new(ErrorKind::OptionInvalid, what).remedy(format!("correct {source}")).from_source(source)
        })
    }

    /// Every option that an entry of this method may hold, in the order in which they are written.
    pub fn written(&self) -> impl Iterator<Item = &'static EntryArgument> {
        let own = self.arguments.iter();
        let again = |trailing: &&EntryArgument| !self.arguments.iter().any(|own| std::ptr::eq(own.decl, trailing.decl));
        let is_bound = self.arguments.iter().any(|own| std::ptr::eq(own.decl, &POP_ENABLED.decl));
        let counts = move |trailing: &&EntryArgument| is_bound || !std::ptr::eq(trailing.decl, &POP_LIFETIME.decl);
        COMMON_FIRST.iter().chain(own).chain(COMMON_LAST.iter().filter(again).filter(counts))
    }
}

/// Whether the texts of the common options are well-formed, in the order of Azure/kubelogin's
/// validation; what is missing is not looked at.
///
/// # Errors
/// The first text that is not.
pub fn check(values: &Values) -> Result<(), Error> {
    values.get(&AUTHORITY_HOST)?;
    values.get(&POP_CLAIMS)?;
    positive(values, &TIMEOUT)?;
    positive(values, &LOGIN_TIMEOUT)?;
    positive(values, &POP_LIFETIME)?;
    values.get(&CACHE_STORAGE)?;
    values.get(&CLIENT_ID)?;
    values.get(&TENANT_ID)?;
    values.get(&ENVIRONMENT)?;
    Ok(())
}

/// Two options that exclude each other.
pub fn both_given(one: &str, other: &str) -> Error {
    Error::new(ErrorKind::Usage, format!("{one} and {other} are both given")).remedy("give one of them")
}

/// The methods with what each is, for the help.
pub fn described() -> String {
    METHODS.iter().map(|method| format!("{} ({})", method.name, method.about)).collect::<Vec<_>>().join(", ")
}

/// The methods' names, separated by commas.
pub fn names() -> String {
    METHODS.iter().map(|method| method.name).collect::<Vec<_>>().join(", ")
}

fn kept(login: &dyn Login, storage: Storage) -> Storage {
    if login.cacheable() { storage } else { Storage::None }
}

fn positive(values: &Values, option: &Opt<GoDuration>) -> Result<Option<Duration>, Error> {
    let Some(duration) = values.get(option)? else { return Ok(None) };
    let source = values.source(option).map(ToString::to_string).unwrap_or_default();
    let too_short = || {
        Error::new(ErrorKind::OptionInvalid, format!("{} must be greater than 0", option.decl.name))
            .from_source(&source)
            .remedy(format!("correct {source}"))
    };
    duration.positive().map(Some).ok_or_else(too_short)
}

/// `--cache-dir`, its variables, else kubelogin's place below the home directory.
///
/// # Errors
/// A path that can't be one.
pub fn cache_dir(values: &Values, env: &Env) -> Result<Option<PathBuf>, Error> {
    let given = values.get(&CACHE_DIR)?.map(|path| path.0);
    Ok(given.or_else(|| Some(env.home()?.join(".kube").join("cache").join("kubelogin"))))
}
