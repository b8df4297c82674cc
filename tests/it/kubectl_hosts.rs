//! Real kubectl through what needs no person: managed identities, federated tokens, az, and `auto`.

use std::time::Duration;

use crate::auto;
use crate::env::{Run, TestEnv};
use crate::kubectl::{
    Kubectl, NAMESPACES, convert, kubeconfig, kubectls, signed_out, thirty, users, with_every_kubectl,
};
use crate::parallel::{Running, grants, prompts};
use crate::support::az::{AzAccount, AzSubscription, FakeTool, Mode};
use crate::support::entra::directory::{AKS_SERVER, ALICE, APP, APP_OID, BOB, TENANT};
use crate::support::entra::{Claims, Fault};
use crate::support::hosts::{APP_SERVICE, Fault as HostFault, Host, IDENTITY_HEADER, SYSTEM, USER};
use crate::tools::in_an_hour;

const ONE: AzSubscription = AzSubscription { id: "22222222-2222-4222-8222-222222222222", name: "One", tenant: TENANT };
const TWO: AzSubscription = AzSubscription { id: "33333333-3333-4333-8333-333333333333", name: "Two", tenant: TENANT };

/// A cluster's kubeconfig, converted to `args`; no IMDS but the one of a test.
fn converted(args: &[&str]) -> TestEnv {
    let mut env = signed_out();
    env.set("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:1");
    convert(&env, "kubentra", args);
    env
}

fn app_service(env: &mut TestEnv) -> Host {
    let endpoint = env.world.hosts.url(APP_SERVICE);
    env.set("IDENTITY_ENDPOINT", endpoint).set("IDENTITY_HEADER", IDENTITY_HEADER);
    Host::AppService
}

fn imds(env: &mut TestEnv) -> Host {
    let base = env.world.hosts.base();
    env.set("AZURE_POD_IDENTITY_AUTHORITY_HOST", base);
    Host::Imds
}

fn pod(env: &mut TestEnv) {
    let claims = Claims {
        issuer: "https://issuer.example.test",
        subject: "system:serviceaccount:default:pod",
        audience: "api://AzureADTokenExchange",
        lifetime: 3600,
    };
    env.world.entra.federate(claims.issuer, claims.subject, claims.audience);
    let file = env.write("token", &env.world.entra.issuer().mint(&claims)).display().to_string();
    env.set("AZURE_FEDERATED_TOKEN_FILE", file).set("AZURE_CLIENT_ID", APP).set("AZURE_TENANT_ID", TENANT);
}

/// Alice is signed in to az, with two subscriptions; in the second one az gives Bob's token.
fn with_az(env: &TestEnv) -> FakeTool {
    let az = FakeTool::az(&env.dir().join("bin"), &env.home().join(".azure"));
    az.token(&env.world.entra.mint(ALICE, TENANT, AKS_SERVER), in_an_hour());
    az.token_for(TWO.id, &env.world.entra.mint(BOB, TENANT, AKS_SERVER));
    az.az_login(AzAccount::User(ALICE), &[ONE, TWO]);
    az
}

/// Cold with `said` on stderr, warm with nothing asked by the count of `asked`; the cluster sees `user`.
fn cold_and_warm(kubectl: &Kubectl, env: &TestEnv, said: &str, user: &str, asked: impl Fn() -> usize) {
    let cold = kubectl.get_namespaces(env);
    assert_eq!(cold.stderr, said);
    let so_far = (asked(), env.world.entra.connections());
    assert_eq!(kubectl.get_namespaces(env).stderr, "");
    assert_eq!(whoami(kubectl, env).as_deref().unwrap_or(user), user);
    assert_eq!((asked(), env.world.entra.connections()), so_far, "the token is kept");
    assert_eq!(users(&env.world.api), [user]);
}

fn whoami(kubectl: &Kubectl, env: &TestEnv) -> Option<String> {
    let args = ["auth", "whoami", "-o", "jsonpath={.status.userInfo.username}"];
    (kubectl.minor >= 28).then(|| kubectl.run(env, &args).stdout)
}

fn all_thirty(env: &TestEnv) {
    let Some(running) = thirty(env) else { return };
    for run in running.into_iter().map(Running::finish) {
        assert_eq!((run.code, run.stdout.as_str()), (0, NAMESPACES), "{run:#?}");
    }
}

#[test]
fn a_managed_identity() {
    with_every_kubectl(|kubectl| {
        for place in [app_service, imds] {
            let mut env = converted(&["-l", "msi"]);
            let host = place(&mut env);
            cold_and_warm(kubectl, &env, "", SYSTEM.oid, || env.world.hosts.requests().len());
            assert_eq!((env.world.hosts.count(host), env.world.hosts.requests().len()), (1, 1));
            assert_eq!(env.world.entra.requests().len(), 0);
        }
        let mut env = converted(&["-l", "msi", "--client-id", USER.client_id]);
        imds(&mut env);
        cold_and_warm(kubectl, &env, "", USER.oid, || env.world.hosts.requests().len());
    });
}

#[test]
fn thirty_at_once_ask_for_a_managed_identity_once() {
    for place in [app_service, imds] {
        let mut env = converted(&["-l", "msi"]);
        let host = place(&mut env);
        env.world.hosts.inject(host, HostFault::Slow(Duration::from_secs(2)));
        all_thirty(&env);
        assert!(kubectls().is_empty() || env.world.hosts.count(host) == 1, "{:#?}", env.world.hosts.traffic());
    }
}

#[test]
fn a_pod() {
    with_every_kubectl(|kubectl| {
        let mut env = converted(&["-l", "workloadidentity"]);
        pod(&mut env);
        cold_and_warm(kubectl, &env, "", APP_OID, || env.world.entra.requests().len());
        assert_eq!(grants(&env), ["client_credentials"]);
    });
    let mut env = converted(&["-l", "workloadidentity"]);
    pod(&mut env);
    env.world.entra.inject_on("token", Fault::Slow(Duration::from_secs(2)));
    all_thirty(&env);
    assert!(kubectls().is_empty() || grants(&env) == ["client_credentials"], "{:?}", grants(&env));
}

#[test]
fn the_azure_cli() {
    for method in ["azurecli", "auto"] {
        with_every_kubectl(|kubectl| {
            let env = converted(&["--login", method]);
            let az = with_az(&env);
            let said = if method == "auto" { auto::by("az", &env) } else { String::new() };
            cold_and_warm(kubectl, &env, &said, ALICE, || az.count());
            assert_eq!((az.count(), env.world.entra.requests().len()), (1, 0));

            az.az_account_set(TWO.id);
            env.world.api.clear_log();
            kubectl.get_namespaces(&env);
            assert_eq!((users(&env.world.api), az.count()), (vec![BOB.to_owned()], 2), "{method}");

            az.az_account_set(ONE.id);
            env.world.api.clear_log();
            assert_eq!(kubectl.get_namespaces(&env).stderr, "");
            assert_eq!((users(&env.world.api), az.count()), (vec![ALICE.to_owned()], 2), "{method}");
        });
        let env = converted(&["--login", method]);
        let az = with_az(&env);
        az.mode(Mode::Slow(2));
        all_thirty(&env);
        assert!(kubectls().is_empty() || az.count() == 1, "{method} {}", az.count());
    }
}

#[test]
fn after_az_logout_its_token_is_not_used() {
    with_every_kubectl(|kubectl| {
        let env = converted(&["--login", "azurecli"]);
        let az = with_az(&env);
        kubectl.get_namespaces(&env);
        az.az_logout();
        env.world.api.clear_log();
        let run = kubectl.run(&env, &["get", "namespaces"]);
        assert_eq!((run.code, run.stdout.as_str()), (1, ""), "{run:#?}");
        assert!(
            run.stderr.contains("Error: az is not signed in (") && run.stderr.contains("run `az login`"),
            "{run:#?}"
        );
        assert!(env.world.api.requests().iter().all(|request| request.user.is_err()));

        // By `auto` the next way is taken.
        let env = converted(&["-l", "auto"]);
        let az = with_az(&env);
        env.world.entra.approve(BOB);
        kubectl.get_namespaces(&env);
        az.az_logout();
        env.world.api.clear_log();
        let run: Run = kubectl.get_namespaces(&env);
        assert!(
            run.stderr.starts_with("auto: signing in with a device code (") && prompts(&run.stderr) == 1,
            "{run:#?}"
        );
        assert_eq!((users(&env.world.api), az.count()), (vec![BOB.to_owned()], 1));
        assert!(std::fs::read_to_string(kubeconfig(&env)).expect("a kubeconfig").contains("- auto\n"));
    });
}
