//! A small strict HTTP/1.1 server on loopback, over TLS or plain TCP.
//!
//! One thread per connection, keep-alive, everything bounded. It answers what a handler says,
//! and can misbehave on request: wait, hang up, send half a body or far too much of one.

use super::clock::{http_date, unix_now};
use super::listener::{Listening, Open};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const MAX_HEAD: usize = 64 * 1024;
const MAX_BODY: usize = 1024 * 1024;
const MAX_HEADERS: usize = 100;

/// An HTTP server that stops when it is dropped.
pub struct Server {
    listening: Listening,
    requests: Arc<AtomicUsize>,
}

impl Server {
    /// Serves HTTPS with `tls`, or plain HTTP without it, on a free loopback port.
    pub fn start(
        tls: Option<Arc<ServerConfig>>,
        handler: impl Fn(&Request) -> Response + Send + Sync + 'static,
    ) -> Self {
        let requests = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&requests);
        let listening = Listening::start(move |number, socket, open| {
            let answer = |request: &Request| {
                counter.fetch_add(1, Ordering::SeqCst);
                handler(request)
            };
            // A client that goes away or sends nonsense ends its own connection only.
            let _ = serve_socket(tls.clone(), socket, number, &answer, open);
        });
        Self { listening, requests }
    }

    /// Where it listens: 127.0.0.1 and a port chosen by the system.
    pub fn addr(&self) -> SocketAddr {
        self.listening.addr()
    }

    /// TCP connections accepted so far, including those whose TLS handshake failed.
    pub fn connections(&self) -> usize {
        self.listening.connections()
    }

    /// Requests parsed so far.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

/// A request as it came, with the body already read.
#[derive(Clone, Debug)]
pub struct Request {
    /// `GET`, `POST`, …
    pub method: String,
    /// The path, still percent-encoded.
    pub path: String,
    /// What follows the `?`, still encoded; empty when there is none.
    pub query: String,
    /// Names as sent.
    pub headers: Vec<(String, String)>,
    /// The body, without its chunks.
    pub body: Vec<u8>,
    /// The number of the connection, from 1.
    pub connection: usize,
}

impl Request {
    /// The first header of that name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        find_header(&self.headers, name)
    }

    /// The `Host` header: name and, if given, port.
    pub fn authority(&self) -> &str {
        self.header("host").unwrap_or_default()
    }

    /// The host name that was asked for, without the port, in lower case.
    pub fn host(&self) -> String {
        let authority = self.authority();
        let name = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
        name.to_ascii_lowercase()
    }
}

/// An answer, and how to get it (not quite) across.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status code; 0 in a log means that no answer was sent.
    pub status: u16,
    /// Sent after `Content-Length` and, unless given here, `Date`.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    delay: Duration,
    delivery: Delivery,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Delivery {
    Whole,
    Truncated,
    Reset,
    Huge(usize),
}

impl Response {
    /// An answer with that body and content type.
    pub fn new(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: vec![("Content-Type".to_owned(), content_type.to_owned())],
            body: body.into(),
            delay: Duration::ZERO,
            delivery: Delivery::Whole,
        }
    }

    /// A JSON answer.
    pub fn json(status: u16, body: &Value) -> Self {
        Self::new(status, "application/json; charset=utf-8", body.to_string())
    }

    /// An HTML page.
    pub fn html(status: u16, body: &str) -> Self {
        Self::new(status, "text/html; charset=utf-8", body)
    }

    /// A plain text answer.
    pub fn text(status: u16, body: &str) -> Self {
        Self::new(status, "text/plain; charset=utf-8", body)
    }

    /// No answer at all: the connection is closed after the request was read.
    pub fn reset() -> Self {
        Self { delivery: Delivery::Reset, ..Self::text(0, "") }
    }

    /// A JSON object that goes on for `bytes` bytes, sent in chunks so that no length warns of it.
    pub fn huge(bytes: usize) -> Self {
        Self { delivery: Delivery::Huge(bytes), ..Self::new(200, "application/json; charset=utf-8", "{\"filler\":\"") }
    }

    /// With one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sent only after `delay`.
    #[must_use]
    pub fn delayed(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Half of the promised body, then the connection is closed.
    #[must_use]
    pub fn truncated(mut self) -> Self {
        self.delivery = Delivery::Truncated;
        self
    }
}

/// A value of `headers`, by name in any case.
pub fn find_header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

fn serve_socket(
    tls: Option<Arc<ServerConfig>>,
    socket: TcpStream,
    number: usize,
    answer: &dyn Fn(&Request) -> Response,
    open: &Open,
) -> io::Result<()> {
    let Some(config) = tls else {
        return serve(&mut Incoming::new(socket), number, answer, open);
    };
    let session = ServerConnection::new(config).map_err(io::Error::other)?;
    let mut incoming = Incoming::new(StreamOwned::new(session, socket));
    let ended = serve(&mut incoming, number, answer, open);
    if ended.is_ok() {
        incoming.stream.conn.send_close_notify();
        incoming.stream.flush()?;
    }
    ended
}

/// Answers request after request. An error ends the connection without a TLS goodbye.
fn serve<S: Read + Write>(
    incoming: &mut Incoming<S>,
    number: usize,
    answer: &dyn Fn(&Request) -> Response,
    open: &Open,
) -> io::Result<()> {
    loop {
        let (request, keep_alive) = match incoming.request(number) {
            Ok(Some(next)) => next,
            Ok(None) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                let refusal = Response::text(400, &format!("{error}\n"));
                return send(&mut incoming.stream, &refusal, false, true);
            }
            Err(error) => return Err(error),
        };
        let response = answer(&request);
        open.pause(response.delay);
        let with_body = request.method != "HEAD";
        send(&mut incoming.stream, &response, keep_alive, with_body)?;
        if !keep_alive {
            return Ok(());
        }
    }
}

/// The reading side of a connection: what came and has not been parsed yet stays in `buffer`.
pub(super) struct Incoming<S> {
    pub(super) stream: S,
    pub(super) buffer: Vec<u8>,
}

/// A request line with its headers.
pub(super) struct Head {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) minor_version: u8,
    pub(super) headers: Vec<(String, String)>,
}

impl<S: Read + Write> Incoming<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    /// The next request and whether the connection stays open after it; `None` at a clean end.
    fn request(&mut self, connection: usize) -> io::Result<Option<(Request, bool)>> {
        let Some(head) = self.head()? else {
            return Ok(None);
        };
        if find_header(&head.headers, "host").is_none() {
            return Err(malformed("no host header"));
        }
        let body = self.body(&head.headers)?;
        let keep_alive = keeps_alive(&head);
        let (path, query) = head.target.split_once('?').unwrap_or((&head.target, ""));
        let request = Request {
            method: head.method.clone(),
            path: path.to_owned(),
            query: query.to_owned(),
            headers: head.headers,
            body,
            connection,
        };
        Ok(Some((request, keep_alive)))
    }

    /// Reads up to the empty line; `None` when the peer closed before the first byte.
    pub(super) fn head(&mut self) -> io::Result<Option<Head>> {
        loop {
            if let Some((head, length)) = parse_head(&self.buffer)? {
                self.buffer.drain(..length);
                return Ok(Some(head));
            }
            if self.buffer.len() > MAX_HEAD {
                return Err(malformed("the head is too long"));
            }
            if self.fill()? == 0 {
                return if self.buffer.is_empty() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
            }
        }
    }

    fn body(&mut self, headers: &[(String, String)]) -> io::Result<Vec<u8>> {
        let length = find_header(headers, "content-length");
        let encoding = find_header(headers, "transfer-encoding");
        if find_header(headers, "expect").is_some() {
            self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
            self.stream.flush()?;
        }
        match (length, encoding) {
            (None, None) => Ok(Vec::new()),
            (Some(length), None) => self.exactly(parse_length(length)?),
            (None, Some(coding)) if coding.eq_ignore_ascii_case("chunked") => self.chunks(),
            (None, Some(_)) => Err(malformed("unknown transfer coding")),
            // RFC 9112 §6.1: both together is how requests are smuggled.
            (Some(_), Some(_)) => Err(malformed("content-length with transfer-encoding")),
        }
    }

    fn chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let size = self.chunk_size()?;
            if size == 0 {
                return self.trailer().map(|()| body);
            }
            if body.len() + size > MAX_BODY {
                return Err(malformed("the body is too long"));
            }
            body.extend(self.exactly(size)?);
            if self.exactly(2)? != b"\r\n" {
                return Err(malformed("a chunk does not end where it said"));
            }
        }
    }

    fn chunk_size(&mut self) -> io::Result<usize> {
        loop {
            match httparse::parse_chunk_size(&self.buffer) {
                Ok(httparse::Status::Complete((line, size))) => {
                    self.buffer.drain(..line);
                    return usize::try_from(size).map_err(|_| malformed("chunk size"));
                }
                Ok(httparse::Status::Partial) => self.fill_some()?,
                Err(_) => return Err(malformed("chunk size")),
            }
        }
    }

    /// Trailers are not used by anything here, so only the empty one is taken.
    fn trailer(&mut self) -> io::Result<()> {
        if self.exactly(2)? == b"\r\n" { Ok(()) } else { Err(malformed("trailers are not supported")) }
    }

    fn exactly(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() < length {
            self.fill_some()?;
        }
        Ok(self.buffer.drain(..length).collect())
    }

    fn fill_some(&mut self) -> io::Result<()> {
        match self.fill()? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    fn fill(&mut self) -> io::Result<usize> {
        let mut piece = [0; 8192];
        let count = self.stream.read(&mut piece)?;
        self.buffer.extend_from_slice(&piece[..count]);
        Ok(count)
    }
}

fn parse_head(buffer: &[u8]) -> io::Result<Option<(Head, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let status = request.parse(buffer).map_err(|error| malformed(&error.to_string()))?;
    let httparse::Status::Complete(length) = status else {
        return Ok(None);
    };
    let head = Head {
        method: request.method.unwrap_or_default().to_owned(),
        target: request.path.unwrap_or_default().to_owned(),
        minor_version: request.version.unwrap_or_default(),
        headers: request.headers.iter().map(header_text).collect::<Result<_, _>>()?,
    };
    Ok(Some((head, length)))
}

fn header_text(header: &httparse::Header<'_>) -> io::Result<(String, String)> {
    let value = std::str::from_utf8(header.value).map_err(|_| malformed("header value"))?;
    Ok((header.name.to_owned(), value.to_owned()))
}

fn parse_length(text: &str) -> io::Result<usize> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(length) if digits && length <= MAX_BODY => Ok(length),
        _ => Err(malformed("content-length")),
    }
}

fn keeps_alive(head: &Head) -> bool {
    match find_header(&head.headers, "connection") {
        Some(value) if value.eq_ignore_ascii_case("close") => false,
        Some(value) if value.eq_ignore_ascii_case("keep-alive") => true,
        _ => head.minor_version == 1,
    }
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("bad request: {what}"))
}

/// Writes the answer. An error means that the connection must not be used again.
fn send(stream: &mut impl Write, response: &Response, keep_alive: bool, with_body: bool) -> io::Result<()> {
    match response.delivery {
        Delivery::Reset => return Err(io::ErrorKind::ConnectionReset.into()),
        Delivery::Huge(bytes) => return send_huge(stream, response, bytes),
        Delivery::Whole | Delivery::Truncated => {}
    }
    let length = format!("Content-Length: {}\r\n", response.body.len());
    let mut bytes = head_bytes(response, &length, keep_alive);
    if with_body {
        bytes.extend_from_slice(&response.body);
    }
    if response.delivery == Delivery::Truncated {
        bytes.truncate(bytes.len() - response.body.len() / 2);
    }
    stream.write_all(&bytes)?;
    stream.flush()?;
    match response.delivery {
        Delivery::Truncated => Err(io::ErrorKind::ConnectionReset.into()),
        _ => Ok(()),
    }
}

fn send_huge(stream: &mut impl Write, response: &Response, bytes: usize) -> io::Result<()> {
    let filler = [b'x'; 16 * 1024];
    stream.write_all(&head_bytes(response, "Transfer-Encoding: chunked\r\n", true))?;
    send_chunk(stream, &response.body)?;
    let mut left = bytes.saturating_sub(response.body.len() + 2);
    while left > 0 {
        let size = left.min(filler.len());
        send_chunk(stream, &filler[..size])?;
        left -= size;
    }
    send_chunk(stream, b"\"}")?;
    stream.write_all(b"0\r\n\r\n")?;
    stream.flush()
}

fn send_chunk(stream: &mut impl Write, chunk: &[u8]) -> io::Result<()> {
    write!(stream, "{:x}\r\n", chunk.len())?;
    stream.write_all(chunk)?;
    stream.write_all(b"\r\n")
}

fn head_bytes(response: &Response, framing: &str, keep_alive: bool) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {} {}\r\n", response.status, reason(response.status));
    head.push_str(framing);
    if find_header(&response.headers, "date").is_none() {
        head.push_str(&format!("Date: {}\r\n", http_date(unix_now())));
    }
    for (name, value) in &response.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(if keep_alive { "\r\n" } else { "Connection: close\r\n\r\n" });
    head.into_bytes()
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        302 => "Found",
        307 => "Temporary Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        410 => "Gone",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        _ => "Something Else",
    }
}
