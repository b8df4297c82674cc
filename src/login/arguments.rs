//! What `convert-kubeconfig` writes into an exec entry, option by option, and where it takes each value from.

use crate::options::{
    AUTHORITY_HOST, CACHE_DIR, CACHE_STORAGE, DISABLE_ENVIRONMENT_OVERRIDE, DISABLE_INSTANCE_DISCOVERY, Decl,
    LOGIN_TIMEOUT, Opt, POP_LIFETIME, SERVER_ID, TIMEOUT, USE_AZURERM_ENV_VARS,
};

/// An option of a method in a kubeconfig entry.
pub struct EntryArgument {
    /// The option.
    pub decl: &'static Decl,
    /// Where `convert-kubeconfig` takes its value from.
    pub rule: WriteRule,
    /// Another option that says the same; only one of them is written, the typed one first.
    pub exclusive_with: Option<&'static Decl>,
    /// Another option that says the same and goes before: beside it this one is not written.
    pub overridden_by: Option<&'static Decl>,
    /// Another option that goes with it, and that means another thing than the source entry where it is typed
    /// alone: what the entry says is dropped then.
    pub replaced_by: Option<&'static Decl>,
}

impl EntryArgument {
    pub(super) const fn unless<T>(mut self, rival: &'static Opt<T>) -> Self {
        self.exclusive_with = Some(&rival.decl);
        self
    }

    pub(super) const fn replaced_by<T>(mut self, newer: &'static Opt<T>) -> Self {
        self.replaced_by = Some(&newer.decl);
        self
    }

    pub(super) const fn behind<T>(mut self, stronger: &'static Opt<T>) -> Self {
        self.overridden_by = Some(&stronger.decl);
        self
    }
}

/// Where `convert-kubeconfig` takes a value from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteRule {
    /// The typed flag, else the source entry; without either the entry can't be converted.
    Required,
    /// The typed flag, else the source entry.
    Inherited,
    /// The same, unless it says what holds without it: kubelogin writes no environment for these
    /// methods, and in another cloud than the public one they need it.
    InheritedUnlessDefault,
    /// The typed flag, else the source entry if that is of the same method: az converts every entry
    /// again, without a flag, whenever it fetches another cluster's.
    InheritedFromSameMethod,
    /// The typed flag only: what a source entry says is dropped.
    FlagOnly,
}

impl WriteRule {
    pub(super) const fn of<T>(self, option: &'static Opt<T>) -> EntryArgument {
        EntryArgument { decl: &option.decl, rule: self, exclusive_with: None, overridden_by: None, replaced_by: None }
    }
}

/// What every entry begins with, after `get-token --login METHOD`.
pub(super) static COMMON_FIRST: &[EntryArgument] =
    &[WriteRule::Required.of(&SERVER_ID), WriteRule::Inherited.of(&CACHE_DIR)];

/// What every entry may end with, in this order, which is not that of the help. Azure/kubelogin accepts these
/// and forgets to write them.
pub(super) static COMMON_LAST: &[EntryArgument] = &[
    WriteRule::Inherited.of(&AUTHORITY_HOST),
    WriteRule::Inherited.of(&DISABLE_ENVIRONMENT_OVERRIDE),
    WriteRule::Inherited.of(&USE_AZURERM_ENV_VARS),
    WriteRule::Inherited.of(&DISABLE_INSTANCE_DISCOVERY),
    WriteRule::Inherited.of(&TIMEOUT),
    WriteRule::Inherited.of(&LOGIN_TIMEOUT),
    WriteRule::Inherited.of(&POP_LIFETIME),
    WriteRule::Inherited.of(&CACHE_STORAGE),
];
