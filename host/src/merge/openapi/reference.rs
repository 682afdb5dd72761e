//! Finding and rewriting the references inside a document.

use serde_json::Value;

/// Calls `visit` with every reference that starts with `prefix`, without the prefix.
pub(super) fn each_reference<'a>(value: &'a Value, prefix: &str, visit: &mut dyn FnMut(&'a str)) {
    match value {
        Value::Object(map) => {
            for (key, inner) in map {
                match inner {
                    Value::String(target) if key == "$ref" => {
                        if let Some(name) = target.strip_prefix(prefix) {
                            visit(name);
                        }
                    }
                    _ => each_reference(inner, prefix, visit),
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|inner| each_reference(inner, prefix, visit)),
        _ => {}
    }
}

/// Replaces each reference by what `rename` returns for it; `None` leaves it.
pub(super) fn rewrite_references(value: &mut Value, rename: &dyn Fn(&str) -> Option<String>) {
    match value {
        Value::Object(map) => {
            for (key, inner) in map {
                match inner {
                    Value::String(target) if key == "$ref" => {
                        if let Some(renamed) = rename(target) {
                            *target = renamed;
                        }
                    }
                    _ => rewrite_references(inner, rename),
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|inner| rewrite_references(inner, rename)),
        _ => {}
    }
}
