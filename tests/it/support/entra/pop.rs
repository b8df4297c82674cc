//! Proof of possession at `/token`: the two parameters by which a client names its key.

use super::grants::{Call, Flavour};
use super::refusal::Refusal;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

/// The parameters; they come together or not at all.
pub(super) const POP: [&str; 2] = ["token_type", "req_cnf"];

/// The `cnf` of the token to be, if the request asks for one that is bound to a key.
pub(super) fn confirmation(call: &Call<'_>) -> Result<Option<Value>, Refusal> {
    match POP.map(|name| call.form.get(name)) {
        [None, None] => Ok(None),
        [Some("pop"), Some(req_cnf)] if call.flavour == Flavour::V2 => key_named_by(req_cnf).map(Some),
        [Some("pop"), Some(_)] => Err(Refusal::malformed("proof of possession is asked for by v2 only")),
        [Some("pop"), None] => Err(Refusal::missing("req_cnf")),
        [None, Some(_)] => Err(Refusal::missing("token_type")),
        [Some(_), _] => Err(Refusal::malformed("`token_type` can only be `pop`")),
    }
}

/// `{"kid": SHA-256}`, perhaps with `xms_ksl` (how the key is stored: `sw`), in base64url.
fn key_named_by(req_cnf: &str) -> Result<Value, Refusal> {
    let bad = || Refusal::malformed("`req_cnf` does not name a key");
    let json = URL_SAFE_NO_PAD.decode(req_cnf).map_err(|_| bad())?;
    let members: Map<String, Value> = serde_json::from_slice(&json).map_err(|_| bad())?;
    let is_known = |(name, value): (&String, &Value)| match name.as_str() {
        "kid" => value.as_str().is_some_and(is_thumbprint),
        "xms_ksl" => value == "sw",
        _ => false,
    };
    if members.contains_key("kid") && members.iter().all(is_known) { Ok(Value::Object(members)) } else { Err(bad()) }
}

/// A SHA-256 in base64url without padding.
fn is_thumbprint(text: &str) -> bool {
    URL_SAFE_NO_PAD.decode(text).is_ok_and(|bytes| bytes.len() == 32)
}
