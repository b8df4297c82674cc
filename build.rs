//! What `--version` says: the commit, its time (or `SOURCE_DATE_EPOCH`) and the compiler. Never the
//! clock of the build, so the same source gives the same binary. And a warning where the build has lost
//! a setting that cannot be seen in its result.

#![allow(clippy::disallowed_methods, reason = "a build script has no Sys")]

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-env-changed=SOURCE_DATE_EPOCH");
    // Git knows where they are: in a worktree `.git` is a file that points elsewhere.
    for name in ["HEAD", "logs/HEAD"] {
        let path = output("git", &["rev-parse", "--git-path", name]);
        if let Some(path) = path.filter(|path| std::path::Path::new(path).exists()) {
            println!("cargo:rerun-if-changed={path}");
        }
    }
    println!("cargo:rerun-if-changed=build.rs");
    let commit = output("git", &["rev-parse", "HEAD"]).unwrap_or_else(|| "unknown".into());
    println!("cargo:rustc-env=KUBENTRA_COMMIT={commit}");
    let time = std::env::var("SOURCE_DATE_EPOCH").ok().or_else(|| output("git", &["log", "-1", "--format=%ct"]));
    println!("cargo:rustc-env=KUBENTRA_TIME={}", time.unwrap_or_default());
    let rustc = std::env::var("RUSTC").ok().and_then(|rustc| output(&rustc, &["--version"]));
    let version = rustc.and_then(|line| line.split(' ').nth(1).map(String::from));
    println!("cargo:rustc-env=KUBENTRA_RUSTC={}", version.unwrap_or_default());
    check_entropy_setting();
}

/// aws-lc reads this variable when it is built. `.cargo/config.toml` sets it for builds in this
/// directory, but not with `--manifest-path` from elsewhere, nor for a packager who leaves that file
/// out, and nothing else would tell.
fn check_entropy_setting() {
    let name = "AWS_LC_SYS_NO_JITTER_ENTROPY";
    println!("cargo:rerun-if-env-changed={name}");
    let is = |name: &str, value: &str| std::env::var(name).as_deref() == Ok(value);
    if is("PROFILE", "release") && !is(name, "1") {
        println!("cargo:warning={name} is not 1: each cold start will take 33 ms longer (README, Install)");
    }
}

fn output(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}
