//! The loopback listener that the login page sends the browser back to (RFC 8252, section 7.3).
//!
//! Anybody on this machine and any page in any browser can send something here. So whatever is not the
//! answer with the right state is answered, noted at `-v 1` and forgotten; nobody can make the sign-in
//! fail, keep the real answer out, or make us hold more than half a MiB.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HOST, HeaderMap, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use zeroize::Zeroizing;

use super::authorization_response::{AuthorizationResponse, OAuthState, RejectedRequest};
use super::page::Page;
use crate::sys::Sys;

/// At most so many connections are open; a new one ends the oldest, so that those who send nothing
/// keep nobody out.
const CONNECTIONS: usize = 16;
/// A connection has this long to send its request and take the answer.
const CONNECTION_LIMIT: Duration = Duration::from_secs(10);
/// Of a request's line and headers. Codes of Entra are some 1.5 KiB long.
const HEAD_LIMIT: usize = 16 * 1024;
/// Of a posted form.
const FORM_LIMIT: usize = 16 * 1024;
/// How long the browser has to take the last page.
const FLUSH_LIMIT: Duration = Duration::from_secs(1);
/// After this pause connections are accepted again, where the system had no room for one.
const NO_ROOM_PAUSE: Duration = Duration::from_millis(50);

/// The sockets, bound to this machine's own addresses and to nothing else.
pub(super) struct Listener {
    sockets: Vec<TcpListener>,
    port: u16,
}

impl Listener {
    /// Listens at `port`, or at one that the system chooses. Browsers try both addresses of
    /// `localhost`, so the port must be ours on both; a machine without IPv6 has only one.
    ///
    /// # Errors
    /// The port is taken, or must not be had.
    pub(super) fn bind(port: Option<u16>) -> io::Result<Self> {
        /// A port that is free on IPv4 may be taken on IPv6.
        const TRIES: usize = 8;
        let tries = if port.is_some() { 1 } else { TRIES };
        let mut outcome = Self::bind_both(port.unwrap_or(0));
        for _ in 1..tries {
            if outcome.is_ok() {
                break;
            }
            outcome = Self::bind_both(0);
        }
        outcome
    }

    fn bind_both(port: u16) -> io::Result<Self> {
        let first = bind_one((Ipv4Addr::LOCALHOST, port).into())?;
        let port = first.local_addr()?.port();
        let second = match bind_one((Ipv6Addr::LOCALHOST, port).into()) {
            Ok(second) => Some(second),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(error),
            Err(_) => None,
        };
        Ok(Self { sockets: std::iter::once(first).chain(second).collect(), port })
    }

    /// The port that it is.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    async fn accept(&self) -> io::Result<TcpStream> {
        poll_fn(|context| {
            for socket in &self.sockets {
                if let Poll::Ready(accepted) = socket.poll_accept(context) {
                    return Poll::Ready(accepted.map(|(stream, _)| stream));
                }
            }
            Poll::Pending
        })
        .await
    }
}

fn bind_one(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = std::net::TcpListener::bind(address)?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket)
}

/// What is served, and where.
pub(super) struct CallbackPaths {
    /// The short address, without its slash: it leads to the login page, so that the long one with the
    /// state in it stands in no list of processes.
    pub(super) entry: String,
    /// The login page.
    pub(super) login: String,
    /// Where answers come to; `/` unless `--redirect-url` says otherwise.
    pub(super) path: String,
}

/// The one who knows what is waited for.
pub(super) struct CallbackHandler<'a> {
    sys: &'a Sys,
    places: CallbackPaths,
    state: OAuthState,
    /// Gone once the answer is there.
    expecting: RefCell<Option<oneshot::Sender<AuthorizationResponse>>>,
    answer: RefCell<Option<oneshot::Receiver<AuthorizationResponse>>>,
    /// The page that whoever has brought the answer waits for.
    page: watch::Sender<Option<Page>>,
}

impl<'a> CallbackHandler<'a> {
    pub(super) fn new(sys: &'a Sys, places: CallbackPaths, state: OAuthState) -> Self {
        let (expecting, answer) = oneshot::channel();
        Self {
            sys,
            places,
            state,
            expecting: RefCell::new(Some(expecting)),
            answer: RefCell::new(Some(answer)),
            page: watch::Sender::new(None),
        }
    }

    /// The state that answers must have.
    pub(super) fn state(&self) -> &OAuthState {
        &self.state
    }

    /// The answer, once it is there; it is given out once.
    pub(super) async fn answer(&self) -> AuthorizationResponse {
        let answer = self.answer.borrow_mut().take();
        match answer {
            Some(answer) => match answer.await {
                Ok(answer) => answer,
                Err(_) => std::future::pending().await,
            },
            None => std::future::pending().await,
        }
    }

    async fn respond(&self, request: Request<Incoming>, waits: &Cell<bool>) -> Response<Full<Bytes>> {
        let head = self.places.wanted(request.method(), request.uri(), request.headers());
        let page = match head {
            Ok(CallbackRequest::LoginPage) => Ok(Page::redirect(&self.places.login)),
            Ok(CallbackRequest::Query) => self.take(request.uri().query().unwrap_or_default().as_bytes(), waits).await,
            Ok(CallbackRequest::Form) => match form(request).await {
                Ok(form) => self.take(&form, waits).await,
                Err(ignored) => Err(ignored),
            },
            Err(ignored) => Err(ignored),
        };
        match page {
            Ok(page) => page.response(),
            Err(ignored) => self.turn_away(ignored),
        }
    }

    /// Takes the answer in `form`, and waits for the page that tells how it ended. One that comes again,
    /// because the tab was loaded anew, changes nothing and sees the same page.
    async fn take(&self, form: &[u8], waits: &Cell<bool>) -> Result<Page, RejectedRequest> {
        let answer = self.state.judge(form)?;
        waits.set(true);
        match self.expecting.borrow_mut().take() {
            Some(expecting) => drop(expecting.send(answer)),
            None => self.note("the answer is there already"),
        }
        let mut page = self.page.subscribe();
        match page.wait_for(Option::is_some).await {
            Ok(page) => page.clone().ok_or(GONE),
            Err(_) => Err(GONE),
        }
    }

    fn turn_away(&self, ignored: RejectedRequest) -> Response<Full<Bytes>> {
        self.note(ignored.why);
        let mut response = Page::ignored(ignored).response();
        if ignored.status == StatusCode::METHOD_NOT_ALLOWED {
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, POST"));
        }
        response
    }

    fn note(&self, why: &str) {
        self.sys.terminal.detail(1, || format!("ignored a request to the sign-in's port: {why}"));
    }
}

const GONE: RejectedRequest = RejectedRequest::new(StatusCode::GONE, "the sign-in has ended");

/// What a request asks for.
#[derive(Debug, PartialEq, Eq)]
enum CallbackRequest {
    LoginPage,
    /// An answer in the query (`response_mode=query`).
    Query,
    /// An answer in the body (`response_mode=form_post`).
    Form,
}

impl CallbackPaths {
    /// A page of another origin may post here, that is what `form_post` is; but a name that merely leads
    /// here (DNS rebinding) would make its page read our answers.
    fn wanted(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<CallbackRequest, RejectedRequest> {
        let mut hosts = headers.get_all(HOST).iter();
        let host = hosts.next().and_then(|host| host.to_str().ok()).unwrap_or_default();
        let named = uri.authority().is_none_or(|authority| is_local(authority.as_str()));
        if !is_local(host) || hosts.next().is_some() || !named {
            return Err(RejectedRequest::new(StatusCode::MISDIRECTED_REQUEST, "it is for another host"));
        }
        let entry = uri.path().strip_prefix('/') == Some(&self.entry) && uri.query().is_none();
        if !entry && uri.path() != self.path {
            return Err(RejectedRequest::new(StatusCode::NOT_FOUND, "there is nothing at this address"));
        }
        match *method {
            Method::GET if entry => Ok(CallbackRequest::LoginPage),
            Method::GET => Ok(CallbackRequest::Query),
            Method::POST if !entry && is_form(headers) => Ok(CallbackRequest::Form),
            Method::POST if !entry => Err(RejectedRequest::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "it is not a form")),
            _ => Err(RejectedRequest::new(StatusCode::METHOD_NOT_ALLOWED, "this is not how an answer comes")),
        }
    }
}

/// Whether `host` names this machine by one of the names that the login page knows, at any port: ports
/// of containers and other machines are forwarded.
fn is_local(host: &str) -> bool {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, port),
        _ => (host, ""),
    };
    let local = ["localhost", "127.0.0.1", "[::1]"].iter().any(|local| name.eq_ignore_ascii_case(local));
    local && port.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

/// The form that was posted. It is copied together piece by piece: kept as they come, pieces of one byte
/// each would take fifty times their size.
async fn form(request: Request<Incoming>) -> Result<Zeroizing<Vec<u8>>, RejectedRequest> {
    const TOO_LARGE: RejectedRequest = RejectedRequest::new(StatusCode::PAYLOAD_TOO_LARGE, "it is too large");
    const BROKEN: RejectedRequest = RejectedRequest::new(StatusCode::BAD_REQUEST, "it broke off");
    if request.body().size_hint().lower() > FORM_LIMIT as u64 {
        return Err(TOO_LARGE);
    }
    let mut body = request.into_body();
    let mut form = Zeroizing::new(Vec::new());
    while let Some(piece) = body.frame().await {
        let piece = piece.map_err(|_| BROKEN)?.into_data().unwrap_or_default();
        if form.len() + piece.len() > FORM_LIMIT {
            return Err(TOO_LARGE);
        }
        form.extend_from_slice(&piece);
    }
    Ok(form)
}

/// Serves connections, as long as something else is under way.
pub(super) struct CallbackServer<'a> {
    desk: &'a CallbackHandler<'a>,
    listener: Listener,
    /// The oldest first.
    connections: VecDeque<Connection<'a>>,
}

struct Connection<'a> {
    work: Pin<Box<dyn Future<Output = ()> + 'a>>,
    /// Whether it has brought the answer and waits for the last page.
    waits: Rc<Cell<bool>>,
}

impl<'a> CallbackServer<'a> {
    pub(super) fn open(desk: &'a CallbackHandler<'a>, listener: Listener) -> Self {
        Self { desk, listener, connections: VecDeque::with_capacity(CONNECTIONS) }
    }

    /// Does `work`, and serves meanwhile.
    pub(super) async fn during<T>(&mut self, work: impl Future<Output = T>) -> T {
        tokio::select! {
            outcome = work => outcome,
            never = self.serve() => match never {},
        }
    }

    /// Shows `page` to whoever has brought the answer, and lets them take it.
    pub(super) async fn close(mut self, page: Page) {
        self.desk.page.send_replace(Some(page));
        self.connections.retain(|connection| connection.waits.get());
        let flushed = async {
            while !self.connections.is_empty() {
                progress(&mut self.connections).await;
            }
        };
        tokio::select! {
            () = flushed => {}
            () = self.desk.sys.clock.sleep(FLUSH_LIMIT) => {}
        }
    }

    async fn serve(&mut self) -> Infallible {
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = progress(&mut self.connections) => continue,
            };
            match accepted {
                Ok(stream) => self.admit(stream),
                Err(_) => self.desk.sys.clock.sleep(NO_ROOM_PAUSE).await,
            }
        }
    }

    fn admit(&mut self, stream: TcpStream) {
        if self.connections.len() >= CONNECTIONS {
            let oldest = self.connections.iter().position(|connection| !connection.waits.get()).unwrap_or(0);
            self.connections.remove(oldest);
            self.desk.note("too many connections, the oldest is closed");
        }
        let waits = Rc::new(Cell::new(false));
        let work = Box::pin(converse(self.desk, stream, waits.clone()));
        self.connections.push_back(Connection { work, waits });
    }
}

/// Lets every connection do what it can; done when one of them has ended.
async fn progress(connections: &mut VecDeque<Connection<'_>>) {
    poll_fn(|context| {
        let before = connections.len();
        connections.retain_mut(|connection| connection.work.as_mut().poll(context).is_pending());
        if connections.len() < before { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// One request and its answer.
async fn converse(desk: &CallbackHandler<'_>, stream: TcpStream, waits: Rc<Cell<bool>>) {
    let respond = service_fn(|request| async { Ok::<_, Infallible>(desk.respond(request, &waits).await) });
    let connection = http1::Builder::new()
        .keep_alive(false)
        .max_buf_size(HEAD_LIMIT)
        .serve_connection(TokioIo::new(stream), respond);
    let limit = async {
        desk.sys.clock.sleep(CONNECTION_LIMIT).await;
        if waits.get() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        outcome = connection => if outcome.is_err() { desk.note("it is not HTTP, or it broke off") },
        () = limit => desk.note("it took too long"),
    }
}

#[cfg(test)]
mod tests;
