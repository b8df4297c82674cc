//! Real Chromium without a window, driven by chromedriver over the WebDriver protocol (W3C).

use super::browser::{Answer, exchange};
use super::missing;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long a step of the browser may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// W3C WebDriver §12.1: the key under which an answer names an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// How the browser is set up.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Whether pages are asked for their dark colours.
    pub dark: bool,
    /// Width and height of the window.
    pub window: (u32, u32),
    /// Host names (all ports) that lead to these addresses; every other name but `localhost` leads nowhere.
    pub hosts: Vec<(String, SocketAddr)>,
}

impl Default for Setup {
    fn default() -> Self {
        Self { dark: false, window: (1024, 768), hosts: Vec::new() }
    }
}

/// A browser with one empty profile. It ends when this is dropped.
pub struct Chromium {
    driver: Child,
    addr: SocketAddr,
    session: String,
    /// Of the browser itself; 0 until there is one.
    process: i32,
    /// Home of driver and browser.
    directory: tempfile::TempDir,
}

impl Chromium {
    /// Starts a browser. `None`, and a line that says so, where Chromium or its driver is missing.
    pub fn start(setup: &Setup) -> Option<Self> {
        let Some(browser) = on_path("chromium") else {
            missing("chromium");
            return None;
        };
        let Some(driver) = on_path("chromedriver") else {
            missing("chromedriver");
            return None;
        };
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (driver, port) = (0..ATTEMPTS).find_map(|_| start(&driver, directory.path())).expect("chromedriver starts");
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut chromium = Self { driver, addr, session: String::new(), process: 0, directory };
        chromium.open_session(setup, &browser);
        if setup.dark {
            chromium.prefer_colours("dark");
        }
        Some(chromium)
    }

    fn open_session(&mut self, setup: &Setup, browser: &PathBuf) {
        let profile = self.directory.path().join("profile");
        let maps = setup.hosts.iter().map(|(name, addr)| format!("MAP {name} {addr}"));
        let nowhere = ["MAP * ~NOTFOUND", "EXCLUDE localhost", "EXCLUDE 127.0.0.1", "EXCLUDE ::1"].map(str::to_owned);
        let rules: Vec<String> = maps.chain(nowhere).collect();
        let fixed = [
            "--headless=new",
            // As root, in a container, there is no sandbox to be had; the pages are our own.
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-quic",
            "--no-proxy-server",
        ];
        let mut args: Vec<String> = fixed.map(str::to_owned).to_vec();
        args.push(format!("--user-data-dir={}", profile.display()));
        args.push(format!("--window-size={},{}", setup.window.0, setup.window.1));
        args.push(format!("--host-resolver-rules={}", rules.join(",")));
        let wanted = json!({
            "browserName": "chrome",
            "acceptInsecureCerts": true,
            "timeouts": {"pageLoad": PATIENCE.as_millis() as u64},
            "goog:chromeOptions": {"binary": browser, "args": args},
            "goog:loggingPrefs": {"browser": "ALL"},
        });
        let answer = self.send("POST", "/session", &json!({"capabilities": {"alwaysMatch": wanted}}));
        let answer = answer.unwrap_or_else(|error| panic!("chromium does not start: {error}"));
        self.session = answer["sessionId"].as_str().expect("a session").to_owned();
        self.process = answer["capabilities"]["goog:processID"].as_i64().unwrap_or(0) as i32;
    }

    /// Opens an address; panics if the browser cannot.
    pub fn goto(&self, url: &str) -> &Self {
        self.try_goto(url).unwrap_or_else(|error| panic!("{url}: {error}"));
        self
    }

    /// Opens an address, or says why that failed (`net::ERR_CONNECTION_REFUSED`).
    pub fn try_goto(&self, url: &str) -> Result<(), String> {
        self.try_post("/url", &json!({"url": url})).map(drop)
    }

    /// Where the browser is.
    pub fn url(&self) -> String {
        self.text_at("/url")
    }

    /// The title of the page.
    pub fn title(&self) -> String {
        self.text_at("/title")
    }

    /// The page as HTML, scripts having run.
    pub fn source(&self) -> String {
        self.text_at("/source")
    }

    /// How many elements of the page match.
    pub fn count(&self, css: &str) -> usize {
        let found = self.post("/elements", &json!({"using": "css selector", "value": css}));
        found.as_array().map_or(0, Vec::len)
    }

    /// Clicks on the first element that matches, as soon as there is one.
    pub fn click(&self, css: &str) -> &Self {
        let element = self.wait_for(css);
        self.post(&format!("/element/{element}/click"), &json!({}));
        self
    }

    /// The text of the first element that matches, as people see it, as soon as there is one.
    pub fn text(&self, css: &str) -> String {
        let element = self.wait_for(css);
        self.text_at(&format!("/element/{element}/text"))
    }

    /// What a script returns, e.g. `return document.activeElement.id`.
    pub fn script(&self, script: &str) -> Value {
        self.post("/execute/sync", &json!({"script": script, "args": []}))
    }

    /// Asks pages for their `dark` or `light` colours from now on.
    pub fn prefer_colours(&self, scheme: &str) -> &Self {
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.devtools("Emulation.setEmulatedMedia", &json!({"features": features}));
        self
    }

    /// A command of the Chrome DevTools protocol.
    pub fn devtools(&self, command: &str, parameters: &Value) -> Value {
        self.post("/goog/cdp/execute", &json!({"cmd": command, "params": parameters}))
    }

    /// The window as a PNG.
    pub fn screenshot(&self) -> Vec<u8> {
        STANDARD.decode(self.text_at("/screenshot")).expect("a PNG in base64")
    }

    /// What was written to the console since it was last asked for: errors of pages too.
    pub fn console(&self) -> Vec<String> {
        let entries = self.post("/se/log", &json!({"type": "browser"}));
        let entries = entries.as_array().cloned().unwrap_or_default();
        entries.iter().map(|entry| format!("{}: {}", text_of(&entry["level"]), text_of(&entry["message"]))).collect()
    }

    /// Waits until `reached` of this browser; panics with the page if that does not come.
    pub fn wait_until(&self, what: &str, reached: impl Fn(&Self) -> bool) -> &Self {
        let deadline = Instant::now() + PATIENCE;
        while !reached(self) {
            assert!(Instant::now() < deadline, "no {what} at {}:\n{}", self.url(), self.source());
            thread::sleep(Duration::from_millis(20));
        }
        self
    }

    fn wait_for(&self, css: &str) -> String {
        self.wait_until(css, |browser| browser.count(css) > 0);
        let found = self.post("/element", &json!({"using": "css selector", "value": css}));
        text_of(&found[ELEMENT])
    }

    fn text_at(&self, path: &str) -> String {
        let path = format!("/session/{}{path}", self.session);
        text_of(&self.send("GET", &path, &Value::Null).unwrap_or_else(|error| panic!("{path}: {error}")))
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        self.try_post(path, body).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    fn try_post(&self, path: &str, body: &Value) -> Result<Value, String> {
        self.send("POST", &format!("/session/{}{path}", self.session), body)
    }

    /// One command; `Err` is the driver's own message.
    fn send(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\
             Content-Type: application/json; charset=utf-8\r\nContent-Length: {}\r\n\r\n{body}",
            self.addr,
            body.len()
        );
        let socket = TcpStream::connect(self.addr).map_err(|error| error.to_string())?;
        // The driver has its own time limits; this one is for a driver that hangs.
        socket.set_read_timeout(Some(PATIENCE * 2)).map_err(|error| error.to_string())?;
        let Answer { status, body, .. } = exchange(socket, &request).map_err(|error| error.to_string())?;
        let mut answer: Value = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
        match status {
            200 => Ok(answer["value"].take()),
            _ => Err(text_of(&answer["value"]["message"])),
        }
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        if !self.session.is_empty() {
            let _ = self.send("DELETE", &format!("/session/{}", self.session), &Value::Null);
        }
        // The browser itself too, should the driver have lost it.
        if self.process > 0 {
            let _ = kill(Pid::from_raw(self.process), Signal::SIGKILL);
        }
        let _ = killpg(Pid::from_raw(self.driver.id() as i32), Signal::SIGKILL);
        let _ = self.driver.wait();
    }
}

/// The driver picks a port for IPv4 and wants the same one for IPv6, which another test may have taken.
const ATTEMPTS: usize = 5;

/// A driver and its port, unless it has given up.
fn start(program: &Path, directory: &Path) -> Option<(Child, u16)> {
    let mut command = Command::new(program);
    // A group of its own, which is ended as a whole.
    command.arg("--port=0").current_dir(directory).process_group(0);
    command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    command.env("HOME", directory).env("TMPDIR", directory);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut driver = command.spawn().expect("chromedriver starts");
    let port = port_of(&mut driver);
    if port.is_none() {
        let _ = killpg(Pid::from_raw(driver.id() as i32), Signal::SIGKILL);
        let _ = driver.wait();
    }
    port.map(|port| (driver, port))
}

/// The driver says on stdout which port it has taken.
fn port_of(driver: &mut Child) -> Option<u16> {
    let stdout = BufReader::new(driver.stdout.take().expect("a pipe"));
    let mut lines = stdout.lines().map_while(Result::ok);
    let port = lines.find_map(|line| line.strip_suffix('.')?.rsplit_once(" on port ")?.1.parse().ok());
    // Whatever else it says has to go somewhere.
    thread::spawn(move || lines.for_each(drop));
    port
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(program)).find(|file| file.is_file())
}

fn text_of(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
