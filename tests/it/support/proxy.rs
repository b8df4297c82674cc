//! An HTTP proxy that only knows CONNECT, and only the way to other fakes on loopback.
//!
//! With `HTTPS_PROXY` set to its address a program under test can be given the real cloud names:
//! the proxy leads `login.microsoftonline.com:443` to the fake Entra, and nothing leaves the
//! machine. A name without a route is answered with 502.

use super::http::{Head, Incoming, find_header};
use super::listener::{Listening, Open, lock};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::collections::HashMap;
use std::io::{self, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// A CONNECT proxy with a fixed table of routes. Cloning gives another handle to the same proxy.
#[derive(Clone)]
pub struct FakeProxy {
    listening: Arc<Listening>,
    state: Arc<Mutex<State>>,
}

/// One request that reached the proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connect {
    /// `CONNECT`, unless a client tried something else.
    pub method: String,
    /// `host:port` as asked for.
    pub target: String,
    /// What the proxy answered: 200, 403, 405, 407 or 502.
    pub status: u16,
}

#[derive(Default)]
struct State {
    routes: HashMap<String, SocketAddr>,
    credentials: Option<String>,
    refuse: bool,
    log: Vec<Connect>,
}

impl FakeProxy {
    /// A proxy without routes on a free loopback port.
    pub fn start() -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        let listening = Listening::start(move |_, socket, open| {
            let _ = serve(socket, &shared, open);
        });
        Self { listening: Arc::new(listening), state }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.listening.addr()
    }

    /// `http://127.0.0.1:PORT`, for `HTTPS_PROXY`.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr())
    }

    /// The same with a user and a password in it (both must need no escaping).
    pub fn url_with(&self, user: &str, password: &str) -> String {
        format!("http://{user}:{password}@{}", self.addr())
    }

    /// Leads `target` (`host:port`) to `addr`.
    pub fn route(&self, target: &str, addr: SocketAddr) -> &Self {
        lock(&self.state).routes.insert(target.to_ascii_lowercase(), addr);
        self
    }

    /// From now on answers 407 unless these are presented as basic authentication.
    pub fn demand(&self, user: &str, password: &str) -> &Self {
        let credentials = STANDARD.encode(format!("{user}:{password}"));
        lock(&self.state).credentials = Some(format!("Basic {credentials}"));
        self
    }

    /// Answers 403 to everything while it is on.
    pub fn refuse(&self, on: bool) -> &Self {
        lock(&self.state).refuse = on;
        self
    }

    /// All requests so far, in order.
    pub fn log(&self) -> Vec<Connect> {
        lock(&self.state).log.clone()
    }

    /// The `host:port` of all requests so far, in order.
    pub fn targets(&self) -> Vec<String> {
        self.log().into_iter().map(|connect| connect.target).collect()
    }

    /// TCP connections accepted so far.
    pub fn connections(&self) -> usize {
        self.listening.connections()
    }
}

fn serve(socket: TcpStream, state: &Mutex<State>, open: &Open) -> io::Result<()> {
    let mut client = Incoming::new(socket);
    // A client may ask again on the same connection after a 407.
    while let Some(head) = client.head()? {
        match decide(&head, state) {
            Ok(upstream) => {
                client.stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
                return tunnel(client, upstream, open);
            }
            Err(status) => client.stream.write_all(refusal(status).as_bytes())?,
        }
    }
    Ok(())
}

/// Where to connect to, or the status to refuse with. Either way it is recorded.
fn decide(head: &Head, state: &Mutex<State>) -> Result<TcpStream, u16> {
    let mut state = lock(state);
    let decision = state.decide(head);
    state.log.push(Connect {
        method: head.method.clone(),
        target: head.target.clone(),
        status: decision.as_ref().err().copied().unwrap_or(200),
    });
    decision
}

impl State {
    fn decide(&self, head: &Head) -> Result<TcpStream, u16> {
        let presented = find_header(&head.headers, "proxy-authorization");
        if head.method != "CONNECT" {
            return Err(405);
        }
        if self.refuse {
            return Err(403);
        }
        if self.credentials.is_some() && presented != self.credentials.as_deref() {
            return Err(407);
        }
        let route = self.routes.get(&head.target.to_ascii_lowercase());
        route.and_then(|addr| TcpStream::connect(addr).ok()).ok_or(502)
    }
}

fn refusal(status: u16) -> String {
    let (reason, extra) = match status {
        403 => ("Forbidden", ""),
        405 => ("Method Not Allowed", "Allow: CONNECT\r\n"),
        407 => ("Proxy Authentication Required", "Proxy-Authenticate: Basic realm=\"fake proxy\"\r\n"),
        _ => ("Bad Gateway", ""),
    };
    format!("HTTP/1.1 {status} {reason}\r\n{extra}Content-Length: 0\r\n\r\n")
}

/// Carries bytes both ways until both sides have finished or the proxy stops.
fn tunnel(client: Incoming<TcpStream>, mut upstream: TcpStream, open: &Open) -> io::Result<()> {
    let _adopted = open.adopt(&upstream)?;
    upstream.set_nodelay(true)?;
    upstream.write_all(&client.buffer)?;
    let (from, to) = (client.stream.try_clone()?, upstream.try_clone()?);
    let upwards = thread::spawn(move || carry(from, to));
    carry(upstream, client.stream);
    let _ = upwards.join();
    Ok(())
}

fn carry(mut from: TcpStream, mut to: TcpStream) {
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}
