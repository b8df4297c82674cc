//! Many processes at once: one login for all, locks that die with their holder, renewals that
//! nobody waits for.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::env::{Run, TestEnv, get_token};
use crate::support::entra::directory::{AKS_SERVER, ALICE, APP, BOB, OTHER_TENANT, TENANT};
use crate::support::entra::{Fault, Person, Rotation};
use crate::support::hosts::{self, APP_SERVICE, Host, IDENTITY_HEADER};

/// A program that runs while the test looks on; what it prints goes to files.
pub struct Running {
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Running {
    pub fn start(env: &TestEnv, mut command: Command) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::SeqCst);
        let [stdout, stderr] = ["out", "err"].map(|kind| env.dir().join(format!("{number}.{kind}")));
        let create = |path: &Path| File::create(path).expect("a file for output");
        let child = command.stdout(create(&stdout)).stderr(create(&stderr)).spawn().expect("the program starts");
        Self { child, stdout, stderr }
    }

    /// `kubentra ARGS` in the background.
    pub fn kubentra(env: &TestEnv, args: &[String]) -> Self {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        Self::start(env, env.command("kubentra", &args))
    }

    pub fn pid(&self) -> nix::unistd::Pid {
        nix::unistd::Pid::from_raw(self.child.id().cast_signed())
    }

    pub fn said(&self) -> String {
        read(&self.stderr)
    }

    pub fn says(&self, text: &str) -> bool {
        self.said().contains(text)
    }

    pub fn wait_until_it_says(&self, text: &str) {
        until(text, || self.says(text));
    }

    /// Ends it as `kill -9` does.
    pub fn kill(mut self) {
        self.child.kill().expect("it still runs");
        self.child.wait().expect("it can be waited for");
    }

    pub fn finish(mut self) -> Run {
        let status = self.child.wait().expect("it can be waited for");
        Run { code: status.code().unwrap_or(-1), stdout: read(&self.stdout), stderr: read(&self.stderr) }
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).expect("output in UTF-8")
}

/// Looks again and again until it is so; gives up after a minute, in which nothing is slow that still works.
pub fn until(what: &str, mut so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !so() {
        assert!(start.elapsed() < Duration::from_secs(60), "never came: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The run and how long it took.
pub fn timed(run: impl FnOnce() -> Run) -> (Run, Duration) {
    let start = Instant::now();
    (run(), start.elapsed())
}

/// For times that have no other witness. A machine that is busy with other tests may be slow, but not every time.
pub fn best_of_three(limit: Duration, time: impl FnMut() -> Duration) {
    let mut times = Vec::new();
    let soon = std::iter::repeat_with(time).take(3).any(|time| {
        times.push(time);
        time < limit
    });
    assert!(soon, "{times:?}");
}

/// The grant types asked for so far; a device code is `devicecode`.
pub fn grants(env: &TestEnv) -> Vec<String> {
    let name = |request: &crate::support::entra::Recorded| {
        let last = request.path.rsplit('/').next().unwrap_or_default();
        request.param("grant_type").unwrap_or(last).rsplit(':').next().unwrap_or_default().to_owned()
    };
    env.world.entra.requests().iter().map(name).collect()
}

/// How many sign-ins were prompted for in `text`.
pub fn prompts(text: &str) -> usize {
    text.matches("enter the code").count()
}

const WAITING: &str = "waiting for another process that is signing in to the same cluster\n";

#[test]
fn thirty_cold_calls_are_one_request() {
    let env = TestEnv::new();
    env.world.entra.inject_on("token", Fault::Slow(Duration::from_millis(700)));
    let runs = all_at_once(&env, 30, &env.spn(&[]));
    assert!(runs.iter().all(|run| run.code == 0 && run.stdout == runs[0].stdout), "{runs:#?}");
    assert_eq!((env.world.entra.requests().len(), env.world.entra.connections()), (1, 1));
}

#[test]
fn thirty_cold_calls_in_an_app_are_one_request() {
    let mut env = TestEnv::new();
    let endpoint = env.world.hosts.url(APP_SERVICE);
    env.set("IDENTITY_ENDPOINT", endpoint).set("IDENTITY_HEADER", IDENTITY_HEADER);
    env.world.hosts.inject(Host::AppService, hosts::Fault::Slow(Duration::from_millis(700)));
    let args = ["get-token", "--login", "msi", "--server-id", AKS_SERVER].map(String::from);
    let runs = all_at_once(&env, 30, &args);
    assert!(runs.iter().all(|run| run.code == 0 && run.stdout == runs[0].stdout), "{runs:#?}");
    assert_eq!(env.world.hosts.requests().len(), 1);
}

#[test]
fn a_killed_holder_is_followed_by_the_next() {
    best_of_three(Duration::from_secs(1), || {
        let env = TestEnv::new();
        let holder = Running::kubentra(&env, &env.device_code(&[]));
        holder.wait_until_it_says("enter the code");
        let next = Running::kubentra(&env, &env.device_code(&[]));
        next.wait_until_it_says(WAITING);
        holder.kill();
        let killed = Instant::now();
        next.wait_until_it_says("enter the code");
        let time = killed.elapsed();
        env.world.entra.approve(ALICE);
        let run = next.finish();
        assert!(run.code == 0 && run.stderr.contains(&format!("signed in as {ALICE} (tenant ")), "{run:#?}");
        assert_eq!(grants(&env).iter().filter(|grant| *grant == "devicecode").count(), 2);
        time
    });
}

#[test]
fn a_declined_sign_in_is_asked_for_once() {
    best_of_three(Duration::from_secs(2), || {
        let env = TestEnv::new();
        let holder = Running::kubentra(&env, &env.device_code(&[]));
        holder.wait_until_it_says("enter the code");
        let others: Vec<Running> = (0..5).map(|_| Running::kubentra(&env, &env.device_code(&[]))).collect();
        until("five that wait", || others.iter().all(|other| other.says(WAITING)));
        env.world.entra.person(Person::Decline);
        let first = holder.finish();
        let declined = Instant::now();
        assert_eq!(first.code, 1);
        let hint = "the sign-in was declined; run the command again in half a minute, and approve it";
        assert!(first.failure().ends_with(&format!(" to authenticate.\nError: {hint}\n")), "{first:#?}");
        for run in others.into_iter().map(Running::finish) {
            let error = run.failure().strip_prefix(WAITING).expect("it waited");
            assert!(
                error.starts_with("Error: a sign-in failed ")
                    && error.contains("ago: the sign-in was declined; the next one is possible in "),
                "{error}"
            );
            assert_eq!((run.code, error.lines().count()), (1, 1));
        }
        let time = declined.elapsed();
        assert_eq!(grants(&env).iter().filter(|grant| *grant == "devicecode").count(), 1);
        time
    });
}

#[test]
fn two_people_do_not_wait_for_each_other() {
    let env = TestEnv::new();
    let running = [ALICE, BOB].map(|name| Running::kubentra(&env, &env.device_code(&["--account", name])));
    until("two prompts", || running.iter().all(|run| run.says("enter the code")));
    for (run, name) in running.iter().zip([ALICE, BOB]) {
        env.world.entra.approve_code(&code_in(&run.said()), name);
    }
    for (run, name) in running.into_iter().zip([ALICE, BOB]) {
        let token = run.finish().token();
        assert_eq!(env.world.entra.claims(&token).expect("a token of ours")["upn"], name);
    }
}

#[test]
fn whoever_signs_in_by_hand_does_not_wait_for_another_cluster() {
    let env = TestEnv::new();
    let unseen = Running::kubentra(&env, &env.device_code(&[]));
    unseen.wait_until_it_says("enter the code");
    let by_hand: Vec<_> = as_guest(&env).into_iter().map(|word| word.replace("get-token", "login")).collect();
    let by_hand = Running::kubentra(&env, &by_hand);
    by_hand.wait_until_it_says("enter the code");
    env.world.entra.approve(ALICE);
    assert_eq!((by_hand.finish().code, unseen.finish().code), (0, 0));
}

fn code_in(prompt: &str) -> String {
    let (_, rest) = prompt.split_once("enter the code ").expect("a prompt");
    rest.split_whitespace().next().expect("a code").to_owned()
}

#[test]
fn an_early_renewal_keeps_nobody_waiting_and_its_failure_is_remembered() {
    for args in [TestEnv::spn, TestEnv::device_code] {
        best_of_three(Duration::from_millis(4500), || {
            let env = due();
            let current = env.run_all(&args(&env, &[]));
            env.world.entra.clear_log().inject_on("token", Fault::Slow(Duration::from_secs(30)));
            // Three seconds for the first of them, and none for the next.
            let times = [(); 2].map(|()| {
                let (run, time) = timed(|| env.run_all(&args(&env, &[])));
                assert_eq!((&run.stdout, run.stderr.as_str()), (&current.stdout, ""));
                assert_eq!(env.world.entra.requests().len(), 1);
                time
            });
            times.iter().sum()
        });
    }
}

#[test]
fn a_refused_early_renewal_is_remembered_and_nothing_is_lost() {
    let env = due();
    let current = env.run_all(&env.device_code(&[]));
    env.world.entra.clear_log().revoke_all_grants();
    for _ in 0..2 {
        let run = env.run_all(&env.device_code(&[]));
        assert_eq!((&run.stdout, run.stderr.as_str()), (&current.stdout, ""));
    }
    assert_eq!(grants(&env), ["refresh_token"]);
}

#[test]
fn an_early_renewal_by_one_is_no_business_of_the_others() {
    best_of_three(Duration::from_secs(1), || {
        let env = due();
        let current = env.run_all(&env.spn(&[]));
        env.world.entra.clear_log().refresh_in(None).inject_on("token", Fault::Slow(Duration::from_millis(2500)));
        let renewing = Running::kubentra(&env, &env.spn(&[]));
        until("the renewal", || env.world.entra.requests().len() == 1);
        let (other, time) = timed(|| env.run_all(&env.spn(&[])));
        assert_eq!(other, current);
        let renewed = renewing.finish();
        assert_ne!(renewed.token(), current.token());
        assert_eq!(env.run_all(&env.spn(&[])), renewed);
        assert_eq!(env.world.entra.requests().len(), 1);
        time
    });
}

#[test]
fn rotated_refresh_tokens_are_kept() {
    let env = stale(Rotation::SingleUse);
    let mut tokens = std::collections::BTreeSet::new();
    for _ in 0..3 {
        let run = env.run_all(&env.device_code(&[]));
        assert_eq!(run.stderr, "");
        tokens.insert(run.token());
    }
    assert_eq!((tokens.len(), grants(&env)), (3, vec!["refresh_token".to_owned(); 3]));
}

#[test]
fn ten_renewals_at_once_are_one_request() {
    let env = stale(Rotation::SingleUse);
    env.world.entra.token_lifetime(3600).inject_on("token", Fault::Slow(Duration::from_millis(700)));
    let runs = all_at_once(&env, 10, &env.device_code(&[]));
    assert!(runs.iter().all(|run| run.code == 0 && run.stdout == runs[0].stdout), "{runs:#?}");
    assert_eq!(grants(&env), ["refresh_token"]);
}

#[test]
fn a_cache_that_cannot_be_costs_one_line() {
    let env = TestEnv::new();
    env.write(".kube/cache", "a file in the way");
    let run = env.run_all(&env.spn(&[]));
    run.token();
    let own = env.cache().display().to_string();
    assert_eq!(run.stderr, format!("note: tokens are not kept between runs: {own}: not a directory\n"));
}

#[test]
fn a_cache_removed_during_a_login_does_not_end_it() {
    let env = TestEnv::new();
    let running = Running::kubentra(&env, &env.device_code(&[]));
    running.wait_until_it_says("enter the code");
    std::fs::remove_dir_all(env.home().join(".kube")).expect("a cache to remove");
    env.world.entra.approve(ALICE);
    let run = running.finish();
    run.token();
    let notes: Vec<&str> = run.stderr.lines().skip(1).filter(|line| !line.starts_with("signed in as ")).collect();
    assert!(notes.len() <= 1, "{run:#?}");
}

#[test]
fn forgetting_everything_leaves_a_running_login_alone() {
    let env = TestEnv::new();
    let running = Running::kubentra(&env, &env.device_code(&[]));
    running.wait_until_it_says("enter the code");
    assert_eq!(env.run(&["remove-cache-dir"]).code, 0);
    env.world.entra.approve(ALICE);
    let run = running.finish();
    assert!(run.stderr.contains(&format!("signed in as {ALICE} (tenant ")), "{run:#?}");
    env.world.entra.clear_log();
    assert_eq!(env.run_all(&env.device_code(&[])).stdout, run.stdout);
    assert_eq!(grants(&env), Vec::<String>::new());
}

/// A world whose tokens are due for renewal as soon as they are there.
fn due() -> TestEnv {
    let env = TestEnv::new();
    env.world.entra.approve(ALICE).refresh_in(Some(0));
    env
}

/// A world in which Alice has signed in and her token has to be renewed at every call.
fn stale(rotation: Rotation) -> TestEnv {
    let env = TestEnv::new();
    env.world.entra.approve(ALICE).token_lifetime(200).rotate(rotation);
    env.run_all(&env.device_code(&[])).token();
    env.world.entra.clear_log();
    env
}

fn all_at_once(env: &TestEnv, count: usize, args: &[String]) -> Vec<Run> {
    let running: Vec<Running> = (0..count).map(|_| Running::kubentra(env, args)).collect();
    running.into_iter().map(Running::finish).collect()
}

/// The same request in the tenant where Alice is a guest.
fn as_guest(env: &TestEnv) -> Vec<String> {
    env.device_code(&[]).into_iter().map(|word| word.replace(TENANT, OTHER_TENANT)).collect()
}

#[test]
fn two_clusters_at_once_are_one_prompt() {
    let env = TestEnv::new();
    let home = Running::kubentra(&env, &env.device_code(&[]));
    home.wait_until_it_says("enter the code");
    let away: Vec<Running> = (0..5).map(|_| Running::kubentra(&env, &as_guest(&env))).collect();
    until("those that wait", || away.iter().all(|run| run.says("waiting for another process")));
    env.world.entra.approve(ALICE);
    home.finish().token();
    let away: Vec<Run> = away.into_iter().map(Running::finish).collect();
    assert!(away.iter().all(|run| run.stdout == away[0].stdout && prompts(&run.stderr) == 0), "{away:#?}");
    assert_eq!(env.world.entra.claims(&away[0].token()).expect("a token of ours")["tid"], OTHER_TENANT);
    let asked = grants(&env);
    assert_eq!(asked.iter().filter(|grant| *grant == "devicecode").count(), 1, "{asked:?}");
    assert_eq!(asked.iter().filter(|grant| *grant == "refresh_token").count(), 1, "{asked:?}");
}

#[test]
fn a_sign_in_that_is_declined_for_one_cluster_is_not_asked_for_again_by_those_that_wait() {
    let env = TestEnv::new();
    let home = Running::kubentra(&env, &env.device_code(&[]));
    home.wait_until_it_says("enter the code");
    let away = Running::kubentra(&env, &as_guest(&env));
    until("one that waits", || away.says("waiting for another process"));
    env.world.entra.person(Person::Decline);
    assert_eq!(home.finish().code, 1);
    let away = away.finish();
    assert!(away.failure().contains(" s ago: the sign-in was declined; the next one is possible in "), "{away:#?}");
    assert_eq!(prompts(&away.stderr), 0);
    // kubectl starts a plugin that has failed again at once.
    for _ in 0..3 {
        let again = env.run_all(&as_guest(&env));
        assert_eq!((again.code, prompts(&again.stderr)), (1, 0), "{again:#?}");
    }
    env.world.entra.approve(ALICE);
    let by_hand: Vec<_> = as_guest(&env).into_iter().map(|word| word.replace("get-token", "login")).collect();
    assert_eq!(env.run_all(&by_hand).code, 0);
    env.run_all(&as_guest(&env)).token();
    env.world.entra.resource(ARC);
    env.run_all(&env.device_code(&["--server-id", ARC])).token();
}

/// The server application of Arc-enabled clusters.
const ARC: &str = "6256c85f-0aad-4d50-b960-e6e9b21efe35";

#[test]
fn whoever_signs_in_by_hand_does_not_wait_for_an_unseen_prompt_of_the_same_cluster() {
    let env = TestEnv::new();
    let unseen = Running::kubentra(&env, &env.device_code(&[]));
    unseen.wait_until_it_says("enter the code");
    let by_hand: Vec<_> = env.device_code(&[]).into_iter().map(|word| word.replace("get-token", "login")).collect();
    let by_hand = Running::kubentra(&env, &by_hand);
    by_hand.wait_until_it_says("enter the code");
    env.world.entra.approve_code(&code_in(&by_hand.said()), ALICE);
    assert_eq!(by_hand.finish().code, 0);
    unseen.kill();
    let run = env.run_all(&env.device_code(&[]));
    run.token();
    assert_eq!(run.stderr, "");
}

#[test]
fn many_with_a_wrong_secret_ask_once() {
    let env = TestEnv::new();
    env.world.entra.inject_on("token", Fault::Slow(Duration::from_millis(700)));
    let mut args = env.spn(&[]);
    args.extend(["--client-secret".to_owned(), "wrong".to_owned()]);
    let runs = all_at_once(&env, 10, &args);
    let told = |text: &str| runs.iter().filter(|run| run.failure().contains(text)).count();
    assert_eq!(
        (
            told("use the secret's value, not its ID"),
            told("has just failed in another process: the client secret is wrong")
        ),
        (10, 9),
        "everybody is told the way out"
    );
    assert_eq!(env.world.entra.requests().len(), 1);
    assert!(env.run_all(&args).failure().contains("use the secret's value"), "who comes later tries anew");
}

#[test]
fn many_are_served_a_token_however_short_it_lives() {
    let env = TestEnv::new();
    env.world.entra.token_lifetime(120).inject_on("token", Fault::Slow(Duration::from_millis(700)));
    let runs = all_at_once(&env, 10, &env.spn(&[]));
    assert!(runs.iter().all(|run| run.code == 0 && run.stdout == runs[0].stdout), "{runs:#?}");
    assert_eq!(env.world.entra.requests().len(), 1);
}

#[test]
fn thirty_cold_jobs_of_github_are_two_requests() {
    let mut env = TestEnv::new();
    let github = env.world.hosts.secure_url(&format!("{}?existing=1", hosts::GITHUB));
    env.set("ACTIONS_ID_TOKEN_REQUEST_URL", github).set("ACTIONS_ID_TOKEN_REQUEST_TOKEN", hosts::GITHUB_TOKEN);
    let subject = "repo:contoso/app:ref:refs/heads/main";
    env.world.entra.federate("https://token.actions.githubusercontent.com", subject, "api://AzureADTokenExchange");
    env.world.hosts.inject(Host::GitHub, hosts::Fault::Slow(Duration::from_millis(700)));
    let args = get_token("workloadidentity", APP, &[]);
    let runs = all_at_once(&env, 30, &args);
    assert!(runs.iter().all(|run| run.code == 0 && run.stdout == runs[0].stdout), "{runs:#?}");
    assert_eq!((env.world.hosts.count(Host::GitHub), env.world.entra.requests().len()), (1, 1));
}

#[test]
fn many_jobs_without_permission_ask_github_once() {
    let mut env = TestEnv::new();
    let github = env.world.hosts.secure_url(&format!("{}?existing=1", hosts::GITHUB));
    env.set("ACTIONS_ID_TOKEN_REQUEST_URL", github).set("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "canary-of-yesterday");
    env.world.hosts.inject(Host::GitHub, hosts::Fault::Slow(Duration::from_millis(700)));
    let runs = all_at_once(&env, 10, &get_token("workloadidentity", APP, &[]));
    let told = |text: &str| runs.iter().filter(|run| run.failure().contains(text)).count();
    assert_eq!(
        (told("id-token: write"), told("has just failed in another process: GitHub answered HTTP 401")),
        (10, 9)
    );
    assert_eq!((env.world.hosts.count(Host::GitHub), env.world.entra.requests().len()), (1, 0));
}
