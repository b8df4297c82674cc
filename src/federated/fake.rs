//! A world for tests: sources in environments, scripted answers and programs, and what was asked and said.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::Write;
use std::rc::Rc;
use std::time::Duration;

use crate::cache_key::CacheKey;
use crate::error::Error;
use crate::os::BoxFuture;
use crate::os::clock::fake::FakeClock;
use crate::os::clock::{Clock, Deadline};
use crate::os::env::Env;
use crate::os::process::{ProgramCall, ProgramOutput, ProgramRunner};
use crate::secret::Secret;
use crate::sys::Sys;
use crate::sys::http::Response;
use crate::sys::http::fake::{FakeHttp, Recorded};
use crate::terminal::Terminal;

pub(crate) use super::assertion::fake::jwt;
use super::{AssertionSource, FederatedTokenSource, NamedSource, SOURCE_FLAG, SourceRequest};

/// Asks for tokens in `env` as `change` has it; as it comes, nothing is named and the cloud is the public one.
pub(crate) fn with_request<const N: usize, T>(
    env: [(&str, &str); N],
    change: impl FnOnce(&mut SourceRequest),
    then: impl FnOnce(&SourceRequest) -> T,
) -> T {
    let env = Env::from(env);
    let mut request = SourceRequest {
        env: &env,
        named: None,
        file: None,
        service_connection: None,
        audience: Box::new(|| Ok("api://AzureADTokenExchange".into())),
        azurerm: false,
    };
    change(&mut request);
    then(&request)
}

/// The source that the user names by flag; nothing for an empty text.
pub(crate) fn named(text: &str) -> Option<NamedSource> {
    let source = (!text.is_empty()).then(|| FederatedTokenSource::parse(text).unwrap())?;
    Some(NamedSource { source, named_by: SOURCE_FLAG.into(), by_user: true })
}

/// The source of a request, or the error.
pub(crate) fn choose(request: &SourceRequest) -> Result<Option<Box<dyn AssertionSource>>, String> {
    super::choose(request).map_err(|error| error.to_string())
}

/// The source `text` in `env`, or the one that is recognised there, or the error.
pub(crate) fn source<const N: usize>(
    text: &str,
    env: [(&str, &str); N],
) -> Result<Option<Box<dyn AssertionSource>>, String> {
    with_request(env, |request| request.named = named(text), choose)
}

/// The source that must be there.
pub(crate) fn chosen<const N: usize>(text: &str, env: [(&str, &str); N]) -> Box<dyn AssertionSource> {
    source(text, env).unwrap().expect("a source")
}

/// The source that must be there with `change`.
pub(crate) fn chosen_with<const N: usize>(
    env: [(&str, &str); N],
    change: impl FnOnce(&mut SourceRequest),
) -> Box<dyn AssertionSource> {
    with_request(env, change, choose).unwrap().expect("a source")
}

/// How the source that is chosen is told; nothing where there is none.
pub(crate) fn described<const N: usize>(text: &str, env: [(&str, &str); N]) -> String {
    source(text, env).unwrap().map(|source| source.described()).unwrap_or_default()
}

/// A token of an issuer, a subject and the usual audience.
pub(crate) fn token(subject: &str, signature: &str) -> String {
    jwt(
        &format!(r#"{{"iss":"https://issuer.example","sub":"{subject}","aud":"api://AzureADTokenExchange"}}"#),
        signature,
    )
}

/// What names the place of `source`'s tokens.
pub(crate) fn key_of(source: &dyn AssertionSource) -> CacheKey {
    let mut key = CacheKey::new("token");
    source.add_to_key(&mut key);
    key
}

/// An answer.
#[expect(clippy::unnecessary_wraps, reason = "scripted answers are results")]
pub(crate) fn answer(status: u16, body: &str) -> Result<Response, Error> {
    Ok(Response { status, body: body.into(), ..Response::default() })
}

/// Programs that end as they are told to, and the calls.
#[derive(Default, Clone)]
struct FakePrograms {
    ends: Rc<RefCell<VecDeque<ProgramOutput>>>,
    calls: Rc<RefCell<Vec<String>>>,
}

impl ProgramRunner for FakePrograms {
    fn run<'a>(&'a self, call: &'a ProgramCall, _: Duration, _: &'a dyn Clock) -> BoxFuture<'a, ProgramOutput> {
        self.calls.borrow_mut().push(format!("{} {:?}", call.program.display(), call.arguments));
        let ended = self.ends.borrow_mut().pop_front().expect("an end for every program");
        Box::pin(std::future::ready(Ok(ended)))
    }

    fn for_env(&self, _: &Env) -> Box<dyn ProgramRunner> {
        Box::new(self.clone())
    }
}

/// Keeps what is written.
#[derive(Default, Clone)]
struct Sink(Rc<RefCell<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Waits for `work`, which never really waits.
pub(crate) fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
}

/// A world with what happened in it.
pub(crate) struct World {
    pub(crate) sys: Sys,
    clock: FakeClock,
    requests: Rc<RefCell<Vec<Recorded>>>,
    forms: Rc<RefCell<Vec<String>>>,
    calls: Rc<RefCell<Vec<String>>>,
    said: Sink,
}

impl World {
    pub(crate) fn answering(answers: Vec<Result<Response, Error>>) -> Self {
        Self::new(answers, Vec::new(), Env::default())
    }

    /// Programs lie in `/bin`.
    pub(crate) fn running(ends: Vec<(Option<i32>, &str, &str)>) -> Self {
        let ended = |(code, stdout, stderr): (Option<i32>, &str, &str)| ProgramOutput {
            code,
            stdout: Secret::new(stdout),
            stderr: stderr.to_owned(),
        };
        Self::new(Vec::new(), ends.into_iter().map(ended).collect(), Env::from([("PATH", "/bin")]))
    }

    fn new(answers: Vec<Result<Response, Error>>, ends: Vec<ProgramOutput>, env: Env) -> Self {
        let (clock, said) = (FakeClock::default(), Sink::default());
        let http = FakeHttp::answering(answers);
        let tools = FakePrograms { ends: Rc::new(RefCell::new(ends.into())), ..FakePrograms::default() };
        Self {
            clock: clock.clone(),
            requests: http.requests.clone(),
            forms: http.forms.clone(),
            calls: tools.calls.clone(),
            sys: Sys {
                env,
                clock: Rc::new(clock),
                http: Box::new(http),
                programs: Box::new(tools),
                terminal: Terminal::to(said.clone()),
                ..Sys::fake()
            },
            said,
        }
    }

    pub(crate) fn deadline(&self) -> Deadline {
        Deadline::after(&self.clock, Duration::from_secs(60))
    }

    /// The token that `source` gives, or why it gives none.
    pub(crate) fn fetch(&self, source: &dyn AssertionSource) -> Result<String, String> {
        let outcome = wait(source.fetch(&self.sys, self.deadline()));
        outcome.map(|token| token.expose().to_owned()).map_err(|error| error.to_string())
    }

    /// The requests in short: `Get https://… | Name: value | …`.
    pub(crate) fn requests(&self) -> Vec<String> {
        let short = |Recorded { method, url, headers, .. }: &Recorded| {
            let headers: Vec<_> = headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
            [vec![format!("{method:?} {url}")], headers].concat().join(" | ")
        };
        self.requests.borrow().iter().map(short).collect()
    }

    pub(crate) fn forms(&self) -> Vec<String> {
        self.forms.borrow().clone()
    }

    pub(crate) fn calls(&self) -> Vec<String> {
        self.calls.borrow().clone()
    }

    pub(crate) fn said(&self) -> String {
        String::from_utf8(self.said.0.borrow().clone()).unwrap()
    }

    pub(crate) fn seconds(&self) -> u64 {
        self.clock.monotonic().as_secs()
    }
}
