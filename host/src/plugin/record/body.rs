//! Bytes in a text format.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;

/// Bytes that are mostly text: written as a string where they are UTF-8, else as `{base64: …}`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Body(pub Bytes);

impl Body {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<&str> for Body {
    fn from(text: &str) -> Self {
        Self(Bytes::copy_from_slice(text.as_bytes()))
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

impl Serialize for Body {
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(&self.0) {
            Ok(text) => output.serialize_str(text),
            Err(_) => BTreeMap::from([("base64", STANDARD.encode(&self.0))]).serialize(output),
        }
    }
}

impl<'de> Deserialize<'de> for Body {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a string, or base64: with the bytes")]
        enum Form {
            Text(String),
            Encoded { base64: String },
        }
        match Form::deserialize(input)? {
            Form::Text(text) => Ok(text.into_bytes().into()),
            Form::Encoded { base64 } => {
                STANDARD.decode(base64).map(Self::from).map_err(serde::de::Error::custom)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tape::Response;
    use serde_json::json;

    #[test]
    fn a_body_is_written_as_text_where_it_is_text_and_left_out_where_there_is_none() {
        for (body, wanted) in [
            (&b""[..], json!({"status": 200})),
            (b"{}", json!({"status": 200, "body": "{}"})),
            (b"\xff", json!({"status": 200, "body": {"base64": "/w=="}})),
        ] {
            let response = Response { status: 200, body: body.to_vec().into(), ..Response::default() };
            let written = serde_json::to_value(&response).unwrap();
            assert_eq!(written, wanted);
            assert_eq!(serde_json::from_value::<Response>(written).unwrap(), response);
        }
    }
}
