//! What `convert-kubeconfig` costs on large files, beside a bare parse: `cargo bench --bench convert`.
//!
//! Everything is measured as whole processes and in turn, because machines drift; read the ratios,
//! not the milliseconds. Where others use the machine too, the time on the processor says more than
//! the time on the clock, but the targets are for the latter. The bare parse is a process of this benchmark that reads the file and walks
//! over the events of the same parser. A conversion ends with an fsync, which a slow disk makes the
//! most of; where the machine has a file system in memory the same is measured there too.

#![allow(clippy::print_stdout, clippy::expect_used, reason = "a benchmark prints, and gives up loudly")]
#![allow(clippy::disallowed_methods, reason = "it starts programs and keeps time")]

use std::ffi::OsString;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use kubentra::internal::{Change, KubeconfigFile, Section, Value, edited};

const SIZES: [usize; 4] = [500, 1000, 2000, 4000];
const ROUNDS: usize = 15;

/// The targets: times a bare parse, growth from the smallest file to any other, times the file, and
/// the time for 2,000 contexts.
const CONVERSION: f64 = 2.5;
const CONVERSION_ON_DISK: f64 = 3.0;
const NOTHING: f64 = 1.2;
const ONE_CLUSTER: f64 = 1.5;
const GROWTH: f64 = 1.15;
const MEMORY: f64 = 6.0;
const GOAL: (usize, f64) = (2000, 120.0);

fn main() {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    match args.first().and_then(|first| first.to_str()) {
        Some("--parse") => parse(Path::new(&args[1])),
        Some("--add-cluster") => add_cluster(Path::new(&args[1])),
        Some("--peak-rss-of") => print_peak_rss(&args[1..]),
        _ => measure_everywhere(),
    }
}

/// The bare parse: nothing but the events, with the options of `src/yaml/parse.rs`.
fn parse(file: &Path) {
    let text = std::fs::read_to_string(file).expect("the file");
    let mut options = granit_parser::options! {};
    options.set_emit_comments(false);
    let events = granit_parser::Parser::new_from_str_with_options(&text, options);
    events.for_each(|event| drop(event.expect("an event")));
}

/// One cluster more in the file, with all that a command does about it but its lock and `fsync`.
fn add_cluster(file: &Path) {
    let text = std::fs::read_to_string(file).expect("the file");
    let files = [KubeconfigFile::new(file.to_owned(), text).expect("a kubeconfig")];
    let cluster = Value::map([("server", Value::text("https://new.hcp.westeurope.azmk8s.io:443"))]);
    let changes = edited(&files, vec![Change::Set(Section::Clusters, "new".into(), cluster)]).expect("an edit");
    std::fs::write(file, &changes.first().expect("a change").edited.text).expect("the new file");
}

fn measure_everywhere() {
    let usual = tempfile::tempdir().expect("a temporary directory");
    measure(usual.path(), CONVERSION_ON_DISK);
    if let Ok(memory) = tempfile::tempdir_in("/dev/shm") {
        measure(memory.path(), CONVERSION);
    }
}

fn measure(directory: &Path, target: f64) {
    println!("\nconvert-kubeconfig -l azurecli on {}, {ROUNDS} rounds in turn", file_system(directory));
    println!(
        "\n{:>8} {:>6} {:<11} {:>7} {:>7} {:>7} {:>11} {:>9} {:>17} {:>17}",
        "contexts", "MB", "", "p50 ms", "min ms", "cpu ms", "× parse", "cpu", "ms/1000 contexts", "peak RSS"
    );
    let mut first: Option<Row> = None;
    for contexts in SIZES {
        let row = Row::measure(&File::new(directory, contexts));
        row.print(first.as_ref().unwrap_or(&row), target);
        first.get_or_insert(row);
    }
}

/// A kubeconfig before and after its conversion.
struct File {
    contexts: usize,
    home: PathBuf,
    before: String,
    after: String,
}

/// What was measured on one file.
struct Row {
    contexts: usize,
    bytes: usize,
    parse: Times,
    conversion: Times,
    nothing: Times,
    one: Times,
    rss: Option<f64>,
}

/// How long each run of a program took, on the clock and on the processor.
#[derive(Default)]
struct Times {
    clock: Vec<Duration>,
    processor: Vec<Duration>,
}

impl File {
    fn new(directory: &Path, contexts: usize) -> File {
        let before = kubeconfig(contexts);
        let mut file = File { contexts, home: directory.join("home"), before, after: String::new() };
        file.put(&file.before);
        file.time(file.program(), &mut Times::default());
        file.after = std::fs::read_to_string(file.path()).expect("the converted file");
        assert!(file.after.matches("- azurecli\n").count() == contexts / 5 * 3, "every exec entry is converted");
        file
    }

    fn path(&self) -> PathBuf {
        self.home.join(".kube").join("config")
    }

    /// A home with nothing but this kubeconfig, all of it on the disk.
    fn put(&self, text: &str) {
        if self.home.exists() {
            std::fs::remove_dir_all(&self.home).expect("the old home goes");
        }
        std::fs::create_dir_all(self.home.join(".kube")).expect("a home");
        std::fs::write(self.path(), text).expect("a kubeconfig");
        std::fs::File::open(self.path()).and_then(|file| file.sync_all()).expect("a kubeconfig on the disk");
    }

    fn program(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kubentra"));
        command.args(["convert-kubeconfig", "-l", "azurecli"]).env_clear().env("HOME", &self.home);
        command
    }

    fn parser(&self) -> Command {
        let mut command = Command::new(std::env::current_exe().expect("our own path"));
        command.arg("--parse").arg(self.path()).env_clear();
        command
    }

    fn adder(&self) -> Command {
        let mut command = Command::new(std::env::current_exe().expect("our own path"));
        command.arg("--add-cluster").arg(self.path()).env_clear();
        command
    }

    fn time(&self, mut command: Command, times: &mut Times) {
        command.stdin(Stdio::null());
        let (start, before) = (Instant::now(), children_time());
        let output = command.output().expect("it starts");
        times.clock.push(start.elapsed());
        times.processor.push(children_time().saturating_sub(before));
        assert!(output.status.success(), "{}: {}", self.contexts, String::from_utf8_lossy(&output.stderr));
    }

    fn converted(&self) -> bool {
        std::fs::read_to_string(self.path()).expect("the kubeconfig") == self.after
    }
}

impl Row {
    fn measure(file: &File) -> Row {
        let (contexts, bytes) = (file.contexts, file.before.len());
        let [parse, conversion, nothing, one] = [(); 4].map(|()| Times::default());
        let mut row = Row { contexts, bytes, parse, conversion, nothing, one, rss: None };
        for _ in 0..ROUNDS {
            file.put(&file.before);
            file.time(file.parser(), &mut row.parse);
            file.time(file.program(), &mut row.conversion);
            assert!(file.converted(), "the same every time");
            file.time(file.program(), &mut row.nothing);
            assert!(file.converted(), "nothing is left to do");
            file.time(file.adder(), &mut row.one);
        }
        file.put(&file.before);
        row.rss = peak_rss(&file.program());
        row
    }

    fn print(&self, first: &Row, target: f64) {
        let rss = self.rss.map(|bytes| {
            let times = bytes / self.bytes_as_f64();
            format!("{times:.1} × file {}", mark(times <= MEMORY))
        });
        self.print_line("bare parse", &self.parse, None, "", "");
        let linear = |of: fn(&Row) -> &Times| {
            let (own, least) = (self.per_thousand(of(self)), first.per_thousand(of(first)));
            format!("{own:.1} {}", mark(own <= least * GROWTH))
        };
        let conversion = linear(|row| &row.conversion);
        self.print_line("conversion", &self.conversion, Some(target), &conversion, &rss.unwrap_or_default());
        self.print_line("nothing", &self.nothing, Some(NOTHING), &linear(|row| &row.nothing), "");
        self.print_line("one cluster", &self.one, Some(ONE_CLUSTER), "", "");
        if self.contexts == GOAL.0 {
            let time = milliseconds(median(&self.conversion.clock));
            println!("{:>18} the goal for {} contexts: {:.0} ms {}", "", GOAL.0, GOAL.1, mark(time <= GOAL.1));
        }
    }

    fn print_line(&self, label: &str, times: &Times, target: Option<f64>, growth: &str, rss: &str) {
        let ratio = |own: &[Duration], parse: &[Duration]| median(own).as_secs_f64() / median(parse).as_secs_f64();
        let clock = ratio(&times.clock, &self.parse.clock);
        let against = target.map(|target| format!("{clock:.2} {}", mark(clock <= target)));
        let processor = target.map(|_| format!("{:.2}", ratio(&times.processor, &self.parse.processor)));
        println!(
            "{:>8} {:>6.1} {:<11} {:>7.1} {:>7.1} {:>7.1} {:>11} {:>9} {:>17} {:>17}",
            self.contexts,
            self.bytes_as_f64() / 1e6,
            label,
            milliseconds(median(&times.clock)),
            milliseconds(*times.clock.iter().min().expect("a round")),
            milliseconds(median(&times.processor)),
            against.unwrap_or_default(),
            processor.unwrap_or_default(),
            growth,
            rss
        );
    }

    fn per_thousand(&self, times: &Times) -> f64 {
        milliseconds(median(&times.clock)) * 1000.0 / f64::from(u32::try_from(self.contexts).expect("a small number"))
    }

    fn bytes_as_f64(&self) -> f64 {
        f64::from(u32::try_from(self.bytes).expect("some megabytes"))
    }
}

fn mark(met: bool) -> &'static str {
    if met { "ok" } else { "MISSED" }
}

fn median(times: &[Duration]) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort();
    sorted[sorted.len() / 2]
}

/// The time that the children of this process have been on the processor.
#[cfg(unix)]
fn children_time() -> Duration {
    use nix::sys::resource::{UsageWho, getrusage};
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("usage");
    let duration = |time: nix::sys::time::TimeVal| {
        let micros = u32::try_from(time.tv_usec()).expect("less than a second");
        Duration::new(u64::try_from(time.tv_sec()).expect("forwards"), micros * 1000)
    };
    duration(usage.user_time()) + duration(usage.system_time())
}

#[cfg(not(unix))]
fn children_time() -> Duration {
    Duration::ZERO
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// The type of the file system, as `stat` names it.
fn file_system(directory: &Path) -> String {
    let output = Command::new("stat").args(["-f", "-c", "%T"]).arg(directory).output();
    let name = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    name.ok().filter(|name| !name.is_empty()).unwrap_or_else(|| "an unknown file system".into())
}

/// A fresh process of ours runs the program, so that its children's peak is that program's.
fn peak_rss(target: &Command) -> Option<f64> {
    let mut probe = Command::new(std::env::current_exe().expect("our own path"));
    probe.arg("--peak-rss-of").arg(target.get_program()).args(target.get_args()).env_clear();
    probe.envs(target.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = probe.output().expect("the probe starts");
    let kib = String::from_utf8_lossy(&output.stdout).trim().parse::<f64>();
    kib.ok().map(|kib| kib * 1024.0)
}

/// Runs `command` and prints the peak resident memory of this process's children, in KiB.
#[cfg(unix)]
fn print_peak_rss(command: &[OsString]) {
    use nix::sys::resource::{UsageWho, getrusage};
    let status = Command::new(&command[0]).args(&command[1..]).stdout(Stdio::null()).status().expect("it starts");
    assert!(status.success());
    println!("{}", getrusage(UsageWho::RUSAGE_CHILDREN).expect("usage").max_rss());
}

#[cfg(not(unix))]
fn print_peak_rss(_: &[OsString]) {
    println!("-");
}

/// A kubeconfig as `az aks get-credentials` merges them, about 5 KB a context: of five users three
/// sign in with Entra and two, fetched with `--admin`, with a certificate and a token.
fn kubeconfig(contexts: usize) -> String {
    let mut random = Random(1);
    let mut text = String::from("apiVersion: v1\nclusters:\n");
    for index in 0..contexts {
        let (data, id) = (random.base64(2300), random.hex(8));
        let server = format!("https://team-{index}-dns-{id}.hcp.westeurope.azmk8s.io:443");
        let data = format!("- cluster:\n    certificate-authority-data: {data}\n");
        let _ = write!(text, "{data}    server: {server}\n  name: {}\n", cluster(index));
    }
    text.push_str("contexts:\n");
    for index in 0..contexts {
        let (cluster, user) = (cluster(index), user(index));
        let _ = write!(text, "- context:\n    cluster: {cluster}\n    user: {user}\n  name: {cluster}\n");
    }
    text.push_str("current-context: cluster-0\nkind: Config\npreferences: {}\nusers:\n");
    for index in 0..contexts {
        let _ = write!(text, "- name: {}\n  user:\n", user(index));
        text.push_str(&if index % 5 < 3 { entra(&mut random) } else { admin(&mut random) });
    }
    text
}

fn cluster(index: usize) -> String {
    if index % 5 < 3 { format!("cluster-{index}") } else { format!("cluster-{index}-admin") }
}

fn user(index: usize) -> String {
    let role = if index % 5 < 3 { "clusterUser" } else { "clusterAdmin" };
    format!("{role}_rg-team-{index}_cluster-{index}")
}

fn entra(random: &mut Random) -> String {
    let tenant = [8, 4, 4, 4, 12].map(|digits| random.hex(digits)).join("-");
    format!(
        "    exec:
      apiVersion: client.authentication.k8s.io/v1beta1
      args:
      - get-token
      - --environment
      - AzurePublicCloud
      - --server-id
      - 6dae42f8-4368-4678-94ff-3960e28e3630
      - --client-id
      - 80faf920-1908-4b52-b5ef-a8e7bedfc67a
      - --tenant-id
      - {tenant}
      - --login
      - devicecode
      command: kubelogin
      env: null
      installHint: |2

        kubelogin is not installed which is required to connect to AAD enabled cluster.

        To learn more, please go to https://aka.ms/aks/kubelogin
      provideClusterInfo: false
"
    )
}

fn admin(random: &mut Random) -> String {
    let (certificate, key, token) = (random.base64(2268), random.base64(3268), random.hex(128));
    format!("    client-certificate-data: {certificate}\n    client-key-data: {key}\n    token: {token}\n")
}

/// A small generator, so that every run has the same files.
struct Random(u64);

impl Random {
    fn letters(&mut self, alphabet: &str, length: usize) -> String {
        let alphabet: Vec<char> = alphabet.chars().collect();
        let mut letter = || {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            alphabet[usize::try_from(self.0 >> 33).expect("31 bits") % alphabet.len()]
        };
        (0..length).map(|_| letter()).collect()
    }

    fn base64(&mut self, length: usize) -> String {
        self.letters("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", length)
    }

    fn hex(&mut self, length: usize) -> String {
        self.letters("0123456789abcdef", length)
    }
}
