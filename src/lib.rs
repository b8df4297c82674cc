//! kubentra signs `kubectl` in to AKS and Arc clusters with Entra ID.
//!
//! The library exists so that tests and benches can reach inside; it promises no stable API.
//! Where to look first:
//!
//! - [`options`]: every option, declared once; [`login`]: every login method, a file each
//! - [`commands`]: a file per command, readable top to bottom; [`cli`] finds and starts them
//! - [`obtain`]: how a token is had; [`cache`]: what is kept between runs
//! - [`federated`]: the sources of federated tokens, a file each, and their exchange
//! - [`entra`]: authorities, requests, answers, refusals; [`net`]: the one HTTP client under them
//! - [`managed_identity`]: what hands out managed identities, a file each
//! - [`kubeconfig`]: reading and surgical editing; [`convert`]: what is planned and told; [`undo`]: the journal, and back
//! - `store`: private directories of encrypted files, for the cache and the journal
//! - [`sys`]: everything outside the process; [`os`]: its parts; [`error`]: what can go wrong and what to do

pub mod azure;
pub mod cache;
pub mod cache_key;
pub mod cli;
pub mod commands;
pub mod convert;
pub mod entra;
pub mod error;
pub mod exec_credential;
pub mod federated;
mod jwt;
pub mod kubeconfig;
pub mod login;
pub mod managed_identity;
pub mod net;
pub mod obtain;
pub mod options;
pub mod os;
pub mod outcome;
pub mod secret;
mod shell;
pub mod store;
pub mod sys;
pub mod terminal;
pub mod undo;
pub mod world;

/// How a test that cannot run says so; the same for unit tests and those of the program.
#[cfg(test)]
#[path = "../tests/it/support/skip.rs"]
mod skip;
