//! What a call of `get-token` costs, beside an empty process: `cargo bench`.
//!
//! Everything is measured in one run with interleaved calls, because machines drift; read the
//! ratios, not the microseconds. Further builds of the program are measured beside the one under
//! test when `KUBENTRA_BENCH_ALSO` names them (`label=path`, separated by commas); `benches/run.sh`
//! does that for the static build.

#![allow(clippy::print_stdout, clippy::expect_used, reason = "a benchmark prints, and gives up loudly")]
#![allow(clippy::disallowed_methods, reason = "it starts programs and keeps time")]

#[path = "../tests/it/support/mod.rs"]
#[allow(clippy::pedantic, reason = "the fakes of the test suite")]
mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use support::certificates::{Kind, pem_file};
use support::entra::Claims;
use support::entra::directory::{AKS_SERVER, APP, APP_SECRET, TENANT};
use support::{World, hosts};

const ROUNDS: usize = 1000;
const PARALLEL: usize = 30;

fn main() {
    if let Some(command) = rss_probe() {
        print_peak_rss(&command);
        return;
    }
    let directory = tempfile::tempdir().expect("a temporary directory");
    let bench = Bench { world: World::start(directory.path()), directory: directory.path() };
    let programs = bench.programs();
    bench.print_warm(&programs);
    for program in programs.iter().filter(|program| program.is_kubentra) {
        bench.print_requests(program);
        bench.print_methods(program);
    }
}

/// A program to measure, with its arguments.
struct Program {
    label: String,
    path: PathBuf,
    is_kubentra: bool,
}

/// A way to sign in without a person.
struct LoginWay {
    label: &'static str,
    login: &'static str,
    arguments: Vec<String>,
    variables: Vec<(&'static str, String)>,
}

/// For whom a federated token is, in the public cloud.
const AUDIENCE: &str = "api://AzureADTokenExchange";

struct Bench<'a> {
    world: World,
    directory: &'a Path,
}

impl Bench<'_> {
    fn programs(&self) -> Vec<Program> {
        let other = |label: &str, path: PathBuf| Program { label: label.into(), path, is_kubentra: false };
        let mut programs = vec![other("/bin/true", "/bin/true".into())];
        programs.extend(self.empty_program().map(|path| other("empty Rust program", path)));
        programs.push(Program {
            label: "kubentra".into(),
            path: env!("CARGO_BIN_EXE_kubentra").into(),
            is_kubentra: true,
        });
        let also = std::env::var("KUBENTRA_BENCH_ALSO").unwrap_or_default();
        programs.extend(also.split(',').filter_map(|entry| entry.split_once('=')).map(|(label, path)| Program {
            label: format!("kubentra, {label}"),
            path: path.into(),
            is_kubentra: true,
        }));
        programs
    }

    /// `fn main() {}`, built as the program under test is: dynamically linked, optimised.
    fn empty_program(&self) -> Option<PathBuf> {
        let (source, program) = (self.directory.join("empty.rs"), self.directory.join("empty"));
        std::fs::write(&source, "fn main() {}\n").ok()?;
        let built = Command::new("rustc").arg("-O").arg(&source).arg("-o").arg(&program).status().ok()?;
        built.success().then_some(program)
    }

    fn print_warm(&self, programs: &[Program]) {
        for program in programs.iter().filter(|program| program.is_kubentra) {
            assert!(self.command(program, "warm").status().expect("it starts").success(), "the first call signs in");
        }
        self.world.entra.clear_log();
        let times = self.interleaved(programs);
        assert!(self.world.entra.requests().is_empty(), "a warm call makes no request");
        println!("\nwarm get-token, {ROUNDS} interleaved calls each\n");
        println!(
            "{:<24} {:>9} {:>9} {:>9} {:>12} {:>10} {:>14}",
            "", "p50 µs", "min µs", "p95 µs", "× /bin/true", "RSS KiB", "instructions"
        );
        let base = median(&times[0]);
        for (program, times) in programs.iter().zip(&times) {
            self.print_row(program, times, base);
        }
    }

    fn print_row(&self, program: &Program, times: &[Duration], base: Duration) {
        println!(
            "{:<24} {:>9} {:>9} {:>9} {:>12.2} {:>10} {:>14}",
            program.label,
            median(times).as_micros(),
            times[0].as_micros(),
            times[times.len() * 95 / 100].as_micros(),
            median(times).as_secs_f64() / base.as_secs_f64(),
            self.peak_rss(program),
            self.instructions(program).unwrap_or_else(|| "no valgrind".into()),
        );
    }

    /// Sorted times of each program, taken in turn.
    fn interleaved(&self, programs: &[Program]) -> Vec<Vec<Duration>> {
        let mut times = vec![Vec::with_capacity(ROUNDS); programs.len()];
        for _ in 0..ROUNDS {
            for (program, times) in programs.iter().zip(&mut times) {
                let mut command = self.command(program, "warm");
                let start = Instant::now();
                let status = command.status().expect("it starts");
                times.push(start.elapsed());
                assert!(status.success(), "{} fails", program.label);
            }
        }
        for times in &mut times {
            times.sort();
        }
        times
    }

    /// A fresh process of ours runs the program, so that its children's peak is that program's.
    fn peak_rss(&self, program: &Program) -> String {
        let target = self.command(program, "warm");
        let mut probe = Command::new(std::env::current_exe().expect("our own path"));
        probe.arg("--peak-rss-of").arg(target.get_program()).args(target.get_args()).env_clear();
        probe.envs(target.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let output = probe.output().expect("the probe starts");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn instructions(&self, program: &Program) -> Option<String> {
        let target = self.command(program, "warm");
        let mut valgrind = Command::new("valgrind");
        valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
        valgrind.arg(target.get_program()).args(target.get_args()).env_clear();
        valgrind.envs(target.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let output = valgrind.output().ok()?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        Some(text.lines().find_map(|line| line.split_once("Collected : "))?.1.trim().to_owned())
    }

    fn print_requests(&self, program: &Program) {
        let entra = &self.world.entra;
        entra.clear_log();
        let before = entra.connections();
        assert!(self.command(program, "cold").status().expect("it starts").success());
        println!(
            "\n{}: a cold spn login makes {} request(s) on {} connection(s)",
            program.label,
            entra.requests().len(),
            entra.connections() - before
        );
        entra.clear_log();
        let start = Instant::now();
        let cold = format!("cold-parallel-{}", program.path.display().to_string().replace('/', "_"));
        let children: Vec<_> =
            (0..PARALLEL).map(|_| self.command(program, &cold).spawn().expect("it starts")).collect();
        for mut child in children {
            assert!(child.wait().expect("it ends").success());
        }
        println!(
            "{}: {PARALLEL} parallel cold calls make {} request(s), {} ms in all",
            program.label,
            entra.requests().len(),
            start.elapsed().as_millis()
        );
        std::fs::remove_dir_all(self.directory.join("cold")).expect("the cold cache");
    }

    /// What each way without a person asks of Entra and of the host that it runs on.
    fn print_methods(&self, program: &Program) {
        println!("\n{:<44} {:>14} {:>14} {:>9}", "requests of a login", "cold", "warm", "cold ms");
        for way in self.ways() {
            let cold = self.requests_of(program, &way);
            let warm = self.requests_of(program, &way);
            let shown = |(entra, hosts, _): (usize, usize, Duration)| format!("{} ({entra}+{hosts})", entra + hosts);
            println!("{:<44} {:>14} {:>14} {:>9}", way.label, shown(cold), shown(warm), cold.2.as_millis());
        }
        println!("(Entra + host); {}", program.label);
        std::fs::remove_dir_all(self.directory.join("ways")).expect("the caches");
    }

    fn requests_of(&self, program: &Program, way: &LoginWay) -> (usize, usize, Duration) {
        self.world.entra.clear_log();
        self.world.hosts.clear_log();
        let mut command = Command::new(&program.path);
        command.env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.args(["get-token", "--login", way.login, "--server-id", AKS_SERVER]).args(&way.arguments);
        command.arg("--cache-dir").arg(self.directory.join("ways").join(way.label.replace(' ', "-")));
        command.env("HTTPS_PROXY", self.world.proxy.url()).env("SSL_CERT_FILE", self.world.ca_file());
        command.envs(way.variables.iter().map(|(name, value)| (name, value)));
        let start = Instant::now();
        assert!(command.status().expect("it starts").success(), "{} fails", way.label);
        (self.world.entra.requests().len(), self.world.hosts.requests().len(), start.elapsed())
    }

    /// The ways, with what each needs registered and written.
    fn ways(&self) -> Vec<LoginWay> {
        let (issuer, subject, audience) = ("https://issuer.example", "system:serviceaccount:a:b", AUDIENCE);
        let (entra, hosts) = (&self.world.entra, &self.world.hosts);
        let certificate = pem_file("bench", Kind::SelfSigned);
        entra.certificate(certificate.as_bytes());
        for host in [hosts::Host::GitHub, hosts::Host::Pipelines] {
            hosts.assertions(host, issuer, subject, Some(audience));
        }
        entra.federate(issuer, subject, audience);
        let assertion = entra.issuer().mint(&Claims { issuer, subject, audience, lifetime: 3600 });
        let file = |name: &str, content: &str| {
            let path = self.directory.join(name);
            std::fs::write(&path, content).expect("a file");
            path.display().to_string()
        };
        let app = || vec!["--client-id".into(), APP.into(), "--tenant-id".into(), TENANT.into()];
        let with = |name: &str, value: String| [app(), vec![name.into(), value]].concat();
        let secret = ("AZURE_CLIENT_SECRET", APP_SECRET.to_owned());
        let way = |label, login, arguments, variables: Vec<(&'static str, String)>| LoginWay {
            label,
            login,
            arguments,
            variables,
        };
        vec![
            way("spn, secret", "spn", app(), vec![secret]),
            way("spn, certificate", "spn", with("--client-certificate", file("bench.pem", &certificate)), vec![]),
            way("msi, IMDS", "msi", vec![], vec![("AZURE_POD_IDENTITY_AUTHORITY_HOST", hosts.base())]),
            way(
                "workloadidentity, file",
                "workloadidentity",
                with("--federated-token-file", file("jwt", &assertion)),
                vec![],
            ),
            way(
                "workloadidentity, GitHub",
                "workloadidentity",
                app(),
                vec![
                    ("ACTIONS_ID_TOKEN_REQUEST_URL", hosts.secure_url(&format!("{}?existing=1", hosts::GITHUB))),
                    ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", hosts::GITHUB_TOKEN.into()),
                ],
            ),
            way(
                "azurepipelines",
                "azurepipelines",
                vec![],
                vec![
                    ("AZURESUBSCRIPTION_CLIENT_ID", APP.into()),
                    ("AZURESUBSCRIPTION_TENANT_ID", TENANT.into()),
                    ("AZURESUBSCRIPTION_SERVICE_CONNECTION_ID", hosts::SERVICE_CONNECTION.into()),
                    ("SYSTEM_OIDCREQUESTURI", hosts.secure_url(hosts::PIPELINES)),
                    ("SYSTEM_ACCESSTOKEN", hosts::PIPELINES_TOKEN.into()),
                ],
            ),
        ]
    }

    /// The program in the fake world, with a cache of its own.
    fn command(&self, program: &Program, cache: &str) -> Command {
        let mut command = Command::new(&program.path);
        command.env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit());
        if program.is_kubentra {
            command.args([
                "get-token",
                "--login",
                "spn",
                "--server-id",
                AKS_SERVER,
                "--client-id",
                APP,
                "--tenant-id",
                TENANT,
            ]);
            command.arg("--cache-dir").arg(self.directory.join(cache));
            command.env("AZURE_CLIENT_SECRET", APP_SECRET).env("HTTPS_PROXY", self.world.proxy.url());
            command.env("SSL_CERT_FILE", self.world.ca_file());
        }
        command
    }
}

fn median(sorted: &[Duration]) -> Duration {
    sorted[sorted.len() / 2]
}

fn rss_probe() -> Option<Vec<std::ffi::OsString>> {
    let mut args = std::env::args_os().skip(1);
    (args.next()? == "--peak-rss-of").then(|| args.collect())
}

/// Runs `command` and prints the peak resident memory of this process's children, in KiB.
#[cfg(unix)]
fn print_peak_rss(command: &[std::ffi::OsString]) {
    use nix::sys::resource::{UsageWho, getrusage};
    let status = Command::new(&command[0]).args(&command[1..]).stdout(Stdio::null()).status().expect("it starts");
    assert!(status.success());
    println!("{}", getrusage(UsageWho::RUSAGE_CHILDREN).expect("usage").max_rss());
}

#[cfg(not(unix))]
fn print_peak_rss(_: &[std::ffi::OsString]) {
    println!("-");
}
