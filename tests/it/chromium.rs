//! Real Chromium signs in on the fake Entra's page and lands on ours. Where `KUBENTRA_SCREENSHOTS`
//! names a directory, the pages are kept there as PNGs.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::browser::{Desk, NOT_SIGNED_IN, SIGNED_IN, WANTED, interactive, is_signed_in, port_of, requests_to};
use crate::env::TestEnv;
use crate::kubectl::{NAMESPACES, kubectls, signed_out};
use crate::parallel::{Running, grants, until};
use crate::pty::Pty;
use crate::support::browser::{FakeOpener, Opening};
use crate::support::chromium::{Chromium, Setup};
use crate::support::entra::BrowserPerson;
use crate::support::entra::directory::{ALICE, BOB, TENANT, User};

/// A desk with a person at it: what the opener is given, they open in Chromium.
struct Seat {
    desk: Desk,
    chromium: Chromium,
}

impl Seat {
    fn take() -> Option<Self> {
        let desk = Desk::new(Opening::Works);
        let chromium = chromium(&desk.env)?;
        Some(Self { desk, chromium })
    }

    /// Starts a run whose sign-in leaves nothing behind, and opens what it wants opened.
    fn start(&self, more: &[&str]) -> Running {
        let args = [&["--cache-storage", "none"], more].concat();
        self.open_what_it_wants(|| self.desk.start(&args))
    }

    fn open_what_it_wants(&self, start: impl FnOnce() -> Running) -> Running {
        let running = opened_by(&self.desk.opener, start);
        self.chromium.goto(&running.1);
        running.0
    }

    fn click(&self, id: &str) -> &Self {
        self.chromium.click(&format!("[id='{id}']"));
        self
    }

    fn lands_on(&self, title: &str) -> String {
        landed(&self.chromium, title)
    }

    /// The page has asked for nothing, complained about nothing, and shows no secret of the sign-in.
    fn keeps_to_itself(&self) {
        keeps_to_itself(&self.desk.env, &self.chromium);
    }
}

fn chromium(env: &TestEnv) -> Option<Chromium> {
    let host = ("login.microsoftonline.com".to_owned(), env.world.entra.addr());
    Chromium::start(&Setup { hosts: vec![host], ..Setup::default() })
}

/// A run, and what it has told the opener to open.
fn opened_by(opener: &FakeOpener, start: impl FnOnce() -> Running) -> (Running, String) {
    let before = opener.opened().len();
    let running = start();
    until("a browser that is opened", || opener.opened().len() > before);
    (running, opener.opened().pop().expect("an address"))
}

/// What people read on the page with that title.
fn landed(chromium: &Chromium, title: &str) -> String {
    chromium.wait_until(title, |chromium| chromium.title() == title);
    chromium.text("main")
}

fn keeps_to_itself(env: &TestEnv, chromium: &Chromium) {
    assert_eq!(chromium.console(), Vec::<String>::new());
    let loaded = chromium.script("return performance.getEntriesByType('resource').map(entry => entry.name)");
    assert_eq!(loaded, json!([]));
    let (state, code) = (secrets(env, "authorize", "state"), secrets(env, "token", "code"));
    let source = chromium.source();
    assert!(!state.is_empty());
    for secret in state.iter().chain(&code) {
        assert!(secret.len() > 20 && !source.contains(secret), "{secret} in {source}");
    }
}

fn secrets(env: &TestEnv, endpoint: &str, name: &str) -> Vec<String> {
    let asked = requests_to(env, endpoint);
    asked.iter().filter_map(|request| request.query_param(name).or(request.param(name).map(str::to_owned))).collect()
}

#[test]
fn a_form_brings_the_answer() {
    let Some(seat) = Seat::take() else { return };
    let running = seat.start(&["-v", "1"]);
    assert_eq!(seat.chromium.title(), "Sign in to your account");
    let text = seat.click(&format!("account-{ALICE}")).lands_on(SIGNED_IN);
    let run = running.finish();
    run.token();
    assert!(run.stderr.lines().any(is_signed_in), "{run:#?}");
    assert!(!run.stderr.contains("ignored a request"), "not even an icon is asked for: {}", run.stderr);
    for line in ["You are signed in", ALICE, TENANT, "You can close this tab and go back to where the command runs."] {
        assert!(text.lines().any(|shown| shown == line), "{line} in {text}");
    }
    seat.keeps_to_itself();
    let port = port_of(seat.desk.opener.opened().last().unwrap());
    assert_eq!(seat.chromium.url(), format!("http://localhost:{port}/"));
    assert_eq!(requests_to(&seat.desk.env, "authorize")[0].query_param("response_mode").as_deref(), Some("form_post"));
}

/// Whatever page of ours it shows, it asks for that page only. An icon would come with the address of the
/// page, code and all, in the `Referer`.
#[test]
fn no_icon_is_asked_for() {
    let Some(seat) = Seat::take() else { return };
    let running = seat.start(&["-v", "1"]);
    let address = seat.desk.opener.opened().pop().expect("an address");
    for number in 0..3 {
        seat.chromium.goto(&format!("http://localhost:{}/?code=junk{number}", port_of(&address)));
        seat.lands_on("Nothing to see here - kubentra");
    }
    seat.chromium.goto(&address);
    seat.click(&format!("account-{ALICE}")).lands_on(SIGNED_IN);
    let run = running.finish();
    let ignored: Vec<&str> = run.stderr.lines().filter(|line| line.starts_with("ignored ")).collect();
    assert_eq!(ignored, ["ignored a request to the sign-in's port: it is no answer to a sign-in"; 3]);
}

/// Nothing can be opened here, so the whole address is shown; that browser happens to be on this machine.
#[test]
fn a_query_brings_the_answer() {
    let mut desk = Desk::new(Opening::Works);
    desk.env.unset("DISPLAY");
    let Some(chromium) = chromium(&desk.env) else { return };
    let Some(terminal) = Pty::start(&desk.env, &interactive(&["-v", "1"]), 80) else { return };
    terminal.wait_until_it_shows("press Enter");
    let raw = terminal.raw();
    let address = raw.lines().map(str::trim_end).find(|line| line.starts_with("https://")).expect("the login page");
    chromium.goto(address).click(&format!("[id='account-{ALICE}']"));
    let text = landed(&chromium, SIGNED_IN);
    let ended = terminal.finish();
    assert!(ended.code == Some(0) && ended.stdout.contains("\"token\":"), "{ended:#?}");
    assert!(!ended.raw.contains("ignored a request"), "{ended:#?}");
    assert!(text.contains(ALICE), "{text}");
    assert!(chromium.url().contains("/?code="), "{}", chromium.url());
    keeps_to_itself(&desk.env, &chromium);
    assert_eq!(requests_to(&desk.env, "authorize")[0].query_param("response_mode").as_deref(), Some("query"));
}

#[test]
fn whoever_is_named_is_chosen_already() {
    let Some(seat) = Seat::take() else { return };
    let running = seat.start(&["--login-hint", BOB]);
    let chosen = format!("account-{BOB}");
    assert_eq!(seat.chromium.script("return document.activeElement.id"), chosen);
    let text = seat.click(&chosen).lands_on(SIGNED_IN);
    assert!(text.contains(BOB), "{text}");
    let run = running.finish();
    assert_eq!(seat.desk.env.world.entra.claims(&run.token()).unwrap()["upn"], BOB);
}

/// Alice is wanted and Bob signs in: both are named in both places, nothing is kept, and by hand one can
/// try again at once.
#[test]
fn another_account_than_the_named_one_is_told_apart() {
    let Some(seat) = Seat::take() else { return };
    let args = interactive(&["--login-hint", ALICE]);
    let running = seat.open_what_it_wants(|| Running::kubentra(&seat.desk.env, &args));
    let text = seat.click(&format!("account-{BOB}")).lands_on(NOT_SIGNED_IN);
    let run = running.finish();
    let named = format!("{BOB} has signed in, and not {ALICE}");
    assert!(run.code == 1 && run.failure().contains(&format!("Error: {named}; ")), "{run:#?}");
    assert!(text.contains(&format!("{named}.")), "{text}");
    seat.keeps_to_itself();
    let kept = std::fs::read_dir(seat.desk.env.cache()).expect("a cache").map(|entry| entry.unwrap().path());
    assert_eq!(kept.filter(|path| path.extension().is_some_and(|kind| kind == "grant")).count(), 0);

    let again = seat.desk.env.run_all(&args);
    assert!(again.failure().contains(&format!("ago: {named}; ")), "{again:#?}");
    let by_hand: Vec<String> = args.iter().map(|word| word.replace("get-token", "login")).collect();
    let running = seat.open_what_it_wants(|| Running::kubentra(&seat.desk.env, &by_hand));
    seat.click(&format!("account-{ALICE}")).lands_on(SIGNED_IN);
    assert_eq!(running.finish().code, 0);
    assert_eq!(seat.desk.env.world.entra.claims(&seat.desk.env.run_all(&args).token()).unwrap()["upn"], ALICE);
    assert_eq!(grants(&seat.desk.env), ["authorize", "choice", "authorization_code"].repeat(2));
}

/// Entra wants more of an earlier sign-in: Chromium brings the challenge through letter by letter, and the
/// same person is chosen already.
#[test]
fn claims_are_asked_of_whoever_signed_in_before() {
    let Some(seat) = Seat::take() else { return };
    seat.desk.env.world.entra.token_lifetime(200);
    for again in [false, true] {
        seat.desk.env.world.entra.clear_log();
        let running = seat.open_what_it_wants(|| seat.desk.start(&[]));
        let chosen = seat.chromium.script("return document.activeElement.id");
        assert_eq!(chosen == format!("account-{BOB}"), again, "{chosen}");
        seat.click(&format!("account-{BOB}")).lands_on(SIGNED_IN);
        running.finish().token();
        let asked = requests_to(&seat.desk.env, "authorize")[0].query_param("claims");
        assert_eq!(asked.as_deref(), again.then_some(WANTED));
        seat.keeps_to_itself();
        seat.desk.env.world.entra.revoke_with(50_076, Some("basic_action"), Some(WANTED));
    }
}

#[test]
fn whoever_cancels_is_told_what_that_means() {
    let Some(seat) = Seat::take() else { return };
    let running = seat.start(&[]);
    let text = seat.click("cancel").lands_on(NOT_SIGNED_IN);
    let run = running.finish();
    let error = "Error: the sign-in was declined; run the command again in half a minute, and approve it\n";
    assert!(run.code == 1 && run.failure().ends_with(error), "{run:#?}");
    for line in ["The sign-in was declined.", "Run the command again in half a minute, and approve it."] {
        assert!(text.lines().any(|shown| shown == line), "{line} in {text}");
    }
    seat.keeps_to_itself();
}

#[test]
fn a_refusal_is_explained_where_the_person_looks() {
    let Some(seat) = Seat::take() else { return };
    seat.desk.env.world.entra.browser_person(refusal());
    let running = seat.start(&[]);
    let text = seat.lands_on(NOT_SIGNED_IN);
    let run = running.finish();
    let meaning = "Conditional Access blocks this way of signing in, AADSTS53003";
    assert!(run.code == 1 && run.failure().contains(&format!("Error: {meaning}; ")), "{run:#?}");
    assert!(text.contains(&format!("{meaning}.\n")) && text.contains("Entra says: AADSTS53003: "), "{text}");
    assert!(text.contains("Correlation ID ") && text.contains(", timestamp 20"), "support asks for these: {text}");
    seat.keeps_to_itself();
}

fn refusal() -> BrowserPerson {
    BrowserPerson::Refuse {
        error: "access_denied".into(),
        code: 53003,
        description: "Access has been blocked by Conditional Access policies. The access policy does not allow \
                      token issuance."
            .into(),
    }
}

/// The page names the command and the cluster that real kubectl has told us.
#[test]
fn kubectl_and_its_cluster_are_named() {
    let Some(kubectl) = kubectls().last() else { return };
    let mut env = signed_out();
    let Some(chromium) = chromium(&env) else { return };
    let opener = env.opener(Opening::Works);
    env.set("DISPLAY", ":0");
    let config = std::fs::read_to_string(crate::kubectl::kubeconfig(&env)).expect("a kubeconfig");
    let config = config.replace("- devicecode\n", "- interactive\n");
    let config = config.replace("provideClusterInfo: false", "provideClusterInfo: true");
    env.write(".kube/config", &config);
    symlink(&kubectl.path, env.dir().join("bin/kubectl")).expect("a link");
    let (running, address) =
        opened_by(&opener, || Running::start(&env, env.other(Path::new("kubectl"), &["get", "namespaces"])));
    chromium.goto(&address).click(&format!("[id='account-{ALICE}']"));
    let text = landed(&chromium, SIGNED_IN);
    let run = running.finish();
    assert_eq!((run.code, run.stdout.as_str()), (0, NAMESPACES), "{run:#?}");
    let cluster = env.world.api.url();
    let cluster = cluster.trim_start_matches("https://").trim_end_matches('/');
    for line in [ALICE, TENANT, "kubectl get namespaces", cluster] {
        assert!(text.lines().any(|shown| shown == line), "{line} in {text}");
    }
    keeps_to_itself(&env, &chromium);
}

/// Longer than any name that Entra allows, and than most people have seen.
const LONG_NAME: &str =
    "wilhelmina.featherstonehaugh-cholmondeley.external_partners-and-suppliers@contoso.onmicrosoft.com";
/// A name in which right-to-left letters stand beside others.
const BOTH_WAYS: &str = "\u{645}\u{631}\u{64a}\u{645}.2@contoso.onmicrosoft.com";

/// Every page fits into wide and narrow windows and can be read in light and dark.
#[test]
fn the_pages_fit_and_can_be_read() {
    let Some(mut seat) = Seat::take() else { return };
    for (upn, oid) in [(LONG_NAME, 1), (BOTH_WAYS, 2)] {
        let oid = format!("dddddddd-dddd-4ddd-8ddd-dddddddddd0{oid}");
        let (upn, home_tenant) = (upn.to_owned(), TENANT.to_owned());
        seat.desk.env.world.entra.user_with(User { upn, home_tenant, oid, groups: Vec::new(), guest_of: Vec::new() });
    }
    let resources = "pods,deployments.apps,replicasets.apps,statefulsets.apps,horizontalpodautoscalers.autoscaling";
    let context = "--context=arn_production_west-europe_contoso-platform-engineering_aks-blue-2026-08_admin";
    let long_host = "contoso-platform-engineering-prod-weu-1a2b3c4d.00000000-0000.privatelink.westeurope.azmk8s.io";
    let short_host = "shop-prod-1a2b3c4d.hcp.westeurope.azmk8s.io";
    for (name, who, words, host) in [
        ("signed-in", ALICE, &["get", "pods", "-n", "shop"][..], short_host),
        ("signed-in-long", LONG_NAME, &["get", resources, context], long_host),
        ("signed-in-both-ways", BOTH_WAYS, &["get", "pods"], short_host),
    ] {
        seat.desk.env.set("KUBERNETES_EXEC_INFO", exec_info(host));
        let running = seat.open_what_it_wants(|| kubectl_like(&seat.desk.env, words));
        let text = seat.click(&format!("account-{who}")).lands_on(SIGNED_IN);
        running.finish().token();
        assert!(text.contains(who) && text.contains(&words[..2].join(" ")) && text.contains(host), "{text}");
        can_be_read(&seat.chromium, name);
    }
    let running = seat.start(&["--login-hint", LONG_NAME]);
    seat.click(&format!("account-{BOTH_WAYS}")).lands_on(NOT_SIGNED_IN);
    running.finish().failure();
    can_be_read(&seat.chromium, "another-signed-in");
    seat.desk.env.world.entra.browser_person(refusal());
    let running = seat.start(&[]);
    seat.lands_on(NOT_SIGNED_IN);
    running.finish().failure();
    can_be_read(&seat.chromium, "not-signed-in");
    seat.desk.env.world.entra.browser_person(BrowserPerson::Wait);
    let running = seat.start(&[]);
    let port = port_of(seat.desk.opener.opened().last().unwrap());
    seat.chromium.goto(&format!("http://localhost:{port}/?code=junk"));
    seat.lands_on("Nothing to see here - kubentra");
    can_be_read(&seat.chromium, "ignored");
    running.kill();
}

fn exec_info(host: &str) -> String {
    let cluster = json!({"server": format!("https://{host}:443")});
    let spec = json!({"interactive": true, "cluster": cluster});
    json!({"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "spec": spec}).to_string()
}

/// `kubectl WORDS`, which is a shell that runs a script by the name of the first word.
fn kubectl_like(env: &TestEnv, words: &[&str]) -> Running {
    let own = interactive(&["--cache-storage", "none"]).join(" ");
    env.write(words[0], &format!("kubentra {own}\nexit $?\n"));
    let program = env.dir().join("bin/kubectl");
    if !program.exists() {
        symlink("/bin/sh", &program).expect("a link");
    }
    Running::start(env, env.other(&program, words))
}

/// Looks at the page in both colour schemes and in two windows.
fn can_be_read(chromium: &Chromium, name: &str) {
    for scheme in ["light", "dark"] {
        for (width, height) in [(1200, 800), (360, 740)] {
            chromium.prefer_colours(scheme);
            let window = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
            chromium.devtools("Emulation.setDeviceMetricsOverride", &window);
            let complaints = chromium.script(COMPLAINTS);
            assert_eq!(complaints, json!([]), "{name}, {scheme}, {width}");
            keep(chromium, &format!("{name}-{scheme}-{width}"));
        }
    }
}

fn keep(chromium: &Chromium, name: &str) {
    let Some(directory) = std::env::var_os("KUBENTRA_SCREENSHOTS") else { return };
    let file = PathBuf::from(directory).join(format!("{name}.png"));
    std::fs::write(&file, chromium.screenshot()).expect("a directory for screenshots");
}

/// What is wrong with a page: something reaches beyond the window or its own box, or has less contrast
/// than WCAG 2 AA asks for (4.5 : 1 for text, 3 : 1 for signs).
const COMPLAINTS: &str = r"
const numbers = colour => colour.match(/[\d.]+/g).map(Number);
const opaque = colour => (numbers(colour)[3] ?? 1) === 1;
const light = colour => {
    const [r, g, b] = numbers(colour).map(c => c / 255).map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const contrast = (a, b) => (Math.max(light(a), light(b)) + 0.05) / (Math.min(light(a), light(b)) + 0.05);
const ground = element => {
    for (let at = element; at; at = at.parentElement) {
        const colour = getComputedStyle(at).backgroundColor;
        if (opaque(colour)) return colour;
    }
    return 'rgb(255, 255, 255)';
};
const complaints = [];
const width = document.documentElement.scrollWidth;
if (width > innerWidth) complaints.push(`the page is ${width} wide`);
for (const element of document.body.querySelectorAll('*')) {
    const box = element.getBoundingClientRect();
    if (box.left < 0 || box.right > innerWidth) complaints.push(`${element.tagName} reaches out of the window`);
    if (element.scrollWidth > element.clientWidth + 1 && element.clientWidth > 0) complaints.push(`${element.tagName} overflows`);
    const text = [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim());
    if (!text && element.tagName !== 'svg') continue;
    const found = contrast(getComputedStyle(element).color, ground(element));
    if (found < (text ? 4.5 : 3)) complaints.push(`${element.tagName} has a contrast of ${found}`);
}
return complaints;
";
