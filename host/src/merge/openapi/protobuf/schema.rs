//! Schemas that kubectl can read. kubectl rejects a whole document for one reference without a target, one array
//! without a schema for its items, or one unknown type; such a schema is replaced by one that allows any value.

use super::message::{AdditionalProperties, ItemsItem, NamedSchema, Schema, SchemaOrFlag, TypeItem};
use super::{any, extensions, flag, member, text, texts};
use crate::merge::openapi::json::Json;
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};
use std::borrow::Cow;

type Members<'a> = [(Cow<'a, str>, Json<'a>)];

/// The possible targets of references.
pub(super) trait Known {
    /// The reference as kubectl resolves it; `None` if its target is not a definition.
    fn definition(&self, reference: &str) -> Option<String>;
}

/// An entry of `definitions` or `properties`, encoded.
pub(super) fn named_schema(known: &dyn Known, name: String, value: Json<'_>) -> Vec<u8> {
    NamedSchema { name, value: Some(schema(known, value)) }.encode_to_vec()
}

/// A schema that is not an object allows any value.
pub(super) fn schema(known: &dyn Known, value: Json<'_>) -> Schema {
    let map = value.members();
    let default = member(&map, "default").map(any);
    if let Some(reference) = member(&map, "$ref").and_then(Json::string) {
        return Schema {
            reference: known.definition(&reference).unwrap_or_default(),
            description: text(&map, "description"),
            default,
            vendor_extension: extensions(&map),
            ..Schema::default()
        };
    }
    let kind = kind(&map);
    let is_any = kind.is_none() && member(&map, "type").is_some();
    let integer = |key: &str| member(&map, key).and_then(Json::number::<i64>).unwrap_or_default();
    let number = |key: &str| member(&map, key).and_then(Json::number::<f64>).unwrap_or_default();
    let properties = member(&map, "properties").filter(|all| all.is_object() && !is_any);
    Schema {
        reference: String::new(),
        format: text(&map, "format"),
        title: text(&map, "title"),
        description: text(&map, "description"),
        default,
        maximum: number("maximum"),
        exclusive_maximum: flag(&map, "exclusiveMaximum"),
        minimum: number("minimum"),
        exclusive_minimum: flag(&map, "exclusiveMinimum"),
        max_length: integer("maxLength"),
        min_length: integer("minLength"),
        pattern: text(&map, "pattern"),
        max_items: integer("maxItems"),
        min_items: integer("minItems"),
        unique_items: flag(&map, "uniqueItems"),
        required: texts(&map, "required"),
        enumeration: member(&map, "enum").map(Json::items).into_iter().flatten().map(any).collect(),
        additional_properties: member(&map, "additionalProperties").and_then(|v| additional(known, v)),
        items: items(known, &map, kind == Some("array")),
        kind: kind.map(|kind| TypeItem { value: vec![kind.to_owned()] }),
        all_of: all_of(known, &map),
        properties: properties.map(|all| encode_properties(known, all)),
        read_only: flag(&map, "readOnly"),
        vendor_extension: extensions(&map),
    }
}

/// The one type of a schema, if kubectl knows it.
fn kind(map: &Members<'_>) -> Option<&'static str> {
    let value = member(map, "type")?;
    let names: Vec<Cow<'_, str>> = match value.string() {
        Some(one) => vec![one],
        None => value.items().into_iter().filter_map(Json::string).filter(|name| name != "null").collect(),
    };
    let [name] = names.as_slice() else { return None };
    ["object", "array", "string", "number", "integer", "boolean"].into_iter().find(|known| known == name)
}

fn items(known: &dyn Known, map: &Members<'_>, is_array: bool) -> Option<ItemsItem> {
    let one = member(map, "items").filter(|items| items.is_object());
    let one = one.map(|one| schema(known, one)).or_else(|| is_array.then(Schema::default));
    one.map(|one| ItemsItem { schema: vec![one] })
}

/// Encoded one by one, because there may be hundreds of thousands.
fn encode_properties(known: &dyn Known, all: Json<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in all.members() {
        let encoded = named_schema(known, name.into_owned(), value);
        encode_key(1, WireType::LengthDelimited, &mut out);
        encode_varint(encoded.len() as u64, &mut out);
        out.extend_from_slice(&encoded);
    }
    out
}

fn all_of(known: &dyn Known, map: &Members<'_>) -> Vec<Schema> {
    let list = member(map, "allOf").map(Json::items);
    list.into_iter().flatten().filter(|one| one.is_object()).map(|one| schema(known, one)).collect()
}

fn additional(known: &dyn Known, value: Json<'_>) -> Option<Box<AdditionalProperties>> {
    let oneof = match value.flag() {
        Some(allowed) => SchemaOrFlag::Flag(allowed),
        None if value.is_object() => SchemaOrFlag::Schema(Box::new(schema(known, value))),
        None => return None,
    };
    Some(Box::new(AdditionalProperties { oneof: Some(oneof) }))
}
