//! `login`: a sign-in ahead of kubectl, for the exec entry of a context or for what the flags say. It is
//! kept where that entry will look for it.

use crate::error::{Error, ErrorKind, one_line};
use crate::exec_credential::ExecInfo;
use crate::login::Spec;
use crate::obtain::{self, SignIn, SignInOutcome};
use crate::options::{CACHE_STORAGE, CONTEXT, KUBECONFIG, LOGIN_HINT, ParsedArgs, ParsedFlag, Scope, Values};
use crate::outcome::Outcome;
use crate::sys::Sys;
use crate::terminal::time_text;

use super::request::{ContextRequest, FlagRequest};

/// For the help.
pub(super) const NOTES: &str = "\
    Without --context and without flags that describe a request, as get-token takes them, the current context is \
    meant. The flags and variables of the exec entry count as they do when kubectl runs it; flags typed here go before \
    them. What the entry says of trust (KUBENTRA_TRUSTED_AUTHORITIES, KUBENTRA_TRUSTED_COMMANDS) does not count. \
    --account says who is to sign in and changes nothing else; an entry with --login-hint takes that person only.";

/// Signs in, and says so.
pub(super) fn run(sys: &Sys, given: &ParsedArgs) -> Result<Outcome, Error> {
    if describes_request(given) {
        // `--login-hint` is a part of the request, as `get-token` understands it; `--account` says who
        // is about to sign in for it.
        let is_who = |typed: &ParsedFlag| *typed.decl == LOGIN_HINT.decl && typed.flag != LOGIN_HINT.decl.flag();
        let who = who(given, is_who);
        let request = given.only(|typed| !is_who(typed));
        let request = FlagRequest::of_flags(sys, &request, &ExecInfo::default())?;
        return sign_in(sys, &request, who.as_deref());
    }
    let values = Values::resolve(given, &sys.env);
    let found = ContextRequest::find(sys, &given.without(&LOGIN_HINT.decl), &values)?;
    let who = who(given, |typed| *typed.decl == LOGIN_HINT.decl);
    sign_in(&found.sys, &found.request, who.as_deref())
}

/// Whether the flags say what a token is wanted for; otherwise a kubeconfig does.
fn describes_request(given: &ParsedArgs) -> bool {
    let names_entry = given.last(&CONTEXT.decl).is_some() || given.last(&KUBECONFIG.decl).is_some();
    !names_entry && given.flags().iter().any(|typed| typed.decl.scope == Scope::Token)
}

/// Who is to sign in, if that was typed.
fn who(given: &ParsedArgs, is_who: impl Fn(&ParsedFlag) -> bool) -> Option<String> {
    let last = given.flags().iter().rev().find(|typed| is_who(typed))?;
    Some(last.text.expose().to_owned()).filter(|name| !name.is_empty())
}

fn sign_in(sys: &Sys, request: &FlagRequest, who: Option<&str>) -> Result<Outcome, Error> {
    let FlagRequest { spec, values } = request;
    let pin = RequiredAccount::of(values)?;
    if let Some(who) = who {
        check_who(spec, pin.as_ref(), who)?;
    }
    if spec.location.is_off() && spec.login.may_prompt() {
        return Err(nowhere(values));
    }
    let signed = obtain::sign_in(sys, spec, who)?;
    if signed.how != SignInOutcome::Told {
        sys.terminal.say(summary(spec, &signed, pin.as_ref(), sys.clock.now()));
    }
    Ok(Outcome::silent())
}

/// The only person who may sign in, and what says so.
struct RequiredAccount {
    name: String,
    source: String,
}

impl RequiredAccount {
    fn of(values: &Values) -> Result<Option<Self>, Error> {
        let name = values.get(&LOGIN_HINT)?.map(|name| one_line(&name));
        Ok(name.zip(values.source(&LOGIN_HINT)).map(|(name, source)| Self { name, source: source.to_string() }))
    }
}

/// Whether `who` may sign in there at all.
fn check_who(spec: &Spec, pin: Option<&RequiredAccount>, who: &str) -> Result<(), Error> {
    let who = one_line(who);
    if !spec.login.may_prompt() && spec.login.user_client.is_none() {
        let what =
            format!("--account {who} does not go with --login {}, with which nobody signs in", spec.summary().method);
        return Err(Error::new(ErrorKind::Usage, what).remedy("leave out --account"));
    }
    let Some(RequiredAccount { name, source }) = pin.filter(|pin| pin.name.to_lowercase() != who.to_lowercase()) else {
        return Ok(());
    };
    Err(Error::new(ErrorKind::OtherAccount, format!("{who} is to sign in, where only {name} may"))
        .from_source(source)
        .remedy(format!("sign in as {name}, or name {who} with {source}")))
}

fn nowhere(values: &Values) -> Error {
    Error::new(ErrorKind::Usage, "a sign-in ahead of kubectl would be kept nowhere: the cache storage is none")
        .from_source(values.source_text(&CACHE_STORAGE))
        .remedy("leave that out, here and in the exec entry")
}

fn summary(spec: &Spec, signed: &SignIn, pin: Option<&RequiredAccount>, now: u64) -> String {
    let already = if signed.how == SignInOutcome::Before { "already " } else { "" };
    let by = match &signed.account {
        Some(account) => format!("as {}", one_line(&account.username)),
        None => format!("with {}", spec.summary().method),
    };
    let tenant = spec.summary().tenant.map(|tenant| format!(" (tenant {tenant})")).unwrap_or_default();
    let until = time_text(signed.expires_on, now);
    let more = match (&signed.account, pin) {
        (Some(_), None) => "; --account NAME signs in as somebody else".to_owned(),
        (Some(_), Some(pin)) => format!("; nobody else may ({})", pin.source),
        (None, _) if spec.location.is_off() => "; the token is not kept".to_owned(),
        (None, _) => String::new(),
    };
    format!("{already}signed in {by}{tenant}, valid until {until}{more}")
}
