//! `logout`: forgets one person, what belongs to one context, or everything.

use std::path::Path;

use crate::cache::{self, Cache, DeleteFilter, Deleted, Location, RefreshTokenEntry, Slot, TokenEntry};
use crate::entra::Account;
use crate::entra::access_token::AccessTokenClaims;
use crate::error::{Error, ErrorKind, listed, one_line};
use crate::login;
use crate::options::{ALL, CONTEXT, Decl, KUBECONFIG, LOGIN_HINT, ParsedArgs, Values};
use crate::sys::Sys;

use crate::outcome::Outcome;

use super::request::{ContextRequest, FlagRequest};

/// For the help.
pub(super) const NOTES: &str = "\
    Without --account, --context or --all the only person who is signed in is meant. What is forgotten here is \
    not revoked: Entra has no such request for the tokens of a public client, and a token that kubectl holds \
    already works until it ends. az and azd stay signed in, and so does the browser.";

/// Forgets, and says what.
pub(super) fn run(sys: &Sys, given: &ParsedArgs) -> Result<Outcome, Error> {
    let values = Values::resolve(given, &sys.env);
    refuse_two(given, &values)?;
    if values.get(&CONTEXT)?.is_some() {
        return of_context(sys, given, &values);
    }
    let location = login::location_at_rest(&values, &sys.env)?;
    let Some(directory) = location.directory() else {
        sys.terminal.say("nobody is signed in: there is no home directory");
        return Ok(Outcome::silent());
    };
    if values.is_on(&ALL) {
        return everything(sys, &location, directory);
    }
    let cache = open(&location)?;
    match values.get(&LOGIN_HINT)? {
        Some(name) => person(sys, &cache, &location, &name),
        None => only_person(sys, &cache, &location),
    }
}

/// Each of the three says all that is to be said.
fn refuse_two(given: &ParsedArgs, values: &Values) -> Result<(), Error> {
    let typed = |decl: &Decl| given.last(decl).filter(|typed| !typed.text.is_empty()).map(|typed| typed.flag.clone());
    let all = typed(&ALL.decl).filter(|_| values.is_on(&ALL));
    let mut ways = [typed(&LOGIN_HINT.decl), typed(&CONTEXT.decl), all].into_iter().flatten();
    match (ways.next(), ways.next(), typed(&KUBECONFIG.decl)) {
        (Some(one), Some(other), _) => Err(login::both_given(&one, &other)),
        (_, _, Some(flag)) if typed(&CONTEXT.decl).is_none() => {
            let what = format!("{flag} does not say what to forget");
            Err(Error::new(ErrorKind::Usage, what).remedy(format!("name the context with {}", CONTEXT.decl.flag())))
        }
        _ => Ok(()),
    }
}

fn open(location: &Location) -> Result<Cache, Error> {
    let cache = Cache::open(location);
    match cache.refused() {
        Some(why) => Err(Error::new(ErrorKind::CacheRefused, why).remedy("check --cache-dir")),
        None => Ok(cache),
    }
}

/// Without a name it has to be clear who is meant.
fn only_person(sys: &Sys, cache: &Cache, location: &Location) -> Result<Outcome, Error> {
    let names = names(&cache.accounts());
    match names.as_slice() {
        [] => {
            let tokens = cache.slots().iter().filter(|slot| slot.read().token.is_some()).count();
            let rest = match tokens {
                0 => String::new(),
                tokens => {
                    format!("; {} kept for applications and programs, --all forgets everything", are(tokens, "token"))
                }
            };
            sys.terminal.say(format!("nobody is signed in{rest}"));
            Ok(Outcome::silent())
        }
        [name] => person(sys, cache, location, name),
        _ => Err(Error::new(ErrorKind::AccountChoice, format!("{} are signed in", listed(names)))
            .remedy("name one with --account, or give --all; nobody was signed out")),
    }
}

/// The names of `accounts`, each once.
fn names(accounts: &[Account]) -> Vec<String> {
    let mut names: Vec<String> = accounts.iter().map(|account| one_line(&account.username)).collect();
    names.dedup_by(|one, other| one.to_lowercase() == other.to_lowercase());
    names
}

/// Everything of the person with that name, whatever the client, the cloud and the tenant.
fn person(sys: &Sys, cache: &Cache, location: &Location, name: &str) -> Result<Outcome, Error> {
    let accounts = cache.accounts();
    let meant: Vec<&Account> = accounts.iter().filter(|account| account.has_name(name)).collect();
    let is_meant = |account: &Account| meant.iter().any(|meant| meant.id == account.id);
    let token = |_: &Slot, kept: &TokenEntry| match &kept.account {
        Some(account) => is_meant(account),
        // Az has signed in, or another program: the token alone says who.
        None => kept.token.as_ref().is_some_and(|token| {
            AccessTokenClaims::of(&token.access_token)
                .person()
                .is_some_and(|person| person.to_lowercase() == name.to_lowercase())
        }),
    };
    if meant.is_empty() && !cache.slots().iter().any(|slot| token(slot, &slot.read())) {
        return Err(not_signed_in(name, names(&accounts)));
    }
    let forgotten =
        cache.delete(sys, &DeleteFilter { token: &token, refresh_token: &|grant| is_meant(&grant.account) });
    clear_if_bare(cache, location, &forgotten)?;
    let name = meant.first().map_or(name, |account| &account.username);
    sys.terminal.say(format!("signed out {}: forgot {}", one_line(name), counted(&forgotten, 0)));
    Ok(Outcome::silent())
}

fn not_signed_in(name: &str, others: Vec<String>) -> Error {
    let remedy = match others.len() {
        0 => "nobody is".to_owned(),
        1 => format!("{} is", listed(others)),
        _ => format!("{} are", listed(others)),
    };
    Error::new(ErrorKind::AccountChoice, format!("{} is not signed in", one_line(name))).remedy(remedy)
}

/// The token of a context's entry, and, if it is a person's, the sign-in behind it with all that hangs on
/// that: what renews one cluster's token would sign in to this one again.
fn of_context(sys: &Sys, given: &ParsedArgs, values: &Values) -> Result<Outcome, Error> {
    let found = ContextRequest::find(sys, given, values)?;
    let FlagRequest { spec, values } = &found.request;
    let context = one_line(&found.context);
    let location = login::location_at_rest(values, &found.sys.env)?;
    if location.directory().is_none() {
        sys.terminal.say(format!("nothing is kept for the context \"{context}\": there is no home directory"));
        return Ok(Outcome::silent());
    }
    let cache = open(&location)?;
    let place = cache.slot(&spec.login.key);
    let kept = place.as_ref().map(Slot::read).unwrap_or_default();
    let here = |slot: &Slot| place.as_ref().is_some_and(|place| place.name() == slot.name());
    let hangs_on_it = |other: &TokenEntry| other.account.is_some() && same_sign_in(&kept, other);
    let token = |slot: &Slot, other: &TokenEntry| here(slot) || hangs_on_it(other);
    let grant = |grant: &RefreshTokenEntry| is_behind(&kept, grant);
    let forgotten = cache.delete(sys, &DeleteFilter { token: &token, refresh_token: &grant });
    clear_if_bare(&cache, &location, &forgotten)?;
    sys.terminal.say(match &kept.account {
        _ if forgotten == Deleted::default() => format!("nothing is kept for the context \"{context}\""),
        None => format!("forgot {} of the context \"{context}\"", counted(&forgotten, 0)),
        Some(account) => {
            let others = if forgotten.tokens > 1 { ", for every cluster that this sign-in served" } else { "" };
            let name = one_line(&account.username);
            format!("signed out {name} of the context \"{context}\": forgot {}{others}", counted(&forgotten, 0))
        }
    });
    Ok(Outcome::silent())
}

/// Whether the same sign-in stands behind both: the same person's, by the same client, in the same cloud.
fn same_sign_in(one: &TokenEntry, other: &TokenEntry) -> bool {
    let id = |kept: &TokenEntry| kept.account.as_ref().map(|account| account.id.clone());
    let cloud = |kept: &TokenEntry| kept.about.as_ref().and_then(|about| about.cloud.clone());
    id(one) == id(other) && client(one) == client(other) && cloud(one) == cloud(other)
}

fn is_behind(kept: &TokenEntry, grant: &RefreshTokenEntry) -> bool {
    let of_grant = grant.about.client.as_ref().map(|client| client.to_ascii_lowercase());
    let cloud = kept.about.as_ref().and_then(|about| about.cloud.as_deref());
    kept.account.as_ref().is_some_and(|account| account.id == grant.account.id)
        && client(kept) == of_grant
        && cloud == Some(&grant.environment)
}

fn client(kept: &TokenEntry) -> Option<String> {
    Some(kept.about.as_ref()?.client.as_ref()?.to_ascii_lowercase())
}

fn everything(sys: &Sys, location: &Location, directory: &Path) -> Result<Outcome, Error> {
    let cache = open(location)?;
    let names = names(&cache.accounts());
    let unreadable = cache.unreadable();
    let forgotten = cache.delete(sys, &DeleteFilter { token: &|_, _| true, refresh_token: &|_| true });
    // The key goes too.
    let removed = cache::clear(location)?;
    let forgotten = Deleted {
        tokens: forgotten.tokens + removed.tokens,
        refresh_tokens: forgotten.refresh_tokens + removed.refresh_tokens,
        keys: forgotten.keys + removed.keys,
        ..forgotten
    };
    let who = if names.is_empty() { String::new() } else { format!(" of {}", listed(names)) };
    sys.terminal.say(if unreadable == 0 && forgotten == Deleted::default() {
        format!("nothing is kept in {}", directory.display())
    } else {
        format!("forgot everything{who} in {}: {}", directory.display(), counted(&forgotten, unreadable))
    });
    Ok(Outcome::silent())
}

/// The key is of no use when nothing is sealed with it.
fn clear_if_bare(cache: &Cache, location: &Location, forgotten: &Deleted) -> Result<(), Error> {
    if forgotten.held == 0 && cache.is_bare() {
        cache::clear(location)?;
    }
    Ok(())
}

/// What was forgotten; `unreadable` are entries of which nobody knows what they were.
fn counted(forgotten: &Deleted, unreadable: usize) -> String {
    let parts = [(forgotten.refresh_tokens, "sign-in"), (forgotten.tokens, "token"), (forgotten.keys, "key")];
    let mut parts: Vec<String> =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| number(*count, what)).collect();
    match unreadable {
        0 => {}
        1 => parts.push("1 entry that could not be read".into()),
        count => parts.push(format!("{count} entries that could not be read")),
    }
    let parts = if parts.is_empty() { "nothing".to_owned() } else { listed(parts) };
    // One sign-in may hold several locks.
    let held = if forgotten.held > 0 { "; what is still under way will be kept" } else { "" };
    format!("{parts}{held}")
}

fn number(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

fn are(count: usize, what: &str) -> String {
    format!("{} {}", number(count, what), if count == 1 { "is" } else { "are" })
}
