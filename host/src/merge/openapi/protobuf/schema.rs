//! Schemas.

use super::message::{
    AdditionalProperties, ItemsItem, NamedSchema, NamedSchemas, Schema, SchemaOrFlag, TypeItem,
};
use super::{any, extensions, flag, text, texts};
use serde_json::{Map, Value};

/// `definitions` or `properties`.
pub(super) fn named_schemas(map: &Map<String, Value>) -> NamedSchemas {
    let named = |(name, value): (&String, &Value)| NamedSchema {
        name: name.clone(),
        value: Some(value.as_object().map(schema).unwrap_or_default()),
    };
    NamedSchemas { additional_properties: map.iter().map(named).collect() }
}

pub(super) fn schema(map: &Map<String, Value>) -> Schema {
    let integer = |key: &str| map.get(key).and_then(Value::as_i64).unwrap_or_default();
    let number = |key: &str| map.get(key).and_then(Value::as_f64).unwrap_or_default();
    Schema {
        reference: text(map, "$ref"),
        format: text(map, "format"),
        title: text(map, "title"),
        description: text(map, "description"),
        default: map.get("default").map(any),
        maximum: number("maximum"),
        exclusive_maximum: flag(map, "exclusiveMaximum"),
        minimum: number("minimum"),
        exclusive_minimum: flag(map, "exclusiveMinimum"),
        max_length: integer("maxLength"),
        min_length: integer("minLength"),
        pattern: text(map, "pattern"),
        max_items: integer("maxItems"),
        min_items: integer("minItems"),
        unique_items: flag(map, "uniqueItems"),
        required: texts(map, "required"),
        enumeration: map.get("enum").and_then(Value::as_array).into_iter().flatten().map(any).collect(),
        additional_properties: map.get("additionalProperties").and_then(additional_properties),
        kind: map.get("type").map(|kind| TypeItem { value: one_or_many(kind) }),
        items: map.get("items").and_then(Value::as_object).map(|one| ItemsItem { schema: vec![schema(one)] }),
        all_of: all_of(map),
        properties: map.get("properties").and_then(Value::as_object).map(named_schemas),
        read_only: flag(map, "readOnly"),
        vendor_extension: extensions(map),
    }
}

fn all_of(map: &Map<String, Value>) -> Vec<Schema> {
    let list = map.get("allOf").and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_object).map(schema).collect()
}

fn additional_properties(value: &Value) -> Option<Box<AdditionalProperties>> {
    let oneof = match value {
        Value::Object(map) => SchemaOrFlag::Schema(Box::new(schema(map))),
        Value::Bool(allowed) => SchemaOrFlag::Flag(*allowed),
        _ => return None,
    };
    Some(Box::new(AdditionalProperties { oneof: Some(oneof) }))
}

fn one_or_many(kind: &Value) -> Vec<String> {
    match kind {
        Value::String(one) => vec![one.clone()],
        Value::Array(many) => many.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}
