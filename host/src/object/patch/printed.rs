//! Patches and patched documents as upstream prints them in refusals (recorded: patch/merge-unknown-strict).

use std::fmt::Write as _;

use serde_json::{Map, Value};

use crate::model::failure::quoted;
use crate::model::schema::Schema;

/// A patched document: what the patch touched with its keys sorted, the rest in the order of the schema.
pub(super) fn document(patched: &Value, before: &Value, schema: &Schema) -> String {
    let mut out = String::new();
    write(&mut out, patched, Some(before), Some(schema));
    out
}

fn write(out: &mut String, value: &Value, before: Option<&Value>, schema: Option<&Schema>) {
    match value {
        Value::Object(map) => write_object(out, map, before, schema),
        Value::Array(list) => {
            let inner = match schema {
                Some(Schema::List { items, .. }) => Some(*items),
                _ => None,
            };
            let olds = before.and_then(Value::as_array);
            out.push('[');
            for (index, item) in list.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write(out, item, olds.and_then(|old| old.get(index)), inner);
            }
            out.push(']');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

fn write_object(out: &mut String, map: &Map<String, Value>, before: Option<&Value>, schema: Option<&Schema>) {
    let old = before.and_then(Value::as_object);
    let mut keys: Vec<&String> = map.keys().collect();
    if let (true, Some(Schema::Record(record))) = (old == Some(map), schema) {
        let place = |key: &str| record.fields.iter().position(|field| field.name == key);
        keys.sort_by_key(|key| place(key).unwrap_or(usize::MAX));
    }
    out.push('{');
    for (index, key) in keys.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        out.push_str(&quoted(key));
        out.push(':');
        let inner = match schema {
            Some(Schema::Record(record)) => record.field(key).map(|field| field.schema),
            Some(Schema::Map(items)) => Some(*items),
            _ => None,
        };
        if let Some(value) = map.get(key) {
            write(out, value, old.and_then(|old| old.get(key)), inner);
        }
    }
    out.push('}');
}

/// A value as Go prints maps: `map[spec:map[colour:red]]`.
pub(super) fn go_map(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(list) => {
            let items: Vec<String> = list.iter().map(go_map).collect();
            format!("[{}]", items.join(" "))
        }
        Value::Object(map) => {
            let mut out = String::from("map[");
            for (index, (key, value)) in map.iter().enumerate() {
                let space = if index > 0 { " " } else { "" };
                // Writing to a string cannot fail.
                write!(out, "{space}{key}:{}", go_map(value)).unwrap_or_default();
            }
            out.push(']');
            out
        }
        other => other.to_string(),
    }
}
