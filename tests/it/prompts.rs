//! Who can see a prompt, how long it stands, and how it ends.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};

use crate::env::{Run, TestEnv};
use crate::kubectl::missing;
use crate::parallel::best_of_three;
use crate::parallel::{Running, grants, prompts, timed, until};
use crate::support::entra::directory::ALICE;
use crate::support::entra::{Fault, Person};

const NOBODY: &str = "signing in needs a person, and nobody would see the prompt";
const FIX: &str = "in a terminal, or sign in without a person (kubentra convert-kubeconfig -l spn)";

#[test]
fn without_stderr_nobody_is_asked() {
    let env = TestEnv::new();
    for redirection in ["2>/dev/null", "2>&-"] {
        let script = format!("exec kubentra \"$@\" {redirection}");
        let run = Run::of(&mut through(&env, "/bin/sh", &["-c", &script, "sh"]));
        assert_eq!((run.code, run.failure()), (1, ""), "{redirection}");
    }
    assert_eq!(grants(&env), Vec::<String>::new());
}

#[test]
fn in_a_pipeline_nobody_is_asked() {
    let Some(setsid) = tool("/usr/bin/setsid") else { return };
    for variable in ["CI", "TF_BUILD", "GITHUB_ACTIONS", "GITLAB_CI", "JENKINS_URL", "BUILDKITE"] {
        let mut env = TestEnv::new();
        env.set(variable, "true");
        let run = Run::of(&mut through(&env, setsid, &["-w", "kubentra"]));
        let by_hand = env.device_code(&[]).join(" ").replacen("get-token", "kubentra login", 1);
        let expected = format!("Error: {NOBODY} ({variable} is set and there is no terminal); run `{by_hand}` {FIX}\n");
        assert_eq!((run.code, run.failure()), (1, expected.as_str()));
        assert_eq!(grants(&env), Vec::<String>::new());
    }
}

#[test]
fn in_a_pipeline_an_earlier_sign_in_is_renewed() {
    let Some(setsid) = tool("/usr/bin/setsid") else { return };
    let mut env = TestEnv::new();
    env.world.entra.approve(ALICE).token_lifetime(200);
    env.run_all(&env.device_code(&[])).token();
    env.set("CI", "true");
    let run = Run::of(&mut through(&env, setsid, &["-w", "kubentra"]));
    run.token();
    assert_eq!((run.stderr.as_str(), grants(&env).last().map(String::as_str)), ("", Some("refresh_token")));
}

#[test]
fn a_variable_that_says_no_pipeline_is_believed() {
    let Some(setsid) = tool("/usr/bin/setsid") else { return };
    for value in ["false", "False", ""] {
        let mut env = signed_out();
        env.set("CI", value);
        let run = Run::of(&mut through(&env, setsid, &["-w", "kubentra"]));
        run.token();
        assert_eq!(prompts(&run.stderr), 1, "CI={value} {run:#?}");
    }
}

#[test]
fn in_a_pipeline_with_a_terminal_for_stderr_somebody_is_asked() {
    let Some(setsid) = tool("/usr/bin/setsid") else { return };
    let mut env = signed_out();
    env.set("CI", "true");
    let pty = nix::pty::openpty(None, None).expect("a pseudo-terminal");
    let mut command = through(&env, setsid, &["-w", "kubentra"]);
    let output = command.stdout(Stdio::piped()).stderr(pty.slave).output().expect("the program starts");
    drop(command); // and with it our copy of the terminal
    assert!(output.status.success());
    let mut seen = [0; 4096];
    let count = std::fs::File::from(pty.master).read(&mut seen).expect("what the terminal shows");
    let seen = String::from_utf8_lossy(&seen[..count]);
    assert_eq!(prompts(&seen), 1, "{seen}");
}

#[test]
fn in_a_pipeline_with_a_controlling_terminal_somebody_is_asked() {
    let Some(script) = tool("/usr/bin/script") else { return };
    let mut env = signed_out();
    env.set("CI", "true");
    let line = format!("kubentra {} 2>stderr", env.device_code(&[]).join(" "));
    let run = Run::of(&mut env.other(Path::new(script), &["-qec", &line, "/dev/null"]));
    run.token();
    let stderr = std::fs::read_to_string(env.home().join("stderr")).expect("what was said");
    assert_eq!(prompts(&stderr), 1, "{stderr}");
}

#[test]
fn the_prompt_is_there_within_a_second() {
    best_of_three(Duration::from_secs(1), || {
        let env = TestEnv::new();
        let start = Instant::now();
        let mut command = through(&env, "/usr/bin/env", &["kubentra"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
        let mut stderr = BufReader::new(child.stderr.take().expect("a pipe"));
        let mut line = String::new();
        stderr.read_line(&mut line).expect("a line");
        let time = start.elapsed();
        assert_eq!(prompts(&line), 1, "{line}");
        env.world.entra.approve(ALICE);
        assert!(child.wait().expect("it ends").success());
        time
    });
}

#[test]
fn a_poll_that_is_lost_does_not_end_the_sign_in() {
    let env = signed_out();
    env.world.entra.inject_on("token", Fault::Reset).inject_on("token", Fault::Truncated);
    // The poll that is cut off is still pending: an approval is given out once only.
    env.world.entra.inject_on("token", Fault::NotJson).pending_polls(1);
    let run = env.run_all(&env.device_code(&[]));
    assert_eq!(prompts(&run.stderr), 1, "{run:#?}");
    run.token();
}

#[test]
fn ctrl_c_ends_a_sign_in_without_a_trace() {
    let env = TestEnv::new();
    let first = Running::kubentra(&env, &env.device_code(&[]));
    first.wait_until_it_says("enter the code");
    let waiting = Running::kubentra(&env, &env.device_code(&[]));
    waiting.wait_until_it_says("waiting for another process");
    for (running, said) in [(waiting, "same cluster\n"), (first, "to authenticate.\n")] {
        kill(running.pid(), Signal::SIGINT).expect("it runs");
        let run = running.finish();
        assert_eq!(run.code, 130);
        assert!(run.failure().ends_with(&format!("{said}Error: interrupted\n")), "{run:#?}");
    }
    let next = Running::kubentra(&env, &env.device_code(&[]));
    next.wait_until_it_says("enter the code");
    // It has found neither a lock nor a failure that is remembered.
    assert!(next.said().starts_with("To sign in"), "{}", next.said());
    next.kill();
}

#[test]
fn ctrl_c_ends_a_request_that_hangs() {
    best_of_three(Duration::from_secs(1), || {
        let env = TestEnv::new();
        env.world.entra.inject(Fault::Slow(Duration::from_secs(30)));
        let running = Running::kubentra(&env, &env.spn(&[]));
        until("the request", || env.world.entra.requests().len() == 1);
        kill(running.pid(), Signal::SIGINT).expect("it runs");
        let (run, time) = timed(|| running.finish());
        assert_eq!((run.code, run.failure()), (130, "Error: interrupted\n"));
        env.run_all(&env.spn(&[])).token();
        time
    });
}

#[test]
fn a_sign_in_ends_with_the_time_that_was_given() {
    for (flag, longer) in [("--timeout", "--timeout"), ("--login-timeout", "--login-timeout")] {
        best_of_three(Duration::from_secs(3), || {
            let env = TestEnv::new();
            let (run, time) = timed(|| env.run_all(&env.device_code(&[flag, "2s"])));
            let end = format!(
                " to authenticate.\nError: nobody finished the sign-in in 2 s; \
                 run the command again, or give a longer {longer}\n"
            );
            assert!(run.code == 1 && run.failure().ends_with(&end), "{run:#?}");
            assert!(time > Duration::from_secs(2), "{time:?}");
            time
        });
    }
}

#[test]
fn a_sign_in_ends_with_its_code() {
    let env = TestEnv::new();
    env.world.entra.code_expires_in(2);
    let run = env.run_all(&env.device_code(&[]));
    let end = " to authenticate.\nError: the code expired before anybody finished the sign-in; run the command again\n";
    assert!(run.code == 1 && run.failure().ends_with(end), "{run:#?}");
}

#[test]
fn after_a_failed_sign_in_nobody_is_asked_for_a_while() {
    let env = TestEnv::new();
    env.world.entra.person(Person::Decline);
    env.run_all(&env.device_code(&[])).failure();
    env.world.entra.clear_log().approve(ALICE);
    let run = env.run_all(&env.device_code(&[]));
    let error = run.failure();
    assert!(error.starts_with("Error: a sign-in failed ") && error.lines().count() == 1, "{error}");
    assert_eq!(grants(&env), Vec::<String>::new());
}

#[test]
fn a_failure_before_the_prompt_is_not_remembered() {
    let env = signed_out();
    env.world.proxy.refuse(true);
    env.run_all(&env.device_code(&[])).failure();
    env.world.proxy.refuse(false);
    let run = env.run_all(&env.device_code(&[]));
    run.token();
    assert_eq!(prompts(&run.stderr), 1, "{run:#?}");
}

/// A world whose user signs in when asked.
fn signed_out() -> TestEnv {
    let env = TestEnv::new();
    env.world.entra.approve(ALICE);
    env
}

/// A device code login started by another program with `first` arguments before ours.
fn through(env: &TestEnv, program: &str, first: &[&str]) -> Command {
    let own = env.device_code(&[]);
    let args: Vec<&str> = first.iter().copied().chain(own.iter().map(String::as_str)).collect();
    env.other(Path::new(program), &args)
}

fn tool(path: &str) -> Option<&str> {
    if Path::new(path).exists() {
        return Some(path);
    }
    missing(path);
    None
}
