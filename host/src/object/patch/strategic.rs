//! Strategic merge: maps are merged key by key, shared lists item by item, as the schema tells.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use super::directives::{self, DELETE_ITEMS, Directive, SET_ORDER, bad};
use super::ordering::{Identity, arrange};
use crate::model::failure::{Failure, quoted};
use crate::model::schema::{ListSharing, Schema};

/// Merges `patch` into `document`.
///
/// # Errors
/// 400: a directive is used wrongly, or an item lacks its merge key.
pub(super) fn merge(document: &mut Value, patch: Value, schema: &'static Schema) -> Result<(), Failure> {
    if let (Value::Object(original), Value::Object(patch)) = (document, patch) {
        merge_map(original, patch, Some(schema))?;
    }
    Ok(())
}

fn merge_map(
    original: &mut Map<String, Value>,
    mut patch: Map<String, Value>,
    schema: Option<&'static Schema>,
) -> Result<(), Failure> {
    match directives::take(&mut patch)? {
        Directive::Replace => {
            *original = patch;
            return Ok(());
        }
        Directive::Delete => {
            original.clear();
            return Ok(());
        }
        Directive::Merge => {}
    }
    directives::retain_keys(original, &mut patch)?;
    apply_orders(original, &mut patch, schema)?;
    for (key, value) in patch {
        if let Some(field) = key.strip_prefix(DELETE_ITEMS) {
            delete_items(original, field, &value)?;
            continue;
        }
        if value.is_null() {
            original.remove(&key);
            continue;
        }
        let inner = field_schema(schema, &key);
        match (original.get_mut(&key), value) {
            (Some(Value::Object(there)), Value::Object(patch)) => merge_map(there, patch, inner)?,
            (Some(Value::Array(there)), Value::Array(patch)) => {
                let list = std::mem::take(there);
                *there = merge_list(list, patch, inner, &key)?;
            }
            (_, value) => match directives::strip(value) {
                Some(value) => {
                    original.insert(key, value);
                }
                None => {
                    original.remove(&key);
                }
            },
        }
    }
    Ok(())
}

/// Handles `$setElementOrder/<field>` together with the field itself, which is then done.
fn apply_orders(
    original: &mut Map<String, Value>,
    patch: &mut Map<String, Value>,
    schema: Option<&'static Schema>,
) -> Result<(), Failure> {
    let directives: Vec<String> = patch.keys().filter(|key| key.starts_with(SET_ORDER)).cloned().collect();
    for directive in directives {
        let field = directive[SET_ORDER.len()..].to_owned();
        let Some(Value::Array(order)) = patch.remove(&directive) else {
            return Err(bad(&format!("{directive} must be a list")));
        };
        let inner = field_schema(schema, &field);
        let identity = identity(inner).unwrap_or(Identity::Value);
        let before = match original.get(&field) {
            None => None,
            Some(Value::Array(list)) => Some(list.clone()),
            Some(_) => return Err(bad(&format!("{directive} is about {field}, which is no list"))),
        };
        let given = match patch.remove(&field) {
            None => None,
            Some(Value::Array(list)) => Some(list),
            Some(other) => {
                patch.insert(field.clone(), other);
                continue;
            }
        };
        if let Some(given) = &given {
            check_order(&directive, given, &order, identity)?;
        }
        let merged = match (before.clone(), given) {
            (None, None) => continue,
            (Some(list), None) => list,
            (None, Some(given)) => given.into_iter().filter_map(directives::strip).collect(),
            (Some(list), Some(given)) => merge_list(list, given, inner, &field)?,
        };
        let arranged = arrange(merged, &order, &before.unwrap_or_default(), identity);
        original.insert(field, Value::Array(arranged));
    }
    Ok(())
}

/// The items of the patch must stand in its order list, in the same order.
fn check_order(directive: &str, given: &[Value], order: &[Value], identity: Identity) -> Result<(), Failure> {
    let (order, mut last) = (identity.places(order), None);
    let items = given.iter().filter(|item| item.get(directives::PATCH).is_none());
    for item in items {
        let place = order.of(item);
        if place.is_none() || place < last {
            return Err(bad(&format!("the items of the patch do not follow the order in {directive}")));
        }
        last = place;
    }
    Ok(())
}

fn delete_items(original: &mut Map<String, Value>, field: &str, gone: &Value) -> Result<(), Failure> {
    let Some(gone) = gone.as_array() else {
        return Err(bad(&format!("{DELETE_ITEMS}{field} must be a list of values")));
    };
    if let Some(Value::Array(list)) = original.get_mut(field) {
        let gone: HashSet<&Value> = gone.iter().collect();
        list.retain(|item| !gone.contains(item));
    }
    Ok(())
}

fn merge_list(
    original: Vec<Value>,
    patch: Vec<Value>,
    schema: Option<&'static Schema>,
    field: &str,
) -> Result<Vec<Value>, Failure> {
    let item_schema = match schema {
        Some(Schema::List { items, .. }) => Some(*items),
        _ => None,
    };
    match identity(schema) {
        None => Ok(patch),
        Some(Identity::Value) => {
            let mut merged = original.clone();
            let mut seen: HashSet<&Value> = original.iter().collect();
            for item in &patch {
                if seen.insert(item) {
                    merged.push(item.clone());
                }
            }
            Ok(arrange(merged, &patch, &original, Identity::Value))
        }
        Some(Identity::Key(key)) => merge_keyed(original, patch, key, item_schema, field),
    }
}

fn merge_keyed(
    mut original: Vec<Value>,
    patch: Vec<Value>,
    key: &'static str,
    schema: Option<&'static Schema>,
    field: &str,
) -> Result<Vec<Value>, Failure> {
    let identity = Identity::Key(key);
    let mut items = Vec::with_capacity(patch.len());
    let mut deleted = HashSet::new();
    let mut replaces = false;
    for item in patch {
        let Value::Object(mut item) = item else {
            return Err(bad(&format!("an item of {field} is no object")));
        };
        let directive = directives::take(&mut item)?;
        if directive == Directive::Replace {
            replaces = true;
            // A bare `$patch: replace` only says that the list is replaced.
            if item.is_empty() {
                continue;
            }
        }
        let Some(value) = item.get(key) else {
            return Err(bad(&format!("an item of {field} lacks its merge key {}", quoted(key))));
        };
        if directive == Directive::Delete {
            deleted.insert(value.clone());
        } else {
            items.push(Value::Object(item));
        }
    }
    if replaces {
        return Ok(items.into_iter().filter_map(directives::strip).collect());
    }
    original.retain(|item| identity.of(item).is_none_or(|value| !deleted.contains(value)));
    let merged = merge_items(&original, &items, identity, schema)?;
    Ok(arrange(merged, &items, &original, identity))
}

/// The items of `original`, those that the patch names merged with it, and after them what only the patch has.
fn merge_items(
    original: &[Value],
    items: &[Value],
    identity: Identity,
    schema: Option<&'static Schema>,
) -> Result<Vec<Value>, Failure> {
    let mut merged = Vec::with_capacity(original.len() + items.len());
    let mut places: HashMap<Value, usize> = HashMap::with_capacity(merged.capacity());
    let append = |item: Value, merged: &mut Vec<Value>, places: &mut HashMap<Value, usize>| {
        if let Some(value) = identity.of(&item) {
            places.entry(value.clone()).or_insert(merged.len());
        }
        merged.push(item);
    };
    original.iter().for_each(|item| append(item.clone(), &mut merged, &mut places));
    for item in items {
        let place = identity.of(item).and_then(|value| places.get(value)).copied();
        match (place.and_then(|place| merged.get_mut(place)), item.clone()) {
            (Some(Value::Object(there)), Value::Object(patch)) => merge_map(there, patch, schema)?,
            (Some(_), _) => {}
            (None, item) => {
                if let Some(item) = directives::strip(item) {
                    append(item, &mut merged, &mut places);
                }
            }
        }
    }
    Ok(merged)
}

/// How the items of a shared list are told apart; `None` for a list that is replaced as a whole.
fn identity(schema: Option<&'static Schema>) -> Option<Identity> {
    match schema {
        Some(Schema::List { sharing: ListSharing::Set, .. }) => Some(Identity::Value),
        Some(Schema::List { sharing: ListSharing::Map(keys), .. }) => {
            keys.first().map(|key| Identity::Key(key))
        }
        _ => None,
    }
}

fn field_schema(schema: Option<&'static Schema>, key: &str) -> Option<&'static Schema> {
    match schema? {
        Schema::Record(record) => record.field(key).map(|field| field.schema),
        Schema::Map(items) => Some(items),
        _ => None,
    }
}
