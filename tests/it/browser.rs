//! Signing in with the browser: `--login interactive`.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{LocalFlags, SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};

use crate::env::{Run, TestEnv, get_token};
use crate::kubectl::{NAMESPACES, kubeconfig, kubectls, missing, signed_out, users};
use crate::parallel::best_of_three;
use crate::parallel::{Running, grants, timed, until};
use crate::support::browser::{FakeOpener, Opening, Page};
use crate::support::entra::directory::{AKS_CLIENT, ALICE, BOB, TENANT};
use crate::support::entra::{BrowserPerson, Fault, Recorded};

pub const LONG: Duration = Duration::from_secs(20);
pub const SIGNED_IN: &str = "You are signed in - kubentra";
pub const NOT_SIGNED_IN: &str = "You are not signed in - kubentra";
/// A terminal that takes whole lines and shows them.
const LINES: LocalFlags = LocalFlags::ICANON.union(LocalFlags::ECHO);

#[test]
fn the_browser_is_opened_and_comes_back_with_a_form() {
    let desk = Desk::new(Opening::Works);
    desk.env.world.entra.approve_in_browser(ALICE);
    let running = desk.start(&[]);
    let address = desk.opener.wait_opened(LONG);
    let page = desk.env.world.browser().get(&address);
    let run = running.finish();
    run.token();
    let (told, signed_in) = run.stderr.split_once('\n').expect("two lines");
    assert_eq!(told, format!("To sign in, use the browser that opens now, or open {address} on this machine"));
    assert!(is_signed_in(signed_in), "{run:#?}");
    assert_eq!((page.status, page.title().as_deref()), (200, Some(SIGNED_IN)));
    for known in [ALICE, TENANT] {
        assert!(unbroken(&page).contains(&format!("<dd><bdi dir=\"ltr\">{known}</bdi></dd>")), "{}", page.body);
    }
    let port = port_of(&address);
    assert_eq!(page.trail.last(), Some(&format!("POST http://localhost:{port} -> 200")));

    let asked = &requests_to(&desk.env, "authorize")[0];
    for (name, value) in [
        ("client_id", AKS_CLIENT),
        ("response_type", "code"),
        ("redirect_uri", &format!("http://localhost:{port}")),
        ("response_mode", "form_post"),
        ("code_challenge_method", "S256"),
        ("client_info", "1"),
        ("prompt", "select_account"),
    ] {
        assert_eq!(asked.query_param(name).as_deref(), Some(value), "{name}");
    }
    let redeemed = &requests_to(&desk.env, "token")[0];
    assert_eq!(redeemed.param("grant_type"), Some("authorization_code"));
    assert_eq!(redeemed.param("scope").map(str::to_owned), asked.query_param("scope"));
    assert_eq!(redeemed.param("client_info"), Some("1"));

    let again = desk.env.run_all(&interactive(&[]));
    assert_eq!((again.token(), again.stderr.as_str()), (run.token(), ""));
    assert_eq!(desk.opener.opened().len(), 1);
}

#[test]
fn the_old_endpoint_is_asked_in_its_own_words() {
    let desk = Desk::new(Opening::Works);
    desk.env.world.entra.approve_in_browser(ALICE);
    let running = desk.start(&["--legacy"]);
    let page = desk.browse();
    running.finish().token();
    assert_eq!(page.title().as_deref(), Some(SIGNED_IN));
    let (asked, redeemed) = (&requests_to(&desk.env, "authorize")[0], &requests_to(&desk.env, "token")[0]);
    assert!(asked.path.ends_with("/oauth2/authorize") && redeemed.path.ends_with("/oauth2/token"));
    assert_eq!((asked.query_param("scope"), redeemed.param("scope")), (None, None));
    assert_eq!(asked.query_param("resource").as_deref(), redeemed.param("resource"));
}

/// No state in the list of processes, no page that may be kept, nothing from elsewhere on it.
#[test]
fn nothing_of_the_sign_in_is_seen_elsewhere() {
    let desk = Desk::new(Opening::Works);
    desk.env.world.entra.approve_in_browser(ALICE);
    let running = desk.start(&["-v", "10"]);
    let address = desk.opener.wait_opened(LONG);
    let page = desk.env.world.browser().get(&address);
    let run = running.finish();
    let state = requests_to(&desk.env, "authorize")[0].query_param("state").unwrap();
    let code = requests_to(&desk.env, "token")[0].param("code").unwrap().to_owned();
    for secret in [&state, &code] {
        assert!(!desk.opener.opened().concat().contains(secret));
        assert!(!run.stderr.contains(secret) && !run.stdout.contains(secret), "{}", run.stderr);
        assert!(!page.body.contains(secret));
    }
    let policy = page.header("content-security-policy").unwrap_or_default();
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    assert_eq!(page.header("cache-control"), Some("no-store"));
    assert_eq!(page.header("connection"), Some("close"));
}

/// Azure/kubelogin lets the opener write where kubectl reads (Q13).
#[test]
fn what_the_opener_says_reaches_nobody() {
    let desk = Desk::new(Opening::Talks);
    desk.env.world.entra.approve_in_browser(ALICE);
    let running = desk.start(&[]);
    desk.browse();
    let run = running.finish();
    run.token();
    assert!(!run.stderr.contains("Gtk") && run.stdout.starts_with('{'), "{run:#?}");
}

#[test]
fn a_browser_that_stays_open_is_not_waited_for() {
    best_of_three(Duration::from_secs(2), || {
        let desk = Desk::new(Opening::Hangs);
        desk.env.world.entra.approve_in_browser(ALICE);
        let start = Instant::now();
        let running = desk.start(&[]);
        desk.browse();
        running.finish().token();
        start.elapsed()
    });
}

#[test]
fn the_page_says_which_command_has_asked() {
    let mut desk = Desk::new(Opening::Works);
    let info = r#"{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","spec":{"interactive":true,"cluster":{"server":"https://aks.example:443/"}}}"#;
    desk.env.set("KUBERNETES_EXEC_INFO", info);
    desk.env.world.entra.approve_in_browser(ALICE);
    let own = interactive(&[]).join(" ");
    let kubectl = desk.env.write("kubectl", &format!("kubentra {own}\nexit $?\n"));
    let kubectl = kubectl.display().to_string();
    let mut command = desk.env.other(std::path::Path::new("/bin/sh"), &[&kubectl, "get", "pods", "--token=hunter2"]);
    command.env("PATH", format!("{}:/usr/bin:/bin", desk.env.dir().join("bin").display()));
    let running = Running::start(&desk.env, command);
    let page = desk.browse();
    running.finish().token();
    let words = format!("<dt>Command</dt><dd><code><bdi dir=\"ltr\">sh {kubectl} get pods</bdi></code></dd>");
    assert!(unbroken(&page).contains(&words), "{words} in {}", page.body);
    assert!(unbroken(&page).contains("<dt>Cluster</dt><dd><bdi dir=\"ltr\">aks.example</bdi></dd>"), "{}", page.body);
    assert!(!page.body.contains("hunter2"));
}

#[test]
fn a_person_who_declines_is_believed() {
    let desk = Desk::new(Opening::Works);
    desk.env.world.entra.browser_person(BrowserPerson::Decline);
    let running = desk.start(&[]);
    let page = desk.browse();
    let error = desk.ended(running);
    assert_eq!(error, "Error: the sign-in was declined; run the command again in half a minute, and approve it");
    assert_eq!((page.status, page.title().as_deref()), (200, Some(NOT_SIGNED_IN)));
    assert!(unbroken(&page).contains("<p>The sign-in was declined.</p>"), "{}", page.body);
    assert!(
        unbroken(&page).contains("<p>Run the command again in half a minute, and approve it.</p>"),
        "{}",
        page.body
    );
    assert_eq!(grants(&desk.env), ["authorize"]);
}

#[test]
fn a_refusal_on_the_login_page_is_explained_in_both_places() {
    let desk = Desk::new(Opening::Works);
    desk.env.world.entra.browser_person(BrowserPerson::Refuse {
        error: "invalid_client".into(),
        code: 650_057,
        description: "<b>Invalid</b> resource & 'more'.".into(),
    });
    let running = desk.start(&[]);
    let page = desk.browse();
    let error = desk.ended(running);
    let text = "nobody has consented to this app for that resource, AADSTS650057";
    assert_eq!(error, format!("Error: {text}; ask an administrator of the tenant to grant admin consent to the app"));
    assert!(unbroken(&page).contains("<p>Nobody has consented to this app for that resource, AADSTS650057.</p>"));
    assert!(
        page.body.contains("AADSTS650057: &lt;b&gt;Invalid&lt;/b&gt; resource &amp; &#39;more&#39;."),
        "{}",
        page.body
    );
    assert!(!page.body.contains("<b>"));
}

/// Nobody reads "success" before the token is there.
#[test]
fn a_code_that_cannot_be_redeemed_is_told_on_the_page() {
    let desk = Desk::new(Opening::Works);
    desk.env.world.entra.approve_in_browser(ALICE);
    desk.env.world.entra.inject_on("token", Fault::NotJson);
    let running = desk.start(&[]);
    let page = desk.browse();
    let error = desk.ended(running);
    assert!(error.starts_with("Error: the answer of login.microsoftonline.com is not JSON"), "{error}");
    assert_eq!(page.title().as_deref(), Some(NOT_SIGNED_IN));
    assert!(unbroken(&page).contains("<p>The answer of login.microsoftonline.com is not JSON"), "{}", page.body);
}

#[test]
fn whoever_is_named_must_sign_in() {
    let desk = Desk::new(Opening::Works);
    desk.env.world.entra.approve_in_browser(BOB);
    let running = desk.start(&["--login-hint", ALICE]);
    let page = desk.browse();
    let error = desk.ended(running);
    assert!(error.starts_with(&format!("Error: {BOB} has signed in, and not {ALICE};")), "{error}");
    assert_eq!(page.title().as_deref(), Some(NOT_SIGNED_IN));
    let asked = &requests_to(&desk.env, "authorize")[0];
    assert_eq!((asked.query_param("login_hint").as_deref(), asked.query_param("prompt")), (Some(ALICE), None));
}

/// Whoever signs out while a prompt is open stays signed out when that is declined.
#[test]
fn a_sign_in_that_fails_after_a_logout_brings_nothing_back() {
    let desk = Desk::new(Opening::Works);
    desk.env.world.entra.approve_in_browser(ALICE).token_lifetime(200);
    let first = desk.start(&[]);
    desk.browse();
    first.finish().token();
    assert!(desk.env.run(&["status"]).stdout.contains(ALICE));
    desk.env.world.entra.revoke_with(50_076, Some("basic_action"), Some(WANTED));
    desk.env.world.entra.browser_person(BrowserPerson::Decline);
    let second = desk.start(&[]);
    until("another tab", || desk.opener.opened().len() == 2);
    let logout = desk.env.run(&["logout"]);
    assert_eq!(logout.code, 0, "{logout:#?}");
    desk.env.world.browser().get(&desk.opener.opened()[1]);
    let error = desk.ended(second);
    assert_eq!(error, "Error: the sign-in was declined; run the command again in half a minute, and approve it");
    let status = desk.env.run(&["status"]);
    assert!(!status.stdout.contains(ALICE), "{status:#?}");
}

/// The earlier sign-in no longer serves, and Entra says what it wants: the same person is asked for that.
#[test]
fn what_entra_wants_is_asked_of_the_same_person() {
    let desk = Desk::new(Opening::Works);
    desk.env.world.entra.approve_in_browser(ALICE).token_lifetime(200);
    let first = desk.start(&[]);
    desk.browse();
    first.finish().token();
    desk.env.world.entra.clear_log();
    desk.env.world.entra.revoke_with(50_076, Some("basic_action"), Some(WANTED));
    let second = desk.start(&[]);
    until("another tab", || desk.opener.opened().len() == 2);
    let page = desk.env.world.browser().get(&desk.opener.opened()[1]);
    let run = second.finish();
    run.token();
    assert_eq!(page.title().as_deref(), Some(SIGNED_IN));
    let why = run.stderr.lines().next().unwrap();
    assert!(why.starts_with("note: ") && why.ends_with(", AADSTS50076"), "{run:#?}");
    let asked = &requests_to(&desk.env, "authorize")[0];
    let told = ["claims", "login_hint", "prompt"].map(|name| asked.query_param(name));
    assert_eq!(told, [Some(WANTED.to_owned()), Some(ALICE.to_owned()), None]);
    assert_eq!(grants(&desk.env), ["refresh_token", "authorize", "authorization_code"]);
}

/// A claims challenge as Conditional Access sends it.
pub const WANTED: &str = r#"{"access_token":{"capolids":{"essential":true,"values":["c1&c2=%é"]}}}"#;

/// The login page knows nothing of keys, the token endpoint does, and the cluster checks the proof.
#[test]
fn a_token_that_is_bound_to_a_key_serves_an_arc_cluster() {
    const CLUSTER: &str = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Kubernetes/connectedClusters/c";
    let Some(kubectl) = kubectls().last() else { return };
    let mut env = signed_out();
    let opener = env.opener(Opening::Works);
    env.set("DISPLAY", ":0");
    env.world.api.pop(CLUSTER);
    env.world.entra.approve_in_browser(ALICE);
    let config = std::fs::read_to_string(kubeconfig(&env)).unwrap();
    let with_key = format!("- interactive\n      - --pop-enabled\n      - --pop-claims\n      - u={CLUSTER}\n");
    env.write(".kube/config", &config.replace("- devicecode\n", &with_key));
    let running = Running::start(&env, env.other(&kubectl.path, &["get", "namespaces"]));
    let page = env.world.browser().get(&opener.wait_opened(LONG));
    let run = running.finish();
    assert_eq!((run.code, run.stdout.as_str()), (0, NAMESPACES), "{run:#?}");
    assert_eq!(page.title().as_deref(), Some(SIGNED_IN));
    let (asked, redeemed) = (&requests_to(&env, "authorize")[0], &requests_to(&env, "token")[0]);
    assert_eq!(["token_type", "req_cnf"].map(|name| asked.query_param(name)), [None, None]);
    assert_eq!(redeemed.param("token_type"), Some("pop"));
    assert!(redeemed.param("req_cnf").is_some_and(|key| key.len() > 40), "{redeemed:#?}");
    assert_eq!(users(&env.world.api), [ALICE]);

    assert_eq!((kubectl.get_namespaces(&env).stderr.as_str(), opener.opened().len()), ("", 1));
}

#[test]
fn auto_uses_the_browser_where_one_can_be_opened_and_a_code_elsewhere() {
    let mut desk = Desk::new(Opening::Works);
    // This machine may have an identity.
    desk.env.set("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:1");
    desk.env.world.entra.approve_in_browser(ALICE).approve(ALICE);
    let args = get_token("auto", AKS_CLIENT, &["--cache-storage", "none"]);
    let running = Running::kubentra(&desk.env, &args);
    assert_eq!(desk.browse().title().as_deref(), Some(SIGNED_IN));
    let run = running.finish();
    run.token();
    assert!(run.stderr.starts_with("auto: signing in with the browser ("), "{run:#?}");
    assert_eq!(grants(&desk.env), ["authorize", "authorization_code"]);

    desk.env.world.entra.clear_log();
    // `ssh -X` to a server without a browser, and a server without a desktop.
    desk.opener.uninstall();
    for display in [":10", ""] {
        desk.env.set("DISPLAY", display);
        let run = desk.env.run_all(&args);
        run.token();
        assert!(run.stderr.starts_with("auto: signing in with a device code ("), "{run:#?}");
    }
    assert_eq!(grants(&desk.env), ["devicecode", "device_code"].repeat(2));
    assert_eq!(desk.opener.opened().len(), 1);
}

#[test]
fn the_sign_in_ends_with_the_time_that_was_given() {
    best_of_three(Duration::from_secs(2), || {
        let desk = Desk::new(Opening::Works);
        let (run, time) = timed(|| desk.start(&["--login-timeout", "1s"]).finish());
        let end = "Error: nobody finished the sign-in in 1 s; run the command again, give a longer --login-timeout, or \
               sign in on another device (--login devicecode)\n";
        assert!(run.failure().ends_with(end), "{run:#?}");
        assert!(time > Duration::from_secs(1), "{time:?}");
        time
    });
}

#[test]
fn without_browser_and_terminal_it_fails_at_once() {
    let mut desk = Desk::new(Opening::Works);
    desk.env.unset("DISPLAY");
    let by_hand = interactive(&[]).join(" ").replace("get-token", "kubentra login");
    let way_out = format!("run `{by_hand}` in a terminal, or sign in on another device (--login devicecode)");
    for (variable, why) in
        [("LANG", "neither DISPLAY nor WAYLAND_DISPLAY is set"), ("SSH_TTY", "SSH_TTY is set and DISPLAY is not")]
    {
        desk.env.set(variable, "x");
        let run = desk.start(&[]).finish();
        let error = format!("Error: a browser is needed to sign in, and none can be opened here ({why}); {way_out}\n");
        assert_eq!((run.failure(), run.code), (error.as_str(), 1));
    }
    assert!(desk.opener.opened().is_empty() && grants(&desk.env).is_empty());
}

#[test]
fn an_opener_that_fails_is_told() {
    let desk = Desk::new(Opening::Fails);
    let run = desk.start(&[]).finish();
    let error = run.failure().lines().last().unwrap_or_default();
    assert!(error.contains("none can be opened here (xdg-open failed, exit status: 3);"), "{run:#?}");
}

#[test]
fn the_variable_goes_before_the_desktop() {
    let mut desk = Desk::new(Opening::Works);
    desk.env.world.entra.approve_in_browser(ALICE);
    let mine = FakeOpener::install_as(&desk.env.dir().join("bin"), "my-browser", Opening::Works);
    desk.env.unset("DISPLAY").set("SSH_CONNECTION", "x").set("BROWSER", "my-browser --new %s");
    let running = desk.start(&[]);
    let opened = mine.wait_opened(LONG);
    let page = desk.env.world.browser().get(opened.strip_prefix("--new ").expect("the arguments in their order"));
    running.finish().token();
    assert_eq!(page.title().as_deref(), Some(SIGNED_IN));
    assert!(desk.opener.opened().is_empty());
}

/// In a container or over SSH the person forwards the port and opens the address elsewhere.
#[test]
fn a_fixed_port_needs_no_browser_here() {
    let mut desk = Desk::new(Opening::Works);
    desk.env.unset("DISPLAY");
    desk.env.world.entra.approve_in_browser(ALICE).redirect_uri(AKS_CLIENT, "http://localhost/back");
    let port = free_port();
    let running = desk.start(&["--redirect-url", &format!("http://localhost:{port}/back")]);
    running.wait_until_it_says("in a browser that reaches this port");
    let stderr = running.said();
    let address = stderr.split_whitespace().find(|word| word.starts_with("http://")).unwrap();
    assert!(address.starts_with(&format!("http://localhost:{port}/")), "{stderr}");
    let page = desk.env.world.browser().get(address);
    running.finish().token();
    assert_eq!(page.trail.last(), Some(&format!("POST http://localhost:{port}/back -> 200")));
    assert_eq!(page.title().as_deref(), Some(SIGNED_IN));
}

#[test]
fn a_taken_port_is_named() {
    let desk = Desk::new(Opening::Works);
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let run = desk.start(&["--redirect-url", &format!("http://localhost:{port}")]).finish();
    let error = format!(
        "Error: port {port} of localhost, where the browser shall come back to, is taken (--redirect-url); \
         end the program that listens there, or give another port\n"
    );
    assert_eq!(run.failure(), error);
    assert!(desk.opener.opened().is_empty());
}

/// The person's browser is on another machine: what its address bar shows is pasted here, however long
/// it is, after some that cannot be used.
#[test]
fn the_answer_is_pasted_where_no_browser_can_be_opened() {
    let mut desk = Desk::new(Opening::Works);
    desk.env.unset("DISPLAY").set("SSH_CONNECTION", "x");
    desk.env.world.entra.approve_in_browser(ALICE);
    for form in [Pasted::Address, Pasted::Code] {
        let Some(mut terminal) = Terminal::start(&desk.env, &interactive(&["--cache-storage", "none"])) else { return };
        terminal.wait_for("press Enter");
        let shown = terminal.shown();
        assert!(
            shown.starts_with("No browser can be opened here (SSH_CONNECTION is set and DISPLAY is not)."),
            "{shown}"
        );
        let landed = terminal.landed(&desk.env);
        assert!(landed.contains("/?code="), "{landed}");
        terminal.type_line("what now");
        terminal.wait_for("This cannot be used: it is neither an address with an answer nor a code.");
        terminal.type_line("http://localhost:1/?code=x&state=y");
        terminal.wait_for("This cannot be used: it belongs to another sign-in.");
        let code = landed.split("code=").nth(1).unwrap().split('&').next().unwrap();
        match form {
            Pasted::Address => terminal.type_line(&format!("{landed}&filler={}", "x".repeat(6000))),
            Pasted::Code => terminal.type_line(code),
        }
        let (run, seen) = terminal.finish();
        run.token();
        assert!(seen.lines().last().is_some_and(is_signed_in), "{seen}");
        assert!(!seen.contains(code), "nothing that is pasted is shown: {seen}");
    }
}

enum Pasted {
    Address,
    Code,
}

/// While a paste is waited for, a browser that reaches the port after all is as good.
#[test]
fn a_browser_that_gets_through_is_as_good_as_pasting() {
    let mut desk = Desk::new(Opening::Works);
    desk.env.unset("DISPLAY");
    desk.env.world.entra.approve_in_browser(ALICE);
    let Some(terminal) = Terminal::start(&desk.env, &interactive(&[])) else { return };
    terminal.wait_for("press Enter");
    let shown = terminal.shown();
    let address = shown.lines().find(|line| line.starts_with("https://")).expect("the login page");
    let page = desk.env.world.browser().get(address);
    assert_eq!(page.title().as_deref(), Some(SIGNED_IN));
    assert!(page.url.contains("/?code="), "the answer came in a query: {}", page.url);
    terminal.finish().0.token();
}

#[test]
fn the_terminal_is_as_before_however_the_sign_in_is_ended() {
    let mut desk = Desk::new(Opening::Works);
    desk.env.unset("DISPLAY");
    for (signal, error) in
        [(None, "interrupted"), (Some(Signal::SIGTERM), "told to end"), (Some(Signal::SIGHUP), "told to end")]
    {
        let Some(mut terminal) = Terminal::start(&desk.env, &interactive(&[])) else { return };
        terminal.wait_for("press Enter");
        assert!(!terminal.modes().intersects(LINES));
        match signal {
            Some(signal) => terminal.kill(signal),
            None => terminal.send(b"\x03"),
        }
        let master = terminal.master.try_clone().unwrap();
        let (run, seen) = terminal.finish();
        assert!(run.code == 130 && seen.ends_with(&format!("Error: {error}\r\n")), "{run:#?} {seen}");
        assert!(tcgetattr(master.as_fd()).unwrap().local_flags.contains(LINES));
    }
}

/// A shell that gets the terminal back meanwhile would find it without echo.
#[test]
fn ctrl_z_does_not_stop_a_paste() {
    let mut desk = Desk::new(Opening::Works);
    desk.env.unset("DISPLAY").world.entra.approve_in_browser(ALICE);
    let script = format!("set -m; kubentra {}; echo \"$?\" >&2", interactive(&[]).join(" "));
    let Some(mut terminal) = Terminal::start_program(&desk.env, "/bin/sh", &["-c".into(), script]) else { return };
    terminal.wait_for("press Enter");
    let landed = terminal.landed(&desk.env);
    terminal.send(b"\x1a");
    terminal.type_line(&landed);
    let (run, seen) = terminal.finish();
    run.token();
    assert!(seen.ends_with("UTC, renews itself\r\n0\r\n"), "{seen}");
}

/// `kill -STOP`, and the shell has the terminal as it likes it until `fg`.
#[test]
fn a_paste_goes_on_after_a_stop() {
    let mut desk = Desk::new(Opening::Works);
    desk.env.unset("DISPLAY").world.entra.approve_in_browser(ALICE);
    let Some(mut terminal) = Terminal::start(&desk.env, &interactive(&[])) else { return };
    terminal.wait_for("press Enter");
    let landed = terminal.landed(&desk.env);
    terminal.kill(Signal::SIGSTOP);
    let stat = format!("/proc/{}/stat", terminal.child.id());
    until("it is stopped", || std::fs::read_to_string(&stat).unwrap().contains(") T "));
    let mut modes = tcgetattr(terminal.master.as_fd()).unwrap();
    modes.local_flags |= LINES;
    tcsetattr(terminal.master.as_fd(), SetArg::TCSANOW, &modes).unwrap();
    terminal.kill(Signal::SIGCONT);
    until("it takes the terminal", || !terminal.modes().intersects(LINES));
    terminal.type_line(&format!("{landed}&filler={}", "x".repeat(6000)));
    let (run, seen) = terminal.finish();
    run.token();
    assert!(!seen.contains("filler"), "{seen}");
}

/// k9s reads single keys and draws what it likes; the text would stand in its picture, and its keys would
/// come to us.
#[test]
fn a_terminal_that_another_program_drives_is_left_alone() {
    let mut desk = Desk::new(Opening::Works);
    desk.env.unset("DISPLAY");
    let args = interactive(&[]);
    let Some(terminal) = Terminal::start_in(&desk.env, "kubentra", &args, cfmakeraw) else { return };
    let before = terminal.modes();
    let master = terminal.master.try_clone().unwrap();
    let (run, seen) = terminal.finish();
    assert!(run.code == 1 && seen.starts_with("Error: a browser is needed to sign in"), "{run:#?} {seen}");
    assert!(seen.contains("; run `kubentra login ") && seen.lines().count() == 1, "{seen}");
    assert_eq!(tcgetattr(master.as_fd()).unwrap().local_flags, before);
}

#[test]
fn nothing_is_asked_where_it_shall_be_quiet() {
    let mut desk = Desk::new(Opening::Works);
    desk.env.unset("DISPLAY").set("KUBENTRA_QUIET", "1");
    let Some(terminal) = Terminal::start(&desk.env, &interactive(&[])) else { return };
    let (run, seen) = terminal.finish();
    assert!(run.code == 1 && seen.starts_with("Error: a browser is needed to sign in"), "{run:#?} {seen}");
    let end = "` in a terminal without KUBENTRA_QUIET, or sign in on another device (--login devicecode)\r\n";
    assert!(seen.ends_with(end), "{seen}");
}

/// Somebody else pressing Ctrl-Z or a wrapper that keeps the terminal: we are not its foreground.
#[test]
fn a_terminal_that_belongs_to_another_program_is_left_alone() {
    let mut desk = Desk::new(Opening::Works);
    desk.env.unset("DISPLAY");
    let script = format!("set -m; kubentra {} & wait $!", interactive(&[]).join(" "));
    let Some(terminal) = Terminal::start_program(&desk.env, "/bin/sh", &["-c".into(), script]) else { return };
    let (run, seen) = terminal.finish();
    assert!(run.code == 1 && seen.contains("Error: a browser is needed to sign in"), "{run:#?} {seen}");
}

/// A world with a desktop, whose only program is our opener.
pub struct Desk {
    pub env: TestEnv,
    pub opener: FakeOpener,
}

impl Desk {
    pub fn new(opening: Opening) -> Self {
        let mut env = TestEnv::new();
        let bin = env.dir().join("bin");
        let opener = FakeOpener::install(&bin, opening);
        // The scripts need no more than the shell; the machine's own openers must not be found.
        let path = bin.display().to_string();
        env.set("DISPLAY", ":0").set("PATH", path);
        Self { env, opener }
    }

    pub fn start(&self, more: &[&str]) -> Running {
        Running::kubentra(&self.env, &interactive(more))
    }

    /// What the person's browser shows in the end.
    pub fn browse(&self) -> Page {
        self.env.world.browser().get(&self.opener.wait_opened(LONG))
    }

    /// The last line of a run that must have failed.
    fn ended(&self, running: Running) -> String {
        let run = running.finish();
        run.failure().lines().last().unwrap_or_default().to_owned()
    }
}

pub fn interactive(more: &[&str]) -> Vec<String> {
    get_token("interactive", AKS_CLIENT, more)
}

/// The page without what says where words may be broken.
fn unbroken(page: &Page) -> String {
    page.body.replace("<wbr>", "").replace("<span class=\"whole\">", "").replace("</span>", "")
}

pub fn requests_to(env: &TestEnv, endpoint: &str) -> Vec<Recorded> {
    let all = env.world.entra.requests();
    all.into_iter().filter(|request| request.path.ends_with(&format!("/{endpoint}"))).collect()
}

pub fn port_of(address: &str) -> u16 {
    let rest = address.strip_prefix("http://localhost:").expect("an address on this machine");
    rest.split('/').next().and_then(|port| port.parse().ok()).expect("a port")
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// Where the login page sends a browser that cannot reach our port.
fn landing_of(env: &TestEnv, address: &str) -> String {
    let redirected = env.world.browser().first_redirect(address);
    redirected.expect("the login page sends the browser back")
}

/// A run in a terminal of its own, in whose foreground it is.
struct Terminal {
    child: Child,
    master: File,
    shown: Arc<Mutex<String>>,
    reader: std::thread::JoinHandle<()>,
}

impl Terminal {
    fn start(env: &TestEnv, args: &[String]) -> Option<Self> {
        Self::start_program(env, "kubentra", args)
    }

    fn start_program(env: &TestEnv, program: &str, args: &[String]) -> Option<Self> {
        Self::start_in(env, program, args, |_| ())
    }

    /// The same in a terminal with other modes.
    fn start_in(env: &TestEnv, program: &str, args: &[String], change: impl FnOnce(&mut Termios)) -> Option<Self> {
        let setsid = std::path::Path::new("/usr/bin/setsid");
        if !setsid.exists() {
            missing("setsid");
            return None;
        }
        let pty = nix::pty::openpty(None, None).expect("a pseudo-terminal");
        let mut modes = tcgetattr(&pty.slave).expect("a terminal");
        change(&mut modes);
        tcsetattr(&pty.slave, SetArg::TCSANOW, &modes).expect("a terminal");
        let first = ["-w", "-c", program];
        let words: Vec<&str> = first.into_iter().chain(args.iter().map(String::as_str)).collect();
        let mut command: Command = env.other(setsid, &words);
        let slave = || Stdio::from(pty.slave.try_clone().expect("another handle"));
        let child = command.stdin(slave()).stderr(slave()).stdout(Stdio::piped()).spawn().expect("it starts");
        drop((command, pty.slave));
        let master = File::from(pty.master);
        let shown = Arc::new(Mutex::new(String::new()));
        let reader = {
            let (mut master, shown) = (master.try_clone().expect("another handle"), Arc::clone(&shown));
            std::thread::spawn(move || {
                let mut piece = [0; 4096];
                // The terminal ends with an error once nobody has it open.
                while let Ok(count @ 1..) = master.read(&mut piece) {
                    shown.lock().unwrap().push_str(&String::from_utf8_lossy(&piece[..count]));
                }
            })
        };
        Some(Self { child, master, shown, reader })
    }

    fn shown(&self) -> String {
        self.shown.lock().unwrap().clone()
    }

    fn wait_for(&self, text: &str) {
        until(text, || self.shown().contains(text));
    }

    fn send(&mut self, bytes: &[u8]) {
        self.master.write_all(bytes).expect("it reads");
    }

    fn type_line(&mut self, line: &str) {
        self.send(format!("{line}\r").as_bytes());
    }

    fn kill(&self, signal: Signal) {
        kill(nix::unistd::Pid::from_raw(self.child.id().cast_signed()), signal).expect("it runs");
    }

    /// Where a browser elsewhere ends that has opened what is shown.
    fn landed(&self, env: &TestEnv) -> String {
        let shown = self.shown();
        landing_of(env, shown.lines().find(|line| line.starts_with("https://")).expect("the login page"))
    }

    fn modes(&self) -> LocalFlags {
        tcgetattr(self.master.as_fd()).expect("a terminal").local_flags
    }

    /// How it ended, and all that the terminal has shown.
    fn finish(self) -> (Run, String) {
        let deadline = Instant::now() + LONG;
        let mut child = self.child;
        while child.try_wait().expect("it can be waited for").is_none() {
            if Instant::now() > deadline {
                let _ = kill(nix::unistd::Pid::from_raw(child.id().cast_signed()), Signal::SIGKILL);
                panic!("it does not end: {}", self.shown.lock().unwrap());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let output = child.wait_with_output().expect("its output");
        drop(self.master);
        self.reader.join().expect("the reader ends");
        let run = Run {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).expect("UTF-8"),
            stderr: String::new(),
        };
        let shown = self.shown.lock().unwrap().clone();
        (run, shown)
    }
}

/// Whether `line` says that Alice has signed in, and until when.
pub fn is_signed_in(line: &str) -> bool {
    let line = line.trim_end();
    line.starts_with(&format!("signed in as {ALICE} (tenant {TENANT}), valid until "))
        && line.ends_with(" UTC, renews itself")
}
