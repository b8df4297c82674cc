//! What others on this machine may do to the port that a sign-in listens at: send what is no answer, send
//! without end, or send nothing. And what a kubeconfig of somebody else's may do to `login`: name programs,
//! and CAs.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use crate::browser::{Desk, LONG, SIGNED_IN, interactive, port_of};
use crate::env::{Run, TestEnv, get_token};
use crate::kubectl::kubectls;
use crate::parallel::best_of_three;
use crate::parallel::{Running, grants, timed};
use crate::support::browser::{FakeOpener, Opening};
use crate::support::entra::directory::{AKS_CLIENT, ALICE};

/// What `login --context` reads may come from anywhere, and it is not kubectl that runs it.
#[test]
fn login_opens_no_browser_that_an_entry_names() {
    let desk = Desk::new(Opening::Works);
    desk.env.world.entra.approve_in_browser(ALICE);
    let (directory, theirs) = planted(&desk.env, "xdg-open");
    let browser = format!("{directory}/xdg-open --browser");
    entry(&desk.env, &interactive(&[]), &[("BROWSER", &browser), ("PATH", &directory), ("LANG", "C")]);
    let running = Running::kubentra(&desk.env, &["login", "-v", "1"].map(String::from));
    desk.browse();
    let run = running.finish();
    assert_eq!((run.code, theirs.opened()), (0, Vec::new()), "{run:#?}");
    let said = |name: &str| run.stderr.matches(&format!("the entry's {name} does not count here\n")).count();
    assert_eq!(["BROWSER", "PATH", "DISPLAY", "LANG"].map(said), [1, 1, 0, 0], "{run:#?}");
}

/// Nor does it show one where the user has no desktop, or none where the user has one.
#[test]
fn an_entry_says_nothing_about_the_desktop() {
    let mut desk = Desk::new(Opening::Works);
    desk.env.world.entra.approve_in_browser(ALICE);
    entry(&desk.env, &interactive(&[]), &[("DISPLAY", ""), ("SSH_TTY", "x")]);
    let running = Running::kubentra(&desk.env, &["login".to_owned()]);
    desk.browse();
    assert_eq!(running.finish().code, 0);
    assert_eq!(desk.env.run(&["logout"]).code, 0);
    desk.env.unset("DISPLAY");
    entry(&desk.env, &interactive(&[]), &[("DISPLAY", ":1")]);
    let run = desk.env.run(&["login", "-v", "1"]);
    assert!(run.failure().contains("neither DISPLAY nor WAYLAND_DISPLAY is set"), "{run:#?}");
    assert!(run.stderr.contains("the entry's DISPLAY does not count here\n"), "{run:#?}");
}

/// The allowlist of kubectl names programs and not what they do: an entry must not be able to name another command.
#[test]
fn an_entry_runs_no_other_command_through_kubectls_allowlist() {
    for kubectl in kubectls() {
        for args in [
            &["convert-kubeconfig", "-l", "azurecli", "--kubeconfig", ".kube/config", "--output", ".profile"][..],
            &["--kubeconfig", ".kube/config", "convert-kubeconfig", "-l", "azurecli", "--output=.profile"],
            &["logout", "--all"],
            &["remove-cache-dir", "--cache-dir", "."],
            &["undo"],
        ] {
            let env = TestEnv::new();
            env.write(".profile", "# mine\n");
            let allowed = "credentialPluginPolicy: Allowlist\ncredentialPluginAllowlist:\n- name: kubelogin\n";
            let kind = "apiVersion: kubectl.config.k8s.io/v1beta1\nkind: Preference\n";
            env.write(".kube/kuberc", &format!("{kind}{allowed}"));
            let exec = serde_json::json!({
                "apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "IfAvailable",
                "command": "kubelogin", "args": args,
            });
            let config = serde_json::json!({
                "apiVersion": "v1", "kind": "Config", "current-context": "c",
                "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
                "contexts": [{"name": "c", "context": {"user": "u", "cluster": "c"}}],
                "users": [{"name": "u", "user": {"exec": exec}}],
            });
            env.write(".kube/config", &config.to_string());
            let run = kubectl.run(&env, &["--request-timeout=3s", "get", "ns"]);
            assert!(run.stderr.contains(" is not for exec entries, and KUBERNETES_EXEC_INFO says"), "{run:#?}");
            let profile = std::fs::read_to_string(env.home().join(".profile")).unwrap();
            assert_eq!(profile, "# mine\n", "{args:?}");
        }
    }
}

#[test]
fn login_starts_no_program_that_an_entry_names() {
    let mut env = TestEnv::new();
    // This machine may have one of its own.
    let own = env.dir().join("bin").display().to_string();
    env.set("PATH", own);
    let (directory, theirs) = planted(&env, "az");
    entry(&env, &get_token("azurecli", AKS_CLIENT, &[]), &[("PATH", &directory)]);
    let run = env.run(&["login"]);
    assert!(run.failure().contains("(az) is not on PATH"), "{run:#?}");
    assert_eq!(theirs.opened(), Vec::<String>::new());
}

/// Bash runs what stands in `BASH_ENV`, and az is a script for it.
#[test]
fn what_login_starts_gets_of_an_entry_what_it_is_known_to_need() {
    let env = TestEnv::new();
    let az = FakeOpener::install_as(&env.dir().join("bin"), "az", Opening::Fails);
    let program = env.dir().join("bin/az");
    let script = std::fs::read_to_string(&program).unwrap().replace("/bin/sh", "/bin/bash");
    let script = script.replace("$*", "$AZURE_CONFIG_DIR $HTTPS_PROXY $LD_LIBRARY_PATH");
    std::fs::write(&program, script).unwrap();
    let trace = env.dir().join("trace");
    let run_it = format!("$(touch {})", trace.display());
    let variables = [
        ("BASH_ENV", run_it.as_str()),
        ("AZURE_CONFIG_DIR", "/theirs"),
        ("HTTPS_PROXY", "http://theirs"),
        ("LD_LIBRARY_PATH", "/planted"),
    ];
    entry(&env, &get_token("azurecli", AKS_CLIENT, &[]), &variables);
    env.run(&["login"]).failure();
    assert_eq!(az.opened().last().map(String::as_str), Some("/theirs http://theirs "));
    assert!(!trace.exists(), "BASH_ENV was run");
}

/// With a CA and a proxy of its own an entry would read a refresh token.
#[test]
fn login_trusts_no_ca_that_an_entry_names() {
    let mut env = TestEnv::new();
    env.unset("SSL_CERT_FILE").world.entra.approve(ALICE);
    let ca = env.world.ca_file().display().to_string();
    let directory = env.world.ca_file().parent().unwrap().display().to_string();
    for (name, value) in [("SSL_CERT_FILE", &ca), ("SSL_CERT_DIR", &directory)] {
        entry(&env, &env.device_code(&[]), &[(name, value)]);
        let Run { stderr, code, .. } = env.run(&["login"]);
        let end = format!(
            "comes from a CA that is not trusted here: CN=fake world CA; if you trust it, set {name} yourself: \
             the entry's does not count here\n"
        );
        assert!(code == 1 && stderr.ends_with(&end), "{stderr}");
    }
    // What is the user's own counts, whatever the entry says.
    env.set("SSL_CERT_FILE", ca);
    entry(&env, &env.device_code(&[]), &[("SSL_CERT_FILE", "/dev/null")]);
    let run = env.run(&["login"]);
    assert_eq!(run.code, 0, "{run:#?}");
}

/// A directory with a program that nobody may start.
fn planted(env: &TestEnv, name: &str) -> (String, FakeOpener) {
    let directory = env.dir().join("planted");
    std::fs::create_dir(&directory).expect("a directory");
    let program = FakeOpener::install_as(&directory, name, Opening::Works);
    (directory.display().to_string(), program)
}

/// The kubeconfig whose current context runs `args` with `variables`.
fn entry(env: &TestEnv, args: &[String], variables: &[(&str, &str)]) {
    let variable = |(name, value): &(&str, &str)| serde_json::json!({"name": name, "value": value});
    let variables: Vec<_> = variables.iter().map(variable).collect();
    let config = serde_json::json!({
        "current-context": "c", "clusters": [{"name": "c", "cluster": {"server": "https://c"}}],
        "contexts": [{"name": "c", "context": {"user": "u", "cluster": "c"}}],
        "users": [{"name": "u", "user": {"exec": {"command": "kubelogin", "args": args, "env": variables}}}],
    });
    env.write(".kube/config", &config.to_string());
}

/// More than a hundred requests that are no answer: the sign-in notes each, goes on, and grows by less
/// than a MiB (Q14: Azure/kubelogin ends at the first one, and shows the state).
#[test]
fn hostile_requests_change_nothing() {
    let desk = Desk::new(Opening::Works);
    desk.env.world.entra.approve_in_browser(ALICE);
    let running = desk.start(&["-v", "1"]);
    let address = desk.opener.wait_opened(LONG);
    let port = port_of(&address);
    let requests = hostile_requests();
    // Once each, so that the code that they need is in memory.
    requests.iter().for_each(|request| drop(answered(port, request)));
    let before = Memory::of(&running);
    let mut silent = Vec::new();
    let mut count = 0;
    for _ in 0..8 {
        for request in &requests {
            let answer = answered(port, request);
            let status = answer.split(' ').nth(1).unwrap_or_default();
            assert!(status.is_empty() || status.starts_with('4'), "{request:.80}: {answer:.200}");
            count += 1;
        }
        for part in
            ["", "G", "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999\r\n\r\ncode=", "\u{16}\u{3}\u{1}"]
        {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
            let _ = stream.write_all(part.as_bytes());
            silent.push(stream);
            count += 1;
        }
    }
    let after = Memory::of(&running);
    assert!(count >= 100, "{count}");
    after.is_less_than_a_mib_above(&before);
    let page = desk.env.world.browser().get(&address);
    assert_eq!(page.title().as_deref(), Some(SIGNED_IN));
    let run = running.finish();
    run.token();
    let noted: BTreeSet<_> =
        run.stderr.lines().filter_map(|line| line.strip_prefix("ignored a request to the sign-in's port: ")).collect();
    assert!(noted.len() >= 8, "{noted:#?}");
    assert!(!run.stderr.contains("hunter2") && !run.stderr.contains("forged"), "{}", run.stderr);
    assert_eq!(grants(&desk.env), ["authorize", "authorization_code"]);
}

/// Many connections at once, each of which holds as much as it is let, or does not read what it is told,
/// and a thousand that come and go: all of them together cost less than a MiB, and the sign-in succeeds.
#[test]
fn a_crowd_that_holds_on_costs_little() {
    let desk = Desk::new(Opening::Works);
    desk.env.world.entra.approve_in_browser(ALICE);
    let running = desk.start(&[]);
    let address = desk.opener.wait_opened(LONG);
    let port = port_of(&address);
    // Once each, so that the code that they need is in memory.
    for piece in greedy_requests() {
        let end = if piece.ends_with('\n') { "0\r\n\r\n" } else { "a\r\n\r\n" };
        drop(answered(port, &format!("{piece}{end}")));
    }
    let before = Memory::of(&running);
    for request in greedy_requests() {
        let crowd: Vec<TcpStream> = (0..24).map(|_| sent(port, &request)).collect();
        // It has read what they have sent once it answers somebody who has come later.
        assert!(answered(port, "GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n").starts_with("HTTP/1.1 404 "));
        Memory::of(&running).is_less_than_a_mib_above(&before);
        drop(crowd);
    }
    for _ in 0..1000 {
        drop(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap());
    }
    let deaf: Vec<TcpStream> = (0..24).map(|_| sent(port, "GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n")).collect();
    Memory::of(&running).is_less_than_a_mib_above(&before);
    let page = desk.env.world.browser().get(&address);
    assert_eq!(page.title().as_deref(), Some(SIGNED_IN));
    running.finish().token();
    drop(deaf);
}

#[test]
fn those_who_do_not_read_are_not_waited_for() {
    best_of_three(Duration::from_secs(1), || {
        let desk = Desk::new(Opening::Works);
        desk.env.world.entra.approve_in_browser(ALICE);
        let running = desk.start(&[]);
        let address = desk.opener.wait_opened(LONG);
        let port = port_of(&address);
        let deaf: Vec<TcpStream> = (0..24).map(|_| sent(port, "GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n")).collect();
        assert_eq!(desk.env.world.browser().get(&address).title().as_deref(), Some(SIGNED_IN));
        let (run, time) = timed(|| running.finish());
        run.token();
        drop(deaf);
        time
    });
}

/// What is not yet complete: a head and forms that just fit. Chunks of one byte each are the dearest way to
/// send a form.
fn greedy_requests() -> [String; 3] {
    let post = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n";
    let almost = 16 * 1024 - 200;
    [
        format!("GET /?code={}", "a".repeat(almost)),
        format!("{post}Content-Length: {}\r\n\r\n{}", almost + 1, "a".repeat(almost)),
        format!("{post}Transfer-Encoding: chunked\r\n\r\n{}", "1\r\na\r\n".repeat(almost)),
    ]
}

fn sent(port: u16, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    let _ = stream.write_all(request.as_bytes());
    stream
}

fn hostile_requests() -> Vec<String> {
    let get = |target: &str, host: &str| format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let post = |form: &str| {
        let kind = "application/x-www-form-urlencoded";
        let length = form.len();
        format!("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{form}")
    };
    let long = "a".repeat(40 * 1024);
    vec![
        get("/", "localhost"),
        get("/favicon.ico", "localhost"),
        get("/?code=hunter2", "localhost"),
        get("/?code=hunter2&state=forged", "localhost"),
        get("/?code=hunter2&state=forged&state=again", "localhost"),
        get("/?error=access_denied&error_description=forged", "localhost"),
        get("/?error=access_denied&error_description=forged&state=hunter2", "localhost"),
        get("/../../etc/passwd", "localhost"),
        get("/?code=hunter2&state=forged", "rebound.example"),
        get("http://rebound.example/?code=hunter2", "rebound.example"),
        post("code=hunter2&state=forged"),
        post("error=access_denied&state=forged"),
        post(&format!("code={long}&state=forged")),
        get(&format!("/?code={long}"), "localhost"),
        "DELETE / HTTP/1.1\r\nHost: localhost\r\n\r\n".into(),
        "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}".into(),
        "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1} hello\r\n\r\n".into(),
        "junk\r\n\r\n".into(),
        format!("{}{}", get("/x", "localhost"), get("/?code=hunter2&state=forged", "localhost")),
    ]
}

/// Sends a request and reads until the other side has had enough.
fn answered(port: u16, request: &str) -> String {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    let _ = stream.write_all(request.as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// What a process holds, in KiB.
#[derive(Debug)]
struct Memory {
    resident: u64,
    peak: u64,
}

impl Memory {
    fn of(running: &Running) -> Self {
        let status = std::fs::read_to_string(format!("/proc/{}/status", running.pid())).expect("it runs");
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("the kernel tells it");
            line.split_whitespace().next().and_then(|number| number.parse().ok()).expect("a number")
        };
        Self { resident: field("VmRSS:"), peak: field("VmHWM:") }
    }

    fn is_less_than_a_mib_above(&self, before: &Self) {
        let little = self.resident < before.resident + 1024 && self.peak < before.peak + 1024;
        assert!(little, "{before:?} {self:?}");
    }
}
