//! `--login auto` with az and azd, many processes, and a network that swallows what is sent to IMDS.
//! What needs none of these are cases (`tests/cases/get-token/auto-…`).

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::env::{Run, TestEnv};
use crate::kubectl::missing;
use crate::parallel::best_of_three;
use crate::parallel::{Running, grants, prompts, timed, until};
use crate::support::az::{AzAccount, AzSubscription, FakeTool, Mode};
use crate::support::entra::Person;
use crate::support::entra::directory::{AKS_CLIENT, AKS_SERVER, ALICE, APP, APP_SECRET, BOB, GRAPH, TENANT};
use crate::support::hosts::{Fault, Host, SYSTEM};
use crate::tools::in_an_hour;

const IMDS: &str = "AZURE_POD_IDENTITY_AUTHORITY_HOST";
const ONE: AzSubscription = AzSubscription { id: "22222222-2222-4222-8222-222222222222", name: "One", tenant: TENANT };
const BY_IMDS: &str = "auto: signing in with the managed identity of this machine (IMDS has one)\n";
const BY_SECRET: &str = "auto: signing in with an application's secret or certificate (AZURE_CLIENT_SECRET is set)\n";
const BY_CODE: &str = "auto: signing in with a device code (nothing else is there)\n";

/// A world in which nothing signs in by itself: no IMDS, though this may be a virtual machine, and no
/// program but ours, though az may be installed.
fn nothing() -> TestEnv {
    let mut env = TestEnv::new();
    let bin = env.dir().join("bin").display().to_string();
    env.set(IMDS, "http://127.0.0.1:1").set("PATH", bin);
    env
}

/// The same with Alice signed in to az.
fn with_az() -> (TestEnv, FakeTool) {
    let mut env = nothing();
    let path = format!("{}:/usr/bin:/bin", env.dir().join("bin").display());
    env.set("PATH", path);
    let az = FakeTool::az(&env.dir().join("bin"), &env.home().join(".azure"));
    az.token(&env.world.entra.mint(ALICE, TENANT, AKS_SERVER), in_an_hour());
    az.az_login(AzAccount::User(ALICE), &[ONE]);
    (env, az)
}

/// As `convert-kubeconfig` writes it for AKS.
fn args(more: &[&str]) -> Vec<String> {
    let fixed = ["get-token", "--login", "auto", "--server-id", AKS_SERVER, "--client-id", AKS_CLIENT, "--tenant-id"];
    fixed.iter().chain(&[TENANT]).chain(more).map(ToString::to_string).collect()
}

fn run(env: &TestEnv) -> Run {
    env.run_all(&args(&[]))
}

/// In a session without a terminal.
fn without_terminal(env: &TestEnv, more: &[&str]) -> Option<Run> {
    let setsid = Path::new("/usr/bin/setsid");
    if !setsid.exists() {
        missing("setsid");
        return None;
    }
    let args = args(more);
    let args: Vec<&str> = ["-w", "kubentra"].into_iter().chain(args.iter().map(String::as_str)).collect();
    Some(Run::of(&mut env.other(setsid, &args)))
}

pub fn by(program: &str, env: &TestEnv) -> String {
    let (name, path) = match program {
        "az" => ("the Azure CLI", env.dir().join("bin/az")),
        _ => ("the Azure Developer CLI", env.dir().join("bin/azd")),
    };
    format!("auto: signing in with {name} ({} has somebody signed in)\n", path.display())
}

#[test]
fn az_comes_after_machines_and_before_azd_and_people() {
    let (mut env, az) = with_az();
    let azd = FakeTool::azd(&env.dir().join("bin"), &env.home().join(".azd"));
    let bobs = env.world.entra.mint(BOB, TENANT, AKS_SERVER);
    azd.token(&bobs, in_an_hour()).azd_login("bob.t");
    env.world.entra.approve(ALICE);
    let imds = env.world.hosts.base();
    env.set(IMDS, &imds);
    assert_eq!(run(&env).stderr, BY_IMDS);
    env.set(IMDS, "http://127.0.0.1:1");
    let by_az = run(&env);
    assert_eq!((by_az.stderr.as_str(), az.count(), azd.count()), (by("az", &env).as_str(), 1, 0));
    assert_eq!(az.last(), format!("account get-access-token --output json --resource {AKS_SERVER} --tenant {TENANT}"));

    az.az_logout();
    let by_azd = run(&env);
    assert_eq!((by_azd.token(), by_azd.stderr.as_str()), (bobs, by("azd", &env).as_str()));
    azd.azd_logout();
    let by_code = run(&env);
    assert!(by_code.stderr.starts_with(BY_CODE) && prompts(&by_code.stderr) == 1, "{by_code:#?}");
    let warm = run(&env);
    assert_eq!((warm.stdout, warm.stderr.as_str()), (by_code.stdout, ""));

    // Each that is back again is taken at once.
    azd.azd_login("bob.t");
    assert_eq!(run(&env).token(), by_azd.token());
    az.az_login(AzAccount::User(ALICE), &[ONE]);
    assert_eq!(run(&env).stdout, by_az.stdout);
    az.uninstall();
    assert_eq!(run(&env).token(), by_azd.token());
}

#[test]
fn a_sign_in_to_az_takes_effect_at_once_and_so_does_its_end() {
    let (mut env, az) = with_az();
    env.world.entra.approve(ALICE);
    az.az_logout();
    assert!(run(&env).stderr.starts_with(BY_CODE));
    az.az_login(AzAccount::User(ALICE), &[ONE]);
    let first = run(&env);
    assert_eq!((first.stderr.as_str(), az.count()), (by("az", &env).as_str(), 1));
    env.set("AZURE_CLIENT_ID", APP).set("AZURE_CLIENT_SECRET", APP_SECRET);
    assert_eq!(run(&env).stderr, BY_SECRET);
    env.unset("AZURE_CLIENT_ID").unset("AZURE_CLIENT_SECRET");
    let other = AzSubscription { id: "33333333-3333-4333-8333-333333333333", name: "Two", tenant: TENANT };
    let bobs = env.world.entra.mint(BOB, TENANT, AKS_SERVER);
    az.token(&bobs, in_an_hour()).az_login(AzAccount::User(BOB), &[other]);
    let second = run(&env);
    assert_eq!((second.token(), second.stderr.as_str(), az.count()), (bobs, by("az", &env).as_str(), 2));
}

#[test]
fn a_warm_call_starts_nothing_and_connects_nowhere() {
    let (mut env, az) = with_az();
    let imds = Swallowing::listen();
    env.set(IMDS, imds.url());
    let cold = run(&env);
    assert_eq!((imds.connections(), az.count()), (1, 1));
    let entra = env.world.entra.connections();
    for _ in 0..3 {
        let warm = run(&env);
        assert_eq!((&warm.stdout, warm.stderr.as_str()), (&cold.stdout, ""));
    }
    assert_eq!((imds.connections(), az.count(), env.world.entra.connections()), (1, 1, entra));
}

#[test]
fn an_az_that_fails_is_an_error() {
    let (env, az) = with_az();
    env.world.entra.approve(ALICE);
    az.mode(Mode::Aadsts);
    let error = format!(
        "{}Error: Entra wants another factor (MFA), AADSTS50076, says az; run `az login --tenant \"{TENANT}\" --scope \"{AKS_SERVER}/.default\"`\n",
        by("az", &env)
    );
    assert_eq!(run(&env).failure(), error);
    az.well();
    assert_eq!(run(&env).stderr, by("az", &env));
    assert_eq!(grants(&env), Vec::<String>::new());
}

#[test]
fn a_renewal_by_the_same_way_says_nothing() {
    let (env, az) = with_az();
    let soon = in_an_hour() - 3400;
    az.token(&env.world.entra.mint(ALICE, TENANT, AKS_SERVER), soon);
    assert_eq!(run(&env).stderr, by("az", &env));
    assert_eq!((run(&env).stderr.as_str(), az.count()), ("", 2));

    let mut env = nothing();
    let imds = env.world.hosts.base();
    env.set(IMDS, &imds);
    env.world.hosts.lifetime(Host::Imds, 200);
    assert_eq!(run(&env).stderr, BY_IMDS);
    env.world.hosts.clear_log();
    let renewed = run(&env);
    assert_eq!(
        (renewed.stderr.as_str(), env.world.hosts.count(Host::Imds)),
        ("", 1),
        "a host that served is not probed"
    );
}

/// A machine whose IMDS is slow for once does not become somebody else.
#[test]
fn a_renewal_waits_for_an_imds_that_is_slow() {
    let (mut env, az) = with_az();
    let imds = env.world.hosts.base();
    env.set(IMDS, &imds);
    env.world.hosts.lifetime(Host::Imds, 200);
    assert_eq!(run(&env).stderr, BY_IMDS);
    env.world.hosts.inject(Host::Imds, Fault::Slow(Duration::from_millis(800)));
    let renewed = run(&env);
    renewed.token();
    assert_eq!((renewed.stderr.as_str(), az.count()), ("", 0));
}

/// Whoever has been signed in as the machine is not signed in as somebody else because IMDS is gone.
#[test]
fn an_imds_that_has_served_and_is_gone_is_an_error() {
    let (mut env, az) = with_az();
    env.set(IMDS, env.world.hosts.base());
    env.world.hosts.lifetime(Host::Imds, 200);
    let first = run(&env);
    let by_imds = "auto: signing in with the managed identity of this machine (IMDS has one)\n";
    assert_eq!((first.stderr.as_str(), az.count()), (by_imds, 0));
    env.world.hosts.always(Host::Imds, Some(Fault::Reset));
    let second = run(&env);
    assert_eq!((second.token(), az.count()), (first.token(), 0), "it is good for another three minutes");
    env.world.hosts.always(Host::Imds, None).clear_log();
    assert_ne!(run(&env).token(), first.token());
}

#[test]
fn thirty_cold_calls_ask_once() {
    let (env, az) = with_az();
    az.mode(Mode::Slow(1));
    all(&env, 30);
    assert_eq!(az.count(), 1);

    let (mut env, az) = with_az();
    let imds = env.world.hosts.base();
    env.set(IMDS, &imds);
    all(&env, 30);
    assert_eq!((env.world.hosts.count(Host::Imds), az.count()), (2, 0), "a probe and a request");
}

/// All give the same token, and one says how.
fn all(env: &TestEnv, count: usize) {
    let running: Vec<_> = (0..count).map(|_| Running::kubentra(env, &args(&[]))).collect();
    let runs: Vec<Run> = running.into_iter().map(Running::finish).collect();
    assert!(runs.iter().all(|run| run.code == 0 && run.stdout == runs[0].stdout), "{runs:#?}");
    assert_eq!(runs.iter().filter(|run| run.stderr.contains("auto: ")).count(), 1, "{runs:#?}");
}

#[test]
fn an_imds_that_never_answers_costs_half_a_second_once_a_day() {
    for imds in [Swallowing::listen, Swallowing::full] {
        best_of_three(Duration::from_millis(700), || {
            let (mut env, az) = with_az();
            let imds = imds();
            env.set(IMDS, imds.url());
            let graph = env.world.entra.mint(ALICE, TENANT, GRAPH);
            let (first, cold) = timed(|| run(&env));
            assert_eq!((first.stderr.as_str(), az.count()), (by("az", &env).as_str(), 1));
            let asked = imds.connections();

            az.token(&graph, in_an_hour());
            let (second, known) = timed(|| env.run_all(&args(&["--server-id", GRAPH])));
            assert_eq!((second.token(), az.count()), (graph, 2));
            let verbose = env.run_all(&args(&["--server-id", "https://management.azure.com", "-v", "1"]));
            let why = "auto: no managed identity (IMDS was not there when it was last looked for)\n";
            assert!(verbose.stderr.contains(why), "{verbose:#?}");
            assert_eq!(imds.connections(), asked, "that it was not there is known");
            cold.saturating_sub(known)
        });
    }
}

#[test]
fn an_imds_that_is_something_else_leads_to_az() {
    for fault in [Fault::Html, Fault::Unreachable, Fault::Status(404), Fault::Reset] {
        let (mut env, az) = with_az();
        let imds = env.world.hosts.base();
        env.set(IMDS, &imds);
        env.world.hosts.always(Host::Imds, Some(fault.clone()));
        let first = run(&env);
        assert_eq!((first.stderr.as_str(), az.count()), (by("az", &env).as_str(), 1), "{fault:?}");
        assert_eq!(env.world.hosts.count(Host::Imds), 1, "{fault:?}");
    }
    // While it is being updated it is waited for, and what was no IMDS at all may be one later.
    let (mut env, az) = with_az();
    let imds = env.world.hosts.base();
    env.set(IMDS, &imds);
    env.world.hosts.inject(Host::Imds, Fault::Status(503));
    assert_eq!(run(&env).stderr, by("az", &env));
    env.world.hosts.inject(Host::Imds, Fault::Status(429)).clear_log();
    let other = env.run_all(&args(&["--server-id", GRAPH]));
    assert_eq!((other.stderr.as_str(), az.count(), env.world.hosts.count(Host::Imds)), (BY_IMDS, 1, 2));

    let (mut env, az) = with_az();
    let imds = env.world.hosts.base();
    env.set(IMDS, &imds);
    env.world.hosts.identities(&[]);
    assert_eq!((run(&env).stderr.as_str(), az.count()), (by("az", &env).as_str(), 1));
}

const NOBODY: &str = "Error: there is no way to sign in here: no secret or certificate is given, \
    no application for a federated token (AZURE_CLIENT_ID is not set), no service connection of an Azure Pipelines job, \
    no managed identity (no IMDS answers), az is not on PATH, azd is not on PATH, \
    no browser can be opened (neither DISPLAY nor WAYLAND_DISPLAY is set), nobody would see a prompt (CI is set and there is no terminal); ";
const WAYS_OUT: &str = "set AZURE_CLIENT_ID and AZURE_TENANT_ID with a secret or a federated token, sign in to az, \
    or name a way with --login\n";

#[test]
fn where_nothing_is_there_one_line_says_what_was_looked_for() {
    let mut env = nothing();
    env.set("CI", "true");
    let Some(run) = without_terminal(&env, &[]) else { return };
    assert_eq!((run.code, run.failure()), (1, format!("{NOBODY}{WAYS_OUT}").as_str()));
    let imds = Swallowing::full();
    env.set(IMDS, imds.url());
    best_of_three(Duration::from_secs(1), || {
        std::fs::remove_dir_all(env.cache()).expect("a cache");
        let (run, time) = timed(|| without_terminal(&env, &[]).expect("setsid"));
        assert_eq!(run.failure(), format!("{NOBODY}{WAYS_OUT}"));
        time
    });

    // Terraform's entry may name no client, and no tenant.
    let args = ["-w", "kubentra", "get-token", "--login", "auto", "--server-id", AKS_SERVER];
    let run = Run::of(&mut env.other(Path::new("/usr/bin/setsid"), &args));
    let end = format!(" azd is not on PATH, nobody can be asked (client ID cannot be empty); {WAYS_OUT}");
    assert!(run.failure().ends_with(&end), "{run:#?}");

    // Entra would take a token, and the job has none.
    env.set("GITHUB_ACTIONS", "true").set("AZURE_CLIENT_ID", APP).set(IMDS, "http://127.0.0.1:1");
    let run = without_terminal(&env, &[]).expect("setsid");
    assert!(run.failure().contains(" no federated token, "), "{run:#?}");
    let hint =
        "; give the job `permissions: id-token: write` (GitHub grants it to no pull request from a fork), or set";
    assert!(run.failure().contains(hint), "{run:#?}");
    assert_eq!(grants(&env), Vec::<String>::new());
}

/// A container may have its identity a while after its start only.
#[test]
fn where_nothing_else_is_there_imds_is_asked_again() {
    let mut env = nothing();
    let imds = env.world.hosts.base();
    env.set(IMDS, &imds).set("CI", "true");
    env.world.hosts.identities(&[]);
    let Some(run) = without_terminal(&env, &[]) else { return };
    assert!(run.failure().contains(" no managed identity (this machine has no system-assigned identity, "), "{run:#?}");
    env.world.hosts.identities(&[&SYSTEM]);
    std::thread::sleep(Duration::from_secs(11));
    without_terminal(&env, &[]).expect("setsid").token();
}

#[test]
fn verbosity_1_says_what_does_not_count() {
    let (env, az) = with_az();
    az.az_logout();
    env.world.entra.approve(ALICE);
    let said = |run: &Run| {
        let about = run.stderr.lines().filter(|line| line.starts_with("auto: "));
        about.map(|line| format!("{line}\n")).collect::<String>()
    };
    let absent = "auto: no secret or certificate is given\n\
        auto: no application for a federated token (AZURE_CLIENT_ID is not set)\n\
        auto: no service connection of an Azure Pipelines job\n\
        auto: no managed identity (no IMDS answers)\n\
        auto: nobody is signed in to az\n";
    let loud = env.run_all(&args(&["-v", "1"]));
    assert!(said(&loud).starts_with(absent) && said(&loud).ends_with(BY_CODE), "{loud:#?}");
    az.az_login(AzAccount::User(ALICE), &[ONE]);
    let loud = env.run_all(&args(&["-v", "1"]));
    let absent = absent
        .replace("auto: nobody is signed in to az\n", "")
        .replace("no IMDS answers", "IMDS was not there when it was last looked for");
    assert_eq!(said(&loud), format!("{absent}{}", by("az", &env)));
    let warm = env.run_all(&args(&["-v", "1"]));
    assert_eq!(said(&warm), "");
    assert!(warm.stderr.contains("the token comes from the cache\n"), "{warm:#?}");
}

#[test]
fn without_a_home_az_is_not_looked_for() {
    let (mut env, az) = with_az();
    let imds = env.world.hosts.base();
    env.unset("HOME").set(IMDS, &imds);
    let by_imds = run(&env);
    assert_eq!((by_imds.stderr.ends_with(BY_IMDS), az.count()), (true, 0), "{by_imds:#?}");
    let config = az.config().display().to_string();
    env.set("AZURE_CONFIG_DIR", config).set(IMDS, "http://127.0.0.1:1");
    let by_az = run(&env);
    assert_eq!((by_az.stderr.ends_with(&by("az", &env)), az.count()), (true, 1), "{by_az:#?}");
}

#[test]
fn in_a_pipeline_with_a_terminal_a_person_is_asked_once() {
    let script = Path::new("/usr/bin/script");
    if !script.exists() {
        return missing("script");
    }
    let mut env = nothing();
    let path = format!("{}:/usr/bin:/bin", env.dir().join("bin").display());
    env.set("CI", "true").set("PATH", path);
    env.world.entra.approve(ALICE).token_lifetime(200);
    let line = format!("kubentra {} 2>stderr", args(&[]).join(" "));
    let mut command: Command = env.other(script, &["-qec", &line, "/dev/null"]);
    Run::of(&mut command).token();
    let stderr = std::fs::read_to_string(env.home().join("stderr")).expect("what was said");
    assert!(stderr.starts_with(BY_CODE) && prompts(&stderr) == 1, "{stderr}");
    // Without the terminal, the refresh token still serves.
    let Some(renewed) = without_terminal(&env, &[]) else { return };
    renewed.token();
    assert_eq!((renewed.stderr.as_str(), grants(&env).last().map(String::as_str)), ("", Some("refresh_token")));
}

#[test]
fn thirty_at_once_show_one_prompt() {
    let env = nothing();
    env.world.entra.person(Person::Wait);
    let running: Vec<_> = (0..30).map(|_| Running::kubentra(&env, &args(&[]))).collect();
    let waiting = |run: &Running| run.says("waiting for another process");
    until("29 that wait", || running.iter().filter(|run| waiting(run)).count() == 29);
    env.world.entra.approve(ALICE);
    let runs: Vec<Run> = running.into_iter().map(Running::finish).collect();
    assert!(runs.iter().all(|run| run.code == 0 && run.stdout == runs[0].stdout), "{runs:#?}");
    assert_eq!(runs.iter().map(|run| prompts(&run.stderr)).sum::<usize>(), 1);
}

/// Where a network swallows what is sent to the address of IMDS.
struct Swallowing {
    address: SocketAddr,
    count: Arc<AtomicUsize>,
    /// Keep a listener's queue full.
    _full: Option<(TcpListener, Vec<TcpStream>)>,
}

impl Swallowing {
    /// Takes connections and never answers.
    fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let count = Arc::new(AtomicUsize::new(0));
        let counted = count.clone();
        std::thread::spawn(move || {
            let mut kept = Vec::new();
            for stream in listener.incoming() {
                counted.fetch_add(1, Ordering::SeqCst);
                kept.push(stream);
            }
        });
        Self { address, count, _full: None }
    }

    /// Lets nobody in: what is sent to open a connection is lost.
    fn full() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().expect("a runtime");
        let listener = runtime.block_on(async {
            let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
            socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
            socket.listen(0).and_then(tokio::net::TcpListener::into_std).expect("a listener")
        });
        let address = listener.local_addr().expect("an address");
        let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(100)).ok();
        let clients: Vec<_> = std::iter::from_fn(connect).take(10).collect();
        assert!(clients.len() < 10, "the queue takes everybody");
        Self { address, count: Arc::default(), _full: Some((listener, clients)) }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn connections(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }
}
