//! Parameters of a query or a form, each at most once.

use super::Who;

type OfKind = fn(String) -> Who;

/// The parameters, decoded, in the order sent.
pub(super) struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    /// `Err` says which parameter is there twice or has no `=`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for part in text.split('&').filter(|_| !text.is_empty()) {
            if !part.contains('=') {
                return Err(format!("a parameter without '=': '{part}'"));
            }
            let (name, value) = form_urlencoded::parse(part.as_bytes()).next().unwrap_or_default();
            if pairs.iter().any(|(known, _)| *known == name) {
                return Err(format!("the parameter '{name}' is there twice"));
            }
            pairs.push((name.into_owned(), value.into_owned()));
        }
        Ok(Self { pairs })
    }

    /// A parameter; unlike in a form of OAuth an empty one is there, and wrong.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// `Err` names a parameter that is not in `allowed`.
    pub(super) fn only(&self, allowed: &[&str]) -> Result<(), String> {
        let mut names = self.pairs.iter().map(|(name, _)| name.as_str());
        match names.find(|name| !allowed.contains(name)) {
            None => Ok(()),
            Some(name) => Err(format!("unknown parameter '{name}'")),
        }
    }

    /// Which identity is meant, by the names that a host has for client id, object id and ARM id.
    /// `Err` if it is said twice.
    pub(super) fn who(&self, client: &[&str], object: &[&str], arm: &[&str]) -> Result<Option<Who>, String> {
        let kinds: [(&[&str], OfKind); 3] = [(client, Who::Client), (object, Who::Object), (arm, Who::Arm)];
        let mut said = Vec::new();
        for (names, kind) in kinds {
            said.extend(names.iter().filter_map(|name| self.get(name)).map(|value| kind(value.to_owned())));
        }
        match said.len() {
            0 | 1 => Ok(said.pop()),
            _ => Err("more than one of the parameters that select an identity".to_owned()),
        }
    }
}
