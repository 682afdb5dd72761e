//! Where two answers differ.

use super::answer::Answer;
use serde_json::Value;

/// Bytes of a value that are shown.
const SHOWN_MAX: usize = 120;

/// The first place at which two answers differ, with both values, for people; `None` where they say the same.
/// Documents are compared as JSON, whatever their spaces and the order of their keys.
pub(in crate::plugin) fn first_difference(before: &Answer, after: &Answer) -> Option<String> {
    if before == after {
        return None;
    }
    let (before, after) = (open(before), open(after));
    let (place, before, after) = walk(String::new(), &before, &after)?;
    let place = if place.is_empty() { "the answer" } else { &place };
    Some(format!("{place} was {} and would be {}", show(&before), show(&after)))
}

fn open(answer: &Answer) -> Value {
    let mut value = serde_json::to_value(answer).unwrap_or_default();
    if let (Answer::Replace { group }, Some(document)) = (answer, value.get_mut("group")) {
        *document = serde_json::from_str(group).unwrap_or_else(|_| Value::String(group.clone()));
    }
    value
}

fn walk(place: String, before: &Value, after: &Value) -> Option<(String, Value, Value)> {
    match (before, after) {
        (Value::Object(one), Value::Object(two)) => {
            let keys = one.keys().chain(two.keys().filter(|key| !one.contains_key(*key)));
            keys.into_iter().find_map(|key| {
                let inner = if place.is_empty() { key.clone() } else { format!("{place}.{key}") };
                let at = |map: &serde_json::Map<String, Value>| map.get(key).cloned().unwrap_or_default();
                walk(inner, &at(one), &at(two))
            })
        }
        (Value::Array(one), Value::Array(two)) if one.len() == two.len() => one
            .iter()
            .zip(two)
            .enumerate()
            .find_map(|(index, (one, two))| walk(format!("{place}[{index}]"), one, two)),
        _ if before == after => None,
        _ => Some((place, before.clone(), after.clone())),
    }
}

fn show(value: &Value) -> String {
    let mut text = match value {
        Value::Null => "absent".to_owned(),
        other => other.to_string(),
    };
    if text.len() > SHOWN_MAX {
        let end = (0..=SHOWN_MAX).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::yaml;

    fn difference(before: &str, after: &str) -> Option<String> {
        let [before, after] = [before, after].map(|text| yaml::read(text).unwrap());
        first_difference(&before, &after)
    }

    #[test]
    fn the_first_place_is_named_with_both_values() {
        let base = "{answer: resolution, endpoints: [{host: a, port: 1}], freshMs: 5}";
        for (after, says) in [
            (base, None),
            (
                "{answer: resolution, endpoints: [{host: a, port: 2}], freshMs: 5}",
                Some("endpoints[0].port was 1 and would be 2"),
            ),
            (
                "{answer: resolution, endpoints: [{host: a, port: 1}]}",
                Some("freshMs was 5 and would be absent"),
            ),
            (
                "{answer: resolution, endpoints: [], freshMs: 5}",
                Some(r#"endpoints was [{"host":"a","port":1,"priority":0,"weight":0}] and would be []"#),
            ),
            ("{answer: fault, fault: notMine}", Some(r#"answer was "resolution" and would be "fault""#)),
        ] {
            assert_eq!(difference(base, after).as_deref(), says);
        }
    }

    #[test]
    fn documents_are_compared_as_documents() {
        let group = |text: &str| format!("{{answer: replace, group: '{text}'}}");
        assert_eq!(difference(&group(r#"{"a":1,"b":[2]}"#), &group(r#"{ "b": [2], "a": 1 }"#)), None);
        let says = difference(&group(r#"{"a":1}"#), &group(r#"{"a":2}"#));
        assert_eq!(says.as_deref(), Some("group.a was 1 and would be 2"));
        let long =
            difference(&group(r#"{"a":1}"#), &group(&format!(r#"{{"a":"{}"}}"#, "ä".repeat(99)))).unwrap();
        assert!(long.ends_with('…') && long.len() < 200, "{long}");
    }
}
