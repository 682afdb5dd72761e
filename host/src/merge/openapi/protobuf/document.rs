//! Documents, paths and operations.

use super::message::{
    BodyParameter, Head, Info, NamedParameter, NamedPathItem, NamedPlaceParameter, NamedResponse,
    NamedResponseValue, NonBodyParameter, NonBodyPlace, Operation, Parameter, ParameterOrReference,
    ParameterPlace, ParametersItem, PathItem, QueryParameter, Reference, Response, ResponseOrReference,
    ResponseValue, Responses, SchemaItem,
};
use super::schema::{Known, named_schema, schema};
use super::{extensions, flag, member, text, texts};
use crate::merge::openapi::json::Json;
use crate::merge::openapi::parts::{Named, Parts};
use crate::merge::openapi::section::{Section, Target};
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};

const PATHS: u32 = 8;
const DEFINITIONS: u32 = 9;
const PARAMETERS: u32 = 10;
const RESPONSES: u32 = 11;
/// Field of the entries in each of these sections.
const ENTRY: u32 = 1;
const PATH_ENTRY: u32 = 2;

/// An OpenAPI v2 document as protobuf. Each entry is encoded by itself: the messages of a whole document take many
/// times its memory.
pub(crate) fn encode_v2(parts: &Parts<'_>) -> Vec<u8> {
    let info = parts.head.get("info").map(|info| Json::part(info).members());
    let info = info.map(|info| Info { title: text(&info, "title"), version: text(&info, "version") });
    let mut out = Head { swagger: "2.0".to_owned(), info }.encode_to_vec();
    let encoder = Encoder { parts };
    section(&mut out, PATHS, PATH_ENTRY, &parts.paths, |name, item| {
        Some(NamedPathItem { name, value: Some(encoder.path_item(item)) }.encode_to_vec())
    });
    section(&mut out, DEFINITIONS, ENTRY, parts.section(Section::Definitions), |name, value| {
        Some(named_schema(&encoder, name, value))
    });
    section(&mut out, PARAMETERS, ENTRY, parts.section(Section::Parameters), |name, value| {
        let value = Some(encoder.parameter(value)?);
        Some(NamedParameter { name, value }.encode_to_vec())
    });
    section(&mut out, RESPONSES, ENTRY, parts.section(Section::Responses), |name, value| {
        let value = Some(encoder.response(parts.resolve(value)?));
        Some(NamedResponse { name, value }.encode_to_vec())
    });
    out
}

/// Appends a field whose entries are encoded one after the other.
fn section<'a>(
    out: &mut Vec<u8>,
    field: u32,
    entry: u32,
    named: &'a Named<'_>,
    encode: impl Fn(String, Json<'a>) -> Option<Vec<u8>>,
) {
    if named.is_empty() {
        return;
    }
    encode_key(field, WireType::LengthDelimited, out);
    let start = out.len();
    for (name, value) in named {
        if let Some(encoded) = encode(name.to_string(), Json::part(value)) {
            encode_key(entry, WireType::LengthDelimited, out);
            encode_varint(encoded.len() as u64, out);
            out.extend_from_slice(&encoded);
        }
    }
    let mut length = Vec::new();
    encode_varint((out.len() - start) as u64, &mut length);
    out.splice(start..start, length);
}

struct Encoder<'a> {
    parts: &'a Parts<'a>,
}

impl Known for Encoder<'_> {
    fn definition(&self, reference: &str) -> Option<String> {
        let names = self.parts.section(Section::Definitions);
        let rest = reference.strip_prefix(Section::Definitions.prefix())?;
        let target = Target::find(rest, |name| names.contains_key(name))?;
        target.inside.is_empty().then(|| format!("{}{}", Section::Definitions.prefix(), target.name))
    }
}

impl Encoder<'_> {
    fn path_item(&self, item: Json<'_>) -> PathItem {
        let item = item.members();
        let at = |method: &str| member(&item, method).filter(|o| o.is_object()).map(|o| self.operation(o));
        PathItem {
            get: at("get"),
            put: at("put"),
            post: at("post"),
            delete: at("delete"),
            options: at("options"),
            head: at("head"),
            patch: at("patch"),
            parameters: self.parameters(member(&item, "parameters")),
        }
    }

    fn operation(&self, operation: Json<'_>) -> Operation {
        let operation = operation.members();
        Operation {
            tags: texts(&operation, "tags"),
            description: text(&operation, "description"),
            operation_id: text(&operation, "operationId"),
            produces: texts(&operation, "produces"),
            consumes: texts(&operation, "consumes"),
            parameters: self.parameters(member(&operation, "parameters")),
            responses: member(&operation, "responses")
                .filter(|r| r.is_object())
                .map(|all| self.responses(all)),
            vendor_extension: extensions(&operation),
        }
    }

    fn parameters(&self, list: Option<Json<'_>>) -> Vec<ParametersItem> {
        let item = |value: Json<'_>| {
            let oneof = match value.get("$ref").and_then(Json::string) {
                Some(target) => ParameterOrReference::Reference(Reference { target: target.into_owned() }),
                None => ParameterOrReference::Parameter(self.parameter(value)?),
            };
            Some(ParametersItem { oneof: Some(oneof) })
        };
        list.map(Json::items).into_iter().flatten().filter_map(item).collect()
    }

    /// `None` for form fields, which no Kubernetes API has.
    fn parameter(&self, value: Json<'_>) -> Option<Parameter> {
        let map = self.parts.resolve(value)?.members();
        let place = text(&map, "in");
        let named = || NamedPlaceParameter {
            required: flag(&map, "required"),
            place: text(&map, "in"),
            description: text(&map, "description"),
            name: text(&map, "name"),
            kind: text(&map, "type"),
            format: text(&map, "format"),
            unique_items: flag(&map, "uniqueItems"),
        };
        let other = |oneof| ParameterPlace::Other(NonBodyParameter { oneof: Some(oneof) });
        let oneof = match place.as_str() {
            "body" => ParameterPlace::Body(BodyParameter {
                description: text(&map, "description"),
                name: text(&map, "name"),
                place,
                required: flag(&map, "required"),
                schema: member(&map, "schema").filter(|s| s.is_object()).map(|s| Box::new(schema(self, s))),
            }),
            "query" => {
                let NamedPlaceParameter { required, place, description, name, kind, format, unique_items } =
                    named();
                other(NonBodyPlace::Query(QueryParameter {
                    required,
                    place,
                    description,
                    name,
                    kind,
                    format,
                    unique_items,
                }))
            }
            "path" => other(NonBodyPlace::Path(named())),
            "header" => other(NonBodyPlace::Header(named())),
            _ => return None,
        };
        Some(Parameter { oneof: Some(oneof) })
    }

    fn response(&self, found: Json<'_>) -> Response {
        let map = found.members();
        let schema = member(&map, "schema").filter(|s| s.is_object()).map(|s| schema(self, s));
        Response {
            description: text(&map, "description"),
            schema: schema.map(|schema| SchemaItem { schema: Some(schema) }),
        }
    }

    fn responses(&self, all: Json<'_>) -> Responses {
        let named = |name: String, value: Json<'_>| {
            let oneof = match value.get("$ref").and_then(Json::string) {
                Some(target) => ResponseOrReference::Reference(Reference { target: target.into_owned() }),
                None if value.is_object() => ResponseOrReference::Response(Box::new(self.response(value))),
                None => return None,
            };
            Some(NamedResponseValue { name, value: Some(ResponseValue { oneof: Some(oneof) }) })
        };
        let codes = all.members().into_iter().filter(|(code, _)| !code.starts_with("x-"));
        Responses {
            response_code: codes.filter_map(|(code, value)| named(code.into_owned(), value)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::{Document, NamedSchemas, Schema};
    use super::*;
    use serde_json::{Value, json};

    fn encode(document: &Value) -> Document {
        let text = document.to_string();
        Document::decode(encode_v2(&Parts::of(Json::part(&text))).as_slice()).unwrap()
    }

    fn properties(schema: &Schema) -> NamedSchemas {
        NamedSchemas::decode(schema.properties.as_deref().unwrap()).unwrap()
    }

    #[test]
    fn what_goes_in_comes_out_of_the_messages() {
        let document = encode(&json!({
            "swagger": "2.0",
            "info": {"title": "t", "version": "v"},
            "paths": {"/a/{name}": {
                "parameters": [{"in": "path", "name": "name", "required": true, "type": "string"}],
                "patch": {
                    "operationId": "patchA",
                    "parameters": [{"in": "query", "name": "fieldValidation", "type": "string"}, {"$ref": "#/parameters/p"}],
                    "responses": {
                        "200": {"description": "OK", "schema": {"$ref": "#/definitions/A"}},
                        "401": {"$ref": "#/responses/no"},
                    },
                    "x-kubernetes-action": "patch",
                },
            }},
            "definitions": {"A": {
                "type": "object",
                "properties": {"labels": {"type": "object", "additionalProperties": {"type": "string"}}},
                "x-kubernetes-group-version-kind": [{"kind": "A"}],
            }},
            "parameters": {"p": {"in": "header", "name": "h"}},
            "responses": {"no": {"description": "No"}},
        }));
        assert_eq!((document.swagger.as_str(), document.info.unwrap().title.as_str()), ("2.0", "t"));
        let path = &document.paths.unwrap().path[0];
        assert_eq!(path.name, "/a/{name}");
        let patch = path.value.as_ref().unwrap().patch.as_ref().unwrap();
        assert_eq!(patch.parameters.len(), 2);
        assert_eq!(patch.vendor_extension[0].value.as_ref().unwrap().yaml, "\"patch\"\n");
        let codes = &patch.responses.as_ref().unwrap().response_code;
        let shared = Reference { target: "#/responses/no".to_owned() };
        assert_eq!(codes[1].value.as_ref().unwrap().oneof, Some(ResponseOrReference::Reference(shared)));
        let definition = &document.definitions.unwrap().additional_properties[0];
        let schema = definition.value.as_ref().unwrap();
        assert_eq!(schema.vendor_extension[0].value.as_ref().unwrap().yaml, "[{\"kind\":\"A\"}]\n");
        let labels = properties(schema).additional_properties[0].value.clone().unwrap();
        assert!(labels.additional_properties.is_some());
        assert_eq!(document.parameters.unwrap().additional_properties[0].name, "p");
        let no = &document.responses.unwrap().additional_properties[0];
        assert_eq!((no.name.as_str(), no.value.as_ref().unwrap().description.as_str()), ("no", "No"));
    }

    /// Documents that kubectl rejects as a whole: see `ParseSchema` in kube-openapi's `pkg/util/proto`.
    #[test]
    fn nothing_that_one_backend_writes_makes_the_document_unreadable() {
        let document = encode(&json!({
            "swagger": "2.0",
            "definitions": {"A": {"type": "object", "properties": {
                "dangling": {"$ref": "#/definitions/Nope", "description": "d"},
                "elsewhere": {"$ref": "other.json#/definitions/A"},
                "inside": {"$ref": "#/definitions/A/properties/array"},
                "typed": {"$ref": "#/definitions/A", "type": "object", "properties": {"x": {}}},
                "array": {"type": "array"},
                "tuple": {"type": "array", "items": [{"type": "string"}, {"type": "integer"}]},
                "flagged": {"type": "array", "items": true},
                "many": {"type": ["string", "integer"]},
                "nullable": {"type": ["string", "null"]},
                "none": {"type": "null"},
                "file": {"type": "file"},
                "escaped": {"$ref": "#/definitions/A%2EB"},
            }}, "A.B": true},
        }));
        let definitions = document.definitions.unwrap().additional_properties;
        let all = properties(definitions[0].value.as_ref().unwrap());
        let shown: Vec<String> = all
            .additional_properties
            .iter()
            .map(|named| {
                let schema = named.value.as_ref().unwrap();
                let kind = schema.kind.as_ref().map(|kind| kind.value.join("|")).unwrap_or_default();
                let items = schema.items.as_ref().map_or(0, |items| items.schema.len());
                let is_object = schema.properties.is_some();
                format!("{} {kind} {items} {is_object} {}", named.name, schema.reference)
            })
            .collect();
        assert_eq!(
            shown,
            [
                "array array 1 false ",
                "dangling  0 false ",
                "elsewhere  0 false ",
                "escaped  0 false #/definitions/A.B",
                "file  0 false ",
                "flagged array 1 false ",
                "inside  0 false ",
                "many  0 false ",
                "none  0 false ",
                "nullable string 0 false ",
                "tuple array 1 false ",
                "typed  0 false #/definitions/A",
            ]
        );
        assert_eq!(all.additional_properties[1].value.as_ref().unwrap().description, "d");
        assert_eq!(definitions[1].value, Some(Schema::default()));
    }

    #[test]
    fn values_without_a_shape_are_yaml_that_every_reader_takes() {
        let document = encode(&json!({"definitions": {"A": {
            "default": "\u{7f}\u{85}\u{2028}😀é", "x-a": {"b": [1.5, null]},
        }}}));
        let schema = document.definitions.unwrap().additional_properties[0].value.clone().unwrap();
        assert_eq!(schema.default.unwrap().yaml, "\"\\u007f\\u0085\\u2028😀é\"\n");
        assert_eq!(schema.vendor_extension[0].value.as_ref().unwrap().yaml, "{\"b\":[1.5,null]}\n");
    }
}
