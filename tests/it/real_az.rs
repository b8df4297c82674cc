//! The real Azure CLI, where it is installed (or named by `KUBENTRA_TEST_AZ`): signed in to the fake
//! Entra as an application, asked by the program, signed out again.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

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
    let starts = Starts::noted_in(&env, &az);
    let path = format!("{}:/usr/bin:/bin", starts.directory.display());
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
    let started = starts.count();
    assert!(started > 0);
    let warm = env.run(&GET_TOKEN);
    assert_eq!((warm.token(), warm.stderr.as_str()), (token, ""));
    assert!(env.world.entra.requests().is_empty());
    assert_eq!(starts.count(), started, "a warm call starts no az");

    let logout = Run::of(&mut env.other(&az, &["logout"]));
    assert_eq!(logout.code, 0, "{logout:#?}");
    assert!(env.run(&GET_TOKEN).failure().starts_with("Error: az is not signed in ("));
}

const GET_TOKEN: [&str; 5] = ["get-token", "--login", "azurecli", "--server-id", AKS_SERVER];

/// Notes every start of az.
struct Starts {
    directory: PathBuf,
}

impl Starts {
    /// Puts an `az` into a directory of its own that leads to the real one.
    fn noted_in(env: &TestEnv, az: &Path) -> Self {
        let starts = Self { directory: env.dir().join("noted-az") };
        fs::create_dir(&starts.directory).expect("a directory");
        let log = starts.log().display().to_string();
        let script = format!("#!/bin/sh\necho \"$*\" >> '{log}'\nexec '{}' \"$@\"\n", az.display());
        let program = starts.directory.join("az");
        fs::write(&program, script).expect("a program");
        fs::set_permissions(program, fs::Permissions::from_mode(0o755)).expect("a mode");
        starts
    }

    fn log(&self) -> PathBuf {
        self.directory.join("log")
    }

    fn count(&self) -> usize {
        fs::read_to_string(self.log()).map_or(0, |log| log.lines().count())
    }
}

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
