//! Uniting OpenAPI v2 documents of several servers into one.

use super::filter::SECTIONS;
use super::reference::{each_reference, rewrite_references};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

const KINDS: &str = "x-kubernetes-group-version-kind";

/// Adds `source` to `target` (contract §4.1): a path that is there already stays as it is; a definition or
/// parameter of the same name and content is shared; one of the same name and other content, or that refers to
/// such a one, is renamed `<name>_v2`, `_v3` and so on with all references to it.
pub(super) fn combine(target: &mut Value, mut source: Value) {
    let differing = differing_names(target, &source);
    if !differing.is_empty() {
        rename_apart(target, &mut source, &differing);
    }
    for (section, _) in SECTIONS {
        let more = take_section(&mut source, section);
        if more.is_empty() {
            continue;
        }
        let mut united = take_section(target, section);
        for (name, value) in more {
            match united.get_mut(&name) {
                Some(present) => unite_kinds(present, &value),
                None => {
                    united.insert(name, value);
                }
            }
        }
        target[section] = united.into();
    }
    let mut paths = take_section(target, "paths");
    for (path, item) in take_section(&mut source, "paths") {
        paths.entry(path).or_insert(item);
    }
    target["paths"] = paths.into();
}

/// Takes a section out of a document, to be put back.
fn take_section(document: &mut Value, section: &str) -> Map<String, Value> {
    match document.get_mut(section).map(Value::take) {
        Some(Value::Object(map)) => map,
        _ => Map::new(),
    }
}

/// Full references of what both have under one name with different content, directly or through references.
fn differing_names(target: &Value, source: &Value) -> BTreeSet<String> {
    let mut shared: Vec<(String, &Value)> = Vec::new();
    let mut differing = BTreeSet::new();
    for (section, prefix) in SECTIONS {
        let (Some(Value::Object(ours)), Some(Value::Object(theirs))) =
            (target.get(section), source.get(section))
        else {
            continue;
        };
        for (name, value) in theirs {
            let Some(present) = ours.get(name) else { continue };
            if same_but_for_kinds(present, value) {
                shared.push((format!("{prefix}{name}"), value));
            } else {
                differing.insert(format!("{prefix}{name}"));
            }
        }
    }
    loop {
        let before = differing.len();
        for (name, value) in &shared {
            let mut touches = false;
            each_reference(value, "", &mut |next| touches |= differing.contains(next));
            if touches {
                differing.insert(name.clone());
            }
        }
        if differing.len() == before {
            return differing;
        }
    }
}

/// Gives every differing name of `source` one common suffix under which nothing, or the same, stands in `target`.
fn rename_apart(target: &Value, source: &mut Value, differing: &BTreeSet<String>) {
    for number in 2_u32.. {
        let rename =
            |reference: &str| differing.contains(reference).then(|| format!("{reference}_v{number}"));
        let mut renamed = source.clone();
        rewrite_references(&mut renamed, &rename);
        for (section, prefix) in SECTIONS {
            let Some(Value::Object(map)) = renamed.get_mut(section) else { continue };
            *map = std::mem::take(map)
                .into_iter()
                .map(|(name, value)| match rename(&format!("{prefix}{name}")) {
                    Some(new) => (new[prefix.len()..].to_owned(), value),
                    None => (name, value),
                })
                .collect();
        }
        if differing_names(target, &renamed).is_empty() {
            *source = renamed;
            return;
        }
    }
}

fn same_but_for_kinds(a: &Value, b: &Value) -> bool {
    let (Value::Object(a), Value::Object(b)) = (a, b) else { return a == b };
    let rest = |map: &Map<String, Value>| map.iter().filter(|(key, _)| *key != KINDS).count();
    rest(a) == rest(b)
        && a.iter().filter(|(key, _)| *key != KINDS).all(|(key, value)| b.get(key) == Some(value))
}

fn unite_kinds(present: &mut Value, other: &Value) {
    let (Value::Object(present), Some(Value::Array(more))) = (present, other.get(KINDS)) else { return };
    let list = present.entry(KINDS).or_insert_with(|| json!([]));
    if let Value::Array(list) = list {
        for kind in more {
            if !list.contains(kind) {
                list.push(kind.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(paths: Value, definitions: Value) -> Value {
        json!({"swagger": "2.0", "paths": paths, "definitions": definitions})
    }

    #[test]
    fn the_first_path_wins_and_equal_definitions_are_shared() {
        let kind = |group: &str| json!([{"group": group, "version": "v1", "kind": "Options"}]);
        let mut target =
            document(json!({"/a": {"get": {"from": 1}}}), json!({"Options": {KINDS: kind("a")}}));
        let source =
            document(json!({"/a": {"get": {"from": 2}}, "/b": {}}), json!({"Options": {KINDS: kind("b")}}));
        combine(&mut target, source);
        let kinds = json!([kind("a")[0], kind("b")[0]]);
        assert_eq!(
            target,
            document(json!({"/a": {"get": {"from": 1}}, "/b": {}}), json!({"Options": {KINDS: kinds}}))
        );
    }

    #[test]
    fn another_definition_of_the_same_name_is_renamed_with_all_that_leads_to_it() {
        let leads = json!({"properties": {"x": {"$ref": "#/definitions/Meta"}}});
        let mut target = document(json!({}), json!({"Meta": {"v": 1}, "List": leads}));
        let path = json!({"/b": {"schema": {"$ref": "#/definitions/List"}}});
        let source = document(path, json!({"Meta": {"v": 2}, "List": leads, "Own": leads}));
        combine(&mut target, source.clone());
        let renamed = json!({"properties": {"x": {"$ref": "#/definitions/Meta_v2"}}});
        let wanted = document(
            json!({"/b": {"schema": {"$ref": "#/definitions/List_v2"}}}),
            json!({"Meta": {"v": 1}, "List": leads, "Meta_v2": {"v": 2}, "List_v2": renamed, "Own": renamed}),
        );
        assert_eq!(target, wanted);
        // The same once more finds its renamed self.
        let mut again = source;
        again["paths"] = json!({});
        again["definitions"].as_object_mut().unwrap().remove("Own");
        combine(&mut target, again);
        assert_eq!(target, wanted);
        // A third content takes the next number.
        combine(&mut target, document(json!({}), json!({"Meta": {"v": 3}})));
        assert_eq!(target["definitions"]["Meta_v3"], json!({"v": 3}));
    }
}
