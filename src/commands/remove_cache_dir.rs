//! `remove-cache-dir` and its old name `remove-tokens`: forget everything that is cached.

use crate::cache::{self, ClearedCache};
use crate::error::Error;
use crate::login;
use crate::options::{CACHE_DIR, ParsedArgs, Values};
use crate::sys::Sys;

use crate::outcome::Outcome;

/// Removes our files and says what went.
pub(super) fn run(sys: &Sys, given: &ParsedArgs) -> Result<Outcome, Error> {
    // Azure/kubelogin does nothing for an empty directory name.
    if given.last(&CACHE_DIR.decl).is_some_and(|typed| typed.text.is_empty()) {
        return Ok(Outcome::silent());
    }
    let values = Values::resolve(given, &sys.env);
    let location = login::location_at_rest(&values, &sys.env)?;
    let Some(directory) = location.directory() else {
        sys.terminal.say("nothing to remove: there is no home directory");
        return Ok(Outcome::silent());
    };
    let removed = cache::clear(&location)?;
    sys.terminal.say(summary(&removed, &directory.display().to_string()));
    for path in &removed.leftovers {
        sys.terminal.say(format!("left alone: {}, which is Azure/kubelogin's", path.display()));
    }
    Ok(Outcome::silent())
}

/// The same under the name that Azure/kubelogin has deprecated, with its words.
pub(super) fn run_deprecated(sys: &Sys, given: &ParsedArgs) -> Result<Outcome, Error> {
    sys.terminal
        .note("Command \"remove-tokens\" is deprecated, remove-tokens is deprecated, use remove-cache-dir instead");
    run(sys, given)
}

fn summary(removed: &ClearedCache, directory: &str) -> String {
    if *removed == (ClearedCache { leftovers: removed.leftovers.clone(), ..ClearedCache::default() }) {
        return format!("nothing to remove in {directory}");
    }
    let held = match removed.held {
        0 => String::new(),
        held => format!("; {held} sign-in(s) still under way will be kept"),
    };
    format!("removed {} token(s) and {} sign-in(s) from {directory}{held}", removed.tokens, removed.refresh_tokens)
}
