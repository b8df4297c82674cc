//! Edits of users, in every style that a kubeconfig is written in.

mod entries;
mod env;
mod exec_edit;
pub(super) mod support;
mod text;
mod write;
