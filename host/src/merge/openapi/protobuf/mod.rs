//! OpenAPI v2 as protobuf, the only form that kubectl before 1.29 asks for.
//!
//! The messages are those of `openapi.v2` as gnostic defines them, with the fields that Kubernetes documents use;
//! security and external documentation are left out. Values without a fixed shape travel as YAML text, and JSON is
//! YAML.

mod document;
mod message;
mod schema;

pub(super) use document::encode_v2;

use super::json::Json;
use super::output::compact;
use message::{Any, NamedAny};
use std::borrow::Cow;

type Members<'a> = [(Cow<'a, str>, Json<'a>)];

/// The last member of that name counts, as in other parsers.
fn member<'a>(map: &Members<'a>, key: &str) -> Option<Json<'a>> {
    map.iter().rev().find(|(name, _)| name == key).map(|(_, value)| *value)
}

fn text(map: &Members<'_>, key: &str) -> String {
    member(map, key).and_then(Json::string).unwrap_or_default().into_owned()
}

fn texts(map: &Members<'_>, key: &str) -> Vec<String> {
    let list = member(map, key).map(Json::items);
    list.into_iter().flatten().filter_map(Json::string).map(Cow::into_owned).collect()
}

fn flag(map: &Members<'_>, key: &str) -> bool {
    member(map, key).and_then(Json::flag).unwrap_or_default()
}

/// JSON is valid YAML except for some characters that YAML treats as line breaks or rejects.
fn any(value: Json<'_>) -> Any {
    let mut bytes = Vec::with_capacity(value.text().len() + 1);
    compact(value.text(), &mut bytes);
    let text = String::from_utf8(bytes).unwrap_or_default();
    let is_odd = |c: char| {
        matches!(c, '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
    };
    let mut yaml = String::with_capacity(text.len() + 1);
    for c in text.chars() {
        if is_odd(c) { yaml.push_str(&format!("\\u{:04x}", u32::from(c))) } else { yaml.push(c) }
    }
    yaml.push('\n');
    Any { yaml }
}

/// Every `x-…` key.
fn extensions(map: &Members<'_>) -> Vec<NamedAny> {
    map.iter()
        .filter(|(key, _)| key.starts_with("x-"))
        .map(|(key, value)| NamedAny { name: key.to_string(), value: Some(any(*value)) })
        .collect()
}
