//! Reading and writing conditions in `status.conditions`.

use jiff::{Timestamp, ToSpan as _, Unit};
use serde_json::{Value, json};

use crate::model::object::Object;

/// A condition of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Condition<'a> {
    /// For example `Available`.
    pub kind: &'a str,
    /// `True`, `False` or `Unknown`.
    pub status: &'a str,
    /// One word in CamelCase.
    pub reason: &'a str,
    /// A sentence for people.
    pub message: &'a str,
}

/// The condition of that type, where the object has one.
pub fn find<'a>(object: &'a Object, kind: &str) -> Option<Condition<'a>> {
    let text = |c: &'a Value, key: &str| c.get(key).and_then(Value::as_str).unwrap_or_default();
    let conditions = object.at(&["status", "conditions"])?.as_array()?;
    conditions.iter().find(|c| text(c, "type") == kind).map(|c| Condition {
        kind: text(c, "type"),
        status: text(c, "status"),
        reason: text(c, "reason"),
        message: text(c, "message"),
    })
}

/// Writes a condition: replaces the one of its type or appends it. `lastTransitionTime` becomes `now` only when
/// the status changes. Returns whether anything changed (contract §5.3).
pub fn set(object: &mut Object, condition: Condition<'_>, now: Timestamp) -> bool {
    let mut wanted = json!({ "type": condition.kind, "status": condition.status });
    for (key, text) in [("reason", condition.reason), ("message", condition.message)] {
        if !text.is_empty() {
            wanted[key] = text.into();
        }
    }
    let mut conditions = match object.take(&["status", "conditions"]) {
        Some(Value::Array(list)) => list,
        _ => Vec::new(),
    };
    let slot = conditions.iter().position(|c| c["type"] == condition.kind);
    let since = slot.and_then(|i| {
        let kept = conditions[i]["status"] == condition.status;
        kept.then(|| conditions[i]["lastTransitionTime"].clone()).filter(Value::is_string)
    });
    wanted["lastTransitionTime"] = since.unwrap_or_else(|| time_text(now).into());
    let changed = match slot {
        Some(i) if conditions[i] == wanted => false,
        Some(i) => {
            conditions[i] = wanted;
            true
        }
        None => {
            conditions.push(wanted);
            true
        }
    };
    object.set(&["status", "conditions"], conditions);
    changed
}

/// A time as Kubernetes writes it: RFC 3339 in UTC, whole seconds.
pub fn time_text(time: Timestamp) -> String {
    let below = i64::from(time.subsec_nanosecond());
    let whole = time.checked_sub(below.nanoseconds()).unwrap_or(time);
    whole.round(Unit::Second).unwrap_or(whole).to_string()
}

/// The same with microseconds, as `MicroTime` is written.
pub fn micro_time_text(time: Timestamp) -> String {
    format!("{time:.6}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn available(status: &'static str, message: &'static str) -> Condition<'static> {
        Condition { kind: "Available", status, reason: "R", message }
    }

    fn since(object: &Object) -> &str {
        object.at(&["status", "conditions"]).and_then(|c| c[0]["lastTransitionTime"].as_str()).unwrap()
    }

    #[test]
    fn the_transition_time_moves_with_the_status_only() {
        let mut object = Object::default();
        let at = |second| Timestamp::from_second(second).unwrap();
        assert!(set(&mut object, available("False", "a"), at(1)));
        assert!(!set(&mut object, available("False", "a"), at(2)), "nothing changed");
        assert!(set(&mut object, available("False", "b"), at(3)));
        assert_eq!(since(&object), "1970-01-01T00:00:01Z");
        assert!(set(&mut object, available("True", "b"), at(4)));
        assert_eq!(since(&object), "1970-01-01T00:00:04Z");
        assert_eq!(find(&object, "Available"), Some(available("True", "b")));
        assert_eq!(find(&object, "Other"), None);
    }

    #[test]
    fn other_conditions_stay() {
        let mut object = Object::default();
        object.set(&["status", "conditions"], json!([{"type": "Custom", "status": "True"}]));
        set(&mut object, available("True", ""), Timestamp::UNIX_EPOCH);
        let conditions = object.at(&["status", "conditions"]).unwrap();
        assert_eq!(conditions[0]["type"], "Custom");
        assert_eq!(conditions[1].get("message"), None);
    }

    #[test]
    fn times_have_whole_seconds() {
        let time: Timestamp = "2020-01-01T00:00:59.999Z".parse().unwrap();
        assert_eq!(time_text(time), "2020-01-01T00:00:59Z");
    }
}
