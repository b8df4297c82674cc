//! The fake browser, what opens it, and real Chromium on the fake Entra's page.

use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::authorize::question;
use super::people::with;
use super::{Fakes, fakes, form};
use crate::env::{Run, TestEnv};
use crate::parallel::until;
use crate::support::browser::{FakeOpener, Opening};
use crate::support::chromium::{Chromium, Setup};
use crate::support::entra::directory::{ALICE, BOB, TENANT};
use crate::support::http::{Request, Response, Server};

/// What stands in for the program: it notes every request and answers with a page.
struct Program {
    server: Server,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Program {
    fn start() -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        let server = Server::start(None, move |request| {
            log.lock().unwrap().push(request.clone());
            Response::html(200, "<!DOCTYPE html><title>Done</title><p id=\"done\">You can close this page.</p>")
        });
        Self { server, seen }
    }

    fn url(&self) -> String {
        format!("http://localhost:{}", self.server.addr().port())
    }

    /// The requests for pages; browsers ask for icons too.
    fn pages(&self) -> Vec<Request> {
        let seen = self.seen.lock().unwrap();
        seen.iter().filter(|request| request.path != "/favicon.ico").cloned().collect()
    }
}

impl Fakes {
    fn sign_in_url(&self, program: &Program, more: &[(&str, &str)]) -> String {
        let redirect_uri = program.url();
        let fixed = question();
        let pairs = with(&fixed, &[&[("redirect_uri", redirect_uri.as_str())], more].concat());
        format!("{}{TENANT}/oauth2/v2.0/authorize?{}", self.world.entra.url(), form(&pairs))
    }
}

#[test]
fn a_browser_walks_from_page_to_page() {
    let fakes = fakes();
    let (program, browser) = (Program::start(), fakes.world.browser());
    let url = fakes.sign_in_url(&program, &[]);
    let page = browser.get(&url);
    assert_eq!((page.status, page.title().as_deref()), (200, Some("Sign in to your account")));
    assert!(program.pages().is_empty());
    let done = browser.click(&page, &format!("account-{ALICE}"));
    assert_eq!((done.status, done.title().as_deref(), done.trail.len()), (200, Some("Done"), 2));
    assert!(done.trail[1].starts_with(&format!("GET {}/?code=", program.url())), "{:#?}", done.trail);
    let request = program.pages().remove(0);
    assert_eq!((request.path.as_str(), request.header("sec-fetch-site")), ("/", Some("cross-site")));

    let public = url.replace(&fakes.world.entra.url(), "https://login.microsoftonline.com/");
    assert_eq!(browser.sign_in(&public, BOB).title().as_deref(), Some("Done"), "Entra's names lead to the fake");
    assert_eq!(program.seen.lock().unwrap().len(), 2, "it does not ask for icons");
    let done = fakes.world.browser().with_icons().sign_in(&url, BOB);
    assert_eq!(done.trail[2], format!("GET {}/favicon.ico -> 200", program.url()));
    assert_eq!(program.seen.lock().unwrap()[3].header("referer"), Some(done.url.as_str()), "code and all");
    let cancelled = browser.click(&browser.get(&url), "cancel");
    assert!(cancelled.url.contains("error=access_denied"), "{}", cancelled.url);
    assert!(browser.try_get("http://localhost:1/").is_err(), "nobody listens there");
    assert!(browser.try_get("http://192.0.2.1/").unwrap_err().to_string().contains("not on this machine"));
}

#[test]
fn a_browser_submits_forms() {
    let fakes = fakes();
    let (program, browser) = (Program::start(), fakes.world.browser());
    fakes.world.entra.approve_in_browser(ALICE);
    let done = browser.get(&fakes.sign_in_url(&program, &[("response_mode", "form_post")]));
    assert_eq!((done.status, done.trail.len()), (200, 2));
    assert_eq!(done.trail[1], format!("POST {} -> 200", program.url()));
    let request = program.pages().remove(0);
    assert_eq!((request.method.as_str(), request.path.as_str(), request.query.as_str()), ("POST", "/", ""));
    assert_eq!(request.header("content-type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(request.header("origin"), Some("null"), "from https to http nothing is told");
    let fields: Vec<(String, String)> = form_urlencoded::parse(&request.body).into_owned().collect();
    let names: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["code", "client_info", "state", "session_state"]);
    assert_eq!(fields[2].1, "s&t=a+t é");
}

#[test]
fn what_opens_the_browser() {
    let env = TestEnv::new();
    let (talk, address) = ("Opening in existing browser session.\n", "https://a/?b=c&d='e f'");
    for (opening, code, stdout) in [(Opening::Works, 0, ""), (Opening::Fails, 3, ""), (Opening::Talks, 0, talk)] {
        let opener = env.opener(opening);
        let before = opener.opened().len();
        let run = Run::of(&mut env.other(Path::new("xdg-open"), &[address]));
        assert_eq!((run.code, run.stdout.as_str(), run.stderr.is_empty()), (code, stdout, stdout.is_empty()));
        assert_eq!(opener.opened()[before..], [address]);
    }
    let hangs = FakeOpener::install_as(&env.dir().join("bin"), "wslview", Opening::Hangs);
    let mut command = env.other(Path::new("wslview"), &["https://a/"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    assert_eq!(hangs.wait_opened(Duration::from_secs(10)), "https://a/");
    assert_eq!(child.try_wait().unwrap(), None);
    hangs.uninstall();
    let mut ended = None;
    until("its end", || {
        ended = child.try_wait().unwrap();
        ended.is_some()
    });
    assert!(ended.unwrap().success());
}

#[test]
fn chromium_signs_in() {
    let fakes = fakes();
    let host = ("login.microsoftonline.com".to_owned(), fakes.world.entra.addr());
    let Some(chromium) = Chromium::start(&Setup { dark: true, hosts: vec![host], ..Setup::default() }) else { return };
    let program = Program::start();
    let url = fakes.sign_in_url(&program, &[("login_hint", BOB)]);
    let public = url.replace(&fakes.world.entra.url(), "https://login.microsoftonline.com/");
    chromium.goto(&public);
    assert_eq!((chromium.title().as_str(), chromium.count("a[id^=account-]")), ("Sign in to your account", 2));
    assert_eq!(chromium.script("return document.activeElement.id"), format!("account-{BOB}"));
    assert_eq!(chromium.script("return matchMedia('(prefers-color-scheme: dark)').matches"), true);
    chromium.prefer_colours("light");
    assert_eq!(chromium.script("return matchMedia('(prefers-color-scheme: dark)').matches"), false);
    assert!(chromium.screenshot().starts_with(b"\x89PNG\r\n"));
    chromium.click(&format!("[id='account-{ALICE}']"));
    assert_eq!(chromium.text("#done"), "You can close this page.");
    assert!(chromium.url().starts_with(&format!("{}/?code=", program.url())), "{}", chromium.url());
    assert!(chromium.source().contains("<p id=\"done\">"));
    let requests = || program.seen.lock().unwrap().clone();
    let page = chromium.wait_until("second request", |_| requests().len() > 1).url();
    let icon = requests().remove(1);
    assert_eq!((icon.path.as_str(), icon.header("referer")), ("/favicon.ico", Some(page.as_str())));

    chromium.goto(&fakes.sign_in_url(&program, &[("response_mode", "form_post")])).click("#cancel");
    assert_eq!(chromium.text("#done"), "You can close this page.");
    let [get, post] = <[Request; 2]>::try_from(program.pages()).unwrap();
    assert_eq!((get.method.as_str(), post.method.as_str(), post.path.as_str()), ("GET", "POST", "/"));
    let like_ours = |name: &str| (get.header(name).map(str::to_owned), post.header(name).map(str::to_owned));
    let null = Some("null".to_owned());
    assert_eq!(like_ours("origin"), (None, null), "as the browser without a window does");
    assert!(String::from_utf8_lossy(&post.body).contains("error_subcode=cancel"));

    chromium.script("console.error('from the page')");
    assert!(chromium.console().iter().any(|line| line.starts_with("SEVERE: ") && line.contains("from the page")));
    let gone = program.url();
    drop(program);
    assert!(chromium.try_goto(&gone).unwrap_err().contains("ERR_CONNECTION_REFUSED"));
    assert!(chromium.try_goto("http://example.com/").unwrap_err().contains("ERR_NAME_NOT_RESOLVED"));
}
