//! The program in a fake world: an environment of its own, a home of its own, the network led to
//! the fakes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::World;
use crate::support::browser::{FakeOpener, Opening};
use crate::support::entra::directory::{AKS_CLIENT, AKS_SERVER, APP, APP_SECRET, TENANT};

/// A world, a home directory and an environment that holds nothing of yours.
pub struct TestEnv {
    pub world: World,
    directory: tempfile::TempDir,
    variables: BTreeMap<String, String>,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl TestEnv {
    /// The real cloud names lead to the fake Entra, whose CA is trusted; nothing else is set.
    pub fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let world = World::start(directory.path());
        let ca = world.ca_file().display().to_string();
        let proxy = world.proxy.url();
        let mut env = Self { world, directory, variables: BTreeMap::new() };
        std::fs::create_dir_all(env.home()).expect("a home");
        let bin = env.dir().join("bin");
        std::fs::create_dir(&bin).expect("a directory for programs");
        for name in ["kubentra", "kubelogin", "kubectl-entra"] {
            std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_kubentra"), bin.join(name)).expect("a link");
        }
        let home = env.home().display().to_string();
        env.set("HOME", home).set("PATH", format!("{}:/usr/bin:/bin", bin.display()));
        env.set("HTTPS_PROXY", proxy).set("SSL_CERT_FILE", ca);
        env
    }

    /// Puts an `xdg-open` on PATH that behaves like that.
    pub fn opener(&self, opening: Opening) -> FakeOpener {
        FakeOpener::install(&self.dir().join("bin"), opening)
    }

    /// Sets a variable.
    pub fn set(&mut self, name: &str, value: impl Into<String>) -> &mut Self {
        self.variables.insert(name.into(), value.into());
        self
    }

    /// Unsets a variable.
    pub fn unset(&mut self, name: &str) -> &mut Self {
        self.variables.remove(name);
        self
    }

    /// The directory that holds everything of this test.
    pub fn dir(&self) -> &Path {
        self.directory.path()
    }

    pub fn home(&self) -> PathBuf {
        self.dir().join("home")
    }

    /// Where the program keeps its cache by default.
    pub fn cache(&self) -> PathBuf {
        self.home().join(".kube/cache/kubelogin/kubentra")
    }

    /// Writes a file below the home directory.
    pub fn write(&self, path: &str, content: &str) -> PathBuf {
        let path = self.home().join(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        std::fs::write(&path, content).expect("a file");
        path
    }

    /// The program, called by one of its names, with nothing inherited and no stdin.
    pub fn command(&self, name: &str, args: &[&str]) -> Command {
        let mut command = Command::new(self.dir().join("bin").join(name));
        command.args(args).env_clear().envs(&self.variables).current_dir(self.home()).stdin(Stdio::null());
        command
    }

    /// Any other program (kubectl) in the same environment.
    pub fn other(&self, program: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(args).env_clear().envs(&self.variables).current_dir(self.home()).stdin(Stdio::null());
        command
    }

    /// Runs `kubentra ARGS` to its end.
    pub fn run(&self, args: &[&str]) -> Run {
        Run::of(&mut self.command("kubentra", args))
    }

    /// `get-token` for the AKS server app with a device code.
    pub fn device_code(&self, more: &[&str]) -> Vec<String> {
        get_token("devicecode", AKS_CLIENT, more)
    }

    /// `get-token` for the AKS server app with the confidential app's secret typed in.
    pub fn spn(&self, more: &[&str]) -> Vec<String> {
        let mut args = get_token("spn", APP, &["--client-secret", APP_SECRET]);
        args.extend(more.iter().map(ToString::to_string));
        args
    }

    /// Runs `kubentra` with owned arguments, as the builders above give them.
    pub fn run_all(&self, args: &[String]) -> Run {
        self.run(&args.iter().map(String::as_str).collect::<Vec<_>>())
    }
}

/// `get-token` with the values that every login by an application or a person needs.
pub fn get_token(login: &str, client: &str, more: &[&str]) -> Vec<String> {
    let fixed =
        ["get-token", "--login", login, "--server-id", AKS_SERVER, "--client-id", client, "--tenant-id", TENANT];
    fixed.iter().chain(more).map(ToString::to_string).collect()
}

impl Run {
    /// Runs `command` to its end.
    pub fn of(command: &mut Command) -> Self {
        let output = command.stdout(Stdio::piped()).stderr(Stdio::piped()).output().expect("the program starts");
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).expect("UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }

    /// The token on stdout; panics with everything that was printed where there is none.
    pub fn token(&self) -> String {
        let json: serde_json::Value = serde_json::from_str(&self.stdout).unwrap_or_else(|_| panic!("{self:#?}"));
        json["status"]["token"].as_str().unwrap_or_else(|| panic!("{self:#?}")).to_owned()
    }

    /// Asserts a failure with nothing on stdout; gives stderr.
    pub fn failure(&self) -> &str {
        assert!(self.code != 0 && self.stdout.is_empty(), "{self:#?}");
        &self.stderr
    }
}
