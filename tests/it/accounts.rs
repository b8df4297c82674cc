//! Several people, tenants and clusters on one machine: whose token is whose, and what is forgotten.

use std::time::Duration;

use serde_json::Value;

use crate::env::{Run, TestEnv, get_token};
use crate::kubectl::{signed_out, take_grants, users, with_every_kubectl};
use crate::parallel::best_of_three;
use crate::parallel::{Running, prompts, timed, until};
use crate::support::entra::directory::{AKS_CLIENT, AKS_SERVER, ALICE, BOB, OTHER_TENANT, TENANT};
use crate::support::entra::{Fault, Person, Rotation};

/// The server application of Arc-enabled Kubernetes.
const ARC_SERVER: &str = "6256c85f-0aad-4d50-b960-e6e9b21efe35";
const THIRD_TENANT: &str = "55555555-5555-4555-8555-555555555555";
const ALICE_ELSEWHERE: &str = "aaaaaaaa-cccc-4aaa-8aaa-aaaaaaaaaaaa";

#[test]
fn one_sign_in_serves_every_tenant_and_every_kind_of_cluster() {
    let env = TestEnv::new();
    env.world.entra.tenant(THIRD_TENANT, &["third.example"]).guest(ALICE, THIRD_TENANT, ALICE_ELSEWHERE);
    env.world.entra.approve(ALICE);
    assert_eq!(prompts(&in_tenant(&env, TENANT).stderr), 1);
    take_grants(&env);
    for tenant in [OTHER_TENANT, THIRD_TENANT] {
        let run = in_tenant(&env, tenant);
        assert_eq!((claim(&env, &run, "tid"), prompts(&run.stderr)), (tenant.to_owned(), 0));
        assert_eq!(run.stderr.lines().count(), 1, "{run:#?}");
        assert_eq!(take_grants(&env), ["refresh_token"]);
    }
    env.world.entra.resource(ARC_SERVER);
    let run = env.run_all(&for_server(&env.device_code(&[]), ARC_SERVER));
    assert_eq!((claim(&env, &run, "aud"), take_grants(&env)), (ARC_SERVER.to_owned(), strings(["refresh_token"])));
    let report = status(&env);
    assert_eq!((report["signIns"].as_array().unwrap().len(), report["tokens"].as_array().unwrap().len()), (1, 4));
}

#[test]
fn between_two_people_nobody_is_guessed() {
    let env = two_people();
    let run = in_tenant(&env, OTHER_TENANT);
    let note =
        format!("note: {ALICE} and {BOB} are signed in; `kubentra login --account NAME` picks one for a cluster\n");
    assert!(run.stderr.starts_with(&note), "{run:#?}");
    assert_eq!((prompts(&run.stderr), take_grants(&env)), (1, strings(["devicecode", "device_code"])));
    // Whoever was named once is not asked for again.
    assert_eq!(in_tenant(&env, OTHER_TENANT), Run { stderr: String::new(), ..run });
}

#[test]
fn a_name_picks_one_of_two_without_a_prompt() {
    for (who, other) in [(ALICE, BOB), (BOB, ALICE)] {
        let env = two_people();
        env.world.entra.approve(other).resource(ARC_SERVER);
        let run = env.run_all(&for_server(&env.device_code(&["--login-hint", who]), ARC_SERVER));
        assert_eq!((claim(&env, &run, "upn"), take_grants(&env)), (who.to_owned(), strings(["refresh_token"])));
    }
}

#[test]
fn pinned_clusters_never_cross() {
    let env = TestEnv::new();
    env.world.entra.tenant(THIRD_TENANT, &["third.example"]).token_lifetime(200).rotate(Rotation::SingleUse);
    env.world.entra.guest(ALICE, THIRD_TENANT, ALICE_ELSEWHERE).guest(BOB, THIRD_TENANT, "bbbbbbbb-cccc-4bbb-8bbb-b");
    let mut asked = 0;
    for round in 0..4 {
        for (who, tenant) in [(ALICE, TENANT), (BOB, TENANT), (BOB, THIRD_TENANT), (ALICE, THIRD_TENANT)] {
            env.world.entra.approve(who);
            let run = env.run_all(&in_this(&env.device_code(&["--login-hint", who]), tenant));
            assert_eq!([claim(&env, &run, "unique_name"), claim(&env, &run, "tid")], [who, tenant], "{round}");
            asked += prompts(&run.stderr);
        }
    }
    assert_eq!(asked, 2, "each person is asked once");
}

#[test]
fn a_pinned_cluster_takes_nobody_else() {
    let env = TestEnv::new();
    env.world.entra.approve(BOB);
    let args = env.device_code(&["--login-hint", ALICE]);
    let run = env.run_all(&args);
    assert!(run.failure().contains(&format!("Error: {BOB} has signed in, and not {ALICE}; ")), "{run:#?}");
    let report = status(&env);
    assert_eq!((report["signIns"].as_array().unwrap().len(), &report["tokens"][0]["expiresOn"]), (0, &Value::Null));
}

#[test]
fn kubectl_asks_nobody_after_login_and_somebody_after_logout() {
    with_every_kubectl(|kubectl| {
        let env = signed_out();
        let login = env.run(&["login"]);
        assert_eq!((login.code, login.stdout.as_str(), prompts(&login.stderr)), (0, "", 1), "{login:#?}");
        assert_eq!(take_grants(&env), ["devicecode", "device_code"]);
        assert_eq!(kubectl.get_namespaces(&env).stderr, "");
        assert_eq!((take_grants(&env), users(&env.world.api)), (Vec::new(), vec![ALICE.to_owned()]));
        assert_eq!(env.run(&["logout"]).code, 0);
        assert_eq!(prompts(&kubectl.get_namespaces(&env).stderr), 1);
    });
}

/// kubectl tells for which cluster a bound token is; login knows it from the same kubeconfig.
#[test]
fn a_bound_token_is_had_ahead_too() {
    let mut env = TestEnv::new();
    env.world.entra.approve(ALICE);
    let args = env.device_code(&["--pop-enabled"]);
    for (tells, code) in [(false, 1), (true, 0)] {
        let exec = serde_json::json!({"command": "kubelogin", "args": args, "provideClusterInfo": tells});
        let config = serde_json::json!({
            "current-context": "c", "clusters": [{"name": "c", "cluster": {"server": "https://c"}}],
            "contexts": [{"name": "c", "context": {"user": "u", "cluster": "c"}}],
            "users": [{"name": "u", "user": {"exec": exec}}],
        });
        env.write(".kube/config", &config.to_string());
        let run = env.run(&["login"]);
        assert_eq!((run.code, prompts(&run.stderr)), (code, usize::from(tells)), "{run:#?}");
    }
    take_grants(&env);
    let info = serde_json::json!({"spec": {"cluster": {"server": "https://c"}}});
    env.set("KUBERNETES_EXEC_INFO", info.to_string());
    assert_eq!((env.run_all(&args).code, take_grants(&env)), (0, Vec::new()));
    env.unset("KUBERNETES_EXEC_INFO");
    assert_eq!(status(&env)["tokens"][0]["boundToKey"], true);
    let told = format!("signed out {ALICE}: forgot 1 sign-in, 1 token and 1 key\n");
    assert_eq!(env.run(&["logout"]).stderr, told);
}

#[test]
fn a_renewal_under_way_does_not_bring_back_who_was_signed_out() {
    for (lifetime, refresh_in) in [(200, None), (3600, Some(0))] {
        for forgetting in [vec!["logout"], vec!["logout", "--account", ALICE], vec!["logout", "--all"]] {
            best_of_three(Duration::from_secs(4), || {
                let env = TestEnv::new();
                env.world.entra.approve(ALICE).token_lifetime(lifetime).refresh_in(refresh_in);
                env.run_all(&env.device_code(&[])).token();
                env.world.entra.clear_log().inject_on("token", Fault::Slow(Duration::from_millis(1200)));
                let renewing = Running::kubentra(&env, &env.device_code(&[]));
                until("the renewal", || env.world.entra.requests().len() == 1);
                let (run, time) = timed(|| env.run(&forgetting));
                renewing.finish().token();
                assert_eq!((run.code, run.stdout.as_str()), (0, ""), "{run:#?}");
                assert!(run.stderr.contains("1 sign-in and 1 token\n"), "{run:#?}");
                assert!(time > Duration::from_millis(500), "{time:?}");
                let report = status(&env);
                assert_eq!((&report["signIns"], &report["tokens"]), (&Value::Array(vec![]), &Value::Array(vec![])));
                assert_eq!(prompts(&env.run_all(&env.device_code(&[])).stderr), 1, "{forgetting:?}");
                time
            });
        }
    }
}

/// The other cluster has no token yet, so nothing but its lock tells that it uses Alice's sign-in.
#[test]
fn neither_does_one_for_a_cluster_that_is_new() {
    let env = TestEnv::new();
    env.world.entra.approve(ALICE);
    env.run_all(&env.device_code(&[])).token();
    env.world.entra.clear_log().inject_on("token", Fault::Slow(Duration::from_millis(1200)));
    let renewing = Running::kubentra(&env, &in_this(&env.device_code(&[]), OTHER_TENANT));
    until("the renewal", || env.world.entra.requests().len() == 1);
    let run = env.run(&["logout"]);
    renewing.finish().token();
    assert_eq!(run.stderr, format!("signed out {ALICE}: forgot 1 sign-in and 2 tokens\n"));
    assert!(!env.cache().exists(), "the key of nothing is of no use");
}

#[test]
fn many_at_once_and_a_logout_leave_nobody_signed_in() {
    let env = TestEnv::new();
    env.world.entra.approve(ALICE).token_lifetime(200).rotate(Rotation::SingleUse);
    let tenants = [TENANT, OTHER_TENANT];
    for tenant in tenants {
        in_tenant(&env, tenant).token();
    }
    env.world.entra.person(Person::Decline);
    let start = |index: usize| Running::kubentra(&env, &in_this(&env.device_code(&[]), tenants[index % 2]));
    let running: Vec<Running> = (0..10).map(start).collect();
    let run = env.run(&["logout", "--account", ALICE]);
    assert!(run.stderr.starts_with(&format!("signed out {ALICE}: forgot 1 sign-in and ")), "{run:#?}");
    for run in running.into_iter().map(Running::finish) {
        assert!(run.code == 0 || run.failure().contains("declined"), "{run:#?}");
    }
    assert_eq!(status(&env)["signIns"], Value::Array(vec![]));
}

/// A world in which Alice and Bob have signed in, each for a cluster of theirs.
fn two_people() -> TestEnv {
    let env = TestEnv::new();
    for who in [BOB, ALICE] {
        env.world.entra.approve(who);
        env.run_all(&env.device_code(&["--login-hint", who])).token();
    }
    env.world.entra.clear_log();
    env
}

fn in_tenant(env: &TestEnv, tenant: &str) -> Run {
    env.run_all(&in_this(&get_token("devicecode", AKS_CLIENT, &[]), tenant))
}

/// The same command line for another tenant.
fn in_this(args: &[String], tenant: &str) -> Vec<String> {
    args.iter().map(|arg| arg.replace(TENANT, tenant)).collect()
}

/// The same command line for another server application.
fn for_server(args: &[String], server: &str) -> Vec<String> {
    args.iter().map(|arg| arg.replace(AKS_SERVER, server)).collect()
}

fn claim(env: &TestEnv, run: &Run, name: &str) -> String {
    let claims = env.world.entra.claims(&run.token()).expect("a token of the fake");
    claims[name].as_str().expect("a text").to_owned()
}

fn status(env: &TestEnv) -> Value {
    serde_json::from_str(&env.run(&["status", "-o", "json"]).stdout).expect("JSON")
}

fn strings<const N: usize>(words: [&str; N]) -> Vec<String> {
    words.map(String::from).into()
}
