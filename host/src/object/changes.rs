//! Which fields differ between two objects of a kind.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::field_set::FieldSet;
use crate::model::schema::{ListSharing, Schema};

/// The fields that differ, with the rules of structured merging: values that writers share are compared part by
/// part, others as a whole.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    /// Fields that only the new object has.
    pub added: FieldSet,
    /// Fields that only the old object has.
    pub removed: FieldSet,
    /// Fields with another value.
    pub modified: FieldSet,
}

impl Changes {
    /// Compares two values of one schema.
    pub fn between(old: &Value, new: &Value, schema: &Schema) -> Self {
        let mut comparison = Comparison { changes: Self::default(), path: Vec::new() };
        comparison.compare(Some(old), Some(new), schema);
        comparison.changes
    }
}

struct Comparison {
    changes: Changes,
    path: Vec<String>,
}

type Parts<'a> = BTreeMap<String, (&'a Value, &'a Schema)>;

impl Comparison {
    fn compare(&mut self, old: Option<&Value>, new: Option<&Value>, schema: &Schema) {
        let old_parts = old.and_then(|value| parts(value, schema)).unwrap_or_default();
        let new_parts = new.and_then(|value| parts(value, schema)).unwrap_or_default();
        // Empty on both sides counts as one value, so that absent and empty stay different.
        if old_parts.is_empty() && new_parts.is_empty() {
            self.compare_whole(old, new);
            return;
        }
        let keys: BTreeSet<&String> = old_parts.keys().chain(new_parts.keys()).collect();
        for key in keys {
            let (before, after) = (old_parts.get(key), new_parts.get(key));
            let Some((_, schema)) = after.or(before) else { continue };
            self.path.push(key.clone());
            self.compare(before.map(|(v, _)| *v), after.map(|(v, _)| *v), schema);
            self.path.pop();
        }
        match (old, new) {
            (None, _) => self.changes.added.insert(&self.path),
            (_, None) => self.changes.removed.insert(&self.path),
            _ => {}
        }
    }

    fn compare_whole(&mut self, old: Option<&Value>, new: Option<&Value>) {
        match (old, new) {
            (None, None) => {}
            (None, _) => self.changes.added.insert(&self.path),
            (_, None) => self.changes.removed.insert(&self.path),
            (old, new) if old != new => self.changes.modified.insert(&self.path),
            _ => {}
        }
    }
}

/// The parts that writers own one by one; `None` for a value that is owned as a whole.
fn parts<'a>(value: &'a Value, schema: &'a Schema) -> Option<Parts<'a>> {
    match (schema, value) {
        (Schema::Record(record), Value::Object(map)) if !record.atomic => Some(
            map.iter()
                .map(|(key, value)| {
                    let schema = record.field(key).map_or(&Schema::Opaque, |field| field.schema);
                    (format!("f:{key}"), (value, schema))
                })
                .collect(),
        ),
        (Schema::Map(items), Value::Object(map)) => {
            Some(map.iter().map(|(key, value)| (format!("f:{key}"), (value, *items))).collect())
        }
        (Schema::List { items, sharing: ListSharing::Set }, Value::Array(list)) => {
            Some(list.iter().map(|item| (format!("v:{item}"), (item, *items))).collect())
        }
        (Schema::List { items, sharing: ListSharing::Map(keys) }, Value::Array(list)) => {
            Some(list.iter().map(|item| (key_step(item, keys), (item, *items))).collect())
        }
        _ => None,
    }
}

fn key_step(item: &Value, keys: &[&str]) -> String {
    let known: Map<String, Value> =
        keys.iter().filter_map(|key| Some(((*key).to_owned(), item.get(*key)?.clone()))).collect();
    format!("k:{}", Value::Object(known))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kind::api_service;

    fn between(old: Value, new: Value) -> [Value; 3] {
        let changes = Changes::between(&old, &new, api_service::KIND.schema);
        [changes.added.to_json(), changes.removed.to_json(), changes.modified.to_json()]
    }

    #[test]
    fn parents_that_appear_are_added_with_their_parts() {
        let old = json!({"metadata": {}, "spec": {"versionPriority": 0}, "status": {}});
        let new = json!({
            "metadata": {"labels": {"a": "1"}, "finalizers": ["x/y"]},
            "spec": {"versionPriority": 5, "service": {"name": "s"}},
            "status": {},
        });
        let added = json!({
            "f:metadata": {
                "f:labels": {".": {}, "f:a": {}},
                "f:finalizers": {".": {}, "v:\"x/y\"": {}},
            },
            "f:spec": {"f:service": {".": {}, "f:name": {}}},
        });
        assert_eq!(between(old, new), [added, json!({}), json!({"f:spec": {"f:versionPriority": {}}})]);
    }

    #[test]
    fn keyed_items_are_compared_by_their_key() {
        let condition = |kind: &str, status: &str| json!({"type": kind, "status": status});
        let old = json!({"status": {"conditions": [condition("A", "True"), condition("B", "True")]}});
        let new = json!({"status": {"conditions": [condition("C", "True"), condition("A", "False")]}});
        let below = |inner: Value| json!({"f:status": {"f:conditions": inner}});
        let whole = json!({".": {}, "f:type": {}, "f:status": {}});
        assert_eq!(
            between(old, new),
            [
                below(json!({"k:{\"type\":\"C\"}": whole})),
                below(json!({"k:{\"type\":\"B\"}": whole})),
                below(json!({"k:{\"type\":\"A\"}": {"f:status": {}}})),
            ]
        );
    }

    #[test]
    fn atomic_values_change_as_a_whole() {
        let owner = |name: &str| json!({"metadata": {"ownerReferences": [{"uid": "u", "name": name}]}});
        let owners = json!({"f:metadata": {"f:ownerReferences": {"k:{\"uid\":\"u\"}": {}}}});
        assert_eq!(between(owner("a"), owner("b")), [json!({}), json!({}), owners]);
    }

    #[test]
    fn absent_and_empty_differ() {
        let changed = between(json!({"spec": {}}), json!({"spec": {"service": {}}}));
        assert_eq!(changed[0], json!({"f:spec": {"f:service": {}}}));
    }
}
