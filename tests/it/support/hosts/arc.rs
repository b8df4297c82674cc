//! The agent of Azure Arc: who wants a token proves that it may read a file.

use super::identity::{Identity, NoIdentity, Shape, ok};
use super::imds::{invalid, refusal};
use super::{Answer, Response, Times, Visit, Who};
use serde_json::json;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// What the challenge of Arc looks like. All but the first are nothing to read a file for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// A fresh file with the extension `.key` in the right directory.
    Good,
    /// 401 without `WWW-Authenticate`.
    NoHeader,
    /// `Basic` and nothing else.
    NoRealm,
    /// Another scheme.
    Bearer,
    /// Out of the directory and back into it.
    DotDot,
    /// Another extension.
    Extension,
    /// 5000 bytes.
    TooBig,
    /// A link to such a file, in the right directory.
    Symlink,
    /// A directory with the name of a key.
    Directory,
    /// A file beside the directory.
    Outside,
    /// A file below the directory, not in it.
    Below,
    /// No such file.
    Missing,
    /// An empty file.
    Empty,
    /// Exactly this path, at which the fake writes nothing.
    Path(String),
    /// 200 at once: no challenge at all.
    Skipped,
}

/// The directory with the key files, and what is in the one that was named last.
pub(super) struct Keys {
    directory: PathBuf,
    count: usize,
    current: Option<(PathBuf, String)>,
}

impl Keys {
    pub(super) fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), count: 0, current: None }
    }

    /// Writes a file of `length` bytes at that path below the directory; gives the path.
    fn write(&mut self, name: &str, length: usize) -> PathBuf {
        let path = self.directory.join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("the directory of the keys");
        let start = format!("canary-arc-key-{}", self.count);
        let content = format!("{start:-<length$}").chars().take(length).collect::<String>();
        fs::write(&path, &content).expect("a key file");
        self.current = Some((path.clone(), content));
        path
    }
}

pub(super) fn answer(visit: &mut Visit<'_>) -> Answer {
    if visit.request.method != "GET" || visit.has_body() {
        return Err(refusal(405, "method_not_allowed", "Method not allowed"));
    }
    if visit.header("x-forwarded-for").is_some() && !visit.host.takes_forwarded() {
        return Err(invalid("X-Forwarded-For is not allowed"));
    }
    if visit.header("metadata") != Some("true") {
        return Err(refusal(400, "bad_request_102", "Required metadata header not specified"));
    }
    let query = visit.query().map_err(|why| invalid(&why))?;
    let known = ["api-version", "resource", "client_id", "object_id", "msi_res_id"];
    query.only(&known).map_err(|why| invalid(&why))?;
    if query.get("api-version") != Some("2020-06-01") {
        return Err(invalid("Invalid api-version"));
    }
    let resource = visit.resource(query.get("resource"));
    let resource = resource.ok_or_else(|| refusal(400, "invalid_resource", "The resource is not known"))?;
    let who = query.who(&["client_id"], &["object_id"], &["msi_res_id"]).map_err(|why| invalid(&why))?;
    match visit.header("authorization").map(str::to_owned) {
        None if visit.state.challenge != Challenge::Skipped => return Err(challenge(visit)),
        None => {}
        Some(presented) => check_key(visit, &presented)?,
    }
    let selected = who.filter(|_| visit.state.arc_selects);
    let identity = visit.identity_or_system(selected.as_ref()).map_err(|why| match why {
        NoIdentity::Unknown | NoIdentity::Several => invalid("Identity not found"),
    })?;
    granted(visit, identity, selected.as_ref(), &resource)
}

/// A recent agent repeats what it was asked for.
fn granted(visit: &mut Visit<'_>, identity: &Identity, selected: Option<&Who>, resource: &str) -> Answer {
    let mut body = visit.token(identity, resource, Shape { times: Times::Text, expires_in: true });
    match selected {
        Some(Who::Client(_)) => body["client_id"] = json!(identity.client_id),
        Some(Who::Object(_)) => body["object_id"] = json!(identity.oid),
        Some(Who::Arm(_)) => body["msi_res_id"] = json!(identity.arm_id),
        None => {}
    }
    ok(&body)
}

/// The key is good for one request.
fn check_key(visit: &mut Visit<'_>, presented: &str) -> Result<(), Response> {
    let expected = visit.state.arc.current.take();
    if let Some((path, _)) = &expected {
        let _ = fs::remove_file(path);
    }
    match expected {
        Some((_, content)) if presented == format!("Basic {content}") => Ok(()),
        _ => Err(refusal(403, "forbidden", "The key is not the one that was asked for")),
    }
}

fn challenge(visit: &mut Visit<'_>) -> Response {
    let keys = &mut visit.state.arc;
    keys.count += 1;
    keys.current = None;
    let name = format!("challenge-{}", keys.count);
    let (directory, key) = (keys.directory.clone(), format!("{name}.key"));
    let realm = match &visit.state.challenge {
        Challenge::Good | Challenge::NoHeader | Challenge::NoRealm | Challenge::Bearer | Challenge::Skipped => {
            keys.write(&key, 64)
        }
        Challenge::DotDot => {
            keys.write(&key, 64);
            directory.join("..").join(directory.file_name().expect("a name")).join(&key)
        }
        Challenge::Extension => keys.write(&format!("{name}.txt"), 64),
        Challenge::TooBig => keys.write(&key, 5000),
        Challenge::Symlink => {
            let target = keys.write(&format!("../{name}-elsewhere"), 64);
            let _ = fs::create_dir_all(&directory);
            symlink(target, directory.join(&key)).expect("a link");
            directory.join(&key)
        }
        Challenge::Directory => {
            fs::create_dir_all(directory.join(&key)).expect("a directory");
            directory.join(&key)
        }
        Challenge::Outside => {
            keys.write(&format!("../{key}"), 64);
            directory.parent().expect("a parent").join(&key)
        }
        Challenge::Below => keys.write(&format!("below/{key}"), 64),
        Challenge::Missing => directory.join(&key),
        Challenge::Empty => keys.write(&key, 0),
        Challenge::Path(path) => PathBuf::from(path),
    };
    let secret = keys.current.as_ref().map(|(_, content)| content.clone());
    if let Some(secret) = secret.filter(|secret| !secret.is_empty()) {
        visit.keep_secret(&secret);
    }
    let response = refusal(401, "unauthorized", "Authorization is required");
    match visit.state.challenge {
        Challenge::NoHeader => response,
        Challenge::NoRealm => response.header("WWW-Authenticate", "Basic"),
        Challenge::Bearer => response.header("WWW-Authenticate", "Bearer realm=\"arc\""),
        _ => response.header("WWW-Authenticate", &format!("Basic realm={}", realm.display())),
    }
}
