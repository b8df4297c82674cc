//! The world that a case is played in: placeholders, the files of the home directory, and the
//! directives that change them.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::script::{Line, Script, variable};
use super::{entra, hosts, proof};
use crate::env::TestEnv;
use crate::support::entra::directory::{
    AKS_CLIENT, AKS_SERVER, APP, APP_EXPIRED_SECRET, APP_SECRET, OTHER_TENANT, TENANT,
};
use crate::support::hosts as places;
use crate::support::token_proxy::SNI_NAME;

/// A [`TestEnv`] with a case's files in it, and what is known about them.
pub struct Stage {
    pub env: TestEnv,
    /// Placeholder and text, longest text first.
    pub placeholders: Vec<(String, String)>,
    /// The home directory as the script knows it.
    known: BTreeMap<PathBuf, Entry>,
    /// Texts that must never be shown.
    pub secrets: Vec<String>,
    /// What a shell does with stderr; nothing, if it is empty.
    pub stderr: &'static str,
    /// Where commands run.
    pub directory: PathBuf,
    /// Files that somebody else has locked.
    held: Vec<fs::File>,
}

/// What lies at a path.
#[derive(Clone, PartialEq, Eq)]
pub enum Entry {
    File { mode: u32, content: Vec<u8> },
    Link(PathBuf),
}

impl Stage {
    pub fn set(script: &Script, case: &Path) -> Result<Self, String> {
        let env = TestEnv::new();
        let placeholders = placeholders(&env);
        let directory = env.home();
        let (known, secrets, held) = (BTreeMap::new(), Vec::new(), Vec::new());
        let mut stage = Self { env, placeholders, known, secrets, stderr: "", directory, held };
        stage.copy_home(&home_of(case)?.join("home"), Path::new(""));
        for (name, value) in &script.env {
            let value = stage.fill(value);
            stage.note_secrets(&value);
            stage.env.set(name, value);
        }
        stage.known = entries(&stage.env.home());
        Ok(stage)
    }

    /// Puts the real texts in the place of placeholders.
    pub fn fill(&self, text: &str) -> String {
        self.placeholders.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value))
    }

    /// Carries out a directive.
    pub fn direct(&mut self, line: &Line) -> Result<(), String> {
        let words: Vec<String> = line.words.iter().map(|word| self.fill(word)).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        if let Some(done) = proof::direct(self, &words) {
            return done;
        }
        match words.as_slice() {
            ["env", pair] => {
                let (name, value) = variable(pair)?;
                self.note_secrets(&value);
                self.env.set(&name, value);
            }
            ["unset", name] => _ = self.env.unset(name),
            ["cd", name] => self.directory = self.env.home().join(name),
            ["hold", name] => {
                let file = fs::File::open(self.env.home().join(name)).and_then(|file| file.lock().map(|()| file));
                self.held.push(file.map_err(|error| format!("{}: {error}", line.text))?);
            }
            ["release"] => self.held.clear(),
            ["stderr", "shown"] => self.stderr = "",
            ["stderr", "null"] => self.stderr = "2>/dev/null",
            ["stderr", "closed"] => self.stderr = "2>&-",
            ["entra", rest @ ..] => entra::direct(&self.env.world.entra, rest)?,
            ["hosts", rest @ ..] => hosts::direct(&self.env.world.hosts, rest)?,
            ["wait", seconds] => {
                std::thread::sleep(std::time::Duration::from_secs_f32(seconds.parse().map_err(|_| line.text.clone())?));
            }
            _ => return self.touch(&words, &line.text),
        }
        Ok(())
    }

    /// The directives about files; what they change is known from then on.
    fn touch(&mut self, words: &[&str], text: &str) -> Result<(), String> {
        let path = |name: &str| self.env.home().join(name);
        let done = match words {
            ["write", name, content] => {
                self.note_secrets(content);
                self.put(name, unescaped(content).as_bytes());
                Ok(())
            }
            ["remove", name] if path(name).is_dir() => fs::remove_dir_all(path(name)),
            ["remove", name] => fs::remove_file(path(name)),
            ["mkdir", name] => fs::create_dir_all(path(name)),
            ["mode", name, mode] => {
                let mode = u32::from_str_radix(mode, 8).map_err(|_| text.to_owned())?;
                fs::set_permissions(path(name), Permissions::from_mode(mode))
            }
            ["link", name, target] => symlink(target, path(name)),
            ["age", name, seconds] => {
                let seconds = seconds.parse().map_err(|_| text.to_owned())?;
                let then = SystemTime::now().checked_sub(Duration::from_secs(seconds)).ok_or(text)?;
                fs::File::options().write(true).open(path(name)).and_then(|file| file.set_modified(then))
            }
            // The name of such a file is a hash; there is one, or all are meant.
            ["corrupt", extension] => self.corrupt(extension),
            _ => return Err(format!("not a directive: {text}")),
        };
        done.map_err(|error| format!("{text}: {error}"))?;
        self.know(words[1]);
        Ok(())
    }

    /// Writes a file that is no change of the program's.
    pub fn write(&mut self, name: &str, content: &[u8]) {
        self.put(name, content);
        self.know(name);
    }

    /// Takes what lies at `name` for known.
    fn know(&mut self, name: &str) {
        let now = entries(&self.env.home());
        self.known.retain(|path, _| !path.starts_with(name));
        self.known.extend(now.into_iter().filter(|(path, _)| path.starts_with(name)));
    }

    /// Overwrites every sealed file with that extension by something else.
    fn corrupt(&self, extension: &str) -> std::io::Result<()> {
        for path in files_below(&self.env.home()).iter().filter(|path| is_sealed(path)) {
            if path.extension().is_some_and(|found| found == extension) || path.ends_with(extension) {
                fs::write(path, "not what was written here")?;
            }
        }
        Ok(())
    }

    /// Files that are new, changed or gone since the script last touched them, without what is sealed.
    pub fn changes(&self) -> BTreeMap<PathBuf, Option<Entry>> {
        let now = entries(&self.env.home());
        let gone = self.known.keys().filter(|path| !now.contains_key(*path)).map(|path| (path.clone(), None));
        let mut changes: BTreeMap<_, _> = gone.collect();
        for (path, entry) in now {
            if self.known.get(&path) != Some(&entry) {
                changes.insert(path, Some(entry));
            }
        }
        changes
    }

    /// How many files of each kind every cache below the home directory holds.
    pub fn caches(&self) -> BTreeMap<PathBuf, BTreeMap<String, usize>> {
        let home = self.env.home();
        let mut caches: BTreeMap<PathBuf, BTreeMap<String, usize>> = BTreeMap::new();
        for path in files_below(&home).into_iter().filter(|path| in_cache(path)) {
            let directory = path.parent().and_then(|parent| parent.strip_prefix(&home).ok()).expect("below home");
            let name = path.file_name().expect("a name").to_string_lossy();
            let kind = match name.rsplit_once('.') {
                Some((stem, kind)) if stem != "key" => kind.to_owned(),
                _ => name.into_owned(),
            };
            *caches.entry(directory.to_owned()).or_default().entry(kind).or_default() += 1;
        }
        caches
    }

    /// How many edits every journal below the home directory holds.
    pub fn journals(&self) -> BTreeMap<PathBuf, usize> {
        let home = self.env.home();
        let mut journals = BTreeMap::new();
        for path in files_below(&home) {
            let Some(directory) = path.ancestors().find(|path| is_journal(path)) else { continue };
            let directory = directory.strip_prefix(&home).expect("below home").to_owned();
            *journals.entry(directory).or_default() += usize::from(path.extension().is_some_and(|kind| kind == "edit"));
        }
        journals
    }

    fn copy_home(&mut self, from: &Path, below: &Path) {
        let Ok(entries) = fs::read_dir(from) else { return };
        for entry in entries.map(|entry| entry.expect("an entry")) {
            let name = below.join(entry.file_name());
            if entry.path().is_dir() {
                self.copy_home(&entry.path(), &name);
                continue;
            }
            let content = fs::read(entry.path()).expect("a file of the case");
            let content = match String::from_utf8(content) {
                Ok(text) => {
                    self.note_secrets(&text);
                    self.fill(&text).into_bytes()
                }
                Err(binary) => binary.into_bytes(),
            };
            self.put(&name.to_string_lossy(), &content);
        }
    }

    fn put(&self, name: &str, content: &[u8]) {
        let path = self.env.home().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(&path, content).expect("a file");
        fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("a mode");
    }

    /// All that no output may hold: the case's own canaries and what the fakes gave out.
    pub fn all_secrets(&self) -> Vec<String> {
        let world = &self.env.world;
        [self.secrets.clone(), world.hosts.secrets(), world.entra.issuer().minted()].concat()
    }

    /// Remembers the words that are marked as canaries.
    pub fn note_secrets(&mut self, text: &str) {
        let word = |c: char| c.is_whitespace() || "\"',;:&?/@{}[]=\\".contains(c);
        let found = text.split(word).filter(|word| word.contains("canary"));
        self.secrets.extend(found.map(String::from));
    }
}

/// The case whose home directory `case` begins with: its own, or the one that `home-of` names.
fn home_of(case: &Path) -> Result<PathBuf, String> {
    match fs::read_to_string(case.join("home-of")) {
        Err(_) => Ok(case.to_owned()),
        Ok(name) => {
            let other = case.with_file_name(name.trim_end());
            if other.is_dir() { Ok(other) } else { Err(format!("home-of: there is no {}", other.display())) }
        }
    }
}

fn placeholders(env: &TestEnv) -> Vec<(String, String)> {
    let entra = env.world.entra.url();
    let host = entra.trim_start_matches("https://").trim_end_matches('/').to_owned();
    let (home, dir) = (env.home().display().to_string(), env.dir().display().to_string());
    let (proxy, proxy_host) = (env.world.proxy.url(), env.world.proxy.addr().to_string());
    let mut pairs: Vec<(String, String)> = [
        ("{tenant}", TENANT),
        ("{other-tenant}", OTHER_TENANT),
        ("{server}", AKS_SERVER),
        ("{client}", AKS_CLIENT),
        ("{app}", APP),
        ("{secret}", APP_SECRET),
        ("{expired-secret}", APP_EXPIRED_SECRET),
        ("{entra}", &entra),
        ("{entra-host}", &host),
        ("{proxy}", &proxy),
        ("{proxy-host}", &proxy_host),
        ("{api}", &env.world.api.url()),
        ("{home}", &home),
        ("{dir}", &dir),
    ]
    .map(|(name, text)| (name.to_owned(), text.to_owned()))
    .into();
    pairs.extend(of_hosts(env));
    pairs.sort_by_key(|(_, text)| std::cmp::Reverse(text.len()));
    pairs
}

/// Where the fake hosts are, and what they want to hear.
fn of_hosts(env: &TestEnv) -> Vec<(String, String)> {
    let (hosts, proxy) = (&env.world.hosts, &env.world.token_proxy);
    let base = hosts.base();
    let authority = base.trim_start_matches("http://").to_owned();
    let github = format!("{}?existing=1", places::GITHUB);
    let pairs = [
        ("{imds}", base),
        ("{imds-host}", authority),
        ("{imds-url}", hosts.url(places::IMDS)),
        ("{arc}", hosts.url(places::ARC)),
        ("{arc-keys}", hosts.arc_keys().display().to_string()),
        ("{app-service}", hosts.url(places::APP_SERVICE)),
        ("{azure-ml}", hosts.url(places::AZURE_ML)),
        ("{cloud-shell}", hosts.url(places::CLOUD_SHELL)),
        ("{service-fabric}", hosts.service_fabric()),
        ("{service-fabric-host}", hosts.service_fabric().split('/').nth(2).unwrap_or_default().to_owned()),
        ("{thumbprint}", hosts.thumbprint().to_owned()),
        ("{github}", hosts.secure_url(&github)),
        ("{github-http}", hosts.url(&github)),
        ("{pipelines}", hosts.secure_url(places::PIPELINES)),
        ("{pipelines-http}", hosts.url(places::PIPELINES)),
        ("{token-url}", hosts.secure_url(places::TOKEN_URL)),
        ("{token-url-http}", hosts.url(places::TOKEN_URL)),
        ("{ci-host}", hosts.secure_url("").trim_start_matches("https://").to_owned()),
        ("{identity-header}", places::IDENTITY_HEADER.to_owned()),
        ("{msi-secret}", places::MSI_SECRET.to_owned()),
        ("{github-token}", places::GITHUB_TOKEN.to_owned()),
        ("{pipelines-token}", places::PIPELINES_TOKEN.to_owned()),
        ("{service-connection}", places::SERVICE_CONNECTION.to_owned()),
        ("{system-client}", places::SYSTEM.client_id.to_owned()),
        ("{identity-client}", places::USER.client_id.to_owned()),
        ("{identity-object}", places::USER.oid.to_owned()),
        ("{identity-arm}", places::USER.arm_id.to_owned()),
        ("{twin-client}", places::identity::TWIN.client_id.to_owned()),
        ("{token-proxy}", proxy.url()),
        ("{token-proxy-host}", proxy.host()),
        ("{token-proxy-sni}", SNI_NAME.to_owned()),
        ("{token-proxy-ca}", env.dir().join("token-proxy-ca.pem").display().to_string()),
        ("{token-proxy-ca-data}", proxy.ca_pem()),
    ];
    pairs.map(|(name, text)| (name.to_owned(), text)).into()
}

fn unescaped(text: &str) -> String {
    text.replace("\\n", "\n").replace("\\r", "\r").replace("\\t", "\t").replace("\\u{feff}", "\u{feff}")
}

/// Everything below `home` but what is sealed, by its path from there.
fn entries(home: &Path) -> BTreeMap<PathBuf, Entry> {
    let outside = files_below(home).into_iter().filter(|path| !is_sealed(path));
    outside.map(|path| (path.strip_prefix(home).expect("below home").to_owned(), entry(&path))).collect()
}

fn entry(path: &Path) -> Entry {
    match fs::read_link(path) {
        Ok(target) => Entry::Link(target),
        Err(_) => Entry::File {
            mode: fs::metadata(path).expect("a file").permissions().mode() & 0o7777,
            content: fs::read(path).expect("a readable file"),
        },
    }
}

/// Wherever it is put, the cache is a directory of that name.
fn in_cache(path: &Path) -> bool {
    path.parent().is_some_and(|parent| parent.ends_with("kubentra") && !is_journal(parent))
}

/// Wherever it is put, the journal of edits is a directory of that name with the records in another.
fn is_journal(directory: &Path) -> bool {
    directory.ends_with("kubentra") && directory.join("edits").exists()
}

fn is_sealed(path: &Path) -> bool {
    in_cache(path) || path.ancestors().any(is_journal)
}

fn files_below(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.flat_map(|path| if path.is_dir() && !path.is_symlink() { files_below(&path) } else { vec![path] }).collect()
}
