//! kubentra signs `kubectl` in to AKS and Arc clusters with Entra ID.
//!
//! The library exists so that tests, benches and fuzz targets can reach inside, by one door ([`internal`]); it
//! promises no stable API.
//! Where to look first:
//!
//! - `options`: every option, declared once; `login`: every login method, a file each
//! - `commands`: a file per command, readable top to bottom; `cli` finds and starts them
//! - `obtain`: how a token is had; `cache`: what is kept between runs
//! - `federated`: the sources of federated tokens, a file each, and their exchange
//! - `entra`: authorities, requests, answers, refusals; `net`: the one HTTP client under them
//! - `managed_identity`: what hands out managed identities, a file each
//! - `kubeconfig`: reading and surgical editing; `convert`: what is planned and told; `undo`: the journal, and back
//! - `store`: private directories of encrypted files, for the cache and the journal
//! - `sys`: everything outside the process; `os`: its parts; `error`: what can go wrong and what to do

mod azure;
mod cache;
mod cache_key;
mod cli;
mod commands;
mod convert;
mod entra;
mod error;
mod exec_credential;
mod federated;
mod jwt;
mod kubeconfig;
mod login;
mod managed_identity;
mod net;
mod obtain;
mod options;
mod os;
mod outcome;
mod secret;
mod shell;
mod store;
mod sys;
mod terminal;
mod undo;
mod world;
mod yaml;

/// How a test that cannot run says so; the same for unit tests and those of the program.
#[cfg(test)]
#[path = "../tests/it/support/skip.rs"]
mod skip;

#[doc(hidden)]
pub mod internal {
    //! What the program itself, tests, benches and fuzz targets use from outside.

    pub use crate::cli::run;
    pub use crate::commands::Command;
    pub use crate::convert::plan::{ConvertRequest, Decision, plan};
    pub use crate::error::{Error, io_words};
    pub use crate::kubeconfig::document::{Auth, Change, Document, EditedDocument, Exec, Section};
    pub use crate::kubeconfig::edit::edited;
    pub use crate::kubeconfig::replace::FileChange;
    pub use crate::kubeconfig::{Encoding, KubeconfigFile};
    pub use crate::login::{METHODS, Method};
    pub use crate::options::{OptionSet, Values, args};
    pub use crate::os::env::Env;
    pub use crate::os::files::{create_locked, is_temporary, open_lock_file};
    pub use crate::sys::Sys;
    pub use crate::world::of_this_process;
    pub use crate::yaml::{Op, Patch, Tree, Value, YamlError, apply, confirm};
}
