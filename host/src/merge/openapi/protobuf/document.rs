//! Documents, paths and operations.

use super::message::{
    BodyParameter, Document, Info, NamedParameter, NamedPathItem, NamedPlaceParameter, NamedResponseValue,
    NonBodyParameter, NonBodyPlace, Operation, Parameter, ParameterDefinitions, ParameterOrReference,
    ParameterPlace, ParametersItem, PathItem, Paths, QueryParameter, Reference, Response, ResponseValue,
    Responses, SchemaItem,
};
use super::schema::{named_schemas, schema};
use super::{extensions, flag, text, texts};
use crate::merge::openapi::filter::resolve;
use prost::Message;
use serde_json::{Map, Value};

/// An OpenAPI v2 document in JSON as protobuf.
pub(crate) fn encode_v2(document: &Value) -> Vec<u8> {
    let section = |name: &str| document.get(name).and_then(Value::as_object);
    let info =
        section("info").map(|info| Info { title: text(info, "title"), version: text(info, "version") });
    let path = |(name, item): (&String, &Value)| NamedPathItem {
        name: name.clone(),
        value: item.as_object().map(|item| path_item(document, item)),
    };
    let definition = |(name, value): (&String, &Value)| {
        Some(NamedParameter { name: name.clone(), value: Some(parameter(value.as_object()?)?) })
    };
    Document {
        swagger: "2.0".to_owned(),
        info,
        paths: section("paths").map(|paths| Paths { path: paths.iter().map(path).collect() }),
        definitions: section("definitions").map(named_schemas),
        parameters: section("parameters").map(|all| ParameterDefinitions {
            additional_properties: all.iter().filter_map(definition).collect(),
        }),
    }
    .encode_to_vec()
}

fn path_item(document: &Value, item: &Map<String, Value>) -> PathItem {
    let at = |method: &str| item.get(method).and_then(Value::as_object).map(|o| operation(document, o));
    PathItem {
        get: at("get"),
        put: at("put"),
        post: at("post"),
        delete: at("delete"),
        options: at("options"),
        head: at("head"),
        patch: at("patch"),
        parameters: parameters(item),
    }
}

fn operation(document: &Value, operation: &Map<String, Value>) -> Operation {
    Operation {
        tags: texts(operation, "tags"),
        description: text(operation, "description"),
        operation_id: text(operation, "operationId"),
        produces: texts(operation, "produces"),
        consumes: texts(operation, "consumes"),
        parameters: parameters(operation),
        responses: operation.get("responses").and_then(Value::as_object).map(|all| responses(document, all)),
        vendor_extension: extensions(operation),
    }
}

fn parameters(parent: &Map<String, Value>) -> Vec<ParametersItem> {
    let list = parent.get("parameters").and_then(Value::as_array);
    let item = |value: &Value| {
        let map = value.as_object()?;
        let oneof = match map.get("$ref").and_then(Value::as_str) {
            Some(target) => ParameterOrReference::Reference(Reference { target: target.to_owned() }),
            None => ParameterOrReference::Parameter(parameter(map)?),
        };
        Some(ParametersItem { oneof: Some(oneof) })
    };
    list.into_iter().flatten().filter_map(item).collect()
}

/// `None` for form fields, which no Kubernetes API has.
fn parameter(map: &Map<String, Value>) -> Option<Parameter> {
    let place = text(map, "in");
    let named = || NamedPlaceParameter {
        required: flag(map, "required"),
        place: text(map, "in"),
        description: text(map, "description"),
        name: text(map, "name"),
        kind: text(map, "type"),
        format: text(map, "format"),
        unique_items: flag(map, "uniqueItems"),
    };
    let other = |oneof| ParameterPlace::Other(NonBodyParameter { oneof: Some(oneof) });
    let oneof = match place.as_str() {
        "body" => ParameterPlace::Body(BodyParameter {
            description: text(map, "description"),
            name: text(map, "name"),
            place,
            required: flag(map, "required"),
            schema: map.get("schema").and_then(Value::as_object).map(|map| Box::new(schema(map))),
        }),
        "query" => other(NonBodyPlace::Query(query(map, place))),
        "path" => other(NonBodyPlace::Path(named())),
        "header" => other(NonBodyPlace::Header(named())),
        _ => return None,
    };
    Some(Parameter { oneof: Some(oneof) })
}

fn query(map: &Map<String, Value>, place: String) -> QueryParameter {
    QueryParameter {
        required: flag(map, "required"),
        place,
        description: text(map, "description"),
        name: text(map, "name"),
        kind: text(map, "type"),
        format: text(map, "format"),
        unique_items: flag(map, "uniqueItems"),
    }
}

fn responses(document: &Value, all: &Map<String, Value>) -> Responses {
    let named = |(code, value): (&String, &Value)| {
        let target = value.get("$ref").and_then(Value::as_str);
        let found = target.map_or(Some(value), |target| resolve(document, target))?.as_object()?;
        let schema = found.get("schema").and_then(Value::as_object).map(schema);
        let response = Response {
            description: text(found, "description"),
            schema: schema.map(|schema| SchemaItem { schema: Some(schema) }),
        };
        Some(NamedResponseValue {
            name: code.clone(),
            value: Some(ResponseValue { response: Some(response) }),
        })
    };
    Responses { response_code: all.iter().filter_map(named).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_goes_in_comes_out_of_the_messages() {
        let bytes = encode_v2(&json!({
            "swagger": "2.0",
            "info": {"title": "t", "version": "v"},
            "paths": {"/a/{name}": {
                "parameters": [{"in": "path", "name": "name", "required": true, "type": "string"}],
                "patch": {
                    "operationId": "patchA",
                    "parameters": [{"in": "query", "name": "fieldValidation", "type": "string"}, {"$ref": "#/parameters/p"}],
                    "responses": {"200": {"description": "OK", "schema": {"$ref": "#/definitions/A"}}},
                    "x-kubernetes-action": "patch",
                },
            }},
            "definitions": {"A": {
                "type": "object",
                "properties": {"labels": {"type": "object", "additionalProperties": {"type": "string"}}},
                "x-kubernetes-group-version-kind": [{"kind": "A"}],
            }},
        }));
        let document = Document::decode(bytes.as_slice()).unwrap();
        let path = &document.paths.unwrap().path[0];
        assert_eq!(path.name, "/a/{name}");
        let patch = path.value.as_ref().unwrap().patch.as_ref().unwrap();
        assert_eq!(patch.parameters.len(), 2);
        assert_eq!(patch.vendor_extension[0].value.as_ref().unwrap().yaml, "\"patch\"\n");
        let definition = &document.definitions.unwrap().additional_properties[0];
        let schema = definition.value.as_ref().unwrap();
        assert_eq!(schema.vendor_extension[0].value.as_ref().unwrap().yaml, "[{\"kind\":\"A\"}]\n");
        let labels = schema.properties.as_ref().unwrap().additional_properties[0].value.as_ref().unwrap();
        assert!(labels.additional_properties.is_some());
    }
}
