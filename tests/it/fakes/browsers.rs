//! The fake browser, what opens it, and real Chromium on the fake Entra's page.

use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::authorize::question;
use super::people::with;
use super::{Fakes, fakes, form};
use crate::support::browser::{FakeOpener, Opening};
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
    let directory = tempfile::tempdir().unwrap();
    for (opening, code, output) in [
        (Opening::Works, 0, ""),
        (Opening::Fails, 3, ""),
        (Opening::Talks, 0, "Opening in existing browser session.\n"),
    ] {
        let opener = FakeOpener::install(directory.path(), opening);
        let before = opener.opened().len();
        let ended = Command::new(directory.path().join("xdg-open")).arg("https://a/?b=c&d='e f'").output().unwrap();
        assert_eq!((ended.status.code(), String::from_utf8(ended.stdout).unwrap().as_str()), (Some(code), output));
        assert_eq!(ended.stderr.is_empty(), opening != Opening::Talks);
        assert_eq!(opener.opened()[before..], ["https://a/?b=c&d='e f'"]);
    }
    let hangs = FakeOpener::install_as(directory.path(), "wslview", Opening::Hangs);
    let mut command = Command::new(directory.path().join("wslview"));
    let mut child = command.arg("https://a/").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    assert_eq!(hangs.wait_opened(Duration::from_secs(10)), "https://a/");
    assert_eq!(child.try_wait().unwrap(), None);
    let started = Instant::now();
    hangs.uninstall();
    assert!(child.wait().unwrap().success() && started.elapsed() < Duration::from_secs(10));
}
