//! Programs of others: az, azd, token commands. Each is started by its path with an argument list,
//! never through a shell, in a directory where nobody can plant anything, and ends with us, unless we
//! are killed outright. (On Windows what it has started itself may outlive it.)

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt;

use crate::error::{Error, ErrorKind, io_words};
use crate::os::BoxFuture;
use crate::os::clock::{Clock, Deadline};
use crate::os::env::Env;
use crate::secret::Secret;

/// A program to run.
pub struct ProgramCall {
    /// Where it lies.
    pub program: PathBuf,
    /// Its arguments, the program's name not among them.
    pub arguments: Vec<String>,
    /// Variables beside those of our own environment.
    pub variables: Vec<(&'static str, String)>,
}

/// How a program ended, and what it said.
#[derive(Debug)]
pub struct ProgramOutput {
    /// Its exit code; nothing, where a signal ended it.
    pub code: Option<i32>,
    /// What it printed, at most [`OUTPUT_LIMIT`] bytes; others than UTF-8 are replaced.
    pub stdout: Secret,
    /// What it complained of, within the same bounds.
    pub stderr: String,
}

/// Programs, so that tests can stand in for them.
pub trait ProgramRunner {
    /// Runs `call` to its end, with an empty stdin. After `limit` it is killed with everything that it
    /// has started, as it is when the returned future is dropped.
    ///
    /// # Errors
    /// A program that can't be started, that prints too much, or that does not end in time.
    fn run<'a>(&'a self, call: &'a ProgramCall, limit: Duration, clock: &'a dyn Clock) -> BoxFuture<'a, ProgramOutput>;

    /// The same for another environment.
    fn for_env(&self, env: &Env) -> Box<dyn ProgramRunner>;
}

/// No token comes near this many bytes.
pub(crate) const OUTPUT_LIMIT: usize = 1024 * 1024;

/// A program that has ended may leave others behind that hold its pipes; nobody waits for those.
const AFTER_THE_END: Duration = Duration::from_millis(300);

/// Under a program that has no console, such as Lens, Windows would open a window for every az (users of
/// k9s saw one every three minutes: Azure/kubelogin#438).
#[cfg(windows)]
const CREATE_NO_WINDOW: u32 = 0x0800_0000;

/// Where `name` lies on the user's `PATH`; an exec entry chooses no programs for `login`. Relative
/// entries of `PATH` are passed over: they mean another
/// program in every directory.
pub(crate) fn find(env: &Env, name: &str) -> Option<PathBuf> {
    let directories = std::env::split_paths(env.user_value("PATH")?).filter(|directory| directory.is_absolute());
    let names = if cfg!(windows) { vec![format!("{name}.exe"), format!("{name}.cmd")] } else { vec![name.to_owned()] };
    directories
        .flat_map(|directory| names.clone().into_iter().map(move |name| directory.join(name)))
        .find(|path| runs(path))
}

/// Whether `path` is a program that may be started.
#[cfg(unix)]
pub(crate) fn runs(path: &std::path::Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

/// Whether `path` is a file; what may be started says its name.
#[cfg(not(unix))]
pub fn runs(path: &std::path::Path) -> bool {
    path.is_file()
}

/// The command line of the program that has started this process; empty where it can't be known.
#[cfg(target_os = "linux")]
pub(crate) fn parent_command() -> Vec<String> {
    use std::io::Read;
    const LIMIT: u64 = 64 * 1024;
    let mut text = Vec::new();
    let Some(parent) = rustix::process::getppid() else { return Vec::new() };
    let file = std::fs::File::open(format!("/proc/{}/cmdline", parent.as_raw_nonzero()));
    let read = file.and_then(|file| file.take(LIMIT).read_to_end(&mut text));
    if read.is_err() {
        return Vec::new();
    }
    String::from_utf8_lossy(&text).split_terminator('\0').map(String::from).collect()
}

/// The command line of the program that has started this process; empty where it can't be known.
#[cfg(not(target_os = "linux"))]
pub fn parent_command() -> Vec<String> {
    Vec::new()
}

/// What the programs get of an exec entry's variables: where az and azd keep their sign-in, what decides
/// about their tokens (the caches tell them apart by it), and the way to the network. Not the rest, for
/// `BASH_ENV` and `LD_PRELOAD` name code to run, and `REQUESTS_CA_BUNDLE` whom to believe.
const OF_ENTRY: [&str; 14] = [
    "ACC_CLOUD",
    "AZD_CONFIG_DIR",
    "AZD_IN_CLOUDSHELL",
    "AZURE_CLOUD_NAME",
    "AZURE_CONFIG_DIR",
    "AZURE_IDENTITY_DISABLE_CP1",
    "AZURE_SUBSCRIPTION_ID",
    "COPILOT_AGENT_SESSION_ID",
    "HOME",
    "HTTPS_PROXY",
    "NO_PROXY",
    "USERPROFILE",
    "https_proxy",
    "no_proxy",
];

/// The programs of this machine.
pub(crate) struct SystemPrograms {
    directory: PathBuf,
    /// What they get over the environment of this process.
    variables: Vec<(String, String)>,
}

impl SystemPrograms {
    pub(crate) fn new(env: &Env) -> Self {
        let system = env.user_value("SYSTEMROOT").filter(|_| cfg!(windows)).unwrap_or("/");
        let of_entry = env.of_entry().iter().filter(|(name, _)| OF_ENTRY.contains(&name.as_str()));
        Self { directory: system.into(), variables: of_entry.cloned().collect() }
    }
}

impl ProgramRunner for SystemPrograms {
    fn run<'a>(&'a self, call: &'a ProgramCall, limit: Duration, clock: &'a dyn Clock) -> BoxFuture<'a, ProgramOutput> {
        Box::pin(async move {
            let mut child = self.command(call).spawn().map_err(|error| {
                Error::new(ErrorKind::Tool, format!("{} cannot be run: {}", call.program.display(), io_words(&error)))
            })?;
            let _family = ProcessGroup::of(&child);
            let deadline = Deadline::after(clock, limit);
            let pipes = child.stdout.take().zip(child.stderr.take());
            let (stdout, stderr) = pipes.ok_or_else(|| Error::new(ErrorKind::Tool, "a program has no output"))?;
            let (mut out, mut err) = (zeroize::Zeroizing::new(Vec::new()), Vec::new());
            let status = {
                let mut reading = std::pin::pin!(async {
                    let _ = tokio::try_join!(read(stdout, &mut out), read(stderr, &mut err));
                });
                let ended = async {
                    tokio::select! {
                        status = child.wait() => {
                            tokio::select! { () = &mut reading => (), () = clock.sleep(AFTER_THE_END) => () }
                            status.map(Some)
                        }
                        () = &mut reading => Ok(None),
                    }
                };
                tokio::select! {
                    status = ended => status,
                    () = clock.sleep(limit) => return Err(out_of_time(call, limit)),
                }
            };
            if out.len() > OUTPUT_LIMIT || err.len() > OUTPUT_LIMIT {
                return Err(prints_too_much(call));
            }
            // Whoever has closed its pipes is about to end.
            let status = match status {
                Ok(Some(status)) => Ok(status),
                Ok(None) => tokio::select! {
                    status = child.wait() => status,
                    () = clock.sleep(deadline.left(clock)) => return Err(out_of_time(call, limit)),
                },
                Err(error) => Err(error),
            };
            Ok(ProgramOutput {
                code: status.ok().and_then(|status| status.code()),
                stdout: Secret::new(String::from_utf8_lossy(&out)),
                stderr: String::from_utf8_lossy(&err).into_owned(),
            })
        })
    }

    fn for_env(&self, env: &Env) -> Box<dyn ProgramRunner> {
        Box::new(Self::new(env))
    }
}

/// Reads to the end, or until there is more than there may be.
async fn read(pipe: impl tokio::io::AsyncRead + Unpin, into: &mut Vec<u8>) -> Result<(), ()> {
    let read = pipe.take(OUTPUT_LIMIT as u64 + 1).read_to_end(into).await;
    if read.is_ok() && into.len() <= OUTPUT_LIMIT { Ok(()) } else { Err(()) }
}

impl SystemPrograms {
    #[expect(clippy::disallowed_methods, reason = "the one place that starts programs")]
    fn command(&self, call: &ProgramCall) -> tokio::process::Command {
        let mut command = std::process::Command::new(&call.program);
        command.args(&call.arguments).envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.envs(call.variables.iter().map(|(name, value)| (name, value)));
        command.current_dir(&self.directory);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        #[cfg(windows)]
        std::os::windows::process::CommandExt::creation_flags(&mut command, CREATE_NO_WINDOW);
        let mut command = tokio::process::Command::from(command);
        command.kill_on_drop(true);
        command
    }
}

/// A program and all that it has started: az is a script that starts Python, and killing the script
/// alone would leave Python behind.
struct ProcessGroup {
    #[cfg(unix)]
    group: Option<rustix::process::Pid>,
}

impl ProcessGroup {
    #[cfg(unix)]
    fn of(child: &tokio::process::Child) -> Self {
        let leader = child.id().and_then(|id| i32::try_from(id).ok());
        Self { group: leader.and_then(rustix::process::Pid::from_raw) }
    }

    #[cfg(not(unix))]
    fn of(_: &tokio::process::Child) -> Self {
        Self {}
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        #[cfg(unix)]
        if let Some(group) = self.group {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
    }
}

fn name(call: &ProgramCall) -> String {
    call.program.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn out_of_time(call: &ProgramCall, limit: Duration) -> Error {
    let what = format!("{} did not answer in {} s", name(call), limit.as_secs_f32().ceil());
    Error::new(ErrorKind::Deadline, what).from_source(call.program.display())
}

fn prints_too_much(call: &ProgramCall) -> Error {
    let what = format!("{} printed more than {} KiB, which is no token", name(call), OUTPUT_LIMIT / 1024);
    Error::new(ErrorKind::Tool, what).from_source(call.program.display())
}

#[cfg(test)]
pub(crate) mod fake {
    //! No programs at all, for tests that need none.

    use super::{BoxFuture, Clock, Duration, Env, ProgramCall, ProgramOutput, ProgramRunner};

    pub(crate) struct NoPrograms;

    impl ProgramRunner for NoPrograms {
        fn run<'a>(&'a self, call: &'a ProgramCall, _: Duration, _: &'a dyn Clock) -> BoxFuture<'a, ProgramOutput> {
            panic!("{} is not to be run", call.program.display())
        }

        fn for_env(&self, _: &Env) -> Box<dyn ProgramRunner> {
            Box::new(Self)
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    #![allow(clippy::unwrap_used, reason = "clippy's own exception does not see through the two conditions")]

    use super::*;
    use crate::os::clock::SystemClock;

    fn run(script: &str, limit: Duration) -> Result<ProgramOutput, Error> {
        let tools = SystemPrograms::new(&Env::default());
        let call = ProgramCall {
            program: "/bin/sh".into(),
            arguments: vec!["-c".into(), script.into()],
            variables: vec![("GREETING", "hello".into())],
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let clock = SystemClock::start();
        runtime.block_on(tools.run(&call, limit, &clock))
    }

    const LONG: Duration = Duration::from_secs(30);

    #[test]
    fn output_and_code_of_a_program() {
        let ended = run("echo $GREETING; pwd; cat; echo no >&2; exit 3", LONG).unwrap();
        assert_eq!((ended.code, ended.stdout.expose(), ended.stderr.as_str()), (Some(3), "hello\n/\n", "no\n"));
    }

    #[test]
    fn a_program_that_does_not_end_is_killed_with_its_children() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("pid");
        let script = format!("trap '' TERM; sleep 100 & echo $! > {}; wait", file.display());
        let error = run(&script, Duration::from_millis(400)).unwrap_err();
        assert!(error.kind() == ErrorKind::Deadline, "{error}");
        let child = std::fs::read_to_string(file).unwrap();
        // It is a zombie until somebody has waited for it.
        let state = || std::fs::read_to_string(format!("/proc/{}/stat", child.trim())).unwrap_or_default();
        let runs = || !state().is_empty() && !state().contains(") Z ");
        let clock = SystemClock::start();
        while runs() {
            assert!(clock.monotonic() < LONG, "{}", state());
        }
    }

    #[test]
    fn what_a_program_leaves_behind_is_not_waited_for() {
        let ended = run("sleep 20 & echo done", LONG).unwrap();
        assert_eq!(ended.stdout.expose(), "done\n");
    }

    #[test]
    fn too_much_output_is_refused() {
        let error = run("head -c 3000000 /dev/zero", LONG).unwrap_err();
        assert!(error.to_string().starts_with("sh printed more than 1024 KiB"), "{error}");
    }

    #[test]
    fn programs_are_found_in_absolute_directories_only() {
        let env = Env::from([("PATH", "relative:/nowhere:/bin:/usr/bin")]);
        assert!(find(&env, "sh").unwrap().is_absolute());
        assert_eq!(find(&Env::from([("PATH", ".:bin")]), "sh"), None);
        assert_eq!(find(&env, "no-such-program"), None);
    }
}
