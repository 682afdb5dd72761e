//! Keeping a backend's document to what the backend may claim.

use super::reference::each_reference;
use crate::model::group_version::GroupVersion;
use serde_json::{Map, Value};
use std::collections::{BTreeSet, HashSet};

/// Where an OpenAPI v2 document keeps what references point at.
pub(super) const SECTIONS: [(&str, &str); 3] =
    [("definitions", "#/definitions/"), ("parameters", "#/parameters/"), ("responses", "#/responses/")];

/// Removes every path of an OpenAPI v2 document outside the given group-versions, and what only those paths
/// needed (contract §4.1). Definitions that name a kind of these group-versions stay.
pub(super) fn keep_group_versions(document: &mut Value, kept: &BTreeSet<GroupVersion>) {
    let prefixes: Vec<_> = kept.iter().map(|gv| format!("/apis/{}/{}/", gv.group, gv.version)).collect();
    if let Some(Value::Object(paths)) = document.get_mut("paths") {
        paths.retain(|path, _| prefixes.iter().any(|prefix| path.starts_with(prefix)));
    }
    let used = used_names(document, kept);
    for (section, prefix) in SECTIONS {
        if let Some(Value::Object(map)) = document.get_mut(section) {
            map.retain(|name, _| used.contains(&format!("{prefix}{name}")));
        }
    }
}

/// Full references (`#/definitions/x`) that paths and kept kinds need, directly or not.
fn used_names(document: &Value, kept: &BTreeSet<GroupVersion>) -> HashSet<String> {
    let mut waiting: Vec<String> = Vec::new();
    if let Some(paths) = document.get("paths") {
        each_reference(paths, "", &mut |target| waiting.push(target.to_owned()));
    }
    if let Some(Value::Object(definitions)) = document.get("definitions") {
        let own = definitions.iter().filter(|(_, definition)| names_kind_of(definition, kept));
        waiting.extend(own.map(|(name, _)| format!("#/definitions/{name}")));
    }
    let mut used = HashSet::new();
    while let Some(target) = waiting.pop() {
        if let Some(value) = resolve(document, &target) {
            each_reference(value, "", &mut |next| {
                if !used.contains(next) {
                    waiting.push(next.to_owned());
                }
            });
        }
        used.insert(target);
    }
    used
}

fn names_kind_of(definition: &Value, kept: &BTreeSet<GroupVersion>) -> bool {
    let text =
        |entry: &Value, key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let kinds = definition.get("x-kubernetes-group-version-kind").and_then(Value::as_array);
    kinds
        .into_iter()
        .flatten()
        .any(|entry| kept.contains(&GroupVersion::new(text(entry, "group"), text(entry, "version"))))
}

/// What a reference into an OpenAPI v2 document points at.
pub(super) fn resolve<'a>(document: &'a Value, target: &str) -> Option<&'a Value> {
    SECTIONS.iter().find_map(|(section, prefix)| {
        let map: &Map<String, Value> = document.get(section)?.as_object()?;
        map.get(target.strip_prefix(prefix)?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn paths_of_others_go_with_what_only_they_need() {
        let mut document = json!({
            "swagger": "2.0",
            "paths": {
                "/apis/a.com/v1/": {"get": {"responses": {"200": {"schema": {"$ref": "#/definitions/List"}}}}},
                "/apis/a.com/v1/things": {"parameters": [{"$ref": "#/parameters/pretty"}], "get": {}},
                "/apis/a.com/v10/things": {"get": {}},
                "/api/v1/pods": {"get": {"responses": {"200": {"schema": {"$ref": "#/definitions/Pod"}}}}},
            },
            "definitions": {
                "List": {"properties": {"items": {"items": {"$ref": "#/definitions/Item"}}}},
                "Item": {"properties": {"self": {"$ref": "#/definitions/Item"}}},
                "Pod": {},
                "Unused": {},
                "Options": {"x-kubernetes-group-version-kind": [{"group": "a.com", "version": "v1", "kind": "Options"}]},
            },
            "parameters": {"pretty": {"name": "pretty"}, "other": {}},
        });
        keep_group_versions(&mut document, &[GroupVersion::new("a.com", "v1")].into());
        let keys =
            |section: &str| -> Vec<_> { document[section].as_object().unwrap().keys().cloned().collect() };
        assert_eq!(keys("paths"), ["/apis/a.com/v1/", "/apis/a.com/v1/things"]);
        assert_eq!(keys("definitions"), ["Item", "List", "Options"]);
        assert_eq!(keys("parameters"), ["pretty"]);
    }
}
