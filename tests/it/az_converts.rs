//! `az aks get-credentials` converts what it has fetched: it starts `kubelogin` by itself. Here the real
//! az does, where it is installed (or named by `KUBENTRA_TEST_AZ`), on a fake ARM; and everywhere an
//! imitation of it that has to write the same files.
//!
//! What az 2.91.0 does, by the lines of its `acs/custom.py`:
//!
//! - It merges first (2058): the file is loaded, an entry of the same name is removed and the new one
//!   appended (2134-2153), and all of it is dumped anew by PyYAML (2229), which reads and writes YAML
//!   1.1, sorts keys, and drops comments, anchors' names and styles. A temporary file replaces the old
//!   one and keeps its mode (2226-2236); a symbolic link is refused (2218).
//! - An entry that differs is overwritten with `--overwrite-existing` only, or after a prompt (2139). An
//!   entry that was converted does differ: fetching the same cluster again fails without the flag, and
//!   kubelogin isn't started.
//! - kubelogin is started (2062) if the first user of what ARM sent, not of the file, has a `command` with
//!   `kubelogin` in it and `--login devicecode` or `-l devicecode` in its arguments joined by blanks
//!   (2089-2113). So neither after `--admin` nor for the legacy `--format azure`. Nobody asks for its
//!   version.
//! - It must be an executable file `kubelogin` (Windows: `kubelogin.exe`) in a directory of PATH (526);
//!   if there is none, az says how to install it (2077).
//! - The call (2066): `kubelogin convert-kubeconfig -l azurecli`, without a file, in the directory of the
//!   file that az has written, with az's own environment, stdin, stdout and stderr: nothing is captured,
//!   nothing is read. Of the result only the exit code counts: 0 is "Converted kubeconfig to use Azure
//!   CLI authentication." (2071), whatever was done; another is a warning (2073), and az's own is 0.
//! - The file: `--file` as given; or, with its default, the first item of `KUBECONFIG` (2043), where the
//!   rest of the list isn't looked at; or `~/.kube/config`. With another `--file` the default kubeconfig is
//!   converted all the same, and the file that was written is not.
//! - A path without a directory (`-f name`, `-f -`, `KUBECONFIG=name`) has the directory "", which cannot
//!   be changed to: `Error running kubelogin: [Errno 2] No such file or directory: ''` (2075), and
//!   kubelogin was never started. That is azure-cli#34091.
//! - A relative `KUBECONFIG=sub/name` names nothing from the directory `sub`, in which kubelogin is started:
//!   client-go's rules find nothing to convert, and az says "Converted" (2071). We look for `name` there.
//! - `az aks namespace get-credentials` (727) merges and starts nobody.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::env::{Run, TestEnv};
use crate::kubectl::{Aks, NAMESPACES, aks_kubeconfig, kubeconfig, kubectls, signed_out};
use crate::pty::Pty;
use crate::real_az::real_az;
use crate::support::apiserver::FakeApiServer;
use crate::support::arm::{FakeArm, ManagedCluster};
use crate::support::az_merge::{calls_kubelogin, merge};
use crate::support::entra::directory::{AKS_CLIENT, AKS_SERVER, APP, APP_OID, APP_SECRET, TENANT};

const CONVERTED: &str = "WARNING: Converted kubeconfig to use Azure CLI authentication.\n";
/// az's own words where it could not even start kubelogin (azure-cli#34091).
const NOT_STARTED: &str = "WARNING: Error running kubelogin: [Errno 2] No such file or directory: ''\n";
const CALL: [&str; 3] = ["convert-kubeconfig", "-l", "azurecli"];

/// Somebody else's, as PyYAML writes it.
const STRANGERS: &str = "\
apiVersion: v1
clusters:
- cluster:
    server: https://oidc.example
  name: oidc
contexts:
- context:
    cluster: oidc
    user: oidc
  name: oidc
current-context: oidc
kind: Config
preferences: {}
users:
- name: oidc
  user:
    exec:
      apiVersion: client.authentication.k8s.io/v1
      args:
      - get-token
      - --oidc-issuer-url=https://issuer.example
      command: kubelogin
      interactiveMode: IfAvailable
";

/// The imitation is as good as this: the real az made `az_wrote.yaml` of [`STRANGERS`].
#[test]
fn the_imitated_az_writes_what_the_real_one_wrote() {
    let env = TestEnv::new();
    let prod = aks_kubeconfig(&[Aks { name: "prod", server: &env.world.api, tenant: TENANT }]);
    let ca = STANDARD.encode(env.world.api.ca_pem());
    let prod = prod.replace(&env.world.api.url(), "https://prod-abc.hcp.westeurope.azmk8s.io:443").replace(&ca, "Y2E=");
    let wrote = include_str!("support/az_wrote.yaml");
    assert_eq!(merge(STRANGERS, &prod), wrote);
    assert_eq!(merge(wrote, &prod), wrote);
}

#[test]
fn the_imitated_az_fetches_and_converts_as_often_as_it_likes() {
    let mut env = TestEnv::new();
    let file = env.write(".kube/config", STRANGERS);
    let fetched = |name| aks_kubeconfig(&[Aks { name, server: &env.world.api, tenant: TENANT }]);
    let (prod, dev) = (fetched("prod"), fetched("dev"));
    let directory = "/home/me/az";
    imitated(&env, &file, &prod);
    let named = env.run(&[&CALL[..], &["--context", "prod", "--azure-config-dir", directory]].concat());
    assert_eq!(named.code, 0, "{named:#?}");
    let kept = item(&text(&file), "clusterUser_rg_prod");
    assert!(kept.contains(&format!("- name: AZURE_CONFIG_DIR\n        value: {directory}\n")), "{kept}");

    // What az has in its own environment is nothing for the file.
    env.set("AZURE_CONFIG_DIR", "/azs/own");
    imitated(&env, &file, &dev);
    let both = text(&file);
    assert_eq!(item(&both, "clusterUser_rg_prod"), kept);
    assert_eq!(item(&both, "oidc"), item(STRANGERS, "oidc"));
    assert_eq!((both.matches("- azurecli\n").count(), both.matches("devicecode").count()), (2, 0));
    for _ in 0..3 {
        imitated(&env, &file, &dev);
        assert_eq!(text(&file), both);
    }
    // az moves what it has fetched to the end; it takes the variable with it.
    imitated(&env, &file, &prod);
    imitated(&env, &file, &dev);
    let moved = text(&file);
    assert_eq!(item(&moved, "clusterUser_rg_dev"), item(&both, "clusterUser_rg_dev"));
    assert_eq!(item(&moved, "clusterUser_rg_prod"), item(&both, "clusterUser_rg_dev").replace("_dev", "_prod"));
    let left: Vec<_> = fs::read_dir(env.home().join(".kube")).expect("a directory").collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[test]
fn the_imitated_az_does_not_wait_for_us_on_five_hundred_clusters() {
    let env = TestEnv::new();
    let names: Vec<String> = (0..500).map(|number| format!("cluster-{number}")).collect();
    let clusters: Vec<_> = names.iter().map(|name| Aks { name, server: &env.world.api, tenant: TENANT }).collect();
    let (all, last) = (aks_kubeconfig(&clusters), aks_kubeconfig(&clusters[499..]));
    let file = env.home().join(".kube/config");
    // All of them are of the device code; one is; none.
    for fetched in [Some(&all), Some(&last), None] {
        let existing = fs::read_to_string(&file).unwrap_or_default();
        env.write(".kube/config", &fetched.map_or(existing.clone(), |fetched| merge(&existing, fetched)));
        let mut command = env.other(Path::new("/bin/sh"), &["-c", "kubelogin convert-kubeconfig -l azurecli && times"]);
        let run = Run::of(command.current_dir(env.home().join(".kube")));
        assert_eq!((run.code, run.stderr.as_str()), (0, ""));
        assert_eq!(text(&file).matches("- azurecli\n").count(), 500);
        let took = children_took(&run.stdout);
        assert!(took < 1.0, "{took} s");
    }
}

/// az hands its own stderr on: lines of ours, two for each cluster, would stand among its two. (A person
/// who types the same is told: `azs_call_in_a_terminal_is_reported`.)
#[test]
fn the_imitated_az_in_a_terminal_has_the_last_word() {
    let env = signed_out();
    let shell = ["sh", "-c", "kubelogin convert-kubeconfig -l azurecli; echo converted >&2", "az"];
    let Some(pty) = Pty::start_program(&env, &shell, &["aks".into(), "get-credentials".into()], 80) else { return };
    let ended = pty.finish();
    assert_eq!((ended.code, ended.raw.as_str()), (Some(0), "converted\r\n"));
    assert!(text(&kubeconfig(&env)).contains("- azurecli\n"));
}

#[test]
fn the_real_az_in_a_terminal_has_the_last_word() {
    let Some(mut az) = Az::signed_in() else { return };
    // Without what notes our starts: it would be the one that starts us.
    let beside = az.program.parent().expect("a directory").display();
    let path = format!("{}:{beside}:/usr/bin:/bin", az.env.dir().join("bin").display());
    az.env.set("PATH", path);
    let args = ["aks", "get-credentials", "-g", "rg", "-n", "prod"].map(String::from);
    let Some(pty) = Pty::start_program(&az.env, &["az"], &args, 80) else { return };
    let ended = pty.finish();
    let expected = (merged("prod", &az.kubeconfig()) + CONVERTED).replace('\n', "\r\n");
    assert_eq!((ended.code, ended.raw), (Some(0), expected));
    assert!(az.text().contains("- azurecli\n"));
}

#[test]
fn the_real_az_fetches_and_converts_as_often_as_it_likes() {
    let Some(az) = Az::signed_in() else { return };
    az.env.write(".kube/config", STRANGERS);
    chmod(&az.kubeconfig(), 0o600);
    az.converts("prod", &[]);
    assert_eq!(az.arm.take_log().last().expect("a request"), FETCHED);

    // Where az keeps its files is the person's own decision: it outlives the next merge.
    let directory = az.env.home().join(".azure").display().to_string();
    let context = ["--context", "prod", "--azure-config-dir", &directory];
    let named = Run::of(&mut az.env.command("kubelogin", &[&CALL[..], &context].concat()));
    assert_eq!(named.code, 0, "{named:#?}");
    let prod = item(&az.text(), "clusterUser_rg_prod");
    assert!(prod.contains(&format!("- name: AZURE_CONFIG_DIR\n        value: {directory}\n")), "{prod}");

    az.converts("dev", &[]);
    let both = az.text();
    assert_eq!(item(&both, "clusterUser_rg_prod"), prod);
    assert_eq!(item(&both, "oidc"), item(STRANGERS, "oidc"));
    assert_eq!((both.matches("- azurecli\n").count(), both.matches("devicecode").count()), (2, 0));

    for _ in 0..2 {
        az.converts("dev", &["--overwrite-existing"]);
        assert_eq!(az.text(), both);
    }
    let imitation = az.env.write("imitation", &merge(&both, &managed("dev", &az.dev).user));
    az.env.run(&[&CALL[..], &["--kubeconfig", path(&imitation)]].concat());
    assert_eq!(text(&imitation), both);
    // Without the flag az gives up before it comes to us.
    let refused = az.get_credentials("dev", &[]);
    let different =
        "ERROR: A different object named clusterUser_rg_dev already exists in users in your kubeconfig file.\n";
    assert_eq!((refused.code, refused.stderr.as_str()), (1, different));
    assert_eq!((az.text(), az.noted().len()), (both, 0));

    for kubectl in kubectls() {
        for context in ["prod", "dev"] {
            let run = Run::of(&mut az.env.other(&kubectl.path, &["--context", context, "get", "namespaces"]));
            assert_eq!((run.code, run.stdout.as_str(), run.stderr.as_str()), (0, NAMESPACES, ""));
        }
        let who = |server: &FakeApiServer| server.requests().iter().all(|request| request.user == Ok(APP_OID.into()));
        assert!(who(&az.env.world.api) && who(&az.dev));
    }
}

#[test]
fn the_real_az_writes_elsewhere() {
    let Some(mut az) = Az::signed_in() else { return };
    let default = az.kubeconfig();
    let unconverted = aks_kubeconfig(&[Aks { name: "prod", server: &az.env.world.api, tenant: TENANT }]);

    // There is no default kubeconfig: nothing to convert is no problem.
    let elsewhere = az.env.home().join("elsewhere/config");
    let (run, noted) = az.fetch("prod", &["-f", path(&elsewhere)]);
    assert_eq!((run.code, run.stderr), (0, merged("prod", &elsewhere) + CONVERTED));
    assert_eq!(noted, [started(&az.env.home().join("elsewhere"))]);
    assert!(!default.exists() && text(&elsewhere).contains("- devicecode\n"));

    // With one, that is what is converted.
    az.env.write(".kube/config", &unconverted);
    chmod(&default, 0o600);
    let before = text(&elsewhere);
    az.fetch("prod", &["-f", path(&elsewhere), "--overwrite-existing"]);
    assert_eq!((az.text().matches("- azurecli\n").count(), text(&elsewhere)), (1, before));
    assert_eq!(without_entry(&az.text()), without_entry(&unconverted));

    // What az cannot start us for (azure-cli#34091) costs nothing.
    let converted = az.text();
    let (run, noted) = az.fetch("dev", &["-f", "name"]);
    assert_eq!((run.code, run.stderr, noted.len()), (0, merged("dev", Path::new("name")) + NOT_STARTED, 0));
    let (run, noted) = az.fetch("dev", &["-f", "-"]);
    assert_eq!((run.code, run.stderr.as_str(), noted.len()), (0, NOT_STARTED, 0));
    assert!(run.stdout.contains("- devicecode\n"));
    assert_eq!(az.text(), converted);

    // The list in KUBECONFIG: az writes the first, all of them are converted.
    let (first, second) = (az.env.home().join("list/first"), az.env.write("list/second", &unconverted));
    chmod(&second, 0o600);
    az.env.set("KUBECONFIG", format!("{}:{}", path(&first), path(&second)));
    let (run, noted) = az.fetch("dev", &[]);
    assert_eq!((run.code, run.stderr), (0, merged("dev", &first) + CONVERTED));
    assert_eq!(noted, [started(&az.env.home().join("list"))]);
    for file in [&first, &second] {
        assert_eq!(text(file).matches("- azurecli\n").count(), 1, "{}", file.display());
    }
    assert_eq!(az.text(), converted);

    // From the directory that az starts us in, `./file` is the same file.
    az.env.set("KUBECONFIG", "./here");
    let (run, _) = az.fetch("dev", &[]);
    assert_eq!((run.code, run.stderr), (0, merged("dev", Path::new("./here")) + CONVERTED));
    assert!(text(&az.env.home().join("here")).contains("- azurecli\n"));
    // `sub/file` is not; we find it all the same.
    az.env.set("KUBECONFIG", "sub/file");
    let (run, _) = az.fetch("dev", &[]);
    assert_eq!((run.code, run.stderr), (0, merged("dev", Path::new("sub/file")) + CONVERTED));
    assert!(text(&az.env.home().join("sub/file")).contains("- azurecli\n"));
}

#[test]
fn the_real_az_fetches_what_is_not_for_us() {
    let Some(az) = Az::signed_in() else { return };
    az.write_odd_users();
    let odd = az.odd_arguments();

    let (admin, noted) = az.fetch("prod", &["--admin"]);
    assert_eq!((admin.code, admin.stderr, noted.len()), (0, merged("prod-admin", &az.kubeconfig()), 0));
    let key = item(&az.text(), "clusterAdmin_rg_prod");
    let (legacy, noted) = az.fetch("prod", &["--format", "azure"]);
    assert_eq!((legacy.code, legacy.stderr, noted.len()), (0, merged("prod", &az.kubeconfig()), 0));
    assert!(item(&az.text(), "clusterUser_rg_prod").contains("auth-provider:\n"));

    // The next cluster brings us in: the legacy entry goes with it, the key stays.
    az.converts("dev", &[]);
    assert!(item(&az.text(), "clusterUser_rg_prod").contains("- azurecli\n"));
    assert_eq!(item(&az.text(), "clusterAdmin_rg_prod"), key);
    // YAML 1.1 has read what we wrote, and has written it for YAML 1.2.
    assert_eq!(az.odd_arguments(), odd);

    // One of ours that lacks something: az says so, and so do we; what az has merged stays.
    fs::write(az.kubeconfig(), az.text() + HALF).expect("a file");
    let (half, noted) = az.fetch("dev", &["--overwrite-existing"]);
    assert_eq!((half.code, noted.len(), noted[0].code.as_str()), (0, 1, "1"));
    let said: Vec<&str> = half.stderr.lines().collect();
    assert_eq!(said[0].to_owned() + "\n", merged("dev", &az.kubeconfig()), "{half:#?}");
    assert!(said[1].starts_with("Error: --server-id is required (user \""), "{half:#?}");
    assert!(said[2].starts_with("WARNING: Failed to convert kubeconfig with kubelogin: Command "), "{half:#?}");
    assert!(said[2].ends_with(" returned non-zero exit status 1.") && said.len() == 3, "{half:#?}");
}

/// The last request of `get-credentials`.
const FETCHED: &str = "POST listClusterUserCredential?api-version=2026-06-01 -> 200";

/// The real az, signed in as an application that sees the clusters `prod` and `dev` of the group `rg`.
struct Az {
    env: TestEnv,
    arm: FakeArm,
    dev: FakeApiServer,
    program: PathBuf,
}

/// A start of kubelogin.
#[derive(Debug, PartialEq, Eq)]
struct Noted {
    directory: PathBuf,
    code: String,
    arguments: Vec<String>,
}

impl Az {
    /// `None` without az.
    fn signed_in() -> Option<Self> {
        let program = real_az()?;
        let mut env = TestEnv::new();
        let noted = env.dir().join("noted");
        fs::create_dir(&noted).expect("a directory");
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/support/noted.sh");
        symlink(script, noted.join("kubelogin")).expect("a link");
        let beside = program.parent().expect("a directory").display();
        env.set("PATH", format!("{}:{beside}:/usr/bin:/bin", noted.display()));
        let ca = env.world.ca_file().display().to_string();
        env.set("REQUESTS_CA_BUNDLE", ca).set("AZURE_CORE_COLLECT_TELEMETRY", "no").set("AZURE_CORE_NO_COLOR", "true");
        let arm = FakeArm::start(&env.world);
        let dev = FakeApiServer::start(&env.world.authority, &env.world.entra);
        for (name, server) in [("prod", &env.world.api), ("dev", &dev)] {
            arm.cluster(managed(name, server));
        }
        let az = Self { env, arm, dev, program };
        let login = ["login", "--service-principal", "-u", APP, "-p", APP_SECRET, "--tenant", TENANT];
        let login = Run::of(&mut az.env.other(&az.program, &login));
        assert_eq!(login.code, 0, "{login:#?}");
        Some(az)
    }

    fn get_credentials(&self, name: &str, more: &[&str]) -> Run {
        let args = [&["aks", "get-credentials", "-g", "rg", "-n", name], more].concat();
        Run::of(&mut self.env.other(&self.program, &args))
    }

    /// The same, with the starts of kubelogin that came of it.
    fn fetch(&self, name: &str, more: &[&str]) -> (Run, Vec<Noted>) {
        self.noted();
        let run = self.get_credentials(name, more);
        (run, self.noted())
    }

    /// Into the default kubeconfig: az merges, starts us once, has nothing to complain of, and we say
    /// nothing.
    fn converts(&self, name: &str, more: &[&str]) {
        let (run, noted) = self.fetch(name, more);
        assert_eq!((run.code, run.stdout.as_str()), (0, ""), "{run:#?}");
        assert_eq!(run.stderr, merged(name, &self.kubeconfig()) + CONVERTED);
        assert_eq!(noted, [started(&self.env.home().join(".kube"))]);
    }

    /// The starts since the last call.
    fn noted(&self) -> Vec<Noted> {
        let log = self.env.dir().join("noted/log");
        let lines = fs::read_to_string(&log).unwrap_or_default();
        let _ = fs::remove_file(log);
        lines.lines().map(Noted::read).collect()
    }

    fn kubeconfig(&self) -> PathBuf {
        self.env.home().join(".kube/config")
    }

    fn text(&self) -> String {
        text(&self.kubeconfig())
    }

    /// A user `odd-…` for each of [`ODD`], converted by us.
    fn write_odd_users(&self) {
        let names: Vec<String> = (0..ODD.len()).map(|number| format!("odd-{number:02}")).collect();
        let cluster = |name| Aks { name, server: &self.env.world.api, tenant: TENANT };
        let clusters: Vec<Aks> = names.iter().map(|name| cluster(name)).collect();
        self.env.write(".kube/config", &aks_kubeconfig(&clusters));
        chmod(&self.kubeconfig(), 0o600);
        for (name, subscription) in names.iter().zip(ODD) {
            let typed = format!("--subscription={subscription}");
            let run = self.env.run(&[&CALL[..], &["--context", name, &typed]].concat());
            assert_eq!(run.code, 0, "{run:#?}");
        }
    }

    /// The arguments of the users `odd-…`, as kubectl reads them.
    fn odd_arguments(&self) -> Vec<serde_json::Value> {
        let Some(kubectl) = kubectls().last() else { return Vec::new() };
        let view = Run::of(&mut self.env.other(&kubectl.path, &["config", "view", "--raw", "-o", "json"]));
        let view: serde_json::Value = serde_json::from_str(&view.stdout).unwrap_or_else(|_| panic!("{view:#?}"));
        let users = view["users"].as_array().expect("users").iter();
        let odd = users.filter(|user| user["name"].as_str().is_some_and(|name| name.contains("_odd-")));
        let odd: Vec<_> = odd.map(|user| user["user"]["exec"]["args"].clone()).collect();
        assert_eq!(odd.len(), ODD.len());
        odd
    }
}

impl Noted {
    fn read(line: &str) -> Self {
        let mut words = line.split('\t').map(String::from);
        let directory = words.next().expect("a directory").into();
        let took: u64 = words.next().and_then(|took| took.parse().ok()).expect("milliseconds");
        // az itself keeps the machine busy; whoever waits for a lock or a person waits longer.
        assert!(took < 20_000, "{took} ms");
        Self { directory, code: words.next().expect("a code"), arguments: words.collect() }
    }
}

/// `az aks get-credentials --overwrite-existing` into `file`, imitated; nobody is told anything of it.
fn imitated(env: &TestEnv, file: &Path, fetched: &str) {
    assert!(calls_kubelogin(fetched));
    let directory = file.parent().expect("a directory");
    let new = directory.join("tmp8xj2");
    fs::write(&new, merge(&fs::read_to_string(file).unwrap_or_default(), fetched)).expect("a file");
    chmod(&new, 0o600);
    fs::rename(new, file).expect("a file");
    let mut command = env.command("kubelogin", &CALL);
    let run = Run::of(command.current_dir(directory));
    assert_eq!((run.code, run.stdout.as_str(), run.stderr.as_str()), (0, "", ""));
}

/// Seconds of the processor, by the second line of the shell's `times`: other tests want it too, so that
/// a clock would measure them.
fn children_took(times: &str) -> f64 {
    let line = times.lines().nth(1).expect("the children's times");
    let seconds = |time: &str| {
        let (minutes, seconds) = time.strip_suffix('s')?.split_once('m')?;
        Some(minutes.parse::<f64>().ok()? * 60.0 + seconds.parse::<f64>().ok()?)
    };
    line.split(' ').map(|time| seconds(time).unwrap_or_else(|| panic!("{times}"))).sum()
}

/// How az starts kubelogin, when all goes well.
fn started(directory: &Path) -> Noted {
    let directory = directory.canonicalize().expect("a directory");
    Noted { directory, code: "0".into(), arguments: CALL.map(String::from).into() }
}

fn merged(context: &str, file: &Path) -> String {
    format!("WARNING: Merged \"{context}\" as current context in {}\n", file.display())
}

/// A cluster as ARM knows it.
fn managed(name: &str, server: &FakeApiServer) -> ManagedCluster {
    let user = aks_kubeconfig(&[Aks { name, server, tenant: TENANT }]);
    let head = user.split("    exec:\n").next().expect("a user").to_owned();
    let legacy = format!(
        "{head}    auth-provider:
      config:
        apiserver-id: {AKS_SERVER}
        client-id: {AKS_CLIENT}
        config-mode: \"1\"
        environment: AzurePublicCloud
        tenant-id: {TENANT}
      name: azure
"
    );
    let keys = "    client-certificate-data: Y2VydA==\n    client-key-data: a2V5\n    token: \"01234567\"\n";
    let admin = Some(head.replace("clusterUser", "clusterAdmin") + keys);
    ManagedCluster { group: "rg".into(), name: name.into(), user, legacy, admin }
}

/// Names of subscriptions that YAML 1.1 takes for something else, unless they are quoted.
/// (`y` and `1e3` are none of them: PyYAML writes them without quotes, and kubectl reads no strings.)
const ODD: [&str; 14] = [
    "yes",
    "No",
    "on",
    "null",
    "1_000",
    "0b1",
    "0x1F",
    "012",
    "1.5",
    "1.",
    "685.230_15",
    "2020-01-01",
    ".inf",
    "no way",
];

/// An entry without a server application.
const HALF: &str = "\
- name: half
  user:
    exec:
      apiVersion: client.authentication.k8s.io/v1beta1
      args:
      - get-token
      - --login
      - devicecode
      command: kubelogin
";

/// The user `name` of a kubeconfig as az writes it.
fn item(kubeconfig: &str, name: &str) -> String {
    let users = kubeconfig.split("\nusers:\n").nth(1).expect("users");
    let user = format!("- name: {name}\n");
    let from = users.find(&user).unwrap_or_else(|| panic!("no {name} in {users}"));
    let rest = &users[from + user.len()..];
    let until = rest.find("\n- ").map_or(rest.len(), |end| end + 1);
    user + &rest[..until]
}

/// A kubeconfig without the arguments of its entries.
fn without_entry(kubeconfig: &str) -> String {
    kubeconfig.lines().filter(|line| !line.starts_with("      - ")).map(|line| line.to_owned() + "\n").collect()
}

fn text(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

fn path(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn chmod(file: &Path, mode: u32) {
    fs::set_permissions(file, fs::Permissions::from_mode(mode)).expect("a mode");
}
