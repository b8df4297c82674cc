//! The agent of Azure Arc with its keys: a directory of the test's own stands for that of the system, which a
//! debug build can be told of. Everything that needs no key is a case (`msi-arc-…`).

use std::fs;

use crate::env::{Run, TestEnv};
use crate::support::entra::directory::AKS_SERVER;
use crate::support::hosts::{ARC, Challenge, Host, SYSTEM, USER};

fn server() -> TestEnv {
    let mut env = TestEnv::new();
    let endpoint = env.world.hosts.url(ARC);
    let keys = env.world.hosts.arc_keys().display().to_string();
    env.set("IDENTITY_ENDPOINT", endpoint).set("IMDS_ENDPOINT", "http://127.0.0.1:40342");
    env.set("KUBENTRA_TEST_ARC_KEYS", keys);
    env
}

fn ask(env: &TestEnv, more: &[&str]) -> Run {
    env.world.hosts.clear_log();
    let run = env.run(&[&["get-token", "--login", "msi", "--server-id", AKS_SERVER], more].concat());
    assert!(!run.stderr.contains("canary"), "{run:#?}");
    run
}

/// Whose token it is.
fn identity(env: &TestEnv, run: &Run) -> String {
    env.world.entra.claims(&run.token()).expect("our token")["appid"].as_str().expect("a text").to_owned()
}

#[test]
fn a_key_is_read_once() {
    let env = server();
    let cold = ask(&env, &["-v", "10"]);
    assert_eq!(identity(&env, &cold), SYSTEM.client_id);
    let statuses: Vec<_> = env.world.hosts.requests().iter().map(|request| request.status).collect();
    assert_eq!(statuses, [401, 200]);
    let warm = ask(&env, &[]);
    assert_eq!((warm.stderr.as_str(), warm.token()), ("", cold.token()));
    assert_eq!(env.world.hosts.count(Host::Arc), 0);
    assert_eq!(fs::read_dir(env.world.hosts.arc_keys()).expect("our directory").count(), 0);
}

#[test]
fn each_selector_is_answered_for() {
    let env = server();
    for (flag, id, name) in [
        ("--client-id", USER.client_id, "client_id"),
        ("--identity-object-id", USER.oid, "object_id"),
        ("--identity-resource-id", USER.arm_id, "msi_res_id"),
    ] {
        let run = ask(&env, &[flag, id]);
        assert_eq!((run.stderr.as_str(), identity(&env, &run).as_str()), ("", USER.client_id), "{flag}");
        assert!(env.world.hosts.requests().iter().all(|request| request.param(name).as_deref() == Some(id)), "{flag}");
    }
}

#[test]
fn an_old_agent_is_not_believed() {
    let env = server();
    env.world.hosts.arc_selects(false);
    let run = ask(&env, &["--client-id", USER.client_id]);
    let id = USER.client_id;
    assert_eq!(
        run.failure(),
        format!(
            "Error: the Azure Arc agent gave a token that it does not say is that of client ID {id}, so it is not used \
             (--client-id); update the agent, or leave --client-id out to use the machine's own identity\n"
        )
    );
    assert_eq!(env.world.hosts.count(Host::Arc), 2);
    assert_eq!(identity(&env, &ask(&env, &[])), SYSTEM.client_id);
}

#[test]
fn keys_that_cannot_be_used() {
    let env = server();
    let keys = env.world.hosts.arc_keys().display().to_string();
    let unreadable = |name: &str, why: &str| {
        format!(
            "the key of the Azure Arc agent cannot be read: {why} ({keys}/{name}); \
             try again; if it stays so, look at the agent (azcmagent check)"
        )
    };
    let address = env.world.hosts.base().trim_start_matches("http://").to_owned();
    let odd =
        |what: &str| format!("what answers in place of the Azure Arc agent {what}; look at what listens on {address}");
    let no_key = odd(&format!("names a file that is no key in {keys}, and is not read"));
    let missing = format!("{keys}/gone.key");
    for (challenge, expected) in [
        (Challenge::TooBig, unreadable("challenge-1.key", "it is larger than 4096 bytes")),
        (Challenge::Symlink, unreadable("challenge-2.key", "it is a symbolic link")),
        (Challenge::Directory, unreadable("challenge-3.key", "it is not a regular file")),
        (Challenge::Missing, unreadable("challenge-4.key", "no such file or directory")),
        (Challenge::Path(missing), unreadable("gone.key", "no such file or directory")),
        (Challenge::Empty, odd("names a file that holds no key")),
        (Challenge::DotDot, no_key.clone()),
        (Challenge::Extension, no_key.clone()),
        (Challenge::Outside, no_key.clone()),
        (Challenge::Below, no_key),
    ] {
        env.world.hosts.arc_challenge(challenge.clone());
        let run = ask(&env, &[]);
        assert_eq!(run.failure(), format!("Error: {expected}\n"), "{challenge:?}");
        assert_eq!(env.world.hosts.count(Host::Arc), 1, "{challenge:?}");
    }
}
