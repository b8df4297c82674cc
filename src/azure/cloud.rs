//! The clouds of Azure.

/// A cloud of Azure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cloud {
    /// The worldwide one.
    Public,
    /// For the government of the United States.
    UsGovernment,
    /// China, run by 21Vianet.
    China,
    /// A private one, described by the file that `AZURE_ENVIRONMENT_FILEPATH` names.
    AzureStack,
}

/// The names of each cloud, compared without case; the first one is shown.
const CLOUDS: [(Cloud, &[&str]); 4] = [
    (Cloud::Public, &["AzurePublicCloud", "AzureCloud", "AzurePublic"]),
    (Cloud::UsGovernment, &["AzureUSGovernmentCloud", "AzureUSGovernment"]),
    (Cloud::China, &["AzureChinaCloud"]),
    (Cloud::AzureStack, &["AzureStackCloud"]),
];

impl Cloud {
    /// Reads a name. A typo must not end at the public cloud with another cloud's tenant and secret.
    ///
    /// # Errors
    /// The list of names.
    pub fn parse(text: &str) -> Result<Self, String> {
        let named = |names: &[&str]| names.iter().any(|name| name.eq_ignore_ascii_case(text));
        if let Some((cloud, _)) = CLOUDS.iter().find(|(_, names)| named(names)) {
            return Ok(*cloud);
        }
        let known = CLOUDS.map(|(_, names)| names[0]).join(", ");
        if text.eq_ignore_ascii_case("AzureGermanCloud") {
            return Err(format!("AzureGermanCloud was shut down in 2021, today's environments are {known}"));
        }
        Err(format!("the environment \"{text}\" is not known, the environments are {known}"))
    }
}
