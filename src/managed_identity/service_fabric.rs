//! Service Fabric, whose certificate is known by its thumbprint alone, and whose identity is chosen
//! when the application is deployed.

use crate::error::{Error, ErrorKind};
use crate::os::env::Env;
use crate::secret::Secret;
use crate::sys::http::{Request, TOKEN_GIVER, Transport};

use super::{
    Host, IDENTITY_ENDPOINT, IDENTITY_HEADER, IDENTITY_SERVER_THUMBPRINT, IdentityError, IdentityRequest,
    ManagedIdentitySource, app_service, endpoint, header, question,
};

/// The endpoint of one service.
pub(super) struct ServiceFabric {
    host: Host,
    header: Secret,
    thumbprint: [u8; 20],
}

impl ServiceFabric {
    pub(super) fn from_env(env: &Env) -> Result<Self, Error> {
        let endpoint = endpoint(env, IDENTITY_ENDPOINT)?;
        if endpoint.scheme() != "https" {
            let what = "the address of the managed identity cannot be used: Service Fabric is known by its certificate, and it is not https";
            return Err(Error::new(ErrorKind::OptionInvalid, what)
                .from_source(IDENTITY_ENDPOINT)
                .remedy(format!("correct {IDENTITY_ENDPOINT}, or unset {IDENTITY_SERVER_THUMBPRINT}")));
        }
        Ok(Self {
            host: Host { name: "Service Fabric", endpoint, named_by: Some(IDENTITY_ENDPOINT), parameters: &[] },
            header: header(env, IDENTITY_HEADER)?,
            thumbprint: thumbprint(env.get(IDENTITY_SERVER_THUMBPRINT).unwrap_or_default())?,
        })
    }
}

/// A SHA-1 in hexadecimal, in any case, with or without colons.
fn thumbprint(text: &str) -> Result<[u8; 20], Error> {
    let digits: Option<Vec<u32>> = text.chars().filter(|c| *c != ':').map(|c| c.to_digit(16)).collect();
    let bytes = digits.filter(|digits| digits.len() == 40).map(|digits| {
        let mut bytes = [0; 20];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
            *byte = pair.iter().fold(0, |value, digit| value << 4 | u8::try_from(*digit).unwrap_or_default());
        }
        bytes
    });
    bytes.ok_or_else(|| {
        Error::new(ErrorKind::OptionInvalid, "the thumbprint is not 40 hexadecimal digits")
            .from_source(IDENTITY_SERVER_THUMBPRINT)
            .remedy(format!("correct {IDENTITY_SERVER_THUMBPRINT}; Service Fabric sets it"))
    })
}

impl ManagedIdentitySource for ServiceFabric {
    fn host(&self) -> &Host {
        &self.host
    }

    fn request(&self, wanted: &IdentityRequest) -> Request {
        Request::get(question(&self.host, "2019-07-01-preview", wanted), &TOKEN_GIVER)
            .header("Secret", self.header.expose())
            .over(pinned(self.thumbprint))
    }

    fn explain(&self, refusal: &IdentityError, _: &IdentityRequest) -> Option<Error> {
        match (refusal.status, refusal.code.as_str()) {
            (401, _) | (_, "SecretHeaderNotFound") => {
                Some(app_service::header_refused(self.host.name, IDENTITY_HEADER))
            }
            (_, "ManagedIdentityNotFound") => Some(no_identity()),
            _ => None,
        }
    }
}

/// Its certificate is signed by itself; the thumbprint comes with the process's environment.
fn pinned(sha1: [u8; 20]) -> Transport {
    let remedy = "restart the service, so that its environment is that of the node again";
    Transport::Pinned { sha1, named_by: IDENTITY_SERVER_THUMBPRINT, remedy }
}

fn no_identity() -> Error {
    Error::new(ErrorKind::IdentityUnknown, "Service Fabric knows no identity of this service")
        .remedy("give the service an identity in the application's manifest, and deploy it again")
}

#[cfg(test)]
mod tests {
    use super::super::fake::{answer, ask, granted};
    use super::*;
    use crate::sys::http::Method;
    use crate::sys::http::fake::Recorded;

    const THUMBPRINT: &str = "00:11:22:33:44:55:66:77:88:99:aA:Bb:cC:Dd:eE:Ff:00:11:22:33";
    const ENV: [(&str, &str); 3] = [
        (IDENTITY_ENDPOINT, "https://10.0.0.4:2377/metadata/identity/oauth2/token"),
        (IDENTITY_HEADER, "HEADER"),
        (IDENTITY_SERVER_THUMBPRINT, THUMBPRINT),
    ];

    #[test]
    fn the_request() {
        let outcome = ask(ENV, None, vec![granted()]);
        assert_eq!(outcome.result.unwrap().access_token.expose(), "TOKEN");
        let pin = [0, 17, 34, 51, 68, 85, 102, 119, 136, 153, 170, 187, 204, 221, 238, 255, 0, 17, 34, 51];
        let expected = Recorded {
            method: Method::Get,
            url:
                "https://10.0.0.4:2377/metadata/identity/oauth2/token?api-version=2019-07-01-preview&resource=6dae42f8"
                    .into(),
            headers: vec![("Secret", "HEADER".into())],
            body: String::new(),
            way: pinned(pin),
        };
        assert_eq!(outcome.requests, [expected]);
    }

    #[test]
    fn thumbprints_that_are_none() {
        for bad in ["", "00", &"0".repeat(41), &"g".repeat(40), &"é".repeat(20)] {
            assert_eq!(
                thumbprint(bad).unwrap_err().to_string(),
                "the thumbprint is not 40 hexadecimal digits (IDENTITY_SERVER_THUMBPRINT); \
                 correct IDENTITY_SERVER_THUMBPRINT; Service Fabric sets it"
            );
        }
    }

    #[test]
    fn refusals() {
        let refused = |status, code: &str, times| {
            let body = format!(r#"{{"error":{{"code":"{code}","message":"Words.","correlationId":"x"}}}}"#);
            ask(ENV, None, (0..times).map(|_| answer(status, &body)).collect())
        };
        assert!(refused(404, "ManagedIdentityNotFound", 1).is(ErrorKind::IdentityUnknown));
        assert!(refused(401, "ManagedIdentityNotFound", 1).error().contains("does not accept the secret"));
        assert!(refused(400, "SecretHeaderNotFound", 1).error().contains("(IDENTITY_HEADER); start the process anew"));
        assert!(refused(500, "InternalServerError", 4).error().starts_with("Service Fabric answered HTTP 500; wait"));
        assert!(
            refused(400, "InvalidApiVersion", 1)
                .error()
                .starts_with("Service Fabric gives no token: InvalidApiVersion: Words (HTTP 400);")
        );
    }
}
