//! A login method as data, and the table of them.

use crate::cache_key::CacheKey;
use crate::error::Error;
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
    /// Makes a complete login of `inputs`, or says what is missing.
    pub parse: fn(&Inputs) -> Result<Login, Error>,
}

impl Method {
    /// The method that `--login` names.
    ///
    /// # Errors
    /// The list of methods.
    pub fn find(values: &Values) -> Result<&'static Self, Error> {
        let name = values.get(&LOGIN)?.unwrap_or_default();
        METHODS.iter().copied().find(|method| method.name == name).ok_or_else(|| {
            let what = format!("'{name}' is not a supported login method. Supported method is one of {}", names());
            values.invalid(&LOGIN, what)
        })
    }

    /// The key of its tokens in the cache, to which a login adds what tells it from others.
    pub(super) fn key(&self) -> CacheKey {
        CacheKey::of_token(self.name)
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
pub(crate) fn described() -> String {
    METHODS.iter().map(|method| format!("{} ({})", method.name, method.about)).collect::<Vec<_>>().join(", ")
}

/// The methods' names, separated by commas.
pub(super) fn names() -> String {
    METHODS.iter().map(|method| method.name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::Spec;
    use super::super::fake::with_inputs;
    use super::*;
    use crate::azure::cloud;
    use crate::entra::Audience;
    use crate::options::{Condition, OptionSet, TABLE};

    const METHODS_MD: &str = include_str!("../../docs/LOGIN_METHODS.md");
    const DOCS: [&str; 4] = [
        METHODS_MD,
        include_str!("../../docs/KUBECONFIG.md"),
        include_str!("../../docs/COMPATIBILITY.md"),
        include_str!("../../README.md"),
    ];

    /// One that is forgotten in the tables of the methods would be lost when an entry is converted.
    #[test]
    fn convert_can_write_every_option_of_get_token() {
        for decl in OptionSet::TOKEN.iter() {
            let writes = |method: &&Method| method.written().any(|argument| argument.decl == decl);
            let of_no_entry = *decl == LOGIN.decl || OptionSet::COMMON.has(decl);
            assert_ne!(METHODS.iter().any(writes), of_no_entry, "--{}", decl.name);
        }
    }

    /// Another audience than the cluster's, for instance ARM's, is one value.
    #[test]
    fn a_token_for_another_audience_needs_no_option() {
        let arm = cloud::of_login_host("login.microsoftonline.com").unwrap().arm.unwrap().audience;
        for method in METHODS {
            let line = format!("-l {} -t t --client-id c --client-secret s --username u --password p", method.name);
            with_inputs(&line, [], |inputs| {
                let named =
                    Spec::parse(&Inputs { audience: Some(arm), ..*inputs }).err().map(|error| error.to_string());
                assert!(!named.unwrap_or_default().contains("server-id"), "{}", method.name);
            });
        }
        with_inputs("-l spn -t t --client-id c --client-secret s", [], |inputs| {
            let spec = Spec::parse(&Inputs { audience: Some(arm), ..*inputs }).unwrap();
            assert_eq!(spec.login.request.as_ref().unwrap().audience, Audience::scope(arm));
            assert_eq!(spec.summary().server.as_deref(), Some(arm));
        });
    }

    #[test]
    fn get_token_reads_all_that_convert_writes() {
        for argument in METHODS.iter().flat_map(|method| method.written()) {
            assert!(OptionSet::TOKEN.has(argument.decl), "--{}", argument.decl.name);
        }
    }

    #[test]
    fn variables_of_one_method_name_a_method() {
        for var in TABLE.iter().flat_map(|decl| decl.vars) {
            let Condition::Login(name) = var.when else { continue };
            assert!(METHODS.iter().any(|method| method.name == name), "{} is read with {name}", var.name);
        }
    }

    /// A job's own login is of no use elsewhere, and `auto` may find none with such tokens.
    #[test]
    fn the_advice_names_the_methods_with_bound_tokens() {
        let line = "-l azurecli --server-id S --pop-enabled --pop-claims u=/x";
        let error = with_inputs(line, [], |inputs| Spec::parse(inputs).err().unwrap().to_string());
        let advised = error.split("use ").nth(1).unwrap();
        for method in METHODS {
            let is_bound = method.arguments.iter().any(|own| *own.decl == POP_ENABLED.decl);
            let expected = is_bound && !["azurepipelines", "auto"].contains(&method.name);
            let named = advised.split([' ', ',']).any(|word| word == method.name);
            assert_eq!(named, expected, "{} in: {error}", method.name);
        }
    }

    #[test]
    fn the_table_of_the_documentation_holds_the_methods_and_no_others() {
        let rows = METHODS_MD.lines().skip_while(|line| !line.starts_with("|---")).skip(1);
        let cells = rows.map_while(|line| line.strip_prefix("| ")?.split(" | ").next());
        let mut told: Vec<&str> = cells.flat_map(|cell| cell.split(", ")).map(|name| name.trim_matches('`')).collect();
        let mut there: Vec<&str> = METHODS.iter().map(|method| method.name).collect();
        told.sort_unstable();
        there.sort_unstable();
        assert_eq!(told, there);
    }

    #[test]
    fn every_flag_stands_in_the_documentation() {
        let in_name = |c: char| c.is_ascii_alphanumeric() || c == '-';
        for decl in TABLE {
            let flag = if decl.name.len() == 1 { format!("-{}", decl.name) } else { decl.flag() };
            let stands = |text: &&str| text.split(|c| !in_name(c)).any(|word| word == flag);
            assert!(DOCS.iter().any(stands), "{flag} stands nowhere");
        }
    }
}
