//! The files are made by the real OpenSSL, the way that people make them.

use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use jsonwebtoken::{DecodingKey, TokenData, Validation};
use serde_json::Value;
use x509_parser::pem::Pem;

use super::*;

#[test]
fn pem_in_any_order_and_dress() {
    let Some(files) = Files::get() else { return };
    let [key, pkcs1, leaf, chain, ec] = ["rsa.key", "pkcs1.key", "leaf.crt", "ca.crt", "ec.key"].map(|f| files.text(f));
    let parameters = files.text("parameters.pem");
    let crlf = format!("{key}{leaf}").replace('\n', "\r\n");
    let bags = format!("Bag Attributes\n    friendlyName: \u{e9}t\u{e9}\n{leaf}Key Attributes: <No Attributes>\n{key}");
    for (dress, text) in [
        ("key first", format!("{key}{leaf}{chain}")),
        ("key last", format!("{chain}{leaf}{key}")),
        ("PKCS#1", format!("{leaf}{pkcs1}")),
        ("CRLF", crlf),
        ("a byte order mark", format!("\u{feff}{leaf}{key}")),
        ("bag attributes", bags),
        ("another key and its parameters", format!("{parameters}{ec}{leaf}{key}")),
        ("indented", format!("{leaf}{key}").replace('\n', "\n    ")),
        ("no line feed at the end", format!("{key}{}", leaf.trim_end())),
    ] {
        let certificate = parse(text.as_bytes(), None).expect(dress);
        assert_eq!(certificate.subject(), "O=Kubentra, CN=leaf", "{dress}");
        assert_eq!(certificate.chain[0], der(&leaf), "{dress}");
    }
    let latin1 = [b"friendlyName: \xe9t\xe9\n", leaf.as_bytes(), key.as_bytes()].concat();
    parse(&latin1, None).expect("text that is not UTF-8");
}

#[test]
fn encrypted_keys_in_pem() {
    let Some(files) = Files::get() else { return };
    for options in [
        &["-v2", "aes-256-cbc"][..],
        &["-v2", "aes-128-cbc", "-v2prf", "hmacWithSHA512"],
        &["-v2", "des3", "-v2prf", "hmacWithSHA1"],
        &["-scrypt", "-scrypt_N", "1024"],
    ] {
        let key = files.openssl(&[&["pkcs8", "-topk8", "-in", "rsa.key", "-passout", "pass:right"], options].concat());
        let file = [files.text("leaf.crt").as_bytes(), &key].concat();
        parse(&file, Some("right")).unwrap_or_else(|error| panic!("{options:?}: {error}"));
        assert_eq!(refusal(&file, None), format!("the client certificate's file needs a password {GIVE_PASSWORD}"));
        assert_eq!(refusal(&file, Some("wrong")), format!("{WRONG_PASSWORD} {GIVE_PASSWORD}"));
    }
}

#[test]
fn old_encryption_is_named_with_the_way_out() {
    let Some(files) = Files::get() else { return };
    let topk8 = ["pkcs8", "-topk8", "-in", "rsa.key", "-passout", "pass:right", "-v1", "PBE-SHA1-3DES"];
    let old = ["rsa", "-traditional", "-in", "rsa.key", "-passout", "pass:right", "-aes256"];
    let [pbes1, dek] =
        [&topk8[..], &old].map(|args| [files.text("leaf.crt").as_bytes(), &files.openssl(args)].concat());
    assert_eq!(
        refusal(&pbes1, Some("right")),
        "the private key in the client certificate's file is encrypted in an old or unknown way (/app.pem, named by \
         --client-certificate); encrypt it anew: openssl pkcs8 -topk8 -v2 aes-256-cbc -in OLD.key -out NEW.key"
    );
    assert_eq!(
        refusal(&dek, Some("right")),
        "the private key in the client certificate's file is encrypted in OpenSSL's old PEM format (/app.pem, named \
         by --client-certificate); convert it: openssl pkcs8 -topk8 -in OLD.key -out NEW.key"
    );
}

#[test]
fn pfx_of_every_generation() {
    let Some(files) = Files::get() else { return };
    for options in [
        &[][..],
        &["-legacy"],
        &["-legacy", "-descert"],
        &["-keypbe", "PBE-SHA1-3DES", "-certpbe", "PBE-SHA1-3DES", "-macalg", "sha1"],
        &["-keypbe", "AES-128-CBC", "-certpbe", "AES-192-CBC", "-macalg", "sha512"],
        &["-keypbe", "DES-EDE3-CBC", "-certpbe", "DES-EDE3-CBC"],
        &["-certpbe", "NONE"],
        &["-keypbe", "NONE", "-certpbe", "NONE"],
        &["-nomac"],
        &["-name", "app", "-CSP", "Microsoft Software Key Storage Provider", "-keyex"],
    ] {
        for password in ["right", ""] {
            let pfx = files.pfx(password, options);
            let given = Some(password).filter(|password| !password.is_empty());
            let certificate = parse(&pfx, given).unwrap_or_else(|error| panic!("{options:?} {given:?}: {error}"));
            assert_eq!(certificate.chain, files.chain(), "{options:?}");
        }
    }
}

#[test]
fn the_password_of_a_pfx() {
    let Some(files) = Files::get() else { return };
    for options in [&[][..], &["-legacy"]] {
        let pfx = files.pfx("right", options);
        assert_eq!(refusal(&pfx, None), format!("the client certificate's file needs a password {GIVE_PASSWORD}"));
        assert_eq!(refusal(&pfx, Some("")), refusal(&pfx, None));
        assert_eq!(refusal(&pfx, Some("wrong")), format!("{WRONG_PASSWORD} {GIVE_PASSWORD}"));
    }
    // Without a MAC a wrong password is noticed by what comes out, so the words may differ.
    parse(&files.pfx("right", &["-nomac"]), Some("wrong")).unwrap_err();
    let pfx = files.pfx("gr\u{fc}\u{df}e", &[]);
    parse(&pfx, Some("gr\u{fc}\u{df}e")).expect("a password that is not ASCII");
}

#[test]
fn the_assertion_as_entra_wants_it() {
    let Some(files) = Files::get() else { return };
    let certificate = parse(&files.pfx("right", &[]), Some("right")).unwrap();
    let leaf = &files.chain()[0];
    let x5c = files.chain().iter().map(|der| STANDARD.encode(der)).collect::<Vec<_>>();
    for (signing, algorithm) in [(Signing::Modern, Algorithm::PS256), (Signing::Legacy, Algorithm::RS256)] {
        let made = || certificate.assertion(signing, "https://login.example/t/oauth2/v2.0/token", "app", NOW).unwrap();
        let TokenData { header, claims } = verified(&certificate, made().expose(), algorithm);
        assert_eq!(header.typ.as_deref(), Some("JWT"));
        assert_eq!(header.x5c.as_ref(), Some(&x5c));
        let thumbprint =
            |algorithm, wanted| (signing == wanted).then(|| URL_SAFE_NO_PAD.encode(digest(algorithm, leaf)));
        assert_eq!(header.x5t_s256, thumbprint(&SHA256, Signing::Modern));
        assert_eq!(header.x5t, thumbprint(&SHA1_FOR_LEGACY_USE_ONLY, Signing::Legacy));
        let jti = claims["jti"].as_str().unwrap().to_owned();
        let wanted = serde_json::json!({
            "aud": "https://login.example/t/oauth2/v2.0/token", "iss": "app", "sub": "app", "jti": jti,
            "nbf": NOW - 300, "iat": NOW - 300, "exp": NOW + 600,
        });
        assert_eq!(claims, wanted);
        assert_eq!(uuid::Uuid::parse_str(&jti).unwrap().get_version_num(), 4);
        assert_ne!(verified(&certificate, made().expose(), algorithm).claims["jti"], jti);
    }
}

#[test]
fn the_leaf_is_the_one_of_the_key_and_its_issuers_follow() {
    let Some(files) = Files::get() else { return };
    let [key, leaf, ca, other] = ["rsa.key", "leaf.crt", "ca.crt", "other.crt"].map(|file| files.text(file));
    let certificate = parse(format!("{other}{ca}{leaf}{key}").as_bytes(), None).unwrap();
    assert_eq!(certificate.chain, files.chain());
    // The same key, certified for another time: the one that is valid now counts.
    let renewed = files.text("renewed.crt");
    for text in [format!("{leaf}{renewed}{key}"), format!("{renewed}{leaf}{key}")] {
        let late = Certificate::parse(text.as_bytes(), None, SHOWN, files.validity("leaf.crt").until + 1).unwrap();
        assert_eq!(late.chain, [der(&renewed)]);
    }
}

#[test]
fn what_a_file_lacks() {
    let Some(files) = Files::get() else { return };
    let [key, leaf, other, ca] = ["rsa.key", "leaf.crt", "other.crt", "ca.crt"].map(|file| files.text(file));
    let both = format!("({SHOWN}); give a PFX file, or a PEM file with the certificate and its private key");
    let no_key = format!("the client certificate's file holds no private key {both}");
    assert_eq!(refusal(leaf.as_bytes(), None), no_key);
    assert_eq!(refusal(&der(&leaf), None), no_key);
    assert_eq!(
        refusal(key.as_bytes(), None),
        format!("the client certificate's file holds a private key and no certificate {both}")
    );
    for bytes in [&b"hello"[..], b"", &[0xff; 40], b"\x30\x03abc"] {
        assert_eq!(refusal(bytes, None), format!("the client certificate's file is neither PEM nor PFX {both}"));
    }
    assert_eq!(
        refusal(format!("{key}{other}{ca}").as_bytes(), None),
        format!(
            "the private key in the client certificate's file does not belong to CN=other (until DATE) and \
             CN=intermediate (until DATE) and CN=root (until DATE) ({SHOWN}); put the certificate that was made for this key into the file"
        )
    );
}

#[test]
fn files_that_are_nearly_right() {
    let Some(files) = Files::get() else { return };
    let pfx = files.pfx("right", &[]);
    assert_eq!(
        refusal(STANDARD.encode(&pfx).as_bytes(), Some("right")),
        format!(
            "the client certificate's file is base64 of a PFX file, which is how Key Vault hands it out ({SHOWN}); \
             decode it first: base64 -d OLD > NEW.pfx"
        )
    );
    assert_eq!(
        refusal(&pfx[..pfx.len() / 2], Some("right")),
        format!(
            "the client certificate's file is no PFX file, or one of an unusual kind ({SHOWN}); if OpenSSL can read \
             it, convert it to PEM: openssl pkcs12 -in OLD.pfx -out NEW.pem"
        )
    );
    let torn = files.text("leaf.crt").replacen("\nMII", "\nMI!", 1);
    assert_eq!(
        refusal(torn.as_bytes(), None),
        format!("the block CERTIFICATE in the client certificate's file is damaged ({SHOWN}); export the file again")
    );
}

#[test]
fn keys_that_entra_does_not_accept() {
    let Some(files) = Files::get() else { return };
    let certify = |key: &str| {
        let certificate = files.openssl(&["req", "-x509", "-key", key, "-subj", "/CN=odd", "-days", "9"]);
        [fs::read(files.path(key)).unwrap(), certificate].concat()
    };
    let remedy = "make a certificate with an RSA key of 2048 bits or more";
    for (key, kind) in [("ec.key", "EC"), ("sec1.key", "EC"), ("ed25519.key", "Ed25519"), ("pss.key", "RSA-PSS")] {
        assert_eq!(
            refusal(&certify(key), None),
            format!(
                "the client certificate CN=odd (until DATE) has a key of the kind {kind} ({SHOWN}); Entra accepts RSA only: {remedy}"
            )
        );
    }
    files.certify("odd", "ec.key", "/CN=odd", "intermediate");
    let with_chain = ["ca.crt", "odd.crt", "ec.key"].map(|file| files.text(file)).concat();
    assert!(
        refusal(with_chain.as_bytes(), None)
            .starts_with("the client certificate CN=odd (until DATE) has a key of the kind EC ")
    );
    assert_eq!(
        refusal(&certify("small.key"), None),
        format!("the client certificate's RSA key has less than 2048 bits ({SHOWN}); {remedy}")
    );
}

#[test]
fn out_of_its_time() {
    let Some(files) = Files::get() else { return };
    let text = files.text("leaf.crt") + &files.text("rsa.key");
    let Validity { from, until } = files.validity("leaf.crt");
    let dates = format!("({SHOWN}, valid from {} until {}", rfc3339(from), rfc3339(until));
    for (now, outcome) in [
        (from, None),
        (until, None),
        (
            until + 1,
            Some(format!(
                "the client certificate O=Kubentra, CN=leaf has expired {dates}); renew it and upload the new one to \
                 the app registration"
            )),
        ),
        (
            from - 1,
            Some(format!(
                "the client certificate O=Kubentra, CN=leaf is not valid yet {dates}, this machine's clock says {}); \
                 set the clock if it is wrong, else use the certificate that is valid now",
                rfc3339(from - 1)
            )),
        ),
    ] {
        let refused = Certificate::parse(text.as_bytes(), None, SHOWN, now).err();
        assert_eq!(refused.map(|error| error.to_string()), outcome);
    }
}

#[test]
fn debug_shows_the_name_only() {
    let Some(files) = Files::get() else { return };
    let certificate = parse(&files.pfx("right", &[]), Some("right")).unwrap();
    assert_eq!(format!("{certificate:?}"), r#"Certificate("O=Kubentra, CN=leaf")"#);
}

const NOW: u64 = 1_800_000_000;
const SHOWN: &str = "/app.pem, named by --client-certificate";
const WRONG_PASSWORD: &str = "the password does not open the client certificate's file";
const GIVE_PASSWORD: &str = "(/app.pem, named by --client-certificate); give its password with \
                             --client-certificate-password-file or AZURE_CLIENT_CERTIFICATE_PASSWORD";

fn parse(bytes: &[u8], password: Option<&str>) -> Result<Certificate, Error> {
    Certificate::parse(bytes, password.map(Secret::new).as_ref(), SHOWN, now())
}

/// The certificates were made a moment ago.
#[expect(clippy::disallowed_methods, reason = "OpenSSL reads the real clock")]
fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

fn refusal(bytes: &[u8], password: Option<&str>) -> String {
    without_dates(&parse(bytes, password).unwrap_err().to_string())
}

/// What OpenSSL signs today ends on another day tomorrow.
fn without_dates(text: &str) -> String {
    let mut parts = text.split("(until ");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| format!("{text}(until DATE{}", part.trim_start_matches(|c| c != ')')))
}

fn der(pem: &str) -> Vec<u8> {
    Pem::iter_from_buffer(pem.as_bytes()).next().unwrap().unwrap().contents
}

/// The parts of an assertion, if the certificate's own key verifies it.
fn verified(certificate: &Certificate, assertion: &str, algorithm: Algorithm) -> TokenData<Value> {
    let (_, leaf) = X509Certificate::from_der(&certificate.chain[0]).unwrap();
    let key = DecodingKey::from_rsa_der(&leaf.public_key().subject_public_key.data);
    let mut rules = Validation::new(algorithm);
    (rules.validate_exp, rules.validate_aud) = (false, false);
    jsonwebtoken::decode(assertion, &key, &rules).unwrap()
}

/// A file's name and content.
type Named = (OsString, Vec<u8>);

/// A directory with keys and certificates: root, intermediate, and the leaf with an RSA key.
struct Files {
    directory: tempfile::TempDir,
}

impl Files {
    /// Nothing where OpenSSL is missing, unless every test has to run. Keys take long: they are made
    /// once, and every test has its copy, so that none is left when the last test ends.
    #[expect(clippy::disallowed_methods, reason = "files of a test")]
    fn get() -> Option<Self> {
        static MADE: OnceLock<Option<Vec<Named>>> = OnceLock::new();
        let made = MADE.get_or_init(|| is_installed().then(|| Self::make().contents())).as_ref()?;
        let files = Self { directory: tempfile::tempdir().unwrap() };
        for (name, bytes) in made {
            fs::write(files.directory.path().join(name), bytes).unwrap();
        }
        Some(files)
    }

    fn make() -> Self {
        let files = Self { directory: tempfile::tempdir().unwrap() };
        files.make_keys();
        files.make_certificates();
        files
    }

    fn contents(&self) -> Vec<Named> {
        let entries = fs::read_dir(self.directory.path()).unwrap().map(Result::unwrap);
        entries.map(|entry| (entry.file_name(), fs::read(entry.path()).unwrap())).collect()
    }

    fn make_keys(&self) {
        for (file, algorithm, option) in [
            ("rsa.key", "RSA", "rsa_keygen_bits:2048"),
            ("small.key", "RSA", "rsa_keygen_bits:1024"),
            ("pss.key", "RSA-PSS", "rsa_keygen_bits:2048"),
            ("ec.key", "EC", "ec_paramgen_curve:P-256"),
        ] {
            self.openssl(&["genpkey", "-algorithm", algorithm, "-pkeyopt", option, "-out", file]);
        }
        self.openssl(&["genpkey", "-algorithm", "ED25519", "-out", "ed25519.key"]);
        self.openssl(&["rsa", "-traditional", "-in", "rsa.key", "-out", "pkcs1.key"]);
        self.openssl(&["ec", "-in", "ec.key", "-out", "sec1.key"]);
        self.openssl(&["ecparam", "-name", "prime256v1", "-out", "parameters.pem"]);
    }

    /// The CAs share a key, which nothing here looks at.
    fn make_certificates(&self) {
        self.openssl(&["req", "-x509", "-key", "ec.key", "-subj", "/CN=root", "-days", "99", "-out", "root.crt"]);
        self.certify("intermediate", "ec.key", "/CN=intermediate", "root");
        self.certify("leaf", "rsa.key", "/O=Kubentra/CN=leaf", "intermediate");
        for (file, key, subject, days) in
            [("other.crt", "ec.key", "/CN=other", "30"), ("renewed.crt", "rsa.key", "/CN=renewed", "90")]
        {
            self.openssl(&["req", "-x509", "-key", key, "-subj", subject, "-days", days, "-out", file]);
        }
        fs::copy(self.path("intermediate.crt"), self.path("ca.crt")).unwrap();
        let mut ca = fs::File::options().append(true).open(self.path("ca.crt")).unwrap();
        ca.write_all(self.text("root.crt").as_bytes()).unwrap();
    }

    fn certify(&self, name: &str, key: &str, subject: &str, issuer: &str) {
        let [request, certificate] = ["csr", "crt"].map(|suffix| format!("{name}.{suffix}"));
        let issuer = format!("{issuer}.crt");
        self.openssl(&["req", "-new", "-key", key, "-subj", subject, "-out", &request]);
        let signed = ["-CA", &issuer, "-CAkey", "ec.key", "-CAcreateserial", "-days", "30", "-out", &certificate];
        self.openssl(&[&["x509", "-req", "-in", &request], &signed[..]].concat());
    }

    /// The leaf with its key and chain as PFX.
    fn pfx(&self, password: &str, options: &[&str]) -> Vec<u8> {
        let password = format!("pass:{password}");
        let parts = ["-inkey", "rsa.key", "-in", "leaf.crt", "-certfile", "ca.crt", "-passout", &password];
        self.openssl(&[&["pkcs12", "-export"], &parts[..], options].concat())
    }

    /// DER, the leaf first.
    fn chain(&self) -> Vec<Vec<u8>> {
        ["leaf.crt", "intermediate.crt", "root.crt"].map(|file| der(&self.text(file))).into()
    }

    fn validity(&self, file: &str) -> Validity {
        let der = der(&self.text(file));
        Validity::of(&X509Certificate::from_der(&der).unwrap().1)
    }

    fn path(&self, file: &str) -> std::path::PathBuf {
        self.directory.path().join(file)
    }

    fn text(&self, file: &str) -> String {
        fs::read_to_string(self.path(file)).unwrap()
    }

    /// What it wrote to stdout.
    fn openssl(&self, args: &[&str]) -> Vec<u8> {
        let done = command().args(args).current_dir(self.directory.path()).stdin(Stdio::null()).output().unwrap();
        assert!(done.status.success(), "openssl {args:?}: {}", String::from_utf8_lossy(&done.stderr));
        done.stdout
    }
}

fn is_installed() -> bool {
    let found = command().arg("version").output().is_ok();
    if !found {
        crate::skip::missing("openssl");
    }
    found
}

#[expect(clippy::disallowed_methods, reason = "the program that makes the files")]
fn command() -> Command {
    Command::new("openssl")
}
