//! Whose token a host gives; what is asked of it stands in the cases `msi-…`.

use crate::env::{Run, TestEnv};
use crate::support::entra::directory::{AKS_SERVER, ALICE, BOB};
use crate::support::hosts::{APP_SERVICE, AZURE_ML, CLOUD_SHELL, IDENTITY_HEADER, MSI_SECRET, SYSTEM, USER};

fn claim(env: &TestEnv, run: &Run, name: &str) -> String {
    env.world.entra.claims(&run.token()).expect("our token")[name].as_str().expect("a text").to_owned()
}

fn ask(env: &TestEnv, more: &[&str]) -> Run {
    env.run(&[&["get-token", "--login", "msi", "--server-id", AKS_SERVER], more].concat())
}

#[test]
fn each_selector_gives_the_token_of_its_identity() {
    let [client, object, resource] =
        [["--client-id", USER.client_id], ["--identity-object-id", USER.oid], ["--identity-resource-id", USER.arm_id]];
    let mut env = TestEnv::new();
    let imds = env.world.hosts.base();
    env.set("AZURE_POD_IDENTITY_AUTHORITY_HOST", imds);
    let check = |env: &TestEnv, selectors: &[[&str; 2]]| {
        assert_eq!(claim(env, &ask(env, &[]), "appid"), SYSTEM.client_id);
        for selector in selectors {
            assert_eq!(claim(env, &ask(env, selector), "appid"), USER.client_id, "{selector:?}");
        }
    };
    check(&env, &[client, object, resource]);
    let app = env.world.hosts.url(APP_SERVICE);
    env.set("IDENTITY_ENDPOINT", app).set("IDENTITY_HEADER", IDENTITY_HEADER);
    check(&env, &[client, object, resource]);
    let compute = env.world.hosts.url(AZURE_ML);
    env.unset("IDENTITY_ENDPOINT").set("MSI_ENDPOINT", compute).set("MSI_SECRET", MSI_SECRET);
    check(&env, &[client]);
}

/// And it stays with whoever was signed in when it was fetched: nothing tells the shell's people apart.
#[test]
fn cloud_shell_gives_a_token_of_the_person() {
    let mut env = TestEnv::new();
    let shell = env.world.hosts.url(CLOUD_SHELL);
    env.set("MSI_ENDPOINT", shell);
    assert_eq!(claim(&env, &ask(&env, &[]), "upn"), ALICE);
    env.world.hosts.cloud_shell_user(BOB);
    assert_eq!(claim(&env, &ask(&env, &["--cache-storage", "none"]), "upn"), BOB);
}
