//! Brings values into the one form that a schema allows: unknown fields, nulls and zero values dropped.

use serde_json::{Map, Value};

use crate::model::object::Object;
use crate::model::schema::{Record, Schema, ZeroValue};
use crate::object::kind::Kind;

/// An object of a kind with nothing but what is always written, as bookmarks carry it.
pub fn empty(kind: &Kind) -> Object {
    let mut object = Object::default();
    if let Value::Object(map) = canonical(Value::Null, kind.schema) {
        object.0 = map;
    }
    object.set(&["apiVersion"], kind.api_version());
    object.set(&["kind"], kind.kind);
    object
}

/// The canonical form of `value`: two values that mean the same become equal. Types are taken as checked.
pub fn canonical(value: Value, schema: &Schema) -> Value {
    match (schema, value) {
        (Schema::Record(record), Value::Object(map)) => Value::Object(canonical_record(map, record)),
        (Schema::Record(record), Value::Null) => Value::Object(canonical_record(Map::new(), record)),
        (Schema::Map(items), Value::Object(map)) => {
            Value::Object(map.into_iter().map(|(k, v)| (k, canonical(v, items))).collect())
        }
        (Schema::List { items, .. }, Value::Array(list)) => {
            Value::Array(list.into_iter().map(|v| canonical(v, items)).collect())
        }
        (schema, Value::Null) => zero(schema),
        (_, value) => value,
    }
}

fn canonical_record(mut map: Map<String, Value>, record: &Record) -> Map<String, Value> {
    let mut out = Map::new();
    for field in record.fields {
        // A record that is a pointer upstream: `{}` is kept, because it differs from nothing.
        let given = map.remove(field.name).filter(|v| !v.is_null());
        let is_record = matches!(field.schema, Schema::Record(_));
        let value = match (given, field.zero) {
            (Some(value), _) => canonical(value, field.schema),
            (None, ZeroValue::Written) => canonical(Value::Null, field.schema),
            (None, _) => continue,
        };
        if field.zero != ZeroValue::Omitted || is_record || !is_zero(&value) {
            out.insert(field.name.to_owned(), value);
        }
    }
    out
}

/// Whether a value is the zero of its type.
pub fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(b) => !b,
        Value::Number(n) => n.as_f64() == Some(0.0),
        Value::String(s) => s.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
    }
}

fn zero(schema: &Schema) -> Value {
    match schema {
        Schema::Record(_) | Schema::Map(_) | Schema::Opaque => Value::Object(Map::new()),
        Schema::List { .. } => Value::Array(Vec::new()),
        Schema::String | Schema::Bytes => Value::String(String::new()),
        Schema::Int32 | Schema::Int64 => Value::from(0),
        Schema::Boolean => Value::Bool(false),
        Schema::Time | Schema::MicroTime => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kind::{api_service, external_name};

    #[test]
    fn zero_values_are_left_out_kept_or_written() {
        let given = json!({
            "metadata": {
                "name": "", "labels": {}, "finalizers": [], "creationTimestamp": null,
                "deletionGracePeriodSeconds": 0,
                "ownerReferences": [{"controller": false, "name": null}],
            },
            "spec": {"insecureSkipTLSVerify": false, "caBundle": "", "service": {"port": 0}, "version": null},
            "unknown": 1,
        });
        let owner = json!({"apiVersion": "", "kind": "", "name": "", "uid": "", "controller": false});
        let wanted = json!({
            "metadata": {"deletionGracePeriodSeconds": 0, "ownerReferences": [owner]},
            "spec": {"groupPriorityMinimum": 0, "versionPriority": 0, "service": {"port": 0}},
            "status": {},
        });
        assert_eq!(canonical(given, api_service::KIND.schema), wanted);
    }

    #[test]
    fn empty_objects_carry_what_is_always_written() {
        let wanted = json!({
            "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {},
            "spec": {"groupPriorityMinimum": 0, "versionPriority": 0}, "status": {},
        });
        assert_eq!(empty(&api_service::KIND).into_value(), wanted);
        assert_eq!(empty(&external_name::KIND).at(&["spec"]), Some(&json!({})));
    }
}
