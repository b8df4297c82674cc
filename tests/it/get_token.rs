//! get-token end to end: sign-in, cache, renewal.

use crate::env::TestEnv;
use crate::support::entra::directory::{AKS_SERVER, ALICE, BOB, GRAPH};

#[test]
fn a_cold_spn_login_is_one_request_on_one_connection_and_the_second_call_none() {
    let env = TestEnv::new();
    let first = env.run_all(&env.spn(&[]));
    assert_eq!(first.stderr, "");
    assert_eq!((env.world.entra.requests().len(), env.world.entra.connections()), (1, 1));
    let second = env.run_all(&env.spn(&[]));
    assert_eq!(second, first);
    assert_eq!(env.world.entra.requests().len(), 1);
}

#[test]
fn a_device_code_sign_in_is_renewed_without_a_person() {
    let env = TestEnv::new();
    env.world.entra.approve(ALICE).token_lifetime(200);
    let first = env.run_all(&env.device_code(&[]));
    assert!(first.stderr.contains("enter the code"), "{first:#?}");
    assert!(first.stderr.contains(&format!("signed in as {ALICE} (tenant ")), "{first:#?}");
    env.world.entra.clear_log();
    let second = env.run_all(&env.device_code(&[]));
    assert_eq!(second.stderr, "");
    assert_ne!(second.token(), first.token());
    let grants: Vec<_> = env.world.entra.requests().iter().map(|r| r.param("grant_type").map(String::from)).collect();
    assert_eq!(grants, [Some("refresh_token".to_owned())]);
}

/// v1 answers name no account, so nothing but the request itself tells whose refresh token it is.
#[test]
fn two_people_without_names_never_cross() {
    let env = TestEnv::new();
    env.world.entra.token_lifetime(200);
    let legacy = env.device_code(&["--legacy"]);
    let elsewhere: Vec<_> = legacy.iter().map(|arg| arg.replace(AKS_SERVER, GRAPH)).collect();
    for round in 0..2 {
        for (who, args) in [(ALICE, &legacy), (BOB, &elsewhere)] {
            if round == 0 {
                env.world.entra.approve(who);
            }
            let run = env.run_all(args);
            assert_eq!(run.stderr.is_empty(), round == 1, "{run:#?}");
            assert_eq!(env.world.entra.claims(&run.token()).expect("our token")["upn"], who);
        }
    }
}
