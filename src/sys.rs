//! Everything outside the process comes in through [`Sys`]: arguments, environment, clock, HTTP,
//! the programs of others and the terminal. Clippy forbids the ambient ways, so what a function can reach is what it is
//! given.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::browser::{Browser, SystemBrowser};
use crate::error::Error;
use crate::http::{Http, ReqwestHttp};
use crate::process::{ProgramRunner, SystemTools};
use crate::situation;
use crate::terminal::Terminal;

/// A future of this crate: single-threaded, boxed, ending in our error.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + 'a>>;

/// The world as one process sees it.
pub struct Sys {
    /// The arguments, the program's name first.
    pub args: Vec<String>,
    /// The environment as it was at the start.
    pub env: Env,
    /// Time.
    pub clock: Box<dyn Clock>,
    /// The network; nothing is set up before the first request.
    pub http: Box<dyn Http>,
    /// The programs of others; nothing is started before one is asked.
    pub tools: Box<dyn ProgramRunner>,
    /// What opens a browser.
    pub browser: Box<dyn Browser>,
    /// The command line of the program that has started us; empty where it can't be known.
    pub parent: fn() -> Vec<String>,
    /// What people read.
    pub terminal: Terminal,
}

impl Sys {
    /// The world of this process.
    ///
    /// # Errors
    /// An argument that is not UTF-8.
    #[expect(clippy::disallowed_methods, reason = "the one place that takes the snapshot")]
    pub fn of_this_process() -> Result<Self, Error> {
        let args = std::env::args_os().enumerate().map(readable_argument).collect::<Result<_, _>>()?;
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Ok(Self::around(args, Env { variables, of_entry: Vec::new() }))
    }

    fn around(args: Vec<String>, env: Env) -> Self {
        Self {
            args,
            http: Box::new(ReqwestHttp::new(&env)),
            tools: Box::new(SystemTools::new(&env)),
            terminal: Terminal::stderr(&env),
            browser: Box::new(SystemBrowser),
            parent: crate::process::parent_command,
            env,
            clock: Box::new(SystemClock::start()),
        }
    }

    /// The world as kubectl would show it to the program of an exec entry with these `variables`.
    #[must_use]
    pub fn for_exec_entry(&self, variables: &[(String, String)]) -> Self {
        let world = Self::around(self.args.clone(), self.env.with_entry(variables));
        world.terminal.set_verbosity(self.terminal.verbosity());
        let of_user = USER_ONLY.into_iter().filter(|name| world.env.is_overridden(name));
        let of_machine = variables.iter().map(|(name, _)| name.as_str()).filter(|name| is_of_machine(name));
        for name in of_user.chain(of_machine) {
            world.terminal.detail(1, || format!("the entry's {name} does not count here"));
        }
        world
    }
}

impl Sys {
    /// The name that we were called by, for messages, help and the entries that convert writes.
    pub fn called_as(&self) -> &'static str {
        self.args.first().and_then(|path| own_name(path)).unwrap_or(OWN_NAMES[0])
    }

    /// Waits, in code that is not asynchronous.
    pub fn pause(&self, time: Duration) {
        if let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_time().build() {
            runtime.block_on(async { self.clock.sleep(time).await });
        }
    }
}

/// The names that this program answers to.
pub const OWN_NAMES: [&str; 3] = ["kubentra", "kubelogin", "kubectl-entra"];

/// Which of our names the command `path` ends in: any directory, with or without `.exe`, and
/// without regard to case, as file systems on Windows and macOS have it.
pub fn own_name(path: &str) -> Option<&'static str> {
    let file = path.rsplit(['/', '\\']).next()?.to_ascii_lowercase();
    let stem = file.strip_suffix(".exe").unwrap_or(&file);
    OWN_NAMES.into_iter().find(|name| *name == stem)
}

fn readable_argument((index, argument): (usize, std::ffi::OsString)) -> Result<String, Error> {
    argument.into_string().map_err(|_| {
        Error::new(&situation::USAGE, format!("argument {index} is not valid UTF-8"))
            .remedy("write paths and values in UTF-8")
    })
}

/// What chooses the programs that are started and the CAs that are believed. Whoever writes a kubeconfig
/// does not choose them for `login`, which runs no command of an entry: these are looked up with
/// [`Env::user_value`].
const USER_ONLY: [&str; 6] = ["PATH", "BROWSER", "DISPLAY", "WAYLAND_DISPLAY", "SSL_CERT_FILE", "SSL_CERT_DIR"];

/// What the variables begin with by which a machine, a pod or a build job says where its own proof is
/// asked for: an entry that named another place would be sent it.
const MACHINE_ONLY: [&str; 11] = [
    "ACTIONS_ID_TOKEN_",
    "ARM_OIDC_REQUEST_",
    "AZURE_KUBERNETES_",
    "AZURE_POD_IDENTITY_",
    "BUILDKITE_AGENT_",
    "IDENTITY_",
    "IMDS_",
    "KUBERNETES_EXEC_INFO",
    "MSI_",
    "SYSTEM_ACCESSTOKEN",
    "SYSTEM_OIDC",
];

fn is_of_machine(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    MACHINE_ONLY.iter().any(|start| name.starts_with(start))
}

/// A snapshot of the environment. A variable that is set to the empty string counts as unset:
/// pipelines export empty secrets all the time.
///
/// A plain list: some twenty look-ups in some fifty variables cost less than building a map does.
#[derive(Default, Clone)]
pub struct Env {
    variables: Vec<(String, String)>,
    /// What an exec entry sets over them.
    of_entry: Vec<(String, String)>,
}

impl Env {
    /// The value of `name`, if it is set and not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        // Of two in an entry the later one wins, as by kubectl.
        match self.of_entry.iter().rfind(|(known, _)| is_same(known, name)) {
            Some((_, value)) => Some(value.as_str()).filter(|value| !value.is_empty()),
            None => self.user_value(name),
        }
    }

    /// The value that the user's own environment gives `name`, as if no exec entry set it.
    pub fn user_value(&self, name: &str) -> Option<&str> {
        let (_, value) = self.variables.iter().find(|(known, _)| is_same(known, name))?;
        Some(value.as_str()).filter(|value| !value.is_empty())
    }

    /// Whether an exec entry gives `name` another value than the user, so that [`Self::user_value`] passes
    /// something over.
    pub fn is_overridden(&self, name: &str) -> bool {
        self.get(name) != self.user_value(name)
    }

    /// The value of `name`, unless an exec entry says it: whoever writes a kubeconfig does not decide whom
    /// the user trusts.
    pub fn trusted(&self, name: &str) -> Option<&str> {
        if self.of_entry.iter().any(|(known, _)| is_same(known, name)) { None } else { self.get(name) }
    }

    /// The same with what an exec entry sets, but for what belongs to the machine.
    #[must_use]
    pub fn with_entry(&self, variables: &[(String, String)]) -> Self {
        let counts = variables.iter().filter(|(name, _)| !is_of_machine(name)).cloned();
        Self { of_entry: self.of_entry.iter().cloned().chain(counts).collect(), ..self.clone() }
    }

    /// What an exec entry sets, in its order.
    pub fn of_entry(&self) -> &[(String, String)] {
        &self.of_entry
    }

    /// The first of `names` that is set, with its value.
    pub fn first<'n>(&self, names: &[&'n str]) -> Option<(&'n str, &str)> {
        names.iter().find_map(|name| Some((*name, self.get(name)?)))
    }

    /// The same without `names`.
    #[must_use]
    pub fn without(&self, names: &[&str]) -> Self {
        let rest = |variables: &[(String, String)]| {
            let is_wanted = |known: &str| !names.iter().any(|name| is_same(known, name));
            variables.iter().filter(|(known, _)| is_wanted(known)).cloned().collect()
        };
        Self { variables: rest(&self.variables), of_entry: rest(&self.of_entry) }
    }

    /// Every variable that is set and not empty.
    pub fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        let said = |name: &str| self.of_entry.iter().any(|(known, _)| is_same(known, name));
        let own = self.variables.iter().filter(move |(name, _)| !said(name));
        let last = |index: usize, name: &str| !self.of_entry[index + 1..].iter().any(|(later, _)| is_same(later, name));
        let of_entry = self.of_entry.iter().enumerate().filter(move |(index, (name, _))| last(*index, name));
        let all = own.chain(of_entry.map(|(_, variable)| variable));
        all.map(|(name, value)| (name.as_str(), value.as_str())).filter(|(_, value)| !value.is_empty())
    }

    /// The user's home directory, found the way client-go finds it: `HOME`, and on Windows
    /// `HOMEDRIVE` with `HOMEPATH`, then `USERPROFILE`.
    pub fn home(&self) -> Option<std::path::PathBuf> {
        if let Some(home) = self.get("HOME") {
            return Some(home.into());
        }
        if !cfg!(windows) {
            return None;
        }
        let joined = self.get("HOMEDRIVE").zip(self.get("HOMEPATH")).map(|(drive, path)| format!("{drive}{path}"));
        joined.or_else(|| self.get("USERPROFILE").map(String::from)).map(Into::into)
    }
}

/// Whether two names mean one variable. Windows has `Path` and finds it as `PATH`.
fn is_same(known: &str, name: &str) -> bool {
    if cfg!(windows) { known.eq_ignore_ascii_case(name) } else { known == name }
}

impl<const N: usize> From<[(&str, &str); N]> for Env {
    fn from(pairs: [(&str, &str); N]) -> Self {
        let variables = pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        Self { variables, of_entry: Vec::new() }
    }
}

/// Time, so that tests can let it pass.
pub trait Clock {
    /// Seconds since the Unix epoch.
    fn now(&self) -> u64;
    /// Nanoseconds since the Unix epoch, where the order of what happens within a second counts.
    fn nanoseconds(&self) -> u64 {
        self.now().saturating_mul(1_000_000_000)
    }
    /// Time since some fixed moment; never goes back.
    fn monotonic(&self) -> Duration;
    /// Completes when `time` has passed.
    fn sleep(&self, time: Duration) -> Pin<Box<dyn Future<Output = ()>>>;
}

pub(crate) struct SystemClock(std::time::Instant);

impl SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the clock itself")]
    pub(crate) fn start() -> Self {
        Self(std::time::Instant::now())
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the clock itself")]
    fn now(&self) -> u64 {
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs()
    }

    #[expect(clippy::disallowed_methods, reason = "the clock itself")]
    fn nanoseconds(&self) -> u64 {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }

    #[expect(clippy::disallowed_methods, reason = "the clock itself")]
    fn sleep(&self, time: Duration) -> Pin<Box<dyn Future<Output = ()>>> {
        Box::pin(tokio::time::sleep(time))
    }
}

/// `seconds` since the Unix epoch as RFC 3339 in UTC. A moment beyond the year 9999 is reported as
/// that year's end.
pub fn rfc3339(seconds: u64) -> String {
    const LAST: &str = "9999-12-31T23:59:59Z";
    let moment = i64::try_from(seconds).ok().and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    moment.and_then(|moment| moment.format(&Rfc3339).ok()).unwrap_or_else(|| LAST.into())
}

/// A moment after which a piece of work is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline {
    end: Duration,
    given: Duration,
}

impl Deadline {
    /// The moment that lies `time` from now.
    pub fn after(clock: &dyn Clock, time: Duration) -> Self {
        Self { end: clock.monotonic().saturating_add(time), given: time }
    }

    /// The time that is left; zero once it is over.
    pub fn left(&self, clock: &dyn Clock) -> Duration {
        self.end.saturating_sub(clock.monotonic())
    }

    /// The time that was given at the start, for messages.
    pub fn given(&self) -> Duration {
        self.given
    }

    /// The earlier of the two.
    #[must_use]
    pub fn or_earlier(self, other: Self) -> Self {
        if other.end < self.end { other } else { self }
    }
}

#[cfg(test)]
pub(crate) mod fake {
    //! A clock that passes at once, for tests of waiting.

    use std::cell::Cell;
    use std::rc::Rc;

    use super::{Clock, Duration, Future, Pin};

    /// Time that passes only by sleeping.
    #[derive(Default, Clone)]
    pub(crate) struct FakeClock(pub(crate) Rc<Cell<Duration>>);

    impl Clock for FakeClock {
        fn now(&self) -> u64 {
            1_800_000_000 + self.0.get().as_secs()
        }

        fn monotonic(&self) -> Duration {
            self.0.get()
        }

        fn sleep(&self, time: Duration) -> Pin<Box<dyn Future<Output = ()>>> {
            self.0.set(self.0.get() + time);
            Box::pin(std::future::ready(()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_names_wherever_they_lie() {
        for (path, name) in [
            ("kubelogin", Some("kubelogin")),
            ("/opt/bin/kubentra", Some("kubentra")),
            ("C:\\Tools\\KubeLogin.EXE", Some("kubelogin")),
            ("./kubectl-entra", Some("kubectl-entra")),
            ("kubectl-oidc_login", None),
            ("/opt/kubelogin/other", None),
            ("", None),
        ] {
            assert_eq!(own_name(path), name, "{path}");
        }
    }

    #[test]
    fn an_empty_variable_is_unset() {
        let env = Env::from([("A", ""), ("B", "b")]);
        assert_eq!(env.get("A"), None);
        assert_eq!(env.first(&["A", "B"]), Some(("B", "b")));
    }

    #[test]
    fn the_variables_of_an_entry_lie_over_the_own_ones() {
        let own = Env::from([("A", "own"), ("B", "own"), ("C", "own")]);
        let entry = [("A", "first"), ("A", "last"), ("C", ""), ("D", "new")];
        let env = own.with_entry(&entry.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(["A", "B", "C", "D"].map(|name| env.get(name)), [Some("last"), Some("own"), None, Some("new")]);
        assert_eq!(["A", "B", "C", "D"].map(|name| env.trusted(name)), [None, Some("own"), None, None]);
        assert_eq!(
            ["A", "B", "C", "D"].map(|name| env.user_value(name)),
            [Some("own"), Some("own"), Some("own"), None]
        );
        assert_eq!(["A", "B", "C", "D"].map(|name| env.is_overridden(name)), [true, false, true, true]);
        assert!(!own.with_entry(&[("A".into(), "own".into())]).is_overridden("A"), "it changes nothing");
        assert_eq!(env.all().collect::<Vec<_>>(), [("B", "own"), ("A", "last"), ("D", "new")]);
        assert_eq!(env.without(&["A"]).get("A"), None);
    }

    #[test]
    fn an_entry_does_not_say_where_a_machine_proves_itself() {
        let own = Env::from([("MSI_ENDPOINT", "http://127.0.0.1/")]);
        let names = ["MSI_ENDPOINT", "ACTIONS_ID_TOKEN_REQUEST_URL", "AZURE_KUBERNETES_TOKEN_PROXY", "AZURE_CLIENT_ID"];
        let env = own.with_entry(&names.map(|name| (name.into(), "x".into())));
        assert_eq!(names.map(|name| env.get(name)), [Some("http://127.0.0.1/"), None, None, Some("x")]);
    }

    #[test]
    fn moments_beyond_the_calendar_are_bounded() {
        assert_eq!(rfc3339(u64::MAX), "9999-12-31T23:59:59Z");
    }

    #[test]
    fn a_deadline_ends() {
        let clock = fake::FakeClock::default();
        let deadline = Deadline::after(&clock, Duration::from_secs(5));
        drop(clock.sleep(Duration::from_secs(3)));
        assert_eq!(deadline.left(&clock), Duration::from_secs(2));
        drop(clock.sleep(Duration::from_secs(3)));
        assert_eq!(deadline.left(&clock), Duration::ZERO);
    }
}
