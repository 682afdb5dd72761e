//! The `$…` keys of strategic merge patches.

use std::collections::HashSet;

use serde_json::{Map, Value};

use crate::model::failure::{Failure, quoted};

pub(super) const PATCH: &str = "$patch";
pub(super) const RETAIN_KEYS: &str = "$retainKeys";
pub(super) const SET_ORDER: &str = "$setElementOrder/";
pub(super) const DELETE_ITEMS: &str = "$deleteFromPrimitiveList/";

/// What `$patch` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Directive {
    /// Merge, which is what happens anyway.
    Merge,
    /// Take the patch instead of what is there.
    Replace,
    /// Take out what is there.
    Delete,
}

/// Takes `$patch` out of an object.
pub(super) fn take(patch: &mut Map<String, Value>) -> Result<Directive, Failure> {
    match patch.remove(PATCH) {
        None => Ok(Directive::Merge),
        Some(value) => match value.as_str() {
            Some("merge") => Ok(Directive::Merge),
            Some("replace") => Ok(Directive::Replace),
            Some("delete") => Ok(Directive::Delete),
            _ => Err(bad(&format!("{PATCH} is {value}: it must be \"replace\", \"delete\" or \"merge\""))),
        },
    }
}

/// Applies `$retainKeys`: of what is there only the named keys stay.
pub(super) fn retain_keys(
    original: &mut Map<String, Value>,
    patch: &mut Map<String, Value>,
) -> Result<(), Failure> {
    let Some(value) = patch.remove(RETAIN_KEYS) else { return Ok(()) };
    let Some(keys) = value.as_array() else {
        return Err(bad(&format!("{RETAIN_KEYS} must be a list of field names")));
    };
    let keys: HashSet<&str> = keys.iter().filter_map(Value::as_str).collect();
    for (key, value) in patch.iter() {
        let is_directive = key.starts_with(SET_ORDER) || key.starts_with(DELETE_ITEMS);
        if !value.is_null() && !is_directive && !keys.contains(key.as_str()) {
            return Err(bad(&format!("{RETAIN_KEYS} must name {}, which the patch sets", quoted(key))));
        }
    }
    original.retain(|key, _| keys.contains(key.as_str()));
    Ok(())
}

/// A value that is new, as it is stored: without directives and nulls. `None` when it asks to be deleted.
pub(super) fn strip(value: Value) -> Option<Value> {
    match value {
        Value::Null => None,
        Value::Array(list) => Some(Value::Array(list.into_iter().filter_map(strip).collect())),
        Value::Object(mut map) => {
            if map.remove(PATCH).is_some_and(|directive| directive == "delete") {
                return None;
            }
            let is_directive =
                |key: &str| key == RETAIN_KEYS || key.starts_with(SET_ORDER) || key.starts_with(DELETE_ITEMS);
            let kept = map.into_iter().filter(|(key, _)| !is_directive(key));
            Some(Value::Object(kept.filter_map(|(key, value)| Some((key, strip(value)?))).collect()))
        }
        scalar => Some(scalar),
    }
}

/// 400: the patch uses a directive wrongly.
pub(super) fn bad(why: &str) -> Failure {
    Failure::bad_request(format!("the strategic merge patch cannot be applied: {why}"))
}
