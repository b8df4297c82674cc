//! The main job end to end, without an Azure account: a kubeconfig is converted, a person signs in
//! by device code, and kubectl works; the second call is served from the cache.
//!
//! `cargo run --release --example demo`
//!
//! Entra ID and the cluster are the fakes of the test suite, on loopback, behind a certificate made
//! for this run. kubentra is the real thing: this program runs its code when it is called by its name.

#![allow(clippy::print_stdout, reason = "a demo talks")]
#![allow(clippy::disallowed_methods, clippy::expect_used, reason = "it starts programs and keeps time")]

#[path = "../tests/it/support/mod.rs"]
#[allow(clippy::pedantic, reason = "the fakes of the test suite")]
mod support;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use support::World;
use support::entra::directory::{AKS_CLIENT, AKS_SERVER, ALICE, TENANT};

fn main() -> ExitCode {
    if called_as_kubentra() {
        return run_kubentra();
    }
    let directory = tempfile::tempdir().expect("a temporary directory");
    let demo = Demo::new(directory.path());
    demo.introduce();
    demo.convert();
    let first = demo.call("The first call signs in", &["get", "namespaces"]);
    let second = demo.call("The second call comes from the cache", &["get", "namespaces"]);
    demo.call("Who am I to the cluster", &["auth", "whoami"]);
    demo.conclude(first, second);
    ExitCode::SUCCESS
}

fn called_as_kubentra() -> bool {
    let name = std::env::args_os().next().map(PathBuf::from);
    name.as_deref().and_then(Path::file_name).is_some_and(|name| name == "kubentra")
}

/// What `main.rs` does.
fn run_kubentra() -> ExitCode {
    let Ok(sys) = kubentra::internal::of_this_process() else { return ExitCode::FAILURE };
    match kubentra::internal::run(&sys) {
        Ok(outcome) => {
            let _ = std::io::stdout().write_all(outcome.stdout.expose().as_bytes());
            ExitCode::SUCCESS
        }
        Err(error) => {
            sys.terminal.report(&error);
            ExitCode::from(error.exit_code())
        }
    }
}

struct Demo<'a> {
    world: World,
    directory: &'a Path,
    kubeconfig: PathBuf,
    kubectl: Option<PathBuf>,
}

impl<'a> Demo<'a> {
    fn new(directory: &'a Path) -> Self {
        let world = World::start(directory);
        let kubeconfig = directory.join("config");
        std::fs::write(&kubeconfig, old_kubeconfig(&world)).expect("a kubeconfig");
        // As az writes it.
        #[cfg(unix)]
        std::fs::set_permissions(&kubeconfig, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("a mode");
        let this = std::env::current_exe().expect("our own path");
        link(&this, &directory.join("kubentra"));
        Self { world, directory, kubeconfig, kubectl: find_kubectl() }
    }

    fn introduce(&self) {
        title("kubentra, shown on a simulated cluster");
        println!("simulated: Entra ID, the person Alice, the cluster's API server, the certificates, the network.");
        match &self.kubectl {
            Some(kubectl) => println!("real:      kubentra, and kubectl ({}).", kubectl.display()),
            None => println!("real:      kubentra. There is no kubectl here; plain HTTPS requests take its place."),
        }
    }

    fn convert(&self) {
        title("A kubeconfig from the days of the retired auth-provider, converted");
        let file = self.kubeconfig.display().to_string();
        let arguments = ["convert-kubeconfig", "--kubeconfig", &file];
        run(self.kubentra(&arguments).arg("--dry-run"));
        run(&mut self.kubentra(&arguments));
    }

    /// Makes a request to the cluster; gives the time it took.
    fn call(&self, what: &str, kubectl_args: &[&str]) -> Duration {
        title(what);
        let approval = self.approve_soon();
        self.world.entra.clear_log();
        let start = Instant::now();
        match &self.kubectl {
            Some(kubectl) => run(&mut self.with_environment(Command::new(kubectl), kubectl_args)),
            None => self.call_by_http(kubectl_args),
        }
        let took = start.elapsed();
        println!("[demo] {} requests to Entra, {} ms in all", self.world.entra.requests().len(), took.as_millis());
        self.world.entra.person(support::entra::Person::Wait);
        drop(approval);
        took
    }

    /// Plays Alice: a second after a code is shown she enters it and agrees.
    fn approve_soon(&self) -> Approval {
        let entra = self.world.entra.clone();
        let (stop, stopped) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            while stopped.recv_timeout(Duration::from_millis(100)) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                for code in entra.pending_codes() {
                    std::thread::sleep(Duration::from_secs(1));
                    println!("[demo] Alice enters {code} in her browser and agrees");
                    entra.approve_code(&code, ALICE);
                }
            }
        });
        Approval { stop: Some(stop), thread: Some(thread) }
    }

    fn conclude(&self, first: Duration, second: Duration) {
        title("kubentra alone, with the token in the cache");
        let start = Instant::now();
        let calls = 20;
        for _ in 0..calls {
            let output = self.kubentra(&get_token()).output().expect("kubentra starts");
            assert!(output.status.success(), "get-token fails: {}", String::from_utf8_lossy(&output.stderr));
        }
        println!("[demo] get-token: {:.1} ms a call", start.elapsed().as_secs_f64() * 1000.0 / f64::from(calls));
        println!(
            "[demo] the whole command: {} ms with the sign-in, {} ms after it",
            first.as_millis(),
            second.as_millis()
        );
        title("The kubeconfig at the end");
        println!("{}", std::fs::read_to_string(&self.kubeconfig).expect("the kubeconfig"));
    }

    fn kubentra(&self, args: &[&str]) -> Command {
        self.with_environment(Command::new(self.directory.join("kubentra")), args)
    }

    /// The real host names of Entra lead to the fake; nothing of your own environment comes in.
    fn with_environment(&self, mut command: Command, args: &[&str]) -> Command {
        let path = format!("{}:/usr/bin:/bin", self.directory.display());
        command.args(args).env_clear().env("HOME", self.directory).env("PATH", path).stdin(Stdio::null());
        command.env("KUBECONFIG", &self.kubeconfig).env("HTTPS_PROXY", self.world.proxy.url());
        command.env("SSL_CERT_FILE", self.world.ca_file());
        command
    }

    /// What kubectl would do: ask the plugin for a token and send it.
    fn call_by_http(&self, kubectl_args: &[&str]) {
        let output = self.kubentra(&get_token()).stderr(Stdio::inherit()).output().expect("kubentra starts");
        let credential: serde_json::Value = serde_json::from_slice(&output.stdout).expect("an ExecCredential");
        let token = credential["status"]["token"].as_str().expect("a token");
        let certificate = reqwest::Certificate::from_pem(self.world.api.ca_pem().as_bytes()).expect("a CA");
        let client = reqwest::Client::builder().tls_certs_only([certificate]).no_proxy().build().expect("a client");
        let request = if kubectl_args == ["auth", "whoami"] {
            let review = r#"{"kind":"SelfSubjectReview","apiVersion":"authentication.k8s.io/v1"}"#;
            let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
            client
                .post(format!("{}{path}", self.world.api.url()))
                .body(review)
                .header("Content-Type", "application/json")
        } else {
            client.get(format!("{}/api/v1/namespaces", self.world.api.url()))
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (status, text) = runtime.block_on(async {
            let answer = request.bearer_auth(token).send().await.expect("an answer");
            (answer.status(), answer.text().await.expect("a text"))
        });
        println!("HTTP {status}\n{text}");
    }
}

/// Ends the approving thread when it goes.
struct Approval {
    stop: Option<std::sync::mpsc::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Drop for Approval {
    fn drop(&mut self) {
        drop(self.stop.take());
        let _ = self.thread.take().map(std::thread::JoinHandle::join);
    }
}

fn get_token() -> [&'static str; 9] {
    ["get-token", "--login", "devicecode", "--server-id", AKS_SERVER, "--client-id", AKS_CLIENT, "--tenant-id", TENANT]
}

fn old_kubeconfig(world: &World) -> String {
    use base64::Engine;
    let ca = base64::prelude::BASE64_STANDARD.encode(world.api.ca_pem());
    let server = world.api.url();
    format!(
        "apiVersion: v1
kind: Config
current-context: shop
clusters:
- name: shop
  cluster:
    server: {server}
    certificate-authority-data: {ca}
contexts:
- name: shop
  context: {{cluster: shop, user: clusterUser_rg_shop}}
users:
# comments and everything else that is not this user's sign-in stay as they are
- name: clusterUser_rg_shop
  user:
    auth-provider:
      name: azure
      config:
        apiserver-id: {AKS_SERVER}
        client-id: {AKS_CLIENT}
        config-mode: \"1\"
        environment: AzurePublicCloud
        tenant-id: {TENANT}
"
    )
}

fn find_kubectl() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join("kubectl")).find(|file| file.is_file())
}

fn link(target: &Path, link: &Path) {
    #[cfg(unix)]
    std::os::unix::fs::symlink(target, link).expect("a link");
    #[cfg(not(unix))]
    std::fs::copy(target, link.with_extension("exe")).expect("a copy");
}

fn run(command: &mut Command) {
    let words = command.get_args().map(std::ffi::OsStr::to_string_lossy).collect::<Vec<_>>().join(" ");
    let program = Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned();
    println!("$ {program} {words}");
    let status = command.status().expect("the program starts");
    assert!(status.success(), "{program} failed");
}

fn title(text: &str) {
    println!("\n=== {text} ===");
}
