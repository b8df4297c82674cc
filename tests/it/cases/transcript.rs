//! What a case does and what came of it, as text: after each command its exit code, its output
//! and its requests; at the end the caches, the journals and the files that are not what they were.

use serde_json::Value;
use std::fmt::Write;
use std::path::Path;

use super::mask::mask;
use super::script::{Kind, Line, Script};
use super::stage::{Entry, Stage};
use crate::env::Run;
use crate::support::entra::Recorded;

/// A case that has been played.
pub struct Played {
    pub text: String,
    pub runs: Vec<Ran>,
    /// Texts that no output may hold, tokens apart.
    pub secrets: Vec<String>,
    /// The keys that tokens were to be bound to, as they were named, in the order of their first use.
    keys: Vec<String>,
}

/// One command of it.
pub struct Ran {
    pub command: String,
    pub run: Run,
    /// stdout as it stands in the transcript.
    pub shown: String,
}

/// Values of the forms that are nobody's business; the first is shown by its placeholder.
const SECRET_FIELDS: [&str; 6] =
    ["client_secret", "client_assertion", "device_code", "code", "refresh_token", "password"];

/// Plays `script` in a fresh world.
pub fn play(script: &Script, case: &Path) -> Result<Played, String> {
    let mut stage = Stage::set(script, case)?;
    let mut played = Played { text: String::new(), runs: Vec::new(), secrets: Vec::new(), keys: Vec::new() };
    for line in &script.lines {
        match line.kind {
            Kind::Directive => {
                stage.direct(line)?;
                played.write(format_args!("{}\n", line.text));
            }
            Kind::Command => played.command(&mut stage, line),
        }
    }
    played.ending(&stage);
    played.secrets.extend(stage.all_secrets());
    Ok(played)
}

impl Played {
    fn write(&mut self, text: std::fmt::Arguments<'_>) {
        self.text.write_fmt(text).expect("a string takes everything");
    }

    fn command(&mut self, stage: &mut Stage, line: &Line) {
        for word in &line.words {
            stage.note_secrets(word);
        }
        let run = run(stage, line);
        let (stdout, stderr) = (mask(&run.stdout, stage), mask(&run.stderr, stage));
        self.write(format_args!("$ {}\nexit {}\n", line.text, run.code));
        self.block("stdout", &stdout);
        self.block("stderr", &stderr);
        let requests = stage.env.world.entra.requests();
        stage.env.world.entra.clear_log();
        if !requests.is_empty() {
            self.write(format_args!("requests:\n"));
        }
        for request in &requests {
            self.request(stage, request);
        }
        self.host_requests(stage);
        self.runs.push(Ran { command: line.text.clone(), run, shown: stdout });
    }

    fn block(&mut self, name: &str, text: &str) {
        if !text.is_empty() {
            let end = if text.ends_with('\n') { "" } else { "\n(no newline at the end)\n" };
            self.write(format_args!("{name}:\n{text}{end}"));
        }
    }

    fn request(&mut self, stage: &Stage, request: &Recorded) {
        let line = mask(&request.line(), stage);
        let line = line.strip_suffix(" -> 0").map_or(line.clone(), |rest| format!("{rest} -> connection closed"));
        self.write(format_args!("{line}\n"));
        for (name, value) in &request.form {
            let secret = SECRET_FIELDS.contains(&name.as_str());
            if secret {
                self.secrets.push(value.clone());
            }
            let shown = match request.assertion().filter(|_| name == "client_assertion") {
                Some((header, claims)) => mask(&assertion(&header, &claims), stage),
                None if name == "req_cnf" => self.key(value),
                None => mask(value, stage),
            };
            let shown = if secret && !shown.starts_with('{') { "***" } else { &shown };
            self.write(format_args!("  {name}={shown}\n"));
        }
    }

    /// `{key 1}` for the first key that was named, and so on.
    fn key(&mut self, req_cnf: &str) -> String {
        let known = self.keys.iter().position(|known| known == req_cnf).unwrap_or_else(|| {
            self.keys.push(req_cnf.to_owned());
            self.keys.len() - 1
        });
        format!("{{key {}}}", known + 1)
    }

    /// What the hosts and the token proxy were asked; the same request again is counted.
    fn host_requests(&mut self, stage: &Stage) {
        let (hosts, proxy) = (&stage.env.world.hosts, &stage.env.world.token_proxy);
        let of_hosts = hosts.requests().into_iter().map(|request| {
            let form = request.form.iter().map(|(name, value)| format!("\n  {name}={value}"));
            format!("{}{}", request.line(), form.collect::<String>())
        });
        let of_proxy = proxy.requests().into_iter().map(|request| {
            let mark = if request.query.is_empty() { "" } else { "?" };
            format!("token-proxy {} {}{mark}{} -> {}", request.method, request.path, request.query, request.status)
        });
        // The version of an interface is a date that matters.
        let masked = |line: String| {
            let line = line.replace("api-version=", "api-version=v");
            mask(&line, stage).replace("api-version=v", "api-version=")
        };
        let lines: Vec<String> = of_hosts.chain(of_proxy).map(masked).collect();
        hosts.clear_log();
        proxy.clear_log();
        if !lines.is_empty() {
            self.write(format_args!("asked of hosts:\n"));
        }
        for same in lines.chunk_by(|one, next| one == next) {
            let times = if same.len() > 1 { format!(" ({} times)", same.len()) } else { String::new() };
            let line = same[0].replace(" -> 0", " -> connection closed");
            self.write(format_args!("{line}{times}\n"));
        }
    }

    fn ending(&mut self, stage: &Stage) {
        for (directory, kinds) in stage.caches() {
            let kinds = kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect::<Vec<_>>().join(", ");
            self.write(format_args!("cache {}: {kinds}\n", directory.display()));
        }
        for (directory, count) in stage.journals() {
            let edits = if count == 1 { "edit" } else { "edits" };
            self.write(format_args!("journal {}: {count} {edits}\n", directory.display()));
        }
        for (path, entry) in stage.changes() {
            let path = path.display();
            match entry {
                None => self.write(format_args!("file {path} is gone\n")),
                Some(Entry::Link(target)) => {
                    let target = mask(&target.display().to_string(), stage);
                    self.write(format_args!("file {path} is a link to {target}\n"));
                }
                Some(Entry::File { mode, content }) => {
                    let mode = if mode == 0o600 { String::new() } else { format!(" (mode {mode:04o})") };
                    self.block(&format!("file {path}{mode}"), &mask(&String::from_utf8_lossy(&content), stage));
                }
            }
        }
    }
}

/// What an assertion says, without the assertion.
fn assertion(header: &Value, claims: &Value) -> String {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let names = ["x5t", "x5t#S256", "x5c"].into_iter().filter(|name| !header[name].is_null());
    let names: String = names.map(|name| format!(" {name}")).collect();
    let [iss, sub, aud] = ["iss", "sub", "aud"].map(|name| text(&claims[name]));
    format!("{{{}{names}; iss {iss}; sub {sub}; aud {aud}}}", text(&header["alg"]))
}

/// Without a controlling terminal, as in a pipeline, and not for ever.
fn run(stage: &Stage, line: &Line) -> Run {
    let words: Vec<String> = line.words.iter().map(|word| stage.fill(word)).collect();
    let program = stage.env.dir().join("bin").join(&words[0]).display().to_string();
    let shell = format!("exec \"$@\" {}", stage.stderr);
    let mut args = vec!["--wait", "timeout", "60"];
    if !stage.stderr.is_empty() {
        args.extend(["sh", "-c", &shell, "sh"]);
    }
    args.push(&program);
    args.extend(words[1..].iter().map(String::as_str));
    Run::of(stage.env.other(Path::new("setsid"), &args).current_dir(&stage.directory))
}
