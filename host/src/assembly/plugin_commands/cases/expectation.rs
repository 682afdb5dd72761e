//! What a case expects, with its keys checked while file and line are known.

use crate::model::spelling::did_you_mean;
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// The keys of each answer.
const ANSWERS: &[(&str, &[&str])] = &[
    ("resolution", &["endpoints", "freshMs", "staleMs"]),
    ("verdict", &["state", "reason", "message", "findings", "nextMs", "memory"]),
    ("keep", &[]),
    ("replace", &["group"]),
    ("hide", &["reason"]),
    ("order", &["groups"]),
    ("fault", &["fault", "message"]),
    ("valid", &[]),
    ("invalid", &["problems"]),
    ("failure", &["message"]),
];
/// The keys of what stands in lists.
const ENTRIES: &[(&str, &[&str])] = &[
    ("endpoints", &["host", "port", "priority", "weight", "serverName"]),
    ("findings", &["endpoint", "state", "message"]),
    ("problems", &["path", "message"]),
];

/// An answer as far as the case names it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Expectation(pub(super) Value);

impl<'de> Deserialize<'de> for Expectation {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let mut map = Map::deserialize(input)?;
        check(&map).map_err(D::Error::custom)?;
        if let Some(group) = map.get_mut("group") {
            parse_text(group).map_err(D::Error::custom)?;
        }
        Ok(Self(Value::Object(map)))
    }
}

fn check(map: &Map<String, Value>) -> Result<(), String> {
    let names = names();
    let Some(answer) = map.get("answer") else {
        return Err(format!("expect needs answer: one of {names}"));
    };
    let Some((answer, keys)) = ANSWERS.iter().find(|(name, _)| answer.as_str() == Some(name)) else {
        let meant =
            answer.as_str().and_then(|typed| did_you_mean(typed, ANSWERS.iter().map(|(name, _)| *name)));
        let meant = meant.map(|meant| format!("; did you mean {meant}?")).unwrap_or_default();
        return Err(format!("answer {answer} is not known; expected one of {names}{meant}"));
    };
    unknown_key(map, keys, "answer", &format!("answer: {answer}"))?;
    for (list, keys) in ENTRIES {
        let entries = map.get(*list).and_then(Value::as_array).into_iter().flatten();
        for entry in entries.filter_map(Value::as_object) {
            unknown_key(entry, keys, keys[0], list)?;
        }
    }
    Ok(())
}

fn unknown_key(map: &Map<String, Value>, keys: &[&str], other: &str, place: &str) -> Result<(), String> {
    match map.keys().find(|key| !keys.contains(&key.as_str()) && *key != other) {
        None => Ok(()),
        Some(key) if keys.is_empty() => Err(format!("unknown key `{key}`: {place} has no further keys")),
        Some(key) => {
            let meant = did_you_mean(key, keys.iter().copied());
            let meant = meant.map(|meant| format!("; did you mean `{meant}`?")).unwrap_or_default();
            Err(format!("unknown key `{key}` in {place}: expected {}{meant}", keys.join(", ")))
        }
    }
}

/// JSON text becomes the document that it holds, so that documents are compared and not texts.
pub(super) fn parse_text(value: &mut Value) -> Result<(), String> {
    if let Value::String(text) = value {
        *value = serde_json::from_str(text).map_err(|error| format!("group is no JSON: {error}"))?;
    }
    Ok(())
}

fn names() -> String {
    ANSWERS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(text: &str) -> Result<Value, String> {
        crate::model::yaml::read(text).map(|Expectation(value)| value).map_err(|error| error.cause)
    }

    #[test]
    fn known_keys_are_taken_over() {
        let text = "{answer: verdict, state: up, findings: [{endpoint: 0, message: {contains: x}}]}";
        let wanted = json!({"answer": "verdict", "state": "up", "findings": [{"endpoint": 0, "message": {"contains": "x"}}]});
        assert_eq!(parse(text), Ok(wanted));
        let group = parse(r#"{answer: replace, group: '{"a": 1}'}"#).unwrap();
        assert_eq!(group, json!({"answer": "replace", "group": {"a": 1}}));
    }

    #[test]
    fn every_mistake_is_named() {
        for (text, says) in [
            ("{state: up}", "expect needs answer: one of resolution"),
            ("{answer: maybe}", "\"maybe\" is not known"),
            ("{answer: keep, state: up}", "unknown key `state`: answer: keep has no further keys"),
            ("{answer: resoluton}", "expected one of resolution"),
            ("{answer: resoluton}", "; did you mean resolution?"),
            ("{answer: hide, reson: x}", "; did you mean `reason`?"),
            ("{answer: hide, why: x}", "unknown key `why` in answer: hide: expected reason"),
            (
                "{answer: resolution, endpoints: [{prot: 1}]}",
                "unknown key `prot` in endpoints: expected host",
            ),
            ("{answer: replace, group: '{'}", "group is no JSON"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
