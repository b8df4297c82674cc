//! Asking a person, and what is told where nobody can be asked or somebody has just been.

use crate::cache::{SignInFailure, TokenEntry};
use crate::entra::Token;
use crate::entra::entra_error::EntraError;
use crate::error::{Error, ErrorKind};
use crate::os::clock::was_within;

use super::lock_wait::LockOutcome;
use super::refresh::Renewal;
use super::{Attempt, Caller};

/// After a failed sign-in nobody is asked again for this long, in seconds: one `kubectl get` may
/// start a plugin seven times.
const SIGN_IN_PAUSE: u64 = 30;

impl Attempt<'_> {
    /// Asks the person, with what the refusal of an earlier sign-in wants passed on.
    pub(super) async fn person_signs_in(&mut self, refusal: Option<Box<EntraError>>) -> Result<Token, Error> {
        if let Some(why) = self.login().prompt_hidden(self.sys) {
            return Err(self.nobody_sees(&why, refusal.as_deref()));
        }
        self.refuse_after_failure()?;
        let turn = self.turn_to_ask().await?;
        let refusal = match turn {
            // Somebody has been asked for another cluster: that sign-in may serve here, or was not wanted.
            LockOutcome::Acquired { waited: true, .. } => match self.renew(self.machine_deadline()).await {
                Renewal::Done(token) => return Ok(token),
                Renewal::Failed(error) => return Err(error),
                Renewal::NeedsSignIn(newer) => {
                    self.refuse_after_failure()?;
                    newer.or(refusal)
                }
            },
            _ => refusal,
        };
        if let Some(refusal) = &refusal {
            self.sys.terminal.note(format!("note: {}", refusal.explain(None).what()));
        }
        let session = self.session(self.human_deadline(), refusal.and_then(|refusal| refusal.claims));
        let outcome = self.acquire(&session).await;
        match &outcome {
            Ok(_) => self.forget_unwanted_prompt(),
            Err(error) if session.prompted.get() => self.note_failure_of_person(error),
            Err(_) => {}
        }
        outcome
    }

    /// The error where nobody would see a prompt. That Entra has ended the earlier sign-in is noted, so that the
    /// next call knows it, too, when there is nothing left that could be renewed.
    fn nobody_sees(&mut self, why: &str, refusal: Option<&EntraError>) -> Error {
        let ended = refusal.map(|refusal| refusal.explain(None));
        if let Some(ended) = &ended {
            self.note_sign_in_failure(ended);
        }
        let looked = self.resolved.as_ref().map(|resolved| resolved.in_vain.nobody_sees(why));
        let error = looked.unwrap_or_else(|| self.nobody_there(why, ended.as_ref()));
        error.after(self.entry.sign_in_failure.as_ref().map(|failure| failure.kind))
    }

    /// Nobody is asked again at once after a failure, unless they sign in by hand.
    fn refuse_after_failure(&self) -> Result<(), Error> {
        let elsewhere = self.prompt_place().and_then(|place| place.read().sign_in_failure);
        let now = self.now();
        let failures = self.entry.sign_in_failure.clone().into_iter().chain(elsewhere);
        let lately = failures.filter(|failure| was_within(SIGN_IN_PAUSE, failure.on, now));
        match (lately.max_by_key(|failure| failure.on), self.caller) {
            (Some(failure), Caller::Kubectl) => Err(self.just_failed(&failure, now)),
            _ => Ok(()),
        }
    }

    /// Who has dismissed one prompt, or did not see it, wants no other one for the next cluster. What went
    /// wrong in another way may go well there.
    fn note_failure_of_person(&mut self, error: &Error) {
        self.note_sign_in_failure(error);
        if let Some(place) = self.prompt_place().filter(|_| error.kind().prompt_unwanted()) {
            place.write(self.sys, &TokenEntry { sign_in_failure: Some(self.failure(error)), ..TokenEntry::default() });
        }
    }

    fn forget_unwanted_prompt(&self) {
        if let Some(place) = self.prompt_place().filter(|place| place.read().sign_in_failure.is_some()) {
            place.delete();
        }
    }

    /// The only person who is meant, if somebody was named.
    pub(super) fn required_account(&self) -> Option<String> {
        let named = self.login().user_client.as_ref().and_then(|user| user.account.clone());
        named.or_else(|| self.who().map(String::from))
    }

    /// Whether somebody else than the person who was served here before wants to sign in.
    pub(super) fn wants_another(&self) -> bool {
        self.wants_another_than(&self.entry)
    }

    pub(super) fn wants_another_than(&self, entry: &TokenEntry) -> bool {
        let other = |who| !entry.account.as_ref().is_some_and(|account| account.has_name(who));
        self.who().is_some_and(other)
    }

    /// Who wants to sign in by hand, if that was said.
    fn who(&self) -> Option<&str> {
        if let Caller::Login(who) = self.caller { who } else { None }
    }

    pub(super) fn note_sign_in_failure(&mut self, error: &Error) {
        let (failure, summary) = (self.failure(error), self.summary());
        self.note(|entry| {
            entry.sign_in_failure = Some(failure);
            entry.about.get_or_insert(summary);
        });
    }

    fn failure(&self, error: &Error) -> SignInFailure {
        SignInFailure {
            on: self.now(),
            kind: error.kind(),
            what: error.what().to_owned(),
            remedy: error.remedy_text().to_owned(),
        }
    }

    fn nobody_there(&self, why: &str, ended: Option<&Error>) -> Error {
        let program = self.sys.called_as();
        let what = "signing in needs a person, and nobody would see the prompt";
        let what = ended.map_or_else(|| what.to_owned(), |ended| format!("{}; {what}", ended.what()));
        Error::new(ErrorKind::NobodyThere, what).from_source(why).remedy(format!(
            "run `{}` in a terminal, or sign in without a person ({program} convert-kubeconfig -l spn)",
            self.spec.login_command(program)
        ))
    }

    fn just_failed(&self, failure: &SignInFailure, now: u64) -> Error {
        let ago = now.saturating_sub(failure.on);
        let wait = SIGN_IN_PAUSE.saturating_sub(ago);
        let advice = Some(&failure.remedy).filter(|advice| !advice.is_empty() && !failure.kind.prompt_unwanted());
        let advice = advice.map(|advice| format!("{advice}; ")).unwrap_or_default();
        let by_hand = self.spec.login_command(self.sys.called_as());
        Error::new(ErrorKind::SignInJustFailed, format!("a sign-in failed {ago} s ago: {}", failure.what))
            .after(Some(failure.kind))
            .remedy(format!("{advice}the next one is possible in {wait} s, or now with `{by_hand}`"))
    }
}
