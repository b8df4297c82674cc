//! The way to Entra: what is asked, through whom, and failures that are told apart within two
//! seconds each.

use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use crate::env::{Run, TestEnv};
use crate::kubectl::missing;
use crate::parallel::best_of_three;
use crate::parallel::timed;
use crate::support::entra::directory::{ALICE, APP_EXPIRED_SECRET, TENANT};
use crate::support::entra::{ADFS_HOST, FakeEntra, Fault};
use crate::support::http::{Response, Server};
use crate::support::tls::{Authority, Leaf};

const LOGIN: &str = "login.microsoftonline.com";
const NAME: &str = "ask whoever runs the network to check the DNS of this machine, \
                    or set HTTPS_PROXY if the network needs a proxy";
const IN_BETWEEN: &str =
    "ask whoever runs the network to look for a proxy or login page between this machine and the host";

#[test]
fn nothing_but_tokens_is_ever_asked_for() {
    let env = TestEnv::new();
    env.world.entra.approve(ALICE);
    env.run_all(&env.spn(&[])).token();
    assert_eq!(env.world.entra.traffic(), [format!("POST {LOGIN}/{TENANT}/oauth2/v2.0/token -> 200")]);
    assert_eq!((env.world.entra.connections(), env.world.proxy.connections()), (1, 1));
    env.world.entra.clear_log();
    env.run_all(&env.device_code(&["--disable-instance-discovery=false"])).token();
    let expected = ["devicecode", "token"].map(|name| format!("POST {LOGIN}/{TENANT}/oauth2/v2.0/{name} -> 200"));
    assert_eq!(env.world.entra.traffic(), expected);
}

#[test]
fn a_warm_call_opens_no_socket_and_starts_nothing() {
    let Some(strace) = strace() else { return };
    let env = TestEnv::new();
    let cold = env.run_all(&env.spn(&[]));
    let trace = env.dir().join("trace");
    let program = env.dir().join("bin/kubentra").display().to_string();
    let calls = "trace=socket,connect,clone,clone3,fork,vfork,execve";
    let mut args = vec!["-f".into(), "-o".into(), trace.display().to_string(), "-e".into(), calls.into(), program];
    args.extend(env.spn(&[]));
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    assert_eq!(Run::of(&mut env.other(strace, &args)), cold);
    let trace = std::fs::read_to_string(trace).expect("a trace");
    let calls: Vec<&str> = trace.lines().filter(|line| !line.contains("+++ exited with 0 +++")).collect();
    assert!(calls.len() == 1 && calls[0].contains("execve("), "only strace's own start: {trace}");
}

#[test]
fn a_warm_call_lists_nothing_and_removes_nothing() {
    let Some(strace) = strace() else { return };
    let env = TestEnv::new();
    let cold = env.run_all(&env.spn(&[]));
    let dead = dead_entry(&env);
    let trace = env.dir().join("trace");
    let program = env.dir().join("bin/kubentra").display().to_string();
    let calls = "trace=getdents64,unlink,unlinkat,flock,rename,renameat,renameat2";
    let mut args = vec!["-f".into(), "-o".into(), trace.display().to_string(), "-e".into(), calls.into(), program];
    args.extend(env.spn(&[]));
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    assert_eq!(Run::of(&mut env.other(strace, &args)), cold);
    let trace = std::fs::read_to_string(trace).expect("a trace");
    assert_eq!(trace.lines().filter(|line| !line.contains("+++ exited with 0 +++")).collect::<Vec<_>>(), [""; 0]);
    assert!(dead.iter().all(|path| path.exists()));
    env.run_all(&env.spn(&["--client-secret", APP_EXPIRED_SECRET])).failure();
    assert!(!dead.iter().any(|path| path.exists()), "a cold call prunes");
}

/// The files of an entry that nothing can use: nobody can read it, and it is more than a month old.
pub fn dead_entry(env: &TestEnv) -> [std::path::PathBuf; 3] {
    let month = Duration::from_secs(31 * 24 * 3600);
    ["token", "popkey", "lock"].map(|kind| {
        let path = env.cache().join(format!("{}.{kind}", "0".repeat(64)));
        let file = kubentra::internal::open_lock_file(&path).expect("a file");
        file.set_modified(std::time::SystemTime::now() - month).expect("an old file");
        path
    })
}

#[test]
fn a_name_that_is_not_found() {
    let mut env = TestEnv::new();
    env.unset("HTTPS_PROXY");
    let nowhere = ["--authority-host", "https://nothing.invalid/"];
    fails(&env, &nowhere, &format!("the host name nothing.invalid was not found; {NAME}"));
}

#[test]
fn a_port_where_nobody_listens() {
    let env = TestEnv::new();
    let port = closed_port();
    let expected = format!(
        "localhost:{port} refused the connection; ask whoever runs the network to see why nothing listens there"
    );
    fails(&env, &["--authority-host", &format!("https://localhost:{port}/")], &expected);
}

#[test]
fn a_server_that_does_not_speak_tls() {
    let env = TestEnv::new();
    let server = Server::start(None, |_| Response::html(200, "hello"));
    let host = format!("localhost:{}", server.addr().port());
    let expected = format!(
        "no TLS connection to {host}: received corrupt message of type InvalidContentType; \
         look for a proxy or firewall in between that does not speak TLS"
    );
    fails(&env, &["--authority-host", &format!("https://{host}/")], &expected);
}

#[test]
fn certificates_that_are_refused() {
    let mut env = TestEnv::new();
    let shown = format!("the certificate of {LOGIN} (CN=fake world server)");
    let unknown = format!(
        "{shown} comes from a CA that is not trusted here: CN=fake world CA; if that CA is your company's, \
         get its certificate and set SSL_CERT_FILE to the file"
    );
    let wrong_name = format!(
        "{LOGIN} shows a certificate for another name (CN=fake world server); \
         look for a proxy or wrong DNS entry in between"
    );
    with_certificate(&env, Leaf::OtherAuthority, |env| fails(env, &[], &unknown));
    with_certificate(&env, Leaf::WrongName, |env| fails(env, &[], &wrong_name));
    for (leaf, fault, from, until) in
        [(Leaf::Expired, "has expired", 2001, 2002), (Leaf::NotYetValid, "is not valid yet", 2100, 2101)]
    {
        let valid = format!("valid from {from}-01-01T00:00:00Z until {until}-01-01T00:00:00Z");
        let start = format!("Error: {shown} {fault} ({valid}, this machine's clock says ");
        let end = "); set the clock if it is wrong, else ask whoever runs that host to renew its certificate\n";
        with_certificate(&env, leaf, |env| {
            let run = quick(env, &[]);
            assert!(run.failure().starts_with(&start) && run.failure().ends_with(end), "{run:#?}");
        });
    }
    env.unset("SSL_CERT_FILE");
    with_certificate(&env, Leaf::Good, |env| fails(env, &[], &unknown));
}

#[test]
fn named_certificates_add_up() {
    let mut env = TestEnv::new();
    let directory = env.write("certs/company.pem", &env.world.authority.ca_pem()).with_file_name("");
    let other = env.write("other.pem", &Authority::new().ca_pem()).display().to_string();
    for file in [Some(other.as_str()), None, Some("/does/not/exist")] {
        env.unset("SSL_CERT_FILE").set("SSL_CERT_DIR", format!("/does/not/exist:{}", directory.display()));
        if let Some(file) = file {
            env.set("SSL_CERT_FILE", file);
        }
        let run = quick(&env, &["--cache-storage", "none"]);
        run.token();
        assert_eq!(run.stderr, "", "SSL_CERT_FILE={file:?}");
    }
}

#[test]
fn a_proxy_that_refuses() {
    let env = TestEnv::new();
    env.world.proxy.refuse(true);
    let expected = format!(
        "the proxy {} did not connect us to {LOGIN} (HTTPS_PROXY); \
         check HTTPS_PROXY and NO_PROXY",
        env.world.proxy.addr()
    );
    fails(&env, &[], &expected);
}

#[test]
fn a_proxy_that_wants_a_password() {
    let mut env = TestEnv::new();
    env.world.proxy.demand("user", "canary");
    let proxy = env.world.proxy.addr();
    let expected = format!(
        "the proxy {proxy} wants a user name and password to reach {LOGIN} (HTTPS_PROXY); \
         write HTTPS_PROXY=http://USER:PASSWORD@{proxy}"
    );
    fails(&env, &[], &expected);
    let wrong = env.world.proxy.url_with("user", "wrong-canary");
    env.set("HTTPS_PROXY", wrong);
    fails(&env, &[], &expected);
    let right = env.world.proxy.url_with("user", "canary");
    env.set("HTTPS_PROXY", right);
    quick(&env, &[]).token();
}

#[test]
fn a_proxy_that_is_not_there() {
    let mut env = TestEnv::new();
    let proxy = format!("127.0.0.1:{}", closed_port());
    let check = "check HTTPS_PROXY and NO_PROXY";
    env.set("HTTPS_PROXY", format!("http://{proxy}"));
    fails(&env, &[], &format!("the proxy {proxy} refused the connection (HTTPS_PROXY); {check}"));
    env.set("HTTPS_PROXY", "http://user:canary@proxy.invalid:3128");
    fails(&env, &[], &format!("the host name proxy.invalid was not found (proxy of HTTPS_PROXY); {check}"));
    env.set("HTTPS_PROXY", "http://[");
    let expected = "the proxy address is not one that can be used (HTTPS_PROXY); \
                    write HTTPS_PROXY=http://HOST:PORT";
    fails(&env, &[], expected);
}

#[test]
fn a_proxy_is_named_in_every_usual_way_and_passed_by_where_it_must_be() {
    let mut env = TestEnv::new();
    let proxy = env.world.proxy.addr().to_string();
    env.unset("HTTPS_PROXY").set("https_proxy", proxy);
    quick(&env, &[]).token();
    assert_eq!(env.world.proxy.targets(), [format!("{LOGIN}:443")]);
    let local = env.world.entra.url();
    quick(&env, &["--authority-host", &local]).token();
    assert_eq!(env.world.proxy.targets().len(), 1, "loopback is never proxied");
    env.set("NO_PROXY", "other.test, .example.test");
    let adfs = ["--authority-host", &format!("https://{ADFS_HOST}/"), "--tenant-id", "adfs"];
    fails(&env, &adfs, &format!("the host name {ADFS_HOST} was not found; {NAME}"));
    assert_eq!(env.world.proxy.targets().len(), 1);
}

#[test]
fn a_redirect_is_not_followed() {
    let env = TestEnv::new();
    let elsewhere = FakeEntra::start(&env.world.authority);
    for status in [302, 307] {
        let location = format!("{}{TENANT}/oauth2/v2.0/token", elsewhere.url());
        env.world.entra.inject(Fault::Redirect { location, status });
        let expected = format!(
            "{LOGIN} answered the token request with a redirect to localhost (HTTP {status}), \
             which is never followed; {IN_BETWEEN}"
        );
        fails(&env, &[], &expected);
    }
    assert_eq!((elsewhere.connections(), env.world.entra.requests().len()), (0, 2));
}

#[test]
fn answers_that_are_not_entras() {
    let env = TestEnv::new();
    for (fault, what) in [
        (Fault::NotJson, "is not JSON"),
        (Fault::Missing("expires_in".into()), "does not say how long the token lasts"),
        (Fault::Missing("access_token".into()), "has other fields than expected, access_token is missing"),
    ] {
        env.world.entra.inject(fault);
        fails(&env, &[], &format!("the answer of {LOGIN} {what} (HTTP 200); {IN_BETWEEN}"));
    }
}

#[test]
fn a_body_without_end_is_not_read_to_its_end() {
    best_of_three(Duration::from_secs(2), || {
        let env = TestEnv::new();
        env.world.entra.inject(Fault::Huge(1 << 30));
        let shell = Path::new("/bin/sh");
        // Half of the body's size for everything that the program maps.
        let limited = ["-c", "ulimit -v 524288 && exec kubentra \"$@\"", "sh"].map(String::from);
        let args: Vec<String> = limited.into_iter().chain(env.spn(&[])).collect();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let (run, time) = timed(|| Run::of(&mut env.other(shell, &args)));
        assert_eq!(run.failure(), format!("Error: the answer of {LOGIN} is larger than 1024 KiB; {IN_BETWEEN}\n"));
        time
    });
}

#[test]
fn a_wrong_clock_is_told_with_a_refusal() {
    let env = TestEnv::new();
    for (skew, direction) in [(750, "behind"), (-750, "ahead of")] {
        env.world.entra.clock_skew(skew);
        let expected = format!(
            "the client secret has expired, AADSTS7000222, and this machine's clock is 12 min {direction} Entra's \
             (--client-secret); make a new one in the app registration and use its value; and set the clock (NTP)"
        );
        fails(&env, &["--client-secret", APP_EXPIRED_SECRET], &expected);
    }
}

#[test]
fn a_server_that_is_slow_ends_with_the_time_given() {
    best_of_three(Duration::from_secs(3), || {
        let env = TestEnv::new();
        env.world.entra.inject(Fault::Slow(Duration::from_secs(30)));
        let (run, time) = timed(|| env.run_all(&env.spn(&["--timeout", "2s"])));
        let expected =
            format!("Error: no answer from {LOGIN} in 2 s; wait, then try again, or give a longer --timeout\n");
        assert_eq!((run.code, run.failure()), (1, expected.as_str()));
        assert!(time > Duration::from_secs(2), "{time:?}");
        time
    });
}

#[test]
fn a_broken_connection_is_tried_again() {
    let env = TestEnv::new();
    best_of_three(Duration::from_secs(2), || {
        env.world.entra.clear_log().inject(Fault::Reset).inject(Fault::Truncated);
        let (run, time) = timed(|| quick(&env, &["--cache-storage", "none"]));
        run.token();
        assert_eq!((run.stderr.as_str(), env.world.entra.requests().len()), ("", 3));
        time
    });
    env.world.entra.inject(Fault::Reset).inject(Fault::Reset).inject(Fault::Reset);
    let expected = format!(
        "the connection to {LOGIN} broke (through the proxy of HTTPS_PROXY); \
         ask whoever runs the network to look at that proxy, or try again"
    );
    fails(&env, &[], &expected);
}

#[test]
fn retry_after_is_honoured() {
    best_of_three(Duration::from_secs(2), || {
        let env = TestEnv::new();
        env.world.entra.inject(Fault::ThrottleThen(1));
        let run = env.run_all(&env.spn(&[]));
        run.token();
        assert_eq!(run.stderr, "");
        let at: Vec<_> = env.world.entra.requests().iter().map(|request| request.at).collect();
        let pause = at[1] - at[0];
        assert!(at.len() == 2 && pause > Duration::from_millis(990), "{pause:?}");
        pause
    });
}

/// An spn login with `more`, which ends however it ends long before the minute that a request may take.
fn quick(env: &TestEnv, more: &[&str]) -> Run {
    let (run, time) = timed(|| env.run_all(&env.spn(more)));
    assert!(time < Duration::from_secs(20), "{time:?} {run:#?}");
    run
}

/// Asserts that an spn login with `more` fails quickly with exactly this line.
fn fails(env: &TestEnv, more: &[&str], expected: &str) {
    let run = quick(env, more);
    assert_eq!((run.code, run.failure()), (1, format!("Error: {expected}\n").as_str()));
}

/// Runs `test` where the login host shows the certificate `leaf`.
fn with_certificate(env: &TestEnv, leaf: Leaf, test: impl Fn(&TestEnv)) {
    let entra = FakeEntra::start_with(&env.world.authority, leaf);
    env.world.proxy.route(&format!("{LOGIN}:443"), entra.addr());
    test(env);
    assert_eq!(entra.requests().len(), 0, "nothing is sent to a server that is not believed");
}

/// A loopback port that was free a moment ago.
fn closed_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}

/// strace, where it exists and is allowed to trace.
pub fn strace() -> Option<&'static Path> {
    let strace = Path::new("/usr/bin/strace");
    let works = || std::process::Command::new(strace).args(["-qq", "-o", "/dev/null", "/bin/true"]).output();
    if strace.exists() && works().is_ok_and(|output| output.status.success()) {
        return Some(strace);
    }
    missing("strace (or the right to use it)");
    None
}
