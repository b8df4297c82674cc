//! az and azd: what they are asked, what is kept of their answers and for how long, and how their
//! failures read.

use std::time::{Duration, Instant, SystemTime};

use crate::env::{Run, TestEnv};
use crate::parallel::best_of_three;
use crate::parallel::{Running, until};
use crate::support::az::{AzAccount, AzSubscription, FakeTool, Mode};
use crate::support::entra::directory::{AKS_SERVER, ALICE, APP, BOB, OTHER_TENANT, TENANT};

const ONE: AzSubscription = AzSubscription { id: "22222222-2222-4222-8222-222222222222", name: "One", tenant: TENANT };
const TWO: AzSubscription =
    AzSubscription { id: "33333333-3333-4333-8333-333333333333", name: "Pay as you go", tenant: OTHER_TENANT };
const ASKED: &str = "account get-access-token --output json --resource";

/// Alice is signed in to az, whose tokens the cluster accepts.
fn with_az() -> (TestEnv, FakeTool) {
    let env = TestEnv::new();
    let az = FakeTool::az(&env.dir().join("bin"), &env.home().join(".azure"));
    az.token(&env.world.entra.mint(ALICE, TENANT, AKS_SERVER), in_an_hour());
    az.az_login(AzAccount::User(ALICE), &[ONE, TWO]);
    (env, az)
}

pub fn in_an_hour() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs() + 3600
}

fn get_token(env: &TestEnv, more: &[&str]) -> Run {
    env.run(&args("azurecli", more).iter().map(String::as_str).collect::<Vec<_>>())
}

fn args(login: &str, more: &[&str]) -> Vec<String> {
    ["get-token", "--login", login, "--server-id", AKS_SERVER].iter().chain(more).map(ToString::to_string).collect()
}

fn token(tool: &FakeTool) -> String {
    std::fs::read_to_string(tool.config().join(".fake/token")).expect("a token")
}

#[test]
fn az_is_asked_once_and_its_token_is_kept() {
    let (env, az) = with_az();
    let first = get_token(&env, &[]);
    assert_eq!((first.stderr.as_str(), first.token()), ("", token(&az)));
    assert_eq!(get_token(&env, &[]), first);
    assert_eq!((az.count(), az.last()), (1, format!("{ASKED} {AKS_SERVER}")));
    assert_eq!(az.starts()[0].directory, std::path::Path::new("/"));
    assert_eq!(env.world.entra.requests().len(), 0);
    az.az_installation_id();
    assert_eq!(get_token(&env, &[]), first);
    assert_eq!(az.count(), 1, "what az's telemetry writes is no sign-in");
}

#[test]
fn whatever_changes_the_sign_in_of_az_is_noticed_at_once() {
    let (mut env, az) = with_az();
    let bobs = env.world.entra.mint(BOB, TENANT, AKS_SERVER);
    let alices = get_token(&env, &[]).token();
    az.token_for(TWO.id, &bobs).az_account_set(TWO.id);
    assert_eq!(get_token(&env, &[]).token(), bobs);
    az.az_account_set(ONE.id);
    assert_eq!((get_token(&env, &[]).token(), az.count()), (alices.clone(), 2));

    az.az_logout();
    let home = env.home();
    let signed_out = format!("Error: az is not signed in ({}/.azure); run `az login`\n", home.display());
    assert_eq!(get_token(&env, &[]).failure(), signed_out);
    az.az_login(AzAccount::User(ALICE), &[ONE, TWO]).remove("msal_token_cache.json");
    let gone = get_token(&env, &[]);
    assert!(gone.failure().starts_with("Error: az has no tokens of its account any more ("), "{gone:#?}");
    az.az_login(AzAccount::User(ALICE), &[ONE, TWO]).az_cloud_set("AzureUSGovernment");
    assert_eq!(get_token(&env, &[]).failure(), signed_out);
    az.az_cloud_set("AzureCloud");
    assert_eq!(get_token(&env, &[]).token(), alices);

    let other = FakeTool::az(&env.dir().join("bin"), &env.home().join("other"));
    other.token(&bobs, in_an_hour()).az_login(AzAccount::User(BOB), &[ONE]);
    env.set("AZURE_CONFIG_DIR", "other");
    assert_eq!(get_token(&env, &[]).token(), bobs, "a relative directory is ours, not that of az's process");
}

#[test]
fn ten_at_once_start_az_once() {
    let (env, az) = with_az();
    az.mode(Mode::Slow(1));
    let running: Vec<_> = (0..10).map(|_| Running::kubentra(&env, &args("azurecli", &[]))).collect();
    for run in running.into_iter().map(Running::finish) {
        assert_eq!((run.token(), run.code), (token(&az), 0));
    }
    assert_eq!(az.count(), 1);
}

#[test]
fn a_tenant_or_a_subscription_is_passed_on() {
    let (mut env, az) = with_az();
    let bobs = env.world.entra.mint(BOB, TENANT, AKS_SERVER);
    az.token_for(TWO.id, &bobs);
    assert_eq!(get_token(&env, &["--subscription", "Pay as you go"]).token(), bobs);
    assert_eq!(az.last(), format!("{ASKED} {AKS_SERVER} --subscription Pay as you go"));
    assert_eq!(get_token(&env, &["--tenant-id", TENANT]).token(), token(&az));
    assert_eq!(az.last(), format!("{ASKED} {AKS_SERVER} --tenant {TENANT}"));
    assert_eq!(
        get_token(&env, &["-s", "Three"]).failure(),
        "Error: az knows no subscription `Three` (-s); give one that `az account list` shows, or sign in to its tenant with `az login`\n"
    );
    let asked = az.count();
    assert_eq!(
        get_token(&env, &["-s", "Two", "-t", TENANT]).failure(),
        "Error: -t and -s are both given, and az takes only one of them; give -s alone: a subscription has one tenant\n"
    );
    assert_eq!(
        get_token(&env, &["-s", "Two & more"]).failure(),
        "Error: invalid subscription: it holds characters that are not passed to az; its ID always works (-s); correct -s\n"
    );
    assert_eq!(az.count(), asked, "nothing is run with arguments that are wrong");
    env.set("AZURE_TENANT_ID", TENANT);
    let run = get_token(&env, &["-s", TWO.id, "-v", "1"]);
    assert_eq!(run.token(), bobs);
    assert!(run.stderr.contains("az is asked by -s, which has a tenant of its own, and not by AZURE_TENANT_ID\n"));
}

#[test]
fn an_account_with_one_tenant_is_asked_without_naming_it() {
    for account in [AzAccount::ManagedIdentity, AzAccount::CloudShell(ALICE)] {
        let (env, az) = with_az();
        az.az_login(account, &[AzSubscription { tenant: "abcdefab-1111-4111-8111-111111111111", ..ONE }]);
        let same = get_token(&env, &["-t", "ABCDEFAB-1111-4111-8111-111111111111"]);
        assert_eq!((same.token(), az.count()), (token(&az), 2), "az compares with case");
        assert_eq!(
            get_token(&env, &["-t", TENANT]).failure(),
            format!(
                "Error: az is signed in to tenant abcdefab-1111-4111-8111-111111111111, not to {TENANT} (-t); correct -t, or sign in to that tenant with `az login`\n"
            )
        );
        assert_eq!(
            get_token(&env, &["-t", "contoso.com"]).failure(),
            "Error: this account of az has one tenant, abcdefab-1111-4111-8111-111111111111, and whether that is \
             contoso.com is not known (-t); give the tenant by its ID\n"
        );
    }
}

#[test]
fn failures_of_az_have_a_way_out_and_show_no_token() {
    let see = format!("see whether `az account get-access-token --output none --resource {AKS_SERVER}` works");
    let update = "look whether `az` is the Azure CLI, and update it".to_owned();
    let sign_in = |more: &str| {
        format!(
            "Entra wants another factor (MFA), AADSTS50076, says az; run `az login --tenant \"{TENANT}\" --scope \"{AKS_SERVER}/.default\"{more}`"
        )
    };
    let cases = [
        (Mode::Aadsts, sign_in("")),
        (Mode::Claims, sign_in(" --claims-challenge \"eyJhY2Nlc3NfdG9rZW4iOnt9fQ==\"")),
        (Mode::Offline, "az cannot find the address of login.microsoftonline.com; ask whoever runs the network to check the DNS of this machine, or set HTTPS_PROXY if the network needs a proxy".into()),
        (Mode::Switching, "the sign-in of az has changed while it was asked; run the command again".into()),
        (Mode::Leaky, format!("az failed: it went wrong with <token>; {see}")),
        (Mode::Broken, format!("az failed: /usr/bin/env: 'python3': No such file or directory; {see}")),
        (Mode::Silent, format!("az failed with exit code 3 and said nothing; {see}")),
        (Mode::Html, format!("the answer of az is not JSON; {update}")),
        (Mode::Truncated, format!("the answer of az is not JSON; {update}")),
        (Mode::Types, format!("the answer of az has another kind of accessToken than expected; {update}")),
        (Mode::Empty, format!("the answer of az is empty; {update}")),
    ];
    for (mode, message) in cases {
        let (env, az) = with_az();
        az.mode(mode);
        assert_eq!(get_token(&env, &[]).failure(), format!("Error: {message}\n"), "{mode:?}");
        az.az_login(AzAccount::User(ALICE), &[ONE, TWO]);
        let loud = get_token(&env, &["-v", "10"]);
        assert!(!loud.failure().contains(&token(&az)), "{mode:?} {loud:#?}");
        assert!(!std::fs::read_to_string(env.dir().join("bin/az.log")).expect("a log").contains(&token(&az)));
        az.well().az_login(AzAccount::User(ALICE), &[ONE, TWO]);
        assert_eq!(get_token(&env, &[]).token(), token(&az), "{mode:?} is over");
    }
    let (env, az) = with_az();
    az.mode(Mode::Huge);
    assert!(get_token(&env, &[]).failure().starts_with("Error: az printed more than 1024 KiB"));
    for mode in [Mode::Warnings, Mode::Old] {
        let (env, az) = with_az();
        az.mode(mode);
        let run = get_token(&env, &[]);
        assert_eq!((run.token(), run.stderr.as_str()), (token(&az), ""), "{mode:?}");
    }
    az.uninstall();
    assert_eq!(
        get_token(&env, &[]).failure(),
        "Error: the Azure CLI (az) is not on PATH; install it (https://aka.ms/azure-cli), or use another --login\n"
    );
}

#[test]
fn an_az_that_never_ends_is_ended() {
    best_of_three(Duration::from_secs(5), || {
        let (env, az) = with_az();
        az.mode(Mode::Stubborn);
        let start = Instant::now();
        let run = get_token(&env, &["--timeout", "1s"]);
        assert!(run.failure().starts_with("Error: az did not answer in 1 s"), "{run:#?}");
        start.elapsed()
    });
}

#[test]
fn azd_is_asked_once_and_its_token_is_kept_while_it_is_signed_in() {
    let env = TestEnv::new();
    let azd = FakeTool::azd(&env.dir().join("bin"), &env.home().join(".azd"));
    azd.token(&env.world.entra.mint(ALICE, TENANT, AKS_SERVER), in_an_hour()).azd_login("alice.t");
    let run = |more: &[&str]| env.run_all(&args("azd", more));
    let first = run(&[]);
    assert_eq!((first.stderr.as_str(), first.token()), ("", token(&azd)));
    assert_eq!(azd.last(), format!("auth token --output json --no-prompt --scope {AKS_SERVER}/.default"));
    // azd has made its token file meanwhile, which a sign-in with azd itself would have done.
    assert_eq!((run(&[]), run(&[]), azd.count()), (first.clone(), first, 2));
    assert_eq!(run(&["-t", TENANT]).token(), token(&azd));
    assert_eq!(
        azd.last(),
        format!("auth token --output json --no-prompt --scope {AKS_SERVER}/.default --tenant-id {TENANT}")
    );

    for form in ["text", "lines", "object"] {
        azd.azd_complains_in(form).azd_logout();
        let signed_out = format!("Error: azd is not signed in ({}); run `azd auth login`\n", azd.config().display());
        assert_eq!(run(&[]).failure(), signed_out);
        azd.azd_login(form);
        for mode in [Mode::Aadsts, Mode::Switching, Mode::Leaky, Mode::Html, Mode::Types, Mode::Offline] {
            azd.mode(mode);
            let loud = run(&["-v", "10"]);
            assert!(!loud.failure().contains(&token(&azd)), "{mode:?} {loud:#?}");
            azd.azd_login(form);
        }
        // A message a line is all that older versions say.
        let scope = if form == "lines" { String::new() } else { format!(" --scope {AKS_SERVER}/.default") };
        let again =
            format!("Error: Entra wants another factor (MFA), AADSTS50076, says azd; run `azd auth login{scope}`\n");
        azd.mode(Mode::Aadsts);
        assert_eq!(run(&[]).failure(), again, "{form}");
        azd.well();
    }
}

/// Editors and time limits send SIGTERM; az is not left behind.
#[test]
fn whoever_is_told_to_end_ends_az_too() {
    let (env, az) = with_az();
    az.mode(Mode::Slow(60));
    let running = Running::kubentra(&env, &args("azurecli", &[]));
    until("az runs", || az.count() == 1);
    nix::sys::signal::kill(running.pid(), nix::sys::signal::Signal::SIGTERM).expect("it runs");
    let run = running.finish();
    assert_eq!((run.code, run.failure()), (130, "Error: told to end\n"));
    let home = env.dir().display().to_string();
    let command = |path: std::path::PathBuf| std::fs::read_to_string(path.join("cmdline")).unwrap_or_default();
    // What is killed takes a moment to be gone; az itself would stay for a minute.
    until("the end of az", || {
        let processes = std::fs::read_dir("/proc").expect("Linux").flatten();
        !processes.map(|entry| command(entry.path())).any(|line| line.contains(&home) && line.contains("bin/az"))
    });
}

/// A pipe that nobody writes to costs no more than a few seconds.
#[test]
fn a_pipe_without_a_writer_is_an_error() {
    let env = TestEnv::new();
    let pipe = env.home().join("pipe");
    let file = pipe.display().to_string();
    assert_eq!(Run::of(&mut env.other(std::path::Path::new("/usr/bin/mkfifo"), &[&file])).code, 0);
    let ids = ["--client-id", APP, "--tenant-id", TENANT, "--federated-token-file", &file];
    let run = env.run(&args("workloadidentity", &ids).iter().map(String::as_str).collect::<Vec<_>>());
    assert!(run.failure().starts_with("Error: the federated token file is a pipe, and held no token ("), "{run:#?}");
}
