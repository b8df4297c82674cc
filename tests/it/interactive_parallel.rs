//! Many processes that want the same sign-in in the browser: one tab, one code, one answer for all.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::browser::{Desk, LONG, NOT_SIGNED_IN, SIGNED_IN, is_signed_in};
use crate::env::Run;
use crate::parallel::best_of_three;
use crate::parallel::{Running, grants, until};
use crate::support::browser::Opening;
use crate::support::entra::directory::ALICE;
use crate::support::entra::{BrowserPerson, Fault};

const OPENED: &str = "To sign in, use the browser that opens now, or open http://localhost:";
const WAITING: &str = "waiting for another process that is signing in to the same cluster\n";
/// What Entra is asked for one sign-in.
const ONE_SIGN_IN: [&str; 2] = ["authorize", "authorization_code"];

#[test]
fn twenty_cold_calls_open_one_tab() {
    let desk = Desk::new(Opening::Works);
    desk.env.world.entra.approve_in_browser(ALICE).inject_on("token", Fault::Slow(Duration::from_millis(500)));
    let all = start(&desk, 20);
    desk.opener.wait_opened(LONG);
    until("nineteen that wait", || count(&all, WAITING) == 19);
    assert_eq!(desk.browse().title().as_deref(), Some(SIGNED_IN));
    let runs: Vec<Run> = all.into_iter().map(Running::finish).collect();
    let tokens: BTreeSet<String> = runs.iter().map(Run::token).collect();
    assert_eq!((tokens.len(), desk.opener.opened().len()), (1, 1));
    assert!(runs.iter().all(|run| run.stdout == runs[0].stdout), "{runs:#?}");
    assert_eq!(grants(&desk.env), ONE_SIGN_IN);
    let (holder, others): (Vec<Run>, Vec<Run>) = runs.into_iter().partition(|run| run.stderr.starts_with(OPENED));
    assert!(holder.len() == 1 && holder[0].stderr.lines().count() == 2, "{holder:#?}");
    assert!(is_signed_in(holder[0].stderr.lines().nth(1).unwrap()), "{holder:#?}");
    assert!(others.iter().all(|run| run.stderr == WAITING), "{others:#?}");
}

#[test]
fn whoever_comes_next_opens_a_tab_of_its_own_when_the_holder_is_killed() {
    best_of_three(Duration::from_secs(1), || {
        let desk = Desk::new(Opening::Works);
        desk.env.world.entra.approve_in_browser(ALICE);
        let holder = desk.start(&[]);
        let gone = desk.opener.wait_opened(LONG);
        let others = start(&desk, 6);
        until("six that wait", || count(&others, WAITING) == 6);
        holder.kill();
        let killed = Instant::now();
        until("another tab", || desk.opener.opened().len() == 2);
        let time = killed.elapsed();
        assert!(desk.env.world.browser().try_get(&gone).is_err(), "nobody is there any more");
        let next = desk.opener.opened().pop().unwrap();
        assert_ne!(next, gone);
        assert_eq!(desk.env.world.browser().get(&next).title().as_deref(), Some(SIGNED_IN));
        let runs: Vec<Run> = others.into_iter().map(Running::finish).collect();
        assert!(runs.iter().all(|run| run.code == 0 && run.stdout == runs[0].stdout), "{runs:#?}");
        assert_eq!(runs.iter().filter(|run| run.stderr.contains(OPENED)).count(), 1, "{runs:#?}");
        assert_eq!(desk.opener.opened().len(), 2);
        assert_eq!(grants(&desk.env), ONE_SIGN_IN);
        time
    });
}

/// kubectl starts a plugin again and again: nobody wants the tab back that they have just closed.
#[test]
fn a_dismissed_sign_in_is_over_for_all_who_wait() {
    best_of_three(Duration::from_secs(3), || {
        let desk = Desk::new(Opening::Works);
        desk.env.world.entra.browser_person(BrowserPerson::Decline);
        let holder = desk.start(&[]);
        desk.opener.wait_opened(LONG);
        let others = start(&desk, 6);
        until("six that wait", || count(&others, WAITING) == 6);
        assert_eq!(desk.browse().title().as_deref(), Some(NOT_SIGNED_IN));
        let declined = Instant::now();
        let hint = "the sign-in was declined; run the command again in half a minute, and approve it";
        assert!(holder.finish().failure().ends_with(&format!("Error: {hint}\n")));
        for run in others.into_iter().map(Running::finish) {
            let error = run.failure().strip_prefix(WAITING).expect("it waited");
            let told = error.starts_with("Error: a sign-in failed ")
                && error.contains(" s ago: the sign-in was declined; the next one is possible in ");
            assert!(run.code == 1 && told && error.lines().count() == 1, "{error}");
        }
        let time = declined.elapsed();
        let late = desk.start(&[]).finish();
        assert!(late.failure().starts_with("Error: a sign-in failed "), "{late:#?}");
        assert_eq!((desk.opener.opened().len(), grants(&desk.env)), (1, vec!["authorize".to_owned()]));
        time
    });
}

/// k9s draws on the terminal: whatever it starts must not write there, but for what went wrong.
#[test]
fn thirty_that_are_to_be_quiet_say_nothing() {
    let mut desk = Desk::new(Opening::Works);
    desk.env.set("KUBENTRA_QUIET", "1");
    desk.env.world.entra.approve_in_browser(ALICE);
    let all = start(&desk, 30);
    assert_eq!(desk.browse().title().as_deref(), Some(SIGNED_IN));
    let runs: Vec<Run> = all.into_iter().map(Running::finish).collect();
    assert!(runs.iter().all(|run| run.code == 0 && run.stdout == runs[0].stdout), "{runs:#?}");
    assert!(runs.iter().all(|run| run.stderr.is_empty()), "{runs:#?}");
    assert_eq!(desk.opener.opened().len(), 1);
    assert_eq!(grants(&desk.env), ONE_SIGN_IN);

    // Where the tab cannot open itself, the way to it is what is needed.
    desk.env.unset("DISPLAY");
    std::fs::remove_dir_all(desk.env.cache()).expect("a cache");
    let run = desk.start(&[]).finish();
    assert!(run.failure().starts_with("Error: a browser is needed to sign in") && run.stderr.lines().count() == 1);
}

fn start(desk: &Desk, count: usize) -> Vec<Running> {
    (0..count).map(|_| desk.start(&[])).collect()
}

fn count(all: &[Running], text: &str) -> usize {
    all.iter().filter(|running| running.says(text)).count()
}
