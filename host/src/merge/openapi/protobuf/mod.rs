//! OpenAPI v2 as protobuf, the only form that kubectl before 1.29 asks for.
//!
//! The messages are those of `openapi.v2` as gnostic defines them, with the fields that Kubernetes documents use;
//! security and external documentation are left out. Values without a fixed shape travel as YAML text, and JSON is
//! YAML.

mod document;
mod message;
mod schema;

pub(super) use document::encode_v2;

use message::{Any, NamedAny};
use serde_json::{Map, Value};

fn text(map: &Map<String, Value>, key: &str) -> String {
    map.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn texts(map: &Map<String, Value>, key: &str) -> Vec<String> {
    let list = map.get(key).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn flag(map: &Map<String, Value>, key: &str) -> bool {
    map.get(key).and_then(Value::as_bool).unwrap_or_default()
}

fn any(value: &Value) -> Any {
    Any { yaml: format!("{value}\n") }
}

/// Every `x-…` key.
fn extensions(map: &Map<String, Value>) -> Vec<NamedAny> {
    map.iter()
        .filter(|(key, _)| key.starts_with("x-"))
        .map(|(key, value)| NamedAny { name: key.clone(), value: Some(any(value)) })
        .collect()
}
