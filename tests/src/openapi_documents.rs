//! OpenAPI v2 documents that take much memory where they are converted carelessly.

use serde_json::json;
use std::fmt::Write as _;

/// This many small definitions, so that the memory for each one matters.
pub fn many_definitions(group: &str, count: usize) -> String {
    let paths = json!({format!("/apis/{group}/v1/things"): {"get": {"responses": {"200": {"description": "OK",
        "schema": {"$ref": "#/definitions/d0"}}}}}});
    let mut text = format!(
        r##"{{"swagger":"2.0","info":{{"title":"many","version":"1"}},"paths":{paths},"definitions":{{"##
    );
    for n in 0..count {
        // Writing to a string does not fail.
        let _written = write!(
            text,
            r##""d{n}":{{"type":"object","properties":{{"a":{{"$ref":"#/definitions/d{}"}}}}}},"##,
            n + 1
        );
    }
    text + &format!(r#""d{count}":{{"type":"object"}}}}}}"#)
}

/// This many paths whose operations share parameters and responses of 20 KB.
pub fn shared_parts(group: &str, count: usize) -> String {
    let long = "x".repeat(20_000);
    let operation = json!({"parameters": [{"$ref": "#/parameters/body"}],
        "consumes": ["application/json", "application/yaml"],
        "responses": {"200": {"$ref": "#/responses/ok"}, "201": {"$ref": "#/responses/ok"}}});
    let item = json!({"parameters": [{"$ref": "#/parameters/long"}], "get": operation, "post": operation,
        "put": operation});
    let paths: serde_json::Map<_, _> =
        (0..count).map(|n| (format!("/apis/{group}/v1/things/{n}"), item.clone())).collect();
    json!({
        "swagger": "2.0", "paths": paths,
        "parameters": {"long": {"in": "query", "name": "q", "type": "string", "description": long},
            "body": {"in": "body", "name": "body", "schema": {"type": "object", "description": long}}},
        "responses": {"ok": {"description": "OK", "schema": {"type": "object", "description": long}}},
    })
    .to_string()
}
