//! The real Azure CLI, where it is installed (or named by `KUBENTRA_TEST_AZ`): signed in to the fake
//! Entra as an application, asked by the program, signed out again.

use std::path::PathBuf;
use std::time::Instant;

use serde_json::json;

use crate::env::{Run, TestEnv};
use crate::support::entra::directory::{AKS_SERVER, APP, APP_SECRET, TENANT};
use crate::support::http::{Response, Server};
use crate::support::missing;

/// The resource that az itself signs in for.
const MANAGEMENT: &str = "https://management.core.windows.net/";

#[test]
fn the_real_az_is_asked_once_until_it_is_signed_out() {
    let Some(az) = real_az() else { return };
    let mut env = TestEnv::new();
    let path = format!("{}:/usr/bin:/bin", az.parent().expect("a directory").display());
    let ca = env.world.ca_file().display().to_string();
    env.set("PATH", path).set("REQUESTS_CA_BUNDLE", ca).set("AZURE_CORE_COLLECT_TELEMETRY", "no");
    env.world.entra.resource(MANAGEMENT);
    let arm = Server::start(Some(env.world.authority.server_config(&["management.azure.com"])), |_| {
        Response::json(200, &json!({ "value": [] }))
    });
    env.world.proxy.route("management.azure.com:443", arm.addr());

    let signed_out = env.run(&GET_TOKEN);
    assert!(signed_out.failure().starts_with("Error: az is not signed in ("), "{signed_out:#?}");

    let login = ["login", "--service-principal", "-u", APP, "-p", APP_SECRET, "--tenant", TENANT];
    let login = Run::of(env.other(&az, &login).arg("--allow-no-subscriptions"));
    assert_eq!(login.code, 0, "{login:#?}");

    let cold = env.run(&GET_TOKEN);
    let token = cold.token();
    env.world.entra.clear_log();
    let start = Instant::now();
    let warm = env.run(&GET_TOKEN);
    assert_eq!((warm.token(), warm.stderr.as_str()), (token, ""));
    assert!(env.world.entra.requests().is_empty());
    assert!(start.elapsed().as_millis() < 200, "a warm call starts no az: {:?}", start.elapsed());

    let logout = Run::of(&mut env.other(&az, &["logout"]));
    assert_eq!(logout.code, 0, "{logout:#?}");
    assert!(env.run(&GET_TOKEN).failure().starts_with("Error: az is not signed in ("));
}

const GET_TOKEN: [&str; 5] = ["get-token", "--login", "azurecli", "--server-id", AKS_SERVER];

/// The az of this machine; without one, the test that asks is skipped.
pub fn real_az() -> Option<PathBuf> {
    let named = std::env::var_os("KUBENTRA_TEST_AZ").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = named.or_else(|| std::env::split_paths(&path).map(|dir| dir.join("az")).find(|az| az.is_file()));
    if found.is_none() {
        missing("az");
    }
    found
}
