//! What a proof-of-possession token says of the cluster that it is for, as an option gives it.

/// What a proof-of-possession token says of the cluster that it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PopClaims {
    /// The claim `u`: the ARM id of the cluster, letter by letter as the cluster knows it.
    pub host: String,
    /// Names of further claims; no server looks at them, and they are not sent.
    pub ignored: Vec<String>,
}

impl PopClaims {
    /// Reads `u=ARM_ID,name=value`. A value begins after the first `=`: Azure/kubelogin cuts it at the
    /// second.
    ///
    /// # Errors
    /// Azure/kubelogin's texts.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Err("failed to parse PoP token claims: no claims provided".into());
        }
        let malformed = "failed to parse PoP token claims. Ensure the claims are formatted as `key=value` with no \
                         extra whitespace";
        let (mut host, mut ignored) = (None, Vec::new());
        for claim in text.split(',') {
            let (name, value) = claim.split_once('=').ok_or(malformed)?;
            let (name, value) = (name.trim(), value.trim());
            if name.is_empty() || value.is_empty() {
                return Err(malformed.into());
            }
            if name == "u" { host = Some(value.to_owned()) } else { ignored.push(name.to_owned()) }
        }
        let host = host.ok_or(
            "required u-claim not provided for PoP token flow. Please provide the ARM ID of the cluster in the \
             format `u=<ARM_ID>`",
        )?;
        Ok(Self { host, ignored })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_of_a_proof() {
        let host = |text| PopClaims::parse(text).map(|claims| claims.host);
        assert_eq!(host("u=/subscriptions/x/y"), Ok("/subscriptions/x/y".into()));
        assert_eq!(host(" u = /a=b , k=v"), Ok("/a=b".into()), "a value goes on after a second `=`");
        assert_eq!(PopClaims::parse("u=a,k=v,l=w").unwrap().ignored, ["k", "l"]);
        for (bad, text) in [
            ("", "no claims"),
            (" ", "no claims"),
            ("u", "key=value"),
            ("u=", "key=value"),
            ("k=v", "u-claim"),
            ("u=a,", "key=value"),
        ] {
            assert!(host(bad).unwrap_err().contains(text), "{bad}");
        }
    }
}
