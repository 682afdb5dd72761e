//! What a case expects beside what the plugin answered.

use crate::plugin::record::Body;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Something that is not as expected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Difference {
    /// Where, such as `endpoints[0].port`; empty for the whole.
    pub(super) path: String,
    pub(super) expected: Value,
    pub(super) got: Value,
}

/// Where the answer differs. What the expectation does not name is not compared.
pub(super) fn differences(expected: &Value, got: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    compare(String::new(), expected, got, &mut found);
    found
}

fn compare(path: String, expected: &Value, got: &Value, found: &mut Vec<Difference>) {
    match (expected, got) {
        (Value::Object(wanted), Value::String(text)) if is_part(expected) => {
            let part = wanted.get("contains").and_then(Value::as_str).unwrap_or_default();
            if !text.contains(part) {
                found.push(Difference { path, expected: expected.clone(), got: got.clone() });
            }
        }
        // The same bytes may stand there as a text or in base64.
        (Value::Object(_), Value::String(_) | Value::Object(_)) if is_encoded(expected) => {
            if body(expected).is_none_or(|wanted| body(got) != Some(wanted)) {
                found.push(Difference { path, expected: expected.clone(), got: got.clone() });
            }
        }
        (Value::Object(wanted), Value::Object(_)) => {
            for (key, wanted) in wanted {
                let inner = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                compare(inner, wanted, got.get(key).unwrap_or(&Value::Null), found);
            }
        }
        (Value::Array(wanted), Value::Array(items)) if wanted.len() == items.len() => {
            for (index, (wanted, item)) in wanted.iter().zip(items).enumerate() {
                compare(format!("{path}[{index}]"), wanted, item, found);
            }
        }
        _ if expected == got => {}
        _ => found.push(Difference { path, expected: expected.clone(), got: got.clone() }),
    }
}

/// Whether an expectation stands for bytes.
fn is_encoded(expected: &Value) -> bool {
    expected.as_object().is_some_and(|map| map.len() == 1 && map.get("base64").is_some_and(Value::is_string))
}

fn body(value: &Value) -> Option<Body> {
    Body::deserialize(value).ok()
}

/// Whether an expectation stands for a text that has a part.
fn is_part(expected: &Value) -> bool {
    expected
        .as_object()
        .is_some_and(|map| map.len() == 1 && map.get("contains").is_some_and(Value::is_string))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_is_named_is_compared() {
        let got = json!({"answer": "resolution", "endpoints": [{"host": "a", "port": 1, "weight": 1}]});
        for expected in [
            json!({}),
            json!({"answer": "resolution"}),
            json!({"endpoints": [{"port": 1}]}),
            json!({"endpoints": [{"host": {"contains": "a"}}], "freshMs": null}),
        ] {
            assert_eq!(differences(&expected, &got), [], "{expected}");
        }
    }

    #[test]
    fn bytes_are_the_same_in_either_form() {
        let got = json!({"memory": "3", "raw": {"base64": "/w=="}});
        let same = json!({"memory": {"base64": "Mw=="}, "raw": {"base64": "/w=="}});
        assert_eq!(differences(&same, &got), []);
        for (expected, path) in [
            (json!({"memory": {"base64": "NA=="}}), "memory"),
            (json!({"raw": {"base64": "/g=="}}), "raw"),
            (json!({"memory": {"base64": "!"}}), "memory"),
        ] {
            let found = differences(&expected, &got);
            assert_eq!(found.iter().map(|one| one.path.as_str()).collect::<Vec<_>>(), [path], "{expected}");
        }
    }

    #[test]
    fn a_difference_says_where_it_is() {
        let got = json!({"endpoints": [{"host": "a", "port": 1}], "message": "lost"});
        for (expected, path) in [
            (json!({"endpoints": [{"port": 2}]}), "endpoints[0].port"),
            (json!({"endpoints": []}), "endpoints"),
            (json!({"endpoints": [{}, {}]}), "endpoints"),
            (json!({"freshMs": 5}), "freshMs"),
            (json!({"message": {"contains": "found"}}), "message"),
            (json!({"message": {"contains": "lost", "more": 1}}), "message"),
            (json!({"endpoints": [{"prot": 1}]}), "endpoints[0].prot"),
        ] {
            let found = differences(&expected, &got);
            assert_eq!(found.iter().map(|one| one.path.as_str()).collect::<Vec<_>>(), [path], "{expected}");
        }
    }
}
