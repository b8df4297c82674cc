//! What a person reads while signing in, on real pseudo-terminals, and what Ctrl-C leaves.

use std::time::{Duration, Instant};

use crate::env::TestEnv;
use crate::parallel::{Running, prompts, until};
use crate::pty::{Ended, Pty};
use crate::support::entra::Fault;
use crate::support::entra::directory::{ALICE, TENANT};

const ADDRESS: &str = "https://microsoft.com/devicelogin";
const INTERRUPTED: &str = "Error: interrupted\n";

#[test]
fn the_code_comes_first_and_the_spinner_leaves_nothing() {
    let env = coloured();
    let Some(ended) = alice_signs_in(&env, 80) else { return };
    let expected = "\n  ┌─────────────────────┐\n  │      {code}      │\n  └─────────────────────┘\n\n  \
                    Open {address} and enter the code.\n\n{signed in}\n";
    assert_eq!(ended.screen.text(), wrapped(&filled(expected, &ended), 80));
    let bold = filled("│\u{1b}[1;7m      {code}      \u{1b}[0m│", &ended);
    assert!(ended.raw.contains(&bold), "{ended:#?}");
    turns(&ended, &["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"]);
}

/// The pictures come in turn, and the time left only goes down.
fn turns(ended: &Ended, pictures: &[&str]) {
    let text = " left, waiting for the sign-in";
    let shown = ended.raw.split("\r\u{1b}[K").filter_map(|part| part.strip_suffix(text)?.split_once(' '));
    let (shown, times): (Vec<_>, Vec<_>) = shown.unzip();
    let in_turn = pictures.iter().copied().cycle().take(shown.len());
    assert!(shown.len() > 2 && shown.iter().copied().eq(in_turn), "{ended:#?}");
    assert!(times.is_sorted_by(|earlier, later| earlier >= later), "{times:?}");
    assert!(times.iter().all(|time| time.starts_with("1:") && time.len() == 4), "{times:?}");
}

#[test]
fn without_colours_there_are_none() {
    let mut env = coloured();
    env.set("NO_COLOR", "1");
    let Some(ended) = alice_signs_in(&env, 80) else { return };
    assert_eq!(colours(&ended), 0, "{ended:#?}");
    turns(&ended, &["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"]);
}

#[test]
fn a_locale_without_utf_8_gets_ascii() {
    let mut env = coloured();
    env.set("LC_ALL", "C");
    let Some(ended) = alice_signs_in(&env, 80) else { return };
    assert!(ended.raw.is_ascii(), "{ended:#?}");
    turns(&ended, &["|", "/", "-", "\\"]);
    let expected = "\n  +---------------------+\n  |      {code}      |\n  +---------------------+\n\n  \
                    Open {address} and enter the code.\n\n{signed in}\n";
    assert_eq!(ended.screen.text(), wrapped(&filled(expected, &ended), 80));
}

#[test]
fn where_it_is_narrow_nothing_of_ours_is_broken() {
    let env = coloured();
    let Some(ended) = alice_signs_in(&env, 40) else { return };
    let expected = "\n  ┌─────────────────────┐\n  │      {code}      │\n  └─────────────────────┘\n\n\
                    Open\n{address}\nand enter the code.\n\n{signed in}\n";
    assert_eq!(ended.screen.text(), wrapped(&filled(expected, &ended), 40));
    assert!(ended.raw.contains(" left, waiting for the sign-in\r"), "{ended:#?}");

    let env = coloured();
    let Some(ended) = alice_signs_in(&env, 20) else { return };
    let expected = "\n{code}\n\nOpen\n{address}\nand enter the code.\n\n{signed in}\n";
    assert_eq!(ended.screen.text(), wrapped(&filled(expected, &ended), 20));
    assert!(ended.raw.contains(" left, wait\r"), "{ended:#?}");
}

#[test]
fn a_window_may_be_made_narrower() {
    let env = coloured();
    let Some(mut pty) = Pty::start(&env, &waiting_90_s(&env), 80) else { return };
    pty.wait_until_it_shows("left, waiting for the sign-in\r");
    pty.resize(20);
    pty.wait_until_it_shows("left, wait\r");
    pty.press_ctrl_c();
    assert_eq!(pty.finish().code, Some(130));
}

#[test]
fn plain_lines_where_nothing_can_be_drawn() {
    let line = format!(
        "To sign in, use a web browser to open the page {ADDRESS} and enter the code {{code}} to authenticate.\r\n"
    );
    let signed_in = "{signed in}\r\n";
    for (name, value, told) in [("TERM", "dumb", signed_in), ("TERM", "", signed_in), ("KUBENTRA_QUIET", "1", "")] {
        let mut env = coloured();
        env.set(name, value);
        let Some(ended) = alice_signs_in(&env, 80) else { return };
        assert_eq!(ended.raw, filled(&format!("{line}{told}"), &ended), "{name}={value}");
    }
}

#[test]
fn in_a_pipe_quiet_is_the_prompt_and_nothing_else() {
    let mut env = coloured();
    env.set("KUBENTRA_QUIET", "true");
    env.world.entra.approve(ALICE);
    let run = env.run_all(&env.device_code(&[]));
    run.token();
    assert!(prompts(&run.stderr) == 1 && run.stderr.lines().count() == 1, "{run:#?}");
    let refused = env.run_all(&env.spn(&["--client-secret", "wrong"]));
    assert!(refused.failure().starts_with("Error: "), "errors are told: {refused:#?}");
}

#[test]
fn what_takes_300_ms_is_shown_while_it_does() {
    let env = coloured();
    env.world.entra.inject_on("devicecode", Fault::Slow(Duration::from_secs(2)));
    let Some(ended) = alice_signs_in(&env, 80) else { return };
    assert!(ended.raw.starts_with("\r\u{1b}[K⠋ asking for a code\r\u{1b}[K⠙ asking for a code\r"), "{ended:#?}");
}

#[test]
fn what_is_told_meanwhile_stands_above_the_spinner() {
    let env = coloured();
    let args = [waiting_90_s(&env), vec!["-v".into(), "1".into()]].concat();
    for _ in 0..6 {
        env.world.entra.inject_on("token", Fault::Reset);
    }
    let Some(pty) = Pty::start(&env, &args, 80) else { return };
    pty.wait_until_it_shows("still waiting: ");
    pty.wait_until_it_shows("\n\r\u{1b}[K⠋");
    pty.press_ctrl_c();
    let ended = pty.finish();
    let text = ended.screen.text();
    assert!(!text.contains("left, ") && text.contains("\nstill waiting: ") && text.ends_with(INTERRUPTED), "{text}");
}

#[test]
fn ctrl_c_while_the_code_is_asked_for() {
    let env = coloured();
    env.world.entra.inject(Fault::Slow(Duration::from_secs(30)));
    let Some(pty) = Pty::start(&env, &env.device_code(&[]), 80) else { return };
    pty.wait_until_it_shows("⠙ asking for a code");
    ends_without_a_trace(&env, pty, INTERRUPTED);
}

#[test]
fn ctrl_c_before_anything_is_shown() {
    let env = coloured();
    env.world.entra.inject(Fault::Slow(Duration::from_secs(30)));
    let Some(pty) = Pty::start(&env, &env.device_code(&[]), 80) else { return };
    until("the request", || env.world.entra.requests().len() == 1);
    ends_without_a_trace(&env, pty, INTERRUPTED);
}

#[test]
fn ctrl_c_between_two_polls_and_during_one() {
    for during in [false, true] {
        for columns in [80, 20] {
            let env = coloured();
            let Some(pty) = Pty::start(&env, &env.device_code(&[]), columns) else { return };
            pty.wait_until_it_shows("left, wait");
            if during {
                env.world.entra.inject_on("token", Fault::Slow(Duration::from_secs(30)));
                until("a poll", || env.world.entra.faults_left() == 0);
            }
            let left = format!("{}{INTERRUPTED}", pty.screen_after("enter the code.\r\n\r\n").text());
            ends_without_a_trace(&env, pty, &left);
        }
    }
}

#[test]
fn ctrl_c_while_another_process_signs_in() {
    let env = coloured();
    let other = Running::kubentra(&env, &env.device_code(&[]));
    other.wait_until_it_says("enter the code");
    let Some(pty) = Pty::start(&env, &env.device_code(&[]), 80) else { return };
    pty.wait_until_it_shows("⠙ waiting for another process that is signing in to the same cluster\r");
    pty.press_ctrl_c();
    let ended = pty.finish();
    assert_eq!(ended.code, Some(130));
    assert_eq!(ended.screen.text(), INTERRUPTED);
    // The other one was not disturbed.
    env.world.entra.approve(ALICE);
    other.finish().token();
}

#[test]
fn in_the_background_nothing_is_drawn() {
    let env = coloured();
    // A shell with job control gives the background a group of its own.
    let Some(pty) =
        Pty::start_program(&env, &["/bin/sh", "-c", "set -m; kubentra \"$@\" & wait", "sh"], &env.device_code(&[]), 80)
    else {
        return;
    };
    pty.wait_until_it_shows("enter the code.");
    let polls = || env.world.entra.requests().iter().filter(|request| request.path.ends_with("/token")).count();
    until("a poll", || polls() >= 1);
    env.world.entra.approve(ALICE);
    let ended = pty.finish();
    assert!(!ended.raw.contains('⠋') && ended.raw.contains("signed in as"), "{ended:#?}");
}

/// A world in a terminal that can do everything.
fn coloured() -> TestEnv {
    let mut env = TestEnv::new();
    env.set("TERM", "xterm-256color").set("LANG", "C.UTF-8");
    env
}

fn waiting_90_s(env: &TestEnv) -> Vec<String> {
    env.device_code(&["--login-timeout", "90s"])
}

/// Alice signs in half a second after she was asked.
fn alice_signs_in(env: &TestEnv, columns: u16) -> Option<Ended> {
    let pty = Pty::start(env, &waiting_90_s(env), columns)?;
    until("a poll", || env.world.entra.requests().iter().any(|request| request.path.ends_with("/token")));
    env.world.entra.approve(ALICE);
    let ended = pty.finish();
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert!(ended.stdout.contains("\"ExecCredential\""), "{ended:#?}");
    Some(ended)
}

/// Presses Ctrl-C: `left` is on the screen, and the next run asks at once, so that neither a lock nor
/// a marker is left.
fn ends_without_a_trace(env: &TestEnv, pty: Pty, left: &str) {
    let start = Instant::now();
    pty.press_ctrl_c();
    let ended = pty.finish();
    assert!(start.elapsed() < Duration::from_secs(15), "it has not waited for its request: {:?}", start.elapsed());
    assert_eq!(ended.code, Some(130), "{ended:#?}");
    assert_eq!((ended.screen.text().as_str(), ended.stdout.as_str()), (left, ""));
    let next = Running::kubentra(env, &env.device_code(&[]));
    next.wait_until_it_says("enter the code");
    next.kill();
}

/// `text` with the values of this run.
fn filled(text: &str, ended: &Ended) -> String {
    text.replace("{code}", &code(ended)).replace("{address}", ADDRESS).replace("{signed in}", &signed_in(ended))
}

/// Who has signed in, and for how long, which is the only thing that differs from run to run.
fn signed_in(ended: &Ended) -> String {
    let until = ended.raw.split("valid until ").nth(1).and_then(|rest| rest.split(" UTC").next()).unwrap_or("?");
    format!("signed in as {ALICE} (tenant {TENANT}), valid until {until} UTC, renews itself")
}

/// The code that stands on the terminal: nine of Entra's letters.
fn code(ended: &Ended) -> String {
    let letters = |word: &&str| word.len() == 9 && word.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit());
    let raw = ended.raw.replace("\u{1b}[1;7m", " ").replace("\u{1b}[0m", " ");
    raw.split_whitespace().find(letters).expect("a code").to_owned()
}

fn colours(ended: &Ended) -> usize {
    ended.raw.split("\u{1b}[").skip(1).filter(|rest| !rest.starts_with('K')).count()
}

/// `text` as a terminal breaks it.
fn wrapped(text: &str, columns: usize) -> String {
    let lines = text.lines().map(|line| {
        let letters: Vec<char> = line.chars().collect();
        let rows: Vec<String> = letters.chunks(columns).map(|row| row.iter().collect()).collect();
        rows.join("\n") + "\n"
    });
    lines.collect()
}
