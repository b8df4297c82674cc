//! The listener in one thread with its visitors, good and bad.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::error::{Error, ErrorKind};
use crate::os::clock::SystemClock;

const LOGIN: &str = "https://login.example/authorize?state=right";
const GET_ANSWER: &str = "GET /?code=c&state=right HTTP/1.1\r\nHost: localhost:1\r\n\r\n";

fn sys() -> Sys {
    Sys { clock: std::rc::Rc::new(SystemClock::start()), ..Sys::fake() }
}

fn places(path: &str) -> CallbackPaths {
    CallbackPaths { entry: "word".into(), login: LOGIN.into(), path: path.into() }
}

/// Runs `visit` against a listener that waits at `path`; gives what it came to, and the answer taken.
fn visited<T>(path: &str, visit: impl AsyncFnOnce(u16) -> T) -> (T, Option<AuthorizationResponse>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let sys = sys();
    runtime.block_on(async {
        let listener = Listener::bind(None).unwrap();
        let port = listener.port();
        let desk = CallbackHandler::new(&sys, places(path), OAuthState::of("right"));
        let mut reception = CallbackServer::open(&desk, listener);
        let seen = reception.during(visit(port)).await;
        let answer =
            tokio::select! { biased; answer = desk.answer() => Some(answer), () = std::future::ready(()) => None };
        (seen, answer)
    })
}

async fn connected(port: u16) -> TcpStream {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap()
}

/// Sends `bytes` and reads what comes until the other side closes.
async fn exchange(port: u16, bytes: &[u8]) -> String {
    let mut stream = connected(port).await;
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or(answer)
}

fn posted(form: &str) -> String {
    format!(
        "POST / HTTP/1.1\r\nHost: localhost:1\r\nOrigin: https://login.microsoftonline.com\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
        form.len()
    )
}

#[test]
fn what_is_no_answer_is_turned_away() {
    let get = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let to_host = |host: &str| format!("GET /?code=c&state=right HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let requests = [
        (get("/"), "400"),
        (get("/?code=c"), "400"),
        (get("/?code=c&state=wrong"), "400"),
        (get("/?error=access_denied&error_description=x"), "400"),
        (get("/?error=access_denied&state=wrong"), "400"),
        (get("/?code=c&state=right&state=right"), "400"),
        (get("/favicon.ico"), "404"),
        (get("/back?code=c&state=right"), "404"),
        (get("/word?x"), "404"),
        (get("//?code=c&state=right"), "404"),
        (get("http://evil.example/?code=c&state=right"), "421"),
        (to_host("evil.example"), "421"),
        (to_host("localhost.evil.example:1"), "421"),
        (to_host("127.0.0.1.evil.example"), "421"),
        (to_host("localhost\r\nHost: evil.example"), "421"),
        ("GET /?code=c&state=right HTTP/1.0\r\n\r\n".into(), "421"),
        ("PUT /?code=c&state=right HTTP/1.1\r\nHost: localhost\r\n\r\n".into(), "405"),
        ("OPTIONS / HTTP/1.1\r\nHost: localhost\r\n\r\n".into(), "405"),
        ("POST /word HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n".into(), "405"),
        ("POST /?code=c&state=right HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n".into(), "415"),
        (posted("code=c&state=wrong"), "400"),
        (posted(&format!("code={}&state=right", "c".repeat(FORM_LIMIT))), "413"),
        (format!("GET /?code={}&state=right HTTP/1.1\r\nHost: localhost\r\n\r\n", "c".repeat(HEAD_LIMIT)), "4"),
        ("\u{16}\u{3}\u{1}\u{2}\0 a TLS hello".into(), "400"),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(), ""),
    ];
    for (request, expected) in requests {
        let (answer, taken) = visited("/", async |port| exchange(port, request.as_bytes()).await);
        assert!(status(&answer).starts_with(expected), "{request}: {answer}");
        assert!(taken.is_none() && !answer.contains("right"), "{request}: {answer}");
    }
}

#[test]
fn the_answer_is_taken_in_both_forms() {
    for request in [
        GET_ANSWER.to_owned(),
        GET_ANSWER.replace("localhost:1", "LOCALHOST:65535"),
        GET_ANSWER.replace("localhost:1", "[::1]:80"),
        GET_ANSWER.replace("localhost:1", "127.0.0.1"),
        posted("code=c&state=right&client_info=x&session_state=y"),
    ] {
        let ((), answer) = visited("/", async |port| {
            let mut stream = connected(port).await;
            stream.write_all(request.as_bytes()).await.unwrap();
            // It waits for the page that tells how the sign-in ended.
            let waited = tokio::time::timeout(Duration::from_millis(50), stream.read_u8()).await;
            assert!(waited.is_err(), "{request}");
        });
        assert!(matches!(answer, Some(AuthorizationResponse::Code(code)) if code.expose() == "c"), "{request}");
    }
}

#[test]
fn the_short_address_leads_to_the_login_page() {
    let (answer, taken) =
        visited("/", async |port| exchange(port, b"GET /word HTTP/1.1\r\nHost: localhost\r\n\r\n").await);
    assert_eq!(status(&answer), "302");
    let lines: Vec<_> = answer.lines().collect();
    for line in [
        format!("location: {LOGIN}").as_str(),
        "referrer-policy: no-referrer",
        "cache-control: no-store",
        "connection: close",
    ] {
        assert!(lines.contains(&line), "{line} in {answer}");
    }
    assert!(taken.is_none());
}

#[test]
fn a_path_is_compared_letter_by_letter() {
    for (path, expected) in [("/Back", true), ("/back", false), ("/Back/", false), ("/", false)] {
        let ((), answer) = visited("/Back", async |port| {
            let mut stream = connected(port).await;
            let request = format!("GET {path}?code=c&state=right HTTP/1.1\r\nHost: localhost\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let _ = tokio::time::timeout(Duration::from_millis(50), stream.read_u8()).await;
        });
        assert_eq!(answer.is_some(), expected, "{path}");
    }
}

/// Both who brought the answer and who brought it again see how it ended.
#[test]
fn the_last_page_reaches_the_browser() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let sys = sys();
    let pages = runtime.block_on(async {
        let listener = Listener::bind(None).unwrap();
        let port = listener.port();
        let desk = CallbackHandler::new(&sys, places("/"), OAuthState::of("right"));
        let mut reception = CallbackServer::open(&desk, listener);
        let browsers = reception
            .during(async {
                let mut browsers = Vec::new();
                for _ in 0..2 {
                    let mut browser = connected(port).await;
                    browser.write_all(GET_ANSWER.as_bytes()).await.unwrap();
                    let _ = tokio::time::timeout(Duration::from_millis(30), browser.readable()).await;
                    browsers.push(browser);
                }
                drop(desk.answer().await);
                browsers
            })
            .await;
        let page = Page::failed(&Error::new(ErrorKind::ConsentMissing, "nobody has consented"));
        reception.close(page).await;
        let mut pages = Vec::new();
        for mut browser in browsers {
            let mut page = String::new();
            browser.read_to_string(&mut page).await.unwrap();
            pages.push(page);
        }
        pages
    });
    for page in pages {
        assert!(page.starts_with("HTTP/1.1 200 ") && page.contains("Nobody has consented."), "{page}");
        assert!(page.ends_with("</html>\n"), "{page}");
    }
}

/// Twice as many as there is room for, all of them silent or halfway through a request.
#[test]
fn those_who_send_nothing_keep_nobody_out() {
    let ((), answer) = visited("/", async |port| {
        let mut silent = Vec::new();
        for number in 0..2 * CONNECTIONS {
            let mut stream = connected(port).await;
            if number % 2 == 0 {
                stream.write_all(b"POST / HTTP/1.1\r\nHost: loc").await.unwrap();
            }
            silent.push(stream);
        }
        let mut browser = connected(port).await;
        browser.write_all(GET_ANSWER.as_bytes()).await.unwrap();
        let _ = tokio::time::timeout(Duration::from_millis(50), browser.readable()).await;
        // Whoever waits for the last page is not the one who goes.
        for _ in 0..2 * CONNECTIONS {
            silent.push(connected(port).await);
        }
        assert_eq!(status(&exchange(port, b"GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n").await), "404");
        let closed = tokio::time::timeout(Duration::from_millis(50), browser.read_u8()).await;
        assert!(closed.is_err(), "it still waits");
    });
    assert!(answer.is_some());
}

#[test]
fn a_port_is_had_on_both_addresses_or_not_at_all() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _entered = runtime.enter();
    let first = Listener::bind(None).unwrap();
    for socket in &first.sockets {
        let address = socket.local_addr().unwrap();
        assert!(address.ip().is_loopback() && address.port() == first.port());
    }
    assert_eq!(Listener::bind(Some(first.port())).map(|_| ()).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    let Ok(other) = std::net::TcpListener::bind((Ipv6Addr::LOCALHOST, 0)) else { return };
    let port = other.local_addr().unwrap().port();
    assert_eq!(Listener::bind(Some(port)).map(|_| ()).unwrap_err().kind(), io::ErrorKind::AddrInUse);
}
