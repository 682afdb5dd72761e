//! Reading what backends say about themselves: aggregated and legacy documents.

use super::{Resource, ResponseKind, Subresource};
use crate::model::group_version::GroupVersion;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::{HashMap, HashSet};

/// How many resources one group-version may list, subresources included.
pub(super) const MAX_RESOURCES: usize = 100_000;

/// Why a document of a backend is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DiscoveryFault {
    /// It is no JSON of that kind.
    #[error("the discovery document cannot be read: {0}")]
    Unreadable(String),
    /// It is of another kind.
    #[error("the discovery document is of kind {found:?}, wanted is {wanted:?}")]
    WrongKind {
        /// What it says.
        found: String,
        /// What was asked for.
        wanted: &'static str,
    },
    /// It is about another group-version.
    #[error("the discovery document of {asked} is about {found:?}")]
    WrongGroupVersion {
        /// What was asked for.
        asked: String,
        /// What it says.
        found: String,
    },
    /// A resource has a scope that nobody knows.
    #[error("resource {resource:?} has scope {scope:?}, known are \"Namespaced\" and \"Cluster\"")]
    UnknownScope {
        /// The resource.
        resource: String,
        /// Its scope.
        scope: String,
    },
    /// A subresource and its resource contradict each other (contract §3.6).
    #[error(
        "Error: Parent {parent} (scope: {parent_scope}) and subresource {child} (scope: {child_scope}) scope do not match"
    )]
    ScopeMismatch {
        /// The resource.
        parent: String,
        /// Its scope.
        parent_scope: &'static str,
        /// The subresource.
        child: String,
        /// Its scope.
        child_scope: &'static str,
    },
    /// There is too much of it.
    #[error(
        "{group_version} lists {count} resources and subresources, and {MAX_RESOURCES} is the limit; serve them in several group-versions"
    )]
    TooMany {
        /// Of which group-version.
        group_version: String,
        /// How many.
        count: usize,
    },
}

#[derive(Deserialize)]
struct GroupList<'a> {
    #[serde(default)]
    kind: String,
    #[serde(borrow)]
    items: Option<Vec<Group<'a>>>,
}

#[derive(Deserialize)]
struct Group<'a> {
    metadata: Meta,
    #[serde(borrow)]
    versions: Option<Vec<Version<'a>>>,
}

#[derive(Deserialize)]
struct Meta {
    #[serde(default)]
    name: String,
}

/// The resources stay text: unregistered versions may list many resources, and invalid ones.
#[derive(Deserialize)]
struct Version<'a> {
    version: String,
    #[serde(borrow)]
    resources: Option<&'a RawValue>,
}

/// Reads an `APIGroupDiscoveryList` and keeps the `wanted` group-versions; a backend that lists others claims
/// what is not its own. A wanted one with unusable resources is an error of its own.
///
/// # Errors
/// When the document as a whole cannot be read.
pub fn decode_aggregated(
    body: &[u8],
    wanted: &HashSet<GroupVersion>,
) -> Result<HashMap<GroupVersion, Result<Vec<Resource>, DiscoveryFault>>, DiscoveryFault> {
    let list: GroupList<'_> =
        serde_json::from_slice(body).map_err(|error| DiscoveryFault::Unreadable(error.to_string()))?;
    if list.kind != "APIGroupDiscoveryList" {
        return Err(DiscoveryFault::WrongKind { found: list.kind, wanted: "APIGroupDiscoveryList" });
    }
    let mut found = HashMap::new();
    for group in list.items.unwrap_or_default() {
        for version in group.versions.unwrap_or_default() {
            let key = GroupVersion::new(group.metadata.name.as_str(), version.version);
            if wanted.contains(&key) && !found.contains_key(&key) {
                let text = version.resources.map_or("[]", RawValue::get);
                let unreadable = |error: serde_json::Error| DiscoveryFault::Unreadable(error.to_string());
                let resources = serde_json::from_str(text).map_err(unreadable);
                let resources =
                    resources.and_then(|resources: Option<_>| check(&key, resources.unwrap_or_default()));
                found.insert(key, resources);
            }
        }
    }
    Ok(found)
}

fn check(
    group_version: &GroupVersion,
    mut resources: Vec<Resource>,
) -> Result<Vec<Resource>, DiscoveryFault> {
    let count = resources.len() + resources.iter().map(|r| r.subresources.len()).sum::<usize>();
    if count > MAX_RESOURCES {
        let group_version = group_version.to_string();
        return Err(DiscoveryFault::TooMany { group_version, count });
    }
    if let Some(odd) = resources.iter().find(|r| r.scope != "Namespaced" && r.scope != "Cluster") {
        let (resource, scope) = (odd.resource.clone(), odd.scope.clone());
        return Err(DiscoveryFault::UnknownScope { resource, scope });
    }
    let mut seen = HashSet::new();
    resources.retain(|resource| seen.insert(resource.resource.clone()));
    Ok(resources)
}

#[derive(Deserialize)]
struct LegacyList {
    #[serde(default)]
    kind: String,
    #[serde(default, rename = "groupVersion")]
    group_version: String,
    resources: Option<Vec<LegacyResource>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LegacyResource {
    name: String,
    singular_name: Option<String>,
    #[serde(default)]
    namespaced: bool,
    group: Option<String>,
    version: Option<String>,
    #[serde(default)]
    kind: String,
    verbs: Option<Vec<String>>,
    short_names: Option<Vec<String>>,
    categories: Option<Vec<String>>,
}

/// Reads an `APIResourceList` and converts it (contract §3.6).
///
/// # Errors
/// When it cannot be read, is about something else, or contradicts itself.
pub fn decode_legacy(body: &[u8], asked: &GroupVersion) -> Result<Vec<Resource>, DiscoveryFault> {
    let list: LegacyList =
        serde_json::from_slice(body).map_err(|error| DiscoveryFault::Unreadable(error.to_string()))?;
    if list.kind != "APIResourceList" {
        return Err(DiscoveryFault::WrongKind { found: list.kind, wanted: "APIResourceList" });
    }
    if !list.group_version.is_empty() && list.group_version != asked.to_string() {
        return Err(DiscoveryFault::WrongGroupVersion {
            asked: asked.to_string(),
            found: list.group_version,
        });
    }
    let entries = list.resources.unwrap_or_default();
    if entries.len() > MAX_RESOURCES {
        return Err(DiscoveryFault::TooMany { group_version: asked.to_string(), count: entries.len() });
    }
    let (children, parents): (Vec<_>, Vec<_>) = entries.into_iter().partition(|e| e.name.contains('/'));
    let mut resources: Vec<Resource> = Vec::with_capacity(parents.len());
    let mut index: HashMap<String, usize> = HashMap::new();
    for entry in parents {
        if let std::collections::hash_map::Entry::Vacant(slot) = index.entry(entry.name.clone()) {
            slot.insert(resources.len());
            resources.push(convert(entry));
        }
    }
    for entry in children {
        attach(entry, &mut resources, &mut index)?;
    }
    Ok(resources)
}

fn convert(entry: LegacyResource) -> Resource {
    Resource {
        scope: scope(entry.namespaced).to_owned(),
        response_kind: response_kind(&entry),
        resource: entry.name,
        singular_resource: entry.singular_name.unwrap_or_default(),
        verbs: entry.verbs.unwrap_or_default(),
        short_names: entry.short_names.unwrap_or_default(),
        categories: entry.categories.unwrap_or_default(),
        subresources: Vec::new(),
    }
}

fn attach(
    entry: LegacyResource,
    resources: &mut Vec<Resource>,
    index: &mut HashMap<String, usize>,
) -> Result<(), DiscoveryFault> {
    let Some((parent, child)) = entry.name.split_once('/') else { return Ok(()) };
    let child_scope = scope(entry.namespaced);
    let at = *index.entry(parent.to_owned()).or_insert_with(|| {
        resources.push(Resource {
            resource: parent.to_owned(),
            scope: child_scope.to_owned(),
            ..Resource::default()
        });
        resources.len() - 1
    });
    let Some(resource) = resources.get_mut(at) else { return Ok(()) };
    if resource.scope != child_scope {
        return Err(DiscoveryFault::ScopeMismatch {
            parent: parent.to_owned(),
            parent_scope: scope(!entry.namespaced),
            child: child.to_owned(),
            child_scope,
        });
    }
    resource.subresources.push(Subresource {
        subresource: child.to_owned(),
        response_kind: Some(response_kind(&entry)),
        accepted_types: Vec::new(),
        verbs: entry.verbs.unwrap_or_default(),
    });
    Ok(())
}

fn response_kind(entry: &LegacyResource) -> ResponseKind {
    ResponseKind {
        group: entry.group.clone().unwrap_or_default(),
        version: entry.version.clone().unwrap_or_default(),
        kind: entry.kind.clone(),
    }
}

fn scope(namespaced: bool) -> &'static str {
    if namespaced { "Namespaced" } else { "Cluster" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gv(group: &str, version: &str) -> GroupVersion {
        GroupVersion::new(group, version)
    }

    #[test]
    fn subresources_find_their_resource_in_any_order_and_orphans_get_one() {
        let body = br#"{"kind":"APIResourceList","groupVersion":"g/v1","resources":[
            {"name":"things/status","singularName":"","namespaced":true,"kind":"Thing","verbs":["get"]},
            {"name":"things","singularName":"thing","namespaced":true,"kind":"Thing","verbs":["list"],"shortNames":["th"]},
            {"name":"pods/eviction/x","namespaced":true,"group":"policy","version":"v1","kind":"Eviction","verbs":null}]}"#;
        let resources = decode_legacy(body, &gv("g", "v1")).unwrap();
        assert_eq!(resources.len(), 2);
        assert_eq!(resources[0].subresources[0].subresource, "status");
        assert_eq!(resources[0].short_names, ["th"]);
        assert_eq!(resources[1].resource, "pods");
        assert_eq!(resources[1].response_kind, ResponseKind::default());
        let eviction = &resources[1].subresources[0];
        assert_eq!(eviction.subresource, "eviction/x");
        assert_eq!(eviction.response_kind.as_ref().unwrap().group, "policy");
    }

    #[test]
    fn scopes_must_agree() {
        let body = br#"{"kind":"APIResourceList","groupVersion":"g/v1","resources":[
            {"name":"a","namespaced":false,"kind":"A"},{"name":"a/b","namespaced":true,"kind":"A"}]}"#;
        let fault = decode_legacy(body, &gv("g", "v1")).unwrap_err();
        assert_eq!(
            fault.to_string(),
            "Error: Parent a (scope: Cluster) and subresource b (scope: Namespaced) scope do not match"
        );
    }

    #[test]
    fn a_legacy_document_about_something_else_is_refused() {
        let body = br#"{"kind":"APIResourceList","groupVersion":"other/v1","resources":[]}"#;
        assert!(matches!(
            decode_legacy(body, &gv("g", "v1")).unwrap_err(),
            DiscoveryFault::WrongGroupVersion { .. }
        ));
        let body = br#"{"kind":"Status","code":403}"#;
        assert!(matches!(decode_legacy(body, &gv("g", "v1")).unwrap_err(), DiscoveryFault::WrongKind { .. }));
        assert!(matches!(
            decode_legacy(b"<html>", &gv("g", "v1")).unwrap_err(),
            DiscoveryFault::Unreadable(_)
        ));
    }

    #[test]
    fn only_wanted_group_versions_are_taken() {
        let body = br#"{"kind":"APIGroupDiscoveryList","apiVersion":"apidiscovery.k8s.io/v2","metadata":{},"items":[
            {"metadata":{"name":"mine"},"versions":[
              {"version":"v1","freshness":"Current","resources":[
                {"resource":"a","responseKind":{"group":"mine","version":"v1","kind":"A"},"scope":"Cluster","singularResource":"a","verbs":["get"]},
                {"resource":"a","responseKind":null,"scope":"Cluster","singularResource":"a","verbs":[]}]},
              {"version":"v2","resources":[{"resource":"b","scope":"Everywhere","verbs":null}]}]},
            {"metadata":{"name":"stolen"},"versions":[{"version":"v1"}]}]}"#;
        let wanted = HashSet::from([gv("mine", "v1"), gv("mine", "v2"), gv("mine", "v3")]);
        let found = decode_aggregated(body, &wanted).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(found[&gv("mine", "v1")].as_ref().unwrap().len(), 1);
        assert!(matches!(found[&gv("mine", "v2")], Err(DiscoveryFault::UnknownScope { .. })));
    }

    #[test]
    fn a_version_that_cannot_be_read_does_not_spoil_the_others() {
        let body = br#"{"kind":"APIGroupDiscoveryList","items":[{"metadata":{"name":"mine"},"versions":[
            {"version":"v1","resources":[{"resource":7}]},{"version":"v2","resources":null},{"version":"v3"},
            {"version":"v4","resources":{"a":[1]}}]}]}"#;
        let wanted = HashSet::from(["v1", "v2", "v3"].map(|version| gv("mine", version)));
        let found = decode_aggregated(body, &wanted).unwrap();
        assert!(matches!(found[&gv("mine", "v1")], Err(DiscoveryFault::Unreadable(_))));
        assert_eq!(found[&gv("mine", "v2")], Ok(Vec::new()));
        assert_eq!(found[&gv("mine", "v3")], Ok(Vec::new()));
    }

    fn aggregated(resources: usize, subresources: usize) -> String {
        let sub = vec![r#"{"subresource":"s"}"#; subresources].join(",");
        let one = |n| format!(r#"{{"resource":"r{n}","scope":"Cluster","subresources":[{sub}]}}"#);
        let all: Vec<String> = (0..resources).map(one).collect();
        format!(
            r#"{{"kind":"APIGroupDiscoveryList","items":[{{"metadata":{{"name":"g"}},"versions":[{{"version":"v1","resources":[{}]}}]}}]}}"#,
            all.join(",")
        )
    }

    #[test]
    fn up_to_a_hundred_thousand_resources_are_taken_and_the_limit_is_named() {
        let legacy = |count: usize| {
            let one = |n| format!(r#"{{"name":"r{n}","namespaced":false,"kind":"R"}}"#);
            let all: Vec<String> = (0..count).map(one).collect();
            let body = format!(r#"{{"kind":"APIResourceList","resources":[{}]}}"#, all.join(","));
            decode_legacy(body.as_bytes(), &gv("g", "v1")).map(|list| list.len())
        };
        assert_eq!(legacy(100_000), Ok(100_000));
        let fault = legacy(100_001).unwrap_err().to_string();
        assert!(fault.contains("g/v1 lists 100001 ") && fault.contains("100000 is the limit"), "{fault}");
        let wanted = HashSet::from([gv("g", "v1")]);
        let of = |resources, subresources| {
            let body = aggregated(resources, subresources);
            let found = decode_aggregated(body.as_bytes(), &wanted).unwrap().remove(&gv("g", "v1")).unwrap();
            found.map(|list| list.len())
        };
        assert_eq!(of(100_000, 0), Ok(100_000));
        assert_eq!(of(50_000, 1), Ok(50_000));
        assert!(matches!(of(50_001, 1), Err(DiscoveryFault::TooMany { count: 100_002, .. })));
    }

    #[test]
    fn deep_nesting_is_refused_and_not_followed() {
        for depth in [100, 127, 128, 1_000_000] {
            let nested = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
            let legacy = format!(r#"{{"kind":"APIResourceList","resources":[],"x":{nested}}}"#);
            let resource = format!(r#"{{"resource":"a","scope":"Cluster","x":{nested}}}"#);
            let aggregated = format!(
                r#"{{"kind":"APIGroupDiscoveryList","items":[{{"metadata":{{"name":"g"}},"versions":[{{"version":"v1","resources":[{resource}]}}]}}]}}"#
            );
            // Members that are not read may have any type; members that are read must have the right one.
            drop(decode_legacy(legacy.as_bytes(), &gv("g", "v1")));
            drop(decode_aggregated(aggregated.as_bytes(), &HashSet::from([gv("g", "v1")])));
            let read = format!(r#"{{"kind":"APIResourceList","resources":{nested}}}"#);
            assert!(decode_legacy(read.as_bytes(), &gv("g", "v1")).is_err(), "{depth}");
        }
    }

    #[test]
    fn of_two_entries_for_one_version_the_first_counts() {
        let version = |name: &str| {
            format!(r#"{{"version":"v1","resources":[{{"resource":"{name}","scope":"Cluster"}}]}}"#)
        };
        let body = format!(
            r#"{{"kind":"APIGroupDiscoveryList","items":[{{"metadata":{{"name":"g"}},"versions":[{},{}]}}]}}"#,
            version("first"),
            version("second")
        );
        let found = decode_aggregated(body.as_bytes(), &HashSet::from([gv("g", "v1")])).unwrap();
        assert_eq!(found[&gv("g", "v1")].as_ref().unwrap()[0].resource, "first");
    }
}
