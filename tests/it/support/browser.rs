//! A browser without a window, and the program that opens one.
//!
//! [`FakeBrowser`] follows redirects and submits forms between the fake Entra and the program under
//! test; [`FakeOpener`] is what the program finds on PATH in place of a desktop.

use super::entra::{ENTRA_HOSTS, FakeEntra};
use super::http::find_header;
use super::tls::Authority;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// Pages that lead to the next one before a browser gives up.
const MAX_STEPS: usize = 20;
/// How long one request may take; a program that never answers fails a test and does not hang it.
const PATIENCE: Duration = Duration::from_secs(30);

/// Trusts the CA of the fake world, and finds Entra's hosts at the fake Entra.
#[derive(Clone)]
pub struct FakeBrowser {
    tls: Arc<ClientConfig>,
    entra: SocketAddr,
    icons: bool,
}

/// The page that a browser ended at.
#[derive(Clone, Debug)]
pub struct Page {
    /// Where it came from.
    pub url: String,
    /// The status code.
    pub status: u16,
    /// The headers as sent.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
    /// `METHOD url -> status` of every step, this page last.
    pub trail: Vec<String>,
}

impl Page {
    /// A header, by name in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        find_header(&self.headers, name)
    }

    /// The text of `<title>`.
    pub fn title(&self) -> Option<String> {
        Some(unescaped(between(&self.body, "<title>", "</title>")?))
    }

    /// Where the element with that `id` leads, if it is a link.
    fn link(&self, id: &str) -> Option<String> {
        let tags = self.body.split("<a ").skip(1).filter_map(|rest| rest.split('>').next());
        let mut own = tags.filter(|tag| attribute(tag, "id").as_deref() == Some(id));
        attribute(own.next()?, "href")
    }

    /// The form of the page, if it has one.
    fn form(&self) -> Option<Form> {
        let (head, rest) = self.body.split_once("<form ")?.1.split_once('>')?;
        let inside = rest.split("</form>").next()?;
        let inputs = inside.split("<input ").skip(1).filter_map(|rest| rest.split('>').next());
        let fields = inputs.filter_map(|tag| Some((attribute(tag, "name")?, attribute(tag, "value")?))).collect();
        let posts = attribute(head, "method").is_some_and(|method| method.eq_ignore_ascii_case("post"));
        posts.then_some(Form { action: attribute(head, "action")?, fields })
    }

    fn submits_itself(&self) -> bool {
        self.body.contains("document.forms[0].submit()")
    }
}

struct Form {
    action: String,
    fields: Vec<(String, String)>,
}

/// What a browser does next.
struct Step {
    method: &'static str,
    url: String,
    body: String,
    /// The page that led here.
    from: Option<String>,
}

impl Step {
    fn get(url: &str, from: Option<&str>) -> Self {
        Self { method: "GET", url: url.to_owned(), body: String::new(), from: from.map(str::to_owned) }
    }

    fn submit(form: &Form, from: &str) -> Self {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(&form.fields).finish();
        Self { method: "POST", url: form.action.clone(), body, from: Some(from.to_owned()) }
    }
}

impl FakeBrowser {
    /// A browser for this world.
    pub fn new(authority: &Authority, entra: &FakeEntra) -> Self {
        Self { tls: authority.client_config(), entra: entra.addr(), icons: false }
    }

    /// The same browser, but it asks for `/favicon.ico` too, as Chromium does after a page that names
    /// no icon. The address of that page, with what it carries, is in the `Referer`.
    #[must_use]
    pub fn with_icons(mut self) -> Self {
        self.icons = true;
        self
    }

    /// Opens an address as if it were typed in, follows redirects and submits forms that submit
    /// themselves. Panics where a browser would say that the site cannot be reached.
    pub fn get(&self, url: &str) -> Page {
        self.try_get(url).unwrap_or_else(|error| panic!("{url}: {error}"))
    }

    /// The same, with the error of the step that failed.
    pub fn try_get(&self, url: &str) -> io::Result<Page> {
        self.follow(Step::get(url, None))
    }

    /// Clicks on the link with that `id`, or submits the form if it is the form's button.
    pub fn click(&self, page: &Page, id: &str) -> Page {
        let step = match (page.link(id), page.form()) {
            (Some(link), _) => Step::get(&absolute(&page.url, &link), Some(&page.url)),
            (None, Some(form)) if page.body.contains(&format!("id=\"{id}\"")) => Step::submit(&form, &page.url),
            _ => panic!("no `{id}` on {}:\n{}", page.url, page.body),
        };
        self.follow(step).unwrap_or_else(|error| panic!("{id} on {}: {error}", page.url))
    }

    /// Signs in: opens the address, and picks that account where the page asks for one.
    pub fn sign_in(&self, url: &str, upn: &str) -> Page {
        let page = self.get(url);
        let id = format!("account-{upn}");
        if page.link(&id).is_some() { self.click(&page, &id) } else { page }
    }

    /// Where the first page redirects to, which is not followed: a browser that cannot reach it shows
    /// the address and an error.
    pub fn first_redirect(&self, url: &str) -> Option<String> {
        let page = self.send(&Step::get(url, None)).unwrap_or_else(|error| panic!("{url}: {error}"));
        page.header("location").map(|location| absolute(&page.url, location))
    }

    /// Sends a form of any content from any page, as a hostile site would make a browser do.
    pub fn post(&self, from: &str, url: &str, fields: &[(&str, &str)]) -> io::Result<Page> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let form = Form { action: url.to_owned(), fields: fields.iter().map(owned).collect() };
        self.follow(Step::submit(&form, from))
    }

    fn follow(&self, mut step: Step) -> io::Result<Page> {
        let mut trail = Vec::new();
        for _ in 0..MAX_STEPS {
            let mut page = self.send(&step)?;
            trail.push(format!("{} {} -> {}", step.method, step.url, page.status));
            match next_step(&page, step) {
                Some(next) => step = next,
                None => {
                    trail.extend(self.icon_of(&page));
                    page.trail = trail;
                    return Ok(page);
                }
            }
        }
        Err(io::Error::other(format!("the pages go round in circles: {trail:#?}")))
    }

    /// Nobody minds an icon that cannot be had.
    fn icon_of(&self, page: &Page) -> Option<String> {
        let wanted = self.icons && !page.body.contains("rel=\"icon\"");
        let url = absolute(&page.url, "/favicon.ico");
        let step = wanted.then(|| Step::get(&url, Some(&page.url)))?;
        self.send(&step).ok().map(|icon| format!("GET {url} -> {}", icon.status))
    }

    fn send(&self, step: &Step) -> io::Result<Page> {
        let (scheme, authority, target) = split_url(&step.url)?;
        let request = request_text(step, authority, &target);
        let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
        let socket = self.connect(scheme, authority, host)?;
        let answer = if scheme == "https" {
            let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
            let session = ClientConnection::new(Arc::clone(&self.tls), name).map_err(io::Error::other)?;
            exchange(StreamOwned::new(session, socket), &request)?
        } else {
            exchange(socket, &request)?
        };
        let Answer { status, headers, body } = answer;
        let body = String::from_utf8_lossy(&body).into_owned();
        Ok(Page { url: step.url.clone(), status, headers, body, trail: Vec::new() })
    }

    /// Tries all addresses of a name, as browsers do: `localhost` is `::1` and 127.0.0.1.
    fn connect(&self, scheme: &str, authority: &str, host: &str) -> io::Result<TcpStream> {
        let addresses: Vec<SocketAddr> = match authority.contains(':') {
            _ if ENTRA_HOSTS.contains(&host) => vec![self.entra],
            true => authority.to_socket_addrs()?.collect(),
            false => (authority, if scheme == "https" { 443 } else { 80 }).to_socket_addrs()?.collect(),
        };
        if let Some(foreign) = addresses.iter().find(|address| !address.ip().is_loopback()) {
            return Err(io::Error::other(format!("{foreign} is not on this machine")));
        }
        let socket = TcpStream::connect(addresses.as_slice())?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(socket)
    }
}

/// Redirects (RFC 9110 §15.4) and forms that submit themselves.
fn next_step(page: &Page, step: Step) -> Option<Step> {
    if let (300..=399, Some(location)) = (page.status, page.header("location")) {
        let url = absolute(&page.url, location);
        // 307 and 308 keep method and body; the others make every browser send GET.
        return Some(match page.status {
            307 | 308 => Step { url, ..step },
            _ => Step::get(&url, step.from.as_deref()),
        });
    }
    let form = page.form().filter(|_| page.submits_itself())?;
    Some(Step::submit(&Form { action: absolute(&page.url, &form.action), ..form }, &page.url))
}

/// What Chromium sends when a page is opened.
fn request_text(step: &Step, authority: &str, target: &str) -> String {
    let site = step.from.as_deref().and_then(origin);
    let same = site.is_some() && site == origin(&step.url);
    let relation = if site.is_none() {
        "none"
    } else if same {
        "same-origin"
    } else {
        "cross-site"
    };
    let mut text = format!(
        "{} {target} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\
         Upgrade-Insecure-Requests: 1\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) FakeBrowser/1.0\r\n\
         Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
         Sec-Fetch-Site: {relation}\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n\
         Accept-Language: en-US,en;q=0.9\r\n",
        step.method
    );
    if let (Some(from), true) = (&step.from, same) {
        // The default policy: the whole address for the same site, nothing from https to http.
        text.push_str(&format!("Referer: {from}\r\n"));
    }
    if step.method == "POST" {
        let length = step.body.len();
        // Fetch, "append a request Origin header": nothing is told on the way from https to http.
        let told = site.filter(|site| site.starts_with("http:") || step.url.starts_with("https:"));
        let origin = told.unwrap_or("null");
        text.push_str(&format!("Origin: {origin}\r\nContent-Type: application/x-www-form-urlencoded\r\n"));
        text.push_str(&format!("Content-Length: {length}\r\n"));
    }
    format!("{text}\r\n{}", step.body)
}

/// Scheme, authority and what goes into the request line.
fn split_url(url: &str) -> io::Result<(&str, &str, String)> {
    let url = url.split('#').next().unwrap_or(url);
    let (scheme, rest) = url.split_once("://").ok_or_else(|| io::Error::other(format!("no address: {url}")))?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, target) = rest.split_at(end);
    let slash = if target.starts_with('/') { "" } else { "/" };
    Ok((scheme, authority, format!("{slash}{target}")))
}

fn origin(url: &str) -> Option<&str> {
    let start = url.find("://")? + 3;
    let length = url[start..].find(['/', '?']).unwrap_or(url.len() - start);
    Some(&url[..start + length])
}

/// A link as it stands on a page.
fn absolute(page: &str, link: &str) -> String {
    match origin(page) {
        Some(origin) if link.starts_with('/') => format!("{origin}{link}"),
        _ => link.to_owned(),
    }
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let tag = format!(" {tag}");
    Some(unescaped(between(&tag, &format!(" {name}=\""), "\"")?))
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    text.split_once(start)?.1.split(end).next()
}

fn unescaped(html: &str) -> String {
    let named = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")];
    named.iter().fold(html.to_owned(), |text, (name, character)| text.replace(name, character))
}

/// An answer to a request of HTTP/1.1.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

/// Sends a request and reads its answer to the length that it names, or else to the end.
pub(super) fn exchange(mut stream: impl Read + Write, request: &str) -> io::Result<Answer> {
    stream.write_all(request.as_bytes())?;
    stream.flush()?;
    let mut bytes = Vec::new();
    let mut piece = [0; 8192];
    loop {
        if let Some(answer) = parse_answer(&bytes, false)? {
            return Ok(answer);
        }
        match stream.read(&mut piece) {
            Ok(count) if count > 0 => bytes.extend_from_slice(&piece[..count]),
            // Some servers hang up without TLS's goodbye; the length tells whether that was all.
            Ok(_) => break,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
            Err(error) => return Err(error),
        }
    }
    parse_answer(&bytes, true)?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

/// The answer, if all of it is there; `ended` says that nothing more will come.
fn parse_answer(bytes: &[u8], ended: bool) -> io::Result<Option<Answer>> {
    let mut headers = [httparse::EMPTY_HEADER; 100];
    let mut head = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(start) = head.parse(bytes).map_err(io::Error::other)? else {
        return Ok(None);
    };
    let text =
        |header: &httparse::Header<'_>| (header.name.to_owned(), String::from_utf8_lossy(header.value).into_owned());
    let headers: Vec<(String, String)> = head.headers.iter().map(text).collect();
    let (status, rest) = (head.code.unwrap_or_default(), &bytes[start..]);
    if find_header(&headers, "transfer-encoding").is_some() {
        return Err(io::Error::other("an answer in chunks"));
    }
    let length =
        find_header(&headers, "content-length").map(|length| length.parse::<usize>().map_err(io::Error::other));
    let body = match length.transpose()? {
        Some(length) => rest.get(..length),
        None => ended.then_some(rest),
    };
    Ok(body.map(|body| Answer { status, headers, body: body.to_vec() }))
}

/// How the program that opens a browser behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// Notes the address and ends at once.
    Works,
    /// Notes the address and fails, as where no browser is installed.
    Fails,
    /// Notes the address and talks on stdout and stderr.
    Talks,
    /// Notes the address and does not end before the test does.
    Hangs,
}

/// `xdg-open` (or the like) on PATH. Cloning gives another handle to the same one.
#[derive(Clone, Debug)]
pub struct FakeOpener {
    program: PathBuf,
    log: PathBuf,
}

impl FakeOpener {
    /// `xdg-open` in the directory `bin`.
    pub fn install(bin: &Path, opening: Opening) -> Self {
        Self::install_as(bin, "xdg-open", opening)
    }

    /// Under another name: `wslview`, `x-www-browser`, …
    pub fn install_as(bin: &Path, name: &str, opening: Opening) -> Self {
        let (program, log) = (bin.join(name), bin.join(format!("{name}.log")));
        let then = match opening {
            Opening::Works => "",
            Opening::Fails => "exit 3",
            Opening::Talks => "echo 'Opening in existing browser session.'; echo 'Gtk-WARNING: theme' >&2",
            // Ends with the test, whose directory goes then.
            Opening::Hangs => "while [ -e \"$0\" ]; do sleep 0.2; done",
        };
        // One write per start, so that a reader never sees half of an address.
        let script = format!("#!/bin/sh\nprintf '%s\\n' \"$*\" >> '{}'\n{then}\n", log.display());
        // Not written where it will lie: a process that is forked meanwhile would keep it busy.
        let new = bin.join(format!("{name}.new"));
        fs::write(&new, script).expect("a script");
        fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).expect("a mode");
        fs::rename(new, &program).expect("a script");
        Self { program, log }
    }

    /// Takes the program off PATH.
    pub fn uninstall(&self) {
        fs::remove_file(&self.program).expect("it is installed");
    }

    /// The arguments of every start so far.
    pub fn opened(&self) -> Vec<String> {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let whole = log.rfind('\n').map_or("", |end| &log[..end]);
        whole.lines().map(str::to_owned).collect()
    }

    /// The first address, as soon as there is one; panics if none comes in time.
    pub fn wait_opened(&self, timeout: Duration) -> String {
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(url) = self.opened().into_iter().next() {
                return url;
            }
            assert!(Instant::now() < deadline, "{} was not started", self.program.display());
            thread::sleep(Duration::from_millis(10));
        }
    }
}
