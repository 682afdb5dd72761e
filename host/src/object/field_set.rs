//! Sets of fields as `FieldsV1` writes them: `f:name`, `k:{…}` and `v:…` steps, `"."` for a value itself.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// A set of fields of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSet {
    steps: BTreeMap<String, Step>,
}

/// What the set says about one step of a path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Step {
    /// The value itself is in the set.
    itself: bool,
    /// What is below it.
    below: FieldSet,
}

impl FieldSet {
    /// Reads `fieldsV1`; `None` when it has another form.
    pub fn from_json(value: &Value) -> Option<Self> {
        let mut set = Self::default();
        for (key, inner) in value.as_object()? {
            let known = key.get(1..2) == Some(":") && ["f", "k", "v", "i"].contains(&&key[..1]);
            if key == "." {
                continue;
            }
            if !known {
                return None;
            }
            let map = inner.as_object()?;
            let itself = map.is_empty() || map.contains_key(".");
            set.steps.insert(key.clone(), Step { itself, below: Self::from_json(inner)? });
        }
        Some(set)
    }

    /// Writes `fieldsV1`.
    pub fn to_json(&self) -> Value {
        let mut map = Map::new();
        for (key, step) in &self.steps {
            let mut below = step.below.to_json();
            if let (true, Some(inner)) = (step.itself && !step.below.is_empty(), below.as_object_mut()) {
                inner.insert(".".to_owned(), Value::Object(Map::new()));
            }
            map.insert(key.clone(), below);
        }
        Value::Object(map)
    }

    /// Whether nothing is in the set.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Whether the value at a path is itself in the set.
    pub fn contains(&self, path: &[&str]) -> bool {
        match path {
            [] => false,
            [last] => self.steps.get(*last).is_some_and(|step| step.itself),
            [first, rest @ ..] => self.steps.get(*first).is_some_and(|step| step.below.contains(rest)),
        }
    }

    /// Adds the value at a path; the empty path means nothing.
    pub fn insert(&mut self, path: &[String]) {
        let Some((first, rest)) = path.split_first() else { return };
        let step = self.steps.entry(first.clone()).or_default();
        if rest.is_empty() {
            step.itself = true;
        } else {
            step.below.insert(rest);
        }
    }

    /// Adds everything that is in `other`.
    pub fn unite(&mut self, other: &Self) {
        for (key, theirs) in &other.steps {
            let step = self.steps.entry(key.clone()).or_default();
            step.itself |= theirs.itself;
            step.below.unite(&theirs.below);
        }
    }

    /// Takes out everything that is in `other`; what is below stays.
    pub fn subtract(&mut self, other: &Self) {
        self.steps.retain(|key, step| {
            if let Some(theirs) = other.steps.get(key) {
                step.itself &= !theirs.itself;
                step.below.subtract(&theirs.below);
            }
            step.itself || !step.below.is_empty()
        });
    }

    /// Takes out a top-level field with everything below it.
    pub fn remove_tree(&mut self, field: &str) {
        self.steps.remove(&format!("f:{field}"));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn set(value: Value) -> FieldSet {
        FieldSet::from_json(&value).unwrap()
    }

    #[test]
    fn a_set_reads_as_it_was_written() {
        let value = json!({
            "f:metadata": {"f:finalizers": {".": {}, "v:\"a/b\"": {}}},
            "f:status": {"f:conditions": {"k:{\"type\":\"A\"}": {".": {}, "f:status": {}}}},
        });
        assert_eq!(set(value.clone()).to_json(), value);
        assert_eq!(FieldSet::from_json(&json!({"spec": {}})), None);
        assert_eq!(FieldSet::from_json(&json!({"f:spec": 1})), None);
    }

    #[test]
    fn subtraction_leaves_what_is_below() {
        let mut left = set(json!({"f:a": {".": {}, "f:b": {}, "f:c": {}}, "f:d": {}}));
        left.subtract(&set(json!({"f:a": {".": {}, "f:b": {}}, "f:d": {}, "f:e": {}})));
        assert_eq!(left.to_json(), json!({"f:a": {"f:c": {}}}));
        left.subtract(&set(json!({"f:a": {"f:c": {}}})));
        assert!(left.is_empty());
    }

    #[test]
    fn union_keeps_both_sides() {
        let mut left = set(json!({"f:a": {"f:b": {}}}));
        left.unite(&set(json!({"f:a": {}, "f:c": {}})));
        assert_eq!(left.to_json(), json!({"f:a": {".": {}, "f:b": {}}, "f:c": {}}));
        assert!(left.contains(&["f:a"]) && left.contains(&["f:a", "f:b"]) && !left.contains(&["f:b"]));
    }
}
