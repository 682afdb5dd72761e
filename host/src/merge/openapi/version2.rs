//! An OpenAPI v3 document of our own in the form of OpenAPI v2. Only what [`super::own`] writes is
//! understood, which has one schema for all media types of a body.

use super::definition::REFERENCE;
use serde_json::{Map, Value, json};

/// Says the same as `document` in OpenAPI v2.
pub(super) fn own_document_v2(document: &Value) -> Value {
    let paths = convert_each(document.get("paths"), path_item);
    let definitions = convert_each(document.pointer("/components/schemas"), schema);
    json!({"swagger": "2.0", "info": document.get("info"), "paths": paths, "definitions": definitions})
}

fn convert_each(map: Option<&Value>, convert: fn(&Value) -> Value) -> Value {
    let Some(Value::Object(map)) = map else { return json!({}) };
    map.iter().map(|(name, value)| (name.clone(), convert(value))).collect::<Map<_, _>>().into()
}

fn path_item(item: &Value) -> Value {
    let Value::Object(item) = item else { return json!({}) };
    let convert = |(key, value): (&String, &Value)| match key.as_str() {
        "parameters" => (key.clone(), parameters(value).into()),
        _ => (key.clone(), operation(value)),
    };
    item.iter().map(convert).collect::<Map<_, _>>().into()
}

fn operation(operation: &Value) -> Value {
    let Value::Object(old) = operation else { return json!({}) };
    let mut new = Map::new();
    let mut list = old.get("parameters").map(parameters).unwrap_or_default();
    if let Some(body) = old.get("requestBody") {
        let (consumes, schema) = content(body);
        let mut parameter = json!({"in": "body", "name": "body", "schema": schema});
        if let Some(required) = body.get("required") {
            parameter["required"] = required.clone();
        }
        list.insert(0, parameter);
        new.insert("consumes".to_owned(), consumes);
    }
    if !list.is_empty() {
        new.insert("parameters".to_owned(), list.into());
    }
    if let Some(Value::Object(responses)) = old.get("responses") {
        let mut converted = Map::new();
        for (code, response) in responses {
            let (produces, schema) = content(response);
            new.insert("produces".to_owned(), produces);
            converted
                .insert(code.clone(), json!({"description": response.get("description"), "schema": schema}));
        }
        new.insert("responses".to_owned(), converted.into());
    }
    for (key, value) in old {
        if !matches!(key.as_str(), "parameters" | "requestBody" | "responses") {
            new.insert(key.clone(), value.clone());
        }
    }
    new.into()
}

/// The media types and the schema of a body.
fn content(body: &Value) -> (Value, Value) {
    let Some(Value::Object(content)) = body.get("content") else { return (json!([]), Value::Null) };
    let media: Vec<_> = content.keys().cloned().collect();
    let first = content.values().next().and_then(|c| c.get("schema"));
    (media.into(), first.map_or(Value::Null, schema))
}

fn parameters(list: &Value) -> Vec<Value> {
    let flatten = |parameter: &Value| {
        let Value::Object(parameter) = parameter else { return json!({}) };
        let mut flat = parameter.clone();
        if let Some(Value::Object(schema)) = flat.remove("schema") {
            flat.extend(schema);
        }
        Value::Object(flat)
    };
    list.as_array().map(|list| list.iter().map(flatten).collect()).unwrap_or_default()
}

/// References move, and may have a description beside them; they have no default then.
fn schema(old: &Value) -> Value {
    match old {
        Value::Object(map) => {
            let mut new: Map<String, Value> = Map::new();
            for (key, value) in map {
                new.insert(key.clone(), schema(value));
            }
            if let Some(Value::String(target)) = new.get_mut("$ref") {
                *target = moved(target);
            }
            if let Some([single]) = new.get("allOf").and_then(Value::as_array).map(Vec::as_slice)
                && let Some(target) = single.get("$ref").cloned()
            {
                new.remove("allOf");
                new.remove("default");
                new.insert("$ref".to_owned(), target);
            }
            new.into()
        }
        Value::Array(list) => list.iter().map(schema).collect(),
        other => other.clone(),
    }
}

fn moved(target: &str) -> String {
    target.strip_prefix(REFERENCE).map_or_else(|| target.to_owned(), |name| format!("#/definitions/{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_become_parameters_and_wrapped_references_bare_ones() {
        let reference = json!({"$ref": "#/components/schemas/x.Thing"});
        let v3 = json!({
            "info": {"title": "t", "version": "1"},
            "paths": {"/apis/x/v1/things": {
                "parameters": [{"in": "query", "name": "pretty", "schema": {"type": "string", "uniqueItems": true}}],
                "post": {
                    "operationId": "createXV1Thing",
                    "requestBody": {"required": true, "content": {"*/*": {"schema": reference}}},
                    "responses": {"201": {"description": "Created", "content": {
                        "application/json": {"schema": reference},
                        "application/yaml": {"schema": reference},
                    }}},
                },
            }},
            "components": {"schemas": {"x.Thing": {"type": "object", "properties": {
                "spec": {"allOf": [{"$ref": "#/components/schemas/x.Spec"}], "default": {}, "description": "d"},
            }}}},
        });
        let wanted = json!({
            "swagger": "2.0",
            "info": {"title": "t", "version": "1"},
            "paths": {"/apis/x/v1/things": {
                "parameters": [{"in": "query", "name": "pretty", "type": "string", "uniqueItems": true}],
                "post": {
                    "operationId": "createXV1Thing",
                    "consumes": ["*/*"],
                    "produces": ["application/json", "application/yaml"],
                    "parameters": [{"in": "body", "name": "body", "required": true, "schema": {"$ref": "#/definitions/x.Thing"}}],
                    "responses": {"201": {"description": "Created", "schema": {"$ref": "#/definitions/x.Thing"}}},
                },
            }},
            "definitions": {"x.Thing": {"type": "object", "properties": {
                "spec": {"$ref": "#/definitions/x.Spec", "description": "d"},
            }}},
        });
        assert_eq!(own_document_v2(&v3), wanted);
    }
}
