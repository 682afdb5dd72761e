//! Continue tokens of paged lists, in upstream's form (contract §7.9).

use crate::model::failure::Failure;
use crate::object::syntax::explain_json;
use crate::store::Revision;
use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::{GeneralPurpose, general_purpose::NO_PAD};
use serde_json::Value;

const FORM: &str = "meta.k8s.io/v1";
/// Without padding, and as generous as upstream about the bits that nobody reads.
const TEXT: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, NO_PAD.with_decode_allow_trailing_bits(true));

/// Where a list goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContinueToken {
    /// The revision that the whole list shows; `None` goes on with whatever is there now.
    pub revision: Option<Revision>,
    /// The last key that was shown, without the prefix of the list.
    pub after: String,
}

impl ContinueToken {
    /// The text for `metadata.continue`.
    pub fn encode(&self) -> String {
        let revision = self.revision.map_or(Value::from(-1), Value::from);
        let token = serde_json::json!({"v": FORM, "rv": revision, "start": format!("{}\0", self.after)});
        TEXT.encode(token.to_string())
    }

    /// Reads a token that [`Self::encode`] wrote. 400 for anything else.
    pub fn decode(text: &str) -> Result<Self, Failure> {
        let refuse = |why: &str| Failure::bad_request(format!("invalid continue token: {why}"));
        let bad_key = |why: &dyn std::fmt::Display| refuse(&format!("continue key is not valid: {why}"));
        let bytes = TEXT.decode(text.trim_end_matches('=')).map_err(|e| bad_key(&e))?;
        let token: Value = serde_json::from_slice(&bytes).map_err(|e| {
            let why = explain_json(&bytes).unwrap_or_else(|| e.to_string());
            bad_key(&why)
        })?;
        let form = token.get("v").and_then(Value::as_str).unwrap_or_default();
        if form != FORM {
            return Err(bad_key(&format!("server does not recognize this encoded version {form:?}")));
        }
        let revision = match token.get("rv").and_then(Value::as_i64) {
            Some(revision) if revision > 0 => Revision::try_from(revision).ok(),
            Some(revision) if revision < 0 => None,
            _ => return Err(refuse(&format!("incorrect encoded start resourceVersion (version {FORM})"))),
        };
        let start = token.get("start").and_then(Value::as_str).unwrap_or_default();
        let after = start.trim_end_matches('\0');
        if after.is_empty() {
            return Err(bad_key(&format!("encoded start key empty (version {FORM})")));
        }
        if after.split('/').any(|part| part == "..") {
            return Err(bad_key(&start));
        }
        Ok(Self { revision, after: after.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_read_back_and_have_upstreams_form() {
        for revision in [Some(7), None] {
            let token = ContinueToken { revision, after: "v1.example.com".to_owned() };
            assert_eq!(ContinueToken::decode(&token.encode()), Ok(token));
        }
        let text = ContinueToken { revision: Some(7), after: "a".into() }.encode();
        let raw = TEXT.decode(text).unwrap();
        let raw: Value = serde_json::from_slice(&raw).unwrap();
        assert_eq!(raw, serde_json::json!({"v": "meta.k8s.io/v1", "rv": 7, "start": "a\u{0}"}));
    }

    #[test]
    fn broken_tokens_are_refused_with_a_reason() {
        let encode = |text: &str| TEXT.encode(text);
        for broken in [
            "zzz".to_owned(),
            "!".to_owned(),
            encode("[]"),
            encode(r#"{"v":"meta.k8s.io/v2","rv":1,"start":"a"}"#),
            encode(r#"{"v":"meta.k8s.io/v1","rv":0,"start":"a"}"#),
            encode(r#"{"v":"meta.k8s.io/v1","rv":1,"start":"\u0000"}"#),
            encode(r#"{"v":"meta.k8s.io/v1","rv":1,"start":"../a"}"#),
        ] {
            let refused = ContinueToken::decode(&broken).unwrap_err();
            assert_eq!(refused.code, 400);
            assert!(refused.message.starts_with("invalid continue token: "), "{}", refused.message);
        }
    }
}
