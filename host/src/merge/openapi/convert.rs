//! An OpenAPI v2 document of a backend that has no v3, in the form of OpenAPI v3.

use super::filter::resolve;
use super::reference::rewrite_references;
use serde_json::{Map, Value, json};

/// Says the same as the v2 `document` in OpenAPI v3 (contract §4.3). Shared parameters and responses are put where
/// they are used; form fields, which no Kubernetes API has, are left out.
pub fn convert_to_v3(document: &Value) -> Value {
    let empty = Map::new();
    let section = |name: &str| document.get(name).and_then(Value::as_object).unwrap_or(&empty);
    let media = Media { consumes: list(document, "consumes"), produces: list(document, "produces") };
    let converter = Converter { document, media };
    let paths: Map<_, _> =
        section("paths").iter().map(|(path, item)| (path.clone(), converter.path_item(item))).collect();
    let schemas: Map<_, _> =
        section("definitions").iter().map(|(name, value)| (name.clone(), schema(value))).collect();
    let mut converted = json!({
        "openapi": "3.0.0",
        "info": document.get("info").cloned().unwrap_or_else(|| json!({"title": "", "version": ""})),
        "paths": paths,
        "components": {"schemas": schemas},
    });
    let moved = |target: &str| {
        target.strip_prefix("#/definitions/").map(|name| format!("#/components/schemas/{name}"))
    };
    rewrite_references(&mut converted, &moved);
    converted
}

/// What a document or operation says about media types.
struct Media {
    consumes: Option<Value>,
    produces: Option<Value>,
}

struct Converter<'a> {
    document: &'a Value,
    media: Media,
}

impl Converter<'_> {
    fn path_item(&self, item: &Value) -> Value {
        let Value::Object(item) = item else { return json!({}) };
        let convert = |(key, value): (&String, &Value)| {
            let new = match key.as_str() {
                "parameters" => self.parameters(value).into(),
                "get" | "put" | "post" | "delete" | "options" | "head" | "patch" => self.operation(value),
                _ => value.clone(),
            };
            (key.clone(), new)
        };
        item.iter().map(convert).collect::<Map<_, _>>().into()
    }

    fn operation(&self, operation: &Value) -> Value {
        let Value::Object(old) = operation else { return json!({}) };
        let own = |key, fallback: &Option<Value>| list(operation, key).or_else(|| fallback.clone());
        let consumes = own("consumes", &self.media.consumes).unwrap_or_else(|| json!(["application/json"]));
        let produces = own("produces", &self.media.produces).unwrap_or_else(|| json!(["application/json"]));
        let mut new: Map<String, Value> = old
            .iter()
            .filter(|(key, _)| {
                !matches!(key.as_str(), "consumes" | "produces" | "schemes" | "parameters" | "responses")
            })
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        if let Some(all) = old.get("parameters") {
            let parameters = self.parameters(all);
            if !parameters.is_empty() {
                new.insert("parameters".to_owned(), parameters.into());
            }
            if let Some(body) = self.resolved(all).find(|p| p.get("in") == Some(&json!("body"))) {
                new.insert("requestBody".to_owned(), request_body(body, &consumes));
            }
        }
        if let Some(Value::Object(all)) = old.get("responses") {
            let convert = |(code, response): (&String, &Value)| {
                (code.clone(), answer(self.resolve_one(response), &produces))
            };
            new.insert("responses".to_owned(), all.iter().map(convert).collect::<Map<_, _>>().into());
        }
        new.into()
    }

    fn parameters(&self, all: &Value) -> Vec<Value> {
        let in_place = |p: &&Value| matches!(p["in"].as_str(), Some("query" | "path" | "header"));
        self.resolved(all).filter(in_place).map(parameter).collect()
    }

    fn resolved<'b>(&'b self, all: &'b Value) -> impl Iterator<Item = &'b Value> {
        all.as_array().into_iter().flatten().map(|value| self.resolve_one(value))
    }

    fn resolve_one<'b>(&'b self, value: &'b Value) -> &'b Value {
        value.get("$ref").and_then(Value::as_str).and_then(|t| resolve(self.document, t)).unwrap_or(value)
    }
}

fn list(value: &Value, key: &str) -> Option<Value> {
    value.get(key).filter(|list| list.as_array().is_some_and(|list| !list.is_empty())).cloned()
}

fn request_body(parameter: &Value, consumes: &Value) -> Value {
    let mut body = json!({"content": content(parameter, consumes)});
    for key in ["description", "required"] {
        if let Some(value) = parameter.get(key) {
            body[key] = value.clone();
        }
    }
    body
}

fn answer(response: &Value, produces: &Value) -> Value {
    let mut answer =
        json!({"description": response.get("description").and_then(Value::as_str).unwrap_or_default()});
    if response.get("schema").is_some() {
        answer["content"] = content(response, produces);
    }
    answer
}

fn content(parent: &Value, media: &Value) -> Value {
    let shape = json!({"schema": parent.get("schema").map_or(Value::Null, schema)});
    let types = media.as_array().into_iter().flatten().filter_map(Value::as_str);
    types.map(|media| (media.to_owned(), shape.clone())).collect::<Map<_, _>>().into()
}

fn parameter(old: &Value) -> Value {
    let Value::Object(old) = old else { return json!({}) };
    let (mut new, mut shape) = (Map::new(), Map::new());
    for (key, value) in old {
        let is_own =
            matches!(key.as_str(), "name" | "in" | "description" | "required") || key.starts_with("x-");
        match key.as_str() {
            _ if is_own => new.insert(key.clone(), value.clone()),
            "collectionFormat" | "allowEmptyValue" => None,
            _ => shape.insert(key.clone(), value.clone()),
        };
    }
    new.insert("schema".to_owned(), shape.into());
    new.into()
}

/// A reference with siblings is wrapped: OpenAPI 3.0 ignores what stands beside a bare one.
fn schema(old: &Value) -> Value {
    match old {
        Value::Object(map) => {
            let mut new: Map<String, Value> =
                map.iter().map(|(key, value)| (key.clone(), schema(value))).collect();
            if new.len() > 1 && new.get("$ref").is_some_and(Value::is_string) {
                let reference = new.remove("$ref");
                new.insert("allOf".to_owned(), json!([{"$ref": reference}]));
            }
            new.into()
        }
        Value::Array(list) => list.iter().map(schema).collect(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_v2_document_says_the_same_in_v3() {
        let v2 = json!({
            "swagger": "2.0",
            "info": {"title": "old", "version": "v1"},
            "paths": {"/apis/x/v1/things": {
                "parameters": [{"$ref": "#/parameters/pretty"}],
                "post": {
                    "consumes": ["*/*"],
                    "produces": ["application/json"],
                    "parameters": [{"in": "body", "name": "body", "required": true, "schema": {"$ref": "#/definitions/x.Thing"}}],
                    "responses": {"201": {"description": "Created", "schema": {"$ref": "#/definitions/x.Thing"}}, "401": {"description": "No"}},
                    "x-kubernetes-action": "post",
                },
            }},
            "parameters": {"pretty": {"in": "query", "name": "pretty", "type": "string", "uniqueItems": true}},
            "definitions": {"x.Thing": {"properties": {"spec": {"description": "d", "$ref": "#/definitions/x.Spec"}}}},
        });
        let reference = json!({"schema": {"$ref": "#/components/schemas/x.Thing"}});
        let wanted = json!({
            "openapi": "3.0.0",
            "info": {"title": "old", "version": "v1"},
            "paths": {"/apis/x/v1/things": {
                "parameters": [{"in": "query", "name": "pretty", "schema": {"type": "string", "uniqueItems": true}}],
                "post": {
                    "requestBody": {"required": true, "content": {"*/*": reference}},
                    "responses": {"201": {"description": "Created", "content": {"application/json": reference}}, "401": {"description": "No"}},
                    "x-kubernetes-action": "post",
                },
            }},
            "components": {"schemas": {"x.Thing": {"properties": {
                "spec": {"description": "d", "allOf": [{"$ref": "#/components/schemas/x.Spec"}]},
            }}}},
        });
        assert_eq!(convert_to_v3(&v2), wanted);
    }
}
