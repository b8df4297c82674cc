//! The file that describes a private cloud (go-autorest's `Environment`).

use std::path::Path;

use serde::Deserialize;

use crate::azure::id::AuthorityHost;
use crate::error::{Error, ErrorKind, io_words};
use crate::os::env::Env;

/// The variable that names it.
pub(crate) const STACK_FILE: &str = "AZURE_ENVIRONMENT_FILEPATH";

/// The one field that matters here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StackFile {
    active_directory_endpoint: String,
}

/// The authority of the private cloud whose file the environment names.
///
/// # Errors
/// No such variable, or a file that can't be read or understood.
pub(crate) fn authority(env: &Env) -> Result<AuthorityHost, Error> {
    let Some(path) = env.get(STACK_FILE) else {
        return Err(Error::new(ErrorKind::OptionMissing, "AzureStackCloud needs the file that describes the cloud")
            .remedy(format!("set {STACK_FILE} to it, or give --authority-host")));
    };
    let wrong = |why: String, remedy: &str| {
        Error::new(ErrorKind::File, format!("the Azure Stack file cannot be used: {why}"))
            .from_source(format!("{path}, named by {STACK_FILE}"))
            .remedy(remedy)
    };
    let mend = "write its activeDirectoryEndpoint as an https URL";
    let text = crate::os::files::read_text(Path::new(path), 1024 * 1024)
        .map_err(|error| wrong(io_words(&error), &format!("correct {STACK_FILE}")))?;
    let file: StackFile =
        serde_json::from_str(text.trim_start_matches('\u{feff}')).map_err(|error| wrong(error.to_string(), mend))?;
    let mut endpoint = file.active_directory_endpoint;
    if !endpoint.ends_with('/') {
        endpoint.push('/');
    }
    AuthorityHost::parse(&endpoint).map_err(|why| wrong(why, mend))
}
