//! The agent of Azure Arc, whose keys lie in one directory of the system. Only root can make it, and
//! a real agent's is left alone; everything that needs no key is a case (`msi-arc-…`).

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use crate::env::{Run, TestEnv};
use crate::support::entra::directory::AKS_SERVER;
use crate::support::hosts::{ARC, Challenge, Host, SYSTEM, USER};

const AGENT: &str = "/var/opt/azcmagent";
/// Tells a directory of this test from a real agent's.
const MARK: &str = "made-by-a-test-of-kubentra";

/// The directory with the keys, which goes when the test ends.
struct Keys;

impl Keys {
    /// Nothing, where it cannot be made or is a real agent's.
    fn make() -> Option<Self> {
        let agent = Path::new(AGENT);
        // Another run has a minute; one that was killed has left it for ever.
        if agent.join(MARK).exists() && !within_a_minute(|| !agent.exists()) {
            fs::remove_dir_all(agent).expect("a directory of a killed test can be removed");
        }
        if agent.exists() {
            return skipped("there is a real agent");
        }
        // Whole from the beginning, so that nobody takes it for a real one's.
        let draft = PathBuf::from(format!("{AGENT}-test-{}", std::process::id()));
        let made = fs::create_dir_all(draft.join("tokens"))
            .and_then(|()| fs::write(draft.join(MARK), ""))
            .and_then(|()| fs::rename(&draft, agent));
        match made {
            Ok(()) => Some(Self),
            Err(error) if error.kind() == ErrorKind::PermissionDenied && !rustix::process::geteuid().is_root() => {
                skipped("only root can make it")
            }
            Err(error) => {
                let _ = fs::remove_dir_all(&draft);
                panic!("{AGENT} cannot be made: {error}")
            }
        }
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(AGENT);
    }
}

fn skipped(why: &str) -> Option<Keys> {
    writeln!(std::io::stderr(), "skipped: {AGENT}/tokens is missing: {why}").expect("stderr");
    None
}

fn within_a_minute(so: impl Fn() -> bool) -> bool {
    (0..600).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(100));
        so()
    })
}

fn server() -> TestEnv {
    let mut env = TestEnv::new();
    let endpoint = env.world.hosts.url(ARC);
    env.set("IDENTITY_ENDPOINT", endpoint).set("IMDS_ENDPOINT", "http://127.0.0.1:40342");
    env.world.hosts.arc_keys_in(&Path::new(AGENT).join("tokens"));
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
fn the_agent_and_its_keys() {
    let Some(_keys) = Keys::make() else { return };
    a_key_is_read_once();
    each_selector_is_answered_for();
    an_old_agent_is_not_believed();
    keys_that_cannot_be_used();
}

fn a_key_is_read_once() {
    let env = server();
    let cold = ask(&env, &["-v", "10"]);
    assert_eq!(identity(&env, &cold), SYSTEM.client_id);
    let statuses: Vec<_> = env.world.hosts.requests().iter().map(|request| request.status).collect();
    assert_eq!(statuses, [401, 200]);
    let warm = ask(&env, &[]);
    assert_eq!((warm.stderr.as_str(), warm.token()), ("", cold.token()));
    assert_eq!(env.world.hosts.count(Host::Arc), 0);
    assert_eq!(fs::read_dir(Path::new(AGENT).join("tokens")).expect("our directory").count(), 0);
}

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

fn keys_that_cannot_be_used() {
    let env = server();
    let unreadable = |name: &str, why: &str| {
        format!(
            "the key of the Azure Arc agent cannot be read: {why} ({AGENT}/tokens/{name}); \
             try again; if it stays so, look at the agent (azcmagent check)"
        )
    };
    let address = env.world.hosts.base().trim_start_matches("http://").to_owned();
    let odd =
        |what: &str| format!("what answers in place of the Azure Arc agent {what}; look at what listens on {address}");
    let no_key = odd(&format!("names a file that is no key in {AGENT}/tokens, and is not read"));
    let missing = format!("{AGENT}/tokens/gone.key");
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
