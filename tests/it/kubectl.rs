//! Real kubectl, every version on this machine, through the program to a fake cluster, with a
//! kubeconfig as AKS hands it out.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::thread;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::env::{Run, TestEnv};
use crate::parallel::{Running, grants, prompts, until};
use crate::support::apiserver::FakeApiServer;
use crate::support::az::{AzAccount, AzSubscription, FakeTool};
use crate::support::certificates::{Kind, pem_file};
use crate::support::entra::directory::{
    AKS_CLIENT, AKS_SERVER, ALICE, APP, APP_OID, APP_SECRET, OTHER_TENANT, TENANT, User,
};
use crate::support::entra::{Fault, Person};
pub use crate::support::missing;

pub const NAMESPACES: &str = "\
NAME          STATUS   AGE
default       Active   1d
kube-public   Active   1d
kube-system   Active   1d
";

/// Every login method.
const METHODS: [&str; 10] = [
    "devicecode",
    "interactive",
    "spn",
    "ropc",
    "msi",
    "azurecli",
    "azd",
    "workloadidentity",
    "azurepipelines",
    "auto",
];

#[test]
fn a_sign_in_lives_from_the_prompt_over_renewals_to_its_end() {
    with_every_kubectl(|kubectl| {
        let env = signed_out();
        env.world.entra.token_lifetime(200);
        let cold = kubectl.get_namespaces(&env);
        assert!(cold.stderr.starts_with("To sign in, use a web browser to open the page "), "{cold:#?}");
        assert!(cold.stderr.contains(&format!(" to authenticate.\nsigned in as {ALICE} (tenant ")), "{cold:#?}");
        assert_eq!(take_grants(&env), ["devicecode", "device_code"]);

        let renewed = kubectl.get_namespaces(&env);
        assert_eq!((renewed.stderr.as_str(), take_grants(&env)), ("", vec!["refresh_token".to_owned()]));

        env.world.entra.revoke_all_grants().token_lifetime(3600);
        let prompted = kubectl.get_namespaces(&env);
        assert_eq!(prompts(&prompted.stderr), 1, "{prompted:#?}");
        assert_eq!(take_grants(&env), ["refresh_token", "devicecode", "device_code"]);

        let warm = kubectl.get_namespaces(&env);
        assert_eq!((warm.stderr.as_str(), take_grants(&env)), ("", Vec::new()));
        if kubectl.minor >= 28 {
            let who = ["auth", "whoami", "-o", "jsonpath={.status.userInfo.username}"];
            let who = kubectl.run(&env, &who);
            assert_eq!((who.stdout.as_str(), who.stderr.as_str()), (ALICE, ""));
        }
        assert_eq!(take_grants(&env), Vec::<String>::new());
        assert_eq!(users(&env.world.api), [ALICE]);
    });
}

#[test]
fn both_versions_of_the_exec_api_are_answered_in_kind() {
    with_every_kubectl(|kubectl| {
        let env = converted_to_spn();
        let v1beta1 = std::fs::read_to_string(kubeconfig(&env)).expect("a kubeconfig");
        assert!(v1beta1.contains("apiVersion: client.authentication.k8s.io/v1beta1\n"), "{v1beta1}");
        kubectl.get_namespaces(&env);
        let v1 = v1beta1.replace(
            "apiVersion: client.authentication.k8s.io/v1beta1\n",
            "apiVersion: client.authentication.k8s.io/v1\n      interactiveMode: Never\n",
        );
        env.write(".kube/config", &v1);
        assert_eq!(kubectl.get_namespaces(&env).stderr, "");
        assert_eq!((users(&env.world.api), take_grants(&env).len()), (vec![APP_OID.to_owned()], 1));
    });
}

#[test]
fn an_application_signs_in_with_its_certificate() {
    with_every_kubectl(|kubectl| {
        let env = converted_to_certificate();
        for asked in [&["client_credentials"][..], &[]] {
            assert_eq!(kubectl.get_namespaces(&env).stderr, "");
            assert_eq!(take_grants(&env), asked);
        }
        assert_eq!(users(&env.world.api), [APP_OID]);
    });
}

#[test]
fn what_is_written_for_every_method_is_what_kubectl_reads() {
    let env = signed_out();
    let aks = std::fs::read_to_string(kubeconfig(&env)).expect("a kubeconfig");
    // Google's kubectl asks the current cluster for its version, to choose one of its own.
    let aks = aks.replace("current-context: name\n", "");
    for method in METHODS {
        let file = env.write(method, &aks).display().to_string();
        let args = ["convert-kubeconfig", "--kubeconfig", &file, "--login", method, "--azure-config-dir", "/az dir"];
        let run = env.run(&args[..if method == "azurecli" { 7 } else { 5 }]);
        assert_eq!((run.code, run.stdout.as_str()), (0, ""), "{run:#?}");
        for kubectl in kubectls() {
            let exec = kubectl.view(&env, &file);
            let args: Vec<&str> = exec["args"].as_array().unwrap().iter().map(|arg| arg.as_str().unwrap()).collect();
            assert_eq!(args[..5], ["get-token", "--login", method, "--server-id", AKS_SERVER]);
            // Behind flags that are all there, one that is not is the only thing that get-token minds.
            let refused = env.run(&[&args[..], &["--no-such-flag"]].concat());
            assert_eq!(refused.failure(), "Error: unknown flag: --no-such-flag; see kubentra get-token --help\n");
            let variable = |key: &str| exec["env"][0][key].as_str().unwrap_or_default().to_owned();
            let expected = if method == "azurecli" { ("AZURE_CONFIG_DIR", "/az dir") } else { ("", "") };
            assert_eq!((variable("name").as_str(), variable("value").as_str()), expected);
        }
    }
}

/// `az aks get-credentials` writes the kubeconfig, calls kubelogin in its directory, and people go on.
#[test]
fn after_azs_own_conversion_kubectl_signs_in_by_az() {
    with_every_kubectl(|kubectl| {
        for variable in [false, true] {
            let mut env = signed_out();
            if variable {
                env.set("KUBECONFIG", kubeconfig(&env).display().to_string());
            }
            let az = FakeTool::az(&env.dir().join("bin"), &env.home().join(".azure"));
            let in_an_hour = SystemTime::now() + Duration::from_secs(3600);
            let seconds = in_an_hour.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs();
            az.token(&env.world.entra.mint(ALICE, TENANT, AKS_SERVER), seconds);
            az.az_login(AzAccount::User(ALICE), &[AzSubscription { id: "S", name: "One", tenant: TENANT }]);
            for _ in 0..2 {
                let mut command = env.command("kubelogin", &["convert-kubeconfig", "-l", "azurecli"]);
                let run = Run::of(command.current_dir(env.home().join(".kube")));
                assert_eq!((run.code, run.stdout.as_str(), run.stderr.as_str()), (0, "", ""));
                assert_eq!(kubectl.get_namespaces(&env).stderr, "");
            }
            assert_eq!((az.count(), users(&env.world.api)), (1, vec![ALICE.to_owned()]));
        }
    });
}

/// A person who types what az calls is told.
#[test]
fn azs_call_in_a_terminal_is_reported() {
    let env = signed_out();
    let pty = nix::pty::openpty(None, None).expect("a pseudo-terminal");
    let mut command = env.command("kubelogin", &["convert-kubeconfig", "-l", "azurecli"]);
    let output = command.stdout(Stdio::piped()).stderr(pty.slave).output().expect("the program starts");
    drop(command); // and with it our copy of the terminal
    let mut seen = [0; 4096];
    let count = std::fs::File::from(pty.master).read(&mut seen).expect("what the terminal shows");
    let seen = String::from_utf8_lossy(&seen[..count]).replace('\r', "");
    let converted = format!("converted clusterUser_rg_name to azurecli ({})\n", kubeconfig(&env).display());
    assert!(output.status.success() && seen.starts_with(&converted), "{seen}");
}

#[test]
fn thirty_at_once_sign_an_application_in_once() {
    for env in [converted_to_spn(), converted_to_certificate()] {
        // Slow enough that all of them are there before the one answer.
        env.world.entra.inject_on("token", Fault::Slow(Duration::from_secs(3)));
        let Some(running) = thirty(&env) else { return };
        for run in running.into_iter().map(Running::finish) {
            assert_eq!((run.code, run.stdout.as_str()), (0, NAMESPACES), "{run:#?}");
        }
        assert_eq!(grants(&env), ["client_credentials"]);
    }
}

#[test]
fn thirty_at_once_show_one_prompt() {
    let env = signed_out();
    env.world.entra.person(Person::Wait);
    let Some(running) = thirty(&env) else { return };
    let waiting = |run: &Running| run.says("waiting for another process");
    until("29 that wait", || running.iter().filter(|run| waiting(run)).count() == 29);
    env.world.entra.approve(ALICE);
    let runs: Vec<Run> = running.into_iter().map(Running::finish).collect();
    for run in &runs {
        assert_eq!((run.code, run.stdout.as_str()), (0, NAMESPACES), "{run:#?}");
    }
    assert_eq!(runs.iter().map(|run| prompts(&run.stderr)).sum::<usize>(), 1);
    assert_eq!(grants(&env).iter().filter(|grant| *grant == "devicecode").count(), 1);
    assert_eq!(users(&env.world.api), [ALICE]);
}

#[test]
fn two_users_of_two_tenants_are_never_mixed() {
    const CAROL: &str = "carol@fabrikam.onmicrosoft.com";
    let Some(kubectl) = kubectls().last() else { return };
    let env = TestEnv::new();
    let other = FakeApiServer::start(&env.world.authority, &env.world.entra);
    other.tenant(OTHER_TENANT);
    env.world.entra.user_with(person_of(OTHER_TENANT, CAROL)).token_lifetime(200);
    let home = Aks { name: "home", server: &env.world.api, tenant: TENANT };
    let away = Aks { name: "away", server: &other, tenant: OTHER_TENANT };
    env.write(".kube/config", &aks_kubeconfig(&[home, away]));
    // Alice is a guest there, so that her sign-in would serve.
    env.run(&["convert-kubeconfig", "--login", "devicecode", "--context", "away", "--account", CAROL]);
    for (context, person) in [("home", ALICE), ("away", CAROL)] {
        env.world.entra.approve(person);
        let run = kubectl.run(&env, &["--context", context, "get", "namespaces"]);
        assert!(run.stderr.contains(&format!("signed in as {person} (tenant ")), "{run:#?}");
    }
    for context in ["home", "away", "home", "away"] {
        let run = kubectl.run(&env, &["--context", context, "get", "namespaces"]);
        assert_eq!((run.stdout.as_str(), run.stderr.as_str()), (NAMESPACES, ""));
    }
    assert_eq!((users(&env.world.api), users(&other)), (vec![ALICE.to_owned()], vec![CAROL.to_owned()]));
}

#[test]
fn a_declined_sign_in_is_prompted_for_once_however_often_kubectl_tries() {
    with_every_kubectl(|kubectl| {
        let env = signed_out();
        env.world.entra.person(Person::Decline);
        let run = kubectl.run(&env, &["get", "namespaces"]);
        assert_eq!((run.code, run.stdout.as_str(), prompts(&run.stderr)), (1, "", 1), "{run:#?}");
        assert!(run.stderr.contains("Error: the sign-in was declined; "), "{run:#?}");
        assert_eq!(take_grants(&env), ["devicecode", "device_code"]);
    });
}

/// A kubectl and its minor version.
pub struct Kubectl {
    pub path: PathBuf,
    pub minor: u32,
}

impl Kubectl {
    pub fn run(&self, env: &TestEnv, args: &[&str]) -> Run {
        Run::of(&mut env.other(&self.path, args))
    }

    /// The exec entry of the one user in `file`, as it reads it.
    fn view(&self, env: &TestEnv, file: &str) -> serde_json::Value {
        let args = ["config", "view", "--raw", "-o", "json", "--kubeconfig", file];
        let run = self.run(env, &args);
        assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{} {run:#?}", self.path.display());
        let view: serde_json::Value = serde_json::from_str(&run.stdout).expect("JSON");
        view["users"][0]["user"]["exec"].clone()
    }

    pub fn get_namespaces(&self, env: &TestEnv) -> Run {
        let run = self.run(env, &["get", "namespaces"]);
        assert_eq!((run.code, run.stdout.as_str()), (0, NAMESPACES), "{} {run:#?}", self.path.display());
        run
    }
}

/// Every version runs `test` at once, each in a world of its own.
pub fn with_every_kubectl(test: impl Fn(&Kubectl) + Sync) {
    thread::scope(|scope| {
        for kubectl in kubectls() {
            scope.spawn(|| test(kubectl));
        }
    });
}

/// `kubectl get namespaces` thirty times at once, by all versions in turn; `None` without kubectl.
pub fn thirty(env: &TestEnv) -> Option<Vec<Running>> {
    let kubectls = kubectls();
    let start = |kubectl: &Kubectl| Running::start(env, env.other(&kubectl.path, &["get", "namespaces"]));
    (!kubectls.is_empty()).then(|| kubectls.iter().cycle().take(30).map(start).collect())
}

/// One kubectl of every version that this machine has.
pub fn kubectls() -> &'static [Kubectl] {
    static FOUND: LazyLock<Vec<Kubectl>> = LazyLock::new(|| {
        let versions: BTreeMap<String, Kubectl> = candidates().into_iter().filter_map(recognise).collect();
        versions.into_values().collect()
    });
    if FOUND.is_empty() {
        missing("kubectl");
    }
    &FOUND
}

/// What the user names, what is on PATH, and the versions (`kubectl.1.33`) that some packages keep
/// beside the program that PATH leads to.
fn candidates() -> Vec<PathBuf> {
    let variable = |name| std::env::var_os(name).unwrap_or_default();
    let named = std::env::split_paths(&variable("KUBENTRA_TEST_KUBECTL")).collect::<Vec<_>>();
    let on_path = std::env::split_paths(&variable("PATH")).map(|dir| dir.join("kubectl")).collect::<Vec<_>>();
    let beside = on_path.iter().filter_map(|path| std::fs::canonicalize(path).ok()?.parent().map(PathBuf::from));
    let entries = beside.collect::<Vec<_>>().into_iter().filter_map(|dir| std::fs::read_dir(dir).ok()).flatten();
    let versioned = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.file_name().and_then(OsStr::to_str).is_some_and(|name| name.starts_with("kubectl.")));
    named.into_iter().chain(versioned).chain(on_path).filter(|path| path.is_file()).collect()
}

/// Its version, if it is a kubectl that runs here.
fn recognise(path: PathBuf) -> Option<(String, Kubectl)> {
    let output = Command::new(&path).args(["version", "--client", "-o", "json"]).output().ok()?;
    let version: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
    let version = &version["clientVersion"];
    let minor = version["minor"].as_str()?.trim_end_matches('+').parse().ok()?;
    Some((version["gitVersion"].as_str()?.to_owned(), Kubectl { path, minor }))
}

/// A cluster in a kubeconfig of AKS.
pub struct Aks<'a> {
    pub name: &'a str,
    pub server: &'a FakeApiServer,
    pub tenant: &'a str,
}

/// A home with the kubeconfig of one cluster, whose user Alice will sign in when asked.
pub fn signed_out() -> TestEnv {
    let env = TestEnv::new();
    env.world.entra.approve(ALICE);
    let cluster = Aks { name: "name", server: &env.world.api, tenant: TENANT };
    env.write(".kube/config", &aks_kubeconfig(&[cluster]));
    env
}

/// The same, converted to an application whose secret stands in the environment.
fn converted_to_spn() -> TestEnv {
    let mut env = signed_out();
    convert(&env, "kubelogin", &["-l", "spn"]);
    env.set("AAD_SERVICE_PRINCIPAL_CLIENT_ID", APP).set("AAD_SERVICE_PRINCIPAL_CLIENT_SECRET", APP_SECRET);
    env
}

/// The same, converted to an application with a certificate that the entry names.
fn converted_to_certificate() -> TestEnv {
    let env = signed_out();
    let file = pem_file("app", Kind::Chained);
    env.write("app.pem", &file);
    env.world.entra.certificate(file.as_bytes());
    convert(&env, "kubelogin", &["-l", "spn", "--client-id", APP, "--client-certificate", "app.pem"]);
    env
}

/// Converts the kubeconfig as `program`; `args` begin with `--login METHOD`, for exactly `-l azurecli` is
/// how az calls, and is answered in silence.
pub fn convert(env: &TestEnv, program: &str, args: &[&str]) {
    let all: Vec<&str> = ["convert-kubeconfig"].iter().chain(args).copied().collect();
    let run = Run::of(&mut env.command(program, &all));
    let done = format!("converted clusterUser_rg_name to {} ({})\n", args[1], kubeconfig(env).display());
    assert!(run.code == 0 && run.stderr.starts_with(&done), "{run:#?}");
}

pub fn kubeconfig(env: &TestEnv) -> PathBuf {
    env.home().join(Path::new(".kube/config"))
}

/// What `az aks get-credentials` writes, in its order.
pub fn aks_kubeconfig<'a>(clusters: &[Aks<'a>]) -> String {
    let all = |part: fn(&Aks<'a>) -> String| clusters.iter().map(part).collect::<String>();
    format!(
        "apiVersion: v1\nclusters:\n{}contexts:\n{}current-context: {}\nkind: Config\npreferences: {{}}\nusers:\n{}",
        all(Aks::cluster),
        all(Aks::context),
        clusters[0].name,
        all(Aks::user)
    )
}

impl Aks<'_> {
    fn cluster(&self) -> String {
        let (ca, url, name) = (STANDARD.encode(self.server.ca_pem()), self.server.url(), self.name);
        format!("- cluster:\n    certificate-authority-data: {ca}\n    server: {url}\n  name: {name}\n")
    }

    fn context(&self) -> String {
        let name = self.name;
        format!("- context:\n    cluster: {name}\n    user: clusterUser_rg_{name}\n  name: {name}\n")
    }

    fn user(&self) -> String {
        let (name, tenant) = (self.name, self.tenant);
        format!(
            "- name: clusterUser_rg_{name}
  user:
    exec:
      apiVersion: client.authentication.k8s.io/v1beta1
      args:
      - get-token
      - --environment
      - AzurePublicCloud
      - --server-id
      - {AKS_SERVER}
      - --client-id
      - {AKS_CLIENT}
      - --tenant-id
      - {tenant}
      - --login
      - devicecode
      command: kubelogin
      env: null
      installHint: |2

        kubelogin is not installed which is required to connect to AAD enabled cluster.

        To learn more, please go to https://aka.ms/aks/kubelogin
      provideClusterInfo: false
"
        )
    }
}

fn person_of(tenant: &str, upn: &str) -> User {
    let oid = "cccccccc-cccc-4ccc-8ccc-cccccccccccc".to_owned();
    User { upn: upn.to_owned(), home_tenant: tenant.to_owned(), oid, groups: Vec::new(), guest_of: Vec::new() }
}

/// What was asked of Entra since the last time.
pub fn take_grants(env: &TestEnv) -> Vec<String> {
    let grants = grants(env);
    env.world.entra.clear_log();
    grants
}

/// Everybody that the API server saw, once each; panics if it did not believe somebody.
pub fn users(api: &FakeApiServer) -> Vec<String> {
    let seen = api.requests().into_iter().map(|request| request.user.expect("a token that is believed"));
    seen.collect::<std::collections::BTreeSet<_>>().into_iter().collect()
}
