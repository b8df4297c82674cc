//! Tokens of people and applications beyond the plain bearer token: bound to a key, of the v1
//! endpoint, and what happens when the sign-in behind one has ended.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::env::{Run, TestEnv, get_token};
use crate::kubectl::{kubeconfig, signed_out, with_every_kubectl};
use crate::parallel::{Running, grants, prompts};
use crate::pty::Pty;
use crate::support::browser::Opening;
use crate::support::certificates::{Kind, pem_file};
use crate::support::entra::directory::{AKS_CLIENT, AKS_SERVER, ALICE, APP, APP_SECRET, BOB};
use crate::support::entra::{Claims, Fault, Rotation};
use crate::support::pop::thumbprint;

const CLUSTER: &str = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Kubernetes/connectedClusters/arc";
const PASSWORD: &str = "correct horse battery canary";

// --- Who signs in ------------------------------------------------------------------------------

#[test]
fn only_the_one_who_was_named_may_sign_in_at_the_old_endpoint_too() {
    let env = TestEnv::new();
    env.world.entra.approve(BOB);
    let args = env.device_code(&["--legacy", "--account", ALICE]);
    let run = env.run_all(&args);
    assert_eq!((run.code, run.stdout.as_str()), (1, ""), "{run:#?}");
    assert!(run.stderr.contains(&format!("Error: {BOB} has signed in, and not {ALICE}; ")), "{run:#?}");
    env.world.entra.approve(ALICE);
    let login: Vec<_> = args.iter().map(|word| word.replace("get-token", "login")).collect();
    let run = env.run_all(&login);
    assert!(run.stderr.contains(&format!("signed in as {ALICE} ")), "{run:#?}");
    assert_eq!(env.run(&["logout", "--account", ALICE]).code, 0);
    assert_eq!(files(&env, "grant").len(), 0, "no sign-in is left without a name");
}

#[test]
fn a_browser_is_opened_wherever_stderr_goes() {
    let mut env = TestEnv::new();
    let opener = env.opener(Opening::Works);
    env.set("DISPLAY", ":0");
    env.world.entra.approve_in_browser(ALICE);
    let args = get_token("interactive", AKS_CLIENT, &[]);
    let script = "exec kubentra \"$@\" 2>/dev/null";
    let words: Vec<&str> = ["-c", script, "sh"].into_iter().chain(args.iter().map(String::as_str)).collect();
    let mut command = env.other(Path::new("/bin/sh"), &words);
    let child = command.stdout(Stdio::piped()).spawn().expect("a shell");
    let address = opener.wait_opened(Duration::from_secs(20));
    env.world.browser().get(&address);
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).contains("\"token\""));
    env.set("CI", "true");
    env.run(&["logout"]);
    let mut words = words;
    words.insert(0, "-w");
    words.insert(1, "/bin/sh");
    let run = Run::of(env.other(Path::new("/usr/bin/setsid"), &words).stdin(Stdio::null()));
    assert_eq!((run.code, opener.opened().len()), (1, 1), "nobody is there in a pipeline: {run:#?}");
}

#[test]
fn the_command_by_hand_names_the_cluster_that_only_kubectl_knows() {
    let mut env = TestEnv::new();
    env.set("CI", "true");
    env.set("KUBERNETES_EXEC_INFO", format!(r#"{{"spec":{{"cluster":{{"config":{{"u":"{CLUSTER}"}}}}}}}}"#));
    let run = unseen(&Way { args: env.device_code(&["--pop-enabled"]), env, renews: true });
    assert!(run.stderr.contains(&format!(" --pop-enabled --pop-claims u={CLUSTER}` in a terminal")), "{run:#?}");
}

// --- Methods ---------------------------------------------------------------------------------

/// A way to sign in, ready for use in a world of its own.
struct Way {
    env: TestEnv,
    args: Vec<String>,
    /// Whether a refresh token renews it.
    renews: bool,
}

impl Way {
    fn run(&self, more: &[&str]) -> Run {
        let more = more.iter().map(ToString::to_string);
        self.env.run_all(&self.args.iter().cloned().chain(more).collect::<Vec<_>>())
    }

    /// The grant types asked for since the last time.
    fn asked(&self) -> Vec<String> {
        let grants = grants(&self.env);
        self.env.world.entra.clear_log();
        grants
    }

    fn name(&self) -> String {
        self.args[2..].join(" ")
    }
}

fn device_code() -> Way {
    let env = TestEnv::new();
    env.world.entra.approve(ALICE);
    let args = env.device_code(&[]);
    Way { env, args, renews: true }
}

fn ropc() -> Way {
    let env = TestEnv::new();
    env.world.entra.password(ALICE, PASSWORD);
    let args = get_token("ropc", AKS_CLIENT, &["--username", ALICE, "--password", PASSWORD]);
    Way { env, args, renews: true }
}

fn secret() -> Way {
    let env = TestEnv::new();
    let args = env.spn(&[]);
    Way { env, args, renews: false }
}

fn certificate() -> Way {
    let env = TestEnv::new();
    let file = pem_file("app", Kind::Chained);
    let path = env.write("app.pem", &file).display().to_string();
    env.world.entra.certificate(file.as_bytes());
    Way { env, args: get_token("spn", APP, &["--client-certificate", &path]), renews: false }
}

fn federated() -> Way {
    let env = TestEnv::new();
    let (issuer, subject, audience) = ("https://issuer.example", "system:sa", "api://AzureADTokenExchange");
    env.world.entra.federate(issuer, subject, audience);
    let claims = Claims { issuer, subject, audience, lifetime: 3600 };
    let path = env.write("assertion", &env.world.entra.issuer().mint(&claims)).display().to_string();
    Way { env, args: get_token("workloadidentity", APP, &["--federated-token-file", &path]), renews: false }
}

// --- Bound to a key ---------------------------------------------------------------------------

const POP: [&str; 3] = [
    "--pop-enabled",
    "--pop-claims",
    "u=/subscriptions/s/resourceGroups/rg/providers/Microsoft.Kubernetes/connectedClusters/arc",
];

/// A signed request, taken apart.
struct Signed {
    header: Value,
    payload: Value,
    /// The claims of the token within.
    inner: Value,
    text: String,
}

impl Signed {
    fn of(run: &Run) -> Self {
        let text = run.token();
        let parts: Vec<Value> = text.split('.').take(2).map(json).collect();
        let [header, payload] = parts.try_into().expect("two parts and a signature");
        let inner = json(payload["at"].as_str().expect("a token").split('.').nth(1).expect("claims"));
        Self { header, payload, inner, text }
    }

    fn kid(&self) -> &str {
        self.header["kid"].as_str().expect("a kid")
    }

    fn host(&self) -> &str {
        self.payload["u"].as_str().expect("a host")
    }

    fn ts(&self) -> i64 {
        self.payload["ts"].as_i64().expect("a time")
    }

    /// What a server may believe: the key in the statement is the one that the token is bound to.
    fn check(&self) {
        let jwk = &self.payload["cnf"]["jwk"];
        let kid = thumbprint(jwk["e"].as_str().expect("e"), jwk["n"].as_str().expect("n"));
        let kids = [self.kid(), jwk["kid"].as_str().unwrap(), self.inner["cnf"]["kid"].as_str().unwrap()];
        assert_eq!(kids, [kid.as_str(); 3]);
        assert_eq!((self.header["typ"].as_str(), self.header["alg"].as_str()), (Some("pop"), Some("RS256")));
    }
}

fn json(part: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("base64url")).expect("JSON")
}

fn expiry(run: &Run) -> String {
    let json: Value = serde_json::from_str(&run.stdout).expect("an ExecCredential");
    json["status"]["expirationTimestamp"].as_str().expect("a time").to_owned()
}

/// Seconds since the epoch of an RFC 3339 time in UTC of this century.
fn seconds(time: &str) -> i64 {
    let run = std::process::Command::new("date").args(["-u", "-d", time, "+%s"]).output().expect("date");
    String::from_utf8(run.stdout).expect("digits").trim().parse().expect("digits")
}

#[test]
fn every_method_binds_its_token_and_signs_anew_at_every_call() {
    for way in [secret(), certificate(), ropc(), device_code(), federated()] {
        let cold = way.run(&POP);
        let asked = way.env.world.entra.requests();
        let bound = asked.last().expect("a token request");
        let req_cnf = json(bound.param("req_cnf").unwrap_or_else(|| panic!("{}: {bound:#?}", way.name())));
        assert_eq!(bound.param("token_type"), Some("pop"));
        let first = Signed::of(&cold);
        first.check();
        assert_eq!((req_cnf["kid"].as_str(), req_cnf["xms_ksl"].as_str()), (Some(first.kid()), Some("sw")));
        assert!(asked[..asked.len() - 1].iter().all(|request| request.param("req_cnf").is_none()), "the last one only");
        way.asked();

        let second = Signed::of(&way.run(&POP));
        second.check();
        assert_eq!((first.kid(), &first.inner), (second.kid(), &second.inner), "{}", way.name());
        assert_ne!(first.payload["nonce"], second.payload["nonce"]);
        assert!(second.ts() >= first.ts());
        let elsewhere = Signed::of(&way.run(&["--pop-enabled", "--pop-claims", "u=/other,k=v"]));
        assert_eq!((elsewhere.host(), &elsewhere.inner), ("/other", &first.inner));
        assert_eq!((first.host(), way.asked()), (CLUSTER, Vec::new()), "{}", way.name());
    }
}

#[test]
fn a_plain_token_and_a_bound_one_are_two() {
    let way = secret();
    let plain = way.run(&[]).token();
    assert!(json(plain.split('.').nth(1).unwrap())["cnf"].is_null());
    Signed::of(&way.run(&POP)).check();
    assert_eq!((way.run(&[]).token(), way.asked().len()), (plain, 2));
}

#[test]
fn a_bound_token_is_renewed_with_the_same_key() {
    for way in [ropc(), device_code(), secret()] {
        way.env.world.entra.token_lifetime(200);
        let before = Signed::of(&way.run(&POP));
        way.asked();
        way.env.world.entra.token_lifetime(3600);
        let after = Signed::of(&way.run(&POP));
        after.check();
        assert_eq!(before.kid(), after.kid());
        assert_ne!(before.inner, after.inner);
        let grant = if way.renews { "refresh_token" } else { "client_credentials" };
        assert_eq!(way.asked(), [grant], "{}", way.name());
    }
}

#[test]
fn a_lost_key_costs_one_request_and_no_sign_in() {
    let lose: [fn(&PathBuf); 3] = [
        |key| std::fs::remove_file(key).unwrap(),
        |key| std::fs::write(key, "not what was written here").unwrap(),
        |key| std::fs::write(key, "").unwrap(),
    ];
    for lose in lose {
        for way in [ropc(), device_code(), secret()] {
            let before = Signed::of(&way.run(&POP));
            way.asked();
            lose(&key_file(&way.env));
            let run = way.run(&POP);
            let after = Signed::of(&run);
            after.check();
            assert_ne!(before.kid(), after.kid());
            let grant = if way.renews { "refresh_token" } else { "client_credentials" };
            assert_eq!((way.asked(), run.stderr.as_str()), (vec![grant.to_owned()], ""), "{}", way.name());
            assert_eq!(Signed::of(&way.run(&POP)).kid(), after.kid());
            assert_eq!(way.asked(), Vec::<String>::new());
        }
    }
}

#[test]
fn the_key_is_private_sealed_and_never_said() {
    let way = secret();
    let runs = [way.run(&[&POP[..], &["-v", "10"]].concat()), way.run(&[&POP[..], &["-v", "10"]].concat())];
    let key = key_file(&way.env);
    assert_eq!(key.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let bytes = std::fs::read(&key).unwrap();
    // What every PKCS #8 file of an RSA key holds: its algorithm (1.2.840.113549.1.1.1), in DER and in base64.
    for mark in [&b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01"[..], b"ANBgkqhkiG9w0BAQEFAASC", b"MII", b"PRIVATE KEY"] {
        assert!(!bytes.windows(mark.len()).any(|window| window == mark), "{}", String::from_utf8_lossy(mark));
    }
    for run in &runs {
        let signed = Signed::of(run);
        assert_eq!(
            signed.payload["cnf"]["jwk"].as_object().unwrap().keys().collect::<Vec<_>>(),
            ["alg", "e", "kid", "kty", "n"]
        );
        // No word of stderr is long enough for half a key, and the token is nowhere else.
        let longest =
            run.stderr.split(|c: char| !c.is_ascii_alphanumeric() && !"+/-_".contains(c)).max_by_key(|word| word.len());
        assert!(longest.is_none_or(|word| word.len() < 150), "{longest:?}");
        assert!(!run.stderr.contains(&signed.text) && !run.stderr.contains(signed.payload["at"].as_str().unwrap()));
    }
}

#[test]
fn kubectl_comes_back_before_a_server_stops_believing() {
    let way = secret();
    for (more, lifetime) in [(&[][..], 240), (&["--pop-lifetime", "90s"], 90), (&["--pop-lifetime", "2h"], 3600)] {
        let run = way.run(&[&POP[..], more].concat());
        let left = seconds(&expiry(&run)) - Signed::of(&run).ts();
        // A token of an hour may be some seconds old by now.
        assert!(left <= lifetime && left > lifetime - 20, "{left} {more:?}");
    }
    let mut short = secret();
    short.env.world.entra.token_lifetime(120);
    let run = short.run(&POP);
    assert!(seconds(&expiry(&run)) - Signed::of(&run).ts() <= 120, "the token's own end comes first");
    short.env.set("KUBENTRA_POP_LIFETIME", "30s");
    short.env.world.entra.token_lifetime(3600);
    let run = short.run(&POP);
    assert_eq!(seconds(&expiry(&run)) - Signed::of(&run).ts(), 30);
    assert!(
        short
            .run(&[&POP[..], &["--pop-lifetime", "0s"]].concat())
            .failure()
            .contains("pop-lifetime must be greater than 0")
    );
}

#[test]
fn without_a_cache_every_call_has_a_key_of_its_own() {
    let way = secret();
    let none = [&POP[..], &["--cache-storage", "none"]].concat();
    let kids = [Signed::of(&way.run(&none)), Signed::of(&way.run(&none))].map(|signed| {
        signed.check();
        signed.kid().to_owned()
    });
    assert_ne!(kids[0], kids[1]);
    assert_eq!((way.asked().len(), way.env.cache().exists()), (2, false));
}

#[test]
fn a_cache_that_cannot_be_written_costs_the_cache_only() {
    let way = secret();
    way.env.write(".kube/cache", "a file in the way");
    let run = way.run(&POP);
    Signed::of(&run).check();
    assert_eq!(run.stderr.lines().count(), 1, "{run:#?}");
}

#[test]
fn twenty_cold_calls_are_one_key_and_one_request() {
    let way = secret();
    way.env.world.entra.inject_on("token", Fault::Slow(std::time::Duration::from_millis(700)));
    let args: Vec<String> = way.args.iter().cloned().chain(POP.map(String::from)).collect();
    let running: Vec<Running> = (0..20).map(|_| Running::kubentra(&way.env, &args)).collect();
    let signed: Vec<Signed> = running.into_iter().map(|running| Signed::of(&running.finish())).collect();
    signed.iter().for_each(Signed::check);
    let kids: std::collections::BTreeSet<_> = signed.iter().map(Signed::kid).collect();
    let nonces: std::collections::BTreeSet<_> =
        signed.iter().map(|signed| signed.payload["nonce"].to_string()).collect();
    assert_eq!((kids.len(), nonces.len(), way.asked().len()), (1, 20, 1));
}

#[test]
fn the_cluster_says_for_whom_the_token_is() {
    let mut way = secret();
    let info = |cluster: &str| {
        format!(
            r#"{{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","spec":{{"cluster":{cluster}}}}}"#
        )
    };
    for (cluster, host) in [
        (r#"{"server":"https://a.example:6443","config":{"u":"/arm"}}"#, "/arm"),
        (r#"{"server":"https://a.example:6443","config":"/arm/id"}"#, "/arm/id"),
        (r#"{"server":"https://a.example:6443","config":"u=/arm,k=v"}"#, "/arm"),
        (r#"{"server":"https://a.example:6443","config":{"audience":"x"}}"#, "a.example:6443"),
        (r#"{"server":"https://a.example:6443"}"#, "a.example:6443"),
        (r#"{"server":"https://b.example/path"}"#, "b.example"),
    ] {
        way.env.set("KUBERNETES_EXEC_INFO", info(cluster));
        assert_eq!(Signed::of(&way.run(&["--pop-enabled"])).host(), host);
        assert_eq!(Signed::of(&way.run(&POP)).host(), CLUSTER, "the entry goes first");
    }
    assert_eq!(way.asked().len(), 1, "one token for all of them");
    way.env.set("KUBERNETES_EXEC_INFO", info(r"{}"));
    assert!(way.run(&["--pop-enabled"]).failure().contains("please provide the pop-claims flag"));
}

fn key_file(env: &TestEnv) -> PathBuf {
    let files = std::fs::read_dir(env.cache()).expect("a cache").map(|entry| entry.expect("an entry").path());
    let keys: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|kind| kind == "popkey")).collect();
    let [key] = keys.as_slice() else { panic!("not one key: {keys:?}") };
    key.clone()
}

/// What real kubectl makes of it: an Arc cluster whose clock goes on while ours stands still.
#[test]
fn kubectl_at_an_arc_cluster_signs_anew_when_it_has_to() {
    with_every_kubectl(|kubectl| {
        for people in [false, true] {
            let env = arc(people);
            for minutes in [0, 4] {
                env.world.api.clock_ahead(minutes * 60);
                assert_eq!(kubectl.get_namespaces(&env).stderr.matches("Error").count(), 0);
            }
            let seen = tokens(&env);
            let first = &seen[0];
            assert!(
                seen.iter().collect::<std::collections::BTreeSet<_>>().len() > 1,
                "each call has its own signature"
            );
            // Twenty minutes on, what was signed at first is refused.
            env.world.api.clock_ahead(20 * 60).clear_log();
            let raw = ["--kubeconfig", "/dev/null", "--token", first, "--server", &env.world.api.url()];
            let raw = [&raw[..], &["--insecure-skip-tls-verify", "get", "namespaces"]].concat();
            let refused = kubectl.run(&env, &raw);
            assert!(refused.code != 0 && refused.stderr.contains("Unauthorized"), "{refused:#?}");
            assert!(
                env.world
                    .api
                    .requests()
                    .iter()
                    .all(|request| request.user.as_ref().is_err_and(|why| why.contains("expired")))
            );
            // The clock that signs is ours. Where it agrees, the next call signs anew.
            env.world.api.clock_ahead(0).clear_log();
            kubectl.get_namespaces(&env);
            assert!(!tokens(&env).contains(first));
            assert_eq!(
                env.world.entra.requests().iter().filter(|request| request.param("grant_type").is_some()).count(),
                1,
                "one token for all of it"
            );
        }
    });
}

#[test]
fn an_arc_cluster_wants_its_own_name_in_any_case() {
    with_every_kubectl(|kubectl| {
        let env = arc(false);
        env.world.api.pop(&CLUSTER.to_uppercase());
        kubectl.get_namespaces(&env);
        env.world.api.pop("/another/cluster").clear_log();
        let refused = kubectl.run(&env, &["get", "namespaces"]);
        assert!(refused.code != 0 && refused.stdout.is_empty(), "{refused:#?}");
        let why: Vec<_> = env.world.api.requests().into_iter().filter_map(|request| request.user.err()).collect();
        assert!(!why.is_empty() && why.iter().all(|why| why.contains("host mismatch")), "{why:?}");
    });
}

#[test]
fn kubectl_names_the_cluster_where_the_entry_does_not() {
    with_every_kubectl(|kubectl| {
        let env = arc(false);
        let file = std::fs::read_to_string(kubeconfig(&env)).expect("a kubeconfig");
        let claims = format!("      - --pop-claims\n      - u={CLUSTER}\n");
        assert!(file.contains(&claims), "{file}");
        let extension = format!(
            "    extensions:\n    - name: client.authentication.k8s.io/exec\n      extension:\n        u: {CLUSTER}\n  name: name\ncontexts"
        );
        let file = file.replace(&claims, "").replace("provideClusterInfo: false", "provideClusterInfo: true");
        env.write(".kube/config", &file.replace("  name: name\ncontexts", &extension));
        assert_eq!(kubectl.get_namespaces(&env).stderr, "");
        // Without the extension it is the address of the server.
        env.write(".kube/config", &file);
        env.world.api.pop(&env.world.api.addr().to_string());
        assert_eq!(kubectl.get_namespaces(&env).stderr, "");
    });
}

/// The home of somebody with an Arc cluster: an application, or a person with a password.
fn arc(people: bool) -> TestEnv {
    let mut env = signed_out();
    env.world.api.pop(CLUSTER);
    env.world.entra.password(ALICE, PASSWORD);
    let claims = format!("u={CLUSTER}");
    let login: &[&str] = if people { &["-l", "ropc", "--username", ALICE] } else { &["-l", "spn", "--client-id", APP] };
    let line = [&["convert-kubeconfig"], login, &["--pop-enabled", "--pop-claims", &claims]].concat();
    let run = Run::of(&mut env.command("kubelogin", &line));
    assert_eq!(run.code, 0, "{run:#?}");
    env.set("AZURE_CLIENT_SECRET", APP_SECRET).set("AZURE_PASSWORD", PASSWORD);
    env
}

fn tokens(env: &TestEnv) -> Vec<String> {
    env.world.api.requests().into_iter().filter_map(|request| request.token).collect()
}

// --- The v1 endpoint --------------------------------------------------------------------------

#[test]
fn legacy_tokens_are_kept_and_renewed_like_any_other() {
    for way in [device_code(), secret(), certificate(), ropc()] {
        let legacy = || way.run(&["--legacy"]);
        let cold = legacy();
        let claims = way.env.world.entra.claims(&cold.token()).expect("a token of the fake");
        assert_eq!(claims["aud"].as_str(), Some(format!("spn:{AKS_SERVER}").as_str()), "{}", way.name());
        way.asked();
        assert_eq!((legacy().token(), way.asked()), (cold.token(), Vec::new()), "{}", way.name());

        // Another endpoint is another token.
        let modern = way.run(&[]);
        assert_ne!(modern.token(), cold.token());
        way.asked();
        assert_eq!(legacy().token(), cold.token());
    }
    for way in [device_code(), secret(), certificate(), ropc()] {
        way.env.world.entra.token_lifetime(200);
        let cold = way.run(&["--legacy"]);
        way.asked();
        let next = way.run(&["--legacy"]);
        let grant = if way.renews { "refresh_token" } else { "client_credentials" };
        assert_eq!((way.asked(), next.stderr.as_str()), (vec![grant.to_owned()], ""), "{}", way.name());
        assert_ne!(next.token(), cold.token());
        let claims = way.env.world.entra.claims(&next.token()).expect("a token of the fake");
        assert_eq!(claims["aud"].as_str(), Some(format!("spn:{AKS_SERVER}").as_str()));
    }
}

// --- Sign-ins that have ended -------------------------------------------------------------------

/// What Entra says of a refresh token, and what shall come of it.
struct Ending {
    code: u32,
    error: &'static str,
    suberror: Option<&'static str>,
    claims: Option<&'static str>,
    /// Whether the refresh token is given up.
    dropped: bool,
    /// What the person is told.
    told: &'static str,
}

const CLAIMS: &str = r#"{"access_token":{"capolids":{"essential":true,"values":["a b&c"]}}}"#;

const ENDINGS: [Ending; 9] = [
    Ending {
        code: 50173,
        error: "invalid_grant",
        suberror: Some("bad_token"),
        claims: None,
        dropped: true,
        told: "the earlier sign-in is no longer valid, AADSTS50173",
    },
    Ending {
        code: 70043,
        error: "invalid_grant",
        suberror: Some("token_expired"),
        claims: None,
        dropped: true,
        told: "the earlier sign-in is no longer valid, AADSTS70043",
    },
    Ending {
        code: 700_082,
        error: "invalid_grant",
        suberror: None,
        claims: None,
        dropped: true,
        told: "the earlier sign-in is no longer valid, AADSTS700082",
    },
    Ending {
        code: 50076,
        error: "invalid_grant",
        suberror: Some("basic_action"),
        claims: Some(CLAIMS),
        dropped: false,
        told: "Entra wants another factor (MFA), AADSTS50076",
    },
    Ending {
        code: 50078,
        error: "interaction_required",
        suberror: Some("basic_action"),
        claims: None,
        dropped: false,
        told: "Entra wants another factor (MFA), AADSTS50078",
    },
    Ending {
        code: 50079,
        error: "interaction_required",
        suberror: Some("basic_action"),
        claims: Some(CLAIMS),
        dropped: false,
        told: "Entra wants another factor (MFA), AADSTS50079",
    },
    Ending {
        code: 1,
        error: "invalid_grant",
        suberror: None,
        claims: None,
        dropped: false,
        told: "Entra refused the request: AADSTS1: Planted",
    },
    Ending {
        code: 65001,
        error: "invalid_grant",
        suberror: Some("consent_required"),
        claims: None,
        dropped: false,
        told: "nobody has consented to this app for that resource, AADSTS65001",
    },
    Ending {
        code: 53003,
        error: "interaction_required",
        suberror: Some("message_only"),
        claims: None,
        dropped: false,
        told: "Conditional Access blocks this way of signing in, AADSTS53003",
    },
];

impl Ending {
    fn fault(&self) -> Fault {
        Fault::AadError {
            code: self.code,
            error: self.error.into(),
            suberror: self.suberror.map(String::from),
            claims: self.claims.map(String::from),
            description: "Planted.".into(),
        }
    }
}

/// Alice has signed in, and her token is too old to be given out.
fn stale() -> Way {
    let way = device_code();
    way.env.world.entra.token_lifetime(30).rotate(Rotation::On);
    way.run(&[]).token();
    way.env.world.entra.token_lifetime(3600);
    way.asked();
    way
}

#[test]
fn a_sign_in_that_has_ended_is_asked_for_again_with_what_entra_wants() {
    for ending in &ENDINGS {
        let way = stale();
        way.env.world.entra.inject_on("token", ending.fault());
        let run = way.run(&[]);
        run.token();
        assert!(run.stderr.starts_with(&format!("note: {}", ending.told)), "{run:#?}");
        assert_eq!(prompts(&run.stderr), 1, "{run:#?}");
        let requests = way.env.world.entra.requests();
        assert_eq!(requests[1].path.rsplit('/').next(), Some("devicecode"));
        assert_eq!(requests[1].param("claims"), ending.claims, "AADSTS{} passed on to the letter", ending.code);
        assert_eq!(way.asked(), ["refresh_token", "devicecode", "device_code"]);
        assert_eq!(way.run(&[]).stderr, "");
    }
}

#[test]
fn where_nobody_sees_a_prompt_the_command_that_signs_in_is_printed() {
    for ending in &ENDINGS {
        let mut way = stale();
        let before = files(&way.env, "grant");
        assert_eq!(before.len(), 1);
        way.env.set("CI", "true").world.entra.inject_on("token", ending.fault());
        let run = unseen(&way);
        let error = run.failure();
        assert_eq!((run.code, error.lines().count(), way.asked()), (1, 1, vec!["refresh_token".to_owned()]), "{error}");
        assert!(error.starts_with(&format!("Error: {}", ending.told)), "{error}");
        let dropped = files(&way.env, "grant").is_empty();
        assert_eq!(dropped, ending.dropped, "AADSTS{}: {error}", ending.code);
        if !dropped {
            assert_eq!(files(&way.env, "grant"), before);
        }
    }
}

/// `get-token` without a terminal, as in a pipeline.
fn unseen(way: &Way) -> Run {
    let args: Vec<&str> = ["-w", "kubentra"].into_iter().chain(way.args.iter().map(String::as_str)).collect();
    Run::of(&mut way.env.other(std::path::Path::new("/usr/bin/setsid"), &args))
}

/// Name and content of the cache's files of that kind.
fn files(env: &TestEnv, kind: &str) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = std::fs::read_dir(env.cache()).expect("a cache").map(|entry| entry.expect("an entry").path());
    let of_kind = entries.filter(|path| path.extension().is_some_and(|extension| extension == kind));
    of_kind.map(|path| (path.clone(), std::fs::read(&path).expect("a file"))).collect()
}

#[test]
fn failures_of_the_network_delete_nothing() {
    let resets = vec![Fault::Reset; 3];
    // So long a wait is not waited for.
    let busy = vec![Fault::ThrottleThen(60)];
    let junk = vec![Fault::NotJson];
    let redirect = vec![Fault::Redirect { location: "https://portal.example/".into(), status: 302 }];
    for faults in [resets, busy, junk, redirect] {
        let way = stale();
        let before = ["grant", "token"].map(|kind| files(&way.env, kind));
        let count = faults.len();
        for fault in faults {
            way.env.world.entra.inject_on("token", fault);
        }
        way.run(&["--timeout", "20s"]).failure();
        assert_eq!(way.asked(), vec!["refresh_token"; count]);
        assert_eq!(["grant", "token"].map(|kind| files(&way.env, kind)), before);
        way.run(&[]).token();
        assert_eq!(way.asked(), ["refresh_token"], "the sign-in is still there");
    }
    let mut way = stale();
    let before = ["grant", "token"].map(|kind| files(&way.env, kind));
    way.env.set("SSL_CERT_FILE", "/dev/null");
    assert!(way.run(&[]).failure().contains("certificate"));
    assert_eq!(["grant", "token"].map(|kind| files(&way.env, kind)), before);
}

/// The command that is printed works as it is, wherever it is pasted.
#[test]
fn the_command_that_is_printed_signs_in() {
    let mut way = stale();
    way.args.extend(["--login-hint".to_owned(), ALICE.to_owned(), "--cache-dir".to_owned()]);
    way.args.push(way.env.home().join("a dir of 'mine'").display().to_string());
    way.env.set("CI", "true");
    let error = unseen(&way).failure().to_owned();
    let (_, rest) = error.split_once("run `").expect("a command");
    let (command, _) = rest.split_once("` in a terminal").expect("its end");
    assert!(command.starts_with("kubentra login --login devicecode "), "{command}");
    let Some(pty) = Pty::start_program(&way.env, &["sh", "-c", command], &[], 200) else { return };
    let ended = pty.finish();
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    way.asked();
    unseen(&way).token();
    assert_eq!(way.asked(), Vec::<String>::new());
}

#[test]
fn a_password_signs_in_again_when_the_sign_in_has_ended() {
    for ending in &ENDINGS {
        let mut way = ropc();
        way.env.set("CI", "true").world.entra.token_lifetime(30);
        way.run(&[]).token();
        way.asked();
        way.env.world.entra.inject_on("token", ending.fault());
        unseen(&way).token();
        assert_eq!(way.asked()[0], "refresh_token");
        let kinds = files(&way.env, "grant").len();
        assert_eq!(kinds, 1, "AADSTS{}", ending.code);
    }
}

#[test]
fn a_password_is_not_sent_by_those_who_wait() {
    let way = ropc();
    way.env.world.entra.inject_on("token", Fault::Slow(std::time::Duration::from_millis(700)));
    let running: Vec<Running> = (0..20).map(|_| Running::kubentra(&way.env, &way.args)).collect();
    let runs: Vec<Run> = running.into_iter().map(Running::finish).collect();
    assert!(runs.iter().all(|run| run.code == 0 && run.stdout == runs[0].stdout), "{runs:#?}");
    assert_eq!(
        (way.asked().len(), runs.iter().filter(|run| run.stderr.contains("note: signing in with")).count()),
        (2, 1)
    );
}
