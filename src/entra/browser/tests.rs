//! What is said while the browser has its time.

use super::*;
use crate::azure::id::ClientId;
use crate::entra::Audience;
use crate::os::browser::{Browser, Opening};
use crate::os::clock::fake::FakeClock;
use crate::os::clock::{Clock, Deadline};
use crate::os::env::Env;
use crate::sys::Sys;
use crate::terminal::Terminal;

/// Says that it has opened a browser, whether there is one or not.
struct Opens;

impl Browser for Opens {
    fn unavailable_reason(&self, _: &Env) -> Option<String> {
        None
    }

    fn open<'a>(&'a self, _: &'a Env, _: &'a str, _: &'a dyn Clock) -> Opening<'a> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// What is said by the time that there is nothing to do but wait, and how many seconds that took.
fn said(quiet: bool) -> (String, u64) {
    let (terminal, written) = Terminal::plain(quiet);
    let clock = FakeClock::default();
    let sys = Sys { clock: std::rc::Rc::new(clock.clone()), browser: std::rc::Rc::new(Opens), terminal, ..Sys::fake() };
    let request = crate::entra::fake::request(Audience::scope("S"));
    let client = ClientId::parse("C").unwrap();
    let user = UserClient { client, request: request.into(), account: None, shared: true };
    let session = Session::new(&sys, Deadline::after(&clock, Duration::from_secs(60)));
    let (flow, desk) = Flow::begin(&session, &user, None, 1).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        tokio::select! {
            biased;
            _ = flow.ask(&desk) => panic!("nobody has answered"),
            () = std::future::ready(()) => {}
        }
    });
    (written.take().replace(&flow.entry, "ADDRESS"), clock.monotonic().as_secs())
}

#[test]
fn the_address_is_told_at_once_or_where_it_shall_be_quiet_once_it_is_late() {
    let at_once = "To sign in, use the browser that opens now, or open ADDRESS on this machine\n";
    assert_eq!(said(false), (at_once.into(), 0));
    assert_eq!(said(true), ("To sign in, open ADDRESS on this machine\n".into(), 10));
}
