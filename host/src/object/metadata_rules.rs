//! What may stand in `metadata`, and what may change there (contract §1.3, §1.5).

use std::collections::BTreeSet;

use serde_json::Value;

use super::names;
use crate::model::failure::{FieldError, FieldErrorKind, quoted};
use crate::model::object::Object;
use crate::object::kind::Kind;

/// Bytes of all annotations together.
const MOST_ANNOTATIONS: usize = 256 * 1024;

/// What is wrong with the metadata of an object, the kind's own rule for names included.
pub fn check(kind: &Kind, object: &Object) -> Vec<FieldError> {
    let mut errors = check_own_names(kind, object);
    errors.extend(check_all_but_names(kind, object));
    errors
}

/// What is wrong with the name of an object, the kind's own rule included.
pub fn check_own_names(kind: &Kind, object: &Object) -> Vec<FieldError> {
    check_names(object, |field, name| kind.rules.validate_name(field, name, object))
}

/// What is wrong with the metadata of an object by the rules that all kinds share.
pub fn check_shared(kind: &Kind, object: &Object) -> Vec<FieldError> {
    let mut errors = check_names(object, |_, _| Vec::new());
    errors.extend(check_all_but_names(kind, object));
    errors
}

fn check_all_but_names(kind: &Kind, object: &Object) -> Vec<FieldError> {
    let mut errors = Vec::new();
    errors.extend(check_namespace(kind, object));
    if let Some(generation) = number(object, "generation").filter(|g| *g < 0) {
        let rule = "must be greater than or equal to 0";
        errors.push(FieldError::invalid("metadata.generation", generation.to_string(), rule));
    }
    errors.extend(check_labels(object));
    errors.extend(check_annotations(object));
    errors.extend(check_owners(object));
    errors.extend(check_finalizers(object));
    errors.extend(check_managed_fields(object));
    errors
}

/// What is wrong with the change of an object's metadata, beyond what is wrong with it by itself.
pub fn check_change(object: &Object, stored: &Object) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if stored.at(&["metadata", "deletionTimestamp"]).is_some() {
        errors.extend(check_new_finalizers(object, stored));
    }
    let (new, old) = (number(object, "generation"), number(stored, "generation"));
    if new.unwrap_or_default() < old.unwrap_or_default() {
        let value = new.unwrap_or_default().to_string();
        errors.push(FieldError::invalid("metadata.generation", value, "must not be decremented"));
    }
    let fixed =
        ["name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"];
    for field in fixed {
        let value = object.at(&["metadata", field]);
        if value != stored.at(&["metadata", field]) {
            let shown = value.map_or_else(|| "null".to_owned(), Value::to_string);
            errors.push(FieldError::invalid(format!("metadata.{field}"), shown, "field is immutable"));
        }
    }
    errors
}

/// `own` is asked only about names that can stand in a path.
fn check_names(object: &Object, own: impl Fn(&str, &str) -> Vec<FieldError>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let rules = |field: &str, name: &str, shared: Vec<String>| {
        if shared.is_empty() {
            return own(field, name);
        }
        shared.into_iter().map(|rule| FieldError::invalid(field, quoted(name), rule)).collect()
    };
    let prefix = object.text(&["metadata", "generateName"]);
    if !prefix.is_empty() {
        errors.extend(rules("metadata.generateName", prefix, names::path_segment(prefix)));
    }
    if object.name().is_empty() {
        errors.push(FieldError::required("metadata.name", "name or generateName is required"));
    } else {
        errors.extend(rules("metadata.name", object.name(), names::path_segment(object.name())));
    }
    errors
}

fn check_namespace(kind: &Kind, object: &Object) -> Vec<FieldError> {
    const FIELD: &str = "metadata.namespace";
    let namespace = object.namespace();
    match (kind.is_namespaced(), namespace.is_empty()) {
        (true, true) => vec![FieldError::required(FIELD, "")],
        (true, false) => names::dns1123_label(namespace)
            .into_iter()
            .map(|rule| FieldError::invalid(FIELD, quoted(namespace), rule))
            .collect(),
        (false, true) => Vec::new(),
        (false, false) => vec![FieldError::forbidden(FIELD, "not allowed on this type")],
    }
}

fn check_labels(object: &Object) -> Vec<FieldError> {
    const FIELD: &str = "metadata.labels";
    let mut errors = Vec::new();
    for (key, value) in texts(object, "labels") {
        let bad = |text: &str, rule: String| FieldError::invalid(FIELD, quoted(text), rule);
        errors.extend(names::qualified_name(key).into_iter().map(|rule| bad(key, rule)));
        errors.extend(names::label_value(value).into_iter().map(|rule| bad(value, rule)));
    }
    errors
}

fn check_annotations(object: &Object) -> Vec<FieldError> {
    const FIELD: &str = "metadata.annotations";
    let mut errors = Vec::new();
    let mut size = 0;
    for (key, value) in texts(object, "annotations") {
        size += key.len() + value.len();
        // Annotation keys have always been allowed upper case prefixes.
        let rules = names::qualified_name(&key.to_lowercase());
        errors.extend(rules.into_iter().map(|rule| FieldError::invalid(FIELD, quoted(key), rule)));
    }
    if size > MOST_ANNOTATIONS {
        errors.push(FieldError {
            field: FIELD.to_owned(),
            kind: FieldErrorKind::TooLong,
            value: None,
            detail: format!("may not be more than {MOST_ANNOTATIONS} bytes"),
        });
    }
    errors
}

fn check_owners(object: &Object) -> Vec<FieldError> {
    const FIELD: &str = "metadata.ownerReferences";
    let mut errors = Vec::new();
    let mut controllers = Vec::new();
    for owner in items(object, "ownerReferences") {
        let text = |key: &str| owner.get(key).and_then(Value::as_str).unwrap_or_default();
        let api_version = text("apiVersion");
        let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
        if version.is_empty() || group.contains('/') {
            let rule = "version must not be empty";
            errors.push(FieldError::invalid(format!("{FIELD}.apiVersion"), quoted(api_version), rule));
        }
        for key in ["kind", "name", "uid"] {
            if text(key).is_empty() {
                errors.push(FieldError::invalid(format!("{FIELD}.{key}"), "\"\"", "must not be empty"));
            }
        }
        if text("kind") == "Event" && version == "v1" && ["", "events.k8s.io"].contains(&group) {
            let rule = format!("{group}/v1, Kind=Event is disallowed from being an owner");
            errors.push(FieldError::invalid(FIELD, owner.to_string(), rule));
        }
        if owner.get("controller") == Some(&Value::Bool(true)) {
            controllers.push(text("name"));
        }
    }
    if let [first, .., last] = controllers.as_slice() {
        let rule = format!(
            "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {last}"
        );
        let all = object.at(&["metadata", "ownerReferences"]).map(Value::to_string);
        errors.push(FieldError::invalid(FIELD, all.unwrap_or_default(), rule));
    }
    errors
}

fn check_finalizers(object: &Object) -> Vec<FieldError> {
    const FIELD: &str = "metadata.finalizers";
    let mut errors = Vec::new();
    let finalizers: Vec<&str> = items(object, "finalizers").filter_map(Value::as_str).collect();
    for finalizer in &finalizers {
        let rules = names::qualified_name(finalizer);
        errors.extend(rules.into_iter().map(|rule| FieldError::invalid(FIELD, quoted(finalizer), rule)));
    }
    if finalizers.contains(&"orphan") && finalizers.contains(&"foregroundDeletion") {
        let rule = "finalizer orphan and foregroundDeletion cannot be both set";
        let all = object.at(&["metadata", "finalizers"]).map(Value::to_string);
        errors.push(FieldError::invalid(FIELD, all.unwrap_or_default(), rule));
    }
    errors
}

fn check_new_finalizers(object: &Object, stored: &Object) -> Vec<FieldError> {
    let set = |object| items(object, "finalizers").filter_map(Value::as_str).collect::<BTreeSet<_>>();
    let extra: Vec<String> = set(object).difference(&set(stored)).map(|f| quoted(f)).collect();
    if extra.is_empty() {
        return Vec::new();
    }
    let rule = format!(
        "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
        extra.join(", ")
    );
    vec![FieldError::forbidden("metadata.finalizers", rule)]
}

fn check_managed_fields(object: &Object) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (index, entry) in items(object, "managedFields").enumerate() {
        let operation = entry.get("operation").and_then(Value::as_str).unwrap_or_default();
        if !["Apply", "Update"].contains(&operation) {
            let field = format!("metadata.managedFields[{index}].operation");
            errors.push(FieldError::invalid(field, quoted(operation), "must be `Apply` or `Update`"));
        }
    }
    errors
}

fn number(object: &Object, field: &str) -> Option<i64> {
    object.at(&["metadata", field]).and_then(Value::as_i64)
}

fn texts<'a>(object: &'a Object, field: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
    let map = object.at(&["metadata", field]).and_then(Value::as_object);
    map.into_iter().flatten().map(|(key, value)| (key.as_str(), value.as_str().unwrap_or_default()))
}

fn items<'a>(object: &'a Object, field: &str) -> impl Iterator<Item = &'a Value> {
    object.at(&["metadata", field]).and_then(Value::as_array).into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kind::external_name;

    fn object(metadata: Value) -> Object {
        Object::from_value(json!({ "metadata": metadata })).unwrap()
    }

    fn texts_of(errors: &[FieldError]) -> Vec<String> {
        errors.iter().map(|e| format!("{}: {}", e.field, e.body())).collect()
    }

    fn checked(mut metadata: Value) -> Vec<String> {
        json_patch::merge(&mut metadata, &json!({"name": "a", "namespace": "n"}));
        texts_of(&check(&external_name::KIND, &object(metadata)))
    }

    #[test]
    fn names_and_namespaces_must_fit_a_path() {
        let errors = check(&external_name::KIND, &object(json!({"name": "a/b", "generateName": "x%"})));
        assert_eq!(
            texts_of(&errors),
            [
                r#"metadata.generateName: Invalid value: "x%": may not contain '%'"#,
                r#"metadata.name: Invalid value: "a/b": may not contain '/'"#,
                "metadata.namespace: Required value",
            ]
        );
        let errors = check(&external_name::KIND, &object(json!({"namespace": "N"})));
        assert_eq!(errors[0].body(), "Required value: name or generateName is required");
        assert!(errors[1].body().contains("a lowercase RFC 1123 label must consist of"));
    }

    #[test]
    fn labels_and_annotations_are_reported_without_their_key() {
        let errors =
            checked(json!({"labels": {"a": "b c!"}, "annotations": {"/x": "1", "Example.com/A": ""}}));
        assert!(errors[0].starts_with(r#"metadata.labels: Invalid value: "b c!": a valid label must be"#));
        assert_eq!(errors[1], r#"metadata.annotations: Invalid value: "/x": prefix part must be non-empty"#);
        assert_eq!(errors.len(), 2);
        let errors = checked(json!({"annotations": {"a": "x".repeat(MOST_ANNOTATIONS)}}));
        assert_eq!(errors, ["metadata.annotations: Too long: may not be more than 262144 bytes"]);
    }

    #[test]
    fn owners_must_be_complete_and_one_at_most_in_control() {
        let errors = checked(json!({"ownerReferences": [{"apiVersion": "v1", "kind": "X", "name": ""}]}));
        assert_eq!(
            errors,
            [
                r#"metadata.ownerReferences.name: Invalid value: "": must not be empty"#,
                r#"metadata.ownerReferences.uid: Invalid value: "": must not be empty"#,
            ]
        );
        let owner = |name: &str| json!({"apiVersion": "v1", "kind": "X", "name": name, "uid": name, "controller": true});
        let errors = checked(json!({"ownerReferences": [owner("a"), owner("b")]}));
        assert!(errors[0].ends_with("Found \"true\" in references for a and b"), "{errors:?}");
    }

    #[test]
    fn finalizers_are_qualified_names() {
        assert!(checked(json!({"finalizers": ["no domain"]}))[0].contains("name part must consist of"));
        assert_eq!(checked(json!({"finalizers": ["example.com/x", "orphan"]})), [""; 0]);
        assert_eq!(checked(json!({"finalizers": ["orphan", "foregroundDeletion"]})).len(), 1);
    }

    #[test]
    fn identity_never_changes_and_a_dying_object_takes_no_finalizer() {
        let stored = object(json!({
            "name": "a", "uid": "u", "generation": 3, "deletionTimestamp": "2020-01-01T00:00:00Z",
            "finalizers": ["example.com/hold"],
        }));
        let changed = object(json!({
            "name": "a", "uid": "w", "generation": 2,
            "finalizers": ["example.com/hold", "example.com/more"],
        }));
        assert_eq!(
            texts_of(&check_change(&changed, &stored)),
            [
                "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{\"example.com/more\"}",
                "metadata.generation: Invalid value: 2: must not be decremented",
                r#"metadata.uid: Invalid value: "w": field is immutable"#,
                "metadata.deletionTimestamp: Invalid value: null: field is immutable",
            ]
        );
    }

    #[test]
    fn a_generation_is_not_negative() {
        let told = checked(json!({"generation": -1}));
        assert_eq!(told, ["metadata.generation: Invalid value: -1: must be greater than or equal to 0"]);
        assert_eq!(checked(json!({"generation": 0})), [""; 0]);
    }
}
