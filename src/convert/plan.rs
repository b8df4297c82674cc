//! What a conversion would change: pure, so that `--dry-run` and the real run cannot differ.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::azure::cloud::Cloud;
use crate::error::{Error, ErrorKind, listed};
use crate::exec_credential;
use crate::kubeconfig::KubeconfigFile;
use crate::kubeconfig::context::{self, ContextIndex, ContextUser};
use crate::kubeconfig::document::{Auth, Change, Exec, User, Variable};
use crate::login::{self, EntryArgument, Method, WriteRule};
use crate::options::args::read_entry;
use crate::options::{
    AZURE_CONFIG_DIR, COMMAND, CONTEXT, Decl, ENVIRONMENT, EXEC_API_VERSION, LOGIN, OptionSet, POP_CLAIMS, ParsedArgs,
    ParsedFlag, Scope, TABLE, ValueKind, Values, args, types,
};
use crate::os::env::Env;
use crate::secret::Secret;

use super::skip_reason::not_convertible;

/// What the user asked for.
pub struct ConvertRequest<'a> {
    /// The login method to convert to.
    pub method: &'static Method,
    /// The flags that were typed; the environment has no say in what is written (design, D1).
    pub typed: &'a ParsedArgs,
    /// Only the users of these contexts; all users, where there are none.
    pub contexts: &'a [&'a str],
    /// The program that new entries name, unless another one was typed.
    pub command: &'a str,
}

impl ConvertRequest<'_> {
    /// The program that new entries name.
    pub fn command(&self) -> String {
        self.typed_command().unwrap_or_else(|| self.command.to_owned())
    }

    /// The program that was typed for all entries. kubectl takes a relative path to mean the
    /// kubeconfig's directory; whoever types one means the directory they are in.
    pub fn typed_command(&self) -> Option<String> {
        let typed = typed(self.typed, &COMMAND.decl)?.text.expose();
        let is_path = typed.contains(std::path::is_separator);
        let absolute = || std::path::absolute(typed).ok()?.into_os_string().into_string().ok();
        is_path.then(absolute).flatten().or_else(|| Some(typed.to_owned()))
    }

    /// The version that was typed for all entries.
    fn api_version(&self) -> Option<&'static str> {
        (EXEC_API_VERSION.parse)(typed(self.typed, &EXEC_API_VERSION.decl)?.text.expose()).ok()
    }

    /// Whether a value of `decl` was typed.
    pub fn types(&self, decl: &Decl) -> bool {
        self.typed.last(decl).is_some_and(|typed| !typed.text.is_empty())
    }
}

/// What happens to one user.
pub struct UserPlan {
    /// Which file, as an index.
    pub file: usize,
    /// Which user of that file, as an index.
    pub user: usize,
    /// The user's name.
    pub name: String,
    /// The contexts that lead to it.
    pub contexts: Vec<String>,
    /// What happens.
    pub decision: Decision,
}

impl UserPlan {
    /// What changes, with the file that it changes in.
    pub(super) fn change(&self) -> Option<(usize, Change)> {
        match &self.decision {
            Decision::Convert(exec) => Some((self.file, Change::User(self.user, exec.clone()))),
            _ => None,
        }
    }
}

/// What happens to a user.
pub enum Decision {
    /// It gets this entry.
    Convert(Exec),
    /// The entry says already what was asked for.
    AlreadyRight,
    /// It is none of ours, and why.
    Skipped(String),
    /// It is ours and can't be converted.
    Impossible(Error),
}

/// Decides about every user of `files`, or about those of `wish.contexts`, each once.
///
/// # Errors
/// A context that doesn't exist, or whose user isn't one that can be converted; flags that are
/// malformed, exclude each other, or can't be written for the method.
pub fn plan(files: &[KubeconfigFile], wish: &ConvertRequest) -> Result<Vec<UserPlan>, Error> {
    refuse_variable(wish)?;
    refuse_flags(wish)?;
    let routes = ContextIndex::new(files);
    if wish.contexts.is_empty() {
        let lines = all(files, wish, &routes);
        refuse_one_clusters_claims_for_many(files, &lines, wish, &routes)?;
        return Ok(lines);
    }
    let mut lines: Vec<UserPlan> = Vec::new();
    for context in wish.contexts {
        let line = of_context(files, wish, context, &routes)?;
        if !lines.iter().any(|known| (known.file, known.user) == (line.file, line.user)) {
            lines.push(line);
        }
    }
    Ok(lines)
}

/// kubectl takes a user from the first file that defines it.
fn all(files: &[KubeconfigFile], wish: &ConvertRequest, routes: &ContextIndex) -> Vec<UserPlan> {
    let mut first: BTreeMap<&str, usize> = BTreeMap::new();
    let mut known = Known::new();
    let mut lines = Vec::new();
    for (file, loaded) in files.iter().enumerate() {
        for (index, user) in loaded.document.users().iter().enumerate() {
            let winner = *first.entry(&user.name).or_insert(file);
            let name = user.name.clone();
            lines.push(if winner == file {
                let (contexts, decision) = (routes.names(user), decide(user, wish, routes, &mut known));
                UserPlan { file, user: index, name, contexts, decision }
            } else {
                let why = format!("{} defines this user first", files[winner].path.display());
                UserPlan { file, user: index, name, contexts: Vec::new(), decision: Decision::Skipped(why) }
            });
        }
    }
    lines
}

fn of_context(
    files: &[KubeconfigFile],
    wish: &ConvertRequest,
    name: &str,
    routes: &ContextIndex,
) -> Result<UserPlan, Error> {
    let ContextUser { file, index, user, .. } = context::find(files, name, "--context")?;
    if let Some(foreign) = not_convertible(user, routes) {
        let what = format!("the user \"{}\" cannot be converted: {}", user.name, foreign.why);
        return Err(Error::new(ErrorKind::Kubeconfig, what)
            .from_source(format!("context \"{name}\""))
            .remedy(format!("{}, then convert that", foreign.remedy())));
    }
    let (contexts, decision) = (routes.names(user), decide(user, wish, routes, &mut Known::new()));
    Ok(UserPlan { file, user: index, name: user.name.clone(), contexts, decision })
}

/// The `u` of a bound token is one cluster's: Azure/kubelogin writes it for all of them, and then all but
/// one refuse their tokens (kubelogin#721). Whoever names the contexts has asked for it.
fn refuse_one_clusters_claims_for_many(
    files: &[KubeconfigFile],
    lines: &[UserPlan],
    wish: &ConvertRequest,
    routes: &ContextIndex,
) -> Result<(), Error> {
    let decl = &POP_CLAIMS.decl;
    let writes = wish.types(decl) && wish.method.written().any(|argument| argument.decl == decl);
    let ours = lines.iter().filter(|line| !matches!(line.decision, Decision::Skipped(_)));
    let concerned: Vec<&User> = ours.map(|line| &files[line.file].document.users()[line.user]).collect();
    if !writes || concerned.len() < 2 {
        return Ok(());
    }
    let contexts = concerned.iter().flat_map(|user| routes.to(user));
    let clusters: BTreeSet<&str> = contexts.map(|context| context.cluster.as_str()).collect();
    // A user whom no context leads to is of some cluster too.
    if clusters.len() < 2 && concerned.iter().all(|user| !routes.to(user).is_empty()) {
        return Ok(());
    }
    let what = format!("{} is for one cluster and would be written for {} users", decl.flag(), concerned.len());
    let remedy = format!("name the context that is meant with {}", CONTEXT.decl.flag());
    Err(Error::new(ErrorKind::Usage, what).remedy(remedy))
}

/// Azure/kubelogin passes over the flag where the method does not write it.
fn refuse_variable(wish: &ConvertRequest) -> Result<(), Error> {
    let decl = &AZURE_CONFIG_DIR.decl;
    let writes = wish.method.variables.iter().any(|(variable, _)| *variable == decl);
    if writes || typed(wish.typed, decl).is_none() {
        return Ok(());
    }
    let what = format!("{} does not go with --login {}", decl.flag(), wish.method.name);
    Err(Error::new(ErrorKind::Usage, what).remedy(format!("leave out {}", decl.flag())))
}

/// What is wrong with the flags is no user's fault. Those that are not written may say anything.
fn refuse_flags(wish: &ConvertRequest) -> Result<(), Error> {
    let values = Values::resolve(wish.typed, &Env::default());
    values.check(&EXEC_API_VERSION.decl)?;
    for argument in wish.method.written() {
        let Some(own) = typed(wish.typed, argument.decl) else { continue };
        if let Some(rival) = argument.exclusive_with.and_then(|rival| typed(wish.typed, rival)) {
            return Err(login::both_given(&own.flag, &rival.flag));
        }
        values.check(argument.decl)?;
    }
    Ok(())
}

/// What is decided already: the entries of a tenant's clusters are mostly the same.
type Known<'u> = HashMap<&'u Exec, Option<Exec>>;

fn decide<'u>(user: &'u User, wish: &ConvertRequest, routes: &ContextIndex, known: &mut Known<'u>) -> Decision {
    if let Some(foreign) = not_convertible(user, routes) {
        let instead = foreign.instead.map(|instead| format!("; {instead}")).unwrap_or_default();
        return Decision::Skipped(foreign.why + &instead);
    }
    let outcome = match &user.auth {
        Auth::Exec(exec) => match known.get(exec) {
            Some(new) => Ok(new.clone()),
            None => convert_exec(exec, wish).inspect(|new| _ = known.insert(exec, new.clone())),
        },
        Auth::Provider { config, .. } => convert_provider(config, wish),
        Auth::Both | Auth::Neither => Ok(None),
    };
    match outcome {
        Ok(Some(new)) => Decision::Convert(new),
        Ok(None) => Decision::AlreadyRight,
        Err(error) => Decision::Impossible(error),
    }
}

fn convert_exec(exec: &Exec, wish: &ConvertRequest) -> Result<Option<Exec>, Error> {
    let entry = read_entry(&exec.args);
    let args = arguments(wish, &Source::Entry(&entry))?;
    check(&args, exec.provide_cluster_info)?;
    let mut new = with_args(exec, args, wish);
    align_env(&mut new, wish)?;
    Ok((new != *exec).then_some(new))
}

/// Besides its arguments an entry keeps what it says, unless kubectl would refuse it.
fn with_args(exec: &Exec, args: Vec<String>, wish: &ConvertRequest) -> Exec {
    let current = exec.api_version.as_deref().unwrap_or_default();
    let kept = exec_credential::VERSIONS.into_iter().find(|version| *version == current);
    let version = wish.api_version().or(kept).unwrap_or(V1BETA1);
    let mut new = Exec { args, api_version: Some(version.to_owned()), ..exec.clone() };
    if let Some(command) = wish.typed_command() {
        new.command = command;
    }
    // v1 requires a mode (kubernetes-exec.md, 1.5); in v1beta1 this one is the default.
    if version != V1BETA1 && exec.interactive_mode.as_deref().unwrap_or_default().is_empty() {
        new.interactive_mode = Some(IF_AVAILABLE.to_owned());
    }
    set(&mut new.env, variables(wish));
    new
}

/// Variables of the entry win over its arguments (design, D1). The method and what was typed must hold all the
/// same, so such a variable says it too; what it overruled before, it still does.
fn align_env(exec: &mut Exec, wish: &ConvertRequest) -> Result<(), Error> {
    let given = args::read(&exec.args, OptionSet::TOKEN)?;
    let is_meant = |decl: &Decl| *decl == LOGIN.decl || wish.types(decl);
    // Several variables may stand for one option; the next is seen when the first agrees.
    for _ in 0..exec.env.len() {
        let env = Env::default().with_entry(&exec.env);
        let overruled = Values::resolve(&given, &env).overruled(&given);
        let meant = overruled.into_iter().filter(|(_, flag)| is_meant(flag.decl));
        let same: Vec<Variable> = meant.map(|(name, flag)| (name.into(), flag.text.expose().to_owned())).collect();
        if same.is_empty() {
            break;
        }
        set(&mut exec.env, same);
    }
    Ok(())
}

/// Sets variables; all others stay.
fn set(env: &mut Vec<Variable>, new: Vec<Variable>) {
    for (name, value) in new {
        let mut is_new = true;
        for same in env.iter_mut().filter(|same| same.0 == name) {
            same.1.clone_from(&value);
            is_new = false;
        }
        if is_new {
            env.push((name, value));
        }
    }
}

fn convert_provider(config: &BTreeMap<String, String>, wish: &ConvertRequest) -> Result<Option<Exec>, Error> {
    let args = arguments(wish, &Source::Provider(config))?;
    check(&args, false)?;
    let command = wish.command();
    Ok(Some(Exec {
        api_version: Some(wish.api_version().unwrap_or(V1BETA1).into()),
        args,
        install_hint: Some(install_hint(&command)),
        command,
        env: variables(wish),
        interactive_mode: Some(IF_AVAILABLE.into()),
        provide_cluster_info: false,
    }))
}

const V1BETA1: &str = exec_credential::VERSIONS[1];
const IF_AVAILABLE: &str = "IfAvailable";

/// What kubectl prints where the program is missing. For `kubelogin` it is the text that the
/// entries of AKS carry, so that nothing differs.
fn install_hint(command: &str) -> String {
    if command == "kubelogin" {
        return "\nkubelogin is not installed which is required to connect to AAD enabled cluster.\n\n\
                To learn more, please go to https://azure.github.io/kubelogin/\n"
            .into();
    }
    format!(
        "\n{command} signs in to this cluster with Entra ID and was not found.\nInstall it and make sure that it is on PATH.\n"
    )
}

/// Where values come from that were not typed.
enum Source<'a> {
    Entry(&'a ParsedArgs),
    Provider(&'a BTreeMap<String, String>),
}

impl Source<'_> {
    fn text(&self, decl: &Decl) -> Option<Secret> {
        match self {
            Source::Entry(given) => given.last(decl).map(|typed| typed.text.clone()),
            Source::Provider(config) => decl.legacy_key?.read(config).map(Secret::new),
        }
    }

    /// Whether this is an entry of `method` already.
    fn is_of(&self, method: &Method) -> bool {
        match self {
            Source::Entry(_) => self.text(&LOGIN.decl).is_some_and(|login| login.expose() == method.name),
            Source::Provider(_) => false,
        }
    }

    /// Everything it says.
    fn says(&self) -> Vec<(&'static Decl, Secret)> {
        match self {
            Source::Entry(given) => given.flags().iter().map(|typed| (typed.decl, typed.text.clone())).collect(),
            Source::Provider(_) => TABLE.iter().filter_map(|decl| Some((*decl, self.text(decl)?))).collect(),
        }
    }
}

/// The argument list of the new entry.
fn arguments(wish: &ConvertRequest, source: &Source) -> Result<Vec<String>, Error> {
    let mut list = vec!["get-token".to_owned(), "--login".into(), wish.method.name.into()];
    let mut missing = Vec::new();
    for argument in wish.method.written() {
        match value(argument, wish, source) {
            Some(text) => list.extend(written(argument, &text)),
            None if argument.rule == WriteRule::Required => missing.push(argument.decl.flag()),
            None => {}
        }
    }
    if !missing.is_empty() {
        return Err(required(&missing));
    }
    Ok(list)
}

/// kubelogin names the first flag; the remedy names them all, so that they are looked up once.
fn required(flags: &[String]) -> Error {
    let all = listed(flags.to_vec());
    Error::new(ErrorKind::OptionMissing, format!("{} is required", flags[0])).remedy(format!("give {all}"))
}

/// The variables that typed flags set; those that the source entry has stay without them.
fn variables(wish: &ConvertRequest) -> Vec<Variable> {
    let variable = |&(decl, name): &(&'static Decl, &str)| {
        let typed = typed(wish.typed, decl)?;
        Some((name.to_owned(), from_here(decl, &typed.text).expose().to_owned()))
    };
    wish.method.variables.iter().filter_map(variable).collect()
}

/// The flag for `decl` that was typed; an empty one counts as unset.
fn typed<'a>(given: &'a ParsedArgs, decl: &Decl) -> Option<&'a ParsedFlag> {
    given.last(decl).filter(|typed| !typed.text.is_empty())
}

fn value(argument: &EntryArgument, wish: &ConvertRequest, source: &Source) -> Option<Secret> {
    let decl = argument.decl;
    if argument.overridden_by.is_some_and(|stronger| wish.types(stronger)) {
        return None;
    }
    let replaced = argument.exclusive_with.or(argument.replaced_by).is_some_and(|newer| wish.types(newer));
    let text = match typed(wish.typed, decl) {
        Some(typed) => Some(from_here(decl, &typed.text)),
        None if carries(argument, wish, source) && !replaced => source.text(decl),
        None => None,
    };
    let deviates =
        |text: &Secret| argument.rule != WriteRule::InheritedUnlessDefault || !says_nothing(decl, text.expose());
    text.filter(|text| !text.is_empty() && deviates(text))
}

/// Whether what the source entry says of `argument` is taken over.
fn carries(argument: &EntryArgument, wish: &ConvertRequest, source: &Source) -> bool {
    match argument.rule {
        WriteRule::Required | WriteRule::Inherited | WriteRule::InheritedUnlessDefault => true,
        WriteRule::InheritedFromSameMethod => source.is_of(wish.method),
        WriteRule::FlagOnly => false,
    }
}

/// Whether the same would hold without `text`.
fn says_nothing(decl: &Decl, text: &str) -> bool {
    // The public cloud has several names.
    let public = || *decl == ENVIRONMENT.decl && Cloud::parse(text) == Ok(Cloud::Public);
    let off = || decl.takes == ValueKind::Nothing && types::go_bool(text) == Ok(false);
    text.is_empty() || decl.default == Some(text) || public() || off()
}

/// A typed path means the directory in which it was typed, not the one in which kubectl will run.
fn from_here(decl: &Decl, text: &Secret) -> Secret {
    if !matches!(decl.takes, ValueKind::Text("FILE" | "DIR")) {
        return text.clone();
    }
    let absolute = std::path::absolute(text.expose()).ok().and_then(|path| path.into_os_string().into_string().ok());
    absolute.map_or_else(|| text.clone(), Secret::new)
}

fn written(argument: &EntryArgument, text: &Secret) -> Vec<String> {
    match argument.decl.takes {
        ValueKind::Nothing if types::go_bool(text.expose()) == Ok(true) => vec![argument.decl.flag()],
        ValueKind::Nothing => Vec::new(),
        _ => vec![argument.decl.flag(), text.expose().to_owned()],
    }
}

/// What is written must be what `get-token` would accept.
fn check(list: &[String], cluster_is_told: bool) -> Result<(), Error> {
    let given = args::read(list, OptionSet::TOKEN)?;
    let values = Values::resolve(&given, &Env::default());
    login::check(&values)?;
    login::check_binding(&values, cluster_is_told)?;
    given.flags().iter().try_for_each(|typed| values.check(typed.decl))
}

/// What the entry of `user` says that its conversion leaves out, as flags.
pub(crate) fn left_out(user: &User, wish: &ConvertRequest) -> Vec<String> {
    let entry;
    let (source, unknown) = match &user.auth {
        Auth::Exec(exec) => {
            entry = read_entry(&exec.args);
            (Source::Entry(&entry), entry.unknown.as_slice())
        }
        Auth::Provider { config, .. } => (Source::Provider(config), &[][..]),
        Auth::Both | Auth::Neither => return Vec::new(),
    };
    let kept = |decl: &Decl| {
        let carried = |argument: &EntryArgument| argument.decl == decl && carries(argument, wish, &source);
        let replaced = |argument: &EntryArgument| {
            argument.exclusive_with == Some(decl) && wish.types(argument.decl)
                || argument.decl == decl && argument.replaced_by.is_some_and(|newer| wish.types(newer))
        };
        let written = wish.method.written().any(|argument| carried(argument) || replaced(argument));
        is_of_the_run(decl) || written || wish.typed.last(decl).is_some()
    };
    let dropped = source.says().into_iter().filter(|(decl, text)| !kept(decl) && !says_nothing(decl, text.expose()));
    dropped.map(|(decl, _)| decl.flag()).chain(unknown.iter().cloned()).collect()
}

/// What was typed for the entries and is not written into them, as flags.
pub(crate) fn passed_over(wish: &ConvertRequest) -> Vec<String> {
    let written = |decl: &Decl| {
        let outdone = |argument: &EntryArgument| argument.overridden_by.is_some_and(|stronger| wish.types(stronger));
        let mut arguments = wish.method.written();
        arguments.any(|argument| argument.decl == decl && !outdone(argument))
    };
    let for_entries = |decl: &Decl| OptionSet::TOKEN.has(decl) && !is_of_the_run(decl);
    let says_something = |typed: &&ParsedFlag| !says_nothing(typed.decl, typed.text.expose());
    let typed = wish.typed.flags().iter().filter(|typed| for_entries(typed.decl) && !written(typed.decl));
    typed.filter(says_something).map(|typed| typed.flag.clone()).collect()
}

/// Whether an option is about one run or about all entries.
fn is_of_the_run(decl: &Decl) -> bool {
    *decl == LOGIN.decl || decl.scope == Scope::Run
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    static OPTIONS: OptionSet = OptionSet::token_and(&[&AZURE_CONFIG_DIR.decl]);

    /// A method whose entries have a variable.
    static WITH_VARIABLE: Method = Method {
        name: "devicecode",
        about: "for tests",
        arguments: &[],
        variables: &[(&AZURE_CONFIG_DIR.decl, "AZURE_CONFIG_DIR")],
        parse: |_| unreachable!(),
    };

    static WITHOUT: Method = Method { variables: &[], ..WITH_VARIABLE };

    const ENTRY: &str = "users: [{name: u, user: {exec: {apiVersion: client.authentication.k8s.io/v1beta1, \
        command: kubelogin, args: [get-token, --login, devicecode, --server-id, S], env: [{name: AZURE_CONFIG_DIR, value: /d}]}}}]";

    fn verdict(text: &str, method: &'static Method, flags: &[&str]) -> Result<Decision, Error> {
        let flags: Vec<_> = flags.iter().map(|&flag| flag.to_owned()).collect();
        let typed = args::read(&flags, OPTIONS).unwrap();
        let file = KubeconfigFile::new(PathBuf::new(), text.to_owned()).unwrap();
        let wish = ConvertRequest { method, typed: &typed, contexts: &[], command: "kubelogin" };
        Ok(plan(&[file], &wish)?.remove(0).decision)
    }

    fn edited(verdict: Result<Decision, Error>) -> Vec<Variable> {
        match verdict {
            Ok(Decision::Convert(new)) => new.env,
            _ => panic!("no edit"),
        }
    }

    #[test]
    fn a_typed_flag_becomes_a_variable() {
        let flags = ["--azure-config-dir", "e"];
        let [(name, value)] = edited(verdict(ENTRY, &WITH_VARIABLE, &flags)).try_into().unwrap();
        assert_eq!(name, "AZURE_CONFIG_DIR");
        assert_eq!(PathBuf::from(value), std::path::absolute("e").unwrap());
        let provider = "users: [{name: u, user: {auth-provider: {name: azure, config: {apiserver-id: S}}}}]";
        assert_eq!(edited(verdict(provider, &WITH_VARIABLE, &flags)).len(), 1);
        assert!(edited(verdict(provider, &WITH_VARIABLE, &[])).is_empty());
    }

    #[test]
    #[cfg(unix)]
    fn an_entry_with_the_variable_is_already_right() {
        for flags in [&[][..], &["--azure-config-dir", "/d"], &["--azure-config-dir", ""]] {
            assert!(matches!(verdict(ENTRY, &WITH_VARIABLE, flags), Ok(Decision::AlreadyRight)), "{flags:?}");
        }
        let other = ENTRY.replace("/d", "/e");
        assert_eq!(edited(verdict(&other, &WITH_VARIABLE, &["--azure-config-dir", "/d"])).len(), 1);
    }

    #[test]
    fn a_method_without_the_variable_refuses_the_flag() {
        let error = verdict(ENTRY, &WITHOUT, &["--azure-config-dir", "/d"]).err().unwrap();
        assert_eq!(
            error.to_string(),
            "--azure-config-dir does not go with --login devicecode; leave out --azure-config-dir"
        );
        assert!(verdict(ENTRY, &WITHOUT, &["--azure-config-dir", ""]).is_ok());
    }
}
