//! The exchange of a federated token for one of Entra's, and what is done and said when no federated
//! credential matches.

use std::time::Duration;

use serde_json::json;

use crate::azure::id::ClientId;
use crate::entra::token::{ClientCredential, TokenError, client_credentials};
use crate::entra::token_proxy::TokenProxy;
use crate::entra::{Session, TokenRequest, TokenResponse};
use crate::error::{Error, ErrorKind, one_line};
use crate::secret::Secret;
use crate::shell;

use super::{AssertionClaims, AssertionSource, SOURCE_FLAG};

/// One exchange.
pub(crate) struct Exchange<'a> {
    /// The sign-in under way.
    pub session: &'a Session<'a>,
    /// What is asked for.
    pub request: &'a TokenRequest,
    /// The application or managed identity.
    pub client: &'a ClientId,
    /// Where its proof comes from.
    pub source: &'a dyn AssertionSource,
    /// What stands between us and Entra, in a pod with an identity binding.
    pub proxy: Option<&'a TokenProxy>,
}

/// No credential of the application matches: none at all, issuer, audience, subject, the subject of
/// an assertion of Microsoft's own, the subject's upper and lower case.
const MISMATCH: [u32; 6] = [70021, 700_211, AUDIENCE, 700_213, 7_002_137, CASE];
/// The audience is another one.
const AUDIENCE: u32 = 700_212;
/// The subject is the same but for upper and lower case.
const CASE: u32 = 7_002_138;
/// Of these, the ones that waiting does not mend.
const MISMATCH_FOR_GOOD: [u32; 2] = [7_002_137, CASE];
/// The assertion's time is over.
const EXPIRED: [u32; 2] = [700_024, 500_133];

/// A new credential takes a minute or so to be known everywhere (Entra, workload identity federation,
/// important considerations); after these pauses the exchange is tried again.
const PAUSES: [Duration; 3] = [Duration::from_secs(5), Duration::from_secs(10), Duration::from_secs(20)];

impl Exchange<'_> {
    /// Exchanges a fresh token of the source, again with another one where that can help.
    ///
    /// # Errors
    /// No token could be had, or Entra's refusal of it.
    pub(crate) async fn run(&self) -> Result<TokenResponse, Error> {
        let mut pauses = self.pauses().into_iter();
        let (mut told, mut renewed) = (false, false);
        let mut assertion = self.fetch().await?;
        loop {
            let failure = match self.ask(&assertion).await {
                Ok(grant) => return Ok(grant),
                Err(failure) => failure,
            };
            if is(&failure, &MISMATCH) {
                let waits = !is(&failure, &MISMATCH_FOR_GOOD);
                if !std::mem::replace(&mut told, true) {
                    self.tell_mismatch(&assertion, if waits { pauses.as_slice() } else { &[] });
                }
                let Some(pause) = pauses.next().filter(|pause| waits && *pause < self.left()) else {
                    return Err(self.mismatch(failure));
                };
                self.session.sys.clock.sleep(pause).await;
                assertion = self.fetch().await?;
            } else if is(&failure, &EXPIRED) && !std::mem::replace(&mut renewed, true) {
                let fresh = self.fetch().await?;
                if fresh == assertion {
                    return Err(self.expired(failure, &assertion, "see to it that the source renews its token"));
                }
                assertion = fresh;
            } else if is(&failure, &EXPIRED) {
                let remedy = "the source gives out tokens that have ended: look at its clock";
                return Err(self.expired(failure, &assertion, remedy));
            } else {
                return Err(self.refused(failure));
            }
        }
    }

    fn left(&self) -> Duration {
        self.session.deadline.left(&*self.session.sys.clock)
    }

    async fn fetch(&self) -> Result<Secret, Error> {
        self.session.sys.terminal.detail(1, || format!("the federated token comes from {}", self.described()));
        self.source.fetch(self.session.sys, self.session.deadline).await
    }

    async fn ask(&self, assertion: &Secret) -> Result<TokenResponse, TokenError> {
        client_credentials(self.session, self.request, self.client, ClientCredential::Assertion(assertion), self.proxy)
            .await
    }

    /// The pauses that there is time for, together; none where they were of no use just now: kubectl
    /// starts a plugin that fails six times, and would wait for all of them.
    fn pauses(&self) -> Vec<Duration> {
        if matches!(self.session.recent_failure, Some((ErrorKind::FederationMismatch, _))) {
            return Vec::new();
        }
        let left = self.left();
        let mut together = Duration::ZERO;
        PAUSES
            .into_iter()
            .take_while(|pause| {
                together += *pause;
                together < left
            })
            .collect()
    }

    /// Says what Entra compares, and what would make it match, before any waiting: whoever makes the
    /// credential now may still be in time. The token itself is never shown.
    fn tell_mismatch(&self, assertion: &Secret, pauses: &[Duration]) {
        let claims = AssertionClaims::of(assertion.expose()).unwrap_or_default();
        let say = |line: String| self.session.sys.terminal.say(line);
        let shown = |claim: &Option<String>| claim.as_deref().map_or("(none)".into(), bounded);
        say(format!("no federated credential of {} matches the token from {}:", self.client, self.described()));
        say(format!("  issuer    {}", shown(&claims.issuer)));
        say(format!("  subject   {}", shown(&claims.subject)));
        let audiences = Some(claims.audiences.join(", ")).filter(|audiences| !audiences.is_empty());
        say(format!("  audience  {}", shown(&audiences)));
        if let Some(hint) = claims.subject.as_deref().and_then(immutable_subject) {
            say(hint);
        }
        say("this makes one (for a managed identity: az identity federated-credential create, with the same values):"
            .into());
        say(format!("  {}", self.creation(&claims)));
        if !pauses.is_empty() {
            let time = pauses.iter().sum::<Duration>().as_secs();
            let terminal = &self.session.sys.terminal;
            terminal.note(format!("a new one takes a while to be known everywhere: trying again for {time} s"));
        }
    }

    /// The command that makes the credential.
    fn creation(&self, claims: &AssertionClaims) -> String {
        let text = |claim: &Option<String>| claim.as_deref().map(bounded).unwrap_or_default();
        let (issuer, subject) = (text(&claims.issuer), text(&claims.subject));
        let audiences = [bounded(self.audience(claims))];
        let parameters =
            json!({ "name": credential_name(&subject), "issuer": issuer, "subject": subject, "audiences": audiences });
        let (client, parameters) = (shell::word(self.client.as_str()), shell::word(&parameters.to_string()));
        format!("az ad app federated-credential create --id {client} --parameters {parameters}")
    }

    /// A credential has exactly one audience: the usual one, if the token is for it.
    fn audience<'c>(&self, claims: &'c AssertionClaims) -> &'c str {
        let usual = self.request.authority.federated_audience();
        let mut audiences = claims.audiences.iter().map(String::as_str);
        audiences.clone().find(|audience| *audience == usual).or_else(|| audiences.next()).unwrap_or(usual)
    }

    fn mismatch(&self, failure: TokenError) -> Error {
        let closer = self.closer_remedy(&failure);
        let error = Error::from(failure).from_source(format!("client {}, {}", self.client, self.described()));
        match closer {
            Some(remedy) => error.remedy(remedy),
            None => error,
        }
    }

    /// What to do where Entra says more closely what does not match.
    fn closer_remedy(&self, failure: &TokenError) -> Option<String> {
        if is(failure, &[CASE]) {
            return Some("make a credential whose subject has the same upper and lower case as the token's".into());
        }
        let other = if self.source.asks_for_an_audience() {
            "ask for tokens for another one with --federated-audience".to_owned()
        } else {
            format!("have the token issued for {}", self.request.authority.federated_audience())
        };
        is(failure, &[AUDIENCE]).then(|| format!("make a credential for this audience, or {other}"))
    }

    /// Entra looks at the times in the token, and the clock of this machine has no part in it.
    fn expired(&self, failure: TokenError, assertion: &Secret, remedy: &str) -> Error {
        let age = self.age(assertion).map(|age| format!(", {age}")).unwrap_or_default();
        let error = Error::from(failure).from_source(format!("the token from {}{age}", self.described()));
        if error.kind() != ErrorKind::AssertionInvalid {
            return error;
        }
        error.remedy(format!("{remedy}, or name another source with {SOURCE_FLAG}"))
    }

    /// A token that is no good for another reason than its time, or something else altogether.
    fn refused(&self, failure: TokenError) -> Error {
        let error = Error::from(failure);
        if error.kind() != ErrorKind::AssertionInvalid {
            return error;
        }
        error
            .from_source(format!("the token from {}", self.described()))
            .remedy("see to it that the token is whole and that its issuer publishes the key that signed it")
    }

    /// How old a token is, by this machine's clock.
    fn age(&self, assertion: &Secret) -> Option<String> {
        let claims = AssertionClaims::of(assertion.expose())?;
        let now = self.session.sys.clock.now();
        let issued = claims.issued_on.map(|on| format!("issued {} ago", minutes(now.saturating_sub(on))));
        let ended = claims.expires_on.filter(|on| *on <= now).map(|on| format!("expired {} ago", minutes(now - on)));
        let known: Vec<String> = [issued, ended].into_iter().flatten().collect();
        (!known.is_empty()).then(|| known.join(" and "))
    }

    fn described(&self) -> String {
        one_line(&self.source.described())
    }
}

fn is(failure: &TokenError, codes: &[u32]) -> bool {
    matches!(failure, TokenError::Refused(refusal, _) if refusal.has_one_of(codes))
}

fn minutes(seconds: u64) -> String {
    if seconds < 120 { format!("{seconds} s") } else { format!("{} min", seconds / 60) }
}

/// Entra takes issuers and subjects of at most 600 characters.
fn bounded(claim: &str) -> String {
    one_line(claim).chars().take(600).collect()
}

/// A name that Entra takes: letters, digits and dashes, at most 120 of them.
fn credential_name(subject: &str) -> String {
    let dashed: String = subject.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(110).collect();
    format!("kubectl-{}", dashed.trim_matches('-')).trim_matches('-').to_owned()
}

/// What to know of GitHub's immutable subjects, `repo:OWNER@1/REPOSITORY@2:…`, which repositories have
/// that were made or renamed since July 2026.
fn immutable_subject(subject: &str) -> Option<String> {
    let names = subject.strip_prefix("repo:")?.split(':').next()?;
    let numbered = |name: &str| {
        name.rsplit_once('@').is_some_and(|(_, id)| !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit()))
    };
    names.split('/').any(numbered).then(|| {
        "GitHub adds its numbers (@…) to the subjects of new and renamed repositories: credentials without them no longer match".into()
    })
}

#[cfg(test)]
mod tests {

    use super::super::fake::{World, answer, chosen, jwt, token, wait};
    use super::*;
    use crate::os::clock::Deadline;
    use crate::sys::http::Response;

    type Answers = Vec<Result<Response, Error>>;

    /// Exchanges tokens of GitHub; the answers are GitHub's and Entra's in turn.
    fn exchanged(answers: Answers, limit: u64) -> (World, Result<TokenResponse, Error>) {
        let env = [("ACTIONS_ID_TOKEN_REQUEST_URL", "https://gh/?x"), ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "rt")];
        with_source("", env, answers, limit)
    }

    fn with_source<const N: usize>(
        source: &str,
        env: [(&str, &str); N],
        answers: Answers,
        limit: u64,
    ) -> (World, Result<TokenResponse, Error>) {
        let world = World::answering(answers);
        let session = Session::new(&world.sys, Deadline::after(&*world.sys.clock, Duration::from_secs(limit)));
        let request = crate::entra::fake::request(crate::entra::Audience::scope("SRV"));
        let client = ClientId::parse("CID").unwrap();
        let source = chosen(source, env);
        let exchange =
            Exchange { session: &session, request: &request, client: &client, source: &*source, proxy: None };
        let outcome = wait(exchange.run());
        drop(session);
        (world, outcome)
    }

    fn given(signature: &str) -> Result<Response, Error> {
        answer(200, &token("repo:O/R:ref:refs/heads/main", signature))
    }

    fn granted() -> Result<Response, Error> {
        answer(200, r#"{"access_token":"at","token_type":"Bearer","expires_in":3599}"#)
    }

    fn refused(code: u32) -> Result<Response, Error> {
        answer(
            401,
            &format!(r#"{{"error":"invalid_client","error_codes":[{code}],"error_description":"AADSTS{code}: No."}}"#),
        )
    }

    /// The signatures of the assertions that Entra was shown.
    fn assertions(world: &World) -> Vec<String> {
        let forms = world.forms();
        let form =
            |form: &String| form.split('&').find_map(|field| field.strip_prefix("client_assertion=").map(String::from));
        forms.iter().filter_map(form).map(|token| token.rsplit('.').next().unwrap().to_owned()).collect()
    }

    #[test]
    fn two_requests_and_no_word() {
        let (world, grant) = exchanged(vec![given("one"), granted()], 60);
        assert_eq!(grant.unwrap().token.access_token.expose(), "at");
        assert_eq!((world.requests().len(), world.said().as_str(), world.seconds()), (2, "", 0));
        assert_eq!(
            world.forms()[1].replace(&token("repo:O/R:ref:refs/heads/main", "one"), "JWT"),
            "grant_type=client_credentials&scope=SRV%2F.default&client_id=CID\
             &client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_assertion=JWT"
        );
    }

    #[test]
    fn a_credential_that_is_new_is_waited_for_with_fresh_tokens() {
        let answers = vec![given("one"), refused(700_213), given("two"), refused(70021), given("three"), granted()];
        let (world, grant) = exchanged(answers, 60);
        assert!(grant.is_ok());
        assert_eq!((assertions(&world), world.seconds()), (vec!["one".into(), "two".into(), "three".into()], 15));
        assert_eq!(
            world.said(),
            r#"no federated credential of CID matches the token from GitHub Actions (ACTIONS_ID_TOKEN_REQUEST_URL):
  issuer    https://issuer.example
  subject   repo:O/R:ref:refs/heads/main
  audience  api://AzureADTokenExchange
this makes one (for a managed identity: az identity federated-credential create, with the same values):
  az ad app federated-credential create --id CID --parameters '{"audiences":["api://AzureADTokenExchange"],"issuer":"https://issuer.example","name":"kubectl-repo-O-R-ref-refs-heads-main","subject":"repo:O/R:ref:refs/heads/main"}'
a new one takes a while to be known everywhere: trying again for 35 s
"#
        );
    }

    #[test]
    fn a_mismatch_that_stays() {
        let answers =
            ["one", "two", "three", "four"].into_iter().flat_map(|one| [given(one), refused(700_213)]).collect();
        let (world, grant) = exchanged(answers, 60);
        assert_eq!(
            grant.unwrap_err().to_string(),
            "no federated credential of the app matches the assertion, AADSTS700213 (client CID, GitHub Actions \
             (ACTIONS_ID_TOKEN_REQUEST_URL)); ask an administrator of the tenant to compare issuer, subject and \
             audience with the app's federated credential, letter by letter"
        );
        assert_eq!(world.seconds(), 35);
        assert_eq!(world.said().matches("no federated credential").count(), 1);
    }

    #[test]
    fn no_longer_than_there_is_time() {
        let (world, grant) = exchanged(vec![given("one"), refused(700_213), given("two"), refused(700_213)], 10);
        assert!(grant.unwrap_err().kind() == ErrorKind::FederationMismatch);
        assert!(world.seconds() == 5 && world.said().ends_with("trying again for 5 s\n"), "{}", world.said());
        let (world, _) = exchanged(vec![given("one"), refused(700_213)], 3);
        assert!(world.seconds() == 0 && !world.said().contains("trying again"));
    }

    #[test]
    fn letter_case_is_no_matter_of_time() {
        let (world, grant) = exchanged(vec![given("one"), refused(7_002_138)], 60);
        let error = grant.unwrap_err().to_string();
        assert!(
            error.ends_with("to make a credential whose subject has the same upper and lower case as the token's"),
            "{error}"
        );
        assert!(world.said().contains("subject   repo:O/R") && !world.said().contains("trying again"));
    }

    #[test]
    fn an_audience_can_be_asked_for() {
        let (_, grant) = exchanged(vec![given("one"), refused(700_212)], 1);
        let error = grant.unwrap_err().to_string();
        assert!(error.contains("tokens for another one with --federated-audience"), "{error}");
    }

    #[test]
    fn an_expired_token_is_replaced_once() {
        let (world, grant) = exchanged(vec![given("one"), refused(700_024), given("two"), granted()], 60);
        assert!(grant.is_ok());
        assert_eq!((assertions(&world), world.said()), (vec!["one".into(), "two".into()], String::new()));
    }

    #[test]
    fn an_expired_token_is_told_with_its_age() {
        // The clock of the tests begins at 1 800 000 000.
        let old = |signature| answer(200, &jwt(r#"{"sub":"s","iat":1799999000,"exp":1799999970}"#, signature));
        let (_, grant) = exchanged(vec![old("one"), refused(700_024), old("two"), refused(700_024)], 60);
        assert_eq!(
            grant.unwrap_err().to_string(),
            "the assertion is expired or not valid, AADSTS700024 (the token from GitHub Actions (ACTIONS_ID_TOKEN_REQUEST_URL), \
             issued 16 min ago and expired 30 s ago); the source gives out tokens that have ended: look at its clock, \
             or name another source with --federated-token-source"
        );
    }

    #[test]
    fn the_same_token_is_not_shown_twice() {
        let env = [("JWT", token("s", "one"))];
        let env = [("JWT", env[0].1.as_str())];
        let (world, grant) = with_source("env:JWT", env, vec![refused(700_024)], 60);
        let error = grant.unwrap_err().to_string();
        assert!(
            error.ends_with(
                "see to it that the source renews its token, or name another source with --federated-token-source"
            ),
            "{error}"
        );
        assert_eq!(world.requests().len(), 1);
    }

    #[test]
    fn other_refusals_are_final() {
        let (world, grant) = exchanged(vec![given("one"), refused(700_016)], 60);
        assert!(grant.unwrap_err().kind() == ErrorKind::AppUnknown);
        assert_eq!(world.said(), "");
    }

    #[test]
    fn a_source_that_fails_meanwhile_ends_it() {
        let (_, grant) = exchanged(vec![given("one"), refused(700_213), answer(403, "")], 60);
        assert!(grant.unwrap_err().to_string().starts_with("GitHub answered HTTP 403"));
    }

    #[test]
    fn claims_cannot_steer_the_terminal_and_the_token_is_not_shown() {
        let odd = jwt(r#"{"iss":"\u001b[31m'$(x)","sub":"a\nb","aud":[]}"#, "canary");
        let (world, grant) = with_source("env:JWT", [("JWT", &odd)], vec![refused(700_211)], 1);
        let all = format!("{}{}", world.said(), grant.unwrap_err());
        assert!(!all.contains('\u{1b}') && !all.contains("canary"), "{all}");
        assert!(all.contains("  subject   a b\n") && all.contains(r#""issuer":"[31m'\''$(x)""#), "{all}");
        assert!(all.contains("  audience  (none)\n"), "{all}");
    }

    #[test]
    fn immutable_subjects_get_a_hint() {
        for subject in ["repo:O@1/R@2:environment:E", "repo:O@12/R:pull_request"] {
            assert!(immutable_subject(subject).is_some(), "{subject}");
        }
        for subject in ["repo:O/R:environment:E@1", "repo:O/R@x:ref", "sc://o@1/p", "repo:O@/R"] {
            assert!(immutable_subject(subject).is_none(), "{subject}");
        }
    }

    #[test]
    fn names_of_credentials() {
        assert_eq!(credential_name("system:serviceaccount:ns:sa"), "kubectl-system-serviceaccount-ns-sa");
        assert_eq!(credential_name("::"), "kubectl");
        assert!(credential_name(&"x".repeat(600)).len() <= 120);
    }
}
