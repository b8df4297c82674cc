//! Asking a person, and what is told where nobody can be asked or somebody has just been.

use crate::cache::{About, Kept, SignInFailure};
use crate::entra::Token;
use crate::entra::error::Refusal;
use crate::error::Error;
use crate::situation;
use crate::terminal::nobody_sees;

use super::renewal::Renewal;
use super::turn::Turn;
use super::{Attempt, Errand};

/// After a failed sign-in nobody is asked again for this long, in seconds: one `kubectl get` may
/// start a plugin seven times.
const SIGN_IN_PAUSE: u64 = 30;

impl Attempt<'_> {
    /// Asks the person, with what the refusal of an earlier sign-in wants passed on.
    pub(super) async fn person_signs_in(&self, kept: &Kept, refusal: Option<&Refusal>) -> Result<Token, Error> {
        let ended = refusal.map(|refusal| refusal.explain(None).what().to_owned());
        if let Some(why) = nobody_sees(&self.sys.env) {
            let looked = self.settled.get().map(|settled| settled.in_vain.nobody_sees(&why));
            return Err(looked.unwrap_or_else(|| self.nobody_there(&why, ended.as_deref())));
        }
        let now = self.now();
        let lately = kept.sign_in_failure.as_ref().filter(|failure| now < failure.on.saturating_add(SIGN_IN_PAUSE));
        if let (Some(failure), Errand::Token) = (lately, self.errand) {
            return Err(self.just_failed(failure, now));
        }
        let turn = self.turn_to_ask().await?;
        if matches!(turn, Turn::Ours { waited: true, .. })
            && let Some(token) = self.served_by_the_other(kept, now).await?
        {
            return Ok(token);
        }
        if let Some(ended) = ended {
            self.sys.terminal.note(format!("note: {ended}"));
        }
        let session = self.session(self.human_deadline(), refusal.and_then(|refusal| refusal.claims.clone()));
        let outcome = self.acquire(&session).await;
        if let Some(error) = outcome.as_ref().err().filter(|_| session.prompted.get()) {
            self.note_sign_in_failure(error);
        }
        outcome
    }

    /// What the sign-in for another cluster brings us, which we have waited for since `began`: its
    /// refresh token, or its failure, which nobody wants to see twice.
    async fn served_by_the_other(&self, kept: &Kept, began: u64) -> Result<Option<Token>, Error> {
        match self.renew(kept, self.machine_deadline()).await {
            Renewal::Done(token) => return Ok(Some(token)),
            Renewal::Failed(error) => return Err(error),
            Renewal::NeedsSignIn(_) => {}
        }
        let own = self.about();
        let same = |about: &About| about.client == own.client && about.cloud == own.cloud;
        let others = self.cache.slots().into_iter().map(|slot| slot.read());
        let mut failures =
            others.filter(|kept| kept.about.as_ref().is_some_and(same)).filter_map(|kept| kept.sign_in_failure);
        failures
            .find(|failure| failure.on >= began)
            .map_or(Ok(None), |failure| Err(self.just_failed(&failure, self.now())))
    }

    /// The only person who is meant, if somebody was named.
    pub(super) fn only(&self) -> Option<String> {
        let named = self.login().person().and_then(|person| person.account).map(String::from);
        named.or_else(|| self.who().map(String::from))
    }

    /// Whether somebody else than the person who was served here before wants to sign in.
    pub(super) fn wants_another_than(&self, kept: &Kept) -> bool {
        let other = |who| !kept.account.as_ref().is_some_and(|account| account.is_called(who));
        self.who().is_some_and(other)
    }

    /// Who wants to sign in by hand, if that was said.
    fn who(&self) -> Option<&str> {
        if let Errand::SignIn(who) = self.errand { who } else { None }
    }

    pub(super) fn note_sign_in_failure(&self, error: &Error) {
        let (what, remedy) = (error.what().to_owned(), error.advice().to_owned());
        let failure = SignInFailure { on: self.now(), what, remedy };
        let kept = self.read();
        let about = kept.about.or_else(|| Some(self.about()));
        self.write(&Kept { sign_in_failure: Some(failure), about, ..kept });
    }

    fn nobody_there(&self, why: &str, ended: Option<&str>) -> Error {
        let program = self.sys.called_as();
        let what = "signing in needs a person, and nobody would see the prompt";
        let what = ended.map_or_else(|| what.to_owned(), |ended| format!("{ended}; {what}"));
        Error::new(&situation::NOBODY_THERE, what).from_source(why).remedy(format!(
            "run `{}` in a terminal, or sign in without a person ({program} convert-kubeconfig -l spn)",
            self.spec.by_hand(program)
        ))
    }

    fn just_failed(&self, failure: &SignInFailure, now: u64) -> Error {
        let ago = now.saturating_sub(failure.on);
        let wait = SIGN_IN_PAUSE.saturating_sub(ago);
        let advice =
            Some(&failure.remedy).filter(|advice| !advice.is_empty() && !advice.starts_with("run the command again"));
        let advice = advice.map(|advice| format!("{advice}; ")).unwrap_or_default();
        let by_hand = self.spec.by_hand(self.sys.called_as());
        Error::new(&situation::SIGN_IN_JUST_FAILED, format!("a sign-in failed {ago} s ago: {}", failure.what))
            .remedy(format!("{advice}the next one is possible in {wait} s, or now with `{by_hand}`"))
    }
}
