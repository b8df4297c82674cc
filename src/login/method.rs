//! A login method as data, and the table of them.

use crate::error::{Error, ErrorKind};
use crate::options::{Decl, Inputs, LOGIN, POP_ENABLED, POP_LIFETIME, Values};

use super::arguments::{COMMON_FIRST, COMMON_LAST, EntryArgument};
use super::{Login, auto, azd, azurecli, azurepipelines, devicecode, interactive, msi, ropc, spn, workloadidentity};

/// Every login method, in the order of the messages that list them.
pub static METHODS: &[&Method] = &[
    &devicecode::METHOD,
    &interactive::METHOD,
    &spn::METHOD,
    &ropc::METHOD,
    &msi::METHOD,
    &azurecli::METHOD,
    &azd::METHOD,
    &workloadidentity::METHOD,
    &azurepipelines::METHOD,
    &auto::METHOD,
];

/// A login method as data.
pub struct Method {
    /// The value of `--login`.
    pub name: &'static str,
    /// One line for people.
    pub about: &'static str,
    /// The options it reads besides the common ones, and how `convert-kubeconfig` writes each, in
    /// this order.
    pub arguments: &'static [EntryArgument],
    /// Options of `convert-kubeconfig` that become variables of the entry, each with the
    /// variable's name.
    pub variables: &'static [(&'static Decl, &'static str)],
    /// Makes a complete login of `choices`, or says what is missing.
    pub parse: fn(&Inputs) -> Result<Box<dyn Login>, Error>,
}

impl Method {
    /// The method that `--login` names.
    ///
    /// # Errors
    /// The list of methods.
    pub fn find(values: &Values) -> Result<&'static Self, Error> {
        let name = values.get(&LOGIN)?.unwrap_or_default();
        METHODS.iter().copied().find(|method| method.name == name).ok_or_else(|| {
            let source = values.source(&LOGIN).map(ToString::to_string).unwrap_or_default();
            let what = format!("'{name}' is not a supported login method. Supported method is one of {}", names());
            Error::new(ErrorKind::OptionInvalid, what).remedy(format!("correct {source}")).from_source(source)
        })
    }

    /// Every option that an entry of this method may hold, in the order in which they are written.
    pub fn written(&self) -> impl Iterator<Item = &'static EntryArgument> {
        let own = self.arguments.iter();
        let again = |trailing: &&EntryArgument| !self.arguments.iter().any(|own| own.decl == trailing.decl);
        let is_bound = self.arguments.iter().any(|own| *own.decl == POP_ENABLED.decl);
        let counts = move |trailing: &&EntryArgument| is_bound || *trailing.decl != POP_LIFETIME.decl;
        COMMON_FIRST.iter().chain(own).chain(COMMON_LAST.iter().filter(again).filter(counts))
    }
}

/// The methods with what each is, for the help.
pub fn described() -> String {
    METHODS.iter().map(|method| format!("{} ({})", method.name, method.about)).collect::<Vec<_>>().join(", ")
}

/// The methods' names, separated by commas.
pub fn names() -> String {
    METHODS.iter().map(|method| method.name).collect::<Vec<_>>().join(", ")
}
