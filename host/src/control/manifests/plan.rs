//! What has to be done so that the store holds what the files declare. Pure.

use super::declared::{Declared, ManifestFile};
use super::problems::Problems;
use super::report::{self, Conflict};
use super::{CONFLICT, MANAGER, MARK};
use crate::kind::Kind;
use crate::model::object::Object;
use crate::registry::ObjectKey;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// One thing to do.
#[derive(Clone, Debug)]
pub(super) enum Action {
    /// The object is not there.
    Create(Box<Declared>),
    /// The object is ours and differs; `stored` is what is there.
    Update { declared: Box<Declared>, stored: Box<Object> },
    /// The object is ours, at this resource version, and nobody declares it any more.
    Remove { kind: &'static Kind, key: ObjectKey, resource_version: String, file: String },
    /// The object shall tell of this conflict, or of none any more.
    Report { kind: &'static Kind, key: ObjectKey, conflict: Option<Conflict> },
}

/// What to do, and what to tell the operator.
#[derive(Clone, Debug, Default)]
pub(super) struct Plan {
    pub(super) actions: Vec<Action>,
    pub(super) problems: Problems,
}

/// The name of a kind and an object of it.
type Id = (&'static str, ObjectKey);

/// Compares files, sorted by name, with all stored objects.
pub(super) fn plan(files: &[ManifestFile], stored: &[(&'static Kind, Object)]) -> Plan {
    let mut plan = Plan::default();
    files.iter().for_each(|file| plan.problems.extend(&file.name, &file.problems));
    let unclear: BTreeSet<&str> =
        files.iter().filter(|file| !file.is_clear()).map(|file| file.name.as_str()).collect();
    // The objects of a file in progress are not known, so a conflict with it cannot be considered resolved.
    let may_end_conflicts = !files.iter().any(|file| file.may_lack_objects);
    let (first, mut conflicts) = choose_first(files, &mut plan.problems);
    let mut missing = first.clone();
    for (kind, object) in stored {
        let key = ObjectKey::new(object.namespace(), object.name());
        let id: Id = (kind.kind, key.clone());
        missing.remove(&id);
        let mark = object.annotation(MARK);
        let conflict = match (first.get(&id), mark) {
            (Some(declared), None) => {
                let conflict = Conflict::made_by_hand(&declared.origin);
                plan.problems
                    .add(&declared.origin.file, format!("{}: {}", describe(kind, &key), conflict.message));
                Some(conflict)
            }
            (Some(declared), Some(file)) => {
                // A file that cannot be understood may still declare it, and then comes before others.
                let is_free = file == declared.origin.file || !unclear.contains(file);
                if is_free && propose(object, declared) != *object {
                    let (declared, stored) = (Box::new((*declared).clone()), Box::new(object.clone()));
                    plan.actions.push(Action::Update { declared, stored });
                }
                conflicts.remove(&id)
            }
            (None, Some(file)) => {
                if !unclear.contains(file) && !is_going(object) {
                    plan.actions.push(Action::Remove {
                        kind,
                        key: key.clone(),
                        resource_version: object.resource_version().to_owned(),
                        file: file.to_owned(),
                    });
                    continue;
                }
                None
            }
            (None, None) => None,
        };
        let is_due = conflict.is_some() || may_end_conflicts;
        if is_due && !report::tells(kind, object, conflict.as_ref()) {
            plan.actions.push(Action::Report { kind, key, conflict });
        }
    }
    // In the order of the files: whoever writes a service before what names it gets it made first.
    for declared in files.iter().flat_map(|file| &file.declared) {
        if let Some(declared) = missing.remove(&(declared.kind.kind, declared.key.clone())) {
            plan.actions.push(Action::Create(Box::new(declared.clone())));
        }
    }
    plan
}

/// The first declaration of each object, and the conflicts of those that are declared again.
fn choose_first<'a>(
    files: &'a [ManifestFile],
    problems: &mut Problems,
) -> (BTreeMap<Id, &'a Declared>, BTreeMap<Id, Conflict>) {
    let mut first: BTreeMap<Id, &Declared> = BTreeMap::new();
    let mut conflicts = BTreeMap::new();
    for declared in files.iter().flat_map(|file| &file.declared) {
        let id: Id = (declared.kind.kind, declared.key.clone());
        let Some(winner) = first.get(&id) else {
            first.insert(id, declared);
            continue;
        };
        let conflict = Conflict::declared_twice(&winner.origin, &declared.origin);
        let text = format!("{}: {}", describe(declared.kind, &declared.key), conflict.message);
        problems.add(&declared.origin.file, text);
        conflicts.entry(id).or_insert(conflict);
    }
    (first, conflicts)
}

/// The state that an object of ours should have: everything but the metadata as declared, labels and annotations
/// as declared where manifests set them, others as they are.
pub(super) fn propose(current: &Object, declared: &Declared) -> Object {
    let mut next = current.clone();
    let is_ours = |key: &str| !matches!(key, "apiVersion" | "kind" | "metadata" | "status");
    next.0.retain(|key, _| !is_ours(key) || declared.object.0.contains_key(key));
    for (key, value) in declared.object.0.iter().filter(|(key, _)| is_ours(key)) {
        next.0.insert(key.clone(), value.clone());
    }
    for part in ["labels", "annotations"] {
        let mut map = match next.take(&["metadata", part]) {
            Some(Value::Object(map)) => map,
            _ => Map::new(),
        };
        for key in set_before(current, part) {
            map.remove(&key);
        }
        if let Some(Value::Object(wanted)) = declared.object.at(&["metadata", part]) {
            map.extend(wanted.clone());
        }
        if part == "annotations" {
            map.insert(MARK.to_owned(), declared.origin.file.clone().into());
            // Told by us, not by the file.
            if let Some(conflict) = current.annotation(CONFLICT) {
                map.insert(CONFLICT.to_owned(), conflict.into());
            }
        }
        if !map.is_empty() {
            next.set(&["metadata", part], map);
        }
    }
    next
}

/// The labels or annotations that manifests have set, by the record of who owns what.
fn set_before(object: &Object, part: &str) -> Vec<String> {
    let entries = object.at(&["metadata", "managedFields"]).and_then(Value::as_array);
    let field = format!("f:{part}");
    entries
        .into_iter()
        .flatten()
        .filter(|entry| entry["manager"] == MANAGER && entry.get("subresource").is_none())
        .filter_map(|entry| entry["fieldsV1"]["f:metadata"][&field].as_object())
        .flat_map(|keys| keys.keys().filter_map(|key| key.strip_prefix("f:")).map(str::to_owned))
        .collect()
}

/// Who, other than the manifests, has set something in `before` that no longer stands in `after`.
pub(super) fn overruled(before: &Object, after: &Object) -> Vec<String> {
    let entries = |object: &Object| {
        let entries = object.at(&["metadata", "managedFields"]).and_then(Value::as_array);
        entries.cloned().unwrap_or_default()
    };
    let left = entries(after);
    let stands = |entry: &Value| {
        left.iter().any(|other| {
            ["manager", "operation", "apiVersion", "subresource", "fieldsV1"]
                .iter()
                .all(|part| entry.get(part) == other.get(part))
        })
    };
    entries(before)
        .iter()
        .filter(|entry| entry["manager"] != MANAGER && !stands(entry))
        .filter_map(|entry| entry["manager"].as_str().map(str::to_owned))
        .collect()
}

fn is_going(object: &Object) -> bool {
    !object.text(&["metadata", "deletionTimestamp"]).is_empty()
}

/// `APIService v1.example.com`, `ExternalName default/api`.
pub(super) fn describe(kind: &Kind, key: &ObjectKey) -> String {
    if key.namespace.is_empty() {
        format!("{} {}", kind.kind, key.name)
    } else {
        format!("{} {}/{}", kind.kind, key.namespace, key.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(entries: Value) -> Object {
        Object::from_value(json!({"metadata": {"managedFields": entries}})).unwrap()
    }

    #[test]
    fn who_lost_what_they_set_was_overruled() {
        let entry = |manager: &str, field: &str| json!({"manager": manager, "operation": "Update", "fieldsV1": {field: {}}});
        let before = object(json!([entry(MANAGER, "f:a"), entry("ann", "f:b"), entry("bob", "f:c")]));
        let after = object(json!([entry(MANAGER, "f:b"), entry("ann", "f:b")]));
        assert_eq!(overruled(&before, &after), ["bob"]);
        assert_eq!(overruled(&before, &before), [""; 0]);
        let less = object(json!([entry("ann", "f:z"), entry("bob", "f:c")]));
        assert_eq!(overruled(&before, &less), ["ann"], "it is left with other fields");
    }
}
