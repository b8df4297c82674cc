//! The table of situations that end without a token: what each means, whose turn it is, and what
//! to do next. Every error message draws on it.
//!
//! AADSTS codes and their meanings follow Entra's list of error codes; it says that codes and
//! texts may change, so they choose the words that people read and little else
//! (see [`crate::entra::error`] for the decisions, which rest on `error` and `suberror`).

/// Who has to act before the same command can work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Responsible {
    /// The person or pipeline that ran the command.
    You,
    /// An administrator of the Entra tenant.
    Administrator,
    /// Whoever runs the network, proxy or DNS in between.
    Network,
    /// Nobody: it passes by itself.
    Time,
    /// Us: the request was malformed.
    Kubentra,
}

impl Responsible {
    /// How a remedy is introduced, so that the reader knows who is meant.
    pub fn address(self) -> &'static str {
        match self {
            Responsible::You => "",
            Responsible::Administrator => "ask an administrator of the tenant to ",
            Responsible::Network => "ask whoever runs the network to ",
            Responsible::Time => "wait, then ",
            Responsible::Kubentra => "this is a fault of kubentra: ",
        }
    }
}

/// One situation. `remedy` reads on from [`Responsible::address`]; an error may bring a closer one.
#[derive(Debug, PartialEq, Eq)]
pub struct Situation {
    /// The AADSTS codes that mean it; empty for situations that Entra has no part in.
    pub codes: &'static [u32],
    /// What happened, in a few words.
    pub meaning: &'static str,
    /// Whose turn it is.
    pub turn: Responsible,
    /// What to do next; empty where the meaning says it all.
    pub remedy: &'static str,
}

/// The situation that an AADSTS code stands for, if it is one that users meet.
pub fn of_code(code: u32) -> Option<&'static Situation> {
    ALL.iter().copied().find(|situation| situation.codes.contains(&code))
}

macro_rules! situations {
    ($($(#[$doc:meta])* $name:ident = $codes:expr, $turn:ident, $meaning:expr, $remedy:expr;)*) => {
        $($(#[$doc])* pub static $name: Situation = Situation {
            codes: &$codes, meaning: $meaning, turn: Responsible::$turn, remedy: $remedy,
        };)*
        /// Every situation, in the order of the table.
        pub static ALL: &[&Situation] = &[$(&$name),*];
    };
}

situations! {
    // --- The command line, the environment and files -------------------------------------
    /// A flag, argument or command that does not exist or does not parse.
    USAGE = [], You, "the command line is wrong", "see --help";
    /// A value that the login needs is missing.
    OPTION_MISSING = [], You, "a value is missing", "";
    /// A value was given and makes no sense.
    OPTION_INVALID = [], You, "a value is invalid", "";
    /// `KUBERNETES_EXEC_INFO` is not what kubectl would send.
    EXEC_INFO = [], You, "KUBERNETES_EXEC_INFO is not understood",
        "use apiVersion client.authentication.k8s.io/v1 or v1beta1 in the exec entry";
    /// A file could not be read or written.
    FILE = [], You, "a file could not be used", "";
    /// Something that is kept is of no use until somebody does something.
    NEEDS_ATTENTION = [], You, "something needs attention", "the end of the report says what to do";
    /// A kubeconfig could not be understood or converted.
    KUBECONFIG = [], You, "the kubeconfig cannot be converted", "";
    /// An edit of a kubeconfig could not be taken back.
    UNDO = [], You, "the edit cannot be taken back", "";
    /// The cache directory belongs to someone else or is not a directory of ours.
    CACHE_REFUSED = [], You, "the cache directory is refused", "";

    /// The key of proof-of-possession tokens can't be made or used.
    KEY = [], Kubentra, "the key of proof-of-possession tokens cannot be used", "run the command again";

    // --- Where secrets may go ------------------------------------------------------------
    /// A host that is no known Entra authority and that the user has not named.
    UNTRUSTED_AUTHORITY = [], You, "the authority host is not a known Entra authority", "";

    // --- The machine, its build system and other programs -----------------------------------
    /// Nothing on this machine hands out a managed identity.
    NO_IDENTITY_HOST = [], You, "this machine has no managed identity", "";
    /// The host knows no such identity.
    IDENTITY_UNKNOWN = [], You, "there is no such identity on this machine", "";
    /// The host does not give the token.
    HOST_REFUSED = [], You, "the host does not give a token", "";
    /// The host's answer can't be used.
    HOST_ANSWER = [], You, "the answer of the host cannot be used", "";
    /// An assertion could not be had from where it should come from.
    ASSERTION_SOURCE = [], You, "the federated token cannot be had", "";
    /// A program could not be run.
    TOOL = [], You, "a program could not be run", "run it by hand to see what it needs";

    // --- Other tools -----------------------------------------------------------------------
    /// az or azd is not there.
    TOOL_MISSING = [], You, "another program is not installed", "";
    /// az or azd is there, and nobody is signed in to it.
    TOOL_SIGNED_OUT = [], You, "another program is not signed in", "";
    /// az or azd is signed in, and not to what was asked for.
    TOOL_ACCOUNT = [], You, "another program is signed in to something else", "";
    /// az or azd has failed in a way that it describes best itself.
    TOOL_FAILED = [], You, "another program has failed", "";
    /// What az or azd printed is no token.
    TOOL_ANSWER = [], You, "the answer of another program is not understood", "";

    // --- The network ---------------------------------------------------------------------
    /// The name of the host has no address.
    NAME_NOT_FOUND = [], Network, "the host name was not found",
        "check the DNS of this machine, or set HTTPS_PROXY if the network needs a proxy";
    /// Nothing listens there.
    CONNECTION_REFUSED = [], Network, "the connection was refused",
        "let this machine reach the host, or set HTTPS_PROXY if the network needs a proxy";
    /// The connection broke, or was never answered.
    CONNECTION_BROKEN = [], Network, "the connection broke",
        "let this machine reach the host, or set HTTPS_PROXY if the network needs a proxy";
    /// The answer began and did not end.
    ANSWER_BROKEN = [], Network, "the answer broke off",
        "let this machine reach the host, or set HTTPS_PROXY if the network needs a proxy";
    /// The server's certificate was not accepted.
    TLS = [], You, "the server's certificate is not trusted", "";
    /// The proxy did not let us through.
    PROXY = [], You, "the proxy did not connect us", "check HTTPS_PROXY and NO_PROXY";
    /// The time that the command had is over.
    DEADLINE = [], Time, "no answer in time", "try again, or give a longer --timeout";
    /// The answer was not one of Entra's.
    NOT_ENTRA = [], Network, "the answer is not one of Entra's",
        "look for a proxy or login page between this machine and the host";
    /// A token request was answered with a redirect, which is never followed.
    REDIRECTED = [], Network, "the token request was redirected",
        "look for a proxy or login page between this machine and the host";
    /// 429 or 5xx that outlasted the retries.
    UNAVAILABLE = [90033, 90006, 90013, 50196, 90055], Time, "Entra is busy or limits requests",
        "run the command again";
    /// The clock of this machine is off by more than Entra tolerates.
    CLOCK_SKEW = [], You, "the clock of this machine is wrong", "set the clock (NTP), then try again";

    // --- People --------------------------------------------------------------------------
    /// A sign-in needs a person, and nobody could see the prompt.
    NOBODY_THERE = [], You, "signing in needs a person, and nobody can see the prompt here", "";
    /// The person did not finish in time.
    SIGN_IN_EXPIRED = [70020, 70019], You, "nobody finished the sign-in in time", "run the command again";
    /// The person said no.
    SIGN_IN_DECLINED = [65004], You, "the sign-in was declined", "run the command again in half a minute, and approve it";
    /// The port that the browser comes back to can't be listened on.
    REDIRECT_PORT = [], You, "the port that the browser comes back to cannot be used",
        "end the program that listens there, or give another port";
    /// A sign-in just failed; the next processes do not ask again for a short time.
    SIGN_IN_JUST_FAILED = [], You, "a sign-in for the same cluster has just failed", "";
    /// Ctrl-C.
    INTERRUPTED = [], You, "interrupted", "";

    /// Somebody else than the one who was named.
    OTHER_ACCOUNT = [], You, "somebody else has signed in", "";
    /// Not one account but several, or none, could be meant.
    ACCOUNT_CHOICE = [], You, "it is not clear which account is meant", "name one with --account";

    // --- Client certificates ---------------------------------------------------------------
    /// The file has no key and certificate that could sign for Entra.
    CERTIFICATE_FILE = [], You, "the client certificate's file cannot be used", "";
    /// Today is outside of its validity.
    CERTIFICATE_EXPIRED = [], You, "the client certificate is not valid today",
        "renew it and upload the new one to the app registration";
    /// Its file has a password, and not the one that was given.
    CERTIFICATE_PASSWORD = [], You, "the client certificate's file needs its password",
        "give its password with --client-certificate-password-file or AZURE_CLIENT_CERTIFICATE_PASSWORD";

    // --- What Entra says of secrets and apps ----------------------------------------------
    /// Wrong client secret.
    SECRET_WRONG = [7_000_215, 70002], You, "the client secret is wrong",
        "use the secret's value, not its ID, and the secret of this very app";
    /// Expired client secret.
    SECRET_EXPIRED = [7_000_222], You, "the client secret has expired",
        "make a new one in the app registration and use its value";
    /// The app isn't known in the tenant.
    APP_UNKNOWN = [700_016, 70001, 70000], You, "the client app was not found in this tenant",
        "check the client ID and the tenant ID";
    /// The app has no service principal in the tenant.
    APP_NOT_INSTALLED = [7_000_229], Administrator, "the client app has no service principal in this tenant",
        "create one (az ad sp create --id CLIENT_ID)";
    /// The app is disabled or not permitted.
    APP_DISABLED = [7_000_112, 7_000_113], Administrator, "the client app is disabled or not permitted",
        "enable the app";
    /// The app is a public client.
    APP_PUBLIC = [700_025], You, "this app is a public client and takes no secret, certificate or federated token",
        "give the client ID of your own application, not the one that people sign in with";
    /// The app is not a public client.
    APP_NOT_PUBLIC = [7_000_218], You, "this app needs a secret or certificate to sign in",
        "use --login spn, or turn on `Allow public client flows` in the app registration";
    /// The certificate is not registered, or the signature is wrong.
    CERTIFICATE_UNKNOWN = [700_027], You, "the client certificate is not registered for this app",
        "upload that certificate to the app registration";
    /// The certificate's subject or issuer is not the trusted one.
    CERTIFICATE_NAME = [700_030], Administrator, "subject or issuer of the client certificate is not the registered one",
        "correct the trusted subject name and issuer of the app";
    /// An assertion outside of its validity, or a bad one.
    ASSERTION_INVALID = [700_024, 50012, 50013, 500_133], You, "the assertion is expired or not valid",
        "check the clock of this machine and that the token file is fresh";
    /// No federated credential matches the assertion.
    FEDERATION_MISMATCH = [70021, 700_211, 700_212, 700_213, 7_002_137, 7_002_138], Administrator,
        "no federated credential of the app matches the assertion",
        "compare issuer, subject and audience with the app's federated credential, letter by letter";
    /// The external issuer can't be reached by Entra.
    ISSUER_UNREACHABLE = [90061], You, "Entra cannot reach the issuer of the assertion",
        "make the issuer's OpenID configuration publicly readable";

    // --- What Entra says of tenants, resources and consent ---------------------------------
    /// The tenant does not exist in this cloud.
    TENANT_UNKNOWN = [90002, 900_023], You, "the tenant was not found",
        "check the tenant ID, and --environment for another cloud";
    /// No tenant was given.
    TENANT_MISSING = [50059, 90019, 50194], You, "the request names no tenant", "pass --tenant-id";
    /// The tenant lives in another cloud.
    OTHER_CLOUD = [90038, 900_382, 900_432], You, "the tenant is in another cloud", "set --environment";
    /// Unknown authority.
    AUTHORITY_UNKNOWN = [50049], You, "Entra does not know this authority", "check --authority-host";
    /// The audience isn't known in the tenant.
    SERVER_APP_UNKNOWN = [50001, 500_011], You, "the server app was not found in this tenant",
        "check --server-id and the tenant; for a new tenant an administrator has to consent first";
    /// The scope is malformed.
    SCOPE_INVALID = [70011, 1_002_012, 901_002], You, "Entra does not accept this audience", "check --server-id";
    /// Consent is missing.
    CONSENT_MISSING = [65001, 65002, 90090, 90094, 90095, 650_052, 650_057], Administrator,
        "nobody has consented to this app for that resource", "grant admin consent to the app";
    /// The user isn't assigned to the app.
    NOT_ASSIGNED = [50105], Administrator, "the user is not assigned to the app", "assign the user to the app";

    // --- What Entra says of people ----------------------------------------------------------
    /// The user doesn't exist in the tenant.
    USER_UNKNOWN = [50034, 50020, 90072], You, "the user is not in this tenant",
        "check the tenant ID, or have the user invited as a guest";
    /// Wrong password or user name.
    PASSWORD_WRONG = [50126], You, "user name or password is wrong", "try again";
    /// Somebody else than Entra checks the passwords of this user.
    PASSWORD_ELSEWHERE = [], You, "passwords of this user are not checked by Entra",
        "use --login interactive or devicecode, which lead to the organisation's own page";
    /// Locked out.
    LOCKED_OUT = [50053], Time, "the account is locked for now", "try again, or ask an administrator";
    /// Password expired.
    PASSWORD_EXPIRED = [50055], You, "the password has expired", "change it, then sign in again";
    /// Account disabled.
    ACCOUNT_DISABLED = [50057], Administrator, "the account is disabled", "enable it";
    /// More than one session, or none.
    ACCOUNT_UNCLEAR = [16000, 50058], You, "it is not clear which account is meant", "sign in again";
    /// MFA is needed.
    MFA_NEEDED = [50072, 50079, 50074, 50076, 50078, 50158], You, "Entra wants another factor (MFA)",
        "sign in again";
    /// The sign-in has ended: password change, revocation, sign-in frequency.
    GRANT_ENDED = [50014, 50132, 50133, 50173, 70008, 700_082, 700_084, 70043], You,
        "the earlier sign-in is no longer valid", "sign in again";
    /// The device does not satisfy a policy.
    DEVICE_REFUSED = [50097, 50005, 53000, 53001, 53002, 530_032, 50131], You,
        "a policy of the tenant does not allow this device", "sign in from a managed device";
    /// Conditional Access.
    POLICY_REFUSED = [53003, 530_034, 530_035, 530_036], Administrator,
        "Conditional Access blocks this way of signing in",
        "say which policy applies";
    /// The person has to confirm something in the browser.
    CONFIRM_IN_BROWSER = [50199], You, "Entra wants a confirmation in the browser", "finish it there";
    /// The device code is no longer good.
    CODE_UNUSABLE = [70012, 70018, 50134, 54005], You, "the sign-in code is no longer good", "run the command again";
    /// The redirect URI is not registered.
    REDIRECT_UNREGISTERED = [50011], You, "the redirect URI is not registered",
        "add http://localhost as a mobile and desktop redirect of the app";
    /// A malformed request.
    MALFORMED = [9_002_313, 90014, 900_144, 501_481], Kubentra, "Entra found the request malformed",
        "please report it with the details that -v 1 prints";
    /// Anything else that Entra refuses.
    REFUSED = [], You, "Entra refused the request", "run again with -v 1 for the correlation ID that support needs";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_code_belongs_to_one_situation() {
        let mut seen = BTreeSet::new();
        for code in ALL.iter().flat_map(|s| s.codes) {
            assert!(seen.insert(code), "AADSTS{code} stands in two situations");
        }
    }

    #[test]
    fn texts_follow_the_message_form() {
        for s in ALL {
            assert!(!s.meaning.ends_with('.') && !s.remedy.ends_with('.'), "{}", s.meaning);
            assert!(!s.meaning.is_empty());
        }
    }

    #[test]
    fn every_code_that_users_meet_has_its_words() {
        // The codes of the project's reference on Entra, section 8; 70016 is never shown.
        let met = [
            16000, 50001, 500_011, 50005, 50011, 50012, 50013, 500_133, 50014, 50132, 50133, 50173, 50020, 50034,
            50049, 50053, 50055, 50057, 50058, 50059, 50072, 50079, 50074, 50076, 50078, 50097, 50105, 50126, 50131,
            53003, 530_034, 530_035, 50134, 50158, 50194, 50196, 50199, 501_481, 53000, 53001, 53002, 530_032, 54005,
            65001, 65002, 65004, 650_052, 650_057, 70000, 70001, 700_016, 70002, 7_000_215, 7_000_222, 7_000_218,
            7_000_112, 7_000_113, 7_000_229, 70008, 700_082, 700_084, 70043, 70011, 1_002_012, 70012, 70018, 70019,
            70020, 70021, 700_211, 700_212, 700_213, 7_002_137, 7_002_138, 700_024, 700_027, 700_030, 90002, 900_023,
            90013, 90014, 900_144, 90019, 90033, 90006, 90038, 900_382, 900_432, 90055, 90061, 90072, 90090, 90094,
            90095, 901_002, 9_002_313,
        ];
        for code in met {
            assert!(of_code(code).is_some(), "AADSTS{code}");
        }
    }
}
