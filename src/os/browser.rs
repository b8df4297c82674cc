//! Opening a browser: with the programs that `BROWSER` names, else as the desktop does it. What they
//! print reaches nobody: stdout belongs to kubectl (Azure/kubelogin's `Opening in existing browser
//! session.` before the JSON makes kubectl fail).

use std::path::PathBuf;
use std::pin::Pin;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::error::io_words;
use crate::os::clock::Clock;
use crate::os::env::Env;
use crate::os::process::find;

/// What opens a browser, so that tests can stand in for it.
pub trait Browser {
    /// Why no browser can be opened here, where that is known beforehand.
    fn unavailable_reason(&self, env: &Env) -> Option<String>;

    /// Hands `url` to a browser, which outlives us.
    ///
    /// # Errors
    /// Why none has taken it, in a few words.
    fn open<'a>(&'a self, env: &'a Env, url: &'a str, clock: &'a dyn Clock) -> Opening<'a>;
}

/// A browser on its way.
pub(crate) type Opening<'a> = Pin<Box<dyn Future<Output = Result<(), String>> + 'a>>;

/// A program that fails does so within this time; one that still runs has a browser open.
const PATIENCE: Duration = Duration::from_secs(2);

/// The programs of this machine.
pub(crate) struct SystemBrowser;

impl Browser for SystemBrowser {
    fn unavailable_reason(&self, env: &Env) -> Option<String> {
        unavailable_reason(env)
    }

    fn open<'a>(&'a self, env: &'a Env, url: &'a str, clock: &'a dyn Clock) -> Opening<'a> {
        Box::pin(async move {
            let mut failed = None;
            for command in commands(env, url) {
                match start(command, clock).await {
                    Ok(()) => return Ok(()),
                    Err(why) => failed = failed.or(Some(why)),
                }
            }
            Err(failed.unwrap_or_else(|| NO_PROGRAM.into()))
        })
    }
}

/// Why no browser can be opened in `env`, where that is known beforehand. `ssh -X` sets `DISPLAY` on
/// servers that have no browser.
///
/// The desktop and the programs are the user's own, whatever an exec entry says: `BROWSER` may name any
/// program with any argument.
fn unavailable_reason(env: &Env) -> Option<String> {
    let desktop = if env.user_value("BROWSER").is_some() { None } else { no_desktop(env) };
    desktop.or_else(|| commands(env, "").is_empty().then(|| NO_PROGRAM.into()))
}

const NO_PROGRAM: &str = "no program that opens one is on PATH";

/// Why there is no desktop to show a browser. Over SSH it would be the desktop of another machine than
/// the one that the person sits at; VS Code sets `BROWSER` there, which opens the right one.
fn no_desktop(env: &Env) -> Option<String> {
    let set = |names: [&'static str; 2]| names.into_iter().find(|name| env.user_value(name).is_some());
    if set(["DISPLAY", "WAYLAND_DISPLAY"]).is_some() {
        return None;
    }
    if let Some(name) = set(["SSH_CONNECTION", "SSH_TTY"]) {
        return Some(format!("{name} is set and DISPLAY is not"));
    }
    let needs_display = cfg!(unix) && !cfg!(any(target_os = "macos", target_os = "ios", target_os = "android"));
    (needs_display && !is_wsl(env)).then(|| "neither DISPLAY nor WAYLAND_DISPLAY is set".into())
}

fn is_wsl(env: &Env) -> bool {
    ["WSL_DISTRO_NAME", "WSL_INTEROP"].into_iter().any(|name| env.user_value(name).is_some())
}

/// The programs to try for `url`, the likeliest first.
fn commands(env: &Env, url: &str) -> Vec<Command> {
    let desktop = if no_desktop(env).is_none() { of_desktop(env, url) } else { Vec::new() };
    of_variable(env, url).into_iter().chain(desktop).collect()
}

/// Those of the desktop. On WSL that is the one of Windows: wslview is made to open it, and Explorer is
/// always there, even where PowerShell is not on PATH and no desktop of Linux is installed.
fn of_desktop(env: &Env, url: &str) -> Vec<Command> {
    let on_path = |name: &str| Some(command(find(env, name).filter(|_| is_wsl(env))?, [url]));
    let usual = open::commands(url).into_iter().filter_map(|command| located(env, command));
    on_path(WSLVIEW).into_iter().chain(usual).chain(on_path(EXPLORER)).collect()
}

const WSLVIEW: &str = "wslview";
const EXPLORER: &str = "explorer.exe";

/// Those of `BROWSER`: programs with arguments, separated as in `PATH`, `%s` where the address goes,
/// else at the end. No shell reads it.
fn of_variable(env: &Env, url: &str) -> Vec<Command> {
    let separator = if cfg!(windows) { ';' } else { ':' };
    let entries = env.user_value("BROWSER").unwrap_or_default().split(separator);
    entries.filter_map(|entry| entry_command(env, entry.trim(), url)).collect()
}

fn entry_command(env: &Env, entry: &str, url: &str) -> Option<Command> {
    let whole = PathBuf::from(entry);
    if whole.is_absolute() && whole.is_file() {
        return Some(command(whole, [url]));
    }
    let mut words = entry.split_whitespace();
    let program = program(env, words.next()?)?;
    let mut arguments: Vec<String> = words.map(|word| word.replace("%s", url)).collect();
    if !entry.contains("%s") {
        arguments.push(url.to_owned());
    }
    Some(command(program, arguments))
}

/// An absolute path, or a name on PATH; anything relative means another program in every directory.
fn program(env: &Env, name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(name);
    if path.is_absolute() {
        return Some(path).filter(|path| path.is_file());
    }
    if name.contains(['/', '\\']) { None } else { find(env, name) }
}

/// The same command with its program's place on our own PATH; nothing where it is not there. On Windows
/// the programs are the system's, and found by it.
fn located(env: &Env, found: Command) -> Option<Command> {
    if cfg!(windows) {
        return Some(found);
    }
    let path = program(env, found.get_program().to_str()?)?;
    let mut same = command(path, found.get_args());
    same.envs(found.get_envs().filter_map(|(name, value)| Some((name, value?))));
    Some(same)
}

#[expect(clippy::disallowed_methods, reason = "the one place that starts browsers")]
fn command<S: AsRef<std::ffi::OsStr>>(program: PathBuf, arguments: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(program);
    command.args(arguments);
    command
}

/// Starts a program that outlives us, and waits a moment to learn whether it fails.
async fn start(mut command: Command, clock: &dyn Clock) -> Result<(), String> {
    let program = std::path::Path::new(command.get_program());
    let is_explorer = program.file_name().is_some_and(|name| name == EXPLORER);
    let name = program.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(command.current_dir("/"), 0);
    let mut child = tokio::process::Command::from(command)
        .kill_on_drop(false)
        .spawn()
        .map_err(|error| format!("{name} cannot be run: {}", io_words(&error)))?;
    let status = tokio::select! {
        status = child.wait() => status,
        () = clock.sleep(PATIENCE) => return Ok(()),
    };
    match status {
        // Explorer's exit code says nothing; it is 1 when all went well.
        Ok(status) if status.success() || is_explorer || cfg!(windows) => Ok(()),
        Ok(status) => Err(format!("{name} failed, {status}")),
        Err(error) => Err(format!("{name} was lost: {}", io_words(&error))),
    }
}

#[cfg(test)]
pub(crate) mod fake {
    //! No browser at all, for tests that need none.

    use super::{Browser, Clock, Env, Opening};

    pub(crate) struct NoBrowser;

    impl Browser for NoBrowser {
        fn unavailable_reason(&self, _: &Env) -> Option<String> {
            Some("there is none".into())
        }

        fn open<'a>(&'a self, _: &'a Env, url: &'a str, _: &'a dyn Clock) -> Opening<'a> {
            panic!("{url} is not to be opened")
        }
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use crate::os::clock::SystemClock;

    const URL: &str = "http://localhost:1/a";

    #[test]
    #[cfg(target_os = "linux")]
    fn where_no_browser_can_be_opened() {
        let directory = program_directory(&["xdg-open", "w3m"]);
        let path = directory.path().display().to_string();
        let why = |first: (&str, &str), second: (&str, &str)| {
            unavailable_reason(&Env::from([("PATH", path.as_str()), first, second]))
        };
        let nothing = ("TERM", "dumb");
        let no_display = Some("neither DISPLAY nor WAYLAND_DISPLAY is set".to_owned());
        assert_eq!(why(nothing, nothing), no_display);
        assert_eq!(why(("DISPLAY", ""), nothing), no_display);
        let ssh = Some("SSH_CONNECTION is set and DISPLAY is not".to_owned());
        assert_eq!(why(("SSH_CONNECTION", "x"), ("WSL_DISTRO_NAME", "Ubuntu")), ssh);
        for there in
            [("DISPLAY", ":0"), ("WAYLAND_DISPLAY", "wayland-0"), ("WSL_DISTRO_NAME", "Ubuntu"), ("BROWSER", "w3m")]
        {
            assert_eq!(why(there, nothing), None, "{there:?}");
        }
        for there in [("DISPLAY", ":0"), ("BROWSER", "w3m")] {
            assert_eq!(why(("SSH_TTY", "x"), there), None, "{there:?}");
            assert_eq!(
                unavailable_reason(&Env::from([("PATH", "/nowhere"), there])).as_deref(),
                Some(NO_PROGRAM),
                "{there:?}"
            );
        }
        assert_eq!(why(("BROWSER", "missing"), nothing).as_deref(), Some(NO_PROGRAM));
        assert_eq!(why(("BROWSER", "missing"), ("DISPLAY", ":0")), None);
    }

    fn shown(env: &Env) -> Vec<String> {
        let words = |command: &Command| {
            let all = std::iter::once(command.get_program()).chain(command.get_args());
            all.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
        };
        commands(env, URL).iter().map(words).collect()
    }

    #[test]
    fn the_variable_goes_first_and_no_shell_reads_it() {
        let directory = program_directory(&["one", "two"]);
        let path = directory.path().display().to_string();
        let browser = format!("missing:one --app=%s ; $(x):./two:{path}/two -n");
        let env = Env::from([("PATH", path.as_str()), ("BROWSER", &browser)]);
        assert_eq!(shown(&env), [format!("{path}/one --app={URL} ; $(x)"), format!("{path}/two -n {URL}")]);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_desktops_programs_are_those_on_the_path() {
        let directory = program_directory(&["xdg-open", "gio"]);
        let path = directory.path().display().to_string();
        let env = Env::from([("PATH", path.as_str()), ("DISPLAY", ":0")]);
        assert_eq!(shown(&env), [format!("{path}/xdg-open {URL}"), format!("{path}/gio open {URL}")]);
        assert!(shown(&env.without(&["DISPLAY"])).is_empty());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn on_wsl_the_desktop_is_that_of_windows() {
        let directory = program_directory(&["wslview", "xdg-open", "explorer.exe"]);
        let path = directory.path().display().to_string();
        let here = |name: &str| format!("{path}/{name} {URL}");
        for wsl in ["WSL_DISTRO_NAME", "WSL_INTEROP"] {
            let env = Env::from([("PATH", path.as_str()), (wsl, "x")]);
            assert_eq!(shown(&env), ["wslview", "xdg-open", "explorer.exe"].map(here), "{wsl}");
            let own = env.without(&[wsl]);
            assert!(shown(&own.with_entry(&[(wsl.into(), "x".into())])).is_empty(), "an entry says nothing of it");
        }
        let env = Env::from([("PATH", path.as_str()), ("DISPLAY", ":0")]);
        assert_eq!(shown(&env), ["xdg-open"].map(here));
        let remote = Env::from([("PATH", path.as_str()), ("WSL_INTEROP", "x"), ("SSH_CONNECTION", "x")]);
        assert!(shown(&remote).is_empty());

        let only = program_directory(&["explorer.exe"]);
        let path = only.path().display().to_string();
        let env = Env::from([("PATH", path.as_str()), ("WSL_INTEROP", "x")]);
        assert_eq!((shown(&env), unavailable_reason(&env)), (vec![format!("{path}/explorer.exe {URL}")], None));
    }

    #[test]
    fn the_next_program_is_tried_after_one_that_fails() {
        let directory = program_directory(&["fails", "works", "explorer.exe"]);
        let write = |name: &str, line: &str| {
            let script = format!("#!/bin/sh\n{line}\n");
            crate::os::files::replace(&directory.path().join(name), script.as_bytes()).unwrap();
            executable(&directory.path().join(name));
        };
        let note = directory.path().join("note");
        write("fails", "echo loud; exit 3");
        write("explorer.exe", "exit 1");
        write("works", &format!("echo \"$1\" > {}", note.display()));
        let path = directory.path().display().to_string();
        let open = |browser: &str| {
            let env = Env::from([("PATH", path.as_str()), ("BROWSER", browser)]);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(SystemBrowser.open(&env, URL, &SystemClock::start()))
        };
        assert_eq!(open("fails:works"), Ok(()));
        assert_eq!(std::fs::read_to_string(&note).unwrap(), format!("{URL}\n"));
        assert_eq!(open("fails"), Err("fails failed, exit status: 3".into()));
        assert_eq!(open("explorer.exe"), Ok(()));
        assert_eq!(open("missing"), Err("no program that opens one is on PATH".into()));
    }

    fn program_directory(names: &[&str]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for name in names {
            let path = directory.path().join(name);
            crate::os::files::replace(&path, b"#!/bin/sh\n").unwrap();
            executable(&path);
        }
        directory
    }

    fn executable(path: &std::path::Path) {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
}
