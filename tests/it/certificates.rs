//! Client certificates through the program, in every file that people keep them in. The files are
//! made by the real OpenSSL.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use x509_parser::pem::Pem;

use crate::env::{Run, TestEnv};
use crate::kubectl::missing;
use crate::support::certificates::{Kind, pem_file};
use crate::support::entra::Recorded;
use crate::support::entra::directory::{AKS_SERVER, APP, TENANT};

#[test]
fn pem_files() {
    let Some(bench) = Bench::new() else { return };
    let [key, pkcs1, leaf, middle, root] =
        ["app.key", "pkcs1.key", "app.crt", "middle.crt", "root.crt"].map(|name| bench.text(name));
    // Made anew each time, for the same file with the same password has its token in the cache.
    let encrypted = || bench.encrypted(&[]);
    for (what, content, password, chain) in [
        ("certificate, then key", format!("{leaf}{key}"), Given::Nothing, LEAF),
        ("key, then certificate", format!("{key}{leaf}"), Given::Nothing, LEAF),
        ("a chain in odd order", format!("{root}{key}{middle}{leaf}"), Given::Nothing, CHAIN),
        ("PKCS#1", format!("{leaf}{middle}{root}{pkcs1}"), Given::Nothing, CHAIN),
        ("CRLF", format!("{leaf}{key}").replace('\n', "\r\n"), Given::Nothing, LEAF),
        ("a password that is not needed", format!("{leaf}{key}"), Given::Flag, LEAF),
        ("encrypted, password by flag", format!("{leaf}{}", encrypted()), Given::Flag, LEAF),
        ("encrypted, password by file", format!("{}{leaf}", encrypted()), Given::File, LEAF),
        ("encrypted, password by variable", format!("{leaf}{}", encrypted()), Given::Variable, LEAF),
        ("encrypted, password by a file's variable", format!("{leaf}{}", encrypted()), Given::FileVariable, LEAF),
        ("AES-128", format!("{leaf}{}", bench.encrypted(&["-v2", "aes-128-cbc"])), Given::File, LEAF),
    ] {
        bench.signs_in(what, "app.pem", content.as_bytes(), password, chain);
    }
}

#[test]
fn pfx_files() {
    const OLD: [&str; 6] = ["-keypbe", "PBE-SHA1-3DES", "-certpbe", "PBE-SHA1-3DES", "-macalg", "sha1"];
    // Thousands of rounds take half a second without optimisation.
    const QUICK: [&str; 2] = ["-iter", "1"];
    let Some(bench) = Bench::new() else { return };
    for (what, file, options, password, chain) in [
        ("AES-256 and SHA-256", "app.pfx", &["-certfile", "ca.crt"][..], Given::File, CHAIN),
        ("RC2, 3DES and SHA-1", "app.pfx", &["-legacy", "-certfile", "ca.crt"], Given::Variable, CHAIN),
        ("3DES and SHA-1", "app.pfx", &OLD, Given::Flag, LEAF),
        ("empty password", "app.pfx", &["-certfile", "ca.crt"], Given::Nothing, CHAIN),
        ("empty password, old", "app.pfx", &["-legacy"], Given::Nothing, LEAF),
        ("the suffix .PFX", "app.PFX", &QUICK, Given::FileVariable, LEAF),
        ("the suffix .p12", "app.p12", &QUICK, Given::File, LEAF),
        ("the suffix of another kind", "app.pem", &QUICK, Given::File, LEAF),
        ("no suffix", "app", &QUICK, Given::File, LEAF),
    ] {
        let content = bench.pfx(if password == Given::Nothing { "" } else { PASSWORD }, options);
        bench.signs_in(what, file, &content, password, chain);
    }
}

#[test]
fn every_endpoint_gets_the_signature_that_it_knows() {
    let Some(bench) = Bench::new() else { return };
    let file = bench.put("app.pem", &bench.parts(&["app.crt", "app.key"]));
    bench.env.world.entra.certificate(&bench.parts(&["app.crt"]));
    let entra = bench.env.world.entra.url();
    let custom = ["--authority-host", &entra];
    let v2 = |host: &str| format!("https://{host}/{TENANT}/oauth2/v2.0/token");
    let v1 = |host: &str| format!("https://{host}/{TENANT}/oauth2/token?api-version=1.0");
    let entra_host = entra.trim_start_matches("https://").trim_end_matches('/');
    for (more, modern, audience) in [
        (&[][..], true, v2("login.microsoftonline.com")),
        (&["-e", "AzureUSGovernmentCloud"], true, v2("login.microsoftonline.us")),
        (&["-e", "AzureChinaCloud"], true, v2("login.chinacloudapi.cn")),
        (&["--authority-host", "https://login.windows.net/"], true, v2("login.windows.net")),
        (&["--legacy"], false, v1("login.microsoftonline.com")),
        (&custom, false, v2(entra_host)),
        (&[custom[0], custom[1], "--legacy"], false, v1(entra_host)),
        (
            &["-t", "adfs", "--authority-host", "https://adfs.example.test/"],
            false,
            "https://adfs.example.test/adfs/oauth2/token".to_owned(),
        ),
    ] {
        let run = bench.run(&file, &[more, &["--cache-storage", "none"]].concat());
        assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{more:?} {:#?}", bench.taken());
        let (header, claims) = bench.taken().pop().and_then(|request| request.assertion()).expect("an assertion");
        assert_eq!(header, bench.header(modern, LEAF), "{more:?}");
        let number = |name: &str| claims[name].as_u64().unwrap_or_else(|| panic!("{name} is no whole number"));
        assert_eq!((number("iat"), number("exp")), (number("nbf"), number("nbf") + 900));
        assert_eq!([&claims["iss"], &claims["sub"], &claims["aud"]], [APP, APP, audience.as_str()], "{more:?}");
    }
}

#[test]
fn an_app_that_trusts_subject_and_issuer() {
    let Some(bench) = Bench::new() else { return };
    bench.env.world.entra.certificate_name("app", &bench.parts(&["root.crt"]));
    let pem = bench.put("app.pem", &bench.parts(&["root.crt", "app.key", "middle.crt", "app.crt"]));
    let pfx = bench.put("app.pfx", &bench.pfx("", &["-certfile", "ca.crt"]));
    for file in [pem, pfx] {
        bench.run(&file, &[]).token();
        assert_eq!(bench.taken().len(), 1);
    }
    let refused = |file: &str| {
        format!(
            "Error: subject or issuer of the client certificate is not the registered one, AADSTS700030 ({{home}}/{file}, \
             named by --client-certificate); ask an administrator of the tenant to correct the trusted subject name \
             and issuer of the app; the file has to hold the certificates of its issuers too\n"
        )
    };
    let alone = bench.put("alone.pem", &bench.parts(&["app.crt", "app.key"]));
    assert_eq!(bench.failure(&alone, &[]), refused("alone.pem"));
    let other = bench.put("other.pem", &bench.parts(&["other.crt", "ca.crt", "other.key"]));
    assert_eq!(bench.failure(&other, &[]), refused("other.pem"));
    assert_eq!(bench.taken().len(), 4);
}

#[test]
fn files_that_cannot_sign_are_refused_before_any_request() {
    let Some(bench) = Bench::new() else { return };
    let give = "give a PFX file, or a PEM file with the certificate and its private key";
    let renew = "make a certificate with an RSA key of 2048 bits or more";
    for (parts, what, remedy) in [
        (&["app.crt"][..], "the client certificate's file holds no private key", give),
        (&["app.key"], "the client certificate's file holds a private key and no certificate", give),
        (
            &["app.key", "other.crt"],
            "the private key in the client certificate's file does not belong to CN=other (until DATE)",
            "put the certificate that was made for this key into the file",
        ),
        (
            &["ec.crt", "ec.key"],
            "the client certificate CN=ec (until DATE) has a key of the kind EC",
            &format!("Entra accepts RSA only: {renew}"),
        ),
    ] {
        let file = bench.put("app.pem", &bench.parts(parts));
        let told = format!("Error: {what} ({{home}}/app.pem, named by --client-certificate); {remedy}\n");
        assert_eq!(without_dates(&bench.failure(&file, &[])), told);
    }
    let pfx = bench.pfx("", &[]);
    for (file, content, what, remedy) in [
        ("app.der", bench.der("app.crt"), "the client certificate's file holds no private key", give),
        ("app.pem", b"hello".to_vec(), "the client certificate's file is neither PEM nor PFX", give),
        ("app.pem", Vec::new(), "the client certificate's file is neither PEM nor PFX", give),
        (
            "app.pfx",
            pfx[..pfx.len() / 2].to_vec(),
            "the client certificate's file is no PFX file, or one of an unusual kind",
            "if OpenSSL can read it, convert it to PEM: openssl pkcs12 -in OLD.pfx -out NEW.pem",
        ),
        (
            "app.txt",
            STANDARD.encode(&pfx).into_bytes(),
            "the client certificate's file is base64 of a PFX file, which is how Key Vault hands it out",
            "decode it first: base64 -d OLD > NEW.pfx",
        ),
    ] {
        let path = bench.put(file, &content);
        let told = format!("Error: {what} ({{home}}/{file}, named by --client-certificate); {remedy}\n");
        assert_eq!(bench.failure(&path, &[]), told);
    }
    assert_eq!(bench.env.world.entra.connections(), 0);
}

/// What OpenSSL signs today ends on another day tomorrow.
fn without_dates(text: &str) -> String {
    let mut parts = text.split("(until ");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| format!("{text}(until DATE{}", part.trim_start_matches(|c| c != ')')))
}

#[test]
fn files_that_cannot_be_read_are_refused_before_any_request() {
    let Some(bench) = Bench::new() else { return };
    // What is too large is not even looked at: it is a good file otherwise.
    let large = [bench.parts(&["app.crt", "app.key"]), vec![b'\n'; 1024 * 1024]].concat();
    bench.put("large.pem", &large);
    bench.put("full.pem", &large[..1024 * 1024]);
    std::fs::create_dir(bench.home().join("directory")).expect("a directory");
    for (file, why) in [
        ("missing.pem", "no such file or directory"),
        ("directory", "is a directory"),
        ("large.pem", "it is larger than 1048576 bytes"),
    ] {
        let told = format!(
            "Error: the client certificate cannot be read: {why} ({{home}}/{file}, named by --client-certificate); \
             correct --client-certificate\n"
        );
        assert_eq!(bench.failure(&bench.home().join(file), &[]), told);
    }
    assert_eq!(bench.env.world.entra.connections(), 0);
    bench.env.world.entra.certificate(&large);
    bench.run(&bench.home().join("full.pem"), &[]).token();
}

#[test]
fn the_dates_are_looked_at_before_any_request() {
    let env = TestEnv::new();
    let run = |file: &Path| Run::of(&mut command(&env, file, &[]));
    let expired = env.write("old.pem", &pem_file("app", Kind::Expired));
    let home = env.home().display().to_string();
    assert_eq!(
        run(&expired).failure(),
        format!(
            "Error: the client certificate CN=app has expired ({home}/old.pem, named by --client-certificate, valid \
             from 2001-01-01T00:00:00Z until 2002-01-01T00:00:00Z); renew it and upload the new one to the app \
             registration\n"
        )
    );
    let future = env.write("new.pem", &pem_file("app", Kind::Future));
    let told = run(&future);
    let beginning = format!(
        "Error: the client certificate CN=app is not valid yet ({home}/new.pem, named by --client-certificate, valid \
         from 2080-01-01T00:00:00Z until 2090-01-01T00:00:00Z, this machine's clock says 20"
    );
    let end = "Z); set the clock if it is wrong, else use the certificate that is valid now\n";
    assert!(told.failure().starts_with(&beginning) && told.stderr.ends_with(end), "{told:#?}");
    assert_eq!(env.world.entra.connections(), 0);
}

#[test]
fn passwords_that_are_missing_or_wrong() {
    const NEEDED: &str = "the client certificate's file needs a password";
    const WRONG: &str = "the password does not open the client certificate's file";
    let Some(mut bench) = Bench::new() else { return };
    let encrypted = [bench.parts(&["app.crt"]), bench.encrypted(&[]).into_bytes()].concat();
    let files = [
        bench.put("app.pem", &encrypted),
        bench.put("app.pfx", &bench.pfx(PASSWORD, &[])),
        bench.put("old.pfx", &bench.pfx(PASSWORD, &["-legacy"])),
    ];
    let wrong = bench.put("password", format!("{WRONG_PASSWORD}\n").as_bytes()).display().to_string();
    let refused = |bench: &Bench, more: &[&str], what: &str, remedy: &str| {
        for (file, name) in files.iter().zip(["app.pem", "app.pfx", "old.pfx"]) {
            let told = format!("Error: {what} ({{home}}/{name}, named by --client-certificate); {remedy}\n");
            assert_eq!(bench.failure(file, more), told);
        }
    };
    let by_file = ["--client-certificate-password-file", &wrong];
    let by_file_only = "name a file with --client-certificate-password-file";
    refused(&bench, &[], NEEDED, &format!("set AZURE_CLIENT_CERTIFICATE_PASSWORD, or {by_file_only}"));
    refused(
        &bench,
        &["--use-azurerm-env-vars"],
        NEEDED,
        &format!("set ARM_CLIENT_CERTIFICATE_PASSWORD, or {by_file_only}"),
    );
    refused(&bench, &["--disable-environment-override"], NEEDED, by_file_only);
    let from = |source: &str| format!("correct the password, which comes from {source}");
    let flag = "--client-certificate-password";
    refused(&bench, &[flag, WRONG_PASSWORD], WRONG, &from(flag));
    refused(&bench, &by_file, WRONG, &from("{home}/password, named by --client-certificate-password-file"));
    bench.env.set("AZURE_CLIENT_CERTIFICATE_PASSWORD", WRONG_PASSWORD);
    refused(&bench, &[flag, PASSWORD], WRONG, &from("AZURE_CLIENT_CERTIFICATE_PASSWORD"));
    assert_eq!(bench.env.world.entra.connections(), 0);
}

/// Nobody may ever see it.
const PASSWORD: &str = "canary öffne & dich=";

/// What is given in its place.
const WRONG_PASSWORD: &str = "canary-wrong";

/// The certificates that are shown to Entra, from ours on.
type Chain = &'static [&'static str];
const LEAF: Chain = &["app.crt"];
const CHAIN: Chain = &["app.crt", "middle.crt", "root.crt"];

/// How the program gets [`PASSWORD`].
#[derive(Clone, Copy, PartialEq, Eq)]
enum Given {
    Nothing,
    Flag,
    File,
    Variable,
    FileVariable,
}

/// A world whose home directory holds keys and certificates.
struct Bench {
    env: TestEnv,
}

impl Bench {
    /// Nothing where OpenSSL is missing.
    fn new() -> Option<Self> {
        static MADE: LazyLock<Option<BTreeMap<String, Vec<u8>>>> = LazyLock::new(|| has_openssl().then(make));
        let Some(made) = MADE.as_ref() else {
            missing("openssl");
            return None;
        };
        let bench = Self { env: TestEnv::new() };
        for (name, content) in made {
            bench.put(name, content);
        }
        Some(bench)
    }

    fn home(&self) -> PathBuf {
        self.env.home()
    }

    fn put(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.home().join(name);
        std::fs::write(&path, content).expect("a file");
        path
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.home().join(name)).expect("a text")
    }

    /// Files, one after the other.
    fn parts(&self, names: &[&str]) -> Vec<u8> {
        names.iter().map(|name| self.text(name)).collect::<String>().into_bytes()
    }

    fn der(&self, name: &str) -> Vec<u8> {
        Pem::iter_from_buffer(self.text(name).as_bytes()).next().expect("a block").expect("PEM").contents
    }

    /// The key as PKCS #8 with the password.
    fn encrypted(&self, options: &[&str]) -> String {
        let password = format!("pass:{PASSWORD}");
        let fixed = ["pkcs8", "-topk8", "-in", "app.key", "-passout", &password];
        String::from_utf8(openssl(&self.home(), &[&fixed, options].concat())).expect("PEM")
    }

    /// The key and its certificate as PFX.
    fn pfx(&self, password: &str, options: &[&str]) -> Vec<u8> {
        let password = format!("pass:{password}");
        let fixed = ["pkcs12", "-export", "-inkey", "app.key", "-in", "app.crt", "-passout", &password];
        openssl(&self.home(), &[&fixed, options].concat())
    }

    fn run(&self, file: &Path, more: &[&str]) -> Run {
        Run::of(&mut command(&self.env, file, more))
    }

    /// What a run that fails says, with `{home}` for the home directory; with all details it says no
    /// secret either.
    fn failure(&self, file: &Path, more: &[&str]) -> String {
        let quiet = self.run(file, more);
        let loud = self.run(file, &[more, &["-v", "10"]].concat());
        assert!(loud.failure().contains(quiet.failure()), "{loud:#?}");
        self.keeps_quiet(&loud, &std::fs::read(file).unwrap_or_default());
        quiet.stderr.replace(&self.home().display().to_string(), "{home}")
    }

    /// The requests since the last time.
    fn taken(&self) -> Vec<Recorded> {
        let requests = self.env.world.entra.requests();
        self.env.world.entra.clear_log();
        requests
    }

    /// The header of an assertion that shows `chain`.
    fn header(&self, modern: bool, chain: Chain) -> Value {
        let leaf = self.der(chain[0]);
        let (algorithm, name, hash) =
            if modern { ("PS256", "x5t#S256", &SHA256) } else { ("RS256", "x5t", &SHA1_FOR_LEGACY_USE_ONLY) };
        let x5c: Vec<String> = chain.iter().map(|name| STANDARD.encode(self.der(name))).collect();
        json!({ "alg": algorithm, "typ": "JWT", "x5c": x5c, name: URL_SAFE_NO_PAD.encode(digest(hash, &leaf)) })
    }

    /// The file is good for a token with one request, then for the same one with none; every
    /// assertion is a new one, and nothing of it is ever told.
    fn signs_in(&self, what: &str, file: &str, content: &[u8], password: Given, chain: Chain) {
        let path = self.put(file, content);
        let run = |more: &[&str]| {
            let mut command = command(&self.env, &path, more);
            password.pass(self, &mut command);
            Run::of(&mut command)
        };
        self.env.world.entra.certificate(&self.parts(&["app.crt"]));
        let uncached = run(&["--cache-storage", "none"]);
        assert_eq!((uncached.code, uncached.stderr.as_str()), (0, ""), "{what}");
        let cold = run(&["-v", "10"]);
        self.keeps_quiet(&cold, content);
        let requests = self.taken();
        let assertions: Vec<(Value, Value)> = requests.iter().filter_map(Recorded::assertion).collect();
        assert_eq!((requests.len(), assertions.len()), (2, 2), "{what}");
        for (header, _) in &assertions {
            assert_eq!(*header, self.header(true, chain), "{what}");
        }
        assert_ne!(assertions[0].1["jti"], assertions[1].1["jti"], "{what}");
        let warm = run(&[]);
        assert_eq!((warm.token(), warm.stderr.as_str(), self.taken().len()), (cold.token(), "", 0), "{what}");
        assert!(cold.stderr.contains("the client certificate is O=Kubentra, CN=app\n"), "{what}: {}", cold.stderr);
        assert!(!cold.stderr.contains(&cold.token()), "{what}: {}", cold.stderr);
    }

    /// Neither password nor key nor the file as a whole, nor what was asked with them.
    fn keeps_quiet(&self, loud: &Run, content: &[u8]) {
        let mut secrets = vec![PASSWORD.to_owned(), WRONG_PASSWORD.to_owned(), STANDARD.encode(content)];
        let requests = self.env.world.entra.requests();
        secrets.extend(requests.iter().filter_map(|request| request.param("client_assertion").map(str::to_owned)));
        let texts = [self.text("app.key"), self.text("pkcs1.key"), String::from_utf8_lossy(content).into_owned()];
        let lines = texts.iter().flat_map(|text| text.lines()).map(str::trim);
        secrets.extend(lines.filter(|line| line.len() >= 40 && !line.starts_with("-----")).map(str::to_owned));
        let shown = secrets.iter().find(|secret| !secret.is_empty() && loud.stderr.contains(secret.as_str()));
        assert_eq!(shown, None, "{}", loud.stderr);
    }
}

impl Given {
    fn pass(self, bench: &Bench, command: &mut Command) {
        let file = || bench.put("password", format!("{PASSWORD}\n").as_bytes());
        match self {
            Self::Nothing => command,
            Self::Flag => command.args(["--client-certificate-password", PASSWORD]),
            Self::File => command.arg("--client-certificate-password-file").arg(file()),
            Self::Variable => command.env("AZURE_CLIENT_CERTIFICATE_PASSWORD", PASSWORD),
            Self::FileVariable => command.env("KUBENTRA_CLIENT_CERTIFICATE_PASSWORD_FILE", file()),
        };
    }
}

fn has_openssl() -> bool {
    Command::new("openssl").arg("version").output().is_ok()
}

/// Keys and certificates by their file names. Keys take long, so they are made once.
fn make() -> BTreeMap<String, Vec<u8>> {
    const SETTINGS: &str = "\
[req]
distinguished_name = names
[names]
[authority]
basicConstraints = critical, CA:TRUE
[app]
basicConstraints = critical, CA:FALSE
";
    let directory = tempfile::tempdir().expect("a temporary directory");
    let openssl = |line: &str| openssl(directory.path(), &line.split(' ').collect::<Vec<_>>());
    let path = |name: &str| directory.path().join(name);
    std::fs::write(path("settings"), SETTINGS).expect("a file");
    for name in ["root", "middle", "ec"] {
        openssl(&format!("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out {name}.key"));
    }
    for name in ["app", "other"] {
        openssl(&format!("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out {name}.key"));
    }
    openssl("rsa -traditional -in app.key -out pkcs1.key");
    openssl("req -x509 -config settings -extensions authority -key root.key -subj /CN=root -days 99 -out root.crt");
    for (name, subject, issuer, kind) in [
        ("middle", "/CN=middle", "root", "authority"),
        ("app", "/O=Kubentra/CN=app", "middle", "app"),
        ("other", "/CN=other", "middle", "app"),
        ("ec", "/CN=ec", "middle", "app"),
    ] {
        openssl(&format!("req -new -config settings -key {name}.key -subj {subject} -out request"));
        openssl(&format!(
            "x509 -req -in request -CA {issuer}.crt -CAkey {issuer}.key -CAcreateserial -days 30 \
             -extfile settings -extensions {kind} -out {name}.crt"
        ));
    }
    let authorities = ["middle.crt", "root.crt"].map(|name| std::fs::read(path(name)).expect("a certificate"));
    std::fs::write(path("ca.crt"), authorities.concat()).expect("a file");
    let entries = std::fs::read_dir(directory.path()).expect("the directory").map(|entry| entry.expect("an entry"));
    let named = |entry: std::fs::DirEntry| {
        let content = std::fs::read(entry.path()).expect("a file");
        (entry.file_name().into_string().expect("a name"), content)
    };
    entries.map(named).collect()
}

/// What it wrote to stdout.
fn openssl(directory: &Path, args: &[&str]) -> Vec<u8> {
    let done = Command::new("openssl").args(args).current_dir(directory).stdin(Stdio::null()).output();
    let done = done.expect("openssl starts");
    assert!(done.status.success(), "openssl {args:?}: {}", String::from_utf8_lossy(&done.stderr));
    done.stdout
}

/// `get-token` for the AKS server app with the certificate in `file`.
fn command(env: &TestEnv, file: &Path, more: &[&str]) -> Command {
    let fixed = ["get-token", "-l", "spn", "--server-id", AKS_SERVER, "--client-id", APP, "--tenant-id", TENANT];
    let mut command = env.command("kubentra", &fixed);
    command.arg("--client-certificate").arg(file).args(more);
    command
}
